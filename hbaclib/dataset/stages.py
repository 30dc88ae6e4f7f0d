"""What the first three stages share: names of files, digests of recordings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hbaclib.artefacts import digest_bytes, digest_file, digest_json

SAMPLES, FOLDS, QUALITY, FAULTS = "samples.parquet", "folds.parquet", "quality.parquet", "faults.parquet"
SPECTROGRAM_ROWS, SPECTROGRAM_INDEX = "spectrogram_rows.npy", "spectrogram_index.parquet"
EEG_SPECTROGRAMS, RAW_SIGNALS, KAGGLE_IMAGES = "eeg_spectrograms.npy", "raw_signals.npy", "kaggle_images.npy"
WIDE_SIGNALS = "wide_signals.npy"

_FOOTER = 64 * 1024


def digest_source(folder: str | Path) -> str:
    """Digest of a data set's training part: ``train.csv`` and every recording in the folders beside it.

    Of a recording its name, size and last 64 KiB count: the Parquet footer, which holds the statistics of every column.
    Times do not count.
    """
    folder = Path(folder)
    files = [path for kind in ("eegs", "spectrograms") for path in (folder / f"train_{kind}").glob("*.parquet")]
    return digest_json([digest_file(folder / "train.csv"), digest_recordings(folder, files)])


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """Bounds of consecutive blocks of at most ``size`` of n things."""
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]


def digest_recordings(root: Path, files: Iterable[Path]) -> str:
    """Digest of recordings: name below ``root``, size and last 64 KiB of each; a missing file counts as missing."""

    def footer(path: Path) -> tuple[str, int, str]:
        try:
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _FOOTER))
                return path.relative_to(root).as_posix(), size, digest_bytes(file.read())
        except OSError:
            return path.relative_to(root).as_posix(), -1, ""

    with ThreadPoolExecutor(8) as pool:
        return digest_json(sorted(pool.map(footer, files, chunksize=64)))
