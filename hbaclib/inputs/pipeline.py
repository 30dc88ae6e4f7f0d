"""From stored arrays to the network: batches in a seeded order, augmented, laid out, read ahead.

Every random draw is made by a generator seeded from (seed, fold, stage, epoch, batch): no draw repeats between epochs,
and a fit that was stopped draws the same numbers when it resumes. Only one batch at a time is copied out of the memory
maps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hbaclib.conventions import CLASSES, EEG_RATE
from hbaclib.inputs.augment import AUGMENTATIONS, MIXING, augment_parts
from hbaclib.inputs.loudness import LOUDNESS
from hbaclib.inputs.signals import view_signals
from hbaclib.inputs.spec import InputSpec
from hbaclib.inputs.store import InputArrays, kind_of
from hbaclib.signal.images import tile_layout

if TYPE_CHECKING:
    import tensorflow as tf


READ_AHEAD = 2
"""Batches that are prepared while the network works."""

_ORDER, _BATCH, _MIX = 0, 1, 2


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


def image_kind(spec: InputSpec) -> str:
    """Which array of `InputArrays.gather` holds the recipe's images; empty for a network without images."""
    if spec.layout == "starter" or spec.inputs == "raw":
        return "starter" if spec.layout == "starter" else ""
    return kind_of(spec.inputs, spec.image)


def signal_kind(spec: InputSpec) -> str:
    """Which stored array holds the recipe's signals: ``raw`` (40 Hz), ``signals_200hz`` (200 Hz), or empty for none."""
    return "" if not spec.reads_signals else "signals_200hz" if spec.crop_seconds else "raw"


def input_kinds(spec: InputSpec) -> tuple[str, ...]:
    """The kinds of arrays that a recipe's network reads, in the order of its inputs."""
    return tuple(kind for kind in (image_kind(spec), signal_kind(spec)) if kind)


def image_type(spec: InputSpec, *, half: bool = False) -> type[np.floating]:
    """The dtype in which a recipe's images travel to the device, where they become float32.

    Swapping, flipping, shifting and masking move numbers and change none, so stored float16 stays what it is: half the
    bytes to copy. Blending and changes of loudness compute, albumentations knows no float16, and the starter's image is
    made as it is read.

    Args:
        spec: says how images are made and changed.
        half: the network computes in float16, so that what is blended may be rounded to it here as well as there.
    """
    computes = spec.layout == "starter" or spec.augment_with == "albumentations"
    computing = {*(() if half else MIXING), *(function.__name__ for function in LOUDNESS)}
    return np.float32 if computes or not computing.isdisjoint(spec.augmentation) else np.float16


def gather_parts(
    gather: Callable[[str], np.ndarray], spec: InputSpec, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, ...]:
    """The inputs of a recipe's network, before augmentation and layout.

    Args:
        gather: from a kind of array to the batch's rows of it.
        spec: says which kinds, which filter and which crop.
        rng: draws where crops begin; None takes the middle.
    """
    parts = [gather(kind) for kind in input_kinds(spec)]
    if spec.reads_signals:  # they come last
        rate, band, order = spec.signal_rate, spec.band, spec.filter_order
        low_pass, crop = spec.low_pass, round(spec.crop_seconds * EEG_RATE)
        parts[-1] = view_signals(parts[-1], rate=rate, band=band, low_pass=low_pass, order=order, crop=crop, rng=rng)
    return tuple(parts)


def lay_out_parts(parts: tuple[np.ndarray, ...], layout: str) -> tuple[np.ndarray, ...]:
    """Turn the gathered inputs of a network into its layout.

    Args:
        parts: (b, 128, 256, 4 or 8) images, (b, 400, 300, 3) in the starter's layout, (b, n, 8) signals.
        layout: ``tiled`` puts the planes of images side by side; the others leave them as they are. Signals stay.

    Returns:
        (b, ...) contiguous arrays of the same types, images of the layout's shape.
    """
    tiled = layout == "tiled"
    return tuple(np.ascontiguousarray(tile_layout(part) if tiled and part.ndim == 4 else part) for part in parts)


def views_of(parts: tuple[np.ndarray, ...], spec: InputSpec) -> Iterator[tuple[np.ndarray, ...]]:
    """The views of a batch whose predictions are averaged: as it is, then each of the recipe's ``tta``.

    Args:
        parts: (b, ...), one array for each input of the network, before layout.
        spec: its ``tta`` names the views.

    Yields:
        Arrays of the same shapes.
    """
    yield parts
    for name in spec.tta:
        # Of probability 1: nothing is left to chance.
        yield tuple(AUGMENTATIONS[name](part.copy(), np.random.default_rng(0), p=1.0) for part in parts)


