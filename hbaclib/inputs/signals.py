"""The raw networks' view of the stored signals: a frequency band, and a crop at the full rate."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.errors import DataError
from hbaclib.signal.filters import band_pass_gain, zero_phase
from hbaclib.signal.raw import CLIP, FILTER_ORDER, SCALE, STEP

NARROW_RATE = EEG_RATE / STEP
"""Rate of the stored raw signals, Hz; they hold what lies below 16 Hz."""

LOW_PASS = 16.0
"""Edge of the low-pass that signals at 200 Hz get where no band is named, Hz; those at 40 Hz were stored with it."""

_LIMIT = CLIP / SCALE


def view_signals(
    signals: np.ndarray,
    *,
    rate: float = NARROW_RATE,
    band: tuple[float, ...] = (),
    low_pass: float | None = LOW_PASS,
    order: int = FILTER_ORDER,
    crop: int = 0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Filter and crop signals.

    Args:
        signals: (b, n, 8) float32, in units of 32 µV, at ``rate``.
        rate: 40 Hz (the stored raw signals) or 200 Hz (stored for recipes that crop them).
        band: (low, high) in Hz of a zero-phase Butterworth filter (low = 0: a low-pass); empty: none. The gain is that
            of a filter run at 200 Hz, whatever the rate.
        low_pass: edge in Hz of the filter that signals at 200 Hz get in place of an empty band; None: none. Those at
            40 Hz have theirs already.
        order: of the filter's single pass.
        crop: samples to keep; 0 keeps all.
        rng: draws where each crop begins; None takes the middle.

    Returns:
        (b, n or crop, 8) float32 within ±32. The filter has run over the whole signal before the crop.

    Raises:
        DataError: the band or the low-pass reaches the Nyquist frequency, or the crop is longer than the signals.
    """
    n = signals.shape[1]
    if not band and low_pass is not None and rate > NARROW_RATE:
        band = (0.0, low_pass)
    if band and not band[1] < rate / 2:
        raise DataError(f"band {band[0]}..{band[1]} Hz, expected an edge below {rate / 2} Hz, the Nyquist frequency")
    if crop > n:
        raise DataError(f"crop of {crop} samples, the signals have {n}")
    if band:
        rows = np.ascontiguousarray(signals.transpose(0, 2, 1))
        gain = band_pass_gain(band[0], band[1], order, EEG_RATE)
        rows = zero_phase(rows, gain, sampling_rate=rate, reflection=min(n - 1, round(5 * rate)))
        signals = np.clip(rows, -_LIMIT, _LIMIT).transpose(0, 2, 1)
    if crop and crop < n:
        if rng is None:
            first = (n - crop) // 2
            signals = signals[:, first : first + crop]
        else:
            starts = rng.integers(0, n - crop + 1, len(signals))
            signals = np.stack([part[start : start + crop] for part, start in zip(signals, starts, strict=True)])
    return np.ascontiguousarray(signals, np.float32)
