"""Hostile surroundings: what lies in folders and is no file, names, paths, the system's refusals, settings of Keras."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.compat import keras_settings
from hbaclib.digests import data_digest
from hbaclib.errors import HbacError
from hbaclib.models.calling import note_on_gpus
from hbaclib.models.registry import build_model
from hbaclib.platform import find_input
from hbaclib.recordings.found import recording_files, recordings_and_notes
from hbaclib.recordings.parquet import read_eeg
from hbaclib.suite.sizes import count_folder
from hbaclib.training.devices import claim_device, configure, release_devices
from tests.hostile import stock
from tests.hostile.frame import Case, table, try_case
from tests.training.tiny import tiny_recipe

ROOT = Path(__file__).parents[2]
LONG = "x" * 300
RED = "\x1b[31mred\x1b[0m"
NOT_UTF8 = os.fsdecode(b"b\xff.parquet")
SECONDS = 100

Door = Callable[[], Any]


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    def told(*_: object) -> None:
        raise AssertionError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, told)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def eeg(folder: Path) -> Path:
    """A trained network of the EEG alone."""
    return stock.run(folder) / "eeg"


def answer(code: int, text: str) -> str:
    """The text of a command that ended well; raised where it was refused."""
    assert "Traceback" not in text, text
    if code == 1:
        raise HbacError(text)
    assert code == 0, (code, text)
    return text


def process(*words: str | Path, raw: bool = False, stdout: str = "", **environment: str) -> Door:
    """``hbac`` with some words in a process of its own, with some variables in its environment.

    The answer tells the streams apart: what is on the error stream comes behind ``errors:``.
    """

    def door() -> str:
        own = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL",)}
        command = [sys.executable, "-m", "hbaclib.cli.main", *map(os.fspath, words)]
        with open(stdout, "wb") if stdout else nullcontext(subprocess.PIPE) as where:
            variables = {**own, "PYTHONPATH": str(ROOT), **environment}
            done = subprocess.run(command, stdout=where, stderr=subprocess.PIPE, env=variables)
        text = (done.stdout or b"") + b"errors:" + done.stderr
        return answer(done.returncode, repr(text) if raw else text.decode("utf-8", "backslashreplace"))

    return door


def encoded(charset: str, *words: str | Path) -> Door:
    """``hbac`` in a terminal of another encoding."""

    def door() -> str:
        done = CliRunner(charset=charset).invoke(main, [os.fspath(word) for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        return answer(done.exit_code, done.output)

    return door


def failing(error: BaseException) -> Callable[[Path], Door]:
    """A command that meets an error wherever it comes from."""

    def make(folder: Path) -> Door:
        def door() -> str:
            with mock.patch("hbaclib.dataset.synthetic.make_synthetic_dataset", side_effect=error):
                return encoded("utf-8", "synth", folder / "set")()

        return door

    return make


# ---- settings of Keras, and the GPU (8) ------------------------------------------------------------------------------


def keras_told(settings: object = None, imported: object = None, **environment: str) -> Callable[[Path], Door]:
    """The guard, with a ``keras.json`` and an environment, before Keras is imported or with a fake one that was."""

    def make(folder: Path) -> Door:
        home = folder / "keras"
        home.mkdir()
        if settings == "pipe":
            os.mkfifo(home / "keras.json")
        elif settings is not None:
            text = settings if isinstance(settings, str) else json.dumps(settings)
            (home / "keras.json").write_text(text)

        def door() -> str:
            kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
            with (
                mock.patch.dict(os.environ, {**kept, "KERAS_HOME": str(home), **environment}, clear=True),
                mock.patch.object(keras_settings, "_whole_keras", lambda: imported),
            ):
                keras_settings.check_keras()
            return "fits"

        return door

    return make


def keras_of(backend: str = "tensorflow", floatx: str = "float32", policy: str = "float32") -> Any:
    """A Keras that a process has imported."""
    return SimpleNamespace(
        config=SimpleNamespace(
            backend=lambda: backend,
            floatx=lambda: floatx,
            image_data_format=lambda: "channels_last",
            dtype_policy=lambda: SimpleNamespace(name=policy),
        )
    )


def channels_first(folder: Path) -> Door:
    def door() -> Any:
        import keras

        keras.config.set_image_data_format("channels_first")
        try:
            return build_model("convnet_small")
        finally:
            keras.config.set_image_data_format("channels_last")

    return door


def with_gpus(door: Door, **environment: str) -> Callable[[Path], Door]:
    """A door of a machine whose driver lists a GPU, which TensorFlow does not see."""

    def make(folder: Path) -> Door:
        def opened() -> Any:
            kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
            with (
                mock.patch.dict(os.environ, {**kept, **environment}, clear=True),
                mock.patch("hbaclib.platform.accelerators", lambda: ["NVIDIA H100, 81559 MiB"]),
            ):
                return door()

        return opened

    return make


UNSEEN = "the driver lists NVIDIA H100, 81559 MiB, but TensorFlow sees no GPU"

KERAS = [
    Case(
        "another backend in the environment", 8, keras_told(KERAS_BACKEND="jax"), 1,
        ("backend is 'jax', expected 'tensorflow', from the environment variable KERAS_BACKEND; set KERAS_BACKEND=",),
    ),
    Case("torch in the environment", 8, keras_told(KERAS_BACKEND="torch"), 1, ("backend is 'torch'",)),
    Case("an empty backend is none", 8, keras_told(KERAS_BACKEND=""), 0, ("fits",)),
    Case(
        "another backend in keras.json", 8, keras_told({"backend": "jax"}), 1,
        (r"backend is 'jax'.* from .*keras\.json; write \"backend\": \"tensorflow\" there",),
    ),
    Case(
        "the environment rules over keras.json", 8, keras_told({"backend": "jax"}, KERAS_BACKEND="tensorflow"), 0,
        ("fits",),
    ),
    Case(
        "channels first in keras.json", 8, keras_told({"image_data_format": "channels_first"}), 1,
        (r"image_data_format is 'channels_first', expected 'channels_last', from .*keras\.json",),
    ),
    Case("half numbers in keras.json", 8, keras_told({"floatx": "float16"}), 1, ("floatx is 'float16'",)),
    Case("double numbers in keras.json", 8, keras_told({"floatx": "float64"}), 1, ("floatx is 'float64'",)),
    Case(
        "two settings at once", 8, keras_told({"floatx": "float64"}, KERAS_BACKEND="jax"), 1,
        ("backend is 'jax'", "floatx is 'float64'"),
    ),
    Case("keras.json is no object", 8, keras_told([1]), 1, ("expected a JSON object",)),
    Case("epsilon is a whole number", 8, keras_told({"epsilon": 1}), 1, ("epsilon, if any, is a fraction",)),
    Case("keras.json is no JSON: Keras' defaults", 8, keras_told("{"), 0, ("fits",)),
    Case("keras.json is a pipe", 8, keras_told("pipe"), 1, (r"keras\.json: .*a pipe \(FIFO\)",)),
    Case("Keras 2", 8, keras_told(TF_USE_LEGACY_KERAS="1"), 1, ("TF_USE_LEGACY_KERAS=1 .*unset TF_USE_LEGACY",)),
    Case("Keras 2, in words", 8, keras_told(TF_USE_LEGACY_KERAS="True"), 1, ("TF_USE_LEGACY_KERAS=True",)),
    Case("not Keras 2", 8, keras_told(TF_USE_LEGACY_KERAS="0"), 0, ("fits",)),
    Case(
        "imported with another backend", 8, keras_told(imported=keras_of(backend="jax")), 1,
        ("backend is 'jax'.* in the Keras that this process has imported",),
    ),
    Case(
        "imported, and set to double numbers", 8, keras_told(imported=keras_of(floatx="float64")), 1,
        (r'call keras\.config\.set_floatx\("float32"\)',),
    ),
    Case(
        "imported, with another policy", 8, keras_told(imported=keras_of(policy="float64")), 1,
        ("dtype policy is 'float64'",),
    ),
    Case("imported, mixed numbers", 8, keras_told(imported=keras_of(policy="mixed_float16")), 0, ("fits",)),
    Case("a network is asked for, channels first", 8, channels_first, 1, ("image_data_format is 'channels_first'",)),
    Case(
        "hbac predict, another backend", 8,
        lambda folder: process("predict", eeg(folder), stock.recording(folder), "--module", own_network(folder),
                               KERAS_BACKEND="jax"),
        1, ("^errors:hbac: Keras' backend is 'jax', expected 'tensorflow', from the environment variable",),
    ),
    Case(
        "training, a GPU that TensorFlow does not see", 8, with_gpus(lambda: configure(tiny_recipe())), 1,
        (UNSEEN, "CUDA_VISIBLE_DEVICES=-1"),
    ),
    Case(
        "training, a number that names no GPU", 8,
        with_gpus(lambda: configure(tiny_recipe()), CUDA_VISIBLE_DEVICES="5"), 1,
        (r"sees no GPU \(CUDA_VISIBLE_DEVICES is '5'\)",),
    ),
    Case(
        "training, all GPUs hidden", 8, with_gpus(lambda: configure(tiny_recipe()), CUDA_VISIBLE_DEVICES="-1"), 0,
        ("'gpus': 0",),
    ),
    Case(
        "training, none named", 8, with_gpus(lambda: configure(tiny_recipe()), CUDA_VISIBLE_DEVICES=""), 0,
        ("'gpus': 0",),
    ),
    Case("training, the CPU named", 8, with_gpus(lambda: configure(tiny_recipe(), cpu=True)), 0, ("'gpus': 0",)),
    Case("prediction is told", 8, with_gpus(note_on_gpus), 0, (UNSEEN,)),
]  # fmt: skip


# ---- paths, and what the system refuses (11) -------------------------------------------------------------------------


def circle(folder: Path, name: str = "circle") -> Path:
    """A link that leads to itself."""
    (folder / name).symlink_to(name)
    return folder / name


def unencodable(charset: str) -> Callable[[Path], Door]:
    """Predict a file whose name has characters that no such terminal has."""

    def make(folder: Path) -> Door:
        recordings = folder / "recordings"
        recordings.mkdir()
        return encoded(charset, "predict", eeg(folder), stock.recording(recordings, "µ€ẞ.parquet"))

    return make


NO_HOME = "~nosuchuser/x: ~nosuchuser has no home here; write the whole path"
TOO_LONG = "File name too long"
NUL = "no name that the system takes"

PATHS = [
    Case("no such user: check", 11, lambda folder: ["check", "~nosuchuser/x"], 1, (NO_HOME,)),
    Case("no such user: synth", 11, lambda folder: ["synth", "~nosuchuser/x"], 1, (NO_HOME,)),
    Case("no such user: run", 11, lambda folder: ["run", "smoke", "--out", "~nosuchuser/x"], 1, (NO_HOME,)),
    Case("no such user: predict", 11, lambda folder: ["predict", "x", "~nosuchuser/x"], 1, (NO_HOME,)),
    Case(
        "no such user: module", 11,
        lambda folder: ["predict", "x", stock.recording(folder), "--module", "~nosuchuser/x.py"], 1, ("has no home",),
    ),
    Case("no such user: library", 11, lambda folder: lambda: find_input("datasets", "~nosuchuser/x"), 1, (NO_HOME,)),
    Case("long name: check", 11, lambda folder: ["check", LONG], 1, (LONG, TOO_LONG)),
    Case("long name: synth", 11, lambda folder: ["synth", LONG], 1, (LONG, TOO_LONG)),
    Case("long name: predict", 11, lambda folder: ["predict", "x", LONG], 1, (LONG, TOO_LONG)),
    Case("long name: network", 11, lambda folder: ["predict", LONG, "x"], 1, (LONG, TOO_LONG)),
    Case("long name: recipe", 11, lambda folder: ["tune", LONG, "--run", folder], 1, (TOO_LONG,)),
    Case(
        "long name: table", 11, lambda folder: ["predict", "x", stock.recording(folder), "--out", f"{LONG}.csv"], 1,
        (TOO_LONG,),
    ),
    Case("long name: library", 11, lambda folder: lambda: find_input("datasets", LONG), 1, (TOO_LONG,)),
    Case("long name: recording", 11, lambda folder: lambda: read_eeg(LONG), 1, (TOO_LONG,)),
    Case("NUL in a name: check", 11, lambda folder: ["check", "a\0b"], 1, (NUL,)),
    Case("NUL in a name: synth", 11, lambda folder: ["synth", "a\0b"], 1, (NUL,)),
    Case("NUL in a name: predict", 11, lambda folder: ["predict", "a\0b", "x"], 1, (NUL,)),
    Case(
        "a circle of links: check", 14, lambda folder: ["check", circle(folder)], 1,
        ("circle: is a link that leads back to itself",),
    ),
    Case("a circle of links: synth", 14, lambda folder: ["synth", circle(folder)], 1, ("leads back to itself",)),
    Case(
        "a circle of links: run", 14, lambda folder: ["run", "smoke", "--out", circle(folder) / "below"], 1,
        ("leads back to itself",),
    ),
    Case(
        "a link to nothing to write to", 14,
        lambda folder: ["synth", ((folder / "link").symlink_to("nowhere"), folder / "link")[1]], 1,
        (r"link: is a link to nothing \(nowhere\); expected a folder",),
    ),
    Case("no memory", 11, failing(MemoryError()), 1, ("^hbac: memory does not suffice",)),
    Case(
        "no memory for an array", 11, failing(np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("f8"))), 1,
        ("memory does not suffice .*Unable to allocate 8.00 TiB",),
    ),
    Case("no memory for Arrow", 11, failing(pa.ArrowMemoryError("malloc of size 9")), 1, ("malloc of size 9",)),
    Case(
        "no memory on a device", 11, failing(type("ResourceExhaustedError", (Exception,), {})("OOM when allocating")),
        1, ("memory does not suffice .*OOM when allocating",),
    ),
    Case("a worker was killed", 11, failing(BrokenProcessPool("terminated abruptly")), 1, ("a process .* has died",)),
    Case(
        "full disk", 11, failing(OSError(errno.ENOSPC, "No space left on device", "set/train.csv")), 1,
        ("^hbac: set/train.csv: No space left on device",),
    ),
    Case("an error without a number", 11, failing(OSError("HDF5: cannot open\n  file")), 1, ("cannot open file",)),
    Case("an error of half characters", 11, failing(
        UnicodeEncodeError("utf-8", "a\udcff.parquet", 1, 2, "surrogates not allowed")), 1, (r"a\\xff\.parquet",)),
    Case("bytes that are no text", 11, failing(UnicodeDecodeError("utf-8", b"\xff\xfe", 0, 1, "invalid")), 1,
         ("not utf-8: byte 0xff",)),
    Case("a circle met on the way", 11, failing(RuntimeError("Symlink loop from '/a/b'")), 1, ("/a/b: a link that",)),
    Case(
        "nobody can read the answer", 11,
        lambda folder: process("check", stock.data(folder), "--jobs", "1", stdout="/dev/full"), 1,
        ("^errors:hbac: No space left on device\n$",),
    ),
    Case("a Japanese terminal", 11, unencodable("cp932"), 0, (r"\\xb5\\u20ac\\u1e9e\.parquet,0\.0",)),
    Case("a terminal of ASCII", 11, unencodable("ascii"), 0, (r"\.parquet,0\.0",)),  # click takes it for UTF-8
    Case("a terminal of Latin letters", 11, unencodable("latin-1"), 0, (r"µ\\u20ac\\u1e9e\.parquet,0\.0",)),
    Case(
        "a parameter nested without end", 11,
        lambda folder: ["run", "smoke", "-p", "nothing_of_that_name=" + "[" * 100_000], 1,
        ("no parameter 'nothing_of_that_name'",),
    ),
]  # fmt: skip


# ---- claims of devices (13) ------------------------------------------------------------------------------------------


def claiming(spoil: Callable[[Path], object], user: int | None = None) -> Callable[[Path], Door]:
    """Claim a device where somebody has been in the temporary folder before."""

    def make(folder: Path) -> Door:
        temporary = folder / "temporary"
        temporary.mkdir()
        place = temporary / f"hbac-{os.getuid() if user is None else user}"
        spoil(place)

        def door() -> str:
            with (
                mock.patch.object(tempfile, "tempdir", str(temporary)),
                mock.patch("hbaclib.files._user", lambda: os.getuid() if user is None else user),
            ):
                try:
                    claimed = claim_device(("GPU 7/a",), patience=1)
                finally:
                    release_devices()
            return f"{claimed} {oct(place.stat().st_mode)} {oct((place / 'devices').stat().st_mode)}"

        return door

    return make


def planted(name: str) -> Callable[[Path], object]:
    """A private folder with a link of the name of a file of ours."""

    def spoil(place: Path) -> None:
        (place / "devices").mkdir(0o700, parents=True)
        place.chmod(0o700)
        (place.parent / "victim").write_text("precious")
        (place / "devices" / name).symlink_to(place.parent / "victim")

    return spoil


def made_with(mode: int) -> Callable[[Path], object]:
    def spoil(place: Path) -> None:
        place.mkdir()
        place.chmod(mode)

    return spoil


OURS = ("temporary/hbac-*", "temporary/hbac-*/*", "temporary/hbac-*/devices/*")

CLAIMS = [
    Case("nobody was there", 13, claiming(lambda place: None), 0, ("GPU 7/a 0o40700 0o40700",), writes=OURS),
    Case("others may look in: closed", 13, claiming(made_with(0o755)), 0, ("GPU 7/a 0o40700 0o40700",), writes=OURS),
    Case("others may write there", 13, claiming(made_with(0o777)), 1, ("can be written by others, .*set TMPDIR",)),
    Case(
        "a link of that name", 13, claiming(lambda place: place.symlink_to(place.parent)), 1,
        ("is a link, expected a folder that is yours alone",),
    ),
    Case("a file of that name", 13, claiming(lambda place: place.write_text("x")), 1, ("is a file, expected",)),
    Case("it belongs to another", 13, claiming(made_with(0o700), 4242), 1, (f"belongs to user {os.getuid()}",)),
    Case(
        "a link in the place of the lock", 13, claiming(planted("GPU_7_a.lock")), 1,
        (r"GPU_7_a\.lock: is a link, expected a file of hbac's own",),
    ),
    Case(
        "a link in the place of the note", 13, claiming(planted("GPU_7_a.json")), 1, (r"GPU_7_a\.json: is a link",),
        writes=("temporary/hbac-*/devices/*.lock",),
    ),
]  # fmt: skip


# ---- what lies in folders (14), names that steer a terminal (15) -----------------------------------------------------


def litter(folder: Path, stem: str = "x") -> Path:
    """What other systems and programs leave among recordings."""
    folder.mkdir(exist_ok=True)
    (folder / f"._{stem}.parquet").write_bytes(b"\0\5\x16\7")
    (folder / f".{stem}.parquet").write_bytes(b"half written")
    os.mkfifo(folder / f"{stem}-pipe.parquet")
    (folder / f"{stem}-folder.parquet").mkdir()
    here = os.getcwd()
    os.chdir(folder)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{stem}-socket.parquet")
    os.chdir(here)
    return folder


def littered_data(folder: Path) -> Path:
    data = stock.data(folder)
    for name in ("train_eegs", "train_spectrograms", "test_eegs", "test_spectrograms"):
        litter(data / name)
        circle(data / name, "circle.parquet")
        (data / name / "lost.parquet").symlink_to("nowhere")
    return data


def with_pipe(data: Path, file: str) -> Path:
    (data / file).unlink()
    os.mkfifo(data / file)
    return data


def first_eeg(data: Path) -> str:
    return f"train_eegs/{min(path.name for path in (data / 'train_eegs').iterdir())}"


def digests_with_and_without(folder: Path) -> Door:
    data = stock.data(folder)
    before = data_digest(data, "train")
    litter(data / "train_eegs")
    return lambda: data_digest(data, "train") == before


def network(folder: Path) -> Path:
    return stock.run(folder) / "eeg"


def batch(folder: Path, *names: str) -> Path:
    recordings = folder / "recordings"
    recordings.mkdir()
    for name in names:
        stock.recording(recordings, name)
    return recordings


def pipe(folder: Path, name: str = "p.parquet") -> Path:
    os.mkfifo(folder / name)
    return folder / name


def columns_of_a_terminal(folder: Path) -> Path:
    pq.write_table(pa.table({RED: [1.0], "Fp1": [1.0]}), folder / "a.parquet")
    return folder / "a.parquet"


def own_network(folder: Path) -> Path:
    (folder / "own.py").write_text("from tests.training.tiny import register_tiny\n\nregister_tiny()\n")
    return folder / "own.py"


ALONE = r"a\.parquet,0\.0,0\."

FOLDERS = [
    Case(
        "recordings among litter", 14, lambda folder: ["predict", network(folder), litter(batch(folder, "a.parquet"))],
        0, (ALONE, "passed over, as no recordings: .*a companion file of macOS.*a pipe", "x-socket.*: a socket"),
    ),
    Case(
        "litter alone", 14, lambda folder: ["predict", "x", litter(folder / "recordings")], 1,
        (r"recordings: found \._x\.parquet: a companion file of macOS, .*x-folder\.parquet: a folder",),
    ),
    Case(
        "a circle and a lost link are named, the rest is predicted", 14,
        lambda folder: ["predict", network(folder), circle(batch(folder, "a.parquet"), "circle.parquet").parent],
        1, (ALONE, r"circle\.parquet: .*leads back to itself", "1 of 2 recordings could not be predicted"),
    ),
    Case("a pipe", 14, lambda folder: ["predict", "x", pipe(folder)], 1, (r"p\.parquet: is a pipe \(FIFO\)",)),
    Case("a pipe behind a link", 14, lambda folder: [
        "predict", "x", (pipe(folder), (folder / "l.parquet").symlink_to("p.parquet"), folder / "l.parquet")[2]],
        1, (r"l\.parquet: is a pipe",)),
    Case("a device", 14, lambda folder: ["predict", "x", "/dev/zero"], 1, ("/dev/zero: is a device",)),
    Case(
        "a spectrogram that is a pipe", 14,
        lambda folder: ["predict", "x", stock.recording(folder), "--spectrogram", pipe(folder)], 1, ("is a pipe",),
    ),
    Case("read by the library: a pipe", 14, lambda folder: lambda: read_eeg(pipe(folder)), 1, ("a pipe|no regular",),
         writes=("p.parquet",)),
    Case("read by the library: a device", 14, lambda folder: lambda: read_eeg("/dev/zero"), 1, ("device|regular",)),
    Case(
        "a module that is a pipe", 14,
        lambda folder: ["predict", "x", stock.recording(folder), "--module", pipe(folder, "own.py")],
        1, ("no such file",),
    ),
    Case("a data set among litter", 14, lambda folder: ["check", littered_data(folder), "--jobs", "1"], 0,
         ("no fault found",)),
    Case(
        "a recording that is a pipe", 14,
        lambda folder: ["check", with_pipe(data := stock.data(folder), first_eeg(data)), "--jobs", "1"], 1,
        (r"train_eegs/\d+\.parquet: .*(pipe|no regular)", "1 faulty files"),
    ),
    Case(
        "train.csv is a pipe", 14, lambda folder: ["check", with_pipe(stock.data(folder), "train.csv")], 1,
        (r"train\.csv",),
    ),
    Case("a pipe in the place of a folder", 14, lambda folder: ["check", pipe(folder)], 1, ("is a pipe|a pipe",)),
    Case("digests without litter", 14, digests_with_and_without, 0, ("True",)),
    Case("sizes without litter", 14, lambda folder: lambda: count_folder(littered_data(folder), "vote_groups"), 0,
         ("samples=",), writes=("data", "data/*", "data/*/*")),
    Case(
        "weights to publish that are none", 14,
        lambda folder: ["kaggle", "build", "--user", "u", "--out", "build", "--weights",
                        ((folder / "w").mkdir(), (folder / "w/._b0_notop.h5").write_text("x"), folder / "w")[2]],
        1, (r"no \*_notop\.h5 file \(passed over: \._b0_notop\.h5: a companion file of macOS\)",), writes=("build",),
    ),
    Case(
        "a folder that nobody may list", 14, lambda folder: closed(lambda: recording_files(folder)), 1,
        (r"cannot be listed \(Permission denied\)",),
    ),
    Case("a folder that is a file", 14, lambda folder: lambda: recording_files(stock.recording(folder)), 1,
         ("cannot be listed",), writes=("a.parquet",)),
    Case("capital letters", 14, lambda folder: lambda: recordings_and_notes(batch(folder, "A.PARQUET")), 0,
         (r"A\.PARQUET'\)\], \[\]",), writes=("recordings", "recordings/*")),
    Case(
        "a name that is not UTF-8", 11,
        lambda folder: ["predict", network(folder), batch(folder, "a.parquet", NOT_UTF8)], 0,
        (ALONE, r"b\\xff\.parquet,0\.0,0\."),
    ),
    Case(
        "a name that is not UTF-8, in a file", 11,
        lambda folder: lambda: predicted(network(folder), batch(folder, NOT_UTF8), folder / "out.csv"), 0,
        (r"b\\\\xff\.parquet,0\.0,0\.",), writes=("out.csv", "run", "run/*", "run/*/*", "recordings", "recordings/*"),
    ),
    Case(
        "a torn file of a name that is not UTF-8", 11,
        lambda folder: ["predict", network(folder), torn(batch(folder, "a.parquet"), NOT_UTF8)], 1,
        (ALONE, r"hbac: .*b\\xff\.parquet: .*Parquet", "1 of 2 recordings"),
    ),
    Case(
        "escape codes in a name", 15,
        lambda folder: ["predict", network(folder), batch(folder, f"{RED}\n.parquet")], 0,
        (r"recordings/\\x1b\[31mred\\x1b\[0m\\n\.parquet,0\.0,0\.",), never=("\x1b",),
    ),
    Case(
        "escape codes in the name of a torn file", 15,
        lambda folder: ["predict", "x", torn(folder, f"{RED}.txt") / "nothing" / RED], 1, (r"\\x1b\[31mred",),
        never=("\x1b",),
    ),
    Case(
        "escape codes in columns", 15,
        lambda folder: ["predict", network(folder), columns_of_a_terminal(folder)], 1, (r"a\.parquet: .*",),
        never=("\x1b",),
    ),
    Case("escape codes in a suite's name", 15, lambda folder: ["run", f"{RED}demo"], 1, (r"\\x1b\[31m",),
         never=("\x1b",)),
    Case("escape codes in a recipe's name", 15, lambda folder: ["tune", RED, "--run", folder], 1, (r"\\x1b\[31m",),
         never=("\x1b",)),
    Case("escape codes in a folder's name", 15, lambda folder: ["check", f"{RED}\x9b2J\u202e"], 1,
         (r"\\x1b\[31mred\\x1b\[0m\\x9b2J\\u202e: no such folder",), never=("[\x1b\x9b\u202e]",)),
    Case(
        "the first lines of the answer", 15,
        lambda folder: process("predict", stock.run(folder) / "07_ensemble", stock.recording(folder, RED + ".parquet"),
                               "--spectrogram", stock.spectrogram(folder), "--module", own_network(folder), raw=True),
        0, (r"^b'file,start_second,seizure_vote[a-z_,]*\\n[^\\]*\\\\x1b\[31mred[^\\]*\\\\x1b\[0m\.parquet,0\.0,[0-9.,]*"
            r"\\nerrors:'$",), writes=("__pycache__", "__pycache__/*"),
    ),
]  # fmt: skip


def closed(door: Door) -> Door:
    """A door in whose sight no folder may be listed; root may list all."""

    def opened() -> Any:
        refusal = PermissionError(errno.EACCES, "Permission denied")
        with mock.patch("hbaclib.files.os.scandir", side_effect=refusal):
            return door()

    return opened


def torn(folder: Path, name: str) -> Path:
    (folder / name).write_bytes(b"PAR1 torn PAR1")
    return folder


def predicted(artefacts: Path, recordings: Path, out: Path) -> str:
    done = CliRunner().invoke(main, ["predict", str(artefacts), os.fspath(recordings), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return repr(out.read_bytes())


@table([*KERAS, *PATHS, *CLAIMS, *FOLDERS])
def test_surroundings(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)
