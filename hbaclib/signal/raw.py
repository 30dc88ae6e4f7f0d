"""The eight bipolar signals of the raw-EEG networks."""

from __future__ import annotations

import math

import numpy as np

from hbaclib.conventions import CHAINS, EEG_RATE, RAW_PAIRS
from hbaclib.errors import DataError
from hbaclib.signal.differences import absent_regions, filled_rows, plain_rows
from hbaclib.signal.filters import REFLECTION, Gain, band_pass_gain, zero_phase
from hbaclib.signal.missing import check_way, holds_nan
from hbaclib.signal.montage import as_eeg, of_each

CLIP = 1024.0
"""µV at which the signals are clipped."""

SCALE = 32.0
"""µV per unit of the result."""

STEP = 5
"""Every so many samples are kept of a whole recording (40 Hz)."""

FILTER_ORDER = 4
# The signals that lie within each region's chain.
_OF_CHAIN = tuple([k for k, pair in enumerate(RAW_PAIRS) if set(pair) <= set(chain)] for chain in CHAINS.values())
# Of a filter of that order, run both ways, some 1e-5 of the impulse response is left this many periods of the slowest
# frequency in it after the impulse.
_SETTLING_PERIODS = 12
# What settles within a second, as the default low-pass, needs no more than that mirrored, and the FFT stays short.
_FAST_REFLECTION = EEG_RATE


def _reflection(low: float, high: float, n_samples: int) -> int:
    """Samples to mirror at either end, so that nothing but the reflection reaches the recording: at most all.

    A filter remembers for as long as its narrowest transition tells: the distance of the lower edge from 0 Hz, the
    width of the band, or the distance of the upper edge from the Nyquist frequency.
    """
    slowest = min(width for width in (low, high - low, EEG_RATE / 2 - high) if width > 0)
    settled = math.ceil(min(_SETTLING_PERIODS * EEG_RATE / slowest, n_samples - 1))
    return _FAST_REFLECTION if settled <= _FAST_REFLECTION else max(REFLECTION, settled)


def raw_signals(
    eeg: np.ndarray,
    low_pass: float | None = 16.0,
    *,
    band: tuple[float, float] | None = None,
    seconds: float | None = None,
    flat: str = "dark",
) -> np.ndarray:
    """Give the eight bipolar signals as the raw-EEG networks read them.

    Missing samples are filled from the electrode's neighbours; differences as RAW_PAIRS; clipped to ±1,024 µV; divided
    by 32; zero-phase Butterworth filter of order 4 over the whole recording, mirrored at its ends for as long as the
    filter remembers; then every 5th sample of it (40 Hz), or a stretch at the full 200 Hz.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) floating point, µV at 200 Hz, at least 1 s; or 24 differences as
            `hbaclib.to_differences` gives them. NaN allowed.
        low_pass: cut-off, Hz (the public 20 Hz lies at the Nyquist frequency of 40 Hz and aliases); None: no filter.
        band: (low, high) in Hz, a band-pass in place of the low-pass.
        seconds: length of the stretch in the middle that is kept at 200 Hz; None: the whole recording at 40 Hz.
        flat: "public" fills nothing: a difference of which a sample is missing is 0 there, as in the public notebooks.

    Returns:
        float32 within ±32, (2000, 8) or (n, 2000, 8) for 50 s at 40 Hz and for 10 s at 200 Hz. The signals
        of a chain of which nothing was recorded are 0.

    Raises:
        DataError: malformed EEG, a filter edge above the Nyquist frequency of the result, a stretch that is longer than
            the recording.
        ConfigError: an unknown ``flat``.

    Source: raw branch of public WaveNet notebooks of the competition (C. Deotte, 2024), with a zero-phase filter.
    """
    check_way(flat)
    recordings = as_eeg(eeg, min_samples=EEG_RATE, differences=True)
    n_samples = recordings.shape[-2]
    rate = EEG_RATE / STEP if seconds is None else EEG_RATE
    edges = band if band is not None else None if low_pass is None else (0.0, low_pass)
    if edges and edges[1] > rate / 2:
        raise DataError(
            f"filter edge {edges[1]} Hz above {rate / 2} Hz, the Nyquist frequency of the result at {rate} Hz"
        )
    gain = band_pass_gain(*edges, FILTER_ORDER) if edges else None
    reflection = _reflection(*edges, n_samples) if edges else 0
    if seconds is None:
        kept = slice(0, n_samples, STEP)
    else:
        length = round(seconds * EEG_RATE)
        if not 1 <= length <= n_samples:
            raise DataError(f"stretch of {length} samples; expected 1 to the recording's {n_samples}")
        first = (n_samples - length) // 2
        kept = slice(first, first + length)
    shape = (len(range(*kept.indices(n_samples))), len(RAW_PAIRS))
    return of_each(recordings, lambda one: _one(one, gain, reflection, kept, flat).T, shape, np.float32)


def _one(recording: np.ndarray, gain: Gain | None, reflection: int, kept: slice, flat: str) -> np.ndarray:
    """(n_samples, 20 or 24) to (8, n_kept)."""
    if flat == "public":
        rows = plain_rows(recording, RAW_PAIRS)
        rows[np.isnan(rows)] = 0
    else:
        rows = filled_rows(recording, RAW_PAIRS)
        if holds_nan(recording):
            for signals, absent in zip(_OF_CHAIN, absent_regions(recording), strict=True):
                if absent.all():
                    rows[signals] = 0
    np.clip(rows, -CLIP, CLIP, out=rows)
    rows /= SCALE
    if gain is None:
        return rows[:, kept]
    # Filtered over the whole recording, so that a stretch has no ends of its own.
    rows = zero_phase(rows, gain, reflection=reflection, step=kept.step or 1)
    rows = rows[:, kept.start : kept.stop] if kept.step is None else rows
    # A steep edge overshoots in the filter: the promised range is restored last.
    return np.clip(rows, -CLIP / SCALE, CLIP / SCALE)


def signals_200hz(eeg: np.ndarray, *, flat: str = "dark") -> np.ndarray:
    """Give the eight bipolar signals at the full 200 Hz, unfiltered, for crops and bands that are chosen in training.

    Args:
        eeg: as for `raw_signals`.
        flat: as for `raw_signals`.

    Returns:
        float32 within ±32, (n_samples, 8) or (n, n_samples, 8).

    Raises:
        DataError: malformed EEG.
    """
    return raw_signals(eeg, None, seconds=np.asarray(eeg).shape[-2] / EEG_RATE, flat=flat)
