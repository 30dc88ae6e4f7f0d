"""Ten-minute spectrograms computed from EEG files, for data sets that come without them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.opened import open_recording
from hbaclib.signal.multitaper import kaggle_spectrogram

_CENTRES_APART = 275.0
"""The 50-s window and the 600-s window have one centre: the first begins 275 s after the second."""
_BLOCK = 900
"""Rows that are computed at once (half an hour); recordings of up to two blocks are computed as a whole."""
_BLOCK_MARGIN = 60 * EEG_RATE
"""Samples before and behind a block that its filters see: 100 times their memory."""
_HALF_WINDOW = 2 * EEG_RATE

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


class RowsOfEeg:
    """Rows of the spectrogram of one recording, computed block by block when they are asked for.

    A row does not depend on which rows are asked for. Rows are numbered as in the spectrogram: row i is centred at its
    second 2i + 1.

    Attributes:
        first: the first row whose centre is at least one second inside the recording.
        stop: the row behind the last such one.
    """

    def __init__(self, recording: BaseRecording, begin: float) -> None:
        """Compute nothing yet.

        Args:
            recording: the EEG; it is read forwards where rows are asked for forwards.
            begin: second of the spectrogram at which it begins.
        """
        self._recording = recording
        self.first = math.ceil(begin / SPECTROGRAM_STEP)
        self._centre = SPECTROGRAM_STEP * self.first + 1 - begin
        inside = math.floor((begin + recording.seconds - 2) / SPECTROGRAM_STEP) - self.first + 1
        self.stop = self.first + max(0, inside)
        self._size = _BLOCK if inside > 2 * _BLOCK else max(1, inside)
        self._blocks: dict[int, np.ndarray] = {}

    def take(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, 400) float32 of these rows; NaN where the recording is not."""
        rows = np.full((stop - start, len(SPECTROGRAM_COLUMNS)), np.nan, np.float32)
        first, last = max(start, self.first), min(stop, self.stop)
        if first < last:
            for number in range((first - self.first) // self._size, -(-(last - self.first) // self._size)):
                place(rows, self._block(number), self.first + number * self._size - start)
        return rows

    def _block(self, number: int) -> np.ndarray:
        if number not in self._blocks:
            while len(self._blocks) > 1:
                self._blocks.pop(min(self._blocks))
            self._blocks[number] = self._compute(number)
        return self._blocks[number]

    def _compute(self, number: int) -> np.ndarray:
        row = number * self._size
        n_rows = min(self._size, self.stop - self.first - row)
        centre = self._centre + SPECTROGRAM_STEP * row
        begin, end = 0, self._recording.n_samples
        if n_rows < self.stop - self.first:
            reach = _HALF_WINDOW + _BLOCK_MARGIN
            # An even number of samples: what lies half-way between two samples is rounded as in the whole.
            begin = max(0, int(centre * EEG_RATE - reach) // 2 * 2)
            end = min(end, int((centre + SPECTROGRAM_STEP * (n_rows - 1)) * EEG_RATE) + reach)
        power = kaggle_spectrogram(self._recording.read(begin, end), first_centre=centre - begin / EEG_RATE)
        return power[:n_rows]


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
        with open_recording(path) as recording:
            recording.verify()
            place(rows, RowsOfEeg(recording, begin).take(0, n_rows), 0)
    return rows


def place(rows: np.ndarray, power: np.ndarray, first: int) -> None:
    """Put computed rows at their place, where nothing is yet; what lies outside is cut off."""
    start, stop = max(first, 0), min(first + len(power), len(rows))
    if start < stop:
        part = rows[start:stop]
        np.copyto(part, power[start - first : stop - first], where=np.isnan(part))
