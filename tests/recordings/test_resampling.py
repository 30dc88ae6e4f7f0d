"""Rates: in pieces as in the whole to the last bit, as scipy does it, and no ripple of a large offset."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from hbaclib import open_recording
from hbaclib.errors import DataFileError
from hbaclib.recordings import edf
from hbaclib.recordings.resampling import Resampler
from tests.recordings.edf_files import LABELS, noise, write_edf

RATES = [100, 125, 128, 199, 199.5, 200, 250, 256, 400, 500, 512, 1000, 1024, 2000, 2048, 5000, 20_000]


def smooth(rate: float, seconds: float = 8.0, n_rows: int = 3) -> np.ndarray:
    """Rows of a signal below 20 Hz, and its values at 200 Hz."""
    rng = np.random.default_rng(0)
    return sum(
        amplitude[:, None] * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + phase[:, None])
        for frequency, amplitude, phase in zip(
            rng.uniform(1, 20, 6), rng.uniform(5, 30, (6, n_rows)), rng.uniform(0, 6, (6, n_rows)), strict=True
        )
    )


@pytest.mark.parametrize("rate", RATES)
def test_a_signal_keeps_its_values_at_its_times(rate) -> None:
    rows, expected = smooth(rate), smooth(200)
    resampler = Resampler(rate)
    n_samples = resampler.length(rows.shape[1])
    assert abs(n_samples - 1600) <= 1
    found = resampler.take(lambda first, last: rows[:, first:last], rows.shape[1], 0, n_samples)
    error = np.abs(found[:, 100:1500] - expected[:, 100:1500]).max()
    assert error < 0.15, error


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_pieces_have_the_bits_of_the_whole(rate, kind) -> None:
    rows = np.random.default_rng(1).normal(0, 30, (5, round((3 if rate < 3000 else 0.8) * rate))).astype(kind)
    resampler = Resampler(rate)
    n_samples = resampler.length(rows.shape[1])

    def take(start: int, stop: int) -> np.ndarray:
        return resampler.take(lambda first, last: rows[:, first:last].copy(), rows.shape[1], start, stop)

    whole = take(0, n_samples)
    assert whole.dtype == kind and whole.shape == (5, n_samples)
    rng = np.random.default_rng(2)
    for start in [0, *rng.integers(0, n_samples - 1, 12).tolist()]:
        stop = min(n_samples, start + int(rng.integers(1, 200)))
        np.testing.assert_array_equal(take(start, stop), whole[:, start:stop])


@pytest.mark.parametrize("rate", [100, 128, 250, 256, 500, 512, 2048])
def test_the_filter_is_scipys(rate) -> None:
    rows = np.random.default_rng(1).normal(0, 30, (2, 4 * rate))
    resampler = Resampler(rate)
    found = resampler.take(lambda first, last: rows[:, first:last], rows.shape[1], 0, 800)
    expected = signal.resample_poly(rows, resampler.up, resampler.down, axis=-1, padtype="reflect")
    # Phases that each pass a constant as it is: a thousandth from scipy's.
    np.testing.assert_allclose(found[:, 50:-50], expected[:, 50:-50], atol=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_an_offset_of_volts_stays_one(rate) -> None:
    rows = np.full((1, round(2 * rate)), 210_000.0)
    resampler = Resampler(rate)
    found = resampler.take(lambda first, last: rows[:, first:last], rows.shape[1], 0, resampler.length(rows.shape[1]))
    np.testing.assert_allclose(found, 210_000, rtol=1e-12)


@pytest.mark.parametrize("rate", [100, 256, 2048])
def test_a_signal_shorter_than_the_filter(rate) -> None:
    for n_samples in (1, 2, 5):
        resampler = Resampler(rate)
        rows = np.arange(float(n_samples))[None]
        length = resampler.length(n_samples)
        found = resampler.take(lambda first, last, rows=rows: rows[:, first:last], n_samples, 0, length)
        assert np.isfinite(found).all() and found.min() > -0.5 and found.max() < n_samples - 0.5


@pytest.mark.parametrize("rate", [100, 128, 250, 256, 512, 2048])
@pytest.mark.parametrize("bits", [16, 24])
def test_a_file_in_pieces_is_the_file_as_a_whole(tmp_path, monkeypatch, rate, bits) -> None:
    onsets = [k + (0.5 if k > 7 else 0) + (30 if k > 11 else 0) for k in range(16)]
    path = write_edf(tmp_path / "a.edf", noise(16 * rate), rate=rate, bits=bits, onsets=onsets)
    with open_recording(path) as recording:
        whole, differences = recording.read(), recording.read_differences()
        assert recording.rate == rate and recording.n_samples == 200 * 46.5
        missing = np.isnan(differences).all(axis=1)
        assert missing.sum() == 200 * 30.5 and (missing == np.isnan(whole).all(axis=1)).all()
    monkeypatch.setattr(edf, "_PIECE", 100_000)
    with open_recording(path) as recording:
        for size in (333, 2000):
            for start in range(0, recording.n_samples, size):
                stop = min(start + size, recording.n_samples)
                np.testing.assert_array_equal(recording.read(start, stop), whole[start:stop])
                np.testing.assert_array_equal(recording.read_differences(start, stop), differences[start:stop])


def test_channels_of_several_rates(tmp_path) -> None:
    rates = [256] * 4 + [512] * 6 + [200] * 10
    of_rate = {rate: (10 * smooth(rate, 20, 20)).round() for rate in set(rates)}
    signals = [of_rate[rate][k] for k, rate in enumerate(rates)]
    path = write_edf(tmp_path / "a.edf", signals, rate=rates)
    expected = smooth(200, 20, 20).T
    with open_recording(path) as recording:
        assert recording.rate == 200 and recording.n_samples == 4000
        found, differences = recording.read(), recording.read_differences()
        np.testing.assert_allclose(found[100:-100], expected[100:-100], atol=0.3)
        np.testing.assert_allclose(differences[100:-100, 0], (expected[:, 0] - expected[:, 4])[100:-100], atol=0.4)
        np.testing.assert_array_equal(recording.read_differences(1001, 1999), differences[1001:1999])


def test_rates_out_of_range(tmp_path) -> None:
    with pytest.raises(DataFileError, match="rate of EEG Fp1-REF: found 64 Hz; expected 100 to 20,000 Hz"):
        open_recording(write_edf(tmp_path / "a.edf", noise(640), rate=64))
    with pytest.raises(DataFileError, match="rate of EEG Fp1-REF: found 25000 Hz; expected 100 to 20,000 Hz"):
        open_recording(write_edf(tmp_path / "a.edf", noise(25_000), rate=25_000))
    rates = [200] * 20
    rates[5] = 10
    values = [noise(10 * rate, 1)[:, 0] for rate in rates]
    with open_recording(write_edf(tmp_path / "b.edf", values, LABELS, rate=rates)) as recording:
        assert recording.missing == ("T3",)
        assert "channels left out for their rate: EEG T3-REF (10 Hz)" in recording.notes
