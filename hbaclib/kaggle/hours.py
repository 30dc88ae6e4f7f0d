"""How many hours each kernel of a suite takes on Kaggle's two T4s: one plan, from estimates or from a self-test.

A fit's time is its images, and what is computed beside them, at its network's speed. Fits of different networks of a
kernel share its devices: each goes to the device that is free first, so a round is left half empty only at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hbaclib.conventions import MANY_VOTES
from hbaclib.kaggle.speeds import Speed, Speeds
from hbaclib.platform import RESERVE_HOURS, SESSION_HOURS
from hbaclib.selftest.form import STAGE as SELFTEST
from hbaclib.selftest.tasks import MINUTES
from hbaclib.stages.names import SUBMIT
from hbaclib.suite.plans import GOLD, plans_of
from hbaclib.suite.sizes import COMPETITION
from hbaclib.suite.table import Stage, Suite
from hbaclib.training.limits import forward_passes
from hbaclib.training.recipe import Recipe
from hbaclib.training.schedules import steps_per_epoch

DEVICES = 2
"""Of Kaggle's machine shape NvidiaTeslaT4."""
LONGEST = SESSION_HOURS - RESERVE_HOURS
"""Hours of a session that a kernel may plan with: half an hour of Kaggle's twelve is kept for writing its output."""
SAMPLES = {1: COMPETITION["vote_groups"].samples, MANY_VOTES: 6_350}
"""Least votes -> samples of the competition's files that have as many."""
SESSION_START = 0.15
"""Hours of a kernel around its fits: wheels, digests of the arrays, figures, tables."""
FORWARD = 1 / 3
"""Time of a forward pass, of a training step's: the gradient costs about twice as much."""
SUBMISSION = 0.2
"""Hours of notebook 08 on the public test file; the hidden one has hours of its own, which the notebook keeps."""

_KNOWN = {SUBMIT: SUBMISSION, SELFTEST: MINUTES / 60 + 0.02}


@dataclass(frozen=True)
class NetworkHours:
    """Training of one network.

    Attributes:
        name: as its notebook calls it.
        speed: how fast it trains.
        images: rows of all steps of one fit.
        fits: of one round.
        rounds: 2 where pseudo-labels of a first round are trained on.
        fit_hours: one fit on one device.
    """

    name: str
    speed: Speed
    images: int
    fits: int
    rounds: int
    fit_hours: float


