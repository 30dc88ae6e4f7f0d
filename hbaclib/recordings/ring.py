"""The last minutes of a recording that is read once, forwards: differences, and rows of its spectrogram.

A row of the spectrogram needs some seconds on either side, its filter's memory; so blocks are computed with margins.
Neither the whole recording nor its whole spectrogram is ever held.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from hbaclib.conventions import EEG_RATE, EEG_WINDOW, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.parts import Part
from hbaclib.recordings.usable import GAP, Usable, judge
from hbaclib.signal.differences import DIFFERENCES, OF_REGION
from hbaclib.signal.montage import LONGITUDINAL_PAIRS
from hbaclib.signal.multitaper import WINDOW, kaggle_spectrogram

BLOCK = 600 * EEG_RATE
"""Samples of which the spectrogram is computed at a time."""
MARGIN = 20 * EEG_RATE
"""Samples on either side of a block that its filters see: with them a row differs from the whole recording's by some
1e-5 of its logarithm. An even number, as the block is."""
SIZE = 10 * EEG_RATE
"""Samples of a bin, from the recording's first one on: what is bad is told and left out bin by bin."""
LEAST_INSIDE = EEG_RATE
"""Samples by which the centre of a row lies inside of its part."""
FILLINGS = ("nothing", "repeat", "mirror")
"""What may lie in the ten minutes where the recording has ended, or not begun."""
_STEP = SPECTROGRAM_STEP * EEG_RATE
_BEFORE = (SPECTROGRAM_WINDOW * _STEP - EEG_WINDOW) // 2
"""Samples by which the ten minutes begin before their 50 s."""


