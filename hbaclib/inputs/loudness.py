"""Augmentations of loudness: of the whole recording, of one region, of a band of frequencies; and noise.

On images one unit is 40 dB, the scale of `hbaclib.eeg_spectrogram`; on raw signals a change in dB is a factor.
"""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import REGIONS

DECIBELS = 40.0
"""Decibels of one unit of an image."""


def chosen(n: int, p: float, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the samples of a batch that are changed, each with probability ``p``."""
    # One draw a sample whatever p is, so that changing p does not move the other augmentations' draws.
    return np.flatnonzero(rng.random(n) < p)


def amplitude(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: float = 6.0) -> np.ndarray:
    """Make a recording louder or softer by up to ``most`` dB: all planes, or all signals, alike."""
    rows = chosen(len(batch), p, rng)
    changes = rng.uniform(-most, most, len(rows)).astype(np.float32)
    for row, change in zip(rows, changes, strict=True):
        _change(batch[row], change)
    return batch


def electrode_gain(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: float = 6.0) -> np.ndarray:
    """Make one region louder or softer by up to ``most`` dB, as a badly fixed electrode does.

    Of images it is one of the four regions, in each half of the planes; of raw signals, the two that share that
    region's middle electrode.
    """
    rows = chosen(len(batch), p, rng)
    changes = rng.uniform(-most, most, len(rows)).astype(np.float32)
    regions = rng.integers(0, len(REGIONS), len(rows))
    for row, change, region in zip(rows, changes, regions, strict=True):
        _change(batch[row][..., region::4] if batch.ndim == 4 else batch[row][..., 2 * region : 2 * region + 2], change)
    return batch


def band_gain(
    batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: float = 6.0, width: int = 32
) -> np.ndarray:
    """Raise or lower a band of frequencies by up to ``most`` dB at its middle, ``width`` pixels high; signals stay."""
    rows = chosen(len(batch), p, rng)
    if batch.ndim != 4:
        return batch
    height = batch.shape[1]
    changes = rng.uniform(-most, most, len(rows)).astype(np.float32)
    middles = rng.uniform(0, height, len(rows))
    for row, change, middle in zip(rows, changes, middles, strict=True):
        away = np.clip(np.abs(np.arange(height) + 0.5 - middle) * 2 / width, 0, 1)
        batch[row] += (change / DECIBELS * np.cos(np.pi / 2 * away) ** 2).astype(np.float32)[:, None, None]
    return batch


def noise(batch: np.ndarray, rng: np.random.Generator, *, p: float = 0.5, most: float = 0.1) -> np.ndarray:
    """Add Gaussian noise, its deviation up to ``most``: units of an image, or shares of a signal's own deviation."""
    rows = chosen(len(batch), p, rng)
    sizes = rng.uniform(0, most, len(rows)).astype(np.float32)
    for row, size in zip(rows, sizes, strict=True):
        sample = batch[row]
        spread = size if batch.ndim == 4 else size * sample.std(axis=0, keepdims=True)
        sample += spread * rng.standard_normal(sample.shape, np.float32)
    return batch


def _change(values: np.ndarray, change: float) -> None:
    """Make images (three axes) or signals (two) louder by so many dB, in place."""
    if values.ndim == 3:
        values += np.float32(change / DECIBELS)
    else:
        values *= np.float32(10 ** (change / 20))


LOUDNESS = (amplitude, electrode_gain, band_gain, noise)
"""In the order in which a batch passes through them."""
