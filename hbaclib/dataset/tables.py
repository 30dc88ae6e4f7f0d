"""Read and validate ``train.csv`` and ``test.csv``: all faults of a table in one message."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hbaclib.conventions import CLASSES, SUBMISSION_COLUMNS, TEST_COLUMNS, TRAIN_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.cells import COUNTS, IDS, VOTES, Whole, at_rows, seconds, whole_numbers
from hbaclib.dataset.csv_tables import TextTable, read_text_csv
from hbaclib.errors import DataError, DataFileError, list_some

_IDS = ("eeg_id", "spectrogram_id", "label_id", "patient_id")
_WHOLE: dict[str, Whole] = {
    **dict.fromkeys(_IDS, IDS),
    **dict.fromkeys(("eeg_sub_id", "spectrogram_sub_id"), COUNTS),
    **dict.fromkeys(VOTE_COLUMNS, VOTES),
}
_OFFSETS = ("eeg_label_offset_seconds", "spectrogram_label_offset_seconds")
_OWNERS = (
    ("eeg_id", "patient_id", "recording"),
    ("eeg_id", "spectrogram_id", "recording"),
    ("spectrogram_id", "patient_id", "spectrogram"),
)
"""What may have one of the other only; a recording or spectrogram of two patients leaks between folds."""


def read_train_csv(path: str | Path) -> pd.DataFrame:
    """Read ``train.csv``.

    Args:
        path: the file.

    Returns:
        One row per label, columns as TRAIN_COLUMNS; ids and votes int64, offsets (s) float64.

    Raises:
        DataFileError: naming every fault of the table with its rows (1 is the first row below the header).
    """
    text = _read(path, TRAIN_COLUMNS)
    table, faults = _numbers(text)
    unknown = ~table["expert_consensus"].isin(CLASSES)
    found = list_some(map(repr, table["expert_consensus"][unknown].unique()), 3)
    expected = f"expert_consensus: expected one of {', '.join(CLASSES)}"
    faults += [f"{fault} (found {found})" for fault in at_rows(unknown, expected, 1)]
    faults += _label_faults(table, 1)
    if "label_id" in _exact(table):
        faults += _twice(table, "label_id")
    return _without_faults(text.path, table, faults)


def read_test_csv(path: str | Path) -> pd.DataFrame:
    """Read ``test.csv``.

    Args:
        path: the file.

    Returns:
        One row per recording, columns as TEST_COLUMNS, int64. One row is enough.

    Raises:
        DataFileError: naming every fault of the table with its rows (1 is the first row below the header).
    """
    text = _read(path, TEST_COLUMNS)
    table, faults = _numbers(text)
    if "eeg_id" in _exact(table):
        faults += _twice(table, "eeg_id")
    return _without_faults(text.path, table, faults)


def read_submission_ids(path: str | Path) -> pd.Series:
    """Read the ids of a submission, such as ``sample_submission.csv``.

    Args:
        path: the file.

    Returns:
        (n,) int64 ``eeg_id``.

    Raises:
        DataFileError: naming every fault of the ids.
    """
    text = _read(path, SUBMISSION_COLUMNS)
    ids, faults = _whole_column(text.cells.column("eeg_id"), "eeg_id")
    table = pd.DataFrame({"eeg_id": ids})
    return _without_faults(text.path, table, faults or _twice(table, "eeg_id"))["eeg_id"]


def check_labels(train: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Check label rows that somebody hands in as a table.

    Args:
        train: rows of ``train.csv``; numbers of any type.
        columns: those that are needed.

    Returns:
        The table with these columns as int64 and float64; itself where they are so already.

    Raises:
        DataError: naming every fault with its rows (0 is the first).
    """
    if not isinstance(train, pd.DataFrame):
        raise DataError(f"train is of type {type(train).__name__}; expected a table (pandas.DataFrame)")
    found = list(train.columns)
    if missing := [name for name in columns if name not in found]:
        raise DataError(f"train: column {list_some(missing)} missing; found {list_some(found, 20)}")
    if twice := [name for name in columns if found.count(name) > 1]:
        raise DataError(f"train: column {list_some(twice)} occurs more than once")
    made: dict[str, np.ndarray] = {}
    faults = []
    for name in columns:
        values, more = (
            seconds(train[name], name) if name in _OFFSETS else whole_numbers(train[name], name, _WHOLE[name])
        )
        faults += more
        if values is not None and train[name].dtype != values.dtype:
            made[name] = values
    table = train.assign(**made) if made else train
    faults += _label_faults(table[list(columns)], 0)
    if faults:
        raise DataError("train: (rows are counted from 0)\n  " + "\n  ".join(faults))
    return table


