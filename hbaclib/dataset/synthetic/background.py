"""Ongoing activity of one patient: coloured noise of many cortical patches, seen through volume conduction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.draws import log_normal, log_uniform, slow_gain
from hbaclib.dataset.synthetic.geometry import BIPOLAR, POSITIONS, field, on_sphere
from hbaclib.signal.montage import electrode_index

N_PATCHES = 44
BAND = (0.5, 20.0)
"""Band (Hz) in which amplitudes are stated, as in the recordings that the ranges come from."""

HIGHEST = 55.0
"""Hz above which the electrodes' own noise hides the brain."""


@dataclass(frozen=True)
class Peak:
    """A spectral peak: centre and width in Hz, power relative to the aperiodic part, and where it is strongest."""

    centre: float
    width: float
    power: float
    place: str


@dataclass(frozen=True)
class Traits:
    """What stays the same in all recordings of one patient."""

    slope: float
    knee: float
    peaks: tuple[Peak, ...]
    bipolar_sd: float
    patch_points: np.ndarray
    patch_widths: np.ndarray
    patch_gains: np.ndarray
    heart_rate: float
    burst_suppression: bool
    spindles: bool


def draw_traits(rng: np.random.Generator) -> Traits:
    """Draw one patient: age, spectrum, amplitude, cortical patches, heart."""
    age = float(np.clip(rng.normal(62, 17), 18, 98))
    peaks = []
    # Older brains have slower and weaker alpha; slowing is the rule in intensive care.
    if rng.random() < 0.65:
        peaks.append(Peak(rng.uniform(1.0, 3.2), rng.uniform(0.5, 1.2), log_uniform(rng, 0.15, 1.2), "wide"))
    if rng.random() < 0.50:
        peaks.append(Peak(rng.uniform(4.0, 7.5), rng.uniform(0.8, 2.0), log_uniform(rng, 0.08, 0.7), "wide"))
    if rng.random() < 0.30:
        centre = 10.5 - 0.02 * (age - 40) + rng.normal(0, 0.6)
        peaks.append(Peak(centre, rng.uniform(0.7, 1.7), log_uniform(rng, 0.08, 0.8), "back"))
    if rng.random() < 0.25:
        peaks.append(Peak(rng.uniform(14, 24), rng.uniform(1.5, 4), log_uniform(rng, 0.05, 0.5), "front"))
    # Evenly spread points over the upper part of the head, shaken.
    order = np.arange(N_PATCHES) + 0.5
    inclination = np.arccos(1 - order / N_PATCHES * 1.25) + 0.08 * rng.standard_normal(N_PATCHES)
    azimuth = np.pi * (1 + 5**0.5) * order + rng.uniform(0, 2 * np.pi)
    points = on_sphere(inclination, azimuth)
    gains = np.exp(0.35 * rng.standard_normal(N_PATCHES))
    # A few deep or widespread sources tie neighbouring differences and the two sides together.
    widths = rng.uniform(0.22, 0.6, N_PATCHES)
    wide = rng.choice(N_PATCHES, 8, replace=False)
    widths[wide] = rng.uniform(0.8, 1.6, len(wide))
    gains[wide] *= log_uniform(rng, 0.6, 2.4)
    # Slow activity is often loudest in front, in some patients far more so.
    gains *= np.exp(rng.normal(0.2, 0.35) * points[:, 1])
    if rng.random() < 0.3:  # a lesion: one region louder or quieter
        centre_point = points[rng.integers(N_PATCHES)]
        near_by = np.exp(-0.5 * (np.arccos(np.clip(points @ centre_point, -1, 1)) / 0.5) ** 2)
        gains *= np.exp(near_by * rng.uniform(-1.0, 0.9))
    return Traits(
        slope=float(rng.uniform(1.3, 3.2)),
        knee=log_uniform(rng, 0.4, 1.5),
        peaks=tuple(peaks),
        bipolar_sd=log_normal(rng, 9, 0.55, 2.5, 40),
        patch_points=points,
        patch_widths=widths,
        patch_gains=gains,
        heart_rate=log_normal(rng, 85, 0.2, 50, 150),
        burst_suppression=bool(rng.random() < 0.06),
        spindles=bool(rng.random() < 0.10),
    )


