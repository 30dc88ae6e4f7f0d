"""Zero-phase filters in the frequency domain.

Filtering forward and backward multiplies the spectrum by the squared magnitude of the filter and keeps the phase.
For a Butterworth or notch filter that square has a closed form, so one FFT there and back does the work of SciPy's
``filtfilt``, equal to it away from the recording's ends. At the ends the signal is mirrored (even reflection): the
odd reflection that is SciPy's default adds transients of hundreds of µV where a recording starts off its mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from hbaclib.conventions import EEG_RATE
from hbaclib.errors import DataError

Gain = Callable[[np.ndarray], np.ndarray]
"""Hashable function: frequencies in Hz -> gain of both passes together, 0..1. Equal settings give equal functions."""

MAINS, _NOTCH_QUALITY = 60.0, 35.0
"""Frequency of the notch, Hz, and its quality: -6 dB at ``frequency * (1 ± 1 / (2 quality))``."""

REFLECTION = 1000
"""Samples mirrored at either end (5 s): what is left of a 0.5 Hz filter's memory after them is below 0.1 %."""


def _warped(frequencies: np.ndarray | float, rate: float) -> np.ndarray:
    # The bilinear transform maps the Nyquist frequency to infinity; every gain is constant out there.
    return np.tan(np.pi * np.minimum(frequencies, rate / 2 * (1 - 1e-9)) / rate)


# A value and not a closure: two made of the same settings are one key of the spectra's cache.
@dataclass(frozen=True)
class _Butterworth:
    low: float
    high: float
    order: int
    rate: float

    def __call__(self, frequencies: np.ndarray) -> np.ndarray:
        w, w_low, w_high = (_warped(f, self.rate) for f in (frequencies, self.low, self.high))
        with np.errstate(divide="ignore"):  # a band-pass has infinite attenuation at 0 Hz
            distance = (w**2 - w_low * w_high) / (w * (w_high - w_low)) if self.low > 0 else w / w_high
        return 1 / (1 + distance ** (2 * self.order))


def band_pass_gain(low: float, high: float, order: int = 3, sampling_rate: float = EEG_RATE) -> Gain:
    """Gain of ``scipy.signal.butter(order, (low, high), "bandpass")`` run forward and backward; low = 0: a low-pass.

    Raises:
        DataError: the band is empty or reaches the Nyquist frequency, or the order is not a whole number from 1 up.
    """
    if not 0 <= low < high < sampling_rate / 2:
        raise DataError(
            f"band {low}..{high} Hz at {sampling_rate} Hz sampling; expected 0 <= low < high < {sampling_rate / 2} Hz "
            "(Nyquist frequency)"
        )
    if not isinstance(order, int | np.integer) or order < 1:
        raise DataError(f"order is {order!r}; expected a whole number of at least 1")
    return _Butterworth(float(low), float(high), int(order), float(sampling_rate))


def notch_gain(frequencies: np.ndarray) -> np.ndarray:
    """Gain of ``scipy.signal.iirnotch(60, 35, fs=200)`` run forward and backward."""
    angle, centre = 2 * np.pi * frequencies / EEG_RATE, 2 * np.pi * MAINS / EEG_RATE
    distance = (np.cos(angle) - np.cos(centre)) ** 2
    width = (np.tan(centre / _NOTCH_QUALITY / 2) * np.sin(angle)) ** 2
    return distance / (distance + width)


