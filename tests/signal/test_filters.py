from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from hbaclib.errors import DataError
from hbaclib.signal.filters import _spectrum_gain, band_pass, band_pass_gain, notch_gain, zero_phase
from tests.signal.recordings import noise

INTERIOR = slice(1500, -1500)


def notch(signals: np.ndarray) -> np.ndarray:
    """(n_samples, n_channels) filtered along the first axis."""
    return zero_phase(np.ascontiguousarray(signals.T), notch_gain).T


def test_gains_are_scipys_squared() -> None:
    frequencies = np.linspace(0.01, 99.9, 5000)
    for low, high, order, rate in ((0.5, 40, 3, 200), (0.5, 20, 4, 200), (8, 13, 2, 200), (1, 40, 3, 256)):
        sos = signal.butter(order, (low, high), "bandpass", fs=rate, output="sos")
        response = signal.sosfreqz(sos, frequencies, fs=rate)[1]
        np.testing.assert_allclose(band_pass_gain(low, high, order, rate)(frequencies), abs(response) ** 2, atol=1e-9)
    response = signal.freqz(*signal.butter(4, 16, fs=200), frequencies, fs=200)[1]
    np.testing.assert_allclose(band_pass_gain(0, 16, 4)(frequencies), abs(response) ** 2, atol=1e-9)
    response = signal.freqz(*signal.iirnotch(60, 35, fs=200), frequencies, fs=200)[1]
    np.testing.assert_allclose(notch_gain(frequencies), abs(response) ** 2, atol=1e-9)


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-9), (np.float32, 2e-6)])
def test_equal_scipys_filtfilt_in_the_interior(dtype: type, bound: float) -> None:
    eeg = noise(0).astype(dtype)
    wide = eeg.astype(np.float64)
    scale = np.abs(wide).max()
    band = signal.butter(3, (0.5, 40), "bandpass", fs=200, output="sos")
    cases = [
        (band_pass(eeg, 0.5, 40), signal.sosfiltfilt(band, wide, axis=0, padtype="even", padlen=1000), 2e-5),
        (
            band_pass(eeg, 0, 16, order=4),
            signal.filtfilt(*signal.butter(4, 16, fs=200), wide, axis=0, padtype="even"),
            0,
        ),
        (notch(eeg), signal.filtfilt(*signal.iirnotch(60, 35, fs=200), wide, axis=0, padtype="even"), 0),
    ]
    for ours, theirs, memory in cases:
        assert ours.shape == eeg.shape
        assert ours.dtype == dtype
        # A 0.5 Hz filter still remembers the reflection after 7.5 s, at some 1e-5 of the amplitude.
        np.testing.assert_allclose(ours[INTERIOR], theirs[INTERIOR], rtol=0, atol=(bound + memory) * scale)


def test_low_pass_and_notch_equal_filtfilt_up_to_the_ends_of_a_mirrored_recording() -> None:
    eeg = noise(1).astype(np.float64)
    theirs = signal.filtfilt(*signal.butter(4, 16, fs=200), eeg, axis=0, padtype="even", padlen=1000)
    np.testing.assert_allclose(band_pass(eeg, 0, 16, order=4), theirs, atol=1e-9 * np.abs(eeg).max())


def test_no_transient_where_a_recording_starts_off_its_mean() -> None:
    time = np.arange(10_000) / 200
    wave = 20 * np.cos(2 * np.pi * 5 * time)
    eeg = (np.cos(np.pi * time / 50) * 2000 + wave)[:, None]  # a slow drift with even ends
    filtered = band_pass(eeg, 1.0, 40)
    assert np.abs(filtered).max() < 21
    odd = signal.sosfiltfilt(signal.butter(3, (1, 40), "bandpass", fs=200, output="sos"), eeg, axis=0, padlen=1000)
    np.testing.assert_allclose(filtered[INTERIOR], odd[INTERIOR], atol=0.01)


