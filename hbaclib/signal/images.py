"""From spectrograms to the networks' images, and the left-right swaps."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, EEG_WINDOW, IMAGE_SHAPE, RAW_SWAP, REGION_SWAP, REGIONS, SPECTROGRAM_WINDOW
from hbaclib.errors import DataError
from hbaclib.signal.mel import eeg_spectrogram
from hbaclib.signal.montage import DIFFERENCES

_BINS = 100
_LOWEST, _HIGHEST = np.float32(np.exp(-4)), np.float32(np.exp(8))
_EDGE = 22
"""Rows (of 2 s) cut off at both ends, so that the image shows the central 512 s."""
_FLOOR = np.float32(1e-6)
_MARGIN = (IMAGE_SHAPE[0] - _BINS) // 2
"""Empty rows of the image above and below the frequencies."""


def spectrogram_image(rows: np.ndarray) -> np.ndarray:
    """Scale one Kaggle spectrogram window to the network's image planes.

    Args:
        rows: (300, 400) power density in µV²/Hz, 2 s per row, columns as SPECTROGRAM_COLUMNS. NaN allowed.

    Returns:
        (128, 256, 4) float32, channels LL, RL, LP, RP: each region clipped to [e^-4, e^8], logarithm, standardised by
        its own mean and deviation over the ten minutes, halved; rows 14..113 hold the 100 frequencies of the central
        512 s, the 14 rows above and below are 0. A value that was NaN is 0 (the mean), and so is a whole region that
        has no data or is constant.

    Raises:
        DataError: the shape is not (300, 400).

    Source: clip and standardise as in the public EfficientNet starter (C. Deotte, 2024).
    """
    logs = _log_power(rows)
    image = np.zeros((*IMAGE_SHAPE, len(REGIONS)), np.float32)
    for channel in range(len(REGIONS)):
        plane = _standardise(logs[:, channel * _BINS : (channel + 1) * _BINS])
        image[_MARGIN:-_MARGIN, :, channel] = plane[_EDGE:-_EDGE].T / 2
    return image


def region_scales(rows: np.ndarray) -> np.ndarray:
    """What turns the planes of `spectrogram_image` into those of one common scale (see `on_common_scale`).

    Args:
        rows: (300, 400) power density in µV²/Hz. NaN allowed.

    Returns:
        (4, 2) float32, regions LL, RL, LP, RP: factor and offset. A region without data has (0, 0).
    """
    logs = _log_power(rows)
    known = logs[np.isfinite(logs)].astype(np.float64)
    scales = np.zeros((len(REGIONS), 2), np.float32)
    if known.size == 0 or known.max() - known.min() < _FLOOR:
        return scales
    mean, spread = known.mean(), known.std() + _FLOOR
    for region, scale in enumerate(scales):
        own = logs[:, region * _BINS : (region + 1) * _BINS]
        own = own[np.isfinite(own)].astype(np.float64)
        if own.size:
            scale[:] = (own.std() + _FLOOR) / spread, (own.mean() - mean) / spread / 2
    return scales


def on_common_scale(images: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Put the four regions of `spectrogram_image` on one scale: standardised together, not each for itself.

    So the louder side stays the brighter one. A value that was missing counts as its region's mean.

    Args:
        images: (..., 128, 256, 4).
        scales: (..., 4, 2), as `region_scales` gives them.

    Returns:
        Images of the same shape and type.
    """
    common = np.zeros_like(images)
    inside = slice(_MARGIN, -_MARGIN)
    scales = np.asarray(scales)[..., None, None, :, :]
    common[..., inside, :, :] = images[..., inside, :, :] * scales[..., 0] + scales[..., 1]
    return common


def assemble_input(rows: np.ndarray, eeg: np.ndarray) -> np.ndarray:
    """Join both halves of the 8-channel input.

    Args:
        rows: (300, 400) power density in µV²/Hz: the ten-minute window.
        eeg: (10000, 20) EEG in µV, or (10000, 24) differences: the 50-s window with the same centre.

    Returns:
        (128, 256, 8) float32, channels 0-3 `spectrogram_image`, 4-7 `hbaclib.eeg_spectrogram`, both LL, RL, LP, RP.

    Raises:
        DataError: a shape is not as above.
    """
    if np.shape(eeg) not in ((EEG_WINDOW, len(EEG_COLUMNS)), (EEG_WINDOW, len(DIFFERENCES))):
        raise DataError(f"EEG window has shape {np.shape(eeg)}, expected ({EEG_WINDOW}, {len(EEG_COLUMNS)})")
    return np.concatenate([spectrogram_image(rows), eeg_spectrogram(eeg)], axis=-1)


