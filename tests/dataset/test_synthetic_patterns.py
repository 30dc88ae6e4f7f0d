"""Pattern statistics measured from the generated signals, by code that shares nothing with the generator."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from scipy import signal

from hbaclib.conventions import CHAINS, CLASSES, EEG_COLUMNS
from hbaclib.dataset.synthetic.segments import make_segment

RATE = 200
PAIRS = [(a, b) for chain in CHAINS.values() for a, b in itertools.pairwise(chain)]
LEFT = np.array([name[0] == "L" for name in CHAINS for _ in range(4)])


def bipolar(eeg: np.ndarray, low: float = 0.5, high: float = 20.0) -> np.ndarray:
    """(16, n) differences, band-passed."""
    column = {name: eeg[:, i].astype(float) for i, name in enumerate(EEG_COLUMNS)}
    raw = np.array([column[a] - column[b] for a, b in PAIRS])
    return signal.sosfiltfilt(signal.butter(3, [low, high], "band", fs=RATE, output="sos"), raw, axis=1)


@cache
def clear_segments(kind: str, n: int = 18) -> tuple:
    """Segments with one strong pattern that lasts all the 50 s, free of artefacts that mimic others."""
    found = []
    seed = 0
    while len(found) < n:
        seed += 1
        segment = make_segment(kind, 10_000 * CLASSES.index(kind) + seed, difficulty=0.0)
        scene = segment.scene
        if kind == "Other":
            good = scene.artefact == ""
        else:
            pattern = scene.patterns[0]
            good = scene.artefact == "" and pattern.ratio > 2.5 and pattern.start < 3 and pattern.end > 47
            good = good and pattern.coverage == 1
        if good:
            found.append((segment, bipolar(segment.eeg)))
    return tuple(found)


def hemisphere_ratio(signals: np.ndarray) -> float:
    """Weak / strong side, from robust amplitudes so that a single pop does not decide."""
    amplitude = np.subtract(*np.percentile(signals, [98, 2], axis=1))
    left, right = np.sqrt((amplitude[LEFT] ** 2).mean()), np.sqrt((amplitude[~LEFT] ** 2).mean())
    return min(left, right) / max(left, right)


def discharge_rate(signals: np.ndarray) -> float:
    """Rate from the median interval between detected discharges."""
    amplitude = np.subtract(*np.percentile(signals, [99, 1], axis=1))
    best = signals[np.argsort(amplitude)[-3:]]
    steep = np.abs(np.diff(best, axis=1)).sum(axis=0)
    steep = signal.sosfiltfilt(signal.butter(2, 5.5, "low", fs=RATE, output="sos"), steep)
    height = np.percentile(steep, 50) + 0.35 * (np.percentile(steep, 97) - np.percentile(steep, 50))
    peaks, _ = signal.find_peaks(steep, height=height, distance=int(0.26 * RATE), prominence=0.4 * height)
    return RATE / np.median(np.diff(peaks)) if len(peaks) > 3 else np.nan


def spectral_peak(signals: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Frequency of the strongest component of the strongest differences, and the share of power within 20 % of it."""
    best = signals[np.argsort(signals.std(axis=1))[-4:]]
    frequency, power = signal.welch(best, RATE, nperseg=1600, axis=1)
    power = power.sum(axis=0)
    inside = (frequency >= low) & (frequency <= high)
    peak = frequency[inside][power[inside].argmax()]
    near = np.abs(frequency - peak) <= max(0.2 * peak, 0.25)
    return float(peak), float(power[near].sum() / power[(frequency >= 0.5) & (frequency <= 20)].sum())


def test_discharges_repeat_at_the_rates_of_periodic_patterns():
    for kind in ("LPD", "GPD"):
        measured = np.array([discharge_rate(signals) for _, signals in clear_segments(kind)])
        meant = np.array([float(segment.scene.patterns[0].rate_at(25.0)) for segment, _ in clear_segments(kind)])
        assert np.isfinite(measured).mean() > 0.9
        assert 0.7 < np.nanmedian(measured) < 2.0
        assert (np.abs(np.log(measured / meant)) < 0.25).mean() > 0.65
        rank = np.corrcoef(np.argsort(np.argsort(measured)), np.argsort(np.argsort(meant)))[0, 1]
        assert rank > 0.6


def test_discharges_leave_a_quiet_phase_and_rhythmic_delta_does_not():
    def peakedness(signals: np.ndarray) -> float:
        best = signals[np.argsort(signals.std(axis=1))[-3:]]
        scale = np.median(np.abs(best), axis=1)
        return float(np.median(np.percentile(np.abs(best), 98, axis=1) / scale))

    of = {kind: np.median([peakedness(s) for _, s in clear_segments(kind)]) for kind in ("LPD", "GPD", "LRDA", "GRDA")}
    assert min(of["LPD"], of["GPD"]) > 1.25 * max(of["LRDA"], of["GRDA"])


def test_lateralised_patterns_are_one_sided_and_generalised_ones_symmetric():
    ratio = {kind: np.array([hemisphere_ratio(s) for _, s in clear_segments(kind)]) for kind in CLASSES}
    for kind in ("LPD", "LRDA"):
        assert np.median(ratio[kind]) < 0.62
        assert (ratio[kind] < 0.8).mean() > 0.75
    for kind in ("GPD", "GRDA"):
        assert np.median(ratio[kind]) > 0.8
        assert (ratio[kind] > 0.65).mean() > 0.75
    assert np.median(ratio["Other"]) > 0.7


