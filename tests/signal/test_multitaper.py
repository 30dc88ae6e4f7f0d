from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from hbaclib import kaggle_spectrogram
from hbaclib.conventions import (
    CHAINS,
    CLASSES,
    EEG_COLUMNS,
    ELECTRODE_SWAP,
    REGION_SWAP,
    REGIONS,
    SPECTROGRAM_FREQUENCIES,
)
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.errors import ConfigError, DataError
from tests.signal.recordings import chain_differences, column, noise


def _slow(eeg: np.ndarray, first_centre: float = 1.0) -> np.ndarray:
    """The recipe step by step with SciPy at 200 Hz, float64; missing samples were filled by the caller."""
    n = len(eeg)
    mirrored = np.pad(eeg.astype(np.float64), ((1000, 1000), (0, 0)), mode="reflect")
    band = signal.butter(3, (0.5, 40), "bandpass", fs=200, output="sos")
    filtered = signal.sosfiltfilt(band, mirrored, axis=0, padtype="even")
    filtered = signal.filtfilt(*signal.iirnotch(60, 35, fs=200), filtered, axis=0, padtype="even")
    tapers = signal.windows.dpss(800, 2, 3)
    rows = []
    centre = round(first_centre * 200)
    while centre < n:
        window = filtered[1000 + centre - 400 : 1000 + centre + 400]
        row = []
        for region in CHAINS:
            density = np.zeros(1024)
            for difference in chain_differences(window, region):
                flat = signal.detrend(difference)
                density += np.mean([np.abs(np.fft.fft(taper * flat, 1024)) ** 2 / 200 for taper in tapers], axis=0) / 4
            row.append(density[3:103])
        rows.append(np.concatenate(row))
        centre += 400
    return np.array(rows)


def _check(eeg: np.ndarray, first_centre: float = 1.0) -> None:
    expected = _slow(eeg, first_centre)
    for dtype, bound in ((np.float64, 1e-4), (np.float32, 1e-3)):
        result = kaggle_spectrogram(eeg, first_centre=first_centre, dtype=dtype)
        assert result.dtype == dtype
        assert result.shape == expected.shape
        # Towards the ends the two ways differ by what the filters remember of 5 s before the recording.
        np.testing.assert_allclose(result[3:-3], expected[3:-3], rtol=bound)
        np.testing.assert_allclose(result, expected, rtol=0.02)


@pytest.mark.parametrize("first_centre", [1.0, 2.0, 0.0, 2.7])
def test_equals_a_slow_implementation(first_centre: float) -> None:
    _check(noise(0), first_centre)


def test_equals_a_slow_implementation_with_offsets_and_mains_noise() -> None:
    eeg = noise(1, 6000) + np.linspace(-5000, 5000, len(EEG_COLUMNS), dtype=np.float32)
    mains = 500 * np.sin(2 * np.pi * 60 * np.arange(6000) / 200)
    _check(eeg + (mains[:, None] * np.linspace(-1, 1, len(EEG_COLUMNS))).astype(np.float32))


@pytest.mark.parametrize("meant", CLASSES)
def test_equals_a_slow_implementation_on_synthetic_recordings(meant: str) -> None:
    _check(make_segment(meant, seed=2).eeg, 2.0)


def test_equals_a_slow_implementation_on_real_recordings(real_data: Path) -> None:
    paths = sorted((real_data / "train_eegs").glob("*.parquet"))
    assert paths
    for path in paths:
        _check(pd.read_parquet(path)[list(EEG_COLUMNS)].to_numpy(np.float32), 2.0)


