"""Both aggregations against plain loops over the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib import non_overlapping_samples, vote_group_samples
from hbaclib.conventions import SAMPLE_COLUMNS, VOTE_COLUMNS
from tests.dataset.tiny import train_rows

tables = st.builds(
    lambda n_eegs, rows, seed: train_rows(n_eegs, rows, seed).sample(frac=1, random_state=seed),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(0, 99),
)


def few_votes(train: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Make groups of rows share their votes."""
    rng = np.random.default_rng(seed)
    choices = np.array([[0, 0, 3, 0, 0, 0], [1, 0, 2, 0, 0, 0], [0, 12, 0, 0, 0, 4]])
    votes = choices[rng.integers(0, 3, len(train))]
    return train.assign(**{name: votes[:, index] for index, name in enumerate(VOTE_COLUMNS)})


@settings(max_examples=40, deadline=None)
@given(tables)
def test_non_overlapping(train: pd.DataFrame) -> None:
    samples = non_overlapping_samples(train)
    assert list(samples.columns) == list(SAMPLE_COLUMNS)
    assert samples.index.equals(pd.RangeIndex(train["eeg_id"].nunique()))
    for row in samples.itertuples():
        rows = train[train["eeg_id"] == row.eeg_id]
        votes = rows[list(VOTE_COLUMNS)].sum()
        offsets = rows["spectrogram_label_offset_seconds"]
        n_samples = int(200 * rows["eeg_label_offset_seconds"].max()) + 10_000
        assert row.eeg_start == (n_samples - 10_000) // 2
        assert row.spectrogram_row == int((offsets.min() + offsets.max()) // 4)
        assert row.n_votes == rows[list(VOTE_COLUMNS)].sum(axis=1).max()
        assert (row.spectrogram_id, row.patient_id) == tuple(rows[["spectrogram_id", "patient_id"]].iloc[0])
        np.testing.assert_allclose([getattr(row, name) for name in VOTE_COLUMNS], votes / votes.sum())


@settings(max_examples=40, deadline=None)
@given(tables, st.integers(0, 9))
def test_vote_groups(train: pd.DataFrame, seed: int) -> None:
    train = few_votes(train, seed)
    samples = vote_group_samples(train)
    assert list(samples.columns) == list(SAMPLE_COLUMNS)
    groups = train.groupby(["eeg_id", *VOTE_COLUMNS])
    assert samples.index.equals(pd.RangeIndex(groups.ngroups))
    found = {(row.eeg_id, row.eeg_start): row for row in samples.itertuples()}
    for key, rows in groups:
        ordered = rows.sort_values("eeg_label_offset_seconds")
        middle = ordered.iloc[(len(rows) - 1) // 2]
        row = found[(key[0], int(middle["eeg_label_offset_seconds"] * 200))]
        assert row.spectrogram_row == int(middle["spectrogram_label_offset_seconds"]) // 2
        assert row.n_votes == sum(key[1:])
        np.testing.assert_allclose([getattr(row, name) for name in VOTE_COLUMNS], np.array(key[1:]) / sum(key[1:]))


@pytest.mark.parametrize("sampling", [non_overlapping_samples, vote_group_samples])
def test_shares_sum_to_one_and_recordings_lie_together(sampling) -> None:
    samples = sampling(few_votes(train_rows(7, 12).sample(frac=1, random_state=3)))
    np.testing.assert_allclose(samples[list(VOTE_COLUMNS)].sum(axis=1), 1)
    assert samples["eeg_id"].is_monotonic_increasing
    assert not samples.duplicated(["eeg_id", "eeg_start"]).any()


def test_the_middle_window_has_one_centre_in_both_files() -> None:
    samples = non_overlapping_samples(train_rows(4, 5))
    spectrogram_second = 2 * samples["spectrogram_row"] - np.array([0, 60, 0, 60])
    assert (samples["eeg_start"] / 200 == spectrogram_second).all()
