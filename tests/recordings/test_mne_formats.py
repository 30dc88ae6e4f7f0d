"""What MNE reads: a file of another format and an object of MNE's are recordings like others."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib import open_recording
from hbaclib.cli.main import main
from hbaclib.errors import DataFileError, PlatformError
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.recordings.mne_formats import MneSource, recording_of
from tests.recordings.edf_files import LABELS, noise, write_edf
from tests.recordings.mne_files import WRITERS
from tests.timeline.made import Answers

mne = pytest.importorskip("mne")
EEG = noise(256 * 20) / 10


def raw_of(rate: float = 256.0):
    info = mne.create_info(list(LABELS), rate, "eeg")
    raw = mne.io.RawArray(EEG.T * 1e-6, info, verbose="ERROR")
    raw.set_meas_date(1_456_963_198)
    return raw


def test_an_object_of_mnes(tmp_path: Path) -> None:
    with recording_of(raw_of()) as recording:
        assert recording.rate == 256 and recording.n_samples == 4000 and recording.missing == ()
        assert recording.clock is not None and recording.clock.isoformat() == "2016-03-02T23:59:58"
        whole = recording.read_differences()
        np.testing.assert_array_equal(recording.read_differences(1111, 2222), whole[1111:2222])
        recording.verify()
    with recording_of(raw_of(200.0)) as recording:
        np.testing.assert_allclose(recording.read(), EEG, atol=1e-4)
        with recording.another() as again:
            np.testing.assert_array_equal(again.read(5, 10), recording.read(5, 10))


def test_skipped_time_is_a_gap() -> None:
    raw = raw_of(200.0)
    raw.set_annotations(mne.Annotations([5.0], [3.0], ["BAD_ACQ_SKIP"], orig_time=raw.info["meas_date"]))
    with recording_of(raw) as recording:
        assert recording.segments == ((0, 1000), (1600, 5120))
        assert np.isnan(recording.read()[1000:1600]).all()


def source_of(n_samples: int, notes: list[tuple[float, float]], first: int = 0, rate: float = 200.0) -> MneSource:
    """Of an object that has what is asked of one of MNE's, and no samples."""
    info = {"sfreq": rate, "highpass": 0.0, "lowpass": rate / 2, "meas_date": None}
    told = [{"onset": begin, "duration": length, "description": "BAD_ACQ_SKIP"} for begin, length in notes]
    told.append({"onset": 0.0, "duration": n_samples / rate, "description": "bad"})
    return MneSource(
        SimpleNamespace(n_times=n_samples, first_samp=first, annotations=told, info=info, ch_names=["Fp1"])
    )


@settings(max_examples=100, deadline=None)
@given(
    notes=st.lists(st.tuples(st.integers(-30, 130), st.integers(0, 40)), max_size=6),
    n_samples=st.integers(1, 100),
    first=st.sampled_from([0, 7]),
)
def test_what_is_left_is_what_no_note_covers(notes: list[tuple[int, int]], n_samples: int, first: int) -> None:
    """Sample by sample, as memory allows it here: notes that overlap, touch, reach beyond an end or have no length."""
    kept = np.ones(n_samples, bool)
    for begin, length in notes:
        kept[max(begin - first, 0) : max(begin + length - first, 0)] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int8), [0]]))).reshape(-1, 2).tolist()
    expected = [(begin / 200, begin, end - begin) for begin, end in edges] or [(0.0, 0, n_samples)]
    found = source_of(n_samples, [(begin / 200, length / 200) for begin, length in notes], first).stretches
    assert [(each.onset, each.first, each.n_records) for each in found] == expected


def test_a_day_takes_no_array_of_its_length() -> None:
    day = 24 * 3600 * 2000
    tracemalloc.start()
    try:
        source = source_of(day, [(3600.0 * k, 60.0) for k in range(1, 24)], rate=2000.0)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert len(source.stretches) == 24 and sum(each.n_records for each in source.stretches) == day - 23 * 120_000


MARKER = "DoeJane19700101"
DIGITAL = noise(70 * 200)


@pytest.mark.parametrize("name", WRITERS)
def test_other_formats_say_what_edf_says_and_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    path = WRITERS[name](tmp_path / "in", DIGITAL, LABELS, 200, MARKER)
    given = {each: each.read_bytes() for each in (tmp_path / "in").iterdir()}
    assert any(MARKER.encode() in data or MARKER.encode("utf-16-le") in data for data in given.values())
    edf = write_edf(tmp_path / "in" / "b.edf", DIGITAL)
    with open_recording(path) as one, open_recording(edf) as other:
        assert (one.montage, one.missing, one.segments) == (other.montage, other.missing, other.segments)
        np.testing.assert_allclose(one.read(), other.read(), atol=2e-4)
        np.testing.assert_allclose(one.read_differences(), other.read_differences(), atol=4e-4)
        assert MARKER not in repr({key: value for key, value in vars(one).items() if key != "source"})
    facts, shares = {}, {}
    for each, out in ((path, tmp_path / "one"), (edf, tmp_path / "other")):
        networks = Answers()
        networks.members = {}
        monkeypatch.setattr(EnsemblePredictor, "open", lambda *_, networks=networks, **__: networks)
        for words in (["check"], ["check", "--json"], ["predict", "synthetic", "--out-dir", str(out)]):
            answer = CliRunner().invoke(main, [*words, str(each)])
            assert answer.exit_code == 0, answer.output
            assert MARKER not in answer.output
            if "--json" in words:
                facts[each] = json.loads(answer.stdout)
        assert len(list(out.iterdir())) == 5 and all(MARKER.encode() not in file.read_bytes() for file in out.iterdir())
        (table,) = out.glob("*-timeline.csv")
        shares[each] = pd.read_csv(table).drop(columns=["file", "clock"])
    assert {each.name for each in tmp_path.iterdir()} == {"in", "one", "other"}
    for key in ("montage", "missing", "segments", "windows", "fault", "rate"):
        assert facts[path][key] == facts[edf][key], key
    pd.testing.assert_frame_equal(shares[path], shares[edf], rtol=0, atol=1e-4)
    assert all(each.read_bytes() == data for each, data in given.items()), "what is read is not changed"


def test_a_file_of_mnes(tmp_path: Path) -> None:
    raw_of().save(tmp_path / "a_raw.fif", verbose="ERROR")
    with open_recording(tmp_path / "a_raw.fif", channels={"EEG T3-REF": ""}) as recording:
        assert recording.missing == ("T3",) and recording.n_samples == 4000


def test_a_damaged_file_and_no_mne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.vhdr").write_text("Brain Vision Data Exchange Header File Version 1.0\n")
    with pytest.raises(DataFileError, match=r"a\.vhdr: MNE cannot read it \(.*\); expected a whole recording"):
        open_recording(tmp_path / "a.vhdr")
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(PlatformError, match=r'needs MNE; pip install "hbaclib\[formats\]"'):
        open_recording(tmp_path / "a.vhdr")
