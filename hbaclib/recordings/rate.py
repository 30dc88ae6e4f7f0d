"""What a file says of its sampling rate, in its metadata or by a column of times: another than 200 Hz is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from hbaclib.conventions import EEG_RATE
from hbaclib.errors import DataFileError
from hbaclib.recordings.columns import shown
from hbaclib.recordings.metadata import Statement

GRID = EEG_RATE
"""Rows from one compared time to the next: one second."""

_TOLERANCE = 0.002
"""Clocks of devices are off by less than a fifth of a percent, and no common rate is so near to 200 Hz."""
_JUMP = 0.05
_FINE = 0.02
_DENSE = 4096

_RATES = frozenset(
    re.findall(
        r"\w+",
        """
    fs fshz srate sfreq rate ratehz hz samplerate sampleratehz samplingrate samplingratehz samplefrequency
    samplefrequencyhz samplingfrequency samplingfrequencyhz samplefreq samplingfreq sampfreq eegrate eegfs
    eegsamplingrate samplespersecond recordingfrequency nominalrate nominalsrate fsample fsamp
    """,
    )
)
_PERIODS = frozenset(("dt", "samplingperiod", "sampleperiod", "samplinginterval", "sampleinterval"))
_NUMBER = re.compile(r"\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([a-zµμ/]*)\s*", re.IGNORECASE)
_OF_RATE = {"": 1.0, "hz": 1.0, "hertz": 1.0, "khz": 1e3, "sps": 1.0, "samples/s": 1.0, "/s": 1.0}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "milli", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_TIME = re.compile(
    r"(?:(?:t|times?|timestamps?|time[\s_]?stamps?|elapsed(?:[\s_]time)?|datetime|clock|index|__index_level_\d+__)"
    rf"(?:[\s_]*[\[(]?\s*(?P<unit>{'|'.join(sorted(_SECONDS, key=len, reverse=True))})\s*[\])]?)?"
    rf"|(?P<alone>{'|'.join(sorted(_SECONDS.keys() - {'h', 's', 'min'}, key=len, reverse=True))}))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TimeColumn:
    """A column that says when each row was recorded; ``seconds`` is its unit, None where it must be found out."""

    name: str
    kind: pa.DataType
    seconds: float | None


def stated_rate(stated: Iterable[Statement], path: Path) -> str:
    """What a file's metadata say of the rate, for a note; empty where they say nothing.

    Raises:
        DataFileError: they state another rate.
    """
    said = ""
    for statement in stated:
        rate = _rate(statement)
        if rate is None:
            continue
        if not abs(rate / EEG_RATE - 1) <= _TOLERANCE:
            raise DataFileError(f"{path}: states {rate:.6g} Hz (metadata: {statement}); expected {EEG_RATE}")
        said = f"metadata: {statement}"
    return said


def time_columns(schema: pa.Schema, names: Iterable[str]) -> list[TimeColumn]:
    """Those of some columns that hold times."""
    found = []
    for name in names:
        kind = schema.field(name).type
        label = _TIME.fullmatch(name.strip())
        if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
            found.append(TimeColumn(name, kind, _SECONDS[kind.unit]))
        elif label and (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            unit = label["unit"] or label["alone"]
            found.append(TimeColumn(name, kind, _SECONDS[unit.casefold()] if unit else None))
        elif label and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            found.append(TimeColumn(name, kind, 1e-6))
    return found


def check_times(column: TimeColumn, batches: Iterator[pa.Array], path: Path) -> str:
    """Hold a column of times against 200 Hz.

    Args:
        column: the column.
        batches: its values.
        path: the file, for messages.

    Returns:
        What it states, for a note; empty where it states nothing (no values, one value throughout, numbers of rows).

    Raises:
        DataFileError: it states another rate, goes back, or jumps.
    """
    rows, values, resolution = _grid(column, batches)
    name = f"column {shown(column.name)}"
    if len(rows) < 3 or not np.ptp(values):
        return ""
    steps = np.diff(values) / np.diff(rows)
    if (steps < 0).any():
        row = int(rows[int(np.argmax(steps < 0)) + 1])
        raise DataFileError(f"{path}: {name} goes back before row {row + 1}; expected times in ascending order")
    if column.seconds is None and pa.types.is_integer(column.kind) and (steps == 1).all() and values[0] in (0, 1):
        return ""
    middle = float(np.median(steps))
    step = middle if middle > 0 else float(np.ptp(values) / np.ptp(rows))
    unit = column.seconds or next((unit for unit in (1.0, 1e-3, 1e-6, 1e-9) if 50 <= 1 / (step * unit) < 50_000), 1.0)
    span, resolution = float(np.ptp(values)) * unit, resolution * unit
    fine = resolution <= _FINE and middle > 0
    rate = 1 / (step * unit) if fine else float(np.ptp(rows)) / span
    # Times in whole seconds tell the rate only over a long time.
    slack = _TOLERANCE + (0 if fine else 2 * resolution / span)
    if not abs(rate / EEG_RATE - 1) <= slack:
        raise DataFileError(f"{path}: states {rate:.6g} Hz ({name}); expected {EEG_RATE}")
    passed, due = np.diff(values) * unit, np.diff(rows) / EEG_RATE
    jumps = np.flatnonzero(np.abs(passed - due) > _JUMP + 2 * resolution * (not fine) + _TOLERANCE * due)
    if len(jumps):
        first, last = int(rows[jumps[0]]), int(rows[jumps[0] + 1])
        raise DataFileError(
            f"{path}: {name} jumps between rows {first + 1} and {last + 1}: {passed[jumps[0]]:.6g} s lie between them; "
            f"expected {due[jumps[0]]:g} ({EEG_RATE} Hz without gaps)"
        )
    return name


def _rate(statement: Statement) -> float | None:
    period = statement.among(_PERIODS)
    if not period and not statement.among(_RATES):
        return None
    number = _NUMBER.fullmatch(str(statement.value))
    if number is None:
        return None
    try:
        value = float(number[1])
    except ValueError:
        return None
    unit = number[2].casefold()
    if period:
        seconds = value * _SECONDS.get(unit or "s", np.nan)
        return 1 / seconds if seconds > 0 else None
    return value * _OF_RATE[unit] if unit in _OF_RATE else None


def _grid(column: TimeColumn, batches: Iterator[pa.Array]) -> tuple[np.ndarray, np.ndarray, float]:
    """Every 200th row (every row of a short file) and its value, and the least step of neighbours in the beginning."""
    parts, dense, row = [], np.zeros(0), 0
    for batch in batches:
        values = _numbers(column, batch)
        if len(dense) < _DENSE:
            dense = np.concatenate([dense, values[:_DENSE]])
        first = -row % GRID
        parts.append(values[first::GRID])
        row += len(values)
    values, rows = np.concatenate([*parts, np.zeros(0)]), np.arange(0, row, GRID)
    if row < 4 * GRID:
        values, rows = dense, np.arange(len(dense))
    known = np.isfinite(values)
    rows, values = rows[known], values[known]
    if pa.types.is_time(column.kind) and len(values):
        # A clock begins anew at midnight.
        days = np.concatenate([[0], np.cumsum(np.diff(values) < 0)])
        values = values + days * (86_400 / (column.seconds or 1))
    near = np.diff(dense[np.isfinite(dense)])
    near = near[near > 0]
    return rows, values, float(near.min()) if len(near) else 0.0


def _numbers(column: TimeColumn, batch: pa.Array) -> np.ndarray:
    """Values of a batch as float64, NaN where there is none or text is no time."""
    kind = column.kind
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            batch = batch.cast(pa.timestamp("us"))
        except pa.ArrowException:
            return np.full(len(batch), np.nan)
    elif pa.types.is_decimal(kind):
        batch = batch.cast(pa.float64())
    if pa.types.is_time32(batch.type):
        batch = batch.cast(pa.int32())
    elif pa.types.is_temporal(batch.type):
        batch = batch.cast(pa.int64())
    return batch.to_numpy(zero_copy_only=False).astype(np.float64)
