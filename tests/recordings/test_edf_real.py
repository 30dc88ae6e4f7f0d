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


def digital_of_edfio(path: Path) -> dict[int, np.ndarray]:
    import edfio

    read = edfio.read_bdf if path.read_bytes()[:1] == b"\xff" else edfio.read_edf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = read(path)
        labels = [signal.label for signal in file.signals]
        return {k: np.asarray(file.signals[k].digital) for k in range(len(labels))}


def digital_of_pyedflib(path: Path) -> dict[int, np.ndarray]:
    import pyedflib

    with pyedflib.EdfReader(str(path)) as file:
        return {k: file.readSignal(k, digital=True) for k in range(file.signals_in_file)}


def without_annotations(source: EdfSource) -> list[int]:
    return [k for k, channel in enumerate(source.channels) if channel.fault != "annotations"]


@pytest.mark.parametrize("name", FILES)
def test_digital_values_are_those_of_edfio_and_pyedflib(real_edf: Path, name: str) -> None:
    path, compared = real_edf / name, 0
    source = EdfSource(path)
    own = [source.digital(k) for k in without_annotations(source)]
    source.close()
    for read in (digital_of_edfio, digital_of_pyedflib):
        try:
            other = read(path)
        except (OSError, ValueError, AssertionError, KeyError, IndexError, ImportError):
            continue  # a file that it refuses, or a Python that it is not built for
        assert len(other) == len(own)
        for k, values in enumerate(own):
            np.testing.assert_array_equal(other[k], values, err_msg=f"{read.__name__}, channel {k}")
        compared += 1
    assert compared, "no other reader takes this file"


@pytest.mark.parametrize("name", FILES)
def test_physical_values_are_those_of_mne(real_edf: Path, name: str) -> None:
    import mne

    path = real_edf / name
    source = EdfSource(path)
    read = mne.io.read_raw_bdf if path.read_bytes()[:1] == b"\xff" else mne.io.read_raw_edf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = read(path, preload=False, verbose="ERROR", stim_channel=None, infer_types=False)
    names = [source.channels[k].label for k in without_annotations(source)]
    # MNE resamples what has another rate than the highest, and numbers what repeats.
    rate = max(channel.rate for channel in source.channels if channel.fault != "annotations")
    assert raw.info["sfreq"] == pytest.approx(rate)
    compared = 0
    for k in without_annotations(source):
        channel = source.channels[k]
        if channel.rate != rate or channel.label not in raw.ch_names or names.count(channel.label) > 1:
            continue
        if channel.unit.strip().lower() not in ("uv", "µv"):
            continue
        own = source.digital(k) * channel.gain + channel.zero
        found = 1e6 * raw.get_data(picks=[channel.label])[0]
        np.testing.assert_allclose(found[: len(own)], own, rtol=1e-9, atol=1e-7 * max(1.0, np.abs(own).max()))
        compared += 1
    source.close()
    assert compared
