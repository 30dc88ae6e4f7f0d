"""From label rows to samples: the two aggregations of the field."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, SAMPLE_COLUMNS, SPECTROGRAM_STEP, VOTE_COLUMNS
from hbaclib.dataset.tables import check_labels

_NEEDED = (
    "eeg_id",
    "spectrogram_id",
    "patient_id",
    "eeg_label_offset_seconds",
    "spectrogram_label_offset_seconds",
    *VOTE_COLUMNS,
)


def non_overlapping_samples(train: pd.DataFrame) -> pd.DataFrame:
    """One sample per recording: its votes summed, its middle window.

    Args:
        train: rows of ``train.csv``.

    Returns:
        One row per ``eeg_id``, ascending, columns SAMPLE_COLUMNS: votes summed over the rows and divided by their
        total; ``n_votes`` of the row with most; ``eeg_start`` (sample) the middle of the file, which is as long as its
        last window needs; ``spectrogram_row`` the middle of the first and the last window.

    Raises:
        DataError: naming every fault of the rows.

    Source: the aggregation of the public starters of the competition (2024), both windows at one middle.
    """
    train = check_labels(train, _NEEDED)
    rows = train.assign(n_votes=train[list(VOTE_COLUMNS)].sum(axis=1))
    groups = rows.groupby("eeg_id", sort=True)
    seconds = groups["spectrogram_label_offset_seconds"].agg(["min", "max"])
    samples = groups[["spectrogram_id", "patient_id"]].first()
    samples["eeg_start"] = (groups["eeg_label_offset_seconds"].max() * EEG_RATE).astype(np.int64) // 2
    samples["spectrogram_row"] = ((seconds["min"] + seconds["max"]) // (2 * SPECTROGRAM_STEP)).astype(np.int64)
    samples["n_votes"] = groups["n_votes"].max()
    return _finish(samples.reset_index(), groups[list(VOTE_COLUMNS)].sum().to_numpy(np.float64))


def vote_group_samples(train: pd.DataFrame) -> pd.DataFrame:
    """One sample per distinct vote of a recording: the middle window of the rows that share it.

    Args:
        train: rows of ``train.csv``.

    Returns:
        One row per distinct (``eeg_id``, votes), columns SAMPLE_COLUMNS, ordered by recording and window: both windows
        are those of the group's middle row in time (the lower of two).

    Raises:
        DataError: naming every fault of the rows.

    Source: the sampling of the competition's best solutions (2024).
    """
    train = check_labels(train, [*_NEEDED, "label_id"])
    keys = ["eeg_id", *VOTE_COLUMNS]
    rows = train.sort_values(["eeg_id", "eeg_label_offset_seconds", "label_id"], kind="stable")
    groups = rows.groupby(keys, sort=False)
    middle = (groups["label_id"].transform("size") - 1) // 2
    chosen = rows[groups.cumcount() == middle].reset_index(drop=True)
    votes = chosen[list(VOTE_COLUMNS)].to_numpy(np.float64)
    samples = chosen[["eeg_id", "spectrogram_id", "patient_id"]].copy()
    samples["eeg_start"] = (chosen["eeg_label_offset_seconds"] * EEG_RATE).astype(np.int64)
    samples["spectrogram_row"] = chosen["spectrogram_label_offset_seconds"].astype(np.int64) // SPECTROGRAM_STEP
    samples["n_votes"] = votes.sum(axis=1)
    return _finish(samples, votes)


SAMPLINGS = {"vote_groups": vote_group_samples, "non_overlapping": non_overlapping_samples}
"""Name of a sampling -> its function."""


def _finish(samples: pd.DataFrame, votes: np.ndarray) -> pd.DataFrame:
    samples["n_votes"] = samples["n_votes"].astype(np.int64)
    samples[list(VOTE_COLUMNS)] = votes / votes.sum(axis=1, keepdims=True)
    return samples[list(SAMPLE_COLUMNS)]
