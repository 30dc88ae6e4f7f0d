"""Real EDF and BDF files of many makers: what is found in each, and the values of three other readers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbaclib import open_recording
from hbaclib.errors import DataFileError
from hbaclib.recordings.edf import EdfSource
from tests.recordings.other_readers import READERS, has_no_wheel, without_annotations


@dataclass(frozen=True)
class Expected:
    """What a file holds; ``notes`` must be among the notes, ``error`` is why it cannot be opened."""

    rate: float = 0
    seconds: float = 0
    montage: str = ""
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    fault: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


MIDLINE = ("Fz", "Cz", "Pz")
FILES = {
    "mne_test_edf_stim_channel.edf": Expected(
        128, 9.595, "referential, reference not named", notes=("reserved field", "channels left out: EOG VEOG_I")
    ),
    "mne_duplicate_channel_labels.edf": Expected(error="no channel is an electrode's: found EEG F1-Ref"),
    "mne_test.bdf": Expected(2048, 1, missing=("EKG",), notes=("channels left out: EXG1, REOG",)),
    "eeglab_test.edf": Expected(256, 60, missing=(*MIDLINE, "EKG")),
    "microstates_test.edf": Expected(250, 192, missing=("EKG",)),
    "siena_PN00-1.edf": Expected(512, 2, notes=("channels left out: SPO2, HR, 1, 2, MK",)),
    "seizeit_P_ID64.edf": Expected(250, 2, notes=("channels left out: OorLiAchter",)),
    "tuh_le_aaaaahln.edf": Expected(250, 2, "referential, against linked ears", notes=("EEG 26-LE", "DC1-DC")),
    "siz_chb01_01_sample.edf": Expected(
        256, 2, "double banana", missing=(*MIDLINE, "EKG"), notes=("that repeat another one, left out: P7-T7, T8-P8",)
    ),
    "szcore_unipolar.edf": Expected(256, 2, "referential, against the average", missing=("EKG",)),
    "edfjl_bdf_test.edf": Expected(error="no channel is an electrode's: found EEG Channel-1"),
    "pyedflib_utf8.edf": Expected(128, 698, fault="4 of 4 regions cannot be derived"),
}


def test_no_file_is_forgotten(real_edf: Path) -> None:
    assert {path.name for path in real_edf.iterdir() if path.suffix in (".edf", ".bdf")} <= FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_holds(real_edf: Path, name: str) -> None:
    expected = FILES[name]
    if expected.error:
        with pytest.raises(DataFileError, match=expected.error):
            open_recording(real_edf / name)
        return
    with open_recording(real_edf / name) as recording:
        assert (recording.rate, recording.seconds) == (expected.rate, expected.seconds)
        assert recording.montage == (expected.montage or "referential, reference not named")
        for words in expected.notes:
            assert words in "; ".join(recording.notes)
        assert expected.fault in recording.montage_fault
        if expected.fault:
            return
        assert recording.missing == expected.missing and recording.neutral == ()
        differences, eeg = recording.read_differences(), recording.read()
        assert not np.isnan(differences).any() and differences.shape == (recording.n_samples, 24)
        assert np.isnan(eeg).any(axis=0).sum() == len(expected.missing)
        if recording.montage.startswith("referential"):
            np.testing.assert_allclose(differences[:, 0], eeg[:, 0] - eeg[:, 4], atol=0.06)


REFUSED = {
    ("mne_test.bdf", "pyedflib"): "Number of Datarecords",  # it is unknown (-1)
    ("edfjl_bdf_test.edf", "pyedflib"): "label is incorrect",  # declared EDF+C, and no signal holds annotations
}
"""File and reader that refuses it -> its words. Every other reader takes every other file."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_digital_values_are_those_of_other_readers(real_edf: Path, name: str, reader: str) -> None:
    if has_no_wheel(reader):
        return  # which is no skip
    path = real_edf / name
    source = EdfSource(path)
    own = [source.digital(k) for k in without_annotations(source)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if words := REFUSED.get((name, reader)):
            with pytest.raises(OSError, match=words):
                READERS[reader](path, source)
            source.close()
            return
        other = READERS[reader](path, source)
    source.close()
    assert len(other) == len(own)
    for k, values in enumerate(own):
        np.testing.assert_array_equal(other[k], values, err_msg=f"channel {k}")
