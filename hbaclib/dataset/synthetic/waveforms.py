"""From a pattern's parameters to its signals at the electrodes."""

from __future__ import annotations

import numpy as np
from scipy import fft

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.draws import slow_noise
from hbaclib.dataset.synthetic.geometry import BIPOLAR
from hbaclib.dataset.synthetic.patterns import Pattern

TEMPLATE = 320
"""Samples of one discharge (1.6 s), its peak at PEAK."""
PEAK = 120


def discharge(form: str, sharpness: float, width: float, rng: np.random.Generator) -> np.ndarray:
    """One discharge: spike or sharp wave, its after-going phases and slow wave.

    Args:
        form: "wave" (sharp wave and slow wave), "spike", "triphasic", "blunt" or "poly".
        sharpness: 0..1; the sharp part's sigma goes from 50 down to 12 ms.
        width: factor on all durations.
        rng: draws the details; the same generator state gives the same discharge.

    Returns:
        (TEMPLATE,) of about unit height.
    """
    time = (np.arange(TEMPLATE) - PEAK) / EEG_RATE

    def bump(centre: float, sigma: float) -> np.ndarray:
        return np.exp(-0.5 * ((time - centre * width) / (sigma * width)) ** 2)

    sigma = 0.012 + 0.038 * (1 - sharpness)
    if form == "blunt":
        sigma = rng.uniform(0.06, 0.11)
        return -bump(0, sigma) + rng.uniform(0.2, 0.5) * bump(rng.uniform(0.2, 0.3), 1.3 * sigma)
    after = rng.uniform(0.3, 0.8) * bump(2.4 * sigma, 1.5 * sigma)
    if form == "triphasic":
        wave = -0.45 * bump(-0.11, 0.035) + bump(0, 0.055) - rng.uniform(0.4, 0.8) * bump(0.19, 0.085)
        return wave * rng.choice([-1, 1], p=[0.25, 0.75])
    wave = -bump(0, sigma) + after
    if form == "poly":
        for spike in range(1, int(rng.integers(2, 4))):
            wave += rng.uniform(0.4, 0.9) * (bump(0.05 * spike + 0.02, 0.7 * sigma) - bump(0.05 * spike, 0.7 * sigma))
    if form in {"wave", "poly", "train"}:
        wave -= rng.uniform(0.25, 0.9) * bump(rng.uniform(0.12, 0.28), rng.uniform(0.05, 0.12))
    return wave


def _edges(pattern: Pattern, seconds: np.ndarray) -> np.ndarray:
    """1 while the pattern lasts, with soft on- and offset."""
    soft = 1.5 if pattern.kind != "Seizure" else 2.5
    up = np.clip((seconds - pattern.start) / soft + 0.5, 0, 1)
    down = np.clip((pattern.end - seconds) / soft + 0.5, 0, 1)
    return np.minimum(up, down).astype(np.float32)


def _cycle_times(pattern: Pattern, first: float, last: float, rng: np.random.Generator) -> np.ndarray:
    """Seconds of the discharges between ``first`` and ``last``."""
    times = []
    at = first + rng.uniform(0, 1 / pattern.rate)
    wander = 0.0
    while at < last:
        times.append(at)
        # Half of the variation wanders slowly, half is new in every cycle.
        wander = 0.9 * wander + np.sqrt(1 - 0.9**2) * rng.standard_normal()
        jitter = pattern.variation * (0.45 * wander + 0.9 * rng.standard_normal())
        at += np.exp(np.clip(jitter, -0.9, 0.9)) / float(pattern.rate_at(at))
    return np.array(times)


