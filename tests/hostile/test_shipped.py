"""Hostile inputs of the built-in model: options, a damaged package, lengths, EEG without signal, names, starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbaclib import load_recipe, place_short, predict
from hbaclib.stages.places import SHIPPED
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe
from hbaclib.training.warm_start import start_from
from tests.dataset.tiny import random_eeg, write_eeg, write_tiny
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case
from tests.made_shipped import IMAGE, IMAGE_FOLDER, WAVES, WAVES_FOLDER, make_shipped
from tests.training.tiny import TinyArrays

OPTION, DAMAGE, LENGTH, SILENCE, NAME, START = range(21, 27)
"""Kinds: spectrograms asked for, damaged package files, lengths, EEG without signal, names, starts of a recipe."""
NOISE = random_eeg(np.random.default_rng(3), 10_100)
ALONE = "the built-in model sees the EEG alone"
MEND = r"damaged \(.*\); install hbaclib again \(pip install"
REFUSED = "hbac predict --short nan or --short reflect evaluates recordings of 10 to 50 s"


@cache
def _packed(root: Path) -> Path:
    return make_shipped(root / "packed")


def asked(*words: str, n_samples: int = 10_000, values: np.ndarray | None = None) -> Callable[[Path], Words]:
    """``hbac predict synthetic a.parquet`` with further words, of a recording made for it."""

    def make(folder: Path) -> Words:
        write_eeg(folder / "a.parquet", NOISE[:n_samples] if values is None else values)
        return ["predict", "synthetic", "a.parquet", *words]

    return make


def spoilt(spoil: Callable[[Path], Any], *words: str) -> Callable[[Path], Words]:
    """The same with a package in which something is wrong."""

    def make(folder: Path) -> Words:
        spoil(folder / "package" / "synthetic")
        return asked(*words)(folder)

    return make


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    """Changes the content of one of the package's files."""
    return lambda root: (root / name).write_bytes(change((root / name).read_bytes()))


def starting(values: dict[str, Any], **changes: Any) -> Callable[[Path], Callable[[], Any]]:
    """The start of a network of a recipe of one's own."""

    def make(folder: Path) -> Callable[[], Any]:
        recipe, arrays = Recipe.from_dict({**values, "start_from": "synthetic", **changes}), TinyArrays(4, 2)

        def begin() -> str:
            model = recipe.build_network()
            start_from(model, recipe.start_from, 0, 0, arrays.samples, arrays.folds, recipe=recipe)
            return "started"

        return begin

    return make


def beside(folder: Path) -> Words:
    """A folder that bears the model's name and holds nothing that could predict, in the working folder."""
    (folder / "synthetic").mkdir()
    (folder / "synthetic" / "train.csv").write_text("a\n")
    return asked()(folder)


def as_a_folder(folder: Path) -> Words:
    beside(folder)
    return ["predict", "./synthetic", "a.parquet"]


def trained_there(folder: Path) -> Words:
    """A folder that bears the model's name and holds a trained network that sees ten minutes."""
    stock.run(folder)
    (folder / "run" / "both").rename(folder / "synthetic")
    asked()(folder)
    return ["predict", "./synthetic", "a.parquet", "--spectrogram", "from_eeg"]


def flat(n_samples: int, value: float = 12.5) -> np.ndarray:
    return np.full((n_samples, 20), value, np.float32)


def named_by_file(folder: Path) -> Callable[[], Any]:
    """A folder of the model's name beside a recipe that means the model."""
    (folder / "synthetic").mkdir()
    (folder / "own.toml").write_text('name = "own"\nstart_from = "synthetic"\n[[stages]]\nepochs = 1\n')
    return lambda: load_recipe(folder / "own.toml").start_from


