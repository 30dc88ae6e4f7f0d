"""Learning rates, computed for every step before training: they can be plotted, and a resumed fit finds its place."""

from __future__ import annotations

import numpy as np

from hbaclib.training.recipe import Recipe, Stage


def learning_rates(stage: Stage, steps_per_epoch: int) -> np.ndarray:
    """Learning rate of every step of a stage.

    Args:
        stage: its ``schedule`` is ``step`` or ``cosine``.
        steps_per_epoch: steps of one epoch.

    Returns:
        (epochs, steps_per_epoch) float64.
    """
    epochs = stage.epochs
    if stage.schedule == "step":
        rates = np.array([stage.rates[min(epoch, len(stage.rates) - 1)] for epoch in range(epochs)])
        return np.repeat(rates[:, None], steps_per_epoch, axis=1)
    position, end = np.arange(epochs * steps_per_epoch).reshape(epochs, steps_per_epoch) / steps_per_epoch, epochs
    if stage.per_epoch:
        # The last epoch runs at the floor, as the public ramped schedules have it.
        position, end = np.floor(position), epochs - 1
    rising = stage.start + (stage.peak - stage.start) * position / max(stage.warmup, 1e-9)
    fraction = np.clip((position - stage.warmup) / max(end - stage.warmup, 1e-9), 0, 1)
    falling = stage.floor + (stage.peak - stage.floor) * (1 + np.cos(np.pi * fraction)) / 2
    return np.where(position < stage.warmup, rising, falling)


def recipe_learning_rates(recipe: Recipe, rows: list[int]) -> np.ndarray:
    """Learning rates of a whole fit, stage after stage, for a plot.

    Args:
        recipe: its stages and batch size decide.
        rows: number of training rows of each stage.

    Returns:
        (all steps,) float64.
    """
    parts = [
        learning_rates(stage, steps_per_epoch(stage, n, recipe.batch))
        for stage, n in zip(recipe.stages, rows, strict=True)
    ]
    return np.concatenate([part.ravel() for part in parts])


def steps_per_epoch(stage: Stage, n_rows: int, batch: int) -> int:
    """Steps of one epoch: whole batches only, and at least one.

    Args:
        stage: its ``steps`` overrules one pass over the rows.
        n_rows: training rows of the stage.
        batch: rows of one step.
    """
    return stage.steps or max(1, n_rows // batch)