@pytest.mark.parametrize("n_samples", [800, 950, 1001, 1500])
def test_shortest_recordings_are_mirrored_as_far_as_they_reach(n_samples: int) -> None:
    eeg = noise(2, n_samples)
    result = kaggle_spectrogram(eeg)
    assert len(result) == -(-(n_samples - 200) // 400)
    assert np.isfinite(result).all()
    assert (result > 0).all()


@pytest.mark.parametrize(
    ("n_samples", "rate", "first_centre", "n_rows"),
    [
        (120_000, 200.0, 1.0, 300),
        (10_000, 200.0, 1.0, 25),
        (10_000, 200.0, 2.0, 24),  # the 25th would be centred on the end
        (10_001, 200.0, 2.0, 25),
        (800, 200.0, 3.99, 1),
        (5_000, 100.0, 1.0, 25),
        (25_600, 512.0, 0.0, 25),
    ],
)
def test_as_many_rows_as_have_their_centre_inside(
    n_samples: int, rate: float, first_centre: float, n_rows: int
) -> None:
    eeg = np.random.default_rng(0).standard_normal((n_samples, 20)).astype(np.float32)
    assert kaggle_spectrogram(eeg, rate, first_centre).shape == (n_rows, 400)


def test_a_sine_gives_its_analytic_density() -> None:
    amplitude, frequency = 30.0, 10.0
    eeg = np.zeros((8000, 20))
    # Crests in the windows' centres: no trend that the detrending would take away.
    phase = 2 * np.pi * frequency * (np.arange(8000) - 199.5) / 200
    eeg[:, column("T3")] = amplitude * np.cos(phase)  # in two of LL's four pairs
    rows = kaggle_spectrogram(eeg, dtype=np.float64)[3:-3].reshape(-1, 4, 100)
    assert (rows[:, 1:] == 0).all()
    tapers = signal.windows.dpss(800, 2, 3)
    time = (np.arange(800) - 399.5) / 200
    frequencies = np.array(SPECTROGRAM_FREQUENCIES)
    positive, negative = (
        tapers @ np.exp(-2j * np.pi * np.outer(time, frequencies - sign * frequency)) for sign in (1, -1)
    )
    expected = (amplitude**2 / 4 * np.abs(positive + negative) ** 2).mean(axis=0) / 200 * 2 / 4
    band = signal.butter(3, (0.5, 40), "bandpass", fs=200, output="sos")
    gain = abs(signal.sosfreqz(band, [frequency], fs=200)[1][0])
    gain *= abs(signal.freqz(*signal.iirnotch(60, 35, fs=200), [frequency], fs=200)[1][0])
    assert abs(gain - 1) < 1e-4
    expected *= gain**4  # forward and backward, squared
    near = np.abs(frequencies - frequency) < 3
    np.testing.assert_allclose(rows[:, 0, near], np.broadcast_to(expected[near], (len(rows), near.sum())), rtol=1e-5)
    np.testing.assert_allclose(kaggle_spectrogram(eeg)[3:-3, :100][:, near], rows[:, 0, near], rtol=1e-3)
    # Both halves of the two-sided density together hold the sine's power.
    power = 2 * rows[:, 0].sum(axis=-1) * 200 / 1024
    np.testing.assert_allclose(power, amplitude**2 / 2 * 2 / 4, rtol=0.01)


def _sampled(rate: float, seconds: float = 30.0) -> np.ndarray:
    """One and the same analogue recording, sampled at any rate: many sines between 0.3 and 45 Hz."""
    rng = np.random.default_rng(3)
    time = np.arange(round(seconds * rate)) / rate
    eeg = np.zeros((len(time), 20))
    for frequency in rng.uniform(0.3, 45, 150):
        wave = np.exp(2j * np.pi * frequency * time)
        weights = rng.standard_normal(20) + 1j * rng.standard_normal(20)
        eeg += np.real(wave[:, None] * weights) * 10 / (1 + frequency / 5)
    return eeg


@pytest.mark.parametrize("rate", [250.0, 256.0, 500.0, 512.0, 128.0, 1000.0, 199.5])
def test_other_rates_give_the_same_spectrogram(rate: float) -> None:
    expected = kaggle_spectrogram(_sampled(200.0), dtype=np.float64)
    result = kaggle_spectrogram(_sampled(rate), rate, dtype=np.float64)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result[3:-3], expected[3:-3], rtol=0.01)
    single = kaggle_spectrogram(_sampled(rate).astype(np.float32), rate)
    np.testing.assert_allclose(single[3:-3], expected[3:-3], rtol=0.01)


def test_in_public_short_gaps_are_interpolated() -> None:
    eeg = noise(4, 4000)
    eeg[1000:1003, column("F3")] = np.nan
    eeg[0, column("O2")] = np.nan
    filled = eeg.copy()
    filled[1000:1003, column("F3")] = np.interp([1, 2, 3], [0, 4], eeg[[999, 1003], column("F3")])
    filled[0, column("O2")] = eeg[1, column("O2")]
    np.testing.assert_allclose(kaggle_spectrogram(eeg, flat="public"), kaggle_spectrogram(filled), rtol=1e-5)