def swap_left_right(image: np.ndarray) -> np.ndarray:
    """Exchange the hemispheres of an image.

    Args:
        image: (..., 128, 256, 8) or (..., 128, 256, 4).

    Returns:
        The same shape, the left and right regions of each half exchanged. Done twice it gives the image back.

    Raises:
        DataError: there are neither 4 nor 8 channels.
    """
    image = np.asarray(image)
    channels = image.shape[-1] if image.ndim >= 3 else 0
    if channels not in (4, 8):
        raise DataError(f"image has shape {image.shape}, expected (..., 128, 256, 8) or (..., 128, 256, 4)")
    return image[..., [half + index for half in range(0, channels, 4) for index in REGION_SWAP]]


def swap_left_right_raw(signals: np.ndarray) -> np.ndarray:
    """Exchange the hemispheres of the eight raw signals.

    Args:
        signals: (..., n, 8), signals as RAW_PAIRS.

    Returns:
        The same shape. Done twice it gives the signals back.

    Raises:
        DataError: there are not 8 signals.
    """
    signals = np.asarray(signals)
    if signals.ndim < 2 or signals.shape[-1] != len(RAW_SWAP):
        raise DataError(f"raw signals have shape {signals.shape}, expected (..., n, {len(RAW_SWAP)})")
    return signals[..., list(RAW_SWAP)]


def tile_layout(images: np.ndarray) -> np.ndarray:
    """Lay the planes out side by side, as three equal colour channels.

    Args:
        images: (..., 128, 256, 8) or (..., 128, 256, 4).

    Returns:
        (..., 512, 512, 3): the four Kaggle planes one above the other on the left, the four EEG planes on the right;
        with four channels (..., 512, 256, 3).

    Raises:
        DataError: the shape is another one.

    Source: the layout of the public EfficientNet starter (C. Deotte, 2024).
    """
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[-3:-1] != IMAGE_SHAPE or images.shape[-1] not in (4, 8):
        raise DataError(f"images have shape {images.shape}, expected (..., 128, 256, 8) or (..., 128, 256, 4)")
    planes = np.moveaxis(images, -1, -3)
    halves = [
        planes[..., first : first + 4, :, :].reshape(*planes.shape[:-3], 4 * IMAGE_SHAPE[0], IMAGE_SHAPE[1])
        for first in range(0, images.shape[-1], 4)
    ]
    return np.repeat(np.concatenate(halves, axis=-1)[..., None], 3, axis=-1)


def starter_layout(rows: np.ndarray) -> np.ndarray:
    """Turn one Kaggle spectrogram window into the image of the KerasCV starter.

    Args:
        rows: (300, 400) power density in µV²/Hz. NaN allowed.

    Returns:
        (400, 300, 3) float32: transposed, clipped to [e^-4, e^8], logarithm, the whole image standardised, NaN 0,
        repeated to three channels. A window without data, or a constant one, is 0 everywhere.

    Raises:
        DataError: the shape is not (300, 400).

    Source: the public KerasCV starter of the competition (A. Awsaf, 2024).
    """
    return np.repeat(_standardise(_log_power(rows)).T[..., None], 3, axis=-1)


def _log_power(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    if rows.shape != (SPECTROGRAM_WINDOW, _BINS * len(REGIONS)):
        raise DataError(f"spectrogram window has shape {rows.shape}, expected ({SPECTROGRAM_WINDOW}, 400)")
    return np.log(np.clip(rows, _LOWEST, _HIGHEST))


def _standardise(values: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation over what is there; 0 for the rest and where all values are equal."""
    known = np.isfinite(values)
    there = values[known].astype(np.float64)
    # The logarithm of a constant has a deviation of rounding size, which must not be blown up to a pattern.
    if there.size == 0 or there.max() - there.min() < _FLOOR:
        return np.zeros_like(values)
    scaled = (values - np.float32(there.mean())) / (np.float32(there.std()) + _FLOOR)
    return np.where(known, scaled, np.float32(0))