def mean_prediction(
    gather: Callable[[np.ndarray, str], np.ndarray], size: int, spec: InputSpec, networks: Sequence[Callable[..., Any]]
) -> np.ndarray:
    """Mean of what networks predict from all views of their inputs.

    Args:
        gather: from row numbers and a kind of array to these rows of it.
        size: number of rows.
        spec: of the networks.
        networks: called with the parts of a batch, laid out; each gives a tensor (batch, 6).

    Returns:
        (size, 6) float64.
    """
    total = np.zeros((size, len(CLASSES)), np.float64)
    for rows, n in padded_batches(size, spec.batch):
        parts = gather_parts(functools.partial(gather, rows), spec)
        for view in views_of(parts, spec):
            laid_out = lay_out_parts(view, spec.layout)
            for network in networks:
                total[rows[:n]] += network(*laid_out).numpy()[:n]
    return total / max(len(networks) * (1 + len(spec.tta)), 1)


def training_batch(
    inputs: InputArrays, rows: np.ndarray, spec: InputSpec, key: tuple[int, ...], *, half: bool = False
) -> tuple[np.ndarray, ...]:
    """Gather, augment and lay out one batch.

    Args:
        inputs: the stored arrays.
        rows: (b,) row numbers.
        spec: says which inputs, which augmentation and which layout.
        key: (seed, fold, stage, epoch, batch).
        half: see `image_type`.

    Returns:
        (b, ...), one array for each input of the network: images of `image_type`, signals float32.
    """
    rng = np.random.default_rng([*key, _BATCH])
    image, kept = image_kind(spec), image_type(spec, half=half)
    parts = gather_parts(lambda kind: inputs.gather(rows, kind, kept if kind == image else np.float32), spec, rng)
    parts = augment_parts(parts, rng, spec.augmentation, library=spec.augment_with)
    return lay_out_parts(parts, spec.layout)


def training_batches(
    inputs: InputArrays,
    order: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    spec: InputSpec,
    key: tuple[int, ...],
    shapes: list[tuple[int, ...]],
    *,
    half: bool = False,
) -> tf.data.Dataset:
    """The batches of one epoch, prepared ahead of the network.

    Args:
        inputs: the stored arrays.
        order: (steps, batch) row numbers, as `epoch_order` gives them.
        targets: (n, 6) targets of all rows.
        weights: (n,) loss weights of all rows.
        spec: see `training_batch`.
        key: (seed, fold, stage, epoch).
        shapes: shape of one sample, for each input of the network.
        half: see `image_type`.

    Returns:
        A data set of (step, inputs ..., targets, weights).
    """

    def batch_of(step: int) -> tuple[np.ndarray, ...]:
        rows, place = order[step], (*key, int(step))
        parts = training_batch(inputs, rows, spec, place, half=half)
        labels, importance = targets[rows].astype(np.float32), weights[rows].astype(np.float32)
        for name, mix in MIXING.items():
            if name in spec.augmentation:
                rng = np.random.default_rng([*place, _MIX])
                parts, labels, importance = mix(parts, labels, importance, rng, **spec.augmentation[name])
        return *parts, labels, importance

    import tensorflow as tf

    batch = order.shape[1]
    whole = [*((batch, *shape) for shape in shapes), (batch, targets.shape[1]), (batch,)]
    types = [tf.as_dtype(image_type(spec, half=half) if len(shape) == 4 else np.float32) for shape in whole]

    def prepare(step: Any) -> Any:
        parts = tf.numpy_function(batch_of, [step], types)
        for part, shape in zip(parts, whole, strict=True):
            part.set_shape(shape)
        return (step, *parts)

    return tf.data.Dataset.range(len(order)).map(prepare).prefetch(READ_AHEAD)


def ahead_on(device: str, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches that are copied to a GPU ahead of the network, while it computes the one before.

    Args:
        device: TensorFlow's name of the GPU; empty leaves the batches where they are, on the host.
        batches: as `training_batches` gives them.
    """
    if not device:
        return batches
    import tensorflow as tf

    return batches.apply(tf.data.experimental.prefetch_to_device(device, READ_AHEAD))


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
