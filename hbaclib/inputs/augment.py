"""Augmentations by name, for whole batches at once.

All work on images ``(b, 128, 256, c)`` (frequency x time; 4 or 8 planes) and, where it makes sense, on raw signals
``(b, time, 8)``: time is the axis before the last in both. A sample is changed with probability ``p``; every draw comes
from the generator that is passed in.

A *left-right swap* exchanges the hemispheres and leaves time alone. A *time flip* runs the recording backwards and
leaves the hemispheres alone. A *horizontal flip* is the computer-vision name of mirroring the image's width, which is
the time axis here: the same operation as the time flip, kept by name because recipes of the field say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hbaclib.conventions import REGION_SWAP
from hbaclib.errors import ConfigError
from hbaclib.inputs import albumentations_path
from hbaclib.inputs.loudness import LOUDNESS, chosen
from hbaclib.signal.images import swap_left_right, swap_left_right_raw

Augmentation = Callable[..., np.ndarray]
TIME = -2
FREQUENCY = 1
_STARTER = (400, 300, 3)


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """An augmentation's options, with their defaults."""
    return function.__kwdefaults__ or {}


def left_right_swap(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5) -> np.ndarray:
    """Exchange the hemispheres: LL with RL and LP with RP, in each half of the channels.

    Raises:
        DataError: the batch holds neither images of 4 or 8 planes nor 8 raw signals.
    """
    rows = chosen(len(batch), p, rng)
    if batch.shape[1:] == _STARTER:
        # The starter's image has the four regions one above the other, in place of channels.
        height, *rest = _STARTER
        regions = batch[rows].reshape(len(rows), len(REGION_SWAP), height // len(REGION_SWAP), *rest)
        batch[rows] = regions[:, list(REGION_SWAP)].reshape(len(rows), *_STARTER)
    else:
        batch[rows] = (swap_left_right if batch.ndim == 4 else swap_left_right_raw)(batch[rows])
    return batch


def time_flip(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5) -> np.ndarray:
    """Run the sample backwards in time; the hemispheres stay where they are."""
    rows = chosen(len(batch), p, rng)
    moments = _moments(batch)
    for row in rows:  # one sample fits a processor's cache
        moments[row] = np.flip(moments[row], axis=TIME)
    return batch


def _moments(batch: np.ndarray) -> np.ndarray:
    """View of a batch in which the channels of one moment are one number, where a type of their size exists.

    Moving one number of 16 bytes is several times faster than moving eight of two.
    """
    size = {8: np.uint64, 16: np.complex128}.get(batch.shape[-1] * batch.itemsize)
    return batch.view(size) if size and batch.flags.c_contiguous else batch


def horizontal_flip(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5) -> np.ndarray:
    """Mirror the image's width, as computer vision calls it; on these images this is the time flip."""
    return time_flip(batch, rng, p=p)


def _stripes(
    batch: np.ndarray, rows: np.ndarray, rng: np.random.Generator, axis: int, masks: tuple[int, int], width: int
) -> None:
    """Set stripes across all channels to 0: between the least and the greatest number of masks, up to so wide."""
    size = batch.shape[axis]
    width = min(width, size)
    samples = np.moveaxis(batch, axis, 1)
    numbers = rng.integers(masks[0], masks[1] + 1, len(rows))
    widths = rng.integers(1, width + 1, (len(rows), max(masks[1], 1)))
    starts = (rng.random(widths.shape) * (size - widths + 1)).astype(int)
    for row, number, first, wide in zip(rows, numbers, starts, widths, strict=True):
        for k in range(number):
            samples[row, first[k] : first[k] + wide[k]] = 0


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
    """Set stripes of time and of frequency to 0: up to so many of each, of random width at most so wide.

    Source: SpecAugment (Park et al., 2019), without time warping.
    """
    rows = chosen(len(batch), p, rng)
    _stripes(batch, rows, rng, TIME, (0, time_masks), time_width)
    if batch.ndim == 4:
        _stripes(batch, rows, rng, FREQUENCY, (0, frequency_masks), frequency_width)
    return batch


def time_masking(
    batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, masks: int = 1, width: int = 32
) -> np.ndarray:
    """Set ``masks`` stripes of time to 0, each up to ``width`` steps wide, in all channels alike.

    Source: SpecAugment (Park et al., 2019).
    """
    _stripes(batch, chosen(len(batch), p, rng), rng, TIME, (masks, masks), width)
    return batch


def frequency_masking(
    batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, masks: int = 1, width: int = 16
) -> np.ndarray:
    """Set ``masks`` stripes of frequency to 0, each up to ``width`` pixels high, in all planes; signals stay.

    Source: SpecAugment (Park et al., 2019).
    """
    rows = chosen(len(batch), p, rng)
    if batch.ndim == 4:
        _stripes(batch, rows, rng, FREQUENCY, (masks, masks), width)
    return batch


def _shift(batch: np.ndarray, rows: np.ndarray, rng: np.random.Generator, axis: int, most: int) -> None:
    samples = np.moveaxis(batch, axis, 1)
    for row, step in zip(rows, rng.integers(-most, most + 1, len(rows)), strict=True):
        sample = samples[row]
        if step > 0:
            sample[step:] = sample[:-step].copy()
            sample[:step] = 0
        elif step < 0:
            sample[:step] = sample[-step:].copy()
            sample[step:] = 0


def time_shift(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: int = 16) -> np.ndarray:
    """Move a sample along time by up to ``most`` steps either way; what comes in is 0."""
    _shift(batch, chosen(len(batch), p, rng), rng, TIME, most)
    return batch


def band_shift(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: int = 4) -> np.ndarray:
    """Move an image along frequency by up to ``most`` pixels either way; what comes in is 0."""
    rows = chosen(len(batch), p, rng)
    if batch.ndim == 4:
        _shift(batch, rows, rng, FREQUENCY, most)
    return batch


def coarse_dropout(
    batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, holes: int = 8, height: int = 32, width: int = 32
) -> np.ndarray:
    """Set ``holes`` rectangles of ``height`` x ``width`` pixels to 0 in all planes; they may overlap.

    Raises:
        ConfigError: a hole is higher or wider than the images.

    Source: DeVries and Taylor, Cutout (2017), in the form of albumentations' CoarseDropout.
    """
    rows = chosen(len(batch), p, rng)
    if batch.ndim != 4:
        return batch
    _check_holes(batch.shape[1:3], {"height": height, "width": width})
    high, wide = batch.shape[1] - height, batch.shape[2] - width
    tops = rng.integers(0, high + 1, (len(rows), holes))
    lefts = rng.integers(0, wide + 1, (len(rows), holes))
    for row, top, left in zip(rows, tops, lefts, strict=True):
        for y, x in zip(top, left, strict=True):
            batch[row, y : y + height, x : x + width] = 0
    return batch


def _check_holes(size: tuple[int, ...], options: Mapping[str, Any]) -> None:
    hole = _defaults(coarse_dropout) | dict(options)
    for key, most in zip(("height", "width"), size, strict=True):
        if hole[key] > most:
            raise ConfigError(
                f"augmentation.coarse_dropout.{key} is {hole[key]!r}, expected at most {most}: the images have "
                f"{size[0]} x {size[1]} pixels"
            )


def random_cutout(
    batch: np.ndarray, rng: np.random.Generator, *, p: float = 1.0, height: float = 0.5, width: float = 0.5
) -> np.ndarray:
    """Set one rectangle to 0 in all planes, of random size up to these shares of the image; signals stay.

    The same draw as KerasCV's ``RandomCutout``: centre anywhere, so that the rectangle can reach over the edge, sides
    uniform from 0. (KerasCV 0.9.0 also limits the width by the image's *height*, a slip that is not repeated here; on
    128 x 256 pixels it shows where ``width`` is above 0.5.)

    That layer is not used: traced into tf.data with a seed, it draws height and width as one share and repeats the
    sizes in every epoch; it takes no seed of a batch's own, by which a resumed fit draws what an uninterrupted one
    does; and it writes all images anew in float32, which takes tens of times as long as clearing rectangles in place.

    Source: DeVries and Taylor, Cutout (2017), in the form of keras-cv 0.9.0.
    """
    rows = chosen(len(batch), p, rng)
    if batch.ndim != 4:
        return batch
    shape = np.array(batch.shape[1:3])
    centres = (rng.random((len(rows), 2)) * shape).astype(int)
    sides = np.ceil(rng.random((len(rows), 2)) * shape * (height, width)).astype(int)
    first = centres - sides // 2
    last = np.minimum(first + sides, shape)
    for row, (top, left), (bottom, right) in zip(rows, np.maximum(first, 0), last, strict=True):
        batch[row, top:bottom, left:right] = 0
    return batch


def mixup(
    parts: tuple[np.ndarray, ...],
    targets: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
    *,
    p: float = 1.0,
    alpha: float = 0.2,
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Blend samples with others of the batch, their targets and their weights in the same shares.

    The same draw as KerasCV's ``MixUp`` (a share from Beta(alpha, alpha) for every sample, partners by a shuffle). That
    layer is not used: it draws its shares without its seed, so that a resumed fit would not repeat them, it takes no
    second input, and it leaves loss weights alone.

    Args:
        parts: arrays (b, ...) of the batch's inputs, all blended alike; what is float16 is blended in float32 and
            rounded once.
        targets: (b, 6) distributions; they stay distributions.
        weights: (b,) loss weights.
        rng: source of every draw.
        p: probability that a sample is blended.
        alpha: of the Beta distribution; small values leave most samples nearly as they are.

    Source: Zhang et al., mixup (2018), in the form of keras-cv 0.9.0.
    """
    n = len(targets)
    rows = rng.random(n) < p
    share = np.where(rows, rng.beta(alpha, alpha, n), 1.0).astype(np.float32)
    partner = rng.permutation(n)

    def blend(values: np.ndarray) -> np.ndarray:
        own = share.reshape(-1, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[partner]

    def blend_narrow(values: np.ndarray) -> np.ndarray:
        # The same numbers as above, sample by sample: what is wide for a moment stays in the processor's cache.
        wide, blended = values.astype(np.float32), np.empty_like(values)
        for row, (own, other) in enumerate(zip(share, partner, strict=True)):
            blended[row] = own * wide[row] + (1 - own) * wide[other]
        return blended

    mixed = tuple(blend_narrow(part) if part.dtype == np.float16 else blend(part) for part in parts)
    return mixed, blend(targets), blend(weights)


AUGMENTATIONS: dict[str, Augmentation] = {
    function.__name__: function
    for function in (
        left_right_swap,
        time_flip,
        horizontal_flip,
        band_shift,
        time_shift,
        xy_masking,
        frequency_masking,
        time_masking,
        coarse_dropout,
        random_cutout,
        *LOUDNESS,
    )
}
"""Name -> function; a batch passes through the chosen ones in this order, whatever the recipe's own order is."""

MIXING = {"mixup": mixup}
"""Name -> function of what blends samples with each other; it comes last, behind all of the above."""

ALBUMENTATIONS = albumentations_path.NAMES
"""Names that the albumentations path offers as well."""

_MOST = 10_000
SHARES = {"random_cutout": ("height", "width")}
"""Name -> options that are shares of the image's sides."""


def check_augmentation(settings: Mapping[str, Mapping[str, Any]], size: tuple[int, int] | None = None) -> None:
    """Check names and options of a recipe's augmentation table.

    Args:
        settings: name -> options.
        size: (height, width) of the images before layout; without it, sides in pixels are checked when they are used.

    Raises:
        ConfigError: an unknown augmentation or option, or a value out of range.
    """
    functions: dict[str, Callable[..., Any]] = {**AUGMENTATIONS, **MIXING}
    for name, options in settings.items():
        if name not in functions:
            raise ConfigError(f"augmentation {name!r} is unknown; known are {', '.join(functions)}")
        if not isinstance(options, Mapping):
            raise ConfigError(f"augmentation.{name} is {options!r}, expected a table of options")
        known = _defaults(functions[name])
        for key, value in options.items():
            if key not in known:
                raise ConfigError(f"augmentation.{name}.{key} is unknown; known are {', '.join(known)}")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if key == "p":
                good, expected = number and 0 <= value <= 1, "a probability"
            elif key in SHARES.get(name, ()):
                good, expected = number and 0 < value <= 1, "a share of the image, 0 < value <= 1"
            elif isinstance(known[key], float):
                good, expected = number and 0 < value <= _MOST, f"a positive number of at most {_MOST:,}"
            else:
                good = number and isinstance(value, int) and 1 <= value <= _MOST
                expected = f"a whole number of at least 1 and at most {_MOST:,}"
            if not good:
                raise ConfigError(f"augmentation.{name}.{key} is {value!r}, expected {expected}")
    if size is not None and "coarse_dropout" in settings:
        _check_holes(size, settings["coarse_dropout"])


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
        whole = {name: _defaults(AUGMENTATIONS[name]) | dict(options) for name, options in settings.items()}
        if "coarse_dropout" in whole:
            _check_holes(batch.shape[1:3], whole["coarse_dropout"])
        return albumentations_path.augment_images(batch, rng, whole)
    for name, function in AUGMENTATIONS.items():
        if name in settings:
            batch = function(batch, rng, **settings[name])
    return batch


def augment_parts(
    parts: tuple[np.ndarray, ...],
    rng: np.random.Generator,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    library: str = "batched",
) -> tuple[np.ndarray, ...]:
    """Augment the inputs of a network that has several: the same samples are swapped, flipped or masked in each.

    Args:
        parts: (b, ...) arrays, for instance images and the raw signals of the same windows.
        rng: source of every draw.
        settings: as for `augment`.
        library: as for `augment`; several parts can only be ``batched``.
    """
    if len(parts) == 1:
        return (augment(parts[0], rng, settings, library=library),)
    for name, function in AUGMENTATIONS.items():
        if name in settings:
            seed = rng.integers(2**63)
            parts = tuple(function(part, np.random.default_rng(seed), **settings[name]) for part in parts)
    return parts
