"""The table of names: every derived order equals the one written down in the recipes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from hbaclib import conventions as c


def test_vote_columns_follow_the_classes() -> None:
    assert c.VOTE_COLUMNS == ("seizure_vote", "lpd_vote", "gpd_vote", "lrda_vote", "grda_vote", "other_vote")
    assert list(c.SUBMISSION_COLUMNS) == ["eeg_id", *c.VOTE_COLUMNS]
    assert len(c.TRAIN_COLUMNS) == 15


def test_eeg_columns() -> None:
    assert " ".join(c.EEG_COLUMNS) == "Fp1 F3 C3 P3 F7 T3 T5 O1 Fz Cz Pz Fp2 F4 C4 P4 F8 T4 T6 O2 EKG"


def test_spectrogram_columns() -> None:
    assert len(c.SPECTROGRAM_COLUMNS) == len(set(c.SPECTROGRAM_COLUMNS)) == 400
    assert c.SPECTROGRAM_COLUMNS[:2] == ("LL_0.59", "LL_0.78")
    assert c.SPECTROGRAM_COLUMNS[99:101] == ("LL_19.92", "RL_0.59")
    assert [c.SPECTROGRAM_COLUMNS[100 * i][:2] for i in range(4)] == ["LL", "RL", "LP", "RP"]


def test_spectrogram_columns_are_the_real_files(real_data: Path) -> None:
    for path in (real_data / "train_spectrograms").glob("*.parquet"):
        assert tuple(pq.read_schema(path).names) == ("time", *c.SPECTROGRAM_COLUMNS)
    for path in (real_data / "train_eegs").glob("*.parquet"):
        assert tuple(pq.read_schema(path).names) == c.EEG_COLUMNS


def test_swaps() -> None:
    assert c.REGION_SWAP == (1, 0, 3, 2)
    assert c.RAW_SWAP == (6, 7, 4, 5, 2, 3, 0, 1)
    for swap in (c.REGION_SWAP, c.RAW_SWAP, c.ELECTRODE_SWAP):
        assert tuple(swap[swap[index]] for index in range(len(swap))) == tuple(range(len(swap)))
    unmoved = {name for index, name in enumerate(c.EEG_COLUMNS) if c.ELECTRODE_SWAP[index] == index}
    assert unmoved == {"Fz", "Cz", "Pz", "EKG"}


def test_tiers_cover_every_number_of_votes_once() -> None:
    parts = [bounds for tier, bounds in c.VOTE_TIERS.items() if tier != "all"]
    for n in range(1, 29):
        assert sum(low <= n and (high is None or n <= high) for low, high in parts) == 1
    assert c.VOTE_TIERS[">=10"] == (c.MANY_VOTES, None)
