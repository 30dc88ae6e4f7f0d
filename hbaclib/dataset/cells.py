"""Columns that must hold numbers: turned into them exactly, or their faults listed with rows and spelling.

Ids are names that happen to be written in digits. Whatever changes one (a float above 2^53, a spreadsheet's
``1.62E+09``, leading zeros) makes it the name of another recording.
"""

from __future__ import annotations

import math
import numbers
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.errors import DataError, list_some

INT64 = 2**63 - 1
EXACT = 2**53
"""From here on floating-point numbers leave whole numbers out."""
LONGEST = 10_000_000.0
"""Seconds; no recording is longer (116 days)."""

_EMPTY = {"", "nan", "na", "n/a", "none", "null", "<na>", "nat", "#n/a", "-nan", "1.#qnan", "#na", "-1.#ind", "1.#ind"}
_FLOAT = re.compile(r"[0-9]+\.0*")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+\.?[0-9]*[eE][+-]?[0-9]+")
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
_SHOWN = 40  # characters of a cell in a message
_DIGITS = 30  # more than any number that is taken has
_NOT_WHOLE = "not a whole number"
_LOST = "a floating-point number that may have lost digits, expected whole numbers, or floating-point ones below 2^"


@dataclass(frozen=True)
class Whole:
    """Whole numbers of 0 or more.

    Attributes:
        what: how messages call negative ones.
        most: the greatest.
        names: digits are a name: what may have lost some, or has zeros in front, is refused.
    """

    what: str = "negative numbers"
    most: int = INT64
    names: bool = False


IDS = Whole("negative ids", names=True)
COUNTS = Whole()
VOTES = Whole("negative votes", most=1000)


def at_rows(bad: Iterable[Any] | np.ndarray, problem: str, first: int = 0) -> list[str]:
    """A problem with the rows of a mask, or nothing where there are none.

    Args:
        bad: (n,) bool.
        problem: what is wrong there.
        first: number of the first row.
    """
    rows = np.flatnonzero(np.asarray(bad, bool)) + first
    return [f"{problem}: row{'s' if len(rows) > 1 else ''} {list_some(rows)}"] if len(rows) else []


def whole_numbers(values: Any, name: str, kind: Whole = COUNTS, first: int = 0) -> tuple[np.ndarray | None, list[str]]:
    """Turn a column into whole numbers, each exactly as it is written.

    Args:
        values: (n,) of any type: numbers, text, missing values.
        name: how messages call the column.
        kind: what numbers are allowed.
        first: number of the first row.

    Returns:
        (n,) int64 and no faults, or None and the faults.
    """
    column = _column(values, name)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        found = column.to_numpy()
        outside = (found < 0) | (found > np.uint64(kind.most) if found.dtype.kind == "u" else found > kind.most)
        if not outside.any():
            return found.astype(np.int64), []
    stored = getattr(column.dtype, "numpy_dtype", column.dtype)
    exact = 2 ** (np.finfo(stored).nmant + 1) if isinstance(stored, np.dtype) and stored.kind == "f" else EXACT
    return _converted(column, name, lambda value: _whole(value, kind, exact), np.int64, "whole numbers", first)


def seconds(values: Any, name: str, first: int = 0) -> tuple[np.ndarray | None, list[str]]:
    """Turn a column into seconds from 0 to LONGEST; arguments and answer as of `whole_numbers`, (n,) float64."""
    column = _column(values, name)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        found = column.to_numpy(np.float64)
        if ((found >= 0) & (found <= LONGEST)).all():
            return found, []
    return _converted(column, name, _seconds, np.float64, "seconds", first)


def shares(values: pd.DataFrame, what: str) -> tuple[np.ndarray, list[str]]:
    """Turn columns of shares into numbers, NaN where a cell holds none.

    Args:
        values: table whose columns are shares.
        what: how messages call them.

    Returns:
        (n, k) float64, and the faults of columns that hold no numbers at all: text, booleans, dates.
    """
    found, faults = np.full(values.shape, np.nan), []
    for place, name in enumerate(values.columns):
        column = values.iloc[:, place]
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
            found[:, place] = column
            continue
        cells = column.astype(object).tolist()
        kinds = list(dict.fromkeys(filter(None, map(_kind_of, cells))))
        if kinds:
            faults.append(f"{what}: column {name} holds {list_some(kinds, 3)}; expected numbers")
        found[:, place] = [_number(cell) for cell in cells]
    return found, faults


