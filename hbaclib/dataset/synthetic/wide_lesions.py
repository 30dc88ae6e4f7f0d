"""What is wrong at one place of the head, and no pattern: breach, focal slowing, attenuation, asymmetry.

All change the ongoing activity (19, n) in place, before patterns are added: one side may be louder without lateralised
discharges, and a pattern may lie on the quieter side.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.draws import log_uniform, slow_gain, slow_noise
from hbaclib.dataset.synthetic.geometry import BIPOLAR, POSITIONS, field, near
from hbaclib.dataset.synthetic.patterns import LATERAL_SITES


def _region(rng: np.random.Generator, width: float) -> np.ndarray:
    """Weights (19,) float32 of one region, 1 at its middle."""
    weights = field(near(str(rng.choice(LATERAL_SITES)), rng, 0.1), width)[:, 0]
    return (weights / weights.max()).astype(np.float32)


def breach(eeg: np.ndarray, rng: np.random.Generator, weights: np.ndarray | None = None) -> None:
    """Breach rhythm: over a skull defect alpha, mu and beta are 2 to 4 times higher, and sharper.

    Args:
        eeg: (19, n) µV.
        rng: source of randomness.
        weights: (19,) of the region, 1 at its middle; drawn without it.
    """
    if weights is None:
        weights = _region(rng, rng.uniform(0.3, 0.5))
    inside = np.flatnonzero(weights > 0.15)
    n = eeg.shape[1]
    n_fft = fft.next_fast_len(n, real=True)
    spectrum = fft.rfft(eeg[inside], n_fft, axis=1)
    frequencies = fft.rfftfreq(n_fft, 1 / EEG_RATE)
    spectrum *= (1 / (1 + (6.5 / np.maximum(frequencies, 0.01)) ** 8)).astype(np.float32)
    fast = fft.irfft(spectrum, n_fft, axis=1)[:, :n]
    # Arches rather than sine waves: their points all show one way.
    fast += rng.uniform(0.1, 0.35) * (fast**2 / (fast.std(axis=1, keepdims=True) + 1e-3))
    eeg[inside] += (weights[inside, None] * np.float32(log_uniform(rng, 1.2, 3))) * fast


def _keep_median(eeg: np.ndarray, gains: np.ndarray) -> None:
    """Put gains on the electrodes, then scale so that the median difference keeps its amplitude."""
    eeg *= (gains / np.median(np.abs(BIPOLAR) @ gains / 2)).astype(np.float32)[:, None]


def asymmetry(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """One hemisphere is quieter than the other, by a factor of .3 to .8: subdural blood, a large stroke, oedema."""
    side = rng.choice([-1.0, 1.0])
    share = 1 / (1 + np.exp(-side * POSITIONS[:, 0] / 0.12))
    gains = 1 + share * (log_uniform(rng, 0.3, 0.8) - 1)
    _keep_median(eeg, gains)


def focal_attenuation(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """One region is nearly silent: an infarct, or fluid between brain and skull."""
    gains = 1 - rng.uniform(0.4, 0.85) * _region(rng, rng.uniform(0.4, 0.8)).astype(float)
    _keep_median(eeg, gains)


def focal_slowing(eeg: np.ndarray, sd: float, rng: np.random.Generator) -> None:
    """Polymorphic delta of one region or hemisphere: slow, arrhythmic, that comes and goes; no rhythmic delta.

    Args:
        eeg: (19, n) µV.
        sd: the median bipolar sd, µV.
        rng: source of randomness.
    """
    n = eeg.shape[1]
    hemisphere = rng.random() < 0.3
    weights = np.stack([_region(rng, rng.uniform(0.35, 0.7))] * 2)
    if hemisphere:
        side = np.sign(weights[0] @ POSITIONS[:, 0])
        inside = (POSITIONS[:, 0] * side > -0.1).astype(np.float32)
        weights = np.stack([_region(rng, 0.7) for _ in range(3)])
        weights = np.stack([np.where(POSITIONS[:, 0] * side > 0, w, w[_MIRRORED]) for w in weights]) * inside
    else:
        weights[1] = _region_near(weights[0], rng)
    waves = slow_noise(rng, len(weights), n, rng.uniform(0.15, 0.4))
    waves *= slow_gain(rng, 1, n, rng.uniform(2, 8), rng.uniform(0.2, 0.6))
    eeg += weights.T.astype(np.float32) @ (waves * np.float32(sd * log_uniform(rng, 0.8, 2.5)))


def _region_near(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another region (19,) that overlaps the first one."""
    point = POSITIONS[int(weights.argmax())] + 0.35 * rng.standard_normal(3)
    return field(point / np.linalg.norm(point), rng.uniform(0.35, 0.6))[:, 0].astype(np.float32)


_MIRRORED = np.array([int(np.argmin(np.linalg.norm(POSITIONS - p * [-1, 1, 1], axis=1))) for p in POSITIONS])
"""Electrode -> the one over the other hemisphere."""