def test_both_sides_of_the_head_are_used():
    for kind in ("LPD", "LRDA"):
        louder_left = [s[LEFT].std() > s[~LEFT].std() for _, s in clear_segments(kind)]
        assert 0.2 < np.mean(louder_left) < 0.8


def test_delta_is_rhythmic_and_slow():
    concentration = {}
    for kind in ("LRDA", "GRDA", "Other"):
        peaks = [spectral_peak(signals, 0.6, 12) for _, signals in clear_segments(kind)]
        concentration[kind] = np.median([share for _, share in peaks])
        if kind != "Other":
            measured = np.array([peak for peak, _ in peaks])
            meant = np.array([float(segment.scene.patterns[0].rate_at(25.0)) for segment, _ in clear_segments(kind)])
            assert ((measured > 0.5) & (measured < 4.0)).mean() > 0.9
            assert (np.abs(np.log(measured / meant)) < 0.25).mean() > 0.7
    assert min(concentration["LRDA"], concentration["GRDA"]) > 1.3 * concentration["Other"]


def dominant_frequency(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mid-times and dominant frequencies of 5-s pieces of the three strongest differences."""
    best = signals[np.argsort(signals.std(axis=1))[-3:]]
    frequency, time, power = signal.spectrogram(best, RATE, nperseg=800, noverlap=400, nfft=3200, axis=1)
    power = power.sum(axis=0)
    inside = (frequency >= 1.2) & (frequency <= 19)
    return time, frequency[inside][power[inside].argmax(axis=0)]


def test_seizures_are_fast_or_evolve():
    fast_or_evolving, slopes, meant = [], [], []
    for segment, signals in clear_segments("Seizure"):
        pattern = segment.scene.patterns[0]
        time, frequency = dominant_frequency(signals)
        slope = np.polyfit(time, np.log(frequency), 1)[0] * 50
        level = np.sqrt(np.mean(signals[np.argsort(signals.std(axis=1))[-3:]].reshape(3, 10, 1000) ** 2, axis=(0, 2)))
        fast_or_evolving.append(np.median(frequency) > 2.4 or abs(slope) > 0.25 or level.max() / level.min() > 1.6)
        slopes.append(slope)
        meant.append(pattern.drift)
    assert np.mean(fast_or_evolving) > 0.85
    # An artefact dominates the strongest differences of a recording or two; all others follow their drift.
    assert (np.abs(np.subtract(slopes, meant)) < 0.2).mean() > 0.7
    assert np.std(meant) > 0.2


def test_a_seizure_of_the_whole_recording_shows_as_a_flame():
    """The dominant frequency of an evolving seizure moves steadily, that of rhythmic delta does not."""

    def steadiness(kind: str) -> float:
        values = []
        for _, signals in clear_segments(kind):
            time, frequency = dominant_frequency(signals)
            values.append(abs(np.corrcoef(time, np.log(frequency) + 1e-9 * time)[0, 1]))
        return float(np.median(values))

    assert steadiness("Seizure") > steadiness("GRDA")


def test_amplitudes_are_those_of_intensive_care_recordings():
    """Channel-median sd of real recordings: 6, 15, 31 µV at 10, 50, 90 %; best / median channel 1.5-3.3."""
    medians, peak = [], []
    for kind in CLASSES:
        for seed in range(15):
            sd = bipolar(make_segment(kind, 500_000 + 1000 * CLASSES.index(kind) + seed).eeg).std(axis=1)
            medians.append(np.median(sd))
            peak.append(sd.max() / np.median(sd))
    low, middle, high = np.percentile(medians, [10, 50, 90])
    assert 3 < low < 9 and 9 < middle < 24 and 20 < high < 70
    assert 1.4 < np.median(peak) < 3.3


def test_neighbours_are_correlated_through_volume_conduction():
    values = []
    for seed in range(20):
        signals = bipolar(make_segment("Other", 800_000 + seed).eeg)
        correlation = np.corrcoef(signals)
        values += [abs(correlation[i, i + 1]) for i in range(15) if (i + 1) % 4]
    assert 0.15 < np.median(values) < 0.55


def test_same_seed_same_segment_and_other_seed_other_segment():
    first = make_segment("LPD", 5)
    assert np.array_equal(first.eeg, make_segment("LPD", 5).eeg)
    assert not np.array_equal(first.eeg, make_segment("LPD", 6).eeg)
    assert first.eeg.shape == (10_000, 20) and first.eeg.dtype == np.float32
    assert first.probability.sum() == pytest.approx(1)


def test_heart_is_on_its_own_scale():
    rates = []
    for seed in range(12):
        ekg = make_segment("Other", 900_000 + seed).eeg[:, -1].astype(float)
        ekg = signal.sosfiltfilt(signal.butter(2, [5, 30], "band", fs=RATE, output="sos"), ekg)
        beats, _ = signal.find_peaks(np.abs(ekg), height=0.5 * np.percentile(np.abs(ekg), 99.5), distance=60)
        rates.append(60 * RATE / np.median(np.diff(beats)))
    assert 45 < np.median(rates) < 150
