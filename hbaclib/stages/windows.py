"""What a worker process of stages 02 and 03 runs. It loads no table library, so that processes start quickly."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_WINDOW, IMAGE_SHAPE, RAW_PAIRS, REGIONS, SPECTROGRAM_WINDOW
from hbaclib.errors import DataFileError
from hbaclib.recordings.parquet import load_eeg
from hbaclib.signal.images import spectrogram_image
from hbaclib.signal.mel import eeg_spectrogram
from hbaclib.signal.raw import raw_signals
from hbaclib.stages.names import EEG_SPECTROGRAMS, KAGGLE_IMAGES, RAW_SIGNALS


def eeg_block(work: list[tuple[str, list[int]]]) -> tuple[dict[str, np.ndarray], None]:
    """Both products of some recordings: path of each and the first samples of its windows."""
    n = sum(len(starts) for _, starts in work)
    images = np.empty((n, *IMAGE_SHAPE, len(REGIONS)), np.float16)
    signals = np.empty((n, EEG_WINDOW // 5, len(RAW_PAIRS)), np.float16)
    row = 0
    for path, starts in work:
        eeg, _ = load_eeg(path)
        for start in starts:
            window = eeg[start : start + EEG_WINDOW]
            if len(window) < EEG_WINDOW:
                raise DataFileError(f"{path}: {len(eeg)} rows; a window at {start} needs {start + EEG_WINDOW}")
            images[row], signals[row] = eeg_spectrogram(window), raw_signals(window)
            row += 1
    return {EEG_SPECTROGRAMS: images, RAW_SIGNALS: signals}, None


def image_block(work: tuple[str, list[int]]) -> tuple[dict[str, np.ndarray], None]:
    """Images of some samples: path of the stored spectrogram rows and the first row of each window."""
    path, starts = work
    rows = np.load(path, mmap_mode="r")
    images = [
        spectrogram_image(np.exp(rows[start : start + SPECTROGRAM_WINDOW].astype(np.float32))) for start in starts
    ]
    return {KAGGLE_IMAGES: np.stack(images)}, None