@pytest.mark.parametrize(("begin", "end"), [(2000, 2004), (0, 700), (9000, 10_000), (600, 601 + 5000)])
def test_in_public_longer_gaps_mark_the_rows_and_regions_they_touch(begin: int, end: int) -> None:
    eeg = noise(5)
    eeg[begin:end, column("T4")] = np.nan
    result = kaggle_spectrogram(eeg, flat="public")
    rows = result.reshape(len(result), 4, 100)
    start = 400 * np.arange(len(result)) - 200
    touched = (start < end) & (start + 800 > begin)
    assert touched.any()
    assert not touched.all()
    region = REGIONS.index("RL")
    np.testing.assert_array_equal(np.isnan(rows[:, region]), np.broadcast_to(touched[:, None], (len(rows), 100)))
    filled = eeg.copy()
    filled[begin:end, column("T4")] = 0
    expected = kaggle_spectrogram(filled).reshape(rows.shape)
    np.testing.assert_array_equal(rows[~touched], expected[~touched])
    others = [k for k in range(4) if k != region]
    np.testing.assert_array_equal(rows[:, others], expected[:, others])


def test_in_public_an_electrode_of_two_chains_marks_both_and_ekg_none() -> None:
    eeg = noise(6, 2000)
    eeg[:, column("O1")] = np.nan
    eeg[:, column("EKG")] = np.nan
    eeg[:, column("Cz")] = np.nan
    missing = np.isnan(kaggle_spectrogram(eeg, flat="public")).reshape(-1, 4, 100)
    assert missing[:, [0, 2]].all()
    assert not missing[:, [1, 3]].any()


def test_in_public_gaps_at_other_rates_mark_the_same_seconds() -> None:
    eeg = _sampled(500.0)
    eeg[round(10.2 * 500) : round(12.6 * 500), column("Fp2")] = np.nan
    missing = np.isnan(kaggle_spectrogram(eeg, 500.0, flat="public")).reshape(-1, 4, 100).all(axis=-1)
    centre = 1 + 2 * np.arange(len(missing))
    np.testing.assert_array_equal(missing[:, REGIONS.index("RL")], (centre - 2 < 12.6) & (centre + 2 > 10.2))
    assert not missing[:, REGIONS.index("LL")].any()


def test_only_gaps_of_all_electrodes_of_a_region_mark_rows() -> None:
    eeg = noise(5)
    eeg[2000:2600, column("T4")] = np.nan
    eeg[3000:5000, [column(name) for name in CHAINS["RL"]]] = np.nan
    eeg[6000:6003] = np.nan  # as short as what is bridged
    missing = np.isnan(kaggle_spectrogram(eeg)).reshape(-1, 4, 100)
    start = 400 * np.arange(len(missing)) - 200
    np.testing.assert_array_equal(missing[:, 1].all(axis=1), (start < 5000) & (start + 800 > 3000))
    np.testing.assert_array_equal(missing[:, 1].all(axis=1), missing.any(axis=(1, 2)))
    slow = _sampled(500.0)
    slow[round(10.2 * 500) : round(12.6 * 500)] = np.nan
    missing = np.isnan(kaggle_spectrogram(slow, 500.0)).reshape(-1, 4, 100).all(axis=(1, 2))
    centre = 1 + 2 * np.arange(len(missing))
    np.testing.assert_array_equal(missing, (centre - 2 < 12.6) & (centre + 2 > 10.2))


def test_batch_and_single_are_the_same() -> None:
    eegs = np.stack([noise(seed, 3000) for seed in range(3)])
    eegs[1, 500:900, 3] = np.nan
    batch = kaggle_spectrogram(eegs)
    assert batch.shape == (3, 7, 400)
    for spectrogram, eeg in zip(batch, eegs, strict=True):
        np.testing.assert_array_equal(spectrogram, kaggle_spectrogram(eeg))
    assert np.isnan(eegs[1, 500:900, 3]).all()  # the caller's array stays as it was