def _column(values: Any, name: str) -> pd.Series:
    try:
        return pd.Series(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: {error}; expected one value for every row") from error


def _converted(
    column: pd.Series, name: str, convert: Callable[[Any], Any], dtype: type, expected: str, first: int
) -> tuple[np.ndarray | None, list[str]]:
    cells = column.astype(object).tolist()
    rows: Mapping[str, list[int]] = defaultdict(list)
    good: np.ndarray = np.zeros(len(cells), dtype)
    for row, cell in enumerate(cells):
        found = convert(cell)
        if isinstance(found, str):
            rows[found].append(row)
        else:
            good[row] = found
    faults = []
    for problem, where in rows.items():
        mask = np.isin(np.arange(len(cells)), where)
        if problem == "empty" and mask.all() and len(cells) > 1:
            faults.append(f"{name}: empty in all {len(cells)} rows, expected {expected}")
        elif problem == "empty":
            faults += at_rows(mask, f"{name}: empty, expected {expected}", first)
        else:
            spelt = list_some((_spelt(cells[row]) for row in where), 3)
            begin, comma, end = problem.partition(",")
            if begin.startswith("not "):
                faults += at_rows(mask, f"{name}: {begin} ({spelt}){comma}{end}", first)
            else:
                faults += [f"{fault} ({spelt})" for fault in at_rows(mask, f"{name}: {problem}", first)]
    return (None, faults) if faults else (good, [])


def _spelt(cell: Any) -> str:
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_empty(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in _EMPTY
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float | np.floating) and cell != cell)


def _whole(cell: Any, kind: Whole, exact: int) -> int | str:
    """The whole number of a cell, or what is wrong with it; floats are exact below ``exact``."""
    if _is_empty(cell):
        return "empty"
    if isinstance(cell, bool | np.bool_):
        return f"{_NOT_WHOLE}, but a boolean"
    if isinstance(cell, numbers.Integral):
        return _within(int(cell), kind)
    if isinstance(cell, float | np.floating | Decimal):
        if not math.isfinite(cell) or cell != int(cell):
            return _NOT_WHOLE
        lost = kind.names and not isinstance(cell, Decimal) and abs(int(cell)) >= exact
        return f"{_LOST}{exact.bit_length() - 1}" if lost else _within(int(cell), kind)
    return _from_text(cell.strip(), kind) if isinstance(cell, str) else _NOT_WHOLE


def _from_text(text: str, kind: Whole) -> int | str:
    if not text.isascii() or "_" in text:  # what Python takes for digits, others do not
        return _NOT_WHOLE
    if kind.names:
        if _SCIENTIFIC.fullmatch(text):
            return "in scientific notation, which may have lost digits, expected the digits alone"
        if text.startswith("+"):
            return "a sign, expected the digits alone"
        if _FLOAT.fullmatch(text):
            text = text.partition(".")[0]
            if len(text) > _DIGITS or int(text) >= EXACT:
                return f"{_LOST}53"
        if text.isdigit() and text.startswith("0") and text != "0":
            return "leading zeros, expected the digits alone"
    if _COMMA.fullmatch(text):
        return f"{_NOT_WHOLE}, but written with a decimal comma"
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _NOT_WHOLE
    if not number.is_finite():
        return _NOT_WHOLE
    if number.adjusted() > _DIGITS:  # not written out: 1e999999 is short
        return _within(kind.most + 1 if number > 0 else -1, kind)
    return _within(int(number), kind) if number == number.to_integral_value() else _NOT_WHOLE


def _within(number: int, kind: Whole) -> int | str:
    if number < 0:
        return f"{kind.what}, expected 0 or more"
    if number > kind.most:
        return f"too large, expected at most {kind.most}{' (int64)' if kind.most == INT64 else ''}"
    return number


def _seconds(cell: Any) -> float | str:
    if _is_empty(cell):
        return "empty"
    if isinstance(cell, str) and _COMMA.fullmatch(cell.strip()):
        return "not seconds >= 0, but written with a decimal comma"
    number = _number(cell)
    if isinstance(cell, bool | np.bool_) or not 0 <= number < math.inf:
        return "not seconds >= 0"
    return number if number <= LONGEST else f"too large, expected seconds up to {LONGEST:.0f}"


def _number(cell: Any) -> float:
    """A cell as a number, NaN where it is none."""
    if isinstance(cell, str):
        cell = cell.strip()
        if "_" in cell or not cell.isascii():  # what Python takes for a number, others do not
            return math.nan
    try:
        return math.nan if _is_empty(cell) else float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _kind_of(cell: Any) -> str | None:
    """What a cell holds, where it is neither a number nor missing."""
    if isinstance(cell, bool | np.bool_):
        return "booleans"
    if _is_empty(cell) or isinstance(cell, int | float | np.integer | np.floating | Decimal):
        return None
    if isinstance(cell, str):
        return None if not math.isnan(_number(cell)) else f"text ({_spelt(cell)})"
    return f"values of type {type(cell).__name__}"
