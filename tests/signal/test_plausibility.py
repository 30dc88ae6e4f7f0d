"""What cannot be EEG is named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib.conventions import CHAINS, CLASSES, EEG_COLUMNS
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.signal.plausibility import eeg_doubt, likely_unit, pair_amplitude, spectrogram_doubt
from tests.dataset.tiny import random_eeg, random_spectrogram
from tests.signal.recordings import column, noise

RNG = np.random.default_rng(0)
WHITE, POWER = random_eeg(RNG), random_spectrogram(RNG)
TIME = np.arange(10_000)[:, None] / 200
HUM = 700_000 * np.sin(2 * np.pi * 50 * TIME) * np.linspace(-1, 1, 20)


def changed(values: np.ndarray, change: Callable[[np.ndarray], object]) -> np.ndarray:
    values = values.copy()
    change(values)
    return values


def put(*places: object, value: float) -> Callable[[np.ndarray], object]:
    return lambda values: values.__setitem__(places or ..., value)


SENSELESS = {
    "volts": (WHITE * np.float32(1e-6), "0.00011 µV, expected 0.5 to 10,000 µV; the values look like vol", "--unit V)"),
    "millivolts": (WHITE * np.float32(1e-3), "amplitude of the pairs 0.11 µV", "look like millivolts", "--unit mV)"),
    "nanovolts": (WHITE * np.float32(1e3), "amplitude of the pairs 1.1e+05 µV", "look like nanovolts", "--unit nV)"),
    "a million times too large": (WHITE * np.float32(1e6), "1,000,000 times too large"),
    "volts with mains": (((WHITE + HUM) * 1e-6).astype(np.float32), "look like volts"),
    "millivolts of a patient": (make_segment("GPD", seed=0).eeg * np.float32(1e-3), "look like millivolts"),
    "mains alone": (HUM / 100, "amplitude of the pairs"),
    "nothing": (np.full_like(WHITE, np.nan), "every sample is missing"),
    "no rows": (WHITE[:0], "every sample is missing"),
    "the EKG alone": (changed(WHITE, put(slice(None), slice(0, 19), value=np.nan)), "every sample is missing"),
    "the midline alone": (
        changed(WHITE, put(slice(None), [column(n) for chain in CHAINS.values() for n in chain], value=np.nan)),
        "every sample is missing",
    ),
    "a tenth": (changed(WHITE, put(slice(1000, None), value=np.nan)), "share of missing 90 %"),
    "scattered samples": (np.where(RNG.random(WHITE.shape) < 0.95, np.nan, WHITE), "share of missing 95 %"),
    "zeros": (np.zeros_like(WHITE), "differences of electrodes are constant"),
    "constants": (np.zeros_like(WHITE) + 10 * np.arange(20), "differences of electrodes are constant"),
    "a common signal": (WHITE[:, :1] + np.zeros_like(WHITE), "differences of electrodes are constant"),
    "a common signal with offsets": (WHITE[:, :1] + 100 * np.arange(20, dtype=np.float32), "are constant"),
    "one electrode": (changed(WHITE, put(slice(None), slice(1, None), value=np.nan)), "are constant"),
    "zeros after 4 s": (changed(WHITE, put(slice(800, None), value=0)), "flat or missing in 46 of 50 s"),
    "a sample of 1e30": (changed(WHITE, put(5000, 3, value=1e30)), "1e+30 µV in P3 at sample 5000", "at most 1,"),
    "a sample of -3.4e38": (changed(WHITE, put(7, 9, value=-3.4e38)), "3.4e+38 µV in Cz at sample 7"),
    "an infinite sample": (changed(WHITE, put(7, 9, value=np.inf)), "inf µV in Cz at sample 7"),
    "large as floats go": (np.where(WHITE > 0, 3.4e38, -3.4e38).astype(np.float32), "expected 0.5 to 10,000 µV"),
    "clipped": (np.clip(WHITE, -5, 5), "clipped: 87 % of the samples"),
    "clipped on one side": (np.minimum(WHITE, -20), "clipped: 7"),
}  # fmt: skip

SOUND = {
    "white noise": WHITE,
    "coloured noise": noise(0),
    "an hour": np.tile(noise(1, 20_000), (36, 1)),
    "mains of 700 mV": (WHITE + HUM).astype(np.float32),
    "offsets of 100 mV": WHITE + np.linspace(-1e5, 1e5, 20, dtype=np.float32),
    "suppressed": WHITE * np.float32(0.02),
    "loud": WHITE * np.float32(20),
    "an electrode is missing": changed(WHITE, put(slice(None), 5, value=np.nan)),
    "an electrode is flat": changed(WHITE, put(slice(None), 5, value=0)),
    "every second electrode": changed(WHITE, put(slice(None), slice(0, None, 2), value=np.nan)),
    "one hemisphere": changed(WHITE, put(slice(None), slice(0, 8), value=np.nan)),
    "half": changed(WHITE, put(slice(5000, None), value=np.nan)),
    "ten seconds": changed(changed(WHITE, put(slice(0, 4000), value=np.nan)), put(slice(6000, None), value=np.nan)),
    "ten seconds between zeros": changed(changed(WHITE, put(slice(0, 4000), value=0)), put(slice(6000, None), value=0)),
    "an artefact of seconds": changed(WHITE, lambda eeg: eeg[2000:4000].__imul__(500)),
    "clipped for a while": np.clip(WHITE, -40, 40),
    "no EKG": changed(WHITE, put(slice(None), 19, value=np.nan)),
    "a second": WHITE[:200],
    "less than a second": WHITE[:50],
}


@pytest.mark.parametrize("name", SENSELESS)
def test_recordings_without_sense_have_one_reason(name: str) -> None:
    eeg, *words = SENSELESS[name]
    found = eeg_doubt(eeg)
    assert all(word in found for word in words), found
    assert "\n" not in found


@pytest.mark.parametrize("name", SOUND)
def test_sound_recordings_have_none(name: str) -> None:
    assert eeg_doubt(SOUND[name]) == ""


@pytest.mark.parametrize("meant", CLASSES)
def test_synthetic_recordings_are_sound(meant: str) -> None:
    for seed in range(4):
        eeg = make_segment(meant, seed=seed).eeg
        assert eeg_doubt(eeg) == ""
        for unit, factor in {"V": 1e-6, "mV": 1e-3, "nV": 1e3}.items():
            assert likely_unit(pair_amplitude(eeg * np.float32(factor))) == unit


def test_real_recordings_are_sound_in_every_unit_but_their_own(real_data: Path) -> None:
    paths = [*(real_data / "train_eegs").glob("*.parquet"), *(real_data / "eeg_10s").glob("*.parquet")]
    assert len(paths) > 6
    for path in paths:
        eeg = pd.read_parquet(path)[list(EEG_COLUMNS)].to_numpy(np.float32)
        assert eeg_doubt(eeg) == "", path.name
        if len(eeg) < 10_000:  # as it is placed for a network
            window = np.full((10_000, 20), np.nan, np.float32)
            window[4000 : 4000 + len(eeg)] = eeg
            assert eeg_doubt(window) == "", path.name
        for unit, factor in {"V": 1e-6, "mV": 1e-3, "nV": 1e3}.items():
            assert f"--unit {unit})" in eeg_doubt(eeg * np.float32(factor)), path.name
    for path in (real_data / "train_spectrograms").glob("*.parquet"):
        power = pd.read_parquet(path).to_numpy(np.float32)[:, 1:]
        assert spectrogram_doubt(power) == "", path.name
        assert spectrogram_doubt(power * np.float32(1e-12)), path.name


def test_mains_are_no_amplitude() -> None:
    quiet = pair_amplitude(WHITE)
    for frequency in (50, 60):
        mains = 7000 * np.sin(2 * np.pi * frequency * TIME) * np.linspace(-1, 1, 20)
        assert pair_amplitude(WHITE + mains) == pytest.approx(quiet, rel=0.02)
    # A rhythm of the EEG is one.
    for frequency in (1, 3, 10, 20):
        wave = np.sin(2 * np.pi * frequency * TIME) * np.where(np.arange(20) % 2, 50, -50)
        assert pair_amplitude(wave) > 50
    assert np.isnan(pair_amplitude(np.zeros((400, 20))))


@pytest.mark.parametrize(
    ("amplitude", "unit"),
    [(3e-5, "V"), (1e-4, "V"), (5e-2, "mV"), (0.3, "mV"), (5e4, "nV"), (4e6, "nV"), (50, ""), (0.5, ""), (5000, ""),
     (0, ""), (-1, ""), (np.nan, ""), (np.inf, ""), (1e-12, ""), (1e30, "")],
)  # fmt: skip
def test_likely_units(amplitude: float, unit: str) -> None:
    assert likely_unit(amplitude) == unit


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 1500),
    share=st.floats(0, 1),
    exponent=st.floats(-45, 38),
    seed=st.integers(0, 100),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_a_verdict_on_any_numbers_without_a_warning(
    n: int, share: float, exponent: float, seed: int, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        eeg = (rng.standard_normal((n, 20)) * 10.0**exponent).astype(dtype)
    eeg[rng.random(eeg.shape) < share] = np.nan
    before = eeg.copy()
    assert isinstance(eeg_doubt(eeg), str)
    assert isinstance(spectrogram_doubt(np.abs(np.tile(eeg, (1, 20)))), str)
    np.testing.assert_array_equal(eeg, before)


SENSELESS_POWER = {
    "nothing": (np.full_like(POWER, np.nan), "every value is missing"),
    "no rows": (POWER[:0], "every value is missing"),
    "zeros": (np.zeros_like(POWER), "every value is 0"),
    "zeros and gaps": (np.where(POWER > 1, np.nan, 0), "every value is 0"),
    "3e38": (np.full_like(POWER, 3e38), "power of 3e+38 µV²/Hz, expected at most 1e+12"),
    "one of 3e38": (changed(POWER, put(5, 5, value=3e38)), "power of 3e+38"),
    "infinite": (changed(POWER, put(5, 5, value=np.inf)), "power of inf"),
    "negative": (changed(POWER, put(5, 5, value=-1)), "power of -1 µV²/Hz, expected none below 0"),
    "of volts": (POWER * np.float32(1e-12), "95 % of the powers are below", "another unit?"),
    "of millivolts": (POWER * np.float32(1e-6), "95 % of the powers are below"),
    "of nanovolts": (POWER * np.float32(1e6), "95 % of the powers are above"),
}


@pytest.mark.parametrize("name", SENSELESS_POWER)
def test_spectrograms_without_sense_have_one_reason(name: str) -> None:
    power, *words = SENSELESS_POWER[name]
    found = spectrogram_doubt(power)
    assert all(word in found for word in words), found


@pytest.mark.parametrize(
    "spoil",
    [
        lambda power: None,
        put(value=1.0),
        put(slice(None), slice(0, 300), value=0),
        put(slice(None), slice(0, 300), value=np.nan),
        put(slice(0, 276), value=np.nan),
        put(slice(10, 20), value=2e5),
    ],
)
def test_a_silent_region_a_gap_an_artefact_are_no_reason(spoil: Callable[[np.ndarray], object]) -> None:
    assert spectrogram_doubt(changed(POWER, spoil)) == ""