WEIGHTS, SECOND = f"{WAVES_FOLDER}/fold-0.weights.h5", f"{IMAGE_FOLDER}/fold-0-seed-1.weights.h5"
CASES = [
    Case("spectrograms to be computed", OPTION, asked("--spectrogram", "from_eeg"), 2, (ALONE, "--spectrogram")),
    Case("spectrograms of a file that is not there", OPTION, asked("--spectrogram", "none.parquet"), 2, (ALONE,)),
    Case("spectrograms, and a place of the EEG in them", OPTION,
         asked("--spectrogram", "p.parquet", "--eeg-begins", "5"), 2, (ALONE,)),
    Case("spectrograms, and no recording at all", OPTION,
         lambda folder: ["predict", "synthetic", "nowhere", "--spectrogram", "from_eeg"], 2, (ALONE,),
         never=("nowhere",)),
    Case("spectrograms of a data set", OPTION,
         lambda folder: (write_tiny(folder / "data"),
                         ["predict", "synthetic", "data", "--spectrogram", "from_eeg"])[1], 2, (ALONE,)),
    Case("no spectrograms, said outright", OPTION, asked("--spectrogram", "none"), 0, (r"a\.parquet,0\.0,0\.",)),
    Case("spectrograms given to the library", OPTION,
         lambda folder: lambda: predict("synthetic", NOISE[None, :10_000], np.ones((1, 300, 400))), 1, (ALONE,)),
    Case("the EEG's place without spectrograms", OPTION, asked("--eeg-begins", "5"), 2, ("--spectrogram PATH",)),

    Case("no such package files", DAMAGE, spoilt(shutil.rmtree), 1, ("not in this installation", "make builtin")),
    Case("a weight file cut in two", DAMAGE, spoilt(changed(WEIGHTS, lambda data: data[: len(data) // 2])), 1,
         (MEND, "fold-0.weights.h5: changed since its manifest was written .digest")),
    Case("an empty weight file", DAMAGE, spoilt(changed(SECOND, lambda data: b"")), 1, (MEND, "seed-1.weights.h5")),
    Case("one bit of a weight file", DAMAGE,
         spoilt(changed(WEIGHTS, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])), 1, (MEND, "digest")),
    Case("a weight file missing", DAMAGE, spoilt(lambda root: (root / SECOND).unlink()), 1,
         (MEND, "seed-1.weights.h5: missing"), never=("train fold",)),
    Case("a folder of weights missing", DAMAGE, spoilt(lambda root: shutil.rmtree(root / IMAGE_FOLDER)), 1,
         (MEND, "no such folder")),
    Case("an ensemble that is no JSON", DAMAGE, spoilt(changed("07_ensemble/ensemble.json", lambda data: data[:50])), 1,
         (MEND, "not a readable ensemble")),
    Case("an ensemble of other weights", DAMAGE,
         spoilt(changed("07_ensemble/ensemble.json", lambda data: data.replace(b"1.25", b"1.5"))), 1, (MEND, "digest")),
    Case("an ensemble without a manifest", DAMAGE,
         spoilt(lambda root: (root / "07_ensemble/manifest.json").unlink()), 1,
         (MEND, "manifest.json: missing")),
    Case("a manifest changed by hand", DAMAGE,
         spoilt(changed(f"{IMAGE_FOLDER}/manifest.json", lambda data: data.replace(b"absolute", b"pair"))), 1,
         (MEND, "seal")),
    Case("a manifest of zeros", DAMAGE, spoilt(changed(f"{WAVES_FOLDER}/manifest.json", lambda data: bytes(64))), 1,
         (MEND, "not a readable manifest")),
    Case("a file in place of the folder", DAMAGE,
         spoilt(lambda root: (shutil.rmtree(root), root.write_text("x"))), 1, ("not in this installation",)),
    Case("a sound package", DAMAGE, asked(), 0, (r"a\.parquet,0\.0,0\.",), never=("damaged", "note")),

    Case("one sample", LENGTH, asked(n_samples=1), 1, ("1 samples; expected at least 10000", "0.005 s")),
    Case("one sample, to be placed", LENGTH, asked("--short", "reflect", n_samples=1), 1,
         ("1 samples", "below 10 s nothing is evaluated")),
    Case("9 s", LENGTH, asked(n_samples=1800), 1, ("1800 samples", "9 s: below 10 s nothing is evaluated")),
    Case("9 s, nothing around", LENGTH, asked("--short", "nan", n_samples=1800), 1, ("below 10 s nothing is",)),
    Case("9 s, reflected", LENGTH, asked("--short", "reflect", n_samples=1800), 1, ("below 10 s",)),
    Case("9.995 s", LENGTH, asked("--short", "nan", n_samples=1999), 1, (r"9\.995 s: below 10 s",)),
    Case("10 s", LENGTH, asked(n_samples=2000), 1, (r"2000 samples", r"50 s at 200 Hz\), and these are 10 s", REFUSED)),
    Case("10 s, nothing around", LENGTH, asked("--short", "nan", n_samples=2000), 0,
         ("reason,note", r"a\.parquet,0\.0,0\..*,short\n")),
    Case("10 s, reflected", LENGTH, asked("--short", "reflect", n_samples=2000), 0, (r"parquet,0\.0,0\..*,short\n",)),
    Case("49.995 s", LENGTH, asked(n_samples=9999), 1, (r"9999 samples.* these are 49\.995 s", REFUSED)),
    Case("49.995 s, reflected", LENGTH, asked("--short", "reflect", n_samples=9999), 0, (r",short\n",)),
    Case("49.995 s, from 0.005 s on", LENGTH, asked("--short", "nan", "--window", "0.005", n_samples=9999), 1,
         ("9999 samples; expected at least 10001", "one window, all of it")),
    Case("50 s, to be placed where short", LENGTH, asked("--short", "nan"), 0, (r"reason,note\n", r"0\.\d+,,\n"),
         never=("short\n",)),
    Case("50.5 s, sliding", LENGTH, asked("--short", "nan", "--window", "sliding", n_samples=10_100), 0,
         (r"a\.parquet,0\.0,0\..*,,\n",)),
    Case("an unknown way", LENGTH, asked("--short", "zeros"), 2, ("--short", "zeros", "nan", "reflect")),
    Case("a way in capitals", LENGTH, asked("--short", "NAN"), 2, ("--short",)),
    Case("no way", LENGTH, asked("--short", ""), 2, ("--short",)),
    Case("an unknown way in the library", LENGTH, lambda folder: lambda: place_short(NOISE[:3000], "mirror"), 1,
         ("short = 'mirror'; expected one of nan, reflect",)),
    Case("9 s in the library", LENGTH, lambda folder: lambda: place_short(NOISE[None, :1800], "nan"), 1,
         ("1800 samples", "10 to 50 s")),
    Case("10 s to the library without a word", LENGTH,
         lambda folder: lambda: predict("synthetic", NOISE[None, :2000]), 1,
         (r"\(1, 2000, 20\)", "short = 'nan' or 'reflect'")),
    Case("two short ones among others", LENGTH,
         lambda folder: (write_eeg(folder / "in" / "a.parquet", NOISE[:2000]),
                         write_eeg(folder / "in" / "b.parquet", NOISE[:1999]),
                         write_eeg(folder / "in" / "c.parquet", NOISE[:10_000]),
                         ["predict", "synthetic", "in", "--short", "nan"])[-1],
         1, (r"b\.parquet: 1999 samples", "1 of 3 recordings", r"in/a\.parquet,0\.0,0\..*,short\n",
             r"in/c\.parquet,0\.0,0\..*,,\n")),

    Case("50 s without a change", SILENCE, asked(values=flat(10_000)), 1, ("no window could be evaluated", "flat"),
         never=("0\\.\\d+,0\\.\\d+",)),
    Case("50 s of zeros", SILENCE, asked(values=flat(10_000, 0)), 1, (r"a\.parquet,0\.0,,,,,,,no signal", "flat")),
    Case("50 s of nothing", SILENCE, asked(values=flat(10_000, np.nan)), 1, ("every sample is missing",)),
    Case("10 s without a change", SILENCE, asked("--short", "nan", values=flat(2000)), 1,
         (r"a\.parquet,0\.0,,,,,,,no signal: .*flat.*,short", "no window could be evaluated")),
    Case("10 s of zeros, reflected", SILENCE, asked("--short", "reflect", values=flat(2000, 0)), 1, ("no signal",)),
    Case("10 s of nothing", SILENCE, asked("--short", "nan", values=flat(2000, np.nan)), 1,
         ("every sample is missing", ",short")),
    Case("10 s in volts", SILENCE, asked("--short", "reflect", values=NOISE[:2000] * 1e-6), 1,
         ("look like volts", "--unit V")),
    Case("10 s of which 2 s are there", SILENCE,
         asked("--short", "nan", values=np.concatenate([NOISE[:400], flat(1600, np.nan)])), 0,
         (r"a\.parquet,0\.0,0\..*,short\n",)),
    Case("10 s of which half a second is there", SILENCE,
         asked("--short", "nan", values=np.concatenate([NOISE[:100], flat(1900, np.nan)])), 1, ("hardly any signal",)),

    Case("an unknown name", NAME, lambda folder: ["predict", "synthetik", stock.recording(folder)], 1,
         (r"synthetik: no such folder; .*built-in model \(synthetic\)",)),
    Case("a name in capitals", NAME, lambda folder: ["predict", "SYNTHETIC", stock.recording(folder)], 1,
         (r"built-in model \(synthetic\)",)),
    Case("a name with a space", NAME, lambda folder: ["predict", "synthetic ", stock.recording(folder)], 1,
         (r"no such folder; .*built-in model \(synthetic\)",)),
    Case("a folder of the name in the working folder", NAME, beside, 0, (r"a\.parquet,0\.0,0\.",)),
    Case("a folder of the name, as a folder", NAME, as_a_folder, 1,
         (r"^hbac: \./synthetic: no finished stage; expected manifest\.json",)),
    Case("a trained folder of the name, as a folder", NAME, trained_there, 0,
         (r"a\.parquet,0\.0,0\.", "spectrograms are computed from the EEG"), never=(ALONE,)),
    Case("the name as a path, to the library", NAME,
         lambda folder: lambda: predict(Path("synthetic"), NOISE[None, :10_000]), 1,
         (r"^\./synthetic: no such folder",)),
    Case("a table inside the package", NAME, asked("--out", "package/synthetic/07_ensemble/shares.csv"), 1,
         ("lies inside the input|holds a finished stage",)),

    Case("a recipe of another network", START, starting(IMAGE, backbone="convnet_frequency", model_options={}), 1,
         ("no network of the built-in model fits recipe 'synthetic-image'", "backbone 'convnet_frequency'",
          "backbone 'convnet_small', inputs 'eeg', layout 'stem', image 'absolute', downsample 4 x 4")),
    Case("a recipe of another width", START, starting(IMAGE, model_options={"filters": [3, 3]}), 1, ("shape",)),
    Case("a recipe of the other image", START, starting(IMAGE, image="pair"), 1,
         ("image = 'absolute', expected 'pair'",)),
    Case("a recipe of other signals", START, starting(WAVES, band=[1.0, 12.0]), 1, ("band .or low_pass.",)),
    Case("a recipe that fits", START, starting(IMAGE), 0, ("started",)),
    Case("a damaged package", START,
         lambda folder: ((folder / "package" / "synthetic" / SECOND).write_bytes(b""), starting(IMAGE)(folder))[1],
         1, (MEND,)),
    Case("training from a package without the model", START,
         lambda folder: (shutil.rmtree(folder / "package"),
                         lambda: train(Recipe.from_dict({**IMAGE, "start_from": "synthetic"}), TinyArrays(),
                                       folder / "out", progress=False))[1],
         1, ("not in this installation",)),
    Case("a folder of the name beside the recipe", START, named_by_file, 0, (r"\('synthetic',\)",)),
    Case("a folder of the name that is not there", START,
         lambda folder: lambda: train(Recipe.from_dict({**IMAGE, "start_from": "./synthetic"}), TinyArrays(),
                                      folder / "out", progress=False), 1, ("synthetic: no such folder",)),
    Case("a number", START, lambda folder: lambda: Recipe.from_dict({**IMAGE, "start_from": 1}), 1, ("start_from",)),
]  # fmt: skip


@pytest.fixture
def package(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small shipped model in place of the package's own, each time a copy."""
    root = Path(shutil.copytree(_packed(tmp_path_factory.getbasetemp()), tmp_path / "package" / "synthetic"))
    monkeypatch.setitem(SHIPPED, "synthetic", root)
    return root


@table(CASES)
def test_shipped(case: Case, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)
