"""Read and validate ``train.csv`` and ``test.csv``: all faults of a table in one message."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, TEST_COLUMNS, TRAIN_COLUMNS, VOTE_COLUMNS
from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.columns import reorder

_IDS = ("eeg_id", "eeg_sub_id", "spectrogram_id", "spectrogram_sub_id", "label_id", "patient_id")
_OFFSETS = ("eeg_label_offset_seconds", "spectrogram_label_offset_seconds")


def read_train_csv(path: str | Path) -> pd.DataFrame:
    """Read ``train.csv``.

    Args:
        path: the file.

    Returns:
        One row per label, columns as TRAIN_COLUMNS; ids and votes int64, offsets (s) float64.

    Raises:
        DataFileError: naming every fault of the table with its rows (1 is the first row below the header).
    """
    path = Path(path)
    table = _read(path, TRAIN_COLUMNS)
    faults = [fault for name in (*_IDS, *VOTE_COLUMNS) for fault in _make(table, name, whole=True)]
    faults += [fault for name in _OFFSETS for fault in _make(table, name, whole=False)]
    votes = [name for name in VOTE_COLUMNS if table[name].dtype == np.int64]
    for name in votes:
        faults += _at_rows(table[name] < 0, f"{name}: negative votes, expected 0 or more")
    if len(votes) == len(VOTE_COLUMNS):
        faults += _at_rows((table[votes] == 0).all(axis=1), "all six votes are zero, expected at least one")
    faults += _at_rows(
        ~table["expert_consensus"].isin(CLASSES), f"expert_consensus: expected one of {', '.join(CLASSES)}"
    )
    faults += _at_rows(table["label_id"].duplicated(keep=False), "label_id: occurs more than once, expected unique ids")
    for name in ("patient_id", "spectrogram_id"):
        several = table.groupby("eeg_id")[name].transform("nunique") > 1
        faults += _at_rows(several, f"{name}: one eeg_id has several, expected one per recording")
    return _without_faults(path, table, faults)


def read_test_csv(path: str | Path) -> pd.DataFrame:
    """Read ``test.csv``.

    Args:
        path: the file.

    Returns:
        One row per recording, columns as TEST_COLUMNS, int64. One row is enough.

    Raises:
        DataFileError: naming every fault of the table with its rows (1 is the first row below the header).
    """
    path = Path(path)
    table = _read(path, TEST_COLUMNS)
    faults = [fault for name in TEST_COLUMNS for fault in _make(table, name, whole=True)]
    faults += _at_rows(table["eeg_id"].duplicated(keep=False), "eeg_id: occurs more than once, expected unique ids")
    return _without_faults(path, table, faults)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    expected = f"expected the columns {', '.join(columns)} and at least one row"
    try:
        # Text first: a number that was spoilt keeps its spelling for the message.
        table = pd.read_csv(path, low_memory=False)
    except FileNotFoundError:
        raise DataFileError(f"{path}: no such file; {expected}") from None
    except pd.errors.EmptyDataError:
        raise DataFileError(f"{path}: the file is empty (0 bytes or no header); {expected}") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise DataFileError(f"{path}: cannot be read as CSV ({error}); {expected}") from error
    note = reorder([str(name) for name in table.columns], columns, path)
    if note:
        warnings.warn(note, stacklevel=4)
    if table.empty:
        raise DataFileError(f"{path}: a header and no rows; {expected}")
    return table[list(columns)].copy()


def _make(table: pd.DataFrame, name: str, *, whole: bool) -> list[str]:
    """Turn a column into whole numbers (int64) or seconds (float64) in place, or list the rows where it is not."""
    if whole and table[name].dtype == np.int64:
        return []
    numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
    good = (numbers >= 0) & (numbers < np.inf)
    if whole:
        good = (numbers == np.round(numbers)) & (np.abs(numbers) < 2.0**53)
    if good.all():
        table[name] = numbers.astype(np.int64 if whole else np.float64)
    what = "a whole number" if whole else "seconds >= 0"
    return _at_rows(~good, f"{name}: not {what} ({list_some(map(repr, table[name][~good]), 3)})")


def _at_rows(bad: pd.Series | np.ndarray, problem: str) -> list[str]:
    rows = np.flatnonzero(np.asarray(bad, bool)) + 1
    return [f"{problem}: row{'s' if len(rows) > 1 else ''} {list_some(rows)}"] if len(rows) else []


def _without_faults(path: Path, table: pd.DataFrame, faults: list[str]) -> pd.DataFrame:
    if faults:
        raise DataFileError(f"{path}: (rows are counted from 1 below the header)\n  " + "\n  ".join(faults))
    return table