def test_swapping_sides_swaps_regions() -> None:
    eeg = noise(7, 2000)
    plain, swapped = (kaggle_spectrogram(x).reshape(-1, 4, 100) for x in (eeg, eeg[:, ELECTRODE_SWAP]))
    np.testing.assert_array_equal(swapped, plain[:, REGION_SWAP])


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.01, 100), offset=st.floats(-5000, 5000))
def test_power_scales_with_the_square_and_ignores_offsets(factor: float, offset: float) -> None:
    eeg = noise(8, 1600).astype(np.float64)
    plain = kaggle_spectrogram(eeg, dtype=np.float64)
    changed = kaggle_spectrogram(eeg * factor + offset, dtype=np.float64)
    np.testing.assert_allclose(changed, factor**2 * plain, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.one_of(st.integers(100, 1024).map(float), st.sampled_from([199.9, 250.5, 333.3])),
    seconds=st.floats(4.0, 9.0),
    first_centre=st.floats(0, 3.9),
    gap=st.tuples(st.integers(0, 19), st.floats(0, 1), st.integers(0, 900)),
)
def test_any_rate_length_and_gap(rate: float, seconds: float, first_centre: float, gap: tuple[int, float, int]) -> None:
    n = int(np.ceil(seconds * rate))
    eeg = np.random.default_rng(0).standard_normal((n, 20)).astype(np.float32) * 20
    electrode, where, length = gap
    eeg[int(where * n) : int(where * n) + length, electrode] = np.nan
    assert np.isfinite(kaggle_spectrogram(eeg, rate, first_centre)).all(), "one electrode makes no row NaN"
    result = kaggle_spectrogram(eeg, rate, first_centre, flat="public")
    centres = first_centre + 2 * np.arange(len(result) + 1)
    assert result.shape[1] == 400
    assert centres[-2] < n / rate <= centres[-1]
    assert not (result < 0).any()
    by_region = np.isnan(result).reshape(-1, 4, 100)
    np.testing.assert_array_equal(by_region.all(axis=-1), by_region.any(axis=-1))
    for k, chain in enumerate(CHAINS.values()):
        assert EEG_COLUMNS[electrode] in chain or not by_region[:, k].any()


@pytest.mark.parametrize(
    ("eeg", "options", "error", "message"),
    [
        (np.zeros((10_000, 19), np.float32), {}, DataError, "19 columns"),
        (np.zeros(10_000, np.float32), {}, DataError, "expected"),
        (np.zeros((10_000, 20), np.int16), {}, DataError, "int16"),
        (np.full((10_000, 20), -np.inf), {}, DataError, "infinite in Fp1 at sample 0"),
        (np.zeros((799, 20)), {}, DataError, "recording of 3.995 s; expected at least 4 s"),
        (np.zeros((1000, 20)), {"sampling_rate": 256.0}, DataError, "recording of 3.90625 s"),
        (np.zeros((1000, 20)), {"sampling_rate": 99.9}, DataError, "sampling rate 99.9 Hz; expected at least 100 Hz"),
        (np.zeros((1000, 20)), {"sampling_rate": float("nan")}, DataError, "sampling rate nan"),
        (np.zeros((1000, 20)), {"sampling_rate": -200.0}, DataError, "sampling rate -200.0"),
        (np.zeros((1000, 20)), {"first_centre": 5.0}, DataError, "first_centre = 5.0 s; expected a second inside"),
        (np.zeros((1000, 20)), {"first_centre": -1.0}, DataError, "first_centre = -1.0"),
        (np.zeros((1000, 20)), {"first_centre": float("nan")}, DataError, "first_centre = nan"),
        (np.zeros((1000, 20)), {"dtype": np.float16}, ConfigError, "expected float32 or float64"),
    ],
)
def test_bad_input(eeg: np.ndarray, options: dict[str, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kaggle_spectrogram(eeg, **options)


@pytest.mark.parametrize("value", [1e25, 1e30, 3.4e38])
def test_absurd_values_overflow_without_a_warning(value: float) -> None:
    eeg = noise(9, 4000)
    eeg[1000, column("T3")], eeg[1001, column("T5")], eeg[3000, column("F7")] = value, -value, np.nan
    rows = kaggle_spectrogram(eeg).reshape(-1, 4, 100)
    assert not np.isfinite(rows[:, 0]).all()
    np.testing.assert_array_equal(rows[:, 1:], kaggle_spectrogram(noise(9, 4000)).reshape(-1, 4, 100)[:, 1:])
