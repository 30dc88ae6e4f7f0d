"""Columns into numbers: exactly, or a fault with row and spelling; never another number."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib.dataset.cells import COUNTS, IDS, INT64, LONGEST, VOTES, seconds, shares, whole_numbers


@settings(deadline=None)
@given(st.lists(st.integers(0, INT64), min_size=1, max_size=5))
def test_ids_stay_what_they_are_in_every_form(ids: list[int]) -> None:
    forms: list[Any] = [
        ids,
        list(map(str, ids)),
        np.array(ids, np.uint64),
        pd.array(ids, dtype="Int64"),
        pd.Categorical(ids),
        pd.Series(ids, dtype=object),
        [Decimal(name) for name in ids],
    ]
    for form in forms:
        found, faults = whole_numbers(form, "eeg_id", IDS)
        assert found is not None and not faults
        assert found.dtype == np.int64 and found.tolist() == ids


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1, None, 2], "x: empty, expected whole numbers: row 1"),
        ([None, None], "x: empty in all 2 rows"),
        (pd.array([1, None], dtype="Int64"), "x: empty, expected whole numbers: row 1"),
        ([1, True], "x: not a whole number (True), but a boolean: row 1"),
        (np.array([True, False]), "but a boolean: rows 0, 1"),
        ([0.5], "x: not a whole number (0.5): row 0"),
        ([np.inf, 1], "x: not a whole number (inf): row 0"),
        ([2.0**53], "may have lost digits"),
        (np.array([2**24], np.float32), "may have lost digits"),
        (np.array([2**63], np.uint64), "too large, expected at most 9223372036854775807 (int64)"),
        ([2**70], "too large"),
        (["9" * 50], "too large"),
        ([-1], "negative ids, expected 0 or more: row 0 (-1)"),
        (["-1"], "negative ids"),
        (["1e3"], "in scientific notation"),
        (["0012"], "leading zeros"),
        (["+12"], "a sign"),
        (["1_000"], "not a whole number ('1_000')"),
        (["１２"], "not a whole number"),
        (["1,5"], "a decimal comma"),
        (["x"], "x: not a whole number ('x'): row 0"),
        ([[1]], "not a whole number"),
        (pd.to_datetime(["2024-01-01"]), "not a whole number"),
    ],
)
def test_what_is_no_id_is_refused(values: Any, problem: str) -> None:
    found, faults = whole_numbers(values, "x", IDS)
    assert found is None
    assert any(problem in fault for fault in faults), faults


def test_numbers_that_are_no_names_may_be_written_as_one_likes() -> None:
    assert whole_numbers(["007", "+3", "1e2", " 4.0 "], "x", COUNTS)[0].tolist() == [7, 3, 100, 4]  # type: ignore[union-attr]
    assert whole_numbers([1e6, "1e999999999"], "x", VOTES)[1] == [
        "x: too large, expected at most 1000: rows 0, 1 (1000000.0, '1e999999999')"
    ]


def test_seconds() -> None:
    assert seconds(["2.0", 4, " 1e1"], "x")[0].tolist() == [2.0, 4.0, 10.0]  # type: ignore[union-attr]
    for values, problem in (
        ([-1.0], "not seconds >= 0 (-1.0)"),
        ([np.inf], "not seconds >= 0"),
        ([True], "not seconds >= 0"),
        (["2,0"], "decimal comma"),
        ([LONGEST + 1], "too large"),
        ([np.nan, 1.0], "empty, expected seconds: row 0"),
    ):
        found, faults = seconds(values, "x")
        assert found is None and problem in faults[0]


def test_shares_of_mixed_cells() -> None:
    table = pd.DataFrame(
        {"a": [0.5, 1], "b": ["0.5", None], "c": [True, 0.1], "d": ["much", "0,5"], "e": [Decimal("0.1"), pd.NA]}
    )
    found, faults = shares(table, "shares")
    assert faults == [
        "shares: column c holds booleans; expected numbers",
        "shares: column d holds text ('much'), text ('0,5'); expected numbers",
    ]
    np.testing.assert_array_equal(found[:, [0, 1, 4]], [[0.5, 0.5, 0.1], [1, np.nan, np.nan]])
