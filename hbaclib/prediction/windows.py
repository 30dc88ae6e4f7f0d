"""The windows of any recording: EEG files, the 50 s taken of each, the ten minutes around them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, EEG_WINDOW, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.dataset.competition import Competition
from hbaclib.dataset.from_eeg import place, rows_from_eeg
from hbaclib.dataset.tables import read_test_csv
from hbaclib.errors import DataFileError, list_some, printable
from hbaclib.files import FOLDER, kind_of
from hbaclib.recordings.found import check_file, recordings_and_notes, told_passed_over
from hbaclib.recordings.parquet import load_eeg, load_spectrogram

log = logging.getLogger(__name__)

FROM_EEG, NONE = "from_eeg", "none"
_MARGIN = (SPECTROGRAM_WINDOW * SPECTROGRAM_STEP - EEG_WINDOW / EEG_RATE) / 2
"""Seconds by which the ten-minute window begins before the 50-s window: both have one centre."""

Window = tuple[tuple[Any, ...], np.ndarray, np.ndarray | None]
"""What names a window in the table, its EEG (10000, 20) and its spectrogram (300, 400)."""


@dataclass(frozen=True)
class Recording:
    """One EEG file; its row of ``test.csv`` where it has one; its spectrogram file, or None to compute it."""

    eeg: Path
    eeg_id: int | None = None
    spectrogram: Path | None = None


def competition_recordings(root: Path, spectrogram: str | None = None) -> list[Recording]:
    """The recordings that ``test.csv`` in a folder of the competition's format names, in its order.

    Args:
        root: the folder; ``train.csv`` is not needed.
        spectrogram: None takes the spectrogram files where there are any, FROM_EEG does not.

    Raises:
        DataFileError: there is no table, or it has faults or no rows.
    """
    path = root / "test.csv"
    table = read_test_csv(path) if path.is_file() else None
    if table is None or not len(table):
        raise DataFileError(f"{path}: missing or without rows; there is nothing to predict")
    data = Competition(root, pd.DataFrame(), table)
    files = spectrogram is None and data.has_spectrograms("test")
    ids = table[["eeg_id", "spectrogram_id"]].to_numpy().tolist()
    return [
        Recording(data.eeg_path(eeg, "test"), eeg, data.spectrogram_path(power, "test") if files else None)
        for eeg, power in ids
    ]


def find_recordings(inputs: Sequence[Path], spectrogram: str | None) -> list[Recording]:
    """The recordings of files and folders, with their spectrogram files.

    Args:
        inputs: EEG files, and folders of them.
        spectrogram: a spectrogram file, a folder of files named as the EEG files, FROM_EEG, NONE, or None.

    Raises:
        DataFileError: a path does not exist, a folder holds no Parquet file, or one spectrogram stands for several.
    """
    eegs: list[Path] = []
    for path in inputs:
        if kind_of(path) != FOLDER:
            check_file(path, "EEG files (Parquet) or a folder of them")
            eegs.append(path)
            continue
        found, notes = recordings_and_notes(path)
        if not found:
            names = list_some(notes or sorted(part.name for part in path.iterdir())) or "nothing"
            raise DataFileError(f"{path}: found {names}; expected *.parquet, or (as the only input) test.csv")
        if notes:
            log.warning("%s", told_passed_over(path, notes))
        eegs += found
    if spectrogram in (None, FROM_EEG, NONE):
        return [Recording(path) for path in eegs]
    place = Path(str(spectrogram))
    if kind_of(place) != FOLDER:
        check_file(place, f"spectrograms, {FROM_EEG} or {NONE}")
    if place.is_file() and len(eegs) > 1:
        raise DataFileError(f"{place}: one spectrogram for {len(eegs)} EEG files; expected a folder of as many")
    return [Recording(path, spectrogram=place / path.name if place.is_dir() else place) for path in eegs]


def cut_windows(
    recording: Recording,
    wanted: bool,
    tell: Callable[[str], object],
    window: tuple[str | float, int] = ("centre", 0),
    begins: float | None = None,
) -> Iterator[Window]:
    """Read a recording and cut its windows.

    Args:
        recording: a row of ``test.csv`` gives its first 50 s and ten minutes, whatever ``window`` says.
        wanted: whether the networks see spectrograms.
        tell: gets a note on columns in another order.
        window: ``centre``, ``sliding`` or the second at which the window starts; seconds between sliding windows.
        begins: second of the spectrogram file at which the EEG file begins; None: both have one centre.

    Raises:
        DataFileError: a file cannot be read, the recording is too short, or the spectrogram lies elsewhere.
    """
    eeg, note = load_eeg(recording.eeg)
    if note:
        tell(note)
    starts = _starts(recording.eeg, len(eeg), (0.0, 0) if recording.eeg_id is not None else window)
    spectra = _spectra(recording, len(eeg), starts, begins) if wanted else {}
    shown = printable(recording.eeg, one_line=True)
    for start in starts:
        power = None
        if wanted:
            rows, first = spectra[start]
            power = np.full((SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), np.nan, np.float32)
            place(power, rows, -first)
        name = (recording.eeg_id,) if recording.eeg_id is not None else (shown, start / EEG_RATE)
        # A copy: the rest of a long recording need not be kept.
        yield name, eeg[start : start + EEG_WINDOW].copy(), power


def _starts(path: Path, n_samples: int, window: tuple[str | float, int]) -> Sequence[int]:
    """First samples of the windows of a recording."""
    where, step = window
    start = round(where * EEG_RATE) if isinstance(where, float) else 0
    if n_samples < start + EEG_WINDOW:
        raise DataFileError(f"{path}: {n_samples} samples; expected at least {start + EEG_WINDOW} (200 Hz)")
    if where == "sliding":
        return range(0, n_samples - EEG_WINDOW + 1, step * EEG_RATE)
    return [(n_samples - EEG_WINDOW) // 2 if where == "centre" else start]


def _spectra(
    recording: Recording, n_samples: int, starts: Sequence[int], begins: float | None
) -> dict[int, tuple[np.ndarray, int]]:
    """For every window the rows of a spectrogram and the number of the row with which its ten minutes begin."""
    seconds = [start / EEG_RATE for start in starts]
    if recording.spectrogram is None:
        # Rows are centred on every second second of a window: begin the spectrogram so that windows begin with a row.
        shift = {second: -second % SPECTROGRAM_STEP for second in seconds}
        first = {second: round((second + shift[second]) / SPECTROGRAM_STEP) for second in seconds}
        rows = {
            late: rows_from_eeg(max(first.values()) + SPECTROGRAM_WINDOW, [(str(recording.eeg), _MARGIN + late)])
            for late in set(shift.values())
        }
        return {start: (rows[shift[at]], first[at]) for start, at in zip(starts, seconds, strict=True)}
    power, _ = load_spectrogram(recording.spectrogram)
    if recording.eeg_id is not None:
        begins = _MARGIN
    elif begins is None:
        begins = (SPECTROGRAM_STEP * len(power) - n_samples / EEG_RATE) / 2
    numbers = [math.floor((begins + second - _MARGIN) / SPECTROGRAM_STEP + 0.5) for second in seconds]
    if numbers[0] <= -SPECTROGRAM_WINDOW or numbers[-1] >= len(power):
        raise DataFileError(
            f"{recording.spectrogram}: {SPECTROGRAM_STEP * len(power)} s with the EEG beginning at second {begins:g}; "
            f"expected the ten minutes around every window ({seconds[0]:g} to {seconds[-1]:g} s of {recording.eeg})"
        )
    return {start: (power, number) for start, number in zip(starts, numbers, strict=True)}
