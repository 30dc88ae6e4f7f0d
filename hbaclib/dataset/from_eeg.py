"""Ten-minute spectrograms computed from EEG files, for data sets that come without them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.recordings.parquet import load_eeg
from hbaclib.signal.multitaper import kaggle_spectrogram

_CENTRES_APART = 275.0
"""The 50-s window and the 600-s window have one centre: the first begins 275 s after the second."""

Places = dict[int, tuple[int, list[tuple[int, float]]]]


def eeg_places(train: pd.DataFrame) -> Places:
    """Where each EEG lies in its spectrogram.

    Args:
        train: rows of ``train.csv``.

    Returns:
        spectrogram_id -> number of rows that its windows need, and its EEGs with the second of the spectrogram at
        which each begins, in ascending order of ``eeg_id``.
    """
    begins = train["spectrogram_label_offset_seconds"] - train["eeg_label_offset_seconds"] + _CENTRES_APART
    of_eeg = train.assign(begin=begins).groupby(["spectrogram_id", "eeg_id"], sort=True)["begin"].first().reset_index()
    last = train.groupby("spectrogram_id")["spectrogram_label_offset_seconds"].max()
    places: Places = {
        int(name): (int(seconds) // SPECTROGRAM_STEP + SPECTROGRAM_WINDOW, [])
        for name, seconds in zip(last.index, last, strict=True)
    }
    # Column by column: in one array with seconds, ids above 2^53 would become others.
    for spectrogram, eeg, begin in zip(*(of_eeg[name].tolist() for name in of_eeg.columns), strict=True):
        places[spectrogram][1].append((eeg, begin))
    return places


def rows_from_eeg(n_rows: int, eegs: list[tuple[str, float]]) -> np.ndarray:
    """Compute the rows of one spectrogram from its EEG files.

    Args:
        n_rows: number of rows; row i is centred at second 2i + 1.
        eegs: path of each EEG and the second of the spectrogram at which it begins.

    Returns:
        (n_rows, 400) float32 power density in µV²/Hz; NaN where no EEG is, or only the outer 3 s of a window of 4 s
        (the spectrogram's own first and last row are such windows and are kept). Where recordings overlap the first
        one that has a value counts.
    """
    rows = np.full((n_rows, len(SPECTROGRAM_COLUMNS)), np.nan, np.float32)
    for path, begin in eegs:
        eeg, _ = load_eeg(path)
        # The first row whose centre is at least one second inside the recording.
        first = math.ceil(begin / SPECTROGRAM_STEP)
        power = kaggle_spectrogram(eeg, first_centre=SPECTROGRAM_STEP * first + 1 - begin)
        seconds = len(eeg) / EEG_RATE
        inside = math.floor((begin + seconds - 2) / SPECTROGRAM_STEP) - first + 1
        place(rows, power[: max(0, inside)], first)
    return rows


def place(rows: np.ndarray, power: np.ndarray, first: int) -> None:
    """Put computed rows at their place, where nothing is yet; what lies outside is cut off."""
    start, stop = max(first, 0), min(first + len(power), len(rows))
    if start < stop:
        part = rows[start:stop]
        np.copyto(part, power[start - first : stop - first], where=np.isnan(part))