def _periodic(pattern: Pattern, start: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n_sources, n) trains of discharges."""
    first, last = start / EEG_RATE, (start + n) / EEG_RATE
    times = _cycle_times(pattern, first - 1, last, rng)
    times = times[rng.random(len(times)) >= rng.uniform(0, 0.12)]
    heights = np.exp(rng.uniform(0.08, 0.4) * rng.standard_normal(len(times)))
    variants = rng.integers(0, 5, len(times))
    form_rng_seed = int(rng.integers(2**62))
    n_fft = fft.next_fast_len(n + TEMPLATE, real=True)
    signals = np.zeros((len(pattern.gains), n), dtype=np.float32)
    # Discharges of neighbouring sources are alike, not equal: two draws of the details serve all sources.
    details = rng.integers(0, 2, len(pattern.gains))
    detail_share = rng.uniform(0, 0.5, len(pattern.gains))
    compress = min(1.0, 1.3 / pattern.rate)
    spectra = []
    for detail in range(2):
        seed = [form_rng_seed % 2**32, detail]
        widths = [(1 + 0.1 * (variant - 2) / 1.4) * max(compress, 0.45) for variant in range(5)]
        shapes = [discharge(pattern.form, pattern.sharpness, w, np.random.default_rng(seed)) for w in widths]
        spectra.append(fft.rfft(np.array(shapes, dtype=np.float32), n_fft, axis=1))
    for source in range(len(pattern.gains)):
        jitter = 0.006 * rng.standard_normal(len(times))
        index = np.round((times + pattern.delays[source] + jitter - first) * EEG_RATE).astype(int) + TEMPLATE - PEAK
        own = heights * np.exp(0.12 * rng.standard_normal(len(times)))
        inside = (index >= 0) & (index < n + TEMPLATE - 1)
        impulses = np.zeros((5, n + TEMPLATE), dtype=np.float32)
        np.add.at(impulses, (variants[inside], index[inside]), own[inside])
        share = detail_share[source] if details[source] else 0.0
        shape = (1 - share) * spectra[0] + share * spectra[1]
        total = (fft.rfft(impulses, n_fft, axis=1) * shape).sum(axis=0)
        signals[source] = fft.irfft(total, n_fft)[TEMPLATE : TEMPLATE + n]
    return signals


def _rhythmic(pattern: Pattern, start: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n_sources, n) rhythmic waves with harmonics, asymmetric shape, jitter and a breathing envelope."""
    seconds = (start + np.arange(n)) / EEG_RATE
    rate = pattern.rate_at(seconds)
    cycle = 1.0 / pattern.rate
    common = slow_noise(rng, 1, n, 2.0 * cycle)[0]
    spread = rng.uniform(0.1, 0.65) if pattern.kind != "Seizure" else rng.uniform(0.05, 0.3)
    second, third = rng.uniform(0, 0.5), rng.uniform(0, 0.25)
    if pattern.kind == "Seizure":
        second, third = rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.35)
    second_phase = rng.uniform(-0.8, 0.8) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)
    skew = rng.uniform(-0.75, 0.75)
    envelope_common = slow_noise(rng, 1, n, 3 * cycle + 0.6)[0]
    signals = np.zeros((len(pattern.gains), n), dtype=np.float32)
    sides = pattern.points[:, 0] > 0
    for side in (False, True):
        own_jitter = slow_noise(rng, 1, n, 2.0 * cycle)[0]
        own_envelope = slow_noise(rng, 1, n, 3 * cycle + 0.6)[0]
        weight = np.float32(np.sqrt(pattern.coupling))
        rest = np.float32(np.sqrt(1 - pattern.coupling))
        jitter = weight * common + rest * own_jitter
        # Jitter of the instantaneous rate; phases of the two sides are tied, or they would drift apart for ever.
        phase = 2 * np.pi * np.cumsum(rate * np.exp(pattern.variation * common * 0.9)) / EEG_RATE
        phase += 2 * np.pi * pattern.variation * 0.6 * (jitter - weight * common)
        level = np.exp(spread * (weight * envelope_common + rest * own_envelope))
        for source in np.flatnonzero(sides == side):
            theta = phase - 2 * np.pi * rate * pattern.delays[source] + rng.normal(0, 0.15)
            theta = theta + skew * np.sin(theta)
            wave = np.sin(theta) + second * np.sin(2 * theta + second_phase) + third * np.sin(3 * theta)
            signals[source] = wave * level
    if pattern.kind == "Seizure" and len(signals) > 1:  # the field widens while the seizure lasts
        recruited = 1 / (1 + np.exp(-(seconds - pattern.start - rng.uniform(5, 30)) / 5))
        signals[1:] *= (0.35 + 0.65 * recruited).astype(np.float32)
    return signals


def _present(pattern: Pattern, n: int, rng: np.random.Generator) -> np.ndarray:
    """Gate (n,) that leaves the pattern on for the share ``coverage`` of the time."""
    if pattern.coverage >= 1:
        return np.ones(n, dtype=np.float32)
    noise = slow_noise(rng, 1, n, 3.0)[0]
    threshold = np.quantile(noise, 1 - pattern.coverage)
    return np.clip((noise - threshold) / 0.35 + 0.5, 0.05, 1).astype(np.float32)


def pattern_signal(pattern: Pattern, n_samples: int, background_sd: float) -> tuple[slice, np.ndarray, np.ndarray]:
    """Render one pattern.

    Args:
        pattern: its parameters.
        n_samples: length of the recording.
        background_sd: median bipolar sd of the background, µV; the pattern's best difference has ``ratio`` times it.

    Returns:
        The stretch of the recording that it covers, its signal (19, n) µV there, and the gain (n,) of the background.
    """
    start = max(0, int((pattern.start - 2) * EEG_RATE))
    stop = min(n_samples, int((pattern.end + 2) * EEG_RATE))
    if stop - start < EEG_RATE:
        return slice(0, 0), np.zeros((19, 0), dtype=np.float32), np.ones(0, dtype=np.float32)
    rng = np.random.default_rng(pattern.seed)
    n = stop - start
    seconds = ((start + np.arange(n)) / EEG_RATE).astype(np.float32)
    train = pattern.form in {"wave", "spike", "triphasic", "blunt", "poly", "train"}
    signals = (_periodic if train else _rhythmic)(pattern, start, n, rng)
    if pattern.form == "delta" and rng.random() < 0.6:  # irregular slowing in the same field
        irregular = slow_noise(rng, len(signals), n, rng.uniform(0.15, 0.4))
        signals = signals + np.float32(rng.uniform(0.2, 0.7)) * irregular
    edges = _edges(pattern, seconds)
    gate = edges * _present(pattern, n, rng)
    slow = np.exp(rng.uniform(0.08, 0.3) * slow_noise(rng, 1, n, 15.0)[0])
    eeg = pattern.fields.astype(np.float32) @ signals
    # The scale is that of the labelled moment, before pauses and growth.
    around = np.abs(seconds - pattern.centre) < 10
    part = eeg[:, around] if around.sum() > 4 * EEG_RATE else eeg
    best = np.sqrt(((BIPOLAR.astype(np.float32) @ part) ** 2).mean(axis=1)).max()
    eeg *= np.float32(pattern.ratio * background_sd / max(best, 1e-6))
    eeg *= gate * slow * pattern.level_at(seconds).astype(np.float32)
    return slice(start, stop), eeg, 1 - edges * np.float32(1 - pattern.suppression)
