"""Hostile tables: train.csv, test.csv, submissions, out-of-fold tables, label rows handed to the library."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaclib import (
    audit_folds,
    kl_divergence,
    load_oof,
    non_overlapping_samples,
    patient_folds,
    port_data,
    score_by_tier,
    validate_submission,
    vote_group_samples,
)
from hbaclib.conventions import TEST_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.from_eeg import eeg_places
from hbaclib.dataset.tables import read_test_csv, read_train_csv
from hbaclib.evaluation.oof import oof_table
from hbaclib.training.history import read_history
from tests.dataset.tiny import train_rows
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case

HEADER = ",".join(TEST_COLUMNS) + "\n"
HUGE = 2**53 + 1
Make = Callable[[Path], Words | Callable[[], Any]]


def checked(name: str, spoil: Callable[[Path], object]) -> Make:
    """`hbac check` of the data set with one of its tables spoilt."""

    def make(folder: Path) -> Words:
        spoil(stock.data(folder) / name)
        return ["check", "data", "--jobs", "1"]

    return make


def rewritten(old: str, new: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


def cells(row: int, **values: object) -> Callable[[Path], object]:
    """Put text into cells of a row (0 is the first below the header)."""

    def spoil(path: Path) -> None:
        rows = pd.read_csv(path, dtype=str)
        for name, value in values.items():
            rows.loc[row, name] = str(value)
        rows.to_csv(path, index=False)

    return spoil


def column(name: str, convert: Callable[[pd.Series], Any]) -> Callable[[Path], object]:
    def spoil(path: Path) -> None:
        rows = pd.read_csv(path)
        rows.assign(**{name: convert(rows[name])}).to_csv(path, index=False)

    return spoil


def every_line(path: Path, change: Callable[[str], str]) -> None:
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *map(change, rows)]) + "\n")


def read_test(content: str | bytes) -> Make:
    """The library's reader of a test.csv with this content."""

    def make(folder: Path) -> Callable[[], Any]:
        path = folder / "test.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return lambda: read_test_csv(path).to_numpy().tolist()

    return make


def predicted(spoil: Callable[[Path], object]) -> Make:
    """`hbac predict` of the data set with its test.csv spoilt."""

    def make(folder: Path) -> Words:
        spoil(stock.data(folder) / "test.csv")
        return ["predict", stock.run(folder) / "eeg", "data"]

    return make


def submitted(change: Callable[[pd.DataFrame], Any], test: Callable[[pd.DataFrame], Any] = lambda rows: rows) -> Make:
    """`validate_submission` of a sound submission that was changed."""
    rows = pd.DataFrame({"spectrogram_id": [1, 2, 3], "eeg_id": [10, 20, 30], "patient_id": [7, 7, 8]})
    sound = pd.DataFrame(np.full((3, 6), 1 / 6), columns=list(VOTE_COLUMNS))
    sound.insert(0, "eeg_id", rows["eeg_id"])
    return lambda folder: lambda: validate_submission(change(sound.copy()), test(rows.copy()))


def oof() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    ids = pd.DataFrame({"eeg_id": np.arange(12) + 500, "eeg_start": 0})
    patients = np.repeat(np.arange(6), 2)
    both = rng.dirichlet(np.ones(6), (2, 12))
    return oof_table(ids, patients, np.full(12, 12), patients % 3, *both)


def loaded(change: Callable[[pd.DataFrame], pd.DataFrame], name: str = "a.parquet", index: bool = False) -> Make:
    """`load_oof` of a sound table that was changed."""

    def make(folder: Path) -> Callable[[], Any]:
        rows, path = change(oof()), folder / name
        path.parent.mkdir(exist_ok=True)
        rows.to_csv(path, index=index) if path.suffix == ".csv" else rows.to_parquet(path, index=index)
        return lambda: load_oof(path if path.name != "oof.parquet" else path.parent).ids["eeg_id"].tolist()

    return make


