"""Signals and measures that the tests of the wide population share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import signal

from hbaclib.dataset.synthetic.background import background, draw_traits
from hbaclib.dataset.synthetic.geometry import BIPOLAR, LEFT_PAIRS, POSITIONS

RATE, N = 200, 10_000
FRONT, BACK = POSITIONS[:, 1] > 0.4, POSITIONS[:, 1] < -0.4


def band_power(signals: np.ndarray, low: float, high: float) -> np.ndarray:
    """Power of each signal (n_signals, n) in a band."""
    frequencies, power = signal.welch(signals.astype(float), RATE, nperseg=min(800, signals.shape[-1]), axis=-1)
    return power[..., (frequencies >= low) & (frequencies < high)].sum(axis=-1)


def quiet(seed: int, **traits) -> tuple:
    """A patient without rhythms of its own, and the generator that goes on."""
    rng = np.random.default_rng(seed)
    plain = {"peaks": (), "burst_suppression": False, "spindles": False, "bipolar_sd": 12.0}
    return replace(draw_traits(rng), **(plain | traits)), rng


def ongoing(traits, seed: int = 0) -> np.ndarray:
    return background(traits, N, np.random.default_rng(seed))


def share(traits, low: float, high: float, where: np.ndarray | slice = slice(None)) -> float:
    """Share of a band in .5-30 Hz of the ongoing activity at electrodes."""
    eeg = ongoing(traits)[where]
    return float(band_power(eeg, low, high).sum() / band_power(eeg, 0.5, 30).sum())


def sides(eeg: np.ndarray) -> float:
    sd = (BIPOLAR @ eeg).std(axis=1)
    left, right = np.sqrt((sd[LEFT_PAIRS] ** 2).mean()), np.sqrt((sd[~LEFT_PAIRS] ** 2).mean())
    return float(min(left, right) / max(left, right))


def loudest(wave: np.ndarray) -> np.ndarray:
    return wave[wave.std(axis=1).argmax()]
