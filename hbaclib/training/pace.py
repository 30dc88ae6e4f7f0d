"""How long the fits of a network take, measured on a few steps of one of them before any is trained."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from hbaclib.inputs.store import InputArrays
from hbaclib.training.fit import Fit, open_trainer
from hbaclib.training.limits import FORWARD, MeasuredError
from hbaclib.training.reports import Reporter


@dataclass(frozen=True)
class Pace:
    """What a network's fits cost.

    Attributes:
        step: seconds of a training step.
        setup: seconds before a fit's first steps: building the network, tracing the step.
        epochs: steps of every epoch, stage by stage.
        passes: forward passes at the end of an epoch, and
        last: at the end of the fit.
    """

    step: float
    setup: float
    epochs: tuple[tuple[int, ...], ...]
    passes: int
    last: int

    def seconds(self, fit: Fit) -> float:
        """What a fit has yet to do; its finished epochs are taken off."""
        stage, epoch = resumes_at(fit)
        left = [*self.epochs[stage][epoch:], *(steps for later in self.epochs[stage + 1 :] for steps in later)]
        return self.setup + self.step * (sum(left) + FORWARD * (self.passes * len(left) + self.last))

    def seconds_of_rows(self, rows: int, batch: int) -> float:
        """What it takes to predict rows."""
        return self.setup + self.step * FORWARD * -(-rows // batch)


def measure(
    fit: Fit,
    inputs: InputArrays,
    *,
    claim: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    at_once: int = 1,
    report: Path | None = None,
) -> Pace:
    """Train a few steps of a fit, and forget them.

    Args:
        fit: one of the network's fits; nothing is written into its folder.
        inputs: the stored arrays.
        claim: as for `hbaclib.training.fit.run_fit`.
        devices: as for `run_fit`.
        at_once: as for `run_fit`.
        report: as for `run_fit`.

    Returns:
        The pace.

    Raises:
        HbacError: as `run_fit` says.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hbac-pace-") as elsewhere,
        Reporter(report, f"{fit.folder.name}: a few steps, to know the hours") if report else nullcontext() as reporter,
    ):
        begin, trainer, _ = open_trainer(replace(fit, folder=Path(elsewhere)), inputs, claim, devices, reporter)
        trainer.measuring = True
        try:
            trainer.run(False, None, 1, at_once)
        except MeasuredError as measured:
            setup = time.time() - begin - measured.counted
            stages, limits = [stage.epochs for stage in fit.recipe.stages], measured.limits
            ends = np.cumsum(stages)
            epochs = tuple(tuple(limits.epochs[end - n : end]) for n, end in zip(stages, ends, strict=True))
            each, last = limits.epoch_passes
            return Pace(measured.step, setup, epochs, each, last)
    raise AssertionError(f"{fit.title}: ended before its first step")


def resumes_at(fit: Fit) -> tuple[int, int]:
    """Stage and epoch with which a fit begins: those behind its checkpoint's, where it has one."""
    try:
        with open(fit.path("checkpoint.npz"), "rb") as stream, np.load(stream, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
        return (int(facts["stage"]), int(facts["epoch"])) if facts["key"] == fit.key else (0, 0)
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError, NotImplementedError, RecursionError):
        return 0, 0
