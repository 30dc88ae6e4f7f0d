from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import signal

from hbaclib.conventions import ELECTRODE_SWAP, RAW_PAIRS, RAW_SWAP
from hbaclib.errors import DataError
from hbaclib.signal.raw import raw_signals
from tests.signal.recordings import column, noise


def _slow(eeg: np.ndarray, edges: float | tuple[float, float]) -> np.ndarray:
    """The recipe, channel by channel with SciPy's ``sosfiltfilt``; (n_samples, 8) at 200 Hz.

    The whole recording is mirrored: what the slowest filter begins with has faded before the recording begins.
    """
    kind = "bandpass" if isinstance(edges, tuple) else "lowpass"
    sos = signal.butter(4, edges, kind, fs=200, output="sos")
    channels = []
    for first, second in RAW_PAIRS:
        wave = eeg[:, column(first)].astype(np.float64) - eeg[:, column(second)]
        wave = np.clip(np.where(np.isnan(wave), 0, wave), -1024, 1024) / 32
        channels.append(signal.sosfiltfilt(sos, wave, padtype="even", padlen=len(wave) - 1))
    return np.clip(np.stack(channels, axis=-1), -32, 32)


def _wild() -> np.ndarray:
    eeg = noise(0) * 3
    eeg[3000:3005] *= 200
    eeg[500:900, column("C3")] = np.nan
    eeg[:, column("T4")] = np.nan
    return eeg


@pytest.mark.parametrize("cutoff", [16.0, 20.0, 8.0, 4.0, 1.0])
def test_whole_recording_at_40_hz(cutoff: float) -> None:
    eeg = _wild()
    signals = raw_signals(eeg, cutoff, flat="public")
    assert signals.shape == (2000, 8)
    assert signals.dtype == np.float32
    np.testing.assert_allclose(signals, _slow(eeg, cutoff)[::5], atol=2e-5)


def test_ten_seconds_at_200_hz_have_no_ends_of_their_own() -> None:
    eeg = _wild()
    expected = _slow(eeg, 16.0)
    np.testing.assert_allclose(raw_signals(eeg, seconds=10, flat="public"), expected[4000:6000], atol=2e-5)
    np.testing.assert_allclose(raw_signals(eeg, seconds=20.99, flat="public"), expected[2901:7099], atol=2e-5)
    assert raw_signals(eeg, seconds=50).shape == (10_000, 8)


def test_band_in_place_of_the_low_pass_at_200_hz() -> None:
    eeg = _wild()
    high = raw_signals(eeg, band=(20.0, 60.0), seconds=10, flat="public")
    np.testing.assert_allclose(high, _slow(eeg, (20.0, 60.0))[4000:6000], atol=2e-5)


