"""The oracle of a synthetic set: what a model that knows the shares behind the votes would predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.conventions import SAMPLE_ID, VOTE_COLUMNS
from hbaclib.errors import DataError, DataFileError, list_some

_EXPECTED = tuple(f"{name}_expected" for name in VOTE_COLUMNS)


def oracle_shares(truth: str | Path | pd.DataFrame, samples: pd.DataFrame, sampling: str) -> np.ndarray:
    """Expected vote shares of each sample.

    Args:
        truth: the truth table of a synthetic set: split, eeg_id, eeg_start, ``<vote column>_expected`` (shares) and
            VOTE_COLUMNS (votes) of every labelled window; or its Parquet file.
        samples: samples table.
        sampling: how the samples were made: ``vote_groups`` (the sample's own window counts), or ``non_overlapping``
            (all windows of the recording, weighted by their votes).

    Returns:
        (n, 6) float64.

    Raises:
        DataFileError: the file cannot be read.
        DataError: columns are missing, or samples have no row.
    """
    if not isinstance(truth, pd.DataFrame):
        try:
            truth = pd.read_parquet(truth)
        except (OSError, ValueError) as error:
            raise DataFileError(f"{truth}: not a readable truth table ({error})") from error
    needed = ("split", "eeg_id", "eeg_start", *_EXPECTED, *VOTE_COLUMNS)
    if missing := [name for name in needed if name not in truth.columns]:
        raise DataError(f"truth: column missing: {list_some(missing)}; found {list_some(truth.columns, 20)}")
    train = truth[truth["split"] == "train"]
    expected = train[list(_EXPECTED)].to_numpy(np.float64)
    if sampling == "non_overlapping":
        votes = train[list(VOTE_COLUMNS)].sum(axis=1).to_numpy()
        sums = pd.DataFrame(expected * votes[:, None]).groupby(train["eeg_id"].to_numpy()).sum()
        position = sums.index.get_indexer(pd.Index(samples["eeg_id"]))
        expected = sums.to_numpy()
    else:
        keys = pd.MultiIndex.from_frame(train[list(SAMPLE_ID)])
        position = keys.get_indexer(pd.MultiIndex.from_frame(samples[list(SAMPLE_ID)]))
    if (position < 0).any():
        absent = samples["eeg_id"].to_numpy()[position < 0]
        raise DataError(f"truth: no row for {len(absent)} of {len(samples)} samples (eeg_id {list_some(absent, 3)})")
    shares = expected[position]
    return shares / shares.sum(axis=1, keepdims=True)
