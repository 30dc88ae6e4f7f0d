"""Augmentations by name, for whole batches at once, and the albumentations path of the public recipes.

All work on images ``(b, 128, 256, c)`` (frequency x time; 4 or 8 planes) and, where it makes sense, on raw signals
``(b, time, 8)``: time is the axis before the last in both. A sample is changed with probability ``p``; every draw comes
from the generator that is passed in.

A *left-right swap* exchanges the hemispheres and leaves time alone. A *time flip* runs the recording backwards and
leaves the hemispheres alone. A *horizontal flip* is the computer-vision name of mirroring the image's width, which is
the time axis here: the same operation as the time flip, kept by name because recipes of the field say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from hbaclib.conventions import RAW_SWAP, REGION_SWAP
from hbaclib.errors import ConfigError, DataError

Augmentation = Callable[..., np.ndarray]
TIME = -2
FREQUENCY = 1


def _chosen(n: int, p: float, rng: np.random.Generator) -> np.ndarray:
    # One draw a sample whatever p is, so that changing p does not move the other augmentations' draws.
    return np.flatnonzero(rng.random(n) < p)


def left_right_order(batch: np.ndarray) -> list[int]:
    """Channel order that exchanges the hemispheres of a batch of images (4 or 8 planes) or raw signals (8).

    Raises:
        DataError: no such order is known for the batch's shape.
    """
    if batch.ndim == 3 and batch.shape[-1] == len(RAW_SWAP):
        return list(RAW_SWAP)
    halves, rest = divmod(batch.shape[-1], len(REGION_SWAP))
    if batch.ndim != 4 or rest or not halves:
        raise DataError(f"left-right swap of a batch of shape {batch.shape}; expected (b, f, t, 4 or 8) or (b, t, 8)")
    return [half * len(REGION_SWAP) + k for half in range(halves) for k in REGION_SWAP]


def left_right_swap(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5) -> np.ndarray:
    """Exchange the hemispheres: LL with RL and LP with RP, in each half of the channels."""
    rows = _chosen(len(batch), p, rng)
    batch[rows] = batch[rows][..., left_right_order(batch)]
    return batch


def time_flip(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5) -> np.ndarray:
    """Run the sample backwards in time; the hemispheres stay where they are."""
    rows = _chosen(len(batch), p, rng)
    batch[rows] = np.flip(batch[rows], axis=TIME)
    return batch


def horizontal_flip(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5) -> np.ndarray:
    """Mirror the image's width, as computer vision calls it; on these images this is the time flip."""
    return time_flip(batch, rng, p=p)


def xy_masking(
    batch: np.ndarray,
    rng: np.random.Generator,
    *,
    p: float = 0.5,
    time_masks: int = 2,
    time_width: int = 32,
    frequency_masks: int = 2,
    frequency_width: int = 16,
) -> np.ndarray:
    """Set stripes of time and of frequency to 0: up to so many of each, of random width up to the one given.

    Source: SpecAugment (Park et al., 2019), without time warping.
    """
    rows = _chosen(len(batch), p, rng)
    for axis, count, width in ((TIME, time_masks, time_width), (FREQUENCY, frequency_masks, frequency_width)):
        if axis == FREQUENCY and batch.ndim != 4:
            continue
        size = batch.shape[axis]
        numbers = rng.integers(0, count + 1, len(rows))
        widths = rng.integers(1, width + 1, (len(rows), max(count, 1)))
        starts = (rng.random(widths.shape) * (size - widths + 1)).astype(int)
        for row, number, first, wide in zip(rows, numbers, starts, widths, strict=True):
            sample = np.moveaxis(batch[row], axis if axis < 0 else axis - 1, 0)
            for k in range(number):
                sample[first[k] : first[k] + wide[k]] = 0
    return batch


def _shift(batch: np.ndarray, rows: np.ndarray, steps: np.ndarray, axis: int) -> np.ndarray:
    for row, step in zip(rows, steps, strict=True):
        sample = np.moveaxis(batch[row], axis if axis < 0 else axis - 1, 0)
        if step > 0:
            sample[step:] = sample[:-step].copy()
            sample[:step] = 0
        elif step < 0:
            sample[:step] = sample[-step:].copy()
            sample[step:] = 0
    return batch


def time_shift(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: int = 16) -> np.ndarray:
    """Move a sample along time by up to ``most`` steps either way; what comes in is 0."""
    rows = _chosen(len(batch), p, rng)
    return _shift(batch, rows, rng.integers(-most, most + 1, len(rows)), TIME)


