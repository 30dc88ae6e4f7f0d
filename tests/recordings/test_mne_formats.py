"""What MNE reads: a file of another format and an object of MNE's are recordings like others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hbaclib import open_recording
from hbaclib.errors import DataFileError, PlatformError
from hbaclib.recordings.mne_formats import recording_of
from tests.recordings.edf_files import LABELS, noise

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
