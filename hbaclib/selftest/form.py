"""The form of ``selftest.json``: the machine, a row for every speed, a row for every check."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hbaclib.schema import closed, read_json

SCHEMA = 1
STAGE = "09_selftest"
RESULTS, PAGE = "selftest.json", "selftest.html"
State = Literal["measured", "failed", "left out"]


@closed
@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        gpus: name and memory of each GPU, as the driver says them; empty on a CPU.
        cpu_cores: of the host.
        memory_gb: of the host.
        image: Kaggle's image, empty elsewhere.
        versions: package -> version, Python among them.
    """

    gpus: tuple[str, ...]
    cpu_cores: int
    memory_gb: float
    image: str
    versions: dict[str, str]


@closed
@dataclass(frozen=True)
class Speed:
    """How fast one network trains in one way.

    Attributes:
        network: its name in the registry.
        recipe: the shipped recipe that says batch, precision and augmentation.
        xla: the recipe's key, as it was asked for: ``off``, ``apply`` or ``full``.
        small: it is no network of a suite, but a small stand-in for a CPU.
        state: whether there are numbers.
        reason: why there are none; empty where there are.
        seconds: what the measurement took.
        batch: rows of a step.
        precision: numbers inside the network.
        images_per_second: rows trained on, median of the later steps, the reading of the inputs included.
        seconds_a_step: the same for a whole batch.
        seconds_to_first_step: building, tracing and compiling.
        peak_megabytes: greatest memory: of the GPU, or resident on a CPU.
        notes: what the library warned of, for instance that XLA was refused.
    """

    network: str
    recipe: str
    xla: str
    small: bool
    state: State
    reason: str = ""
    seconds: float = 0.0
    batch: int = 0
    precision: str = ""
    images_per_second: float | None = None
    seconds_a_step: float | None = None
    seconds_to_first_step: float | None = None
    peak_megabytes: float | None = None
    notes: str = ""


@closed
@dataclass(frozen=True)
class Check:
    """One question about the machine.

    Attributes:
        name: of the measurement.
        about: the question, for the page.
        state: whether there is an answer.
        reason: why there is none; empty where there is.
        seconds: what the measurement took.
        good: whether the answer is the one hoped for; None where there is no right one, or none at all.
        says: the answer in words.
        values: the numbers behind it.
    """

    name: str
    about: str
    state: State
    reason: str = ""
    seconds: float = 0.0
    good: bool | None = None
    says: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@closed
@dataclass(frozen=True)
class SelfTest:
    """All of it.

    Attributes:
        begun: time of its begin, UTC, as in ISO 8601.
        seconds: what it took.
        minutes: what it was allowed to take.
        device: what trained: ``gpu`` or ``cpu``. What was measured on a CPU says nothing about a GPU.
        machine: where.
        speeds: a row for each network and way.
        checks: a row for each question.
        schema: version of the form.
    """

    begun: str
    seconds: float
    minutes: float
    device: Literal["gpu", "cpu"]
    machine: Machine
    speeds: tuple[Speed, ...]
    checks: tuple[Check, ...]
    schema: int = field(default=SCHEMA)

    def check(self, name: str) -> Check | None:
        """The row of a question; None where it was not asked."""
        return next((row for row in self.checks if row.name == name), None)


def read_selftest(path: str | Path) -> SelfTest:
    """Read what a self-test has measured.

    Args:
        path: the file, or the folder of the stage that holds it.

    Raises:
        ArtefactError: there is no such file, or it is none of this form and version.
    """
    path = Path(path)
    path = path / RESULTS if path.is_dir() else path
    return read_json(path, SelfTest, "result of a self-test", "make it with notebook 09_selftest", schema=SCHEMA)
