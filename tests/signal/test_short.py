"""A recording of 10 to 50 s in the middle of 50 s."""

import numpy as np
import pytest

import hbaclib
from hbaclib.conventions import EEG_WINDOW
from hbaclib.errors import ConfigError, DataError
from hbaclib.signal.short import first_sample, place_short, recorded_part


def recordings(n_samples, n=3):
    return np.random.default_rng(n_samples).normal(0, 30, (n, n_samples, 20)).astype(np.float32)


@pytest.mark.parametrize("n_samples", [2000, 2001, 4999, 5000, 5001, 9999, 10_000])
def test_the_reflection_is_that_of_numpy(n_samples):
    (eeg,) = recordings(n_samples, 1)
    before = (EEG_WINDOW - n_samples) // 2
    expected = np.pad(eeg, ((before, EEG_WINDOW - n_samples - before), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(place_short(eeg, "reflect"), expected)


@pytest.mark.parametrize("n_samples", [2000, 3333, 9999, 10_000])
def test_around_it_nothing_is_recorded(n_samples):
    (eeg,) = recordings(n_samples, 1)
    placed = place_short(eeg, "nan")
    assert placed.shape == (EEG_WINDOW, 20) and placed.dtype == np.float32
    first = first_sample(n_samples)
    np.testing.assert_array_equal(placed[first : first + n_samples], eeg)
    np.testing.assert_array_equal(recorded_part(placed, n_samples), eeg)
    assert np.isnan(placed).sum() == 20 * (EEG_WINDOW - n_samples)
    assert abs(first - (EEG_WINDOW - n_samples - first)) <= 1, "in the middle"


@pytest.mark.parametrize("how", ["nan", "reflect"])
def test_a_recording_gives_the_same_alone_and_in_a_batch(how):
    eegs = recordings(2345)
    eegs[1, :100, 3] = np.nan
    before = eegs.copy()
    placed = place_short(eegs, how)
    assert placed.shape == (3, EEG_WINDOW, 20)
    for one, eeg in zip(placed, eegs, strict=True):
        np.testing.assert_array_equal(one, place_short(eeg, how))
    np.testing.assert_array_equal(eegs, before)
    assert hbaclib.place_short is place_short
    assert place_short(eegs[:0], how).shape == (0, EEG_WINDOW, 20)
    assert place_short(eegs.astype(np.float64), how).dtype == np.float32


@pytest.mark.parametrize(
    ("eeg", "how", "kind", "message"),
    [
        (np.zeros((1999, 20)), "nan", DataError, r"1999 samples \(9.995 s\); expected 2000 to 10000 \(10 to 50 s\)"),
        (np.zeros((10_001, 20)), "reflect", DataError, r"10001 samples \(50.005 s\)"),
        (np.zeros((0, 20)), "nan", DataError, "0 samples"),
        (np.zeros((3000, 19)), "nan", DataError, "19 columns"),
        (np.zeros((3000, 20), int), "nan", DataError, "floating-point"),
        (np.full((3000, 20), np.inf), "nan", DataError, "infinite"),
        (np.zeros(3000), "nan", DataError, "shape"),
        (np.zeros((3000, 20)), "zeros", ConfigError, "short = 'zeros'; expected one of nan, reflect"),
        (np.zeros((3000, 20)), None, ConfigError, "short = None"),
    ],
)
def test_faults_are_named(eeg, how, kind, message):
    with pytest.raises(kind, match=message):
        place_short(eeg, how)
