"""What is out of date: words about code and pictures count for nothing, a changed computation does, on every Python."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hbaclib.source import APPARATUS, PACKAGE, callable_digest, code_digest, import_closure, source_digest
from tests.changed_source import changed_source

TRAINING = "hbaclib.training.cross_validate"
STAGES = (
    "hbaclib.stages.port",
    "hbaclib.stages.eeg_products",
    "hbaclib.stages.images",
    TRAINING,
    "hbaclib.ensemble.store",
    "hbaclib.prediction.submission",
)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Changes a file of a copy of the source, if one is named, and tells the stages' digests."""
    with changed_source(tmp_path) as changed:

        def digests(*change: str) -> list[str]:
            if change:
                changed.change(*change)
            return [code_digest(stage) for stage in STAGES]

        yield digests


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("plots/network_boxes.py", '"""A Keras graph', '"""Another word on a Keras graph'),
        ("plots/scores.py", "_MODEL_COLOURS = {", "_MODEL_COLORS = {"),
        ("plots/recordings.py", "def plot_input(", "def draw_input("),
        ("report/page.py", "_DPI = 110", "_DPI = 111"),
        ("suite/runner.py", "_run_stages(suite, values", "_run_all(suite, values"),
        ("cli/check.py", "def check(", "def look("),
        ("kaggle/push.py", "def push(", "def send("),
        ("platform.py", "def describe(", "def describes("),
        ("compat/kaggle.py", "MAX_UPLOAD_RESUME_ATTEMPTS = 3", "MAX_UPLOAD_RESUME_ATTEMPTS = 4"),
        ("compat/keras_graph.py", "reverse=True", "reverse=False"),
        ("errors.py", "limit: int = 8", "limit: int = 9"),
        ("training/steps.py", "# Over the global batch", "# Words over the global batch"),
        ("training/schedules.py", '"""Learning rate of every step of a stage.', '"""Rates.'),
        ("signal/mel.py", "\nimport numpy as np", "\n\n\nimport numpy as np"),
        ("models/wavenet.py", "def ", "def _unused() -> None:\n    pass\n\n\ndef "),
    ],
)
def test_what_makes_no_result_puts_nothing_out_of_date(copy, name: str, old: str, new: str) -> None:
    before = copy()
    assert copy(name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("training/losses.py", "FULL_WEIGHT_VOTES = 20", "FULL_WEIGHT_VOTES = 19", {TRAINING}),
        (
            "training/trainer.py",
            "_DROPOUT, _BATCH_NORM, _TRIAL = 1_000_000",
            "_DROPOUT, _BATCH_NORM, _TRIAL = 1_000_003",
            {TRAINING},
        ),
        ("ensemble/pooling.py", "_RESTARTS, _GAP = 10", "_RESTARTS, _GAP = 5", set(STAGES[4:])),
        ("compat/keras.py", "include_self=False", "include_self=True", {STAGES[3], STAGES[5]}),
        ("stages/port.py", "_PER_BLOCK = 16", "_PER_BLOCK = 8", {"hbaclib.stages.port"}),
        ("signal/multitaper.py", "import numpy as np", "import numpy as np\nx = 1", {STAGES[0], STAGES[5]}),
        ("conventions.py", "EEG_WINDOW: Final = 10_000", "EEG_WINDOW: Final = 10_001", set(STAGES)),
    ],
)
def test_a_changed_computation_puts_the_stages_that_use_it_out_of_date(
    copy, name: str, old: str, new: str, changed: set[str]
) -> None:
    before = copy()
    after = copy(name, old, new)
    assert {stage for stage, a, b in zip(STAGES, before, after, strict=True) if a != b} == changed


def test_the_closure_holds_what_is_imported_within_functions_and_not_for_type_checkers() -> None:
    closure = import_closure([TRAINING], APPARATUS)
    assert {"hbaclib.training.fit", "hbaclib.inputs.pipeline", "hbaclib.models.registry"} <= set(closure)
    assert not [name for name in closure if name.split(".")[1] in ("plots", "report", "suite", "cli", "kaggle")]


def load(path: Path, text: str) -> ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    linecache.checkcache()
    return module


