"""What the augmentations of loudness mean: on the signals they change, the pictures change as they say."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib.conventions import CHAINS, RAW_PAIRS, REGIONS
from hbaclib.errors import ConfigError
from hbaclib.inputs.augment import augment, check_augmentation
from hbaclib.inputs.pipeline import image_type
from hbaclib.inputs.spec import InputSpec
from hbaclib.signal.mel import ABSOLUTE_REFERENCE, eeg_spectrogram
from tests.dataset.tiny import random_eeg

NAMES = ("amplitude", "electrode_gain", "band_gain", "noise")


def drawn(name: str, batch: np.ndarray, seed: int = 0, **options) -> np.ndarray:
    return augment(batch.copy(), np.random.default_rng(seed), {name: {"p": 1.0} | options})


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 128, 256, 8)).astype(np.float32)


@pytest.fixture
def signals() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 400, 8)).astype(np.float32)


def test_a_louder_recording_is_the_image_of_a_louder_recording(images) -> None:
    """A change of so many dB on the image is what the picture of the amplified EEG shows."""
    eeg = random_eeg(np.random.default_rng(0))
    plain, louder = (eeg_spectrogram(factor * eeg, reference=ABSOLUTE_REFERENCE) for factor in (1, 10 ** (5 / 20)))
    np.testing.assert_allclose(louder - plain, 5 / 40, atol=1e-3)
    change = drawn("amplitude", images, most=5.0) - images
    np.testing.assert_allclose(change, change[:, :1, :1, :1] * np.ones_like(images), atol=1e-5)
    assert 0.01 < np.abs(change[:, 0, 0, 0]).max() <= 5 / 40 and len(np.unique(change[:, 0, 0, 0].round(4))) == 6


def test_louder_signals_are_multiplied(signals) -> None:
    factors = drawn("amplitude", signals) / signals
    np.testing.assert_allclose(factors, factors[:, :1, :1] * np.ones_like(signals), rtol=1e-4)
    assert (factors >= 10 ** (-6 / 20)).all() and (factors <= 10 ** (6 / 20)).all()


def test_one_region_in_both_halves(images) -> None:
    change = drawn("electrode_gain", images) - images
    for sample in change:
        touched = np.flatnonzero(np.abs(sample).max(axis=(0, 1)) > 1e-6)
        assert len(touched) == 2 and touched[1] == touched[0] + 4
        assert sample[..., touched].std() == pytest.approx(0, abs=1e-6)


def test_the_signals_of_one_region(signals) -> None:
    factors = drawn("electrode_gain", signals) / signals
    seen = set()
    for sample in factors:
        touched = np.flatnonzero(np.abs(sample - 1).max(axis=0) > 1e-6)
        assert len(touched) == 2
        (a, b), (c, d) = (RAW_PAIRS[number] for number in touched)
        assert b == c, "they share an electrode"
        seen |= {region for region in REGIONS if {a, b, d} <= set(CHAINS[region])}
    assert len(seen) > 1


def test_a_band_of_frequencies(images, signals) -> None:
    change = drawn("band_gain", images, width=20) - images
    for sample in change:
        profile = sample.mean(axis=(1, 2))
        np.testing.assert_allclose(sample, profile[:, None, None] * np.ones_like(sample), atol=1e-5)
        assert 1 <= np.count_nonzero(np.abs(profile) > 1e-5) <= 20 and np.abs(profile).max() <= 6 / 40
    np.testing.assert_array_equal(drawn("band_gain", signals), signals)


def test_noise_is_no_larger_than_said(images, signals) -> None:
    sizes = (drawn("noise", images, most=0.2) - images).std(axis=(1, 2, 3))
    assert (sizes <= 0.2 * 1.01).all() and len(np.unique(sizes.round(4))) == 6
    loud = signals * np.arange(1, 9, dtype=np.float32)
    shares = (drawn("noise", loud, most=0.2) - loud).std(axis=1) / loud.std(axis=1)
    np.testing.assert_allclose(shares, shares.mean(axis=1, keepdims=True) * np.ones_like(shares), rtol=0.25)
    assert (shares < 0.25).all()


@pytest.mark.parametrize("name", NAMES)
def test_chance_and_seed(name, images) -> None:
    np.testing.assert_array_equal(drawn(name, images, p=0.0), images)
    np.testing.assert_array_equal(drawn(name, images, seed=3), drawn(name, images, seed=3))
    assert (drawn(name, images, seed=3) != drawn(name, images, seed=4)).any()
    changed = [(drawn(name, images, seed=seed, p=0.5) != images).any(axis=(1, 2, 3)).mean() for seed in range(40)]
    assert 0.3 < np.mean(changed) < 0.7


@pytest.mark.parametrize("name", NAMES)
def test_they_compute_and_so_need_the_wider_type(name) -> None:
    assert image_type(InputSpec(augmentation={name: {}})) is np.float32
    assert image_type(InputSpec(augmentation={"time_flip": {}})) is np.float16


@pytest.mark.parametrize("value", [0, -1.0, "loud", True])
@pytest.mark.parametrize("name", NAMES)
def test_wrong_sizes_are_refused(name, value) -> None:
    with pytest.raises(ConfigError, match=rf"augmentation\.{name}\.most is .*, expected a positive number"):
        check_augmentation({name: {"most": value}})