@dataclass(frozen=True)
class KernelHours:
    """What one kernel takes.

    Attributes:
        name: of the kernel, as its stage.
        gpu: whether it counts as a GPU session.
        networks: what it trains; empty for a kernel that trains nothing.
        hours: of its session.
    """

    name: str
    gpu: bool
    networks: tuple[NetworkHours, ...]
    hours: float

    @property
    def fits(self) -> int:
        """Fits of all networks and rounds."""
        return sum(network.fits * network.rounds for network in self.networks)

    @property
    def device_rounds(self) -> int:
        """Whole rounds of one fit a device."""
        return -(-self.fits // DEVICES)


def suite_hours(
    suite: Suite, speeds: Speeds | None = None, folds: int = 5, samples: int = SAMPLES[1]
) -> tuple[KernelHours, ...]:
    """Hours of every kernel of a suite.

    Args:
        suite: the suite, its stages with all parameters that their kernels get.
        speeds: how fast networks train; None for the estimates.
        folds: of the data.
        samples: of the data; as great a share of them has many votes as of the competition's.
    """
    speeds = speeds or Speeds()
    counts = {votes: round(samples / SAMPLES[1] * number) for votes, number in SAMPLES.items()}
    return tuple(_kernel(stage, suite.stages, speeds, folds, counts) for stage in suite.stages)


def total_hours(kernels: Iterable[KernelHours]) -> float:
    """Hours that count against a week's GPU hours."""
    return sum(kernel.hours for kernel in kernels if kernel.gpu)


def _kernel(
    stage: Stage, stages: Sequence[Stage], speeds: Speeds, folds: int, samples: Mapping[int, int]
) -> KernelHours:
    name, gpu = stage.notebook.name, stage.notebook.accelerator != "none"
    if name in _KNOWN:
        return KernelHours(stage.name, gpu, (), _KNOWN[name] if gpu else 0.0)
    # A build is made where there may be no GPU, which must not choose the recipe.
    plans = plans_of(name, {**stage.parameters, "recipe": stage.parameters.get("recipe") or GOLD.get(name, "")})
    if plans is None or not gpu:
        return KernelHours(stage.name, gpu, (), 0.0)
    own = _folds(stage, stages, folds)
    second = bool(stage.parameters.get("pseudo_labels", True))
    recipes = {title: recipe.override({"folds": folds}) for title, recipe in plans.recipes.items()}
    networks = tuple(_network(title, recipe, own, second, speeds, samples) for title, recipe in recipes.items())
    return KernelHours(stage.name, gpu, networks, SESSION_START + pooled_hours(networks, speeds.together))


def _folds(stage: Stage, stages: Sequence[Stage], folds: int) -> int:
    """Folds that a kernel trains itself: those it is told, or all that no kernel before it has trained for it."""
    if told := stage.parameters.get("folds"):
        return len(told)
    parts = [each for each in stages if each.parameters.get("stage") == stage.name and each.name in stage.after]
    return folds - sum(len(part.parameters.get("folds", ())) for part in parts)


def _network(
    name: str, recipe: Recipe, own_folds: int, second_round: bool, speeds: Speeds, samples: Mapping[int, int]
) -> NetworkHours:
    images, beside = fit_images(recipe, samples)
    speed = speeds.of(recipe)
    hours = ((images + FORWARD * beside) / speed.images_per_second + speeds.start_seconds) / 3600
    rounds = 2 if recipe.pseudo_weight and second_round else 1
    return NetworkHours(name, speed, images, own_folds * len(recipe.seeds), rounds, hours)


def fit_images(recipe: Recipe, samples: Mapping[int, int] | None = None) -> tuple[int, int]:
    """Images that one fit computes.

    Args:
        recipe: with the data's folds.
        samples: least votes -> samples that have as many; None for the competition's.

    Returns:
        Rows of all training steps, and rows that are passed forward alone: held-out ones after every epoch and in all
        views at the end, and those that batch-norm statistics are estimated from.
    """
    samples = SAMPLES if samples is None else samples
    share = 1 - 1 / recipe.folds
    trained = 0
    for stage in recipe.stages:
        # A stage of other votes than the known ones is taken as the nearest that has more samples.
        least = max(votes for votes in samples if votes <= max(stage.min_votes, min(samples)))
        trained += stage.epochs * steps_per_epoch(stage, int(share * samples[least]), recipe.batch)
    held_out = -(-samples[min(samples)] // recipe.folds)
    each, last = forward_passes(recipe, held_out, batch_norm=True)
    epochs = sum(stage.epochs for stage in recipe.stages)
    return trained * recipe.batch, (each * epochs + last) * recipe.batch


def pooled_hours(networks: Collection[NetworkHours], together: float = 1.0) -> float:
    """Hours of all fits on the devices: each fit on the device that is free first, in the order of the networks.

    The second round of a network begins when its first one has ended.

    Args:
        networks: what is trained.
        together: how much longer a fit takes while the other devices train, too.
    """
    busy = [0.0] * DEVICES
    first_ended: dict[str, float] = {}
    for number in (1, 2):
        for network in networks:
            if number > network.rounds:
                continue
            for _ in range(network.fits):
                device = busy.index(min(busy))
                begin = max(busy[device], first_ended.get(network.name, 0.0) if number == 2 else 0.0)
                busy[device] = begin + together * network.fit_hours
                if number == 1:
                    first_ended[network.name] = max(first_ended.get(network.name, 0.0), busy[device])
    return max(busy)
