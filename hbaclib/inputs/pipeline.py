"""From stored arrays to the network: batches in a seeded order, augmented, laid out, read ahead.

Every random draw is made by a generator seeded from (seed, fold, stage, epoch, batch): no draw repeats between epochs,
and a fit that was stopped draws the same numbers when it goes on. Only one batch at a time is copied out of the memory
maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hbaclib.inputs.augment import augment

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow as tf

    from hbaclib.training.recipe import Recipe

READ_AHEAD = 2
"""Batches that are prepared while the network works."""

_ORDER, _BATCH = 0, 1


class Arrays(Protocol):
    """What training reads: `hbaclib.inputs.store.InputArrays`, or anything with the same attributes."""

    samples: pd.DataFrame
    folds: pd.Series
    digest: str

    def gather(self, rows: np.ndarray, inputs: str = "both") -> np.ndarray:
        """Copy the inputs of some rows, float32."""
        ...


def epoch_order(rows: np.ndarray, steps: int, batch: int, key: tuple[int, ...]) -> np.ndarray:
    """The rows of every step of an epoch: a seeded shuffle, whole batches only.

    Where the steps need more rows than there are, further shuffles follow.

    Args:
        rows: (n,) row numbers to draw from, n >= 1.
        steps: number of steps.
        batch: rows of a step.
        key: (seed, fold, stage, epoch).

    Returns:
        (steps, batch) row numbers.
    """
    rng = np.random.default_rng([*key, _ORDER])
    rounds = -(-steps * batch // len(rows))
    order = np.concatenate([rng.permutation(rows) for _ in range(rounds)])
    return order[: steps * batch].reshape(steps, batch)


def lay_out(images: np.ndarray, layout: str) -> np.ndarray:
    """Turn gathered inputs into the network's layout.

    Args:
        images: (b, 128, 256, 4 or 8), or raw signals for layout ``raw``.
        layout: ``stem`` and ``raw`` leave them as they are, ``tiled`` puts the planes side by side.

    Returns:
        (b, ...) float32 of the layout's shape.
    """
    if layout == "tiled":
        from hbaclib.inputs.images import tile_layout

        return tile_layout(images)
    return images


def training_batch(inputs: Arrays, rows: np.ndarray, recipe: Recipe, key: tuple[int, ...]) -> np.ndarray:
    """Gather, augment and lay out one batch.

    Args:
        inputs: the stored arrays.
        rows: (b,) row numbers.
        recipe: says which inputs, which augmentation and which layout.
        key: (seed, fold, stage, epoch, batch).

    Returns:
        (b, ...) float32.
    """
    rng = np.random.default_rng([*key, _BATCH])
    images = inputs.gather(rows, recipe.inputs)
    images = augment(images, rng, recipe.augmentation, library=recipe.augment_with)
    return np.ascontiguousarray(lay_out(images, recipe.layout), dtype=np.float32)


def training_batches(
    inputs: Arrays,
    order: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    recipe: Recipe,
    key: tuple[int, ...],
    shape: tuple[int, ...],
) -> tf.data.Dataset:
    """The batches of one epoch, prepared ahead of the network.

    Args:
        inputs: the stored arrays.
        order: (steps, batch) row numbers, as `epoch_order` gives them.
        targets: (n, 6) labels of all rows.
        weights: (n,) loss weights of all rows.
        recipe: see `training_batch`.
        key: (seed, fold, stage, epoch).
        shape: shape of one sample in the network's layout.

    Returns:
        A data set of (step, images, targets, weights).
    """

    def batch_of(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = order[step]
        images = training_batch(inputs, rows, recipe, (*key, int(step)))
        return images, targets[rows].astype(np.float32), weights[rows].astype(np.float32)

    return _dataset(
        batch_of, len(order), [(order.shape[1], *shape), (order.shape[1], targets.shape[1]), (order.shape[1],)]
    )


def _dataset(batch_of: Any, steps: int, shapes: list[tuple[int, ...]]) -> tf.data.Dataset:
    import tensorflow as tf

    def prepare(step: Any) -> Any:
        parts = tf.numpy_function(batch_of, [step], [tf.float32] * len(shapes))
        for part, shape in zip(parts, shapes, strict=True):
            part.set_shape(shape)
        return (step, *parts)

    return tf.data.Dataset.range(steps).map(prepare).prefetch(READ_AHEAD)


def padded_batches(n: int, batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Row numbers in batches of one fixed size; the last one is filled up by repeating a row.

    A network computes batches of one size only: predictions then do not depend on how many rows are asked for, and no
    device ever gets an empty share.

    Args:
        n: number of rows.
        batch: size of every batch.

    Yields:
        (batch,) row numbers, and how many of them count.
    """
    for start in range(0, n, batch):
        rows = np.arange(start, min(start + batch, n))
        yield np.pad(rows, (0, batch - len(rows)), mode="edge"), len(rows)