def id_faults(found: Sequence[int], expected: Sequence[int]) -> list[str]:
    """What keeps the ids of one table from being those of ``test.csv``, in any order."""
    faults = []
    ids = pd.Series(found)
    if twice := ids[ids.duplicated()].unique().tolist():
        faults.append(f"{len(twice)} eeg_id in more than one row: {list_some(twice)}")
    if absent := sorted(set(expected) - set(found)):
        faults.append(f"{len(absent)} eeg_id of the test table have no row: {list_some(absent)}")
    if foreign := sorted(set(found) - set(expected)):
        faults.append(f"{len(foreign)} eeg_id are not in the test table: {list_some(foreign)}")
    return faults


def _read(path: str | Path, columns: Sequence[str]) -> TextTable:
    text = read_text_csv(path, columns)
    if text.note:
        warnings.warn(text.note, stacklevel=4)
    return text


def _numbers(text: TextTable) -> tuple[pd.DataFrame, list[str]]:
    """Columns as numbers where they are; those with faults stay text."""
    made: dict[str, np.ndarray] = {}
    faults = []
    for name in text.cells.column_names:
        cells, more = text.cells.column(name), list[str]()
        values: np.ndarray | None = None
        if name in _OFFSETS:
            values, more = _offset_column(cells, name)
        elif name in _WHOLE or name in TEST_COLUMNS:
            values, more = _whole_column(cells, name)
        made[name] = cells.to_numpy() if values is None else values
        faults += more
    return pd.DataFrame(made), faults


def _whole_column(cells: pa.ChunkedArray, name: str) -> tuple[np.ndarray | None, list[str]]:
    kind = _WHOLE[name]
    # Quickly where all are digits; leading zeros and 0x1F are left to who looks at every cell.
    zeros = pc.and_(pc.starts_with(cells, "0"), pc.greater(pc.binary_length(cells), 1))
    if not pc.any(zeros).as_py():
        with suppress(pa.ArrowInvalid):
            return whole_numbers(cells.cast(pa.int64()).to_numpy(), name, kind, 1)
    return whole_numbers(cells.to_pylist(), name, kind, 1)


def _offset_column(cells: pa.ChunkedArray, name: str) -> tuple[np.ndarray | None, list[str]]:
    try:
        return seconds(cells.cast(pa.float64()).to_numpy(), name, 1)
    except pa.ArrowInvalid:
        return seconds(cells.to_pylist(), name, 1)


def _exact(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if table[name].dtype == np.int64]


def _label_faults(table: pd.DataFrame, first: int) -> list[str]:
    """What is wrong with label rows whose single cells are right."""
    exact, faults = _exact(table), list[str]()
    if set(VOTE_COLUMNS) <= set(exact):
        zero = (table[list(VOTE_COLUMNS)].to_numpy() == 0).all(axis=1)
        faults += at_rows(zero, "all six votes are zero, expected at least one", first)
    for owner, owned, each in _OWNERS:
        if owner in exact and owned in exact:
            faults += _several(table, owner, owned, each, first)
    return faults


def _several(table: pd.DataFrame, owner: str, owned: str, each: str, first: int) -> list[str]:
    codes, names = pd.factorize(table[owner])
    values = table[owned].to_numpy()
    first_of = np.empty(len(names), np.int64)
    first_of[codes[::-1]] = values[::-1]  # the last one written is the first row's
    if (first_of[codes] == values).all():
        return []
    pairs = table[[owner, owned]].drop_duplicates()
    shared = pairs[pairs[owner].duplicated(keep=False)]
    what = owned.removesuffix("_id")
    named = [f"{owner} {name}: {what}s {list_some(sorted(part))}" for name, part in shared.groupby(owner)[owned]]
    problem = f"{owned}: one {owner} has several, expected one per {each}"
    return [f"{fault} ({list_some(named, 3)})" for fault in at_rows(table[owner].isin(shared[owner]), problem, first)]


def _twice(table: pd.DataFrame, name: str) -> list[str]:
    twice = table[name].duplicated(keep=False)
    found = list_some(table[name][twice].unique(), 3)
    problem = f"{name}: occurs more than once, expected unique ids"
    return [f"{fault} ({found})" for fault in at_rows(twice, problem, 1)]


def _without_faults(path: Path, table: pd.DataFrame, faults: list[str]) -> pd.DataFrame:
    if faults:
        raise DataFileError(f"{path}: (rows are counted from 1 below the header)\n  " + "\n  ".join(faults))
    return table
