from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib.conventions import EEG_COLUMNS
from hbaclib.errors import DataError
from hbaclib.signal.quality import recording_quality
from tests.signal.recordings import column, noise

QUALITY_COLUMNS = (
    "n_samples", "missing_share", "longest_gap", "missing_electrodes", "flat_electrodes", "clipped_share",
    "line_noise_db", "amplitude_median", "amplitude_p95", "largest_value", "ekg_amplitude",
)  # fmt: skip


def test_columns_and_types() -> None:
    quality = recording_quality(noise(0))
    assert tuple(quality) == QUALITY_COLUMNS
    assert all(f"``{name}``: " in str(recording_quality.__doc__) for name in quality)
    assert all(type(value) in (int, float) for value in quality.values())
    assert quality["n_samples"] == 10_000
    for name in ("missing_share", "longest_gap", "missing_electrodes", "flat_electrodes"):
        assert quality[name] == 0


def test_missing_values_are_counted_on_the_scalp() -> None:
    eeg = noise(1)
    eeg[:700, column("F3")] = np.nan
    eeg[9990:, column("F7")] = np.nan  # the last sample of one electrode and the first of the next are no one gap
    eeg[:25, column("T3")] = np.nan
    eeg[::2, column("Cz")] = np.nan
    eeg[:, column("EKG")] = np.nan
    quality = recording_quality(eeg)
    assert quality["missing_share"] == pytest.approx((700 + 10 + 25 + 5000) / 190_000)
    assert quality["longest_gap"] == 700
    assert quality["missing_electrodes"] == 0
    assert quality["ekg_amplitude"] == 0
    eeg[:, column("O2")] = np.nan
    assert recording_quality(eeg)["missing_electrodes"] == 1
    assert recording_quality(eeg)["longest_gap"] == 10_000


def test_flat_electrodes() -> None:
    eeg = noise(2)
    eeg[:, column("Pz")] = 12.5
    eeg[:, column("P4")] = 0
    eeg[:500, column("P4")] = np.nan
    quality = recording_quality(eeg)
    assert quality["flat_electrodes"] == 2
    assert quality["clipped_share"] == 0  # flat is not clipped


def test_clipped_share() -> None:
    eeg = noise(3)
    loud = eeg[:, column("T5")]
    top = np.quantile(loud, 0.9)
    held = loud >= top
    eeg[held, column("T5")] = top
    expected = np.count_nonzero(held[1:] & held[:-1]) / 190_000
    assert expected > 0
    assert recording_quality(eeg)["clipped_share"] == pytest.approx(expected)


def test_line_noise_is_relative_to_its_neighbourhood() -> None:
    time = np.arange(10_000) / 200
    white = np.random.default_rng(0).standard_normal((10_000, 20))
    assert recording_quality(white)["line_noise_db"] == pytest.approx(0, abs=1)
    # Per 0.5 Hz bin of a Hann window: a sine's A² N / 4 against noise of variance 2 σ² times 3/8: here 40 dB.
    amplitude = np.sqrt(1e4 * 2 * 0.375 * 4 / (400 * 0.25))
    eeg = white.copy()
    eeg[:, [column(name) for name in ("F7", "T5", "F8", "T6", "F3", "P3", "F4", "P4")]] += (
        amplitude * np.sin(2 * np.pi * 60 * time + 0.3)[:, None]
    )
    assert recording_quality(eeg)["line_noise_db"] == pytest.approx(40, abs=0.5)
    assert recording_quality(7 * eeg)["line_noise_db"] == pytest.approx(40, abs=0.5)
    assert np.isnan(recording_quality(np.zeros((10_000, 20)))["line_noise_db"])


def test_amplitudes_are_peak_to_peak_in_a_second() -> None:
    time = np.arange(10_000) / 200
    eeg = np.zeros((10_000, 20))
    eeg[:, [column(name) for name in ("F7", "T5", "F8", "T6", "F3", "P3", "F4", "P4")]] = (
        25 * np.sin(2 * np.pi * 5 * time)[:, None] + 300
    )
    eeg[:, column("EKG")] = 400 * np.sin(2 * np.pi * 2 * time)
    quality = recording_quality(eeg)
    assert quality["amplitude_median"] == pytest.approx(50)
    assert quality["amplitude_p95"] == pytest.approx(50)
    assert quality["ekg_amplitude"] == pytest.approx(800)
    assert quality["largest_value"] == pytest.approx(325)


def test_real_recordings(real_data: Path) -> None:
    rows = [
        recording_quality(pd.read_parquet(path)[list(EEG_COLUMNS)].to_numpy(np.float32))
        for path in sorted((real_data / "train_eegs").glob("*.parquet"))
    ]
    table = pd.DataFrame(rows)
    assert list(table) == list(QUALITY_COLUMNS)
    assert table.notna().all(axis=None)
    assert (table["line_noise_db"] > 15).sum() == 5


@settings(max_examples=20, deadline=None)
@given(n=st.integers(400, 2000), share=st.floats(0, 1), seed=st.integers(0, 50))
def test_any_pattern_of_missing_values(n: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    eeg = rng.standard_normal((n, 20))
    mask = rng.random((n, 20)) < share
    eeg[mask] = np.nan
    quality = recording_quality(eeg)
    assert quality["missing_share"] == pytest.approx(mask[:, :19].mean())
    longest = max(len(run) for k in range(19) for run in "".join("x" if m else " " for m in mask[:, k]).split(" "))
    assert quality["longest_gap"] == longest
    assert all(np.isfinite(value) for name, value in quality.items() if name != "line_noise_db")


@pytest.mark.parametrize(
    "eeg", [np.zeros((399, 20)), np.zeros((2, 1000, 20)), np.zeros((1000, 20), int), np.full((1000, 20), np.inf)]
)
def test_bad_input(eeg: np.ndarray) -> None:
    with pytest.raises(DataError, match="EEG"):
        recording_quality(eeg)
