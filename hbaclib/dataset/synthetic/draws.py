"""Random quantities that several parts of the generator draw: log-normal, log-uniform, slow fluctuations."""

from __future__ import annotations

import numpy as np

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


def slow_noise(
    rng: np.random.Generator, n_series: int, n_samples: int, seconds: float, *, knots_per_time: float = 2.0
) -> np.ndarray:
    """Smooth Gaussian fluctuations of unit variance with a correlation time of about ``seconds``.

    Args:
        rng: source of randomness.
        n_series: how many independent series.
        n_samples: length at the EEG's rate.
        seconds: correlation time.
        knots_per_time: knots of the interpolation per correlation time.

    Returns:
        (n_series, n_samples) float32.
    """
    step = seconds / knots_per_time
    n_knots = int(n_samples / EEG_RATE / step) + 4
    decay = np.exp(-1 / knots_per_time)
    knots = rng.standard_normal((n_series, n_knots))
    for index in range(1, n_knots):
        knots[:, index] = decay * knots[:, index - 1] + np.sqrt(1 - decay**2) * knots[:, index]
    position = np.arange(n_samples, dtype=np.float32) / np.float32(step * EEG_RATE)
    left = position.astype(np.int32)
    share = position - left
    # A raised cosine between the knots has no kinks, which would be heard in every band.
    share = (0.5 - 0.5 * np.cos(np.pi * share)).astype(np.float32)
    knots = knots.astype(np.float32)
    return knots[:, left] * (1 - share) + knots[:, left + 1] * share
