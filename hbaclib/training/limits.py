"""What a fit must keep within: the session's time and the host's memory, both told after its first steps."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from hbaclib.errors import PlatformError
from hbaclib.platform import available_memory
from hbaclib.training.recipe import Recipe

log = logging.getLogger(__name__)

_STEPS_TO_MEASURE = 8
_VALIDATION_SHARE = 1.15  # of a fit's time, beside its steps
_MEMORY_SPARE = 128 * 2**20


class Clock:
    """Tells after the first steps how long the whole run will take, and refuses one that cannot end in time.

    Args:
        left: steps that the fit has yet to make.
        total: steps of a whole fit.
        rounds: fits that this process has yet to run, this one included.
        deadline: Unix time by which the session ends; None for no limit.
        name: of the fit, for messages.
    """

    def __init__(self, left: int, total: int, rounds: int, deadline: float | None, name: str) -> None:
        self.left, self.total, self.rounds, self.deadline, self.name = left, total, rounds, deadline, name
        self.seen = 0
        self.start = 0.0
        self.says = ""

    def step(self) -> None:
        """Count a step; the first ones trace and warm up, so the time counts from the second on."""
        self.seen += 1
        if self.seen == 2:
            self.start = time.perf_counter()
        if self.seen != 2 + _STEPS_TO_MEASURE:
            return
        seconds = (time.perf_counter() - self.start) / _STEPS_TO_MEASURE
        steps = self.left - self.seen + self.total * (self.rounds - 1)
        needed = steps * seconds * _VALIDATION_SHARE
        if self.rounds > 1:
            self.says = f", {needed / 3600:.1f} h for all {self.rounds} fits"
        log.info("%s: %.2f s a step, about %.1f minutes for %d steps", self.name, seconds, needed / 60, steps)
        if self.deadline is not None and time.time() + needed > self.deadline:
            raise PlatformError(
                f"{self.name}: about {needed / 3600:.2f} h are needed ({seconds:.2f} s a step), "
                f"{max(self.deadline - time.time(), 0) / 3600:.2f} h are left of the session; "
                "train fewer folds now (the next session goes on), or choose a smaller model or fewer epochs"
            )


class MemoryCheck:
    """Refuses a run after its first steps where the end of an epoch would not fit the host's memory.

    By then the network, the optimizer, the batches read ahead and TensorFlow's working memory are there, and stay as
    large as they are. The end of an epoch adds copies of all weights: those to go back to, and the checkpoint's.

    Args:
        model: the network.
        recipe: says whether averaged weights are kept.
        at_once: processes that train beside each other on this host.
        name: of the fit, for messages.
    """

    def __init__(self, model: Any, recipe: Recipe, at_once: int, name: str) -> None:
        weights = sum(4 * int(np.prod(variable.shape)) for variable in model.variables)
        # Adam keeps two numbers for each weight, averaging a third.
        self.needed = at_once * (_MEMORY_SPARE + weights * (5 if recipe.ema else 4))
        self.at_once, self.name, self.seen = at_once, name, 0

    def step(self) -> None:
        """Count a step, and look when the first ones are done."""
        self.seen += 1
        if self.seen != 2 + _STEPS_TO_MEASURE:
            return
        left = available_memory()
        if left is not None and left < self.needed:
            raise PlatformError(
                f"{self.name}: {left / 2**20:.0f} MiB of memory are left after the first steps, about "
                f"{self.needed / 2**20:.0f} MiB are needed at the end of an epoch ({self.at_once} at once); choose a "
                "smaller batch or model, or train fewer fits at once"
            )
