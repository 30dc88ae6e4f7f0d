"""Units: of the caller, of the metadata and of the names of columns."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib import open_recording, read_eeg
from hbaclib.conventions import EEG_COLUMNS
from hbaclib.errors import DataFileError
from hbaclib.recordings.units import unit_named
from tests.dataset.tiny import random_eeg
from tests.recordings.files import write

EEG = random_eeg(np.random.default_rng(0), 200)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("V", "V"), ("mV", "mV"), ("uV", "µV"), ("µV", "µV"), ("\u03bcV", "µV"), ("Microvolts", "µV"), ("nanovolt", "nV"),
     ("volts", "V"), ("kV", None), ("", None), ("counts", None)],
)  # fmt: skip
def test_names_of_units(text, unit) -> None:
    assert unit_named(text) == unit


@pytest.mark.parametrize(("unit", "factor"), [("V", 1e6), ("mV", 1e3), ("nV", 1e-3), ("uV", 1.0)])
def test_values_are_read_in_the_unit_that_is_given(tmp_path, unit, factor) -> None:
    path = write(tmp_path / "a.parquet", EEG.astype(np.float64) / factor)
    np.testing.assert_allclose(read_eeg(path, unit=unit), EEG, rtol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        {"metadata": {"unit": "mV"}}, {"metadata": {"units": "millivolts"}}, {"metadata": {"eeg": {"Units": "mV"}}},
        {"metadata": {"units": dict.fromkeys(EEG_COLUMNS, "mV") | {"time": "s"}}},
        {"fields": {name: {"unit": "mV"} for name in EEG_COLUMNS}}, {"metadata": {"PANDAS_ATTRS": {"unit": "mV"}}},
        {"names": {name: f"{name} [mV]" for name in EEG_COLUMNS}},
    ],
)  # fmt: skip
def test_values_are_read_in_the_unit_that_the_file_states(tmp_path, form) -> None:
    path = write(tmp_path / "a.parquet", EEG / np.float32(1e3), **form)
    with open_recording(path) as recording:
        assert set(recording.units.values()) == {"mV"} and "values read in mV, as the file states" in recording.notes
        np.testing.assert_allclose(recording.read(), EEG, rtol=1e-6)
    with pytest.raises(DataFileError, match=r"states another unit .*; --unit says µV"):
        open_recording(path, unit="uV")


def test_a_unit_of_one_column(tmp_path) -> None:
    path = write(tmp_path / "a.parquet", EEG, fields={"EKG": {"unit": "mV"}})
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.read()[:, -1], 1e3 * EEG[:, -1], rtol=1e-6)
        np.testing.assert_array_equal(recording.read()[:, :-1], EEG[:, :-1])


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"unit": "ADC counts"}, "states a unit that is none of µV, V, mV, nV .*unit = ADC counts.*--unit says"),
        ({"unit": "V", "physical_dimension": "uV"}, "states two units"),
    ],
)
def test_units_that_cannot_be_taken(tmp_path, metadata, words) -> None:
    with pytest.raises(DataFileError, match=words):
        open_recording(write(tmp_path / "a.parquet", metadata=metadata))


def test_a_unit_of_no_voltage_is_overruled_and_others_are_none_of_the_eegs(tmp_path) -> None:
    path = write(tmp_path / "a.parquet", EEG, metadata={"unit": "counts"})
    np.testing.assert_array_equal(read_eeg(path, unit="µV"), EEG)
    path = write(tmp_path / "b.parquet", EEG, more={"time": np.arange(200) / 200}, fields={"time": {"unit": "mV"}})
    with open_recording(path) as recording:
        assert set(recording.units.values()) == {"µV"}
