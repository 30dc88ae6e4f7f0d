"""Recordings for the tests of this room."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS


def noise(seed: int, n_samples: int = 10_000, scale: float = 20.0) -> np.ndarray:
    """EEG-like noise (n_samples, 20) float32: a random walk that leaks, plus white noise; scaled per electrode."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((n_samples, len(EEG_COLUMNS)))
    walk = np.empty_like(white)
    state = np.zeros(len(EEG_COLUMNS))
    for i, step in enumerate(white):
        state = 0.98 * state + 0.2 * step
        walk[i] = state
    size = scale * rng.uniform(0.5, 2, len(EEG_COLUMNS))
    return ((walk + 0.1 * rng.standard_normal(white.shape)) * size).astype(np.float32)


def column(name: str) -> int:
    return EEG_COLUMNS.index(name)


def chain_differences(eeg: np.ndarray, region: str) -> list[np.ndarray]:
    """The four differences of a chain, spelled out."""
    chain = CHAINS[region]
    return [eeg[:, column(chain[i])] - eeg[:, column(chain[i + 1])] for i in range(4)]
