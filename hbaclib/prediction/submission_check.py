"""Whether a submission is one: every fault of it in one message."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hbaclib.conventions import SUBMISSION_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.cells import IDS, shares, whole_numbers
from hbaclib.dataset.tables import id_faults
from hbaclib.errors import DataError, list_some
from hbaclib.evaluation.metric import share_faults


def validate_submission(submission: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Check a submission against the test table.

    Args:
        submission: columns eeg_id and VOTE_COLUMNS.
        test: rows of ``test.csv``.

    Returns:
        The submission, unchanged.

    Raises:
        DataError: naming every fault (rows are counted from 0): columns, missing, repeated and unknown rows, ids that
            would be written in another form than the test table's, NaN, what is no number, values outside [0, 1], rows
            that do not sum to 1.
    """
    for name, table in {"submission": submission, "test": test}.items():
        if not isinstance(table, pd.DataFrame):
            raise DataError(f"{name} is of type {type(table).__name__}; expected a table (pandas.DataFrame)")
    columns = list(submission.columns)
    faults = _column_faults(submission)
    if columns.count("eeg_id") == 1:
        faults += _row_faults(submission["eeg_id"], test)
    present = [name for name in VOTE_COLUMNS if columns.count(name) == 1]
    values, no_numbers = shares(submission[present], "shares")
    faults += no_numbers
    if len(present) == len(VOTE_COLUMNS):
        faults += share_faults(values, "shares")
    elif not np.isfinite(values).all():
        faults.append("NaN or infinite values; expected numbers")
    if not len(submission):
        faults.append("no rows")
    if faults:
        raise DataError("submission: " + "; ".join(faults))
    return submission


def _column_faults(submission: pd.DataFrame) -> list[str]:
    faults, columns = [], list(submission.columns)
    missing = [name for name in SUBMISSION_COLUMNS if name not in columns]
    if missing:
        index = [name for name in submission.index.names if name in missing]
        hint = f" ({list_some(index)} is the index; expected a column: reset_index())" if index else ""
        faults.append(f"column missing: {list_some(missing)}{hint}")
    if unknown := [name for name in columns if name not in SUBMISSION_COLUMNS]:
        faults.append(f"column not expected: {list_some(unknown)}")
    if twice := [name for name in SUBMISSION_COLUMNS if columns.count(name) > 1]:
        faults.append(f"column more than once: {list_some(twice)}")
    if not faults and columns != list(SUBMISSION_COLUMNS):
        faults.append(f"columns in the order {list_some(columns)}; expected {list_some(SUBMISSION_COLUMNS)}")
    return faults


def _row_faults(column: pd.Series, test: pd.DataFrame) -> list[str]:
    """What is wrong with the ids, held against those of the test table."""
    if list(test.columns).count("eeg_id") != 1:
        return [f"the test table has no column eeg_id, or several; found {list_some(test.columns)}"]
    ids, faults = whole_numbers(column, "eeg_id", IDS)
    expected, more = whole_numbers(test["eeg_id"], "eeg_id of the test table", IDS)
    # In a CSV file they would be other names than the test table's.
    cells = column.astype(object).tolist()
    if (decimal := next((cell for cell in cells if isinstance(cell, float) and cell == cell), None)) is not None:
        faults.append(f"eeg_id: floating-point numbers, written as {decimal}; expected whole numbers (int64)")
    elif ids is not None and (text := next((cell for cell in cells if isinstance(cell, str)), None)) is not None:
        faults.append(f"eeg_id: text ({text!r}); expected whole numbers (int64)")
    if ids is None or expected is None:
        return faults + more
    return faults + id_faults(ids.tolist(), expected.tolist())
