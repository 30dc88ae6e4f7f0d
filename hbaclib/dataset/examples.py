"""Picks samples worth looking at and reads what belongs to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, EEG_WINDOW, SPECTROGRAM_WINDOW, VOTE_COLUMNS
from hbaclib.dataset.competition import Competition
from hbaclib.recordings.parquet import read_eeg, read_spectrogram


def class_examples(samples: pd.DataFrame) -> pd.DataFrame:
    """The clearest sample of each class: the greatest share of votes, then the most votes, then the first.

    Args:
        samples: a samples table (``conventions.SAMPLE_COLUMNS``).

    Returns:
        The chosen rows, index = row of the samples table, with a column ``label``; classes that no sample leads are
        left out.
    """
    shares = samples[list(VOTE_COLUMNS)].to_numpy()
    leading = shares.argmax(axis=1)
    order = np.lexsort((-samples["n_votes"].to_numpy(), -shares.max(axis=1)))
    rows = [next((row for row in order if leading[row] == index), None) for index in range(len(CLASSES))]
    chosen = [(row, label) for row, label in zip(rows, CLASSES, strict=True) if row is not None]
    return samples.iloc[[row for row, _ in chosen]].assign(label=[label for _, label in chosen])


def read_sample(competition: Competition, sample: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the two windows of one sample.

    Args:
        competition: the data set.
        sample: a row of its samples table.

    Returns:
        The EEG window (10,000, 20) in µV and the spectrogram window (300, 400), or None where there are no files.
    """
    eeg = read_eeg(competition.eeg_path(int(sample.eeg_id), "train"))
    start = int(sample.eeg_start)
    window = eeg[start : start + EEG_WINDOW]
    path: Path = competition.spectrogram_path(int(sample.spectrogram_id), "train")
    if not path.is_file():
        return window, None
    row = int(sample.spectrogram_row)
    return window, read_spectrogram(path)[row : row + SPECTROGRAM_WINDOW]
