"""What the first three stages share: names of files, blocks."""

from __future__ import annotations

SAMPLES, FOLDS, QUALITY, FAULTS = "samples.parquet", "folds.parquet", "quality.parquet", "faults.parquet"
SPECTROGRAM_ROWS, SPECTROGRAM_INDEX = "spectrogram_rows.npy", "spectrogram_index.parquet"
EEG_SPECTROGRAMS, RAW_SIGNALS, KAGGLE_IMAGES = "eeg_spectrograms.npy", "raw_signals.npy", "kaggle_images.npy"
WIDE_SIGNALS = "wide_signals.npy"


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """Bounds of consecutive blocks of at most ``size`` of n things."""
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]
