"""What amplifiers, electrodes and montages of other hospitals do to a recording (19, n), µV, in place."""

from __future__ import annotations

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.artefact_noise import N_SCALP
from hbaclib.dataset.synthetic.draws import log_uniform, slow_gain
from hbaclib.dataset.synthetic.geometry import BIPOLAR
from hbaclib.signal.montage import electrode_index

NEIGHBOURS = tuple((int(np.argmax(row)), int(np.argmin(row))) for row in BIPOLAR)
"""Pairs of electrodes that lie side by side."""


def filters(eeg: np.ndarray, high_pass: float, low_pass: float) -> None:
    """The amplifier's own filters: first order against drift (.1-1.6 Hz), second order against noise (35-100 Hz)."""
    low_edge = signal.butter(1, high_pass, "high", fs=EEG_RATE)
    # Begin as if the first sample had been there for ever: no swing at the start.
    state = signal.lfilter_zi(*low_edge)[None] * eeg[:, :1]
    eeg[:], _ = signal.lfilter(*low_edge, eeg, axis=1, zi=state)
    if low_pass < 0.45 * EEG_RATE:
        edge = [part.astype(np.float32) for part in signal.butter(2, low_pass, fs=EEG_RATE)]
        eeg[:] = signal.lfilter(*edge, eeg, axis=1)


def draw_filters(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """Filters of one of the usual settings."""
    filters(eeg, float(rng.choice([0.1, 0.16, 0.3, 0.5, 1.0, 1.6])), float(rng.choice([35, 50, 70, 100, 100])))


def reference(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """Another reference: the average of all, or linked ears; as gains differ a little, a residue is left."""
    gains = 1 + 0.02 * rng.standard_normal(N_SCALP)
    ears = eeg[[electrode_index("T3"), electrode_index("T4")]].mean(axis=0)
    common = eeg.mean(axis=0) if rng.random() < 0.6 else ears
    eeg -= np.outer(gains, common).astype(np.float32)


def bridged(eeg: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Two neighbours joined by gel or sweat: both show their mean. Returns which."""
    one, other = NEIGHBOURS[rng.integers(len(NEIGHBOURS))]
    mean = 0.5 * (eeg[one] + eeg[other])
    for electrode in (one, other):
        eeg[electrode] = mean + np.float32(rng.uniform(0.1, 0.5)) * rng.standard_normal(eeg.shape[1], dtype=np.float32)
    return one, other


def swapped(eeg: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Two neighbours of one side in each other's plug. Returns which."""
    one, other = NEIGHBOURS[rng.integers(len(NEIGHBOURS))]
    eeg[[one, other]] = eeg[[other, one]]
    return one, other


def gain_error(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """One or two electrodes with a wrong gain: poor contact, a wrong calibration."""
    some = rng.choice(N_SCALP, int(rng.integers(1, 3)), replace=False)
    eeg[some] *= np.float32(log_uniform(rng, 0.5, 1.6))


def noisy(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """One to three electrodes of high impedance: broad noise for the whole recording."""
    some = rng.choice(N_SCALP, int(rng.integers(1, 4)), replace=False)
    noise = rng.standard_normal((len(some), eeg.shape[1]), dtype=np.float32)
    eeg[some] += np.float32(log_uniform(rng, 3, 40)) * noise * slow_gain(rng, len(some), eeg.shape[1], 5, 0.4)


def flat(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """One to four electrodes that are off: nothing, or nothing but the amplifier's noise."""
    some = rng.choice(N_SCALP, int(rng.integers(1, 5)), replace=False)
    eeg[some] = np.float32(rng.uniform(0, 0.5)) * rng.standard_normal((len(some), eeg.shape[1]), dtype=np.float32)


def device_line(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """A device's line of 10-45 Hz far above the brain, beating, of unequal size in the electrodes."""
    n = eeg.shape[1]
    time = np.arange(n) / EEG_RATE
    rate = rng.uniform(10, 45)
    wave = np.sin(2 * np.pi * rate * time) * (
        1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * time)
    )
    weights = np.exp(0.9 * rng.standard_normal(N_SCALP)) * np.sign(rng.standard_normal(N_SCALP) + 0.8)
    eeg += np.outer(weights, log_uniform(rng, 2, 100) * wave).astype(np.float32)


def quantised(eeg: np.ndarray, rng: np.random.Generator) -> float:
    """A coarse converter: whole steps of .1 to 2 µV. Returns the step."""
    step = float(rng.choice([0.1, 0.25, 0.5, 1.0, 2.0], p=[0.3, 0.25, 0.25, 0.15, 0.05]))
    np.round(eeg / np.float32(step), out=eeg)
    eeg *= np.float32(step)
    return step


def saturated(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """A narrow range: the converter cuts what lies beyond some 150-800 µV."""
    limit = np.float32(log_uniform(rng, 150, 800))
    eeg -= np.median(eeg[:, ::20], axis=1, keepdims=True)
    np.clip(eeg, -limit, limit, out=eeg)


FAULTS = (
    (0.30, "amplifier filters", draw_filters),
    (0.25, "reference", reference),
    (0.04, "bridged", bridged),
    (0.01, "swapped", swapped),
    (0.06, "gain error", gain_error),
    (0.05, "noisy electrodes", noisy),
    (0.03, "flat electrodes", flat),
    (0.02, "saturated", saturated),
    (0.10, "quantised", quantised),
)
"""How often, name, and what is done; in this order, as the signal goes."""

HARMLESS = frozenset({"amplifier filters", "reference", "quantised", "gain error", "swapped"})
"""Faults that change the waves and hide none."""
