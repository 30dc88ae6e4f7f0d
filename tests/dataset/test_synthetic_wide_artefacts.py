"""Mimics, electrodes and amplifiers of the wide population."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from hbaclib.conventions import CLASSES, EEG_COLUMNS
from hbaclib.dataset.synthetic import wide_amplifier as amplifier
from hbaclib.dataset.synthetic import wide_mimics
from hbaclib.dataset.synthetic.geometry import BIPOLAR, POSITIONS
from hbaclib.dataset.synthetic.recording import Scene
from tests.dataset.wide import RATE, N, band_power, loudest

# --- mimics ---


@pytest.mark.parametrize("name", wide_mimics.MIMICS)
def test_mimics_are_seen_and_judged_other(name):
    changed = []
    for seed in range(4):
        eeg = np.zeros((19, N), dtype=np.float32)
        wide_mimics.MIMICS[name](eeg, 25.0, 10.0, np.random.default_rng(seed))
        assert np.isfinite(eeg).all()
        changed.append(np.abs(eeg[:, 4000:6000]).max())
    assert 3 < np.median(changed) < 600
    made = Scene(25.0, "Other", (), "mimic")
    assert made.probability(25.0)[CLASSES.index("Other")] == 1


def rhythm(name: str, seed: int = 0) -> tuple[float, np.ndarray]:
    """Strongest frequency (Hz) of the loudest electrode, and all signals."""
    eeg = np.zeros((19, N), dtype=np.float32)
    wide_mimics.MIMICS[name](eeg, 25.0, 10.0, np.random.default_rng(seed))
    frequencies, power = signal.welch(loudest(eeg).astype(float), RATE, nperseg=2000)
    return float(frequencies[power.argmax()]), eeg


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("tremor", 3.8, 6.8), ("pulse", 0.8, 2.0), ("ballistocardiogram", 0.8, 4.0), ("sweat", 0.2, 0.9),
        ("eye_flutter", 1.2, 4.4), ("tongue", 0.5, 3.0), ("nystagmus", 0.6, 4.0), ("patting", 0.9, 8.5),
    ],
)  # fmt: skip
def test_mimics_have_the_rate_of_what_they_are(name, low, high):
    assert all(low <= rhythm(name, seed)[0] <= high for seed in range(5))


def test_mimics_lie_where_they_come_from():
    flutter = rhythm("eye_flutter")[1].std(axis=1)
    assert flutter[EEG_COLUMNS.index("Fp1")] > 3 * flutter[EEG_COLUMNS.index("F3")]
    gaze = rhythm("nystagmus")[1]
    assert np.corrcoef(gaze[EEG_COLUMNS.index("F7")], gaze[EEG_COLUMNS.index("F8")])[0, 1] < -0.8
    for name in ("pulse", "pops"):
        assert (rhythm(name)[1].std(axis=1) > 0).sum() == 1


def test_hiccups_are_nearly_regular_and_chewing_is_muscle_in_bursts():
    _, eeg = rhythm("hiccups", 2)
    steep = np.abs(np.diff(eeg[EEG_COLUMNS.index("Cz")]))
    peaks, _ = signal.find_peaks(steep, height=0.5 * steep.max(), distance=250)
    gaps = np.diff(peaks) / RATE
    assert 1.5 < np.median(gaps) < 5 and gaps.std() / gaps.mean() < 0.35
    _, chewing = rhythm("chewing", 1)
    temple = chewing[EEG_COLUMNS.index("T3")] if chewing[EEG_COLUMNS.index("T3")].std() else loudest(chewing)
    assert band_power(temple, 20, 90) > 0.3 * band_power(temple, 4, 20)


def test_a_loud_heart_follows_the_heart_channel():
    ekg = np.zeros(N, dtype=np.float32)
    ekg[100::160] = 400
    eeg = np.zeros((19, N), dtype=np.float32)
    wide_mimics.heart_beats(eeg, ekg, 10.0, np.random.default_rng(0))
    assert set(np.flatnonzero(np.abs(loudest(eeg)) > 0.8 * np.abs(eeg).max()) % 160) == {100}


# --- amplifiers ---


def test_the_amplifiers_filters_take_drift_and_noise_and_do_not_swing_at_the_start():
    eeg = np.ones((19, N), dtype=np.float32) * 500
    amplifier.filters(eeg, 1.0, 35.0)
    assert np.abs(eeg).max() < 1e-2
    noise = np.random.default_rng(0).standard_normal((19, N)).astype(np.float32)
    before = noise.copy()
    amplifier.filters(noise, 1.6, 35.0)
    assert band_power(noise, 60, 99).sum() < 0.2 * band_power(before, 60, 99).sum()
    assert band_power(noise, 5, 15).sum() == pytest.approx(band_power(before, 5, 15).sum(), rel=0.15)
    wave = np.sin(2 * np.pi * 0.2 * np.arange(N) / RATE)[None].astype(np.float32) * np.ones((19, 1), np.float32)
    amplifier.filters(wave, 1.6, 100.0)
    assert wave.std() < 0.2


def white(seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return (20 * rng.standard_normal((19, N))).astype(np.float32), rng


def test_bridged_electrodes_are_nearly_equal():
    eeg, rng = white()
    one, other = amplifier.bridged(eeg, rng)
    assert (eeg[one] - eeg[other]).std() < 1 < 0.3 * eeg[one].std()


def test_swapped_electrodes_are_neighbours_in_each_others_place():
    eeg, rng = white()
    before = eeg.copy()
    one, other = amplifier.swapped(eeg, rng)
    assert np.array_equal(eeg[one], before[other]) and np.array_equal(eeg[other], before[one])
    assert POSITIONS[one, 0] * POSITIONS[other, 0] >= 0


def test_another_reference_leaves_differences_nearly_as_they_are():
    eeg, rng = white()
    before = BIPOLAR @ eeg
    eeg += 100 * np.sin(np.arange(N) / 50).astype(np.float32)
    amplifier.reference(eeg, rng)
    assert eeg.std() < 30
    assert np.corrcoef((BIPOLAR @ eeg).ravel(), before.ravel())[0, 1] > 0.97


def test_faults_of_electrodes():
    eeg, rng = white()
    amplifier.gain_error(eeg, rng)
    assert 1 <= (np.abs(eeg.std(axis=1) - 20) > 0.5).sum() <= 2
    eeg, rng = white(1)
    amplifier.flat(eeg, rng)
    assert 1 <= (eeg.std(axis=1) < 1).sum() <= 4
    eeg, rng = white(2)
    amplifier.noisy(eeg, rng)
    assert 1 <= (eeg.std(axis=1) > 20.3).sum() <= 3


def test_quantised_and_saturated():
    eeg, rng = white()
    step = amplifier.quantised(eeg, rng)
    assert np.allclose(eeg / step, np.round(eeg / step), atol=1e-3) and 0.1 <= step <= 2
    eeg = 2000 * white(1)[0]
    amplifier.saturated(eeg, rng)
    assert 150 <= np.abs(eeg).max() <= 800


def test_a_devices_line_is_one_frequency():
    eeg = np.zeros((19, N), dtype=np.float32)
    amplifier.device_line(eeg, np.random.default_rng(1))
    frequencies, power = signal.welch(loudest(eeg).astype(float), RATE, nperseg=2000)
    peak = frequencies[power.argmax()]
    assert 9 < peak < 46 and power[np.abs(frequencies - peak) < 1].sum() > 0.9 * power.sum()
