"""What a worker process of stages 02 and 03 runs. It loads no table library, so that processes start quickly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hbaclib.conventions import EEG_WINDOW, SPECTROGRAM_WINDOW
from hbaclib.errors import DataFileError
from hbaclib.recordings.parquet import load_eeg
from hbaclib.signal.images import region_scales, spectrogram_image
from hbaclib.stages.names import KAGGLE_IMAGES, KAGGLE_SCALES

Products = Mapping[str, tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]]
"""File name -> shape of one row, and the function that makes it of a window (10000, 20)."""


def eeg_block(products: Products, work: list[tuple[str, list[int]]]) -> tuple[dict[str, np.ndarray], None]:
    """Products of the windows of some recordings: path of each and the first samples of its windows."""
    n = sum(len(starts) for _, starts in work)
    rows = {name: np.empty((n, *shape), np.float16) for name, (shape, _) in products.items()}
    row = 0
    for path, starts in work:
        eeg, _ = load_eeg(path)
        for start in starts:
            window = eeg[start : start + EEG_WINDOW]
            if len(window) < EEG_WINDOW:
                raise DataFileError(f"{path}: {len(eeg)} rows; a window at {start} needs {start + EEG_WINDOW}")
            for name, (_, make) in products.items():
                rows[name][row] = make(window)
            row += 1
    return rows, None


def image_block(work: tuple[str, list[int]]) -> tuple[dict[str, np.ndarray], None]:
    """Images of some samples, and the scales of their regions.

    Args:
        work: path of the stored spectrogram rows, and the first row of each sample's window.
    """
    path, starts = work
    rows = np.load(path, mmap_mode="r")
    windows = [np.exp(rows[start : start + SPECTROGRAM_WINDOW].astype(np.float32)) for start in starts]
    images, scales = map(spectrogram_image, windows), map(region_scales, windows)
    return {KAGGLE_IMAGES: np.stack(list(images)), KAGGLE_SCALES: np.stack(list(scales))}, None
