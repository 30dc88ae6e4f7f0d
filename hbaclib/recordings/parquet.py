"""Read and validate one EEG or spectrogram file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hbaclib.conventions import EEG_COLUMNS, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP
from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.columns import reorder
from hbaclib.recordings.found import arrow_source


def read_eeg(path: str | Path) -> np.ndarray:
    """Read an EEG file.

    Args:
        path: Parquet file with the columns EEG_COLUMNS; another order is put right with a warning.

    Returns:
        (n_samples, 20) float32 in µV at 200 Hz, columns as EEG_COLUMNS, NaN where the recording has none.

    Raises:
        DataFileError: the file is missing or no whole Parquet file, a column is missing or holds no numbers, or a value
            is infinite.
    """
    values, note = load_eeg(path)
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


def load_eeg(path: str | Path) -> tuple[np.ndarray, str | None]:
    """As `read_eeg`, with the note on the order of the columns returned instead of warned of."""
    path = Path(path)
    values, note = _load(path, EEG_COLUMNS)
    infinite = np.isinf(values)
    if infinite.any():
        raise DataFileError(f"{path}: {_first(infinite, EEG_COLUMNS)} is infinite; expected µV or NaN")
    return values, note


def load_spectrogram(path: str | Path) -> tuple[np.ndarray, str | None]:
    """As `read_spectrogram`, with the note on the order of the columns returned instead of warned of."""
    path = Path(path)
    values, note = _load(path, ("time", *SPECTROGRAM_COLUMNS))
    time, power = values[:, 0], np.ascontiguousarray(values[:, 1:])
    wrong = np.flatnonzero(time != 1 + SPECTROGRAM_STEP * np.arange(len(time)))
    if len(wrong):
        raise DataFileError(
            f"{path}: column time, row {wrong[0] + 1}: found {time[wrong[0]]:g}, expected "
            f"{1 + SPECTROGRAM_STEP * wrong[0]} (1, 3, 5, ... s)"
        )
    bad = np.isinf(power) | (power < 0)
    if bad.any():
        place = _first(bad, SPECTROGRAM_COLUMNS)
        raise DataFileError(f"{path}: {place} is negative or infinite; expected power density or NaN")
    return power, note


def _load(path: Path, columns: Sequence[str]) -> tuple[np.ndarray, str | None]:
    """Read columns by name into one float32 array (n_rows, n_columns), each column contiguous as in the file."""
    try:
        # One thread: recordings are read in parallel by processes.
        with pq.ParquetFile(arrow_source(path), memory_map=True) as file:
            note = reorder(file.schema_arrow.names, columns, path)
            table = file.read(columns=None if note is None else list(columns), use_threads=False)
    except FileNotFoundError:
        raise DataFileError(f"{path}: no such file, though the table names it") from None
    except (OSError, pa.ArrowException) as error:
        raise DataFileError(
            f"{path}: not a whole Parquet file ({str(error).splitlines()[0]}); expected {len(columns)} columns"
        ) from error
    wrong = [
        f"{field.name} ({field.type})"
        for field in table.schema
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
    ]
    if wrong:
        raise DataFileError(f"{path}: column {list_some(wrong)} holds no numbers; expected float32")
    if table.num_rows == 0:
        raise DataFileError(f"{path}: no rows; expected at least one")
    values = np.empty((len(columns), table.num_rows), np.float32)
    for row, name in zip(values, columns, strict=True):
        row[:] = table.column(name).to_numpy()
    return values.T, note


def _first(bad: np.ndarray, columns: Sequence[str]) -> str:
    row, column = np.argwhere(bad)[0]
    return f"column {columns[column]}, row {row + 1} ({int(bad.sum())} values in all)"


def _warn(note: str | None) -> None:
    if note:
        warnings.warn(note, stacklevel=3)