OWN = """
import keras

WIDTH, DEPTH = 8, 2


def block(x):
    return keras.layers.Dense(WIDTH * DEPTH**2, activation="relu")(x)


class Layer:
    def call(self, x):
        return x + 1


def network(shape, *, filters=16):
    # a comment
    given = keras.Input(shape)
    return keras.Model(given, block(Layer().call(given)))
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"relu"', '"tanh"', False),
        ("WIDTH, DEPTH = 8, 2", "WIDTH, DEPTH = 9, 2", False),
        ("filters=16", "filters=17", False),
        ("x + 1", "x + 2", False),
        ("# a comment", "# another", True),
        ("def network(shape, *, filters=16):", 'def network(shape, *, filters=16):\n    """Words."""', True),
        ("import keras\n", "import keras\n\nUNUSED = 3\n", True),
        ("WIDTH, DEPTH = 8, 2", "WIDTH, DEPTH = 2, 8", False),
    ],
)
def test_an_edited_network_of_the_users_own_is_another(tmp_path: Path, old: str, new: str, same: bool) -> None:
    assert old in OWN
    one = load(tmp_path / "one.py", OWN).network
    two = load(tmp_path / "two.py", OWN.replace(old, new)).network
    assert (callable_digest(one) == callable_digest(two)) is same
    assert (
        callable_digest(functools.partial(one, filters=3)) == callable_digest(functools.partial(two, filters=3))
    ) is same
    assert callable_digest(functools.partial(one, filters=3)) != callable_digest(functools.partial(one, filters=4))


@pytest.mark.parametrize("name", ["page.md", "<string>", "gone.py", "broken.py"])
@pytest.mark.parametrize(("old", "new"), [('"relu"', '"tanh"'), ("x + 1", "x + 2"), ("DEPTH = 8, 2", "DEPTH = 8, 3")])
def test_code_run_from_anything_is_told_apart(tmp_path: Path, name: str, old: str, new: str) -> None:
    """As a page's example is: the file of that name holds other lines, or none; some are no Python at all."""
    file = tmp_path / name
    if name in ("page.md", "broken.py"):
        file.write_text("# Words\n" * 8 + "def 3rd: it's\n" * 30)
    digests = []
    for source in (OWN, OWN, OWN.replace(old, new)):
        names: dict[str, object] = {"__name__": "page"}
        exec(compile(source, name if name.startswith("<") else str(file), "exec"), names)
        linecache.clearcache()
        digests.append(callable_digest(names["network"]))
    assert digests[0] == digests[1] != digests[2]


LAMBDAS = """
first, same, edited = lambda x: x + 1, lambda x: x + 1, lambda x: x + 2
wide = (lambda x:
    x + 1)
outer = lambda x: (lambda y: x + y)
inner, other = outer(1), (lambda y: 1 - y)
"""


def test_functions_without_a_name_are_told_apart_though_they_share_a_line(tmp_path: Path) -> None:
    module = load(tmp_path / "lambdas.py", LAMBDAS)
    names = ("first", "same", "edited", "wide", "outer", "inner", "other")
    digests = {name: callable_digest(getattr(module, name)) for name in names}
    assert digests.pop("same") == digests["first"] == digests.pop("wide")
    assert len(set(digests.values())) == len(digests) == 5


PROGRAM = """
import sys, types, hashlib, json
from pathlib import Path
names = types.ModuleType("hbaclib.artefacts")
names.digest_bytes = lambda data: hashlib.blake2b(data, digest_size=16).hexdigest()
names.digest_json = lambda value: names.digest_bytes(json.dumps(value).encode())
package = types.ModuleType("hbaclib")
package.__path__ = [sys.argv[1]]
sys.modules |= {"hbaclib": package, "hbaclib.artefacts": names}
from hbaclib.source import source_digest
files = sorted(Path(sys.argv[1]).rglob("*.py"))
print(names.digest_json([source_digest(file.read_text(encoding="utf-8")) for file in files]))
"""


def pythons() -> list[str]:
    """Commands of the other Pythons that are here: on the path, or kept by pyenv."""
    kept = sorted(Path.home().glob(".pyenv/versions/3.1[123].*/bin/python3"))
    on_path = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13)]
    return [str(path) for path in (*on_path, *kept) if path]


def test_every_python_gives_the_same_digest_of_the_whole_library() -> None:
    found = {}
    for python in (sys.executable, *pythons()):
        done = subprocess.run([python, "-c", PROGRAM, str(PACKAGE)], capture_output=True, text=True)
        if done.returncode == 0:  # an interpreter without its own files, as a stub of pyenv, is none
            found[python] = done.stdout
    assert sys.executable in found
    assert len(set(found.values())) == 1, found


SAMPLE = '''
"""Words."""
import math


class A(dict, metaclass=type):
    """Words."""

    x: int = 3
    "words on x"

    @property
    def y(self) -> "float | None":
        return None if not self else math.pi * -1.5e-7


def f(a, /, b=2, *c, d: tuple[int, ...] = (1, 2), **e):
    with open(a) as file, open("b"):
        text = f"{a!r:>{b}} and {b:.3f}" "more" f"{c}"
    try:
        y = [x for x in c if x > 1], {**e}, {1, 2}, lambda q: q[1:2, ...]
    except* (ValueError, OSError) as error:
        raise KeyError(b"\\x00") from error
    finally:
        del text
    match a:
        case {"k": [1, *rest]} if rest:
            pass
        case _:
            async def g():
                async for z in d:
                    yield await z
'''


def test_the_digest_of_a_text_is_the_committed_one() -> None:
    """On whatever Python this runs: Kaggle's next image must not train everything again."""
    assert source_digest(SAMPLE) == "007b7ec221b0af5f9f93c01acaa1ebf2"
