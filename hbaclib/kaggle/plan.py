"""The plan of a build: what is to be sent, in which order, and by which digests a change is seen."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from hbaclib.errors import ArtefactError

PLAN = "plan.json"


@dataclass(frozen=True)
class PlannedDataset:
    """A data set to upload.

    Attributes:
        name: folder below ``datasets``.
        ref: ``owner/slug``.
        digest: digest of its files' content.
    """

    name: str
    ref: str
    digest: str


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
    """

    name: str
    stage: str
    ref: str
    after: tuple[str, ...]
    gpu: bool
    bytes: int
    digest: str


@dataclass(frozen=True)
class Plan:
    """What a build made: data sets, then kernels in an order in which they can run."""

    suite: str
    user: str
    competition: str
    datasets: tuple[PlannedDataset, ...]
    kernels: tuple[PlannedKernel, ...]
    schema: int = field(default=1)


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
    path = Path(folder) / PLAN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        datasets = tuple(PlannedDataset(**row) for row in content.pop("datasets"))
        kernels = tuple(PlannedKernel(**{**row, "after": tuple(row["after"])}) for row in content.pop("kernels"))
        plan = Plan(**content, datasets=datasets, kernels=kernels)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path}: not a readable plan ({error}); make it with `hbac kaggle build`") from error
    if plan.schema != 1:
        raise ArtefactError(f"{path}: schema {plan.schema}, expected 1; make it again with `hbac kaggle build`")
    return plan
