"""The plan of a build: what is to be sent, in which order, and by which digests a change is seen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hbaclib.schema import PLAIN_NAME, closed, is_plain_name, read_json, shown

PLAN = "plan.json"
SCHEMA = 1


def _check_names(names: Iterable[str], ref: str) -> None:
    for name in (*names, *ref.split("/")):
        if not is_plain_name(name):
            raise ValueError(f"it names {shown(name)}, expected {PLAIN_NAME}")
    if ref.count("/") != 1:
        raise ValueError(f"ref is {shown(ref)}, expected owner/slug")


@closed
@dataclass(frozen=True)
class PlannedDataset:
    """A data set to upload.

    Attributes:
        name: folder below ``datasets``.
        ref: ``owner/slug``.
        digest: digest of its files' content.
        public: whether others may read it, once it is made.
    """

    name: str
    ref: str
    digest: str
    public: bool = False

    def __post_init__(self) -> None:
        _check_names([self.name], self.ref)


@closed
@dataclass(frozen=True)
class PlannedKernel:
    """A kernel to push.

    Attributes:
        name: folder below ``kernels``: the stage's name, with "-partN" where its folds are split over kernels.
        stage: the stage; the last of its kernels bears the same name and joins the parts.
        ref: ``owner/slug``.
        after: names of the kernels whose outputs it reads.
        gpu: whether it takes one of the two GPU sessions.
        bytes: upper bound of what it writes.
        digest: digest of the notebook and its metadata.
        hours: of its session, planned; 0 where a plan of an earlier version does not say.
    """

    name: str
    stage: str
    ref: str
    after: tuple[str, ...]
    gpu: bool
    bytes: int
    digest: str
    hours: float = 0.0

    def __post_init__(self) -> None:
        _check_names([self.name, self.stage], self.ref)


@closed
@dataclass(frozen=True)
class Plan:
    """What a build made: data sets, then kernels in an order in which they can run."""

    suite: str
    user: str
    competition: str
    datasets: tuple[PlannedDataset, ...]
    kernels: tuple[PlannedKernel, ...]
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        for names in ([dataset.name for dataset in self.datasets], [kernel.name for kernel in self.kernels]):
            if len(set(names)) < len(names):
                raise ValueError(f"it names {shown(names)}, expected different ones")
        known: set[str] = set()
        for kernel in self.kernels:
            if unknown := set(kernel.after) - known:
                raise ValueError(f"kernel {kernel.name} reads {shown(sorted(unknown))}, expected kernels before it")
            known.add(kernel.name)


def is_plan(path: Path) -> bool:
    """Whether a file is a plan, of whatever version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return isinstance(content["kernels"], list) and isinstance(content["datasets"], list)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def read_plan(folder: str | Path) -> Plan:
    """Read what a build made.

    Raises:
        ArtefactError: there is no plan, or it is not readable by this version.
    """
    return read_json(Path(folder) / PLAN, Plan, "plan", "make it with `hbac kaggle build`", schema=SCHEMA)
