"""What a fit must keep within: the session's time and the host's memory, both told after its first steps.

It counts the steps, so that whoever waits for the fit can be told how far it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hbaclib.errors import MemoryShortage, TimeShortage
from hbaclib.platform import available_memory
from hbaclib.training.recipe import Recipe
from hbaclib.training.reports import Reporter

log = logging.getLogger(__name__)

_WARM_UP, _STEPS_TO_MEASURE = 2, 8
FORWARD = 1 / 3
"""A forward pass's share of a training step's time: the gradient costs about twice as much."""
_MEMORY_SPARE = 128 * 2**20


def memory_of_epoch_end(model: Any, recipe: Recipe) -> int:
    """Bytes that the end of an epoch adds: copies of all weights, those to go back to and the checkpoint's."""
    weights = sum(4 * int(np.prod(variable.shape)) for variable in model.variables)
    # Adam keeps two numbers for each weight, averaging a third.
    return _MEMORY_SPARE + weights * (5 if recipe.ema else 4)


def forward_passes(recipe: Recipe, n_valid: int, *, batch_norm: bool) -> tuple[int, int]:
    """Batches that the network computes beside its training steps.

    Args:
        recipe: says the batch, the views and how many batches estimate batch-norm statistics.
        n_valid: rows of the fold that is left out.
        batch_norm: whether the network has batch norm.

    Returns:
        How many at the end of every epoch, and how many more at the end of the fit.
    """
    validation = -(-n_valid // recipe.batch)
    return validation + (recipe.batch_norm_batches if batch_norm else 0), validation * (1 + len(recipe.tta))


class MeasuredError(Exception):
    """Ends a fit of which a few steps were to be measured.

    Attributes:
        step: seconds of a step.
        counted: seconds that were counted for it.
        limits: what counted them.
    """

    def __init__(self, step: float, counted: float, limits: Limits) -> None:
        super().__init__(f"{limits.name}: {step:.3g} s a step")
        self.step, self.counted, self.limits = step, counted, limits


@dataclass
class Limits:
    """Looks after the first steps whether the run will end in time and within memory, and refuses it if not.

    By then the network, the optimizer, the batches read ahead and TensorFlow's working memory are there, and stay as
    large as they are.

    Args:
        name: of the fit, for messages.
        left: steps that the fit has yet to make.
        total: steps of a whole fit.
        rounds: fits that this process has yet to run, this one included.
        deadline: Unix time by which the session ends; None for no limit.
        memory: bytes that the fit will need beyond what it has after its first steps.
        at_once: processes that train beside each other on this host.
        passes_left: forward passes that the fit has yet to make beside its steps (see `forward_passes`).
        passes: forward passes of a whole fit.
        epochs: steps of every epoch that the fit has yet to make; for reports.
        ended: epochs that it has made before.
        epoch_passes: forward passes at the end of an epoch, and of the fit (see `forward_passes`).
        reporter: gets a report of every step; None for none.
        measuring: end the fit as soon as its pace is known, with its first epoch at the latest.
    """

    name: str
    left: int
    total: int
    rounds: int
    deadline: float | None
    memory: int
    at_once: int
    passes_left: int = 0
    passes: int = 0
    epochs: Sequence[int] = ()
    ended: int = 0
    epoch_passes: tuple[int, int] = (0, 0)
    reporter: Reporter | None = None
    measuring: bool = False
    seen: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    says: str = field(default="", init=False)
    """How long all fits will take, for a progress bar; empty until that is known."""

    def step(self, seconds: float) -> None:
        """Count a step; the first ones trace and warm up, so the time counts from there.

        Args:
            seconds: what the step took, without what lies between the epochs.

        Raises:
            TimeShortage, MemoryShortage: too little of it.
            MeasuredError: the pace was all that was asked for.
        """
        self.seen += 1
        if self.seen > _WARM_UP:
            self.seconds += seconds
        if self.seen == _WARM_UP + _STEPS_TO_MEASURE:
            self._check_time(self.seconds / _STEPS_TO_MEASURE)
            self._check_memory()
        if self.reporter is not None:
            self._report(self.reporter)
        if self.measuring and self.seen == min([_WARM_UP + _STEPS_TO_MEASURE, *self.epochs[:1]]):
            counted = self.seen - _WARM_UP
            # An epoch that is as short as the warm-up has nothing better than its last step.
            whole = (self.seconds, counted) if counted > 0 else (seconds, 1)
            raise MeasuredError(whole[0] / whole[1], whole[0], self)

    def _report(self, reporter: Reporter) -> None:
        ends = np.cumsum(self.epochs)
        epoch = min(int(np.searchsorted(ends, self.seen)), max(len(ends) - 1, 0))
        counted = self.seen - _WARM_UP
        pace = self.seconds / counted if counted > 0 else None
        left = None if pace is None else (self.left - self.seen + self._share_of_passes() * FORWARD) * pace
        reporter.steps(self.ended + epoch + 1, self.ended + len(ends), None if not pace else 1 / pace, left)

    def _share_of_passes(self) -> float:
        """Forward passes that are still to come, those of the epochs that have ended taken off."""
        return self.passes_left * max(1 - self.seen / max(self.left, 1), 0.0)

    def _check_time(self, seconds: float) -> None:
        steps = self.left - self.seen + self.total * (self.rounds - 1)
        passes = self.passes_left + self.passes * (self.rounds - 1)
        needed = (steps + FORWARD * passes) * seconds
        if self.rounds > 1:
            time_left = f"{needed / 3600:.1f} h" if needed > 5400 else f"{needed / 60:.0f} min"
            self.says = f", {time_left} for all {self.rounds} fits"
        log.info("%s: %.2f s a step, about %.1f minutes for %d steps", self.name, seconds, needed / 60, steps)
        if self.deadline is not None and time.time() + needed > self.deadline:
            raise TimeShortage(
                f"{self.name}: about {needed / 3600:.2f} h are needed ({seconds:.2f} s a step), "
                f"{max(self.deadline - time.time(), 0) / 3600:.2f} h are left of the session; "
                "train fewer folds now (the next session resumes), or choose a smaller model or fewer epochs"
            )

    def _check_memory(self) -> None:
        left, needed = available_memory(), self.at_once * self.memory
        if left < needed:
            raise MemoryShortage(
                f"{self.name}: {left / 2**20:.0f} MiB of memory are left after the first steps, about "
                f"{needed / 2**20:.0f} MiB are needed at the end of an epoch ({self.at_once} at once); choose a "
                "smaller batch or model, or train fewer fits at once"
            )