@settings(max_examples=25, deadline=None)
@given(frequency=st.floats(1, 90), phase=st.floats(0, 6))
def test_a_sine_keeps_its_phase(frequency: float, phase: float) -> None:
    time = np.arange(4000) / 200
    wave = np.sin(2 * np.pi * frequency * time + phase)[:, None]
    gain = band_pass_gain(0.5, 40)(np.array([frequency]))[0]
    np.testing.assert_allclose(band_pass(wave, 0.5, 40)[INTERIOR], gain * wave[INTERIOR], atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(300, 3000), step=st.integers(1, 7), margin=st.integers(0, 50))
def test_steps_and_margins_cut_from_the_same_result(n: int, step: int, margin: int) -> None:
    rows = np.random.default_rng(n).standard_normal((3, n))
    gain = band_pass_gain(0, 14)
    whole = zero_phase(rows, gain, reflection=200, margin=margin)
    assert whole.shape == (3, n + 2 * margin)
    kept = zero_phase(rows, gain, reflection=200, margin=margin, step=step)
    np.testing.assert_allclose(kept, whole[:, ::step], atol=2e-6)
    np.testing.assert_allclose(whole[:, margin : margin + n], zero_phase(rows, gain, reflection=200), atol=1e-12)


def test_equal_settings_compute_their_spectrum_once() -> None:
    assert band_pass_gain(1, 40) == band_pass_gain(1.0, 40.0) != band_pass_gain(1, 40, order=4)
    eeg = noise(4, 1000)
    calls = [lambda: band_pass(eeg, 1.5, 33), lambda: band_pass(eeg, 0, 17, order=4), lambda: notch(eeg)]
    _spectrum_gain.cache_clear()
    first = [call() for call in calls]
    assert (_spectrum_gain.cache_info().hits, _spectrum_gain.cache_info().misses) == (0, 3)
    second = [call() for call in calls]
    assert (_spectrum_gain.cache_info().hits, _spectrum_gain.cache_info().misses) == (3, 3)
    np.testing.assert_array_equal(first, second)
    others = [band_pass(eeg, 1.5, 33, order=2), band_pass(eeg, 1.5, 33, sampling_rate=250)]
    assert _spectrum_gain.cache_info().misses == 5, "other settings are other spectra"
    assert not any(np.array_equal(other, ours) for other in others for ours in first)


@pytest.mark.parametrize(
    ("low", "high"), [(0.5, 100), (0.5, 120), (10, 5), (-1, 5), (5, 5), (float("nan"), 5), (1, float("inf"))]
)
def test_bad_bands(low: float, high: float) -> None:
    with pytest.raises(DataError, match=r"expected 0 <= low < high < 100.0 Hz \(Nyquist frequency\)"):
        band_pass(noise(0, 1000), low, high)


@pytest.mark.parametrize("order", [0, -2, 1.5, float("nan"), None])
def test_bad_orders(order: int) -> None:
    for call in (
        lambda: band_pass(noise(0, 1000), 1, 40, order=order),
        lambda: band_pass(noise(0, 1000), 0, 4, order=order),
    ):
        with pytest.raises(DataError, match=f"order is {order}; expected a whole number of at least 1"):
            call()


@pytest.mark.parametrize(
    ("n", "reflection", "margin", "mirrored"),
    [(300, 1000, 500, 299), (300, 1000, 300, 299), (300, 100, 101, 100), (300, 100, -1, 100), (300, -5, 0, -5)],
)
def test_no_margin_beyond_what_is_mirrored(n: int, reflection: int, margin: int, mirrored: int) -> None:
    with pytest.raises(DataError, match=rf"margin of {margin} samples; expected 0\.\.{mirrored}, .* of {n} samples"):
        zero_phase(np.zeros((2, n)), band_pass_gain(1, 40), reflection=reflection, margin=margin)
    if mirrored > 0:
        kept = zero_phase(np.zeros((2, n)), band_pass_gain(1, 40), reflection=reflection, margin=mirrored)
        assert kept.shape == (2, n + 2 * mirrored)


@pytest.mark.parametrize(
    "signals", [np.zeros((100, 2), int), np.zeros(100), np.zeros((1, 20)), np.full((9, 2), np.nan)]
)
def test_bad_signals(signals: np.ndarray) -> None:
    with pytest.raises(DataError, match="signals"):
        band_pass(signals, 1, 40)
