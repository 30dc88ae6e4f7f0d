"""Spectrograms computed in blocks: of long recordings too, a row is the same however many are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib import kaggle_spectrogram, open_recording
from hbaclib.dataset import from_eeg
from hbaclib.dataset.from_eeg import RowsOfEeg, eeg_places, rows_from_eeg
from tests.dataset.tiny import random_eeg, train_rows, write_eeg


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(from_eeg, "_BLOCK", 50)


@pytest.mark.parametrize("begin", [0.0, 275.0, 274.005, 275.995, -100.3])
def test_rows_asked_for_in_parts_are_those_of_the_whole(tmp_path, small_blocks, begin) -> None:
    eeg = random_eeg(np.random.default_rng(0), 100_001)
    eeg[30_000:31_000, 3] = np.nan
    eeg[60_000:63_000] = np.nan
    write_eeg(tmp_path / "a.parquet", eeg)
    whole = rows_from_eeg(600, [(str(tmp_path / "a.parquet"), begin)])
    with open_recording(tmp_path / "a.parquet") as recording:
        rows = RowsOfEeg(recording, begin)
        assert rows.stop - rows.first > 200
        for start in range(0, 500, 25):
            np.testing.assert_array_equal(rows.take(start, start + 40), whole[start : start + 40])


def test_blocks_are_the_recording_computed_at_once(tmp_path, monkeypatch) -> None:
    eeg = random_eeg(np.random.default_rng(0), 140_000)
    write_eeg(tmp_path / "a.parquet", eeg)
    place = [(str(tmp_path / "a.parquet"), 0.0)]
    at_once = rows_from_eeg(350, place)
    np.testing.assert_array_equal(at_once, kaggle_spectrogram(eeg))
    monkeypatch.setattr(from_eeg, "_BLOCK", 50)
    in_blocks = rows_from_eeg(350, place)
    assert not np.array_equal(in_blocks, at_once)
    np.testing.assert_allclose(in_blocks, at_once, rtol=2e-4)


def test_no_more_than_two_blocks_are_kept_and_none_is_computed_twice(tmp_path, small_blocks, monkeypatch) -> None:
    write_eeg(tmp_path / "a.parquet", random_eeg(np.random.default_rng(0), 140_000))
    computed = []
    compute = RowsOfEeg._compute
    monkeypatch.setattr(RowsOfEeg, "_compute", lambda self, number: computed.append(number) or compute(self, number))
    with open_recording(tmp_path / "a.parquet") as recording:
        rows = RowsOfEeg(recording, 0.0)
        for start in range(0, 320, 5):
            rows.take(start, start + 30)
            assert len(rows._blocks) <= 2
    assert computed == list(range(7))


def test_ids_above_two_to_the_53_stay_what_they_are() -> None:
    train = train_rows(4)
    wide = {name: train[name] + 2**60 + 1 for name in ("eeg_id", "spectrogram_id")}
    places = eeg_places(train.assign(**wide))
    assert [(name, [eeg for eeg, _ in eegs]) for name, (_, eegs) in places.items()] == [
        (500 + 2**60 + 1, [1000 + 2**60 + 1, 1001 + 2**60 + 1]),
        (501 + 2**60 + 1, [1002 + 2**60 + 1, 1003 + 2**60 + 1]),
    ]