def called(door: Callable[..., Any], change: Callable[[pd.DataFrame], Any], *more: Any) -> Make:
    """A function of the library on label rows that were changed."""
    return lambda folder: lambda: door(change(train_rows(12)), *more)


def scored(**changes: Any) -> Make:
    shares = pd.DataFrame(np.full((6, 6), 1 / 6), columns=list(VOTE_COLUMNS))
    sound = {"targets": shares, "predictions": shares, "n_votes": np.full(6, 12), "patients": np.arange(6)}
    return lambda folder: lambda: score_by_tier(**(sound | changes), n_resamples=10)


FIELDS = [
    Case("test.csv: every row has a field too many", 1,
         checked("test.csv", lambda path: every_line(path, lambda line: line + ",3")),
         1, ("test.csv", "row 1: 4 fields, expected 3", "row 2: 4 fields, expected 3")),
    Case("test.csv: one row has", 1, read_test(HEADER + "1,2,3\n" * 6 + "1,48256,3,9\n"),
         1, ("row 7: 4 fields, expected 3",), never=("row 6",)),
    Case("test.csv: a comma at the end of every row", 1, read_test(HEADER + "1,2,3,\n4,5,6,\n"),
         1, ("row 1: 4 fields, expected 3",)),
    Case("test.csv: row names without a name in the header", 1, read_test(HEADER + "0,1,2,3\n1,4,5,6\n"),
         1, ("row 2: 4 fields, expected 3",)),
    Case("test.csv: a field too few", 1, read_test(HEADER + "1,2,3\n4,5\n"), 1, ("row 2: 2 fields, expected 3",)),
    Case("test.csv: quoted, a field too many", 1, read_test(HEADER + '"1","2","3"\n"4","5","6","7"\n'),
         1, ("row 2: 4 fields, expected 3",)),
    Case("train.csv: a decimal comma", 1, checked("train.csv", rewritten(",2.0,", ",2,0,")),
         1, ("train.csv", r"row 2: 16 fields, expected 15")),
    Case("train.csv: a quoted decimal comma", 1, checked("train.csv", rewritten(",2.0,", ',"2,0",')),
         1, ("eeg_label_offset_seconds", "decimal comma", "row 2")),
    Case("predict: a field too many shifts no id", 1,
         predicted(lambda path: every_line(path, lambda line: line + ",3")), 1, ("row 1: 4 fields, expected 3",)),
    Case("predict: sound", 1, predicted(lambda path: None), 0, (r"\n80,0\.", r"\n81,0\.")),
    Case("sample_submission.csv: a field too many", 1,
         checked("sample_submission.csv", lambda path: every_line(path, lambda line: "9," + line)),
         1, ("sample_submission.csv", "row 1: 8 fields, expected 7")),
    Case("history.csv: a field too many", 1,
         lambda folder: ((folder / "history.csv").write_text("epoch,loss\n1,.5\n2,.4,3\n"),
                         lambda: read_history(folder))[1],
         1, ("history.csv", "row 2: 3 fields, expected 2")),
    Case("test.csv: a quotation mark never closed", 1, read_test(HEADER + '1,"2,3\n4,5,6\n'),
         1, ("quotation mark", "never closed")),
    Case("test.csv: quoted and sound", 1, read_test(HEADER + '"1","2","3"\r\n4,5,"6"'),
         0, (r"\[\[1, 2, 3\], \[4, 5, 6\]\]",)),
]  # fmt: skip