@lru_cache(maxsize=16)
def _spectrum_gain(gains: tuple[Gain, ...], n_fft: int, rate: float, dtype: str) -> np.ndarray:
    frequencies = np.arange(n_fft // 2 + 1) * rate / n_fft
    total = np.prod([gain(frequencies) for gain in gains], axis=0).astype(dtype)
    total.setflags(write=False)
    return total


def _every(spectrum: np.ndarray, n_fft: int, step: int) -> np.ndarray:
    """Spectrum of every ``step``-th sample: the parts of the full spectrum that fall onto each other, added."""
    n = n_fft // step
    k = n // 2 + 1
    folded = spectrum[..., :k].copy()
    for part in range(1, step):
        if 2 * part < step:
            folded += spectrum[..., part * n : part * n + k]
        else:  # above the Nyquist frequency the spectrum of a real signal is its own mirror image, conjugated
            last = (step - part) * n
            folded += spectrum[..., last - k + 1 : last + 1][..., ::-1].conj()
    folded /= step
    return folded


def zero_phase(
    rows: np.ndarray,
    *gains: Gain,
    sampling_rate: float = EEG_RATE,
    reflection: int = REFLECTION,
    margin: int = 0,
    step: int = 1,
) -> np.ndarray:
    """Multiply the spectrum of mirrored signals by gains.

    Args:
        rows: (..., n_samples) finite float32 or float64, time on the last axis.
        gains: what ``band_pass_gain`` and ``notch_gain`` give.
        sampling_rate: Hz.
        reflection: samples mirrored at either end; at most n_samples - 1 are.
        margin: filtered samples of the reflection to keep at either end, at most as many as are mirrored.
        step: keep every ``step``-th sample, from the first kept one on.

    Returns:
        (..., ceil((n_samples + 2 * margin) / step)) in the input's precision.

    Raises:
        DataError: the margin is negative or longer than what is mirrored.
    """
    n = rows.shape[-1]
    reach = min(reflection, n - 1)
    if not 0 <= margin <= reach:
        raise DataError(
            f"margin of {margin} samples; expected 0..{reach}, as many as are mirrored (reflection {reflection}, "
            f"signals of {n} samples)"
        )
    used = n + 2 * reach
    n_fft = step * fft.next_fast_len(-(-(used + reach) // step), real=True)
    padded = np.empty((*rows.shape[:-1], n_fft), rows.dtype)
    padded[..., :reach] = rows[..., reach:0:-1]
    padded[..., reach : reach + n] = rows
    padded[..., reach + n : used] = rows[..., n - 2 : n - 2 - reach : -1] if reach < n - 1 else rows[..., -2::-1]
    # The FFT takes the signal as a circle: a ramp leads from its end back to its beginning.
    ramp = np.linspace(0, 1, n_fft - used, dtype=rows.dtype)
    padded[..., used:] = padded[..., used - 1, None] * (1 - ramp) + padded[..., 0, None] * ramp
    spectrum = fft.rfft(padded, axis=-1, overwrite_x=True)
    spectrum *= _spectrum_gain(gains, n_fft, float(sampling_rate), rows.dtype.str)
    first, kept = reach - margin, n + 2 * margin
    if step == 1 or first % step:
        return fft.irfft(spectrum, n_fft, axis=-1, overwrite_x=True)[..., first : first + kept : step]
    filtered = fft.irfft(_every(spectrum, n_fft, step), n_fft // step, axis=-1, overwrite_x=True)
    return filtered[..., first // step :][..., : -(-kept // step)]


def band_pass(
    signals: np.ndarray, low: float, high: float, *, order: int = 3, sampling_rate: float = EEG_RATE
) -> np.ndarray:
    """Zero-phase Butterworth band-pass.

    Args:
        signals: (..., n_samples, n_channels) finite, floating point.
        low: lower edge, Hz; 0: a low-pass.
        high: upper edge, Hz; at both edges the amplitude is halved (-6 dB, two passes of -3).
        order: order of one pass.
        sampling_rate: Hz.

    Returns:
        The same shape and precision.

    Raises:
        DataError: an empty band, an edge at or above the Nyquist frequency, an order below 1, NaN or infinite values.

    Source: S. Butterworth, 1930; design by the bilinear transform as in ``scipy.signal.butter``.
    """
    signals = np.asarray(signals)
    if signals.dtype.kind != "f" or signals.ndim < 2 or signals.shape[-2] < 2:
        raise DataError(
            f"signals of shape {signals.shape} and type {signals.dtype}; expected floating point "
            "(..., n_samples, n_channels) with at least 2 samples"
        )
    if not np.isfinite(signals).all():
        raise DataError("signals hold NaN or infinite values; expected finite values (fill gaps before filtering)")
    gain = band_pass_gain(low, high, order, sampling_rate)
    rows = np.ascontiguousarray(np.moveaxis(signals, -2, -1))
    return np.ascontiguousarray(np.moveaxis(zero_phase(rows, gain, sampling_rate=sampling_rate), -1, -2))
