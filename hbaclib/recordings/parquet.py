"""Read and validate one EEG or spectrogram file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hbaclib.conventions import EEG_RATE, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP
from hbaclib.errors import DataFileError, list_some
from hbaclib.platform import available_memory
from hbaclib.recordings.base import LONGEST_DAYS
from hbaclib.recordings.columns import reorder, shown
from hbaclib.recordings.opened import BATCH, open_parquet, open_recording, parquet_errors

_BUFFER = 1 << 15
"""Bytes read ahead of each of the 401 columns of a spectrogram."""


def read_eeg(
    path: str | Path,
    start: float | None = None,
    seconds: float | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    **options: Any,
) -> np.ndarray:
    """Read an EEG file, or a part of it.

    Args:
        path: a file that `open_recording` takes: EDF, BDF, or Parquet with a column for each electrode. Other names
            (T7, ``EEG Fp1-Ref``), another order, another rate, montage and unit are put right, with a warning.
        start: second with which to begin; None: the first.
        seconds: how many to read; None: to the end.
        columns: electrode -> column of the file, for columns whose names do not tell.
        unit: ``V``, ``mV``, ``µV`` or ``nV``; None: what the file states, µV where it states none.
        **options: ``channels``, ``invert`` and ``ignore_gaps``, as `open_recording` takes them.

    Returns:
        (n_samples, 20) float32 in µV at 200 Hz, columns as EEG_COLUMNS, NaN where the recording has none, in gaps too.

    Raises:
        DataFileError: the file is missing or damaged, it is shorter than what is asked for, an electrode is missing or
            holds no numbers, a value is infinite, or the file states a rate or unit that is not read.
        ConfigError: there is no such unit.
    """
    values, note = load_eeg(path, start, seconds, columns, unit, **options)
    _warn(note)
    return values


def read_spectrogram(path: str | Path) -> np.ndarray:
    """Read a spectrogram file.

    Args:
        path: Parquet file with the columns ``time`` and SPECTROGRAM_COLUMNS; another order is put right with a warning.

    Returns:
        (n_rows, 400) float32 power density in µV²/Hz, one row per 2 s, NaN where the recording has none.

    Raises:
        DataFileError: the file is missing or no whole Parquet file, a column is missing or holds no numbers, a value is
            infinite or negative, or ``time`` does not go 1, 3, 5, ... s.
    """
    values, note = load_spectrogram(path)
    _warn(note)
    return values


def holds_spectrogram(path: str | Path) -> bool:
    """Whether a file has columns of a spectrogram, and so is not to be read as an EEG.

    Raises:
        DataFileError: the file is missing or no whole Parquet file.
    """
    with parquet_errors(Path(path), "columns of an EEG or of a spectrogram"), open_parquet(Path(path), _BUFFER) as file:
        return not set(SPECTROGRAM_COLUMNS).isdisjoint(file.schema_arrow.names)


def load_eeg(
    path: str | Path,
    start: float | None = None,
    seconds: float | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    **options: Any,
) -> tuple[np.ndarray, str | None]:
    """As `read_eeg`, with the note on columns and units returned instead of warned of."""
    with open_recording(path, columns, unit, **options) as recording:
        first = 0 if start is None else round(start * EEG_RATE)
        stop = recording.n_samples if seconds is None else first + round(seconds * EEG_RATE)
        if not 0 <= first <= stop <= recording.n_samples:
            raise DataFileError(
                f"{path}: {recording.seconds:g} s; seconds {first / EEG_RATE:g} to {stop / EEG_RATE:g} were asked for"
            )
        values = recording.read(first, stop)
        return values, f"{path}: {'; '.join(recording.notes)}" if recording.notes else None


def load_spectrogram(path: str | Path) -> tuple[np.ndarray, str | None]:
    """As `read_spectrogram`, with the note on the order of the columns returned instead of warned of."""
    path = Path(path)
    values, note = _load(path, ("time", *SPECTROGRAM_COLUMNS))
    time, power = values[:, 0], values[:, 1:]
    wrong = np.flatnonzero(time != 1 + SPECTROGRAM_STEP * np.arange(len(time)))
    if len(wrong):
        raise DataFileError(
            f"{path}: column time, row {wrong[0] + 1}: found {time[wrong[0]]:g}, expected "
            f"{1 + SPECTROGRAM_STEP * wrong[0]} (1, 3, 5, ... s)"
        )
    bad = np.isinf(power) | (power < 0)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        place = f"column {SPECTROGRAM_COLUMNS[column]}, row {row + 1} ({int(bad.sum())} values in all)"
        raise DataFileError(f"{path}: {place} is negative or infinite; expected power density or NaN")
    return np.ascontiguousarray(power), note


def _load(path: Path, columns: Sequence[str]) -> tuple[np.ndarray, str | None]:
    """Read columns by name into one float32 array (n_rows, n_columns), batch by batch."""
    with parquet_errors(path, f"{len(columns)} columns"), open_parquet(path, _BUFFER) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        note = reorder(schema.names, columns, path)
        kinds = [schema.field(name) for name in columns]
        wrong = [
            f"{shown(field.name)} ({field.type})"
            for field in kinds
            if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
        ]
        if wrong:
            raise DataFileError(f"{path}: column {list_some(wrong)} holds no numbers; expected float32")
        if n_rows == 0:
            raise DataFileError(f"{path}: no rows; expected at least one")
        needed, longest = 8 * n_rows * len(columns), LONGEST_DAYS * 86_400 // SPECTROGRAM_STEP
        if n_rows > longest or (needed > (1 << 28) and needed > available_memory()):
            raise DataFileError(
                f"{path}: {n_rows} rows need {needed / 1e9:.1f} GB of memory, {available_memory() / 1e9:.1f} GB are "
                f"free; expected at most {longest} rows ({LONGEST_DAYS} days)"
            )
        values, row = np.empty((n_rows, len(columns)), np.float32), 0
        for batch in file.iter_batches(BATCH // 64, columns=None if note is None else list(columns), use_threads=False):
            part = values[row : row + batch.num_rows]
            with np.errstate(over="ignore"):
                for k, name in enumerate(columns):
                    part[:, k] = batch.column(name).to_numpy(zero_copy_only=False)
            row += batch.num_rows
        if row != n_rows:
            raise DataFileError(f"{path}: ends after {row} rows; its footer says {n_rows}")
    return values, note


def _warn(note: str | None) -> None:
    if note:
        warnings.warn(note, stacklevel=3)