def _noise(
    rng: np.random.Generator, amplitude: np.ndarray, n_samples: int, n_fft: int, *, in_band: bool = False
) -> np.ndarray:
    """Gaussian series (n, n_samples) with the amplitude spectra (n, n_fft // 2 + 1), of unit variance (inside BAND)."""
    frequencies = fft.rfftfreq(n_fft, 1 / EEG_RATE)
    counted = (frequencies >= BAND[0]) & (frequencies <= BAND[1]) if in_band else slice(None)
    inside = (amplitude[:, counted] ** 2).sum(axis=1, keepdims=True)
    scaled = (amplitude * (n_fft / np.sqrt(4 * inside))).astype(np.float32)
    # Normal numbers are the dearest part: only where there is anything to scale.
    audible = np.flatnonzero(scaled.max(axis=0) > 1e-3 * scaled.max())
    used = slice(audible[0], audible[-1] + 1)
    drawn = rng.standard_normal((len(scaled), used.stop - used.start, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum = np.zeros(scaled.shape, dtype=np.complex64)
    np.multiply(drawn, scaled[:, used], out=spectrum[:, used])
    return fft.irfft(spectrum, n_fft, axis=1)[:, :n_samples]


def _place_gains(traits: Traits, place: str) -> np.ndarray:
    if place == "centre":  # mu: over both Rolandic strips
        return 1.6 * np.exp(-0.5 * (traits.patch_points[:, 1] / 0.3) ** 2)
    slope, border = {"back": (-1.3, -0.3), "front": (1.1, 0.2), "wide": (0.0, 0.0)}[place]
    return np.exp(slope * (traits.patch_points[:, 1] - border))


def background(traits: Traits, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the ongoing activity.

    Args:
        traits: the patient.
        n_samples: length at 200 Hz.
        rng: source of randomness.

    Returns:
        (19, n_samples) float32 µV; the median bipolar difference has the sd ``traits.bipolar_sd`` within BAND.
    """
    n_fft = fft.next_fast_len(n_samples, real=True)
    frequencies = fft.rfftfreq(n_fft, 1 / EEG_RATE)
    slopes = traits.slope * (1 + 0.08 * rng.standard_normal((N_PATCHES, 1)))
    # Nothing below .1 Hz: slow drift is an artefact of its own.
    high_pass = frequencies**2 / (frequencies**2 + 0.15**2)
    high_pass *= frequencies <= HIGHEST
    broad = high_pass / (1 + (frequencies / traits.knee) ** slopes) ** 0.5
    activity = _noise(rng, broad, n_samples, n_fft, in_band=True)
    activity *= slow_gain(rng, N_PATCHES, n_samples, log_uniform(rng, 3, 20), 0.2)
    power = np.ones(N_PATCHES)
    for peak in traits.peaks:
        n_some = 16
        some = rng.choice(N_PATCHES, n_some, replace=False)
        centres = peak.centre * (1 + 0.04 * rng.standard_normal((n_some, 1)))
        shape = np.exp(-0.5 * ((frequencies - centres) / peak.width) ** 2)
        wave = _noise(rng, shape, n_samples, n_fft)
        gains = np.sqrt(peak.power * N_PATCHES / n_some) * _place_gains(traits, peak.place)[some]
        wave *= slow_gain(rng, n_some, n_samples, log_uniform(rng, 1, 6), 0.5)
        # Rhythms come and go with the state of the brain, all over the head at once.
        wave *= slow_gain(rng, 1, n_samples, log_uniform(rng, 15, 90), 0.4)
        wave *= gains[:, None].astype(np.float32)
        activity[some] += wave
        power[some] += gains**2 * np.exp(2 * 0.5**2 + 2 * 0.4**2)
    mixing = field(traits.patch_points, traits.patch_widths) * traits.patch_gains
    sd = np.sqrt(((BIPOLAR @ mixing) ** 2 * power).sum(axis=1))
    mixing *= traits.bipolar_sd / np.median(sd)
    eeg = mixing.astype(np.float32) @ activity
    # All patches rise and fall together a little: arousal.
    eeg *= slow_gain(rng, 1, n_samples, log_uniform(rng, 10, 60), 0.1)
    if traits.burst_suppression:
        eeg *= _bursts(n_samples, rng)
    if traits.spindles:
        eeg += _sleep_waves(traits, n_samples, rng)
    return eeg


def _bursts(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Gain (n_samples,) that alternates between bursts and suppression, with soft edges."""
    burst, pause, floor = log_uniform(rng, 0.7, 4), log_uniform(rng, 1.5, 9), rng.uniform(0.06, 0.25)
    gain = np.full(n_samples, floor, dtype=np.float32)
    at = 0.0
    while at * EEG_RATE < n_samples:
        length = burst * np.exp(0.3 * rng.standard_normal())
        gain[int(at * EEG_RATE) : int((at + length) * EEG_RATE)] = np.exp(0.25 * rng.standard_normal())
        at += length + pause * np.exp(0.4 * rng.standard_normal())
    edge = np.hanning(61).astype(np.float32)
    return np.convolve(gain, edge / edge.sum(), mode="same").astype(np.float32)


def _sleep_waves(traits: Traits, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Spindles (11-15 Hz) and vertex waves about the midline: normal sleep."""
    eeg = np.zeros((len(POSITIONS), n_samples), dtype=np.float32)
    spread = field(POSITIONS[electrode_index("Cz")], 0.7)[:, 0]
    at, amplitude = 0.0, traits.bipolar_sd * rng.uniform(1.5, 3)
    while True:
        at += rng.exponential(7) + 1
        length = rng.uniform(0.5, 1.4)
        start, n_wave = int(at * EEG_RATE), int(length * EEG_RATE)
        if start + n_wave + 200 >= n_samples:
            return eeg
        time = np.arange(n_wave) / EEG_RATE
        wave = np.sin(2 * np.pi * rng.uniform(11.5, 14.5) * time + rng.uniform(0, 6)) * np.hanning(n_wave)
        eeg[:, start : start + n_wave] += (amplitude * spread[:, None] * wave).astype(np.float32)
        if rng.random() < 0.4:
            time = np.arange(200) / EEG_RATE - 0.3
            vertex = -np.exp(-0.5 * (time / 0.07) ** 2) + 0.5 * np.exp(-0.5 * ((time - 0.25) / 0.12) ** 2)
            eeg[:, start : start + 200] += (2.5 * amplitude * spread[:, None] * vertex).astype(np.float32)