IDS = [
    Case("test.csv: ids above 2^53 are kept", 6, read_test(HEADER + f"1,{HUGE},3\n"), 0, (f"{HUGE}",)),
    Case("test.csv: the greatest id", 6, read_test(HEADER + f"1,{2**63 - 1},3\n"), 0, (f"{2**63 - 1}",)),
    Case("test.csv: an unsigned id", 6, checked("test.csv", cells(0, eeg_id=2**64 - 1)),
         1, ("test.csv", "eeg_id: too large, expected at most 9223372036854775807", "row 1", f"{2**64 - 1}")),
    Case("test.csv: a text id", 6, checked("test.csv", cells(1, eeg_id="abc")),
         1, ("test.csv", r"eeg_id: not a whole number \('abc'\): row 2")),
    Case("predict: a text id", 6, predicted(cells(1, eeg_id="abc")), 1, (r"eeg_id: not a whole number \('abc'\)",)),
    Case("test.csv: ids as floats", 6, read_test(HEADER + "853520.0,24518579.0,6885\n"),
         0, (r"\[853520, 24518579, 6885\]",), never=(r"\.0",)),
    Case("test.csv: a float id above 2^53", 6, read_test(HEADER + f"1,{HUGE}.0,3\n"), 1, ("eeg_id", "lost digits")),
    Case("test.csv: ids of a spreadsheet", 6, read_test(HEADER + "1,1.62E+09,3\n"),
         1, ("eeg_id: in scientific notation", r"1\.62E\+09")),
    Case("test.csv: negative", 6, read_test(HEADER + "1,-5,3\n"), 1, ("eeg_id: negative ids", "row 1", "-5")),
    Case("test.csv: leading zeros", 6, read_test(HEADER + "1,007,3\n"), 1, ("eeg_id: leading zeros", "007")),
    Case("test.csv: a plus sign", 6, read_test(HEADER + "1,+7,3\n"), 1, ("eeg_id: a sign", r"\+7")),
    Case("test.csv: an id with a fraction", 6, read_test(HEADER + "1,7.5,3\n"), 1, (r"not a whole number \('7\.5'\)",)),
    Case("test.csv: hexadecimal", 6, read_test(HEADER + "1,0x1F,3\n"), 1, (r"not a whole number \('0x1F'\)",)),
    Case("test.csv: spaces around", 6, read_test(HEADER + " 1 , 2,\t3\n"), 0, (r"\[1, 2, 3\]",)),
    Case("test.csv: no id", 6, read_test(HEADER + "1,,3\n4,NaN,6\n7,8,9\n"),
         1, ("eeg_id: empty, expected whole numbers: rows 1, 2",)),
    Case("from_eeg: neighbours above 2^53", 6,
         lambda folder: lambda: eeg_places(train_rows(2).assign(eeg_id=np.repeat([HUGE, HUGE + 2], 3))),
         0, (f"{HUGE}", f"{HUGE + 2}")),
    Case("samples: ids above 2^53 beside missing ones", 6,
         called(non_overlapping_samples, lambda rows: rows.assign(eeg_id=[None, *[HUGE] * (len(rows) - 1)])),
         1, ("train: ", "eeg_id: empty, expected whole numbers: row 0")),
    Case("samples: nullable ids above 2^53", 6,
         lambda folder: lambda: vote_group_samples(
             train_rows(1).assign(eeg_id=pd.array([HUGE] * 3, dtype="Int64"))
         )["eeg_id"].tolist(),
         0, (f"{HUGE}",)),
    Case("submission: ids as floats", 6, submitted(lambda rows: rows.astype({"eeg_id": float})),
         1, (r"eeg_id: floating-point numbers, written as 10\.0", "expected whole numbers")),
    Case("submission: text ids", 6, submitted(lambda rows: rows.astype({"eeg_id": str})),
         1, (r"eeg_id: text \('10'\)",), never=("no row",)),
    Case("submission: another id above 2^53", 6,
         submitted(lambda rows: rows.assign(eeg_id=[10, 20, 2**53]), lambda rows: rows.assign(eeg_id=[10, 20, HUGE])),
         1, (f"no row: {HUGE}", f"not in the test table: {2**53}")),
    Case("submission: unsigned ids", 6,
         submitted(lambda rows: rows.assign(eeg_id=np.array([10, 20, 2**63], np.uint64))),
         1, ("too large, expected at most 9223372036854775807", "row 2")),
    Case("out of fold: text ids", 6, loaded(lambda rows: rows.assign(eeg_id=[f"r{name}" for name in rows["eeg_id"]])),
         1, (r"a\.parquet: eeg_id: not a whole number \('r500'",), never=("no prediction",)),
    Case("out of fold: ids as floats", 6, loaded(lambda rows: rows.astype({"eeg_id": float})),
         0, (r"\[500, 501",)),
]  # fmt: skip

