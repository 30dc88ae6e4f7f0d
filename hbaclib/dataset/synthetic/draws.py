"""Random quantities that several parts of the generator draw: log-normal, log-uniform, slow fluctuations."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from hbaclib.conventions import EEG_RATE


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One draw between ``low`` and ``high``, uniform in the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def log_normal(rng: np.random.Generator, median: float, spread: float, low: float, high: float) -> float:
    """One draw of a log-normal (``spread`` = sd of the logarithm), drawn again until it lies in [low, high]."""
    for _ in range(100):
        value = float(median * np.exp(spread * rng.standard_normal()))
        if low <= value <= high:
            return value
    return float(np.clip(median, low, high))


def _knots(rng: np.random.Generator, n_series: int, n_samples: int, seconds: float) -> tuple[np.ndarray, int]:
    """Values of slow series at equal distances (two per correlation time), and the distance in samples."""
    step = max(1, round(seconds / 2 * EEG_RATE))
    n_knots = n_samples // step + 2
    decay = np.exp(-0.5)
    knots = rng.standard_normal((n_series, n_knots))
    knots[:, 1:] *= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], knots, axis=1).astype(np.float32), step


def _between(knots: np.ndarray, step: int, n_samples: int) -> np.ndarray:
    """Raised cosines between the knots: no kinks, which would be heard in every band."""
    weight = (0.5 - 0.5 * np.cos(np.pi * np.arange(step) / step)).astype(np.float32)
    rise = np.diff(knots, axis=1)
    series = knots[:, :-1, None] + rise[:, :, None] * weight
    return series.reshape(len(knots), -1)[:, :n_samples]


def slow_noise(rng: np.random.Generator, n_series: int, n_samples: int, seconds: float) -> np.ndarray:
    """Smooth Gaussian fluctuations of unit variance with a correlation time of about ``seconds``.

    Args:
        rng: source of randomness.
        n_series: how many independent series.
        n_samples: length at the EEG's rate.
        seconds: correlation time.

    Returns:
        (n_series, n_samples) float32.
    """
    knots, step = _knots(rng, n_series, n_samples, seconds)
    return _between(knots, step, n_samples)


def slow_gain(rng: np.random.Generator, n_series: int, n_samples: int, seconds: float, spread: float) -> np.ndarray:
    """Smooth positive factors: ``exp(spread * slow_noise)``, with the exponential taken at the knots only."""
    knots, step = _knots(rng, n_series, n_samples, seconds)
    return _between(np.exp(np.float32(spread) * knots), step, n_samples)