def band_shift(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: int = 4) -> np.ndarray:
    """Move an image along frequency by up to ``most`` pixels either way; what comes in is 0."""
    rows = _chosen(len(batch), p, rng)
    return _shift(batch, rows, rng.integers(-most, most + 1, len(rows)), FREQUENCY) if batch.ndim == 4 else batch


def coarse_dropout(
    batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, holes: int = 8, height: int = 32, width: int = 32
) -> np.ndarray:
    """Set ``holes`` rectangles of ``height`` x ``width`` pixels to 0 in all planes; they may overlap.

    Source: DeVries and Taylor, Cutout (2017), in the form of albumentations' CoarseDropout.
    """
    rows = _chosen(len(batch), p, rng)
    high, wide = batch.shape[1] - height, batch.shape[2] - width
    tops = rng.integers(0, high + 1, (len(rows), holes))
    lefts = rng.integers(0, wide + 1, (len(rows), holes))
    for row, top, left in zip(rows, tops, lefts, strict=True):
        for y, x in zip(top, left, strict=True):
            batch[row, y : y + height, x : x + width] = 0
    return batch


AUGMENTATIONS: dict[str, Augmentation] = {
    function.__name__: function
    for function in (
        left_right_swap,
        time_flip,
        horizontal_flip,
        band_shift,
        time_shift,
        xy_masking,
        coarse_dropout,
    )
}
"""Name -> function; a batch passes through the chosen ones in this order, whatever the recipe's own order is."""

ALBUMENTATIONS = ("coarse_dropout", "horizontal_flip")
"""Names that the albumentations path offers as well."""


def check_augmentation(settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Check names and options of a recipe's augmentation table.

    Raises:
        ConfigError: an unknown augmentation or option, or a value out of range.
    """
    for name, options in settings.items():
        if name not in AUGMENTATIONS:
            raise ConfigError(f"augmentation {name!r} is unknown; known are {', '.join(AUGMENTATIONS)}")
        if not isinstance(options, Mapping):
            raise ConfigError(f"augmentation.{name} is {options!r}, expected a table of options")
        known = AUGMENTATIONS[name].__kwdefaults__ or {}
        for key, value in options.items():
            if key not in known:
                raise ConfigError(f"augmentation.{name}.{key} is unknown; known are {', '.join(known)}")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if key == "p" and not (number and 0 <= value <= 1):
                raise ConfigError(f"augmentation.{name}.p is {value!r}, expected a probability")
            if key != "p" and not (isinstance(value, int) and number and value >= 1):
                raise ConfigError(f"augmentation.{name}.{key} is {value!r}, expected a whole number of at least 1")


def augment(
    batch: np.ndarray, rng: np.random.Generator, settings: Mapping[str, Mapping[str, Any]], *, library: str = "batched"
) -> np.ndarray:
    """Augment a batch.

    Args:
        batch: (b, frequency, time, c) images or (b, time, 8) signals, float32; it may be changed in place.
        rng: source of every draw.
        settings: name -> options, as `check_augmentation` accepts them.
        library: ``batched`` (NumPy on the whole batch) or ``albumentations`` (image by image).

    Returns:
        The augmented batch, of the same shape and dtype.
    """
    if not settings:
        return batch
    if library == "albumentations":
        return _with_albumentations(batch, rng, settings)
    for name, function in AUGMENTATIONS.items():
        if name in settings:
            batch = function(batch, rng, **settings[name])
    return batch


def _with_albumentations(
    batch: np.ndarray, rng: np.random.Generator, settings: Mapping[str, Mapping[str, Any]]
) -> np.ndarray:
    compose = _albumentations(tuple((name, tuple(sorted(settings[name].items()))) for name in sorted(settings)))
    # One seed a batch: the library's generator is started anew, so no draw repeats between epochs, and a resumed fit
    # draws what an uninterrupted one does.
    compose.set_random_seed(int(rng.integers(2**32)))
    return np.stack([compose(image=image)["image"] for image in batch])


@cache
def _albumentations(settings: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]) -> Any:
    # The library asks its server for a newer release when it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    transforms = []
    for name, pairs in settings:
        options = {**(AUGMENTATIONS[name].__kwdefaults__ or {}), **dict(pairs)}
        if name == "horizontal_flip":
            transforms.append(albumentations.HorizontalFlip(p=options["p"]))
        else:
            transforms.append(
                albumentations.CoarseDropout(
                    num_holes_range=(options["holes"], options["holes"]),
                    hole_height_range=(options["height"], options["height"]),
                    hole_width_range=(options["width"], options["width"]),
                    fill=0,
                    p=options["p"],
                )
            )
    return albumentations.Compose(transforms)
