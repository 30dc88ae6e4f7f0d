from __future__ import annotations

import numpy as np
import pytest

from hbaclib.artefacts import digest_folder
from hbaclib.builtin import segments as room
from hbaclib.builtin.segments import HELD_OUT, SHORT, open_segments, store_segments
from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.errors import ArtefactError

N = 2 * 6 * HELD_OUT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return store_segments(tmp_path_factory.mktemp("segments") / "made", N, seed=5, n_jobs=1)


def test_every_segment_is_a_patient_of_its_own_and_a_tenth_is_held_out_with_all_classes(folder):
    inputs = open_segments(folder)
    table = inputs.samples
    assert len(inputs) == N
    assert table["patient_id"].is_unique
    held_out = table[table["patient_id"].map(inputs.folds) == 0]
    assert len(held_out) == N / HELD_OUT
    assert held_out["meant"].value_counts().to_dict() == dict.fromkeys(CLASSES, 2)


def test_targets_are_shares_and_images_and_signals_are_what_networks_read(folder):
    inputs = open_segments(folder)
    shares = inputs.samples[list(VOTE_COLUMNS)].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    images = inputs.gather(np.arange(6), "eeg_absolute")
    assert images.shape == (6, 128, 256, 4)
    assert np.isfinite(images).all()
    signals = inputs.gather(np.arange(6), "raw")
    assert signals.shape == (6, 2000, 8)
    assert np.isfinite(signals).all()
    # The class that a segment is meant to show is mostly the one that experts would name.
    named = np.array(CLASSES)[shares.argmax(axis=1)]
    assert (named == inputs.samples["meant"]).mean() > 0.6


def test_some_are_short_as_users_recordings_are(folder):
    table = open_segments(folder).samples
    share = (table["short"] != "").mean()
    assert abs(share - sum(SHORT.values())) < 0.12
    short = table[table["short"] != ""]
    assert short["seconds"].between(10, 50, inclusive="left").all()
    assert (short["seconds"] == 10).any()


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(folder, tmp_path):
    again = store_segments(tmp_path / "again", N, seed=5, n_jobs=2)
    assert digest_folder(again) == digest_folder(folder)
    other = store_segments(tmp_path / "other", 12, seed=6, n_jobs=1)
    first = open_segments(other).gather(np.arange(12), "raw")
    assert not np.array_equal(first, open_segments(folder).gather(np.arange(12), "raw"))


def test_what_is_finished_is_not_made_again_and_what_was_changed_is_refused(tmp_path, monkeypatch):
    made = store_segments(tmp_path / "made", 12, seed=5, n_jobs=1)

    def fail(work):
        raise AssertionError("made again")

    monkeypatch.setattr(room, "_make_block", fail)
    assert store_segments(tmp_path / "made", 12, seed=5, n_jobs=1) == made
    (made / "samples.parquet").write_bytes(b"spoilt")
    with pytest.raises(ArtefactError, match=r"samples\.parquet"):
        open_segments(made)
