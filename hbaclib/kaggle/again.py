"""A kernel whose session was too short goes on where it stopped: it reads its own last version's output."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from hbaclib.errors import PlatformError, printable
from hbaclib.kaggle.build import KERNEL_METADATA
from hbaclib.kaggle.client import Kaggle
from hbaclib.kaggle.plan import Plan, PlannedKernel
from hbaclib.training.plan import NO_TIME


def readers(plan: Plan, names: Collection[str]) -> list[str]:
    """Names of the kernels that read some of these, themselves or through others, in the plan's order."""
    found: list[str] = []
    for kernel in plan.kernels:
        if kernel.name not in names and {*names, *found} & set(kernel.after):
            found.append(kernel.name)
    return found


@contextmanager
def reading_itself(folder: Path, ref: str) -> Iterator[Path]:
    """A copy of a kernel's folder in which the kernel is one of its own sources; the build stays as it is.

    Args:
        folder: of the kernel.
        ref: its ``owner/slug``.
    """
    with tempfile.TemporaryDirectory() as outer:
        copy = Path(shutil.copytree(folder, Path(outer) / folder.name))
        metadata = json.loads((copy / KERNEL_METADATA).read_text(encoding="utf-8"))
        metadata["kernel_sources"] = [*(each for each in metadata["kernel_sources"] if each != ref), ref]
        (copy / KERNEL_METADATA).write_text(json.dumps(metadata), encoding="utf-8")
        yield copy


def left_out(kaggle: Kaggle, kernel: PlannedKernel, build: Path) -> list[str]:
    """What a complete kernel's session had no time for, in its own words, and what to do.

    Args:
        kaggle: the service.
        kernel: trains on GPUs; of others nothing is asked.
        build: the build's folder, for the command.
    """
    if not kernel.gpu:
        return []
    try:
        log = kaggle.kernel_log(kernel.ref)
    except PlatformError:  # the training has ended well; what it says is worth no failure
        return []
    told = [line.strip() for line in log.splitlines() if line.strip().startswith(NO_TIME)]
    told += [f"hbac kaggle push {build} --again {kernel.name}"] * bool(told)
    return [printable(f"{kernel.name}: {line}") for line in told]