def row_centres(part: Part, first: int, last: int) -> range:
    """Centres, in samples, of a part's rows from sample ``first`` to before ``last``; they lie on even seconds."""
    start, stop = part
    if stop - start < WINDOW:
        return range(0)
    begin = max(start + LEAST_INSIDE, first)
    return range(-(-begin // _STEP) * _STEP, min(stop - LEAST_INSIDE + 1, last), _STEP)


class Ring:
    """Reads a recording block by block, as windows ask for it."""

    def __init__(self, recording: BaseRecording, parts: Sequence[Part], *, block: int = BLOCK) -> None:
        """Read nothing yet.

        Args:
            recording: the recording, which nobody else reads.
            parts: where it was recorded.
            block: samples of which the spectrogram is computed at a time, an even number.
        """
        self._recording, self._parts, self._block = recording, parts, block
        lacking = set(recording.missing)
        self._lacking = np.array([bool(lacking & set(pair)) for pair in LONGITUDINAL_PAIRS])
        self._usable: dict[int, Usable] = {}
        self._signals = np.empty((0, len(DIFFERENCES)), np.float32)
        self._begin = 0
        self._floor = 0
        self._rows: dict[int, np.ndarray] = {}
        self._computed = 0

    def forget(self, before: int) -> None:
        """Promise that nobody asks for samples before this one any more."""
        self._floor = max(self._floor, before)
        self._keep(self._floor)

    def usable(self, number: int) -> Usable:
        """What can be used of a bin that is not forgotten yet."""
        while self._end < min((number + 1) * SIZE, self._recording.n_samples):
            self._read(self._end + self._block)
        return self._usable[number]

    def part_of(self, number: int) -> int:
        """Number of the part that most of a bin lies in; -1 where it is a gap."""
        first, stop = number * SIZE, min((number + 1) * SIZE, self._recording.n_samples)
        near = parts_near(self._parts, first, stop)
        inside = {k: min(stop, self._parts[k][1]) - max(first, self._parts[k][0]) for k in near}
        return max(inside, key=lambda k: inside[k], default=-1)

    def differences(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, 24) of samples inside the recording, NaN where they cannot be used."""
        while self._end < stop:
            self._read(self._end + self._block)
        return self._signals[start - self._begin : stop - self._begin]

    def differences_by(self, usable: Usable, start: int, stop: int) -> np.ndarray:
        """As `differences`, a copy, without the regions that are neutral in its middle.

        They are dark as a whole, and not filled from what the rest of the window has.
        """
        signals = np.array(self.differences(start, stop))
        for region in usable.neutral:
            signals[:, OF_REGION[region]] = np.nan
        return signals

    def begin_at(self, start: int) -> None:
        """Promise that nobody asks for anything before the ten minutes around the 50 s that begin with a sample."""
        self.forget(max(first_row(start), 0) * _STEP // self._block * self._block - MARGIN)

    def ten_minutes(self, start: int) -> np.ndarray:
        """Rows of the spectrogram around the 50-s window that begins with a sample, each the nearest one.

        Later calls ask for no earlier ones.

        Returns:
            (300, 400) µV²/Hz, NaN where the recording has none.
        """
        first = first_row(start)
        # Nobody asks for the rows of a long gap.
        self._computed = max(self._computed, first * _STEP // self._block * self._block)
        while self._computed < min((first + SPECTROGRAM_WINDOW) * _STEP, self._recording.n_samples):
            self._keep(min(self._floor, self._computed - MARGIN))
            self._compute()
        for number in [number for number in self._rows if number < first]:
            del self._rows[number]
        rows = np.full((SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), np.nan, np.float32)
        for number, row in self._rows.items():
            if number < first + SPECTROGRAM_WINDOW:
                rows[number - first] = row
        return rows

    @property
    def _end(self) -> int:
        return self._begin + len(self._signals)

    def _read(self, stop: int) -> None:
        """Read on, to the end of a bin."""
        begin, stop = self._end, min(-(-stop // SIZE) * SIZE, self._recording.n_samples)
        new, stuck = self._recording.read_judged(begin, stop, SIZE)
        for number, own in enumerate(stuck, begin // SIZE):
            first, last = number * SIZE, min((number + 1) * SIZE, stop)
            signals, part = new[first - begin : last - begin], self.part_of(number)
            if part < 0:
                self._usable[number] = GAP
                continue
            inside = slice(max(self._parts[part][0] - first, 0), min(self._parts[part][1], last) - first)
            self._usable[number] = found = judge(signals, inside, own, self._recording.neutral, self._lacking)
            if found.lost.any():
                signals[:, found.lost] = np.nan
        self._signals = np.concatenate([self._signals, new])

    def _keep(self, start: int) -> None:
        """Drop the bins before this sample, where that saves more than it costs."""
        before = max(start, 0) // SIZE * SIZE - self._begin
        if before >= min(self._block // 2, len(self._signals)) > 0 or (before > 0 and not len(self._signals)):
            self._signals = self._signals[before:].copy()
            self._begin += before
            for number in [number for number in self._usable if number < self._begin // SIZE]:
                del self._usable[number]

    def _compute(self) -> None:
        """Rows of the next block."""
        low, high = self._computed, min(self._computed + self._block, self._recording.n_samples)
        if self._end < high + MARGIN:
            self._read(high + MARGIN)
        for part in self._parts:
            centres = row_centres(part, low, high)
            if len(centres):
                begin, end = max(part[0], low - MARGIN), min(part[1], high + MARGIN)
                signals = self._signals[begin - self._begin : end - self._begin]
                power = kaggle_spectrogram(signals, first_centre=(centres[0] - begin) / EEG_RATE)
                for centre, row in zip(centres, power, strict=False):
                    # Rows of their own: a block's array does not stay for the sake of some of them.
                    self._rows[centre // _STEP] = row.copy()
        self._computed = high


def parts_near(parts: Sequence[Part], first: int, stop: int) -> range:
    """Numbers of the parts that have some of these samples."""
    return range(
        bisect_right(parts, first, key=lambda part: part[1]), bisect_left(parts, stop, key=lambda part: part[0])
    )


def first_row(start: int) -> int:
    """Number of the first of the 300 rows around the 50-s window that begins with a sample; row i lies at second 2i."""
    return math.floor((start - _BEFORE) / _STEP + 1)


def place_rows(rows: np.ndarray, how: str) -> np.ndarray:
    """Put something in the place of the rows before the first and after the last one that is there.

    Args:
        rows: (300, 400), NaN where there is none.
        how: one of FILLINGS: "nothing" leaves them, "repeat" = the nearest row again, "mirror" = those that lie as far
            on the other side of it.

    Returns:
        The same shape.
    """
    there = np.flatnonzero(~np.isnan(rows).all(axis=1))
    if how == "nothing" or not len(there) or (there[0] == 0 and there[-1] == len(rows) - 1):
        return rows
    first, last = int(there[0]), int(there[-1])
    source = np.arange(len(rows))
    outside = (source < first) | (source > last)
    way = np.zeros_like(source)
    if how == "mirror" and last > first:
        way = np.mod(source - first, 2 * (last - first))
        way = np.minimum(way, 2 * (last - first) - way)
    elif how == "repeat":
        way = np.clip(source, first, last) - first
    return rows[np.where(outside, first + way, source)]
