"""Names of electrodes: what is read, what is told of it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hbaclib import open_recording, read_eeg
from hbaclib.conventions import EEG_COLUMNS
from hbaclib.errors import DataFileError
from hbaclib.recordings.columns import find_electrodes, find_label
from tests.dataset.tiny import random_eeg
from tests.recordings.files import write

PATH = Path("a.parquet")
TEN_TEN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


@pytest.mark.parametrize(
    ("name", "electrode"),
    [
        ("Fp1", "Fp1"), ("FP1", "Fp1"), ("fp1", "Fp1"), (" Fp1 ", "Fp1"), ("EEG Fp1-Ref", "Fp1"),
        ("EEG FP1-REF", "Fp1"), ("Fp1-LE", "Fp1"), ("Fp1_ref", "Fp1"), ("EEG_Fp1", "Fp1"), ("EEG:T7-A1A2", "T3"),
        ("POL T8", "T4"), ("P7", "T5"), ("p8-Avg", "T6"), ("EEG Fp1 - M1+M2", "Fp1"), ("Fp1.", "Fp1"),
        ("T3 [µV]", "T3"),
        ("T3 (mV)", "T3"),
        ("ECG", "EKG"), ("EEG EKG1-REF", "EKG"), ("fz", "Fz"), ("CZ", "Cz"),
        ("Fp1-F7", None), ("Fpz", None), ("T1", None), ("EEG", None), ("Fp11", None), ("", None), ("Fp1 Fp2", None),
        ("X1", None), ("time", None), ("Fz-Cz", None), ("T33", None),
    ],
)  # fmt: skip
def test_labels(name: str, electrode: str | None) -> None:
    assert find_label(name) == electrode


def test_every_electrode_is_itself() -> None:
    assert [find_label(name) for name in EEG_COLUMNS] == list(EEG_COLUMNS)
    assert find_electrodes(EEG_COLUMNS, PATH).notes == ()


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (TEN_TEN, "columns T7, P7, T8, P8 read as T3, T5, T4, T6"),
        ({name: f"EEG {name.upper()}-LE" for name in EEG_COLUMNS}, "columns EEG FP1-LE, EEG F3-LE.* read as Fp1, F3"),
        ({name: name.lower() for name in EEG_COLUMNS}, "columns fp1, f3, c3, p3 and 16 more read as"),
    ],
)
def test_other_names_are_read_and_told(tmp_path, names, note) -> None:
    eeg = random_eeg(np.random.default_rng(0), 100)
    path = write(tmp_path / "a.parquet", eeg, names)
    with pytest.warns(UserWarning, match=note):
        np.testing.assert_array_equal(read_eeg(path), eeg)


@pytest.mark.parametrize("missing", [("EKG",), ("Fz", "Cz", "Pz"), ("Fz", "Cz", "Pz", "EKG")])
def test_what_no_network_sees_may_be_missing(tmp_path, missing) -> None:
    eeg = random_eeg(np.random.default_rng(0), 100)
    path = write(tmp_path / "a.parquet", eeg, without=missing)
    columns = [EEG_COLUMNS.index(name) for name in missing]
    with open_recording(path) as recording:
        assert recording.missing == missing
        assert f"column {', '.join(missing)} missing, read as NaN" in recording.notes[0]
        found = recording.read()
    assert np.isnan(found[:, columns]).all()
    np.testing.assert_array_equal(np.delete(found, columns, axis=1), np.delete(eeg, columns, axis=1))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (EEG_COLUMNS[1:], r"column Fp1 missing; expected 20 columns: .*; --columns \"Fp1=NAME"),
        ([f"X{k}" for k in range(20)], "column Fp1, F3, C3.* missing; not expected: X0, X1"),
        ([*EEG_COLUMNS, "T7"], "columns T3 and T7 would both become T3; expected one; --columns"),
        ([*EEG_COLUMNS, "fp1", "FP2"], r"columns Fp1 and fp1 would both become Fp1 \(and so for Fp2\)"),
        ([*EEG_COLUMNS, "Fp1"], "column Fp1 occurs more than once"),
        (["Fp1-F7", *EEG_COLUMNS[1:]], "column Fp1 missing; not expected: Fp1-F7"),
        (["Fp1-A1", "F3-Ref", *EEG_COLUMNS[2:]], "the chain LL stand against different references"),
        (["\x1b[31mFp1", *EEG_COLUMNS[1:]], r"not expected: \\x1b\[31mFp1"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(found, words) -> None:
    with pytest.raises(DataFileError, match=words):
        find_electrodes(found, PATH)


def test_ears_of_each_side_are_one_reference_a_chain() -> None:
    left = {"Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1"}
    names = [f"{name}-{'A1' if name in left else 'A2'}" for name in EEG_COLUMNS]
    assert len(find_electrodes(names, PATH).sources) == 20


def test_given_columns(tmp_path) -> None:
    eeg = random_eeg(np.random.default_rng(0), 100)
    names = {"Fp1": "X1", "T3": "channel, 7", "EKG": "heart"}
    path = write(tmp_path / "a.parquet", eeg, names)
    with pytest.raises(DataFileError, match="column Fp1, T3 missing"):
        read_eeg(path)
    with pytest.warns(UserWarning, match="columns X1, channel, 7, heart read as Fp1, T3, EKG"):
        np.testing.assert_array_equal(read_eeg(path, columns=names), eeg)
    # What is given counts before a name.
    other = write(tmp_path / "b.parquet", eeg, more={"X1": eeg[:, 1]})
    with pytest.warns(UserWarning, match="left out: Fp1"):
        np.testing.assert_array_equal(read_eeg(other, columns={"fp1": "X1"})[:, 0], eeg[:, 1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Fp9": "X1"}, "'Fp9' is no electrode; expected Fp1, F3"),
        ({"Fp1": "X9"}, "column 'X9', given for Fp1, is missing; found Fp1, F3"),
        ({"Fp1": "F3", "F7": "F3"}, "F7 or 'F3' is given twice"),
        ({"T3": "F3", "T7": "C3"}, "T3 or 'C3' is given twice"),
    ],
)
def test_given_columns_that_make_no_sense(given, words) -> None:
    with pytest.raises(DataFileError, match=words):
        find_electrodes(EEG_COLUMNS, PATH, given)