TABLES = [
    Case("train.csv: an EEG in two spectrograms", 7, checked("train.csv", cells(3, spectrogram_id=501)),
         1, ("spectrogram_id: one eeg_id has several", "eeg_id 1001: spectrograms 500, 501")),
    Case("train.csv: a spectrogram of two patients", 7,
         checked("train.csv", column("spectrogram_id", lambda ids: ids.replace(502, 501))),
         1, ("patient_id: one spectrogram_id has several", r"spectrogram_id 501: patients 10, 11")),
    Case("train.csv: an EEG of two patients", 7, checked("train.csv", cells(1, patient_id=99)),
         1, ("patient_id: one eeg_id has several", "eeg_id 1000: patients 10, 99", "rows 1, 2, 3")),
    Case("train.csv: votes of booleans", 7, checked("train.csv", column("gpd_vote", lambda votes: votes > 0)),
         1, (r"gpd_vote: not a whole number \('(True|False)'",)),
    Case("train.csv: 1e12 votes", 7, checked("train.csv", cells(2, lpd_vote="1e12")),
         1, ("lpd_vote: too large, expected at most 1000: row 3", "1e12")),
    Case("train.csv: votes whose sum overflows", 7, checked("train.csv", cells(2, lpd_vote=2**63 - 1)),
         1, ("lpd_vote: too large", "row 3")),
    Case("train.csv: fractional votes", 7, checked("train.csv", cells(2, lpd_vote="0.5")),
         1, (r"lpd_vote: not a whole number \('0\.5'\): row 3",)),
    Case("train.csv: no votes", 7, checked("train.csv", cells(2, **dict.fromkeys(VOTE_COLUMNS, 0))),
         1, ("all six votes are zero, expected at least one: row 3",)),
    Case("train.csv: an absurd offset", 7, checked("train.csv", cells(2, eeg_label_offset_seconds="1e12")),
         1, ("eeg_label_offset_seconds: too large", "row 3")),
    Case("train.csv: an infinite offset", 7, checked("train.csv", cells(2, eeg_label_offset_seconds="inf")),
         1, (r"eeg_label_offset_seconds: not seconds >= 0 \('?inf",)),
    Case("train.csv: a label twice", 7, checked("train.csv", cells(1, label_id=7000)),
         1, ("label_id: occurs more than once, expected unique ids: rows 1, 2",)),
    Case("port_data: a leak is refused before work", 7,
         lambda folder: (column("patient_id", lambda ids: np.arange(len(ids)))(stock.data(folder) / "train.csv"),
                         lambda: port_data(folder / "data", folder / "out"))[1],
         1, ("patient_id: one eeg_id has several",)),
    Case("folds: an EEG of two patients", 7, called(patient_folds, lambda rows: rows.assign(eeg_id=1), 2),
         1, ("patient_id: one eeg_id has several", "eeg_id 1: patients 10, 11, 12")),
    Case("folds: a missing patient", 7,
         called(patient_folds, lambda rows: rows.assign(patient_id=[None, *rows["patient_id"][1:]]), 2),
         1, ("patient_id: empty, expected whole numbers: row 0",)),
    Case("folds: a number of folds that is text", 7, called(patient_folds, lambda rows: rows, "abc"),
         1, ("n_folds is 'abc'",)),
    Case("audit: a nullable mask is a mask", 7,
         lambda folder: lambda: audit_folds(train_rows(12), patient_folds(train_rows(12), 2),
                                            {0: pd.array([True] * 36, dtype="boolean")}),
         1, ("was trained on and is scored",)),
    Case("audit: a mask of 0 and 1", 7,
         lambda folder: lambda: audit_folds(train_rows(12), patient_folds(train_rows(12), 2),
                                            {0: np.arange(36) % 2}),
         1, ("holds 0 and 1, expected True and False",)),
    Case("samples: a column is missing", 7, called(vote_group_samples, lambda rows: rows.drop(columns="lpd_vote")),
         1, ("train: column lpd_vote missing",)),
    Case("samples: shares in place of votes", 7,
         called(non_overlapping_samples, lambda rows: rows.assign(lpd_vote=0.25)),
         1, (r"lpd_vote: not a whole number \(0\.25",)),
    Case("samples: a missing vote", 7,
         called(vote_group_samples, lambda rows: rows.assign(
             lpd_vote=pd.array([None, *[1] * (len(rows) - 1)], dtype="Int64"))),
         1, ("lpd_vote: empty, expected whole numbers: row 0",)),
    Case("samples: no table", 7, called(vote_group_samples, lambda rows: rows.to_dict()),
         1, ("train is of type dict; expected a table",)),
    Case("submission: a missing id", 7,
         submitted(lambda rows: rows.assign(eeg_id=pd.array([10, 20, None], dtype="Int64"))),
         1, ("eeg_id: empty, expected whole numbers: row 2",)),
    Case("submission: ids mixed with None", 7,
         submitted(lambda rows: rows.assign(eeg_id=pd.Series([10, "a", None], dtype=object))),
         1, ("eeg_id: empty", r"not a whole number \('a'\): row 1")),
    Case("submission: categories of whole ids", 7, submitted(lambda rows: rows.astype({"eeg_id": "category"})),
         0, ("10",)),
    Case("submission: booleans as shares", 7,
         submitted(lambda rows: rows.assign(**dict.fromkeys(VOTE_COLUMNS[1:], False), seizure_vote=True)),
         1, ("column seizure_vote holds booleans; expected numbers",)),
    Case("submission: text as shares", 7, submitted(lambda rows: rows.assign(lpd_vote="much")),
         1, (r"column lpd_vote holds text \('much'\)",)),
    Case("submission: None as shares", 7, submitted(lambda rows: rows.assign(lpd_vote=None)),
         1, ("NaN or infinite values in 3 rows",)),
    Case("submission: missing nullable shares", 7,
         submitted(lambda rows: rows.assign(lpd_vote=pd.array([0.1, None, 0.1], dtype="Float64"))),
         1, (r"NaN or infinite values in 1 row \(row 1\)",)),
    Case("submission: infinite", 7, submitted(lambda rows: rows.assign(lpd_vote=np.inf)),
         1, ("NaN or infinite values in 3 rows",)),
    Case("submission: ids as the index", 7, submitted(lambda rows: rows.set_index("eeg_id")),
         1, ("column missing: eeg_id", "is the index; expected a column")),
    Case("submission: a column twice", 7,
         submitted(lambda rows: rows[["eeg_id", "eeg_id", *VOTE_COLUMNS]]), 1, ("column more than once: eeg_id",)),
    Case("submission: no table", 7, submitted(lambda rows: None), 1, ("submission is of type NoneType",)),
    Case("submission: a test table without ids", 7, submitted(lambda rows: rows, lambda rows: rows[["patient_id"]]),
         1, ("the test table has no column eeg_id",)),
    Case("score: missing shares", 7,
         scored(predictions=pd.DataFrame(np.full((6, 6), 1 / 6), columns=list(VOTE_COLUMNS)).assign(
             lpd_vote=pd.array([None, *[1 / 6] * 5], dtype="Float64"))),
         1, ("predictions: NaN or infinite values in 1 row",)),
    Case("score: votes of mixed types", 7, scored(n_votes=[12, "12", None, 1, 2, 3.5]),
         1, ("n_votes: empty", r"n_votes: not a whole number \(3\.5\): row 5")),
    Case("score: a missing patient", 7, scored(patients=[1, 2, None, 3, 4, 5]), 1, ("patients: missing.*row 2",)),
    Case("score: patients of mixed types", 7, scored(patients=[1, "b", 3, 4, 5, 6]), 0, (">=10",)),
    Case("divergence: ids with a missing one", 7,
         lambda folder: lambda: kl_divergence(*(
             pd.DataFrame(np.full((2, 6), 1 / 6), columns=list(VOTE_COLUMNS)).assign(eeg_id=ids)
             for ids in (pd.array([1, None], dtype="Int64"), [1, 2])
         )),
         1, (r"eeg_id of targets and predictions differs in 1 row \(row 1\)",)),
    Case("out of fold: shares that are not finite", 7,
         loaded(lambda rows: rows.assign(lpd_prediction=np.inf)), 1, ("predictions: NaN or infinite values",)),
    Case("out of fold: negative shares", 7, loaded(lambda rows: rows.assign(lpd_prediction=-0.5)),
         1, (r"predictions: values outside \[0, 1\]",)),
    Case("out of fold: text shares", 7, loaded(lambda rows: rows.assign(lpd_prediction="much")),
         1, (r"column lpd_prediction holds text \('much'\)",)),
    Case("test.csv: a spectrogram of a patient of train.csv under another one", 7,
         checked("test.csv", cells(1, spectrogram_id=500)),
         1, ("test.csv: spectrogram_id: 500 of patient 71, in train.csv of 10; expected the same patient",)),
    Case("score: votes of two columns", 7, scored(n_votes=np.full((6, 2), 12)), 1, (r"n_votes: shape \(6, 2\)",)),
    Case("sample_submission.csv: of other recordings", 7, checked("sample_submission.csv", cells(0, eeg_id=999)),
         1, ("sample_submission.csv: 1 eeg_id of the test table have no row: 80", "not in the test table: 999")),
]  # fmt: skip


