"""What a self-test says about the settings of a suite's kernels, in words for who builds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hbaclib.kaggle.hours import KernelHours, suite_hours
from hbaclib.kaggle.speeds import Speeds
from hbaclib.suite.table import Stage, Suite
from hbaclib.training.recipe import XLA

_WORTH = 1.05
"""How many times as fast a kernel's fits must be for a setting to be named: measurements differ by a few per cent."""


def xla_advice(suite: Suite, speeds: Speeds, folds: int = 5) -> list[str]:
    """Kernels whose networks train faster with another ``xla`` than they have: a line for each.

    All networks of a kernel have one setting, so what counts is the sum of their fits.

    Args:
        suite: the suite.
        speeds: as a self-test measured them; estimates say nothing here.
        folds: of the data.

    Returns:
        The lines; none without a self-test, or where nothing is gained.
    """
    if speeds.measured is None:
        return []
    now = suite_hours(suite, speeds, folds)
    ways = {way: suite_hours(_with_xla(suite, way), speeds, folds) for way in XLA}
    lines = []
    for number, kernel in enumerate(now):
        seconds = {way: _seconds(kernels[number]) for way, kernels in ways.items()}
        best = min(seconds, key=lambda way: seconds[way])  # of equal ones the first, which compiles least
        if kernel.networks and (gain := _seconds(kernel) / seconds[best]) >= _WORTH:
            hours = ways[best][number].hours
            names = ", ".join(network.name for network in kernel.networks)
            lines.append(
                f'{kernel.name}: steps of {names} are {gain:.1f} times as fast with xla = "{best}" '
                f"({hours:.1f} h in place of {kernel.hours:.1f}): set it in suite.toml, at this stage's parameters"
            )
    return lines


def _with_xla(suite: Suite, way: str) -> Suite:
    def changed(stage: Stage) -> Stage:
        return replace(stage, parameters={**stage.parameters, "xla": way})

    return replace(suite, stages=tuple(map(changed, suite.stages)))


def _seconds(kernel: KernelHours) -> float:
    """Of the training steps of all fits, one after the other."""
    fits: Sequence[float] = [
        network.fits * network.rounds * network.images / network.speed.images_per_second for network in kernel.networks
    ]
    return sum(fits)