@pytest.mark.parametrize(
    "band", [(6.0, 6.5), (8.0, 9.0), (12.0, 12.25), (0.5, 1.0), (0.5, 4.0), (0.5, 20.0), (8.0, 13.0), (19.0, 20.0)]
)
def test_bands_at_40_hz_up_to_the_ends(band: tuple[float, float]) -> None:
    eeg = _wild()
    expected = _slow(eeg, band)[::5]
    signals = raw_signals(eeg, band=band, flat="public")
    assert expected.std() > 0.05
    np.testing.assert_allclose(signals, expected, rtol=0, atol=1e-4)
    inside = slice(300, -300)  # 7.5 s
    np.testing.assert_allclose(signals[inside], expected[inside], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "mirrored"),
    [
        ({}, 200),
        ({"low_pass": 20.0}, 200),
        ({"low_pass": 4.0}, 1000),
        ({"low_pass": 1.0}, 2400),
        ({"low_pass": 99.0, "seconds": 10}, 2400),  # one hertz from the Nyquist frequency is as slow as one from 0
        ({"band": (20.0, 60.0), "seconds": 10}, 200),
        ({"band": (8.0, 13.0)}, 1000),
        ({"band": (6.0, 6.5)}, 4800),  # as slow as its width
        ({"band": (0.5, 20.0)}, 4800),  # as slow as its lower edge
        ({"band": (0.0, 16.0)}, 200),  # a low-pass
        ({"band": (6.0, 6.1)}, 9999),  # no more than there is
    ],
)
def test_a_slow_filter_has_more_mirrored(
    options: dict[str, object], mirrored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def spy(rows: np.ndarray, *gains: object, reflection: int, step: int) -> np.ndarray:
        found.append(reflection)
        return rows[:, ::step]

    monkeypatch.setattr("hbaclib.signal.raw.zero_phase", spy)
    raw_signals(noise(0), **options)
    assert found == [mirrored]


def test_a_narrow_band_of_a_short_recording() -> None:
    for n in (200, 201, 1500):
        signals = raw_signals(noise(0, n), band=(6.0, 6.1))
        assert signals.shape == (-(-n // 5), 8)
        assert np.isfinite(signals).all()


def test_without_a_filter_only_scaled() -> None:
    eeg = noise(2)
    signals = raw_signals(eeg, None)
    for k, (first, second) in enumerate(RAW_PAIRS):
        np.testing.assert_allclose(signals[:, k], (eeg[::5, column(first)] - eeg[::5, column(second)]) / 32, rtol=1e-5)


def test_sixteen_hertz_does_not_alias_where_twenty_does() -> None:
    time = np.arange(10_000) / 200
    eeg = np.zeros((10_000, 20), np.float32)
    eeg[:, column("Fp1")] = 100 * np.sin(2 * np.pi * 21 * time)  # would appear at 19 Hz
    alias = {cutoff: np.abs(raw_signals(eeg, cutoff)[200:-200, 0]).max() * 32 for cutoff in (16.0, 20.0)}
    assert alias[16.0] < 11
    assert alias[20.0] > 35


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(200, 1500),
    mask=npst.arrays(bool, (5, 20)),
    scale=st.floats(0.1, 1e6),
    seconds=st.sampled_from([None, 0.5, 1.0]),
)
def test_always_finite_and_within_32(n: int, mask: np.ndarray, scale: float, seconds: float | None) -> None:
    eeg = (np.random.default_rng(n).standard_normal((2, n, 20)) * scale).astype(np.float32)
    eeg[1, np.repeat(mask, n // 5 + 1, axis=0)[:n]] = np.nan
    signals = raw_signals(eeg, seconds=seconds)
    assert signals.shape == (2, -(-n // 5) if seconds is None else round(200 * seconds), 8)
    assert np.isfinite(signals).all()
    assert np.abs(signals).max() <= 32
    np.testing.assert_array_equal(signals[0], raw_signals(eeg[0], seconds=seconds))
    np.testing.assert_array_equal(signals[1], raw_signals(eeg[1], seconds=seconds))


def test_in_public_a_missing_electrode_gives_zero_in_its_signals_only() -> None:
    eeg = noise(3)
    eeg[:, column("C4")] = np.nan
    silent = [k for k, pair in enumerate(RAW_PAIRS) if "C4" in pair]
    signals = raw_signals(eeg, flat="public")
    assert (signals[:, silent] == 0).all()
    assert (np.abs(signals).max(axis=0) > 0).sum() == 8 - len(silent)


def test_swapping_sides_swaps_signals() -> None:
    eeg = _wild()
    np.testing.assert_array_equal(raw_signals(eeg[:, ELECTRODE_SWAP]), raw_signals(eeg)[:, RAW_SWAP])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_pass": 20.5}, r"filter edge 20.5 Hz above 20.0 Hz, the Nyquist frequency of the result at 40.0 Hz"),
        ({"low_pass": 100.5, "seconds": 10}, "filter edge 100.5 Hz above 100.0 Hz"),
        ({"low_pass": 100.0, "seconds": 10}, "Nyquist"),
        ({"low_pass": 0.0}, "expected 0 <= low < high"),
        ({"band": (0.5, 30.0)}, "filter edge 30.0 Hz above 20.0 Hz"),
        ({"band": (10.0, 5.0)}, "band 10.0..5.0 Hz"),
        ({"seconds": 51}, "stretch of 10200 samples; expected 1 to the recording's 10000"),
        ({"seconds": 0}, "stretch of 0 samples"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        raw_signals(noise(0), **options)


@pytest.mark.parametrize(
    "eeg", [np.zeros((10_000, 8), np.float32), np.zeros(100), np.zeros((199, 20)), np.zeros((400, 20), int)]
)
def test_bad_recordings(eeg: np.ndarray) -> None:
    with pytest.raises(DataError, match="EEG"):
        raw_signals(eeg)