def utf16(path: Path) -> None:
    path.write_bytes(path.read_text().encode("utf-16"))


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


MESSAGES = [
    Case("train.csv: semicolons", 15,
         checked("train.csv", lambda path: path.write_text(path.read_text().replace(",", ";"))),
         1, ("train.csv: separated by ';', expected ','",), never=("missing",)),
    Case("test.csv: tabs", 15, checked("test.csv", lambda path: path.write_text(path.read_text().replace(",", "\t"))),
         1, ("test.csv: separated by tabs, expected ','",)),
    Case("test.csv: semicolons below the header", 15, read_test(HEADER + "1;2;3\n"),
         1, (r"row 1: 1 field, expected 3 \(separated by ';'\?\)",)),
    Case("train.csv: an empty column", 15, checked("train.csv", column("lpd_vote", lambda votes: None)),
         1, ("lpd_vote: empty in all 24 rows, expected whole numbers",), never=("type", "row 1")),
    Case("train.csv: a column of None", 15, checked("train.csv", column("lpd_vote", lambda votes: "None")),
         1, ("lpd_vote: empty in all 24 rows",)),
    Case("train.csv: UTF-16", 15, checked("train.csv", utf16), 1, ("train.csv: text in UTF-16",)),
    Case("test.csv: Latin-1", 15, read_test(HEADER.encode() + b"1,2,3\n1,\xe9,3\n"),
         1, ("byte 0xe9 in row 2 is not UTF-8",)),
    Case("test.csv: NUL bytes", 15, read_test(HEADER.encode() + b"1,2,3\n\0\0\0"), 1, ("a NUL byte in row 2",)),
    Case("train.csv: compressed", 15,
         checked("train.csv", lambda path: path.write_bytes(gzip.compress(path.read_bytes()))),
         1, ("train.csv: a file compressed by gzip",)),
    Case("train.csv: Parquet", 15, checked("train.csv", lambda path: pd.read_csv(path).to_parquet(path)),
         1, ("train.csv: a Parquet file",)),
    Case("train.csv: a web page", 15, checked("train.csv", lambda path: path.write_text("<!DOCTYPE html><html>")),
         1, ("train.csv: a web page",)),
    Case("train.csv: empty", 15, checked("train.csv", lambda path: path.write_text("")), 1, ("the file is empty",)),
    Case("test.csv: a header alone", 15, checked("test.csv", lambda path: path.write_text(HEADER)),
         1, ("test.csv: a header and no rows",)),
    Case("train.csv: a folder", 15, checked("train.csv", as_folder), 1, ("train.csv: a folder",)),
    Case("test.csv: a folder", 15, checked("test.csv", as_folder), 1, ("test.csv: a folder",)),
    Case("test.csv: a pipe", 15, checked("test.csv", as_pipe), 1, ("test.csv: no regular file",)),
    Case("test.csv: a column twice", 15, read_test("spectrogram_id,eeg_id,eeg_id,patient_id\n1,2,3,4\n"),
         1, ("column eeg_id occurs more than once",)),
    Case("test.csv: a byte-order mark", 15, read_test("\ufeff" + HEADER + "1,2,3\n"), 0, (r"\[1, 2, 3\]",)),
    Case("test.csv: carriage returns alone", 15, read_test((HEADER + "1,2,3\n4,5,6").replace("\n", "\r")),
         0, (r"\[4, 5, 6\]",)),
    Case("test.csv: control characters in a name", 15, read_test("\x1b[31m,eeg_id,patient_id\n1,2,3\n"),
         1, ("spectrogram_id missing",), never=("\x1b",)),
    Case("train.csv: an unknown class", 15,
         lambda folder: (cells(1, expert_consensus="Burst")(stock.data(folder) / "train.csv"),
                         lambda: read_train_csv(folder / "data" / "train.csv"))[1],
         1, ("expert_consensus: expected one of Seizure", "row 2", "'Burst'")),
    Case("out of fold: a foreign CSV", 15, loaded(lambda rows: rows[["eeg_id"]].assign(pred=1), "oof.csv"),
         1, (r"oof\.csv: a CSV table with the columns eeg_id, pred", "expected a Parquet file with the columns eeg_id"),
         never=("not finished",)),
    Case("out of fold: a CSV of the right columns", 15, loaded(lambda rows: rows, "oof.csv"),
         1, ("a CSV table", "expected a Parquet file"), never=("not finished",)),
    Case("out of fold: foreign columns", 15, loaded(lambda rows: rows[["eeg_id"]].assign(pred=1)),
         1, (r"a\.parquet: column missing: eeg_start", "not expected: pred")),
    Case("out of fold: ids as the index", 15, loaded(lambda rows: rows.set_index("eeg_id"), index=True),
         1, ("column missing: eeg_id", "is the index")),
    Case("out of fold: a folder of something else", 15,
         lambda folder: ((folder / "notes").mkdir(), (folder / "notes" / "a.txt").write_text("x"),
                         lambda: load_oof(folder / "notes"))[2],
         1, (r"oof\.parquet: missing; found a\.txt", "expected a Parquet file"), never=("not finished",)),
    Case("out of fold: no folder", 15, lambda folder: lambda: load_oof(folder / "nowhere"),
         1, (r"nowhere.oof\.parquet: missing; no such folder",), never=("not finished",)),
    Case("out of fold: training goes on", 15,
         lambda folder: ((folder / "a").mkdir(), (folder / "a" / "recipe.toml").write_text(""),
                         lambda: load_oof(folder / "a"))[2],
         1, ("the training stage has not finished",)),
    Case("out of fold: a torn file", 15,
         lambda folder: ((folder / "a.parquet").write_bytes(b"PAR1 no more"),
                         lambda: load_oof(folder / "a.parquet"))[1],
         1, (r"a\.parquet: not a readable parquet file",)),
    Case("history.csv: text", 15,
         lambda folder: ((folder / "history.csv").write_text("epoch,loss\n1,.5\n2,much\n"),
                         lambda: read_history(folder))[1],
         1, (r"history\.csv: column loss, row 2: 'much'; expected numbers",)),
    Case("history.csv: none", 15, lambda folder: lambda: read_history(folder), 1, (r"history\.csv: no such file",)),
]  # fmt: skip


@table([*FIELDS, *IDS, *TABLES, *MESSAGES])
def test_tables(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)
