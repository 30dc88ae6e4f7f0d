"""States of a brain beyond the ordinary ones: age, medication, coma, burst suppression.

A function takes a patient and gives the same one in another state, or changes the ongoing activity. None of them is a
pattern: readers see background.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.background import Peak, Traits
from hbaclib.dataset.synthetic.draws import log_uniform
from hbaclib.dataset.synthetic.geometry import POSITIONS, field
from hbaclib.dataset.synthetic.waveforms import PEAK, TEMPLATE, discharge

SUPPRESSED = 10.0
"""µV, peak to peak, below which ACNS 2021 calls a stretch suppressed."""


def young(traits: Traits, rng: np.random.Generator) -> Traits:
    """A young adult: posterior alpha of 9-11.5 Hz, central mu, frontal beta, all stronger than in the old."""
    peaks = [Peak(rng.uniform(9, 11.5), rng.uniform(0.5, 1.1), log_uniform(rng, 0.12, 1.2), "back")]
    if rng.random() < 0.4:
        peaks.append(Peak(rng.uniform(8.5, 11), rng.uniform(0.6, 1.2), log_uniform(rng, 0.1, 0.6), "centre"))
    if rng.random() < 0.6:
        peaks.append(Peak(rng.uniform(16, 24), rng.uniform(2, 4), log_uniform(rng, 0.04, 0.3), "front"))
    return replace(traits, peaks=tuple(peaks), slope=float(rng.uniform(1.2, 2.2)))


def old(traits: Traits, rng: np.random.Generator) -> Traits:
    """An old patient: alpha slowed to 6.5-8.5 Hz and weak, temporal theta, lower amplitude, flatter spectrum."""
    peaks = [Peak(rng.uniform(6.5, 8.5), rng.uniform(0.6, 1.3), log_uniform(rng, 0.06, 0.5), "back")]
    if rng.random() < 0.7:
        peaks.append(Peak(rng.uniform(4, 7), rng.uniform(0.8, 1.8), log_uniform(rng, 0.1, 0.6), "wide"))
    sd = max(2.5, traits.bipolar_sd * rng.uniform(0.5, 0.9))
    return replace(traits, peaks=tuple(peaks), slope=float(rng.uniform(1.1, 2.4)), bipolar_sd=float(sd))


def benzodiazepine(traits: Traits, rng: np.random.Generator) -> Traits:
    """Beta of benzodiazepines and barbiturates: 14-25 Hz, broad, frontal, on top of what the patient has."""
    beta = Peak(rng.uniform(15, 23), rng.uniform(2.5, 4.5), log_uniform(rng, 0.12, 1.0), "front")
    return replace(traits, peaks=(*(p for p in traits.peaks if p.centre < 13), beta))


def propofol(traits: Traits, rng: np.random.Generator) -> Traits:
    """Propofol: frontal alpha of 8-13 Hz that waxes and wanes like spindles, over slow delta."""
    alpha = Peak(rng.uniform(8, 13), rng.uniform(0.7, 1.6), log_uniform(rng, 0.15, 1.2), "front")
    delta = Peak(rng.uniform(0.7, 1.4), rng.uniform(0.4, 0.8), log_uniform(rng, 0.4, 1.5), "wide")
    return replace(traits, peaks=(alpha, delta), slope=float(rng.uniform(1.8, 3.0)))


def spindle_coma(traits: Traits, rng: np.random.Generator) -> Traits:
    """Spindle coma: spindles of sleep over delta in somebody who cannot be woken."""
    delta = Peak(rng.uniform(1.0, 2.5), rng.uniform(0.5, 1.0), log_uniform(rng, 0.4, 1.5), "wide")
    return replace(traits, peaks=(delta,), spindles=True, slope=float(rng.uniform(2.0, 3.2)))


def alpha_coma(traits: Traits, rng: np.random.Generator) -> Traits:
    """Alpha coma: steady 8-13 Hz over the whole head, often loudest in front, hardly anything slow."""
    place = "front" if rng.random() < 0.5 else "wide"
    alpha = Peak(rng.uniform(8, 12.5), rng.uniform(0.5, 1.2), log_uniform(rng, 1.5, 5), place)
    return replace(traits, peaks=(alpha,), slope=float(rng.uniform(1.2, 2.2)))


def diffuse_slowing(traits: Traits, rng: np.random.Generator) -> Traits:
    """Severe diffuse slowing: delta and some theta, and hardly anything fast (steep spectrum)."""
    peaks = [Peak(rng.uniform(0.8, 2.5), rng.uniform(0.5, 1.2), log_uniform(rng, 0.2, 1.2), "wide")]
    if rng.random() < 0.5:
        peaks.append(Peak(rng.uniform(3.5, 6.5), rng.uniform(0.8, 1.8), log_uniform(rng, 0.05, 0.4), "wide"))
    return replace(traits, peaks=tuple(peaks), slope=float(rng.uniform(2.6, 4.0)))


def slow_background(traits: Traits, rng: np.random.Generator) -> Traits:
    """Encephalopathy, as in most patients with patterns: nothing above 7 Hz but a spectrum that falls steeply."""
    peaks = tuple(peak for peak in traits.peaks if peak.centre < 7)
    return replace(traits, peaks=peaks, spindles=False, slope=max(traits.slope, float(rng.uniform(1.8, 3.2))))


def low_amplitude(traits: Traits, rng: np.random.Generator) -> Traits:
    """A low-voltage recording: 2-4.5 µV in the median difference, whatever its rhythms."""
    return replace(traits, bipolar_sd=log_uniform(rng, 2.0, 4.5))


def attenuated(traits: Traits, rng: np.random.Generator) -> Traits:
    """Generalised attenuation: the brain is nearly silent (1.2-2.5 µV); electrodes and heart are what is seen."""
    return replace(traits, bipolar_sd=log_uniform(rng, 1.2, 2.5), spindles=False, peaks=traits.peaks[:1])


def high_amplitude(traits: Traits, rng: np.random.Generator) -> Traits:
    """A high-voltage recording: 25-60 µV, mostly of slow waves."""
    return replace(traits, bipolar_sd=log_uniform(rng, 25, 60), slope=float(rng.uniform(1.8, 3.2)))


def _bursts(rng: np.random.Generator, n: int, burst: float, pause: float, floor: float) -> np.ndarray:
    """Gain (n,) of bursts and pauses, lengths in seconds, with edges of .15 s; intervals are irregular."""
    gain = np.full(n, floor, dtype=np.float32)
    at = -rng.uniform(0, burst + pause)
    while at * EEG_RATE < n:
        stop = at + burst * np.exp(0.45 * rng.standard_normal())
        gain[max(0, int(at * EEG_RATE)) : max(0, int(stop * EEG_RATE))] = np.exp(0.3 * rng.standard_normal())
        at = stop + pause * np.exp(0.6 * rng.standard_normal())
    edge = np.hanning(61).astype(np.float32)
    return np.convolve(gain, edge / edge.sum(), mode="same").astype(np.float32)


def _by_side(gains: np.ndarray) -> np.ndarray:
    """Gains (2, n) of left and right -> (19, n), the midline between them."""
    right = np.clip(POSITIONS[:, :1] / 0.3 + 0.5, 0, 1).astype(np.float32)
    return gains[:1] * (1 - right) + gains[1:] * right


def burst_suppression(eeg: np.ndarray, sd: float, rng: np.random.Generator) -> None:
    """Burst suppression: bursts of .5-8 s between 2-20 s of silence below 10 µV, in place.

    In a fifth the sides burst for themselves, in another fifth half together. In a third the bursts are full of spikes
    ("highly epileptiform bursts"). Bursts outlast the half second of a discharge and come irregularly, so that they are
    no periodic pattern.

    Args:
        eeg: (19, n) µV, the ongoing activity.
        sd: its median bipolar sd, µV.
        rng: source of randomness.
    """
    n = eeg.shape[1]
    burst, pause = log_uniform(rng, 0.8, 6), log_uniform(rng, 2, 14)
    floor = min(0.3, rng.uniform(0.5, 1.3) / sd)
    gain = _bursts(rng, n, burst, pause, floor)
    kind = rng.random()
    if kind < 0.4:
        own = _bursts(rng, n, burst, pause, floor)
        other = own if kind < 0.2 else 0.5 * (gain + own)
        eeg *= _by_side(np.stack([gain, other]))
    else:
        eeg *= gain
    if rng.random() < 0.33:
        spikes_in_bursts(eeg, gain, sd, rng)


def spikes_in_bursts(eeg: np.ndarray, gain: np.ndarray, sd: float, rng: np.random.Generator) -> None:
    """Spikes and sharp waves at 2-6 Hz in the bursts of a gain (n,), loudest in front, in place."""
    shape = discharge("poly" if rng.random() < 0.5 else "spike", rng.uniform(0.4, 1), 0.6, rng).astype(np.float32)
    weights = field(np.array([[0.0, 0.8, 0.6]]), rng.uniform(0.7, 1.3))[:, 0].astype(np.float32)
    train = np.zeros(eeg.shape[1] + TEMPLATE, dtype=np.float32)
    at, rate = rng.uniform(0, 0.5), rng.uniform(2, 6)
    while at * EEG_RATE < eeg.shape[1]:
        place = int(at * EEG_RATE)
        if gain[place] > 0.5:
            train[place : place + TEMPLATE] += np.float32(np.exp(0.3 * rng.standard_normal())) * shape
        at += np.exp(0.35 * rng.standard_normal()) / rate
    eeg += np.outer(weights, np.float32(sd * rng.uniform(1.5, 5)) * train[PEAK : PEAK + eeg.shape[1]])


def discontinuous(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """A discontinuous background: stretches of seconds attenuated to a fifth or a half, both sides alike, in place."""
    eeg *= _bursts(rng, eeg.shape[1], log_uniform(rng, 2, 10), log_uniform(rng, 1, 5), rng.uniform(0.15, 0.5))
