"""Signals of any rate at 200 Hz, piece by piece: each piece has the very bits that the whole would have.

A polyphase filter (the design of `scipy.signal.resample_poly`) whose phases each pass a constant as it is: electrodes
have offsets of a hundred millivolts, of which a ripple of a thousandth would be as large as the EEG.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE

LOWEST_RATE, HIGHEST_RATE = 100.0, 20_000.0
"""Hz: rates that are read."""
_DENOMINATORS = (1000, 10_000, 100_000)
_EXACT = 1e-7
"""Relative error of a ratio that is a few milliseconds a day."""
Read = Callable[[int, int], np.ndarray]
_OUTPUTS, _BLOCKS = 25, 64
"""Samples at 200 Hz of a line of a product, and most lines of one."""
_ONE_THREAD = 1 << 18
"""Multiplications of a product up to which OpenBLAS takes one thread: more would wait for each other, and not help."""
_LARGEST_MATRIX = 1 << 20
_PERIODS = 10
_KAISER = 5.0


class Resampler:
    """From one rate to 200 Hz.

    Args:
        rate: samples a second.

    Attributes:
        up: samples of 200 Hz in as much time as ``down`` samples take.
        down: see ``up``.
    """

    def __init__(self, rate: float) -> None:
        exact = Fraction(EEG_RATE) / Fraction(rate)
        ratios = [exact.limit_denominator(most) for most in _DENOMINATORS]
        ratio = next((one for one in ratios if abs(one / exact - 1) <= _EXACT), ratios[-1])
        self.up, self.down = ratio.numerator, ratio.denominator

    @property
    def tile(self) -> int:
        """Samples at 200 Hz that are made at a time; pieces that begin and end with them cost least."""
        return self._blocks * self._groups * self.up if self._in_products else 1

    def length(self, n_samples: int) -> int:
        """Samples at 200 Hz of so many."""
        return -(-n_samples * self.up // self.down)

    def take(self, read: Read, n_samples: int, start: int, stop: int) -> np.ndarray:
        """Samples at 200 Hz of a signal that is mirrored at its ends.

        Args:
            read: gives (rows, last - first) samples of the signal, of any floating-point precision.
            n_samples: length of the signal, in its own samples.
            start: first sample at 200 Hz.
            stop: the sample behind the last one.

        Returns:
            (rows, stop - start) in the same precision.
        """
        if self.up == self.down:
            return read(start, stop)
        resample = self._by_matrix if self._in_products else self._by_taps
        return resample(read, n_samples, start, stop)

    @property
    def _in_products(self) -> bool:
        """Whether matrices make it; ratios of large numbers would make large ones."""
        size = self._groups * self.up * (self._groups * self.down + 2 * self._reach + 1)
        return self.up != self.down and size <= _LARGEST_MATRIX

    @property
    def _groups(self) -> int:
        return max(1, _OUTPUTS // self.up)

    @property
    def _blocks(self) -> int:
        size = self._groups * self.up * (self._groups * self.down + 2 * self._reach + 1)
        return min(max(_ONE_THREAD // size, 8), _BLOCKS)

    @property
    def _reach(self) -> int:
        """Samples of the signal to either side that a sample at 200 Hz is made of."""
        return -(-_PERIODS * max(self.up, self.down) // self.up)

    def _by_matrix(self, read: Read, n_samples: int, start: int, stop: int) -> np.ndarray:
        """So many samples of 200 Hz after the other are one product of the samples around them with a matrix.

        The products always have one form and begin at the same samples, wherever a piece begins: so its bits are those
        of the whole.
        """
        groups, blocks = self._groups, self._blocks
        outputs, step = groups * self.up, groups * self.down
        first, last = start // (outputs * blocks), -(-stop // (outputs * blocks))
        size = blocks * step
        rows = _mirrored(read, n_samples, first * size - self._reach, last * size + self._reach + 1)
        matrix = _matrix(self.up, self.down, groups, self._reach, rows.dtype.str)
        windows = np.lib.stride_tricks.sliding_window_view(rows, len(matrix), axis=-1)[:, ::step]
        tiles = windows[:, : (last - first) * blocks].reshape(len(rows), last - first, blocks, len(matrix))
        found = np.matmul(tiles, matrix).reshape(len(rows), -1)
        skipped = first * blocks * outputs
        return found[:, start - skipped : stop - skipped]

    def _by_taps(self, read: Read, n_samples: int, start: int, stop: int) -> np.ndarray:
        """Sample by sample, for ratios of large numbers."""
        # From a multiple of the ratio's denominator on, the phases fall as they do from 0 on.
        first = (start * self.down // self.up - self._reach - 1) // self.down * self.down
        last = (stop - 1) * self.down // self.up + self._reach + 2
        rows = _mirrored(read, n_samples, first, last)
        taps = _taps(self.up, self.down)
        before = -(len(taps) // 2) % self.down
        padded = np.concatenate([np.zeros(before), taps]).astype(rows.dtype)
        skipped = start - first * self.up // self.down + (len(taps) // 2 + before) // self.down
        found = signal.upfirdn(padded, rows, self.up, self.down, axis=-1)
        return found[:, skipped : skipped + stop - start]


@lru_cache(maxsize=8)
def _taps(up: int, down: int) -> np.ndarray:
    """The filter, in steps of one ``up``-th of a sample; its middle one is of the sample itself."""
    most = max(up, down)
    half = _PERIODS * most
    taps = signal.firwin(2 * half + 1, 1 / most, window=("kaiser", _KAISER)) * up
    for phase in range(min(up, len(taps))):
        taps[phase::up] /= taps[phase::up].sum()
    taps.setflags(write=False)
    return taps


@lru_cache(maxsize=16)
def _matrix(up: int, down: int, groups: int, reach: int, dtype: str) -> np.ndarray:
    """Weights (samples, outputs) of ``groups`` x ``up`` samples at 200 Hz; the first sample lies ``reach`` before."""
    taps = _taps(up, down)
    middle, outputs = len(taps) // 2, np.arange(groups * up)
    samples = np.arange(-reach, (len(outputs) - 1) * down // up + reach + 1)
    place = outputs * down - samples[:, None] * up + middle
    matrix = np.where((place >= 0) & (place < len(taps)), taps[np.clip(place, 0, len(taps) - 1)], 0).astype(dtype)
    matrix.setflags(write=False)
    return matrix


def _mirrored(read: Read, n_samples: int, first: int, last: int) -> np.ndarray:
    """Samples of a signal that goes on as its mirror image on both sides."""
    if first >= 0 and last <= n_samples:
        return read(first, last)
    if n_samples == 1:
        return np.repeat(read(0, 1), last - first, axis=-1)
    period = 2 * (n_samples - 1)
    place = np.arange(first, last) % period
    place = np.where(place < n_samples, place, period - place)
    low, high = int(place.min()), int(place.max()) + 1
    return read(low, high)[:, place - low]
