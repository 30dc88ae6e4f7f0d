"""The oracle of a synthetic set: what a model that knows the shares behind the votes would predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, VOTE_COLUMNS
from hbaclib.errors import DataError, DataFileError, list_some

_EXPECTED = tuple(f"expected_{name}" for name in VOTE_COLUMNS)


def oracle_shares(truth: str | Path | pd.DataFrame, samples: pd.DataFrame, sampling: str) -> np.ndarray:
    """Expected vote shares of each sample.

    Args:
        truth: one row per row of train.csv: eeg_id, eeg_label_offset_seconds, n_votes and the expected vote shares of
            the row's annotators (VOTE_COLUMNS, or these with ``expected_`` before them); or the Parquet file.
        samples: samples table.
        sampling: how the samples were made: ``vote_groups`` (the row at the sample's own offset counts), or
            ``non_overlapping`` (all rows of the recording, weighted by their votes).

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
    columns = _EXPECTED if set(_EXPECTED) <= set(truth.columns) else VOTE_COLUMNS
    needed = ("eeg_id", "eeg_label_offset_seconds", "n_votes", *columns)
    if missing := [name for name in needed if name not in truth.columns]:
        raise DataError(f"truth: column missing: {list_some(missing)}; found {list_some(truth.columns, 20)}")
    expected = truth[list(columns)].to_numpy(np.float64)
    if sampling == "non_overlapping":
        weighted = pd.DataFrame(expected * truth[["n_votes"]].to_numpy(), columns=list(columns))
        sums = weighted.groupby(truth["eeg_id"].to_numpy()).sum()
        position = sums.index.get_indexer(pd.Index(samples["eeg_id"]))
        found = sums.to_numpy()
    else:
        starts = (truth["eeg_label_offset_seconds"].to_numpy() * EEG_RATE).astype(int)
        keys = pd.MultiIndex.from_arrays([truth["eeg_id"].to_numpy(), starts])
        position = keys.get_indexer(pd.MultiIndex.from_arrays([samples["eeg_id"], samples["eeg_start"]]))
        found = expected
    if (position < 0).any():
        absent = samples["eeg_id"].to_numpy()[position < 0]
        raise DataError(f"truth: no row for {len(absent)} of {len(samples)} samples (eeg_id {list_some(absent, 3)})")
    shares = found[position]
    return shares / shares.sum(axis=1, keepdims=True)
