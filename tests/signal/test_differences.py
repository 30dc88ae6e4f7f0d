"""Differences in the place of electrodes: the same numbers, the same rules for what is missing, the same errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbaclib
from hbaclib import eeg_spectrogram, kaggle_spectrogram, place_short, to_differences
from hbaclib.conventions import CHAINS, RAW_PAIRS, REGIONS
from hbaclib.errors import DataError
from hbaclib.signal.differences import DIFFERENCES, absent_regions
from hbaclib.signal.images import assemble_input
from hbaclib.signal.mel import absolute_spectrogram
from hbaclib.signal.missing import fill_from_neighbours
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, bipolar
from hbaclib.signal.plausibility import eeg_doubt, judge, pair_amplitude
from hbaclib.signal.quality import recording_quality
from hbaclib.signal.raw import raw_signals, signals_200hz
from tests.signal.recordings import column, noise

Product = Callable[[np.ndarray], np.ndarray]
PRODUCTS: dict[str, Product] = {
    "mel": eeg_spectrogram,
    "mel, absolute": absolute_spectrogram,
    "raw": raw_signals,
    "raw, band of 10 s": lambda eeg: raw_signals(eeg, band=(0.5, 30.0), seconds=10),
    "raw at 200 Hz": signals_200hz,
    "ten minutes": kaggle_spectrogram,
    "ten minutes, float64": lambda eeg: kaggle_spectrogram(eeg, dtype=np.float64),
    "ten minutes of 250 Hz": lambda eeg: kaggle_spectrogram(eeg, 250.0, 2.0),
    "mel, public": lambda eeg: eeg_spectrogram(eeg, flat="public"),
    "raw, public": lambda eeg: raw_signals(eeg, flat="public"),
    "ten minutes, public": lambda eeg: kaggle_spectrogram(eeg, flat="public"),
}


def test_the_table_is_that_of_the_chains_and_of_the_raw_signals() -> None:
    assert DIFFERENCES == LONGITUDINAL_PAIRS + RAW_PAIRS and len(DIFFERENCES) == 24
    eeg = noise(0, 900)
    expected = np.stack([eeg[:, column(first)] - eeg[:, column(second)] for first, second in DIFFERENCES], axis=1)
    found = to_differences(eeg)
    assert found.dtype == np.float32 and found.shape == (900, 24)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(to_differences(found), found)
    np.testing.assert_array_equal(to_differences(np.stack([eeg, 2 * eeg])), np.stack([expected, 2 * expected]))
    assert hbaclib.to_differences is to_differences


@pytest.mark.parametrize("offset", [0.0, 5000.0])
@pytest.mark.parametrize("product", PRODUCTS)
def test_they_give_the_electrodes_numbers_to_the_bit(product: str, offset: float) -> None:
    make = PRODUCTS[product]
    eeg = noise(1) + np.linspace(-offset, offset, 20, dtype=np.float32)
    batch = np.stack([eeg, noise(2)])
    given = to_differences(batch)
    if product == "ten minutes, float64":
        given = bipolar(batch.astype(np.float64), DIFFERENCES)
    expected = make(batch)
    assert expected.std() > 0.01
    np.testing.assert_array_equal(make(given), expected)
    np.testing.assert_array_equal(make(given[0]), expected[0])


def test_so_do_the_input_and_a_short_recording() -> None:
    eeg, rows = noise(3), np.exp(np.random.default_rng(0).normal(size=(300, 400))).astype(np.float32)
    np.testing.assert_array_equal(assemble_input(rows, to_differences(eeg)), assemble_input(rows, eeg))
    for how in ("nan", "reflect"):
        short = place_short(to_differences(eeg[:3000]), how)
        np.testing.assert_array_equal(short, to_differences(place_short(eeg[:3000], how)))


def _lost(eeg: np.ndarray, name: str, how: str) -> np.ndarray:
    lost, rng = eeg.copy(), np.random.default_rng(4)
    parts = {"all": slice(None), "a part": slice(3000, 4500), "some": rng.random(len(eeg)) < 0.2}
    lost[parts[how], column(name)] = np.nan
    return lost


@pytest.mark.parametrize("how", ["all", "a part", "some"])
@pytest.mark.parametrize("name", ["Fp1", "T3", "O2", "C4", "Fz"])
def test_an_electrode_that_is_missing_is_filled_from_its_neighbours(name: str, how: str) -> None:
    eeg = _lost(noise(5) + np.linspace(-300, 300, 20, dtype=np.float32), name, how)
    given = to_differences(eeg)
    assert np.isnan(given).any() == (name != "Fz")
    for product, bound in (("mel", 2e-5), ("raw", 1e-5), ("ten minutes", 1e-3)):
        expected = PRODUCTS[product](eeg)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(PRODUCTS[product](given), expected, rtol=bound, atol=bound, err_msg=product)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.1, 0.4, 0.7]), pieces=st.integers(1, 12))
def test_so_is_any_pattern_of_missing_electrodes(seed: int, share: float, pieces: int) -> None:
    rng = np.random.default_rng(seed)
    eeg = noise(seed, 2000) + rng.uniform(-200, 200, 20).astype(np.float32)
    mask = np.repeat(rng.random((pieces, 20)) < share, 2000 // pieces + 1, axis=0)[:2000]
    eeg[mask] = np.nan
    # An electrode of which no difference is known is missing, too.
    pairs, told = bipolar(eeg, DIFFERENCES), np.zeros(eeg.shape, bool)
    for k, pair in enumerate(DIFFERENCES):
        told[:, [column(name) for name in pair]] |= ~np.isnan(pairs[:, k, None])
    alone = ~told & ~np.isnan(eeg)
    alone[:, [column(name) for name in ("Fz", "Cz", "Pz", "EKG")]] = False
    eeg[alone] = np.nan
    given, expected = to_differences(eeg), bipolar(fill_from_neighbours(eeg), DIFFERENCES)
    np.testing.assert_array_equal(np.isnan(given), np.isnan(pairs))
    if _whole(given):
        np.testing.assert_allclose(raw_signals(given, None), np.clip(expected[::5, 16:], -1024, 1024) / 32, atol=1e-3)


def _whole(differences: np.ndarray) -> bool:
    """Whether no chain is missing throughout, and what is known hangs together in each hemisphere at all times."""
    if absent_regions(differences).all(axis=1).any():
        return False
    for side in "LR":
        names = sorted({name for region in REGIONS if region[0] == side for name in CHAINS[region]})
        columns = [k for k, pair in enumerate(DIFFERENCES) if set(pair) <= set(names)]
        for pattern in np.unique(~np.isnan(differences[:, columns]), axis=0):
            groups = [{*DIFFERENCES[k]} for k, known in zip(columns, pattern, strict=True) if known]
            while len(groups) > 1:
                near = next((k for k in range(1, len(groups)) if groups[0] & groups[k]), None)
                if near is None:
                    return False
                groups[0] |= groups.pop(near)
    return True


def test_a_difference_that_is_missing_alone_is_the_sum_of_others() -> None:
    whole = to_differences(noise(6, 4000))
    for k in range(24):
        given = whole.copy()
        given[1000:3000, k] = np.nan
        filled = raw_signals(given, None, seconds=20)
        np.testing.assert_allclose(filled, raw_signals(whole, None, seconds=20), atol=1e-5)
        np.testing.assert_allclose(eeg_spectrogram(given), eeg_spectrogram(whole), atol=1e-4)


def test_the_double_banana_alone_serves_the_raw_networks() -> None:
    whole = to_differences(noise(7))
    given = whole.copy()
    given[:, 16:] = np.nan
    for product, bound in (("mel", 0), ("ten minutes", 0), ("raw", 1e-5)):
        np.testing.assert_allclose(PRODUCTS[product](given), PRODUCTS[product](whole), atol=bound)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_without_a_difference_is_neutral(region: str) -> None:
    eeg = noise(8)
    eeg[:, [column(name) for name in CHAINS[region]]] = np.nan
    given, here = to_differences(eeg), REGIONS.index(region)
    image, rows = eeg_spectrogram(given), kaggle_spectrogram(given).reshape(-1, 4, 100)
    assert (image[..., here] == -1).all() and np.isnan(rows[:, here]).all()
    signals = [k for k, pair in enumerate(RAW_PAIRS) if set(pair) <= set(CHAINS[region])]
    assert not raw_signals(given)[:, signals].any()
    for product in ("mel", "raw", "ten minutes"):
        np.testing.assert_allclose(PRODUCTS[product](given), PRODUCTS[product](eeg), rtol=1e-3, atol=1e-3)
    everything = np.full((10_000, 24), np.nan, np.float32)
    assert (eeg_spectrogram(everything) == -1).all() and not raw_signals(everything).any()


def test_a_region_that_a_reader_left_empty_is_not_filled_from_the_other_chain() -> None:
    given = to_differences(noise(8))
    given[:, [k for k, pair in enumerate(DIFFERENCES) if set(pair) <= set(CHAINS["LL"])]] = np.nan
    rows = kaggle_spectrogram(given).reshape(-1, 4, 100)
    assert (
        (eeg_spectrogram(given)[..., 0] == -1).all() and np.isnan(rows[:, 0]).all() and np.isfinite(rows[:, 1:]).all()
    )
    assert [not signal.any() for signal in raw_signals(given).T] == [
        set(pair) <= set(CHAINS["LL"]) for pair in RAW_PAIRS
    ]


def test_rows_that_touch_a_gap_of_all_electrodes_are_missing() -> None:
    eeg = noise(9)
    eeg[4000:4600] = np.nan
    for flat in ("dark", "public"):
        found, expected = (kaggle_spectrogram(each, flat=flat) for each in (to_differences(eeg), eeg))
        assert 0 < np.isnan(expected).mean() < 0.5
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_quality_and_doubt_are_those_of_the_pairs() -> None:
    eeg = noise(10, 20_000)
    found, expected = recording_quality(to_differences(eeg)), recording_quality(eeg)
    assert list(found) == list(expected)
    for name in ("n_samples", "line_noise_db", "amplitude_median", "amplitude_p95", "missing_electrodes"):
        assert found[name] == pytest.approx(expected[name], rel=1e-6), name
    assert found["ekg_amplitude"] == 0
    holes = to_differences(eeg)
    holes[:5000, 3] = np.nan
    holes[:, 7] = 5
    found = recording_quality(holes)
    assert found["missing_share"] == pytest.approx(5000 / 20_000 / 16) and found["longest_gap"] == 5000
    assert found["flat_electrodes"] == 1
    assert pair_amplitude(to_differences(eeg)) == pytest.approx(pair_amplitude(eeg), rel=1e-6)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda eeg: eeg * np.float32(np.nan), "every sample is missing"),
        (lambda eeg: eeg * 0, "constant"),
        (lambda eeg: eeg * np.float32(1e-6), "look like volts"),
        (lambda eeg: eeg * np.float32(1000), "look like nanovolts"),
        (lambda eeg: np.where(np.arange(len(eeg))[:, None] == 700, np.float32(9e6), eeg), "beyond any amplifier"),
        (lambda eeg: np.sign(eeg) * np.float32(40), "clipped"),
        (lambda eeg: eeg, ""),
    ],
)
def test_what_cannot_be_eeg_is_doubted_in_the_same_words(spoil: Product, words: str) -> None:
    doubt = eeg_doubt(spoil(to_differences(noise(11))))
    assert words in doubt and bool(words) == bool(doubt)
    found = judge(spoil(to_differences(noise(11))))
    assert found.doubt == doubt and found.silent.shape == (50,)


@pytest.mark.parametrize("width", [16, 19, 21, 23, 25, 48])
@pytest.mark.parametrize("make", [to_differences, eeg_spectrogram, kaggle_spectrogram, raw_signals, recording_quality])
def test_other_widths_are_refused(make: Product, width: int) -> None:
    eeg = np.zeros((2000, width), np.float32)
    with pytest.raises(DataError, match=rf"EEG with {width} columns; expected 20: Fp1, .*; or 24 differences"):
        make(eeg)


def test_an_infinite_difference_is_named() -> None:
    given = to_differences(noise(12, 2000))
    given[17, 16] = np.inf
    with pytest.raises(DataError, match="infinite in Fp1-T3 at sample 17"):
        raw_signals(given)
