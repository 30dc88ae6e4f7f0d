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

    def length(self, n_samples: int) -> int:
        """Samples at 200 Hz of so many."""
        return -(-n_samples * self.up // self.down)

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Which samples some samples at 200 Hz are made of; they may lie before the first or behind the last one."""
        if self.up == self.down:
            return start, stop
        reach = _PERIODS * max(self.up, self.down)
        first = (start * self.down - reach) // self.up
        # From a multiple of the ratio's denominator on, the phases fall as they do from 0 on.
        first = first // self.down * self.down
        return first, ((stop - 1) * self.down + reach) // self.up + 1

    def take(self, read: Callable[[int, int], np.ndarray], n_samples: int, start: int, stop: int) -> np.ndarray:
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
        first, last = self.needed(start, stop)
        rows = _mirrored(read, n_samples, first, last)
        taps, late = _filter(self.up, self.down)
        skipped = start - first * self.up // self.down + late
        found = signal.upfirdn(taps.astype(rows.dtype), rows, self.up, self.down, axis=-1)
        return found[:, skipped : skipped + stop - start]


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> tuple[np.ndarray, int]:
    """Taps, with zeros before them, and samples at 200 Hz by which their output is late."""
    most = max(up, down)
    half = _PERIODS * most
    taps = signal.firwin(2 * half + 1, 1 / most, window=("kaiser", _KAISER)) * up
    for phase in range(min(up, len(taps))):
        taps[phase::up] /= taps[phase::up].sum()
    before = -half % down
    taps = np.concatenate([np.zeros(before), taps])
    taps.setflags(write=False)
    return taps, (half + before) // down


def _mirrored(read: Callable[[int, int], np.ndarray], n_samples: int, first: int, last: int) -> np.ndarray:
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
