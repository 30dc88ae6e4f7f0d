"""Records and gaps: time is true, whatever the file declares; pieces in any order are those of the whole."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from hbaclib import open_recording, read_eeg
from hbaclib.errors import DataError, DataFileError
from hbaclib.recordings import derived, edf
from tests.recordings.edf_files import LABELS, noise, write_edf

VALUES = noise(2000)
START = datetime(2016, 3, 2, 23, 59, 58)


def onsets_of(gap: float, at: int = 4, n_records: int = 10, first: float = 0.0) -> list[float]:
    return [first + k + (gap if k >= at else 0) for k in range(n_records)]


@pytest.mark.parametrize("declared", ["EDF+D", "EDF+C", "", "other text"])
@pytest.mark.parametrize("gap", [0.025, 0.5, 5, 60, 700])
def test_a_gap_is_nan_of_its_length_whatever_the_file_declares(tmp_path, gap, declared) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets_of(gap), kind=declared)
    hole = round(200 * gap)
    with open_recording(path) as recording:
        assert recording.segments == ((0, 800), (800 + hole, 2000 + hole)) and recording.n_samples == 2000 + hole
        found = recording.read()
        differences = recording.read_differences()
    np.testing.assert_allclose(found[:800], VALUES[:800] / 10, atol=1e-4)
    np.testing.assert_allclose(found[800 + hole :], VALUES[800:] / 10, atol=1e-4)
    assert np.isnan(found[800 : 800 + hole]).all() and np.isnan(differences[800 : 800 + hole]).all()
    assert not np.isnan(differences[:800]).any() and not np.isnan(differences[800 + hole :]).any()
    with open_recording(path, ignore_gaps=True) as recording:
        assert recording.segments == ((0, 2000),)
        np.testing.assert_allclose(recording.read(), VALUES / 10, atol=1e-4)


def test_drift_is_no_gap_and_the_clock_is_set_anew_when_it_adds_up(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets_of(0.005))
    with open_recording(path) as recording:
        assert recording.segments == ((0, 2000),)
    slow = [k * 1.015 for k in range(30)]
    with open_recording(write_edf(tmp_path / "b.edf", noise(6000), onsets=slow)) as recording:
        starts = [start / 200 for start, _ in recording.segments]
        assert len(starts) == 5 and np.allclose(starts, [slow[k] for k in (0, 7, 14, 21, 28)], atol=0.0026)
    fast = [k * 0.985 for k in range(30)]
    with open_recording(write_edf(tmp_path / "c.edf", noise(6000), onsets=fast)) as recording:
        assert all(one[1] == other[0] for one, other in zip(recording.segments, recording.segments[1:], strict=False))
        assert recording.n_samples == pytest.approx(200 * (fast[28] + 2), abs=1)
        assert not np.isnan(recording.read()).any()


@pytest.mark.parametrize(("at", "onset"), [(4, 3.5), (4, 3.97), (1, 0), (9, 2)])
def test_records_that_overlap_or_go_back_are_refused(tmp_path, at, onset) -> None:
    onsets = onsets_of(0)
    onsets[at] = onset
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets)
    words = f"record {at + 1} begins at {onset:g} s and record {at} at {at - 1:g} s; expected 1 s or more"
    with pytest.raises(DataFileError, match=words):
        open_recording(path)
    with pytest.warns(UserWarning, match="gaps ignored"):
        assert len(read_eeg(path, ignore_gaps=True)) == 2000


def test_time_zero_is_the_first_record(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets_of(5, first=0.25))
    with open_recording(path) as recording:
        assert recording.clock == START + timedelta(seconds=0.25) and recording.segments[1] == (1800, 3000)


def test_records_without_an_onset_follow_the_one_before(tmp_path) -> None:
    onsets = [None, 1.0, 2.0, None, None, 65.0, 66.0, None, 68.0, 69.0]
    with open_recording(write_edf(tmp_path / "a.edf", VALUES, onsets=onsets)) as recording:
        assert recording.segments == ((0, 1000), (13_000, 14_000))
        assert "4 records do not say when they began; each taken to follow the one before" in recording.notes
    with open_recording(write_edf(tmp_path / "b.edf", VALUES, onsets=[None] * 10)) as recording:
        assert recording.segments == ((0, 2000),)
        assert "no record says when it began; read without gaps" in recording.notes


def test_a_file_that_declares_gaps_and_has_none(tmp_path) -> None:
    with open_recording(write_edf(tmp_path / "a.edf", VALUES, onsets=onsets_of(0))) as recording:
        assert recording.notes == ("declared EDF+D, but without gaps",)


@pytest.mark.parametrize("text", [b"\0", b"\x14\x14", b"+1e3\x14\x14", b"+\x14\x14", b"1.0\x14", b"+nan\x14\x14",
                                  b"+1.0.0\x14\x14", b"+" + b"1" * 39, b"\xff" * 60])  # fmt: skip
def test_onsets_that_are_none(tmp_path, text) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets_of(5))
    data = bytearray(path.read_bytes())
    size = 8000 + 60
    for k in range(10):
        at = 256 * 22 + (k + 1) * size - 60
        data[at : at + 60] = text.ljust(60, b"\0")
    path.write_bytes(data)
    with open_recording(path) as recording:
        assert recording.segments == ((0, 2000),)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("large", [False, True])
def test_pieces_in_any_order_are_those_of_the_whole(tmp_path, monkeypatch, bits, large) -> None:
    monkeypatch.setattr(edf, "_PIECE", 50_000)
    if large:
        monkeypatch.setattr(edf, "_LARGE", 0)
    size = 300.0 if bits == 16 else 1e6
    values = noise(6000, size=size)
    gain = 0.1 if bits == 16 else 2**-13
    path = write_edf(tmp_path / "a.edf", values, bits=bits, onsets=onsets_of(3, 17, 30), gain=gain)
    rng = np.random.default_rng(1)
    with open_recording(path) as recording:
        whole, differences = recording.read(), recording.read_differences()
        np.testing.assert_allclose(whole[:3400], values[:3400] * gain, rtol=1e-6, atol=1e-4)
        for start in rng.integers(0, recording.n_samples, 40):
            stop = int(start) + int(rng.integers(0, 1500))
            stop = min(stop, recording.n_samples)
            np.testing.assert_array_equal(recording.read(int(start), stop), whole[start:stop])
            np.testing.assert_array_equal(recording.read_differences(int(start), stop), differences[start:stop])
        assert [len(block) for block in recording.blocks(seconds=10)] == [2000, 2000, 2000, 600]
        with recording.another() as again:
            np.testing.assert_array_equal(again.read(100, 200), whole[100:200])
        with pytest.raises(DataError, match="samples 10 to 6601 asked for; it has 6600"):
            recording.read(10, 6601)
        with pytest.raises(DataError, match="blocks of 0 samples"):
            next(recording.blocks(0))


def test_24_bits_have_their_sign_and_their_ends(tmp_path) -> None:
    values = noise(200, bits := 20)
    values[0], values[1], values[2] = 8388607, -8388608, -1
    path = write_edf(tmp_path / "a.bdf", values, bits=24, gain=0.03125)
    source = edf.EdfSource(path)
    for channel in range(bits):
        np.testing.assert_array_equal(source.digital(channel), values[:, channel])
    source.close()


def test_differences_of_24_bits_are_exact_beside_large_offsets(tmp_path) -> None:
    values = noise(2000, size=20.0) + 6_000_000
    values[:, 0] += 1_000_000
    with open_recording(write_edf(tmp_path / "a.bdf", values, bits=24, gain=0.03125)) as recording:
        found = recording.read_differences()[:, 0]
    np.testing.assert_array_equal(found, ((values[:, 0] - values[:, 4]) * 0.03125).astype(np.float32))


def test_too_much_at_once_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(derived, "_SMALL", 100_000)
    monkeypatch.setattr(derived, "available_memory", lambda: 200_000)
    with open_recording(write_edf(tmp_path / "a.edf", VALUES)) as recording:
        with pytest.raises(DataFileError, match=r"2000 samples .* at once need"):
            recording.read()
        assert recording.read(0, 1000).shape == (1000, 20)


def test_a_part_by_seconds(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets_of(2))
    found = read_eeg(path, start=3, seconds=4)
    assert found.shape == (800, 20) and np.isnan(found[200:600]).all()
    np.testing.assert_allclose(found[600:], VALUES[800:1000] / 10, atol=1e-4)


def test_labels_may_repeat_and_annotations_are_no_channels(tmp_path) -> None:
    labels = [*LABELS, LABELS[0]]
    values = noise(2000, 21)
    values[:, 0] = 5
    with open_recording(write_edf(tmp_path / "a.edf", values, labels, onsets=onsets_of(0))) as recording:
        np.testing.assert_allclose(recording.read()[:, 0], values[:, 20] / 10, atol=1e-4)
        assert "channels that repeat another one, left out: EEG Fp1-REF" in recording.notes


@pytest.mark.parametrize(
    ("text", "known"), [("Müller", True), ("M\udcfcller", False), ("\udcff" * 3, False), ("a", True)]
)
@pytest.mark.parametrize("bits", [16, 24])
def test_note_texts_that_are_no_text_are_told_and_harm_nothing(tmp_path, bits, text, known) -> None:
    form = {"bits": bits, "onsets": [*range(5), *range(9, 14)], "annotations": dict.fromkeys((3, 7), text)}
    with open_recording(write_edf(tmp_path / "a.edf", noise(2000), **form)) as recording:
        told = [note for note in recording.notes if "note texts" in note]
        assert told == ([] if known else ["note texts not decodable in 2 records; expected UTF-8 (they are not used)"])
        assert len(recording.segments) == 2 and text not in "".join(recording.notes)
