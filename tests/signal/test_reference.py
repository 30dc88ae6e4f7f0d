"""What is put in the place of missing samples does not depend on the reference, and lies close to the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib import eeg_spectrogram, kaggle_spectrogram
from hbaclib.conventions import CHAINS, EEG_COLUMNS, RAW_PAIRS, REGIONS, SCALP_ELECTRODES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.errors import ConfigError
from hbaclib.signal.missing import fill_from_neighbours
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, bipolar
from hbaclib.signal.raw import raw_signals, signals_200hz
from tests.signal.recordings import column, noise

NEIGHBOURS = {
    "Fp1": "F3 F7", "F7": "Fp1 T3", "T3": "F7 T5", "T5": "T3 O1", "O1": "T5 P3", "F3": "Fp1 C3", "C3": "F3 P3",
    "P3": "C3 O1", "Fp2": "F4 F8", "F8": "Fp2 T4", "T4": "F8 T6", "T6": "T4 O2", "O2": "T6 P4", "F4": "Fp2 C4",
    "C4": "F4 P4", "P4": "C4 O2", "Fz": "F3 F4", "Cz": "C3 C4", "Pz": "P3 P4",
}  # fmt: skip
PRODUCTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mel": eeg_spectrogram,
    "raw": raw_signals,
    "raw at 200 Hz": signals_200hz,
    "ln of the ten minutes": lambda eeg: np.log(kaggle_spectrogram(eeg)),
}


def _lose_all(eeg: np.ndarray, name: str) -> None:
    eeg[:, column(name)] = np.nan


def _lose_parts(eeg: np.ndarray, name: str) -> None:
    for begin, end in ((0, 700), (3000, 3001), (4000, 4003), (6000, 6900), (9500, 10_000)):
        eeg[begin:end, column(name)] = np.nan


def _lose_scattered(eeg: np.ndarray, name: str) -> None:
    eeg[np.random.default_rng(5).random(len(eeg)) < 0.3, column(name)] = np.nan


LOSSES = {"all": _lose_all, "parts": _lose_parts, "scattered": _lose_scattered}


def recording() -> np.ndarray:
    """A synthetic recording whose electrodes have offsets of their own."""
    eeg = make_segment("LPD", seed=3).eeg.astype(np.float32)
    return eeg + np.random.default_rng(1).uniform(-300, 300, 20).astype(np.float32)


def with_common_signal(eeg: np.ndarray, size: float = 100.0, seed: int = 0) -> np.ndarray:
    common = size * np.random.default_rng(seed).standard_normal((len(eeg), 1))
    return eeg + common.astype(np.float32)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", SCALP_ELECTRODES)
def test_a_common_signal_changes_no_product(name: str, loss: str) -> None:
    eeg = recording()
    LOSSES[loss](eeg, name)
    for product, make in PRODUCTS.items():
        quiet, noisy = make(eeg), make(with_common_signal(eeg))
        assert np.isfinite(quiet).all(), product
        np.testing.assert_allclose(noisy, quiet, rtol=0, atol=1e-4, err_msg=product)
        of_signals = quiet.reshape(-1, 4, 100).swapaxes(1, 2) if product.startswith("ln") else quiet
        assert (of_signals.std(axis=tuple(range(of_signals.ndim - 1))) > 0.02).all(), "no region is neutral"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.02, 0.3, 0.8]), blocks=st.integers(1, 40))
def test_nor_with_any_pattern_of_missing_values(seed: int, share: float, blocks: int) -> None:
    rng = np.random.default_rng(seed)
    eeg = noise(seed, 2000) + rng.uniform(-1000, 1000, 20).astype(np.float32)
    mask = np.repeat(rng.random((blocks, 20)) < share, 2000 // blocks + 1, axis=0)[:2000]
    mask[:, rng.random(20) < 0.2] = True
    eeg[mask] = np.nan
    noisy = with_common_signal(eeg, seed=seed)
    filled = fill_from_neighbours(eeg)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~mask], eeg[~mask])
    np.testing.assert_allclose(bipolar(fill_from_neighbours(noisy)), bipolar(filled), atol=2e-3)
    for product in ("mel", "raw"):
        # Where four fifths are missing, 3 of 144 patterns of the mel differed by up to 2.8e-4; all others by .7e-4.
        bound = 4e-4 if product == "mel" and share > 0.5 else 2e-4
        np.testing.assert_allclose(PRODUCTS[product](noisy), PRODUCTS[product](eeg), atol=bound)
    quiet = kaggle_spectrogram(eeg)
    np.testing.assert_allclose(kaggle_spectrogram(noisy), quiet, rtol=1e-4, atol=1e-4 * np.nanmax(quiet, initial=1.0))


@pytest.mark.parametrize("name", SCALP_ELECTRODES)
def test_a_missing_electrode_is_the_mean_of_its_neighbours(name: str) -> None:
    eeg = noise(0, 900) + np.linspace(-5000, 5000, 20, dtype=np.float32)
    around = eeg[:, [column(other) for other in NEIGHBOURS[name].split()]].astype(np.float64).mean(axis=1)
    eeg[:, column(name)] = np.nan
    filled = fill_from_neighbours(eeg)
    np.testing.assert_allclose(filled[:, column(name)], around, atol=1e-3)
    others = [k for k in range(20) if k != column(name)]
    np.testing.assert_array_equal(filled[:, others], eeg[:, others])
    batch = fill_from_neighbours(np.stack([noise(1, 900), eeg]))
    np.testing.assert_array_equal(batch, np.stack([noise(1, 900), filled]))


def test_further_ones_lie_between_the_nearest_present_ones() -> None:
    eeg = noise(2, 300).astype(np.float64)
    whole = {name: eeg[:, column(name)].copy() for name in EEG_COLUMNS}
    for name in ("Fp1", "F7", "T3", "F4", "C4", "P4", "O2", "T6", "T4", "F8"):
        eeg[:, column(name)] = np.nan
    filled = fill_from_neighbours(eeg)
    for step, name in enumerate(("Fp1", "F7", "T3"), 1):
        np.testing.assert_allclose(filled[:, column(name)], whole["F3"] + (whole["T5"] - whole["F3"]) * step / 4)
    for name in ("F8", "T6", "O2", "F4"):
        np.testing.assert_allclose(filled[:, column(name)], whole["Fp2"], err_msg="the only one of its side")


def test_nothing_is_copied_where_nothing_is_missing() -> None:
    eeg = noise(3, 300)
    assert fill_from_neighbours(eeg) is eeg
    eeg[5, 5] = np.nan
    fill_from_neighbours(eeg)
    assert np.isnan(eeg[5, 5])
    assert not fill_from_neighbours(np.full((300, 20), np.nan)).any()


def test_an_offset_makes_no_step_at_the_edges_of_a_gap() -> None:
    time = np.arange(4000)[:, None] / 200
    eeg = (20 * np.sin(2 * np.pi * 0.5 * time + np.zeros(20)) + 1000 * np.arange(20)).astype(np.float32)
    whole = eeg.copy()
    for begin, end, name in ((500, 900, "T3"), (2000, 2002, "T3"), (700, 1200, "F7"), (3500, 4000, "F3")):
        eeg[begin:end, column(name)] = np.nan
    np.testing.assert_allclose(fill_from_neighbours(eeg), whole, atol=0.01)
    eeg[1500:1700] = np.nan
    differences = bipolar(fill_from_neighbours(eeg)) - bipolar(whole)
    np.testing.assert_allclose(differences, 0, atol=0.01, err_msg="held where nothing was recorded")
    # An electrode that drifts away from its neighbours is met on both sides.
    eeg = whole.copy()
    eeg[:, column("C4")] += 400 * time[:, 0]
    drifting = eeg.copy()
    eeg[1000:3000, column("C4")] = np.nan
    np.testing.assert_allclose(fill_from_neighbours(eeg)[:, column("C4")], drifting[:, column("C4")], atol=250)


def test_a_lapse_of_all_electrodes_is_bridged() -> None:
    eeg = noise(4, 2000).astype(np.float64)
    holes = eeg.copy()
    holes[1000:1003] = np.nan
    pairs, found = bipolar(eeg), bipolar(fill_from_neighbours(holes))
    expected = pairs[999] + (pairs[1003] - pairs[999]) * np.arange(1, 4)[:, None] / 4
    np.testing.assert_allclose(found[1000:1003], expected, atol=1e-9)
    assert np.isfinite(kaggle_spectrogram(holes)).all()


@pytest.mark.parametrize("region", REGIONS)
def test_only_a_region_of_which_nothing_was_recorded_is_neutral(region: str) -> None:
    eeg = recording()
    whole = eeg_spectrogram(eeg)
    here, opposite = REGIONS.index(region), [k for k, other in enumerate(REGIONS) if other[0] != region[0]]
    signals = [k for k, pair in enumerate(RAW_PAIRS) if set(pair) <= set(CHAINS[region])]
    for number, name in enumerate(CHAINS[region], 1):
        eeg[:, column(name)] = np.nan
        neutral = number == len(CHAINS[region])
        image, rows = eeg_spectrogram(eeg), kaggle_spectrogram(eeg).reshape(-1, 4, 100)
        assert (image[..., here] == -1).all() == neutral
        assert np.isnan(rows[:, here]).any() == np.isnan(rows[:, here]).all() == neutral
        assert raw_signals(eeg)[:, signals].any() != neutral
        np.testing.assert_array_equal(image[..., opposite], whole[..., opposite])
        np.testing.assert_allclose(eeg_spectrogram(with_common_signal(eeg)), image, atol=1e-4)


@pytest.mark.parametrize("name", ["T3", "C3", "O1", "Fp1"])
def test_the_image_moves_no_more_in_a_noisy_reference(name: str, real_data: Path) -> None:
    moved: dict[str, list[float]] = {"quiet": [], "noisy": [], "public, noisy": []}
    regions = [k for k, chain in enumerate(CHAINS.values()) if name in chain]
    for path in sorted((real_data / "train_eegs").glob("*.parquet")):
        eeg = pd.read_parquet(path)[list(EEG_COLUMNS)].to_numpy(np.float32)
        noisy = with_common_signal(eeg)
        truth = eeg_spectrogram(eeg)
        for kind, source in {"quiet": eeg, "noisy": noisy, "public, noisy": noisy}.items():
            lost = source.copy()
            lost[:, column(name)] = np.nan
            image = eeg_spectrogram(lost, flat="public" if "public" in kind else "dark")
            moved[kind].append(max(np.abs(image - truth)[..., k].mean() for k in regions))
    means = {kind: float(np.mean(values)) for kind, values in moved.items()}
    print(name, means)
    assert means["quiet"] < 0.06
    assert means["noisy"] == pytest.approx(means["quiet"], abs=1e-4)
    assert means["public, noisy"] > 1.5 * means["noisy"]


def test_the_public_way_is_there_for_public_weights() -> None:
    eeg = recording()
    _lose_all(eeg, "T3")
    zeros = np.nan_to_num(eeg)
    np.testing.assert_array_equal(eeg_spectrogram(eeg, flat="public"), eeg_spectrogram(zeros, flat="public"))
    silent = [k for k, pair in enumerate(RAW_PAIRS) if "T3" in pair]
    for make in (raw_signals, signals_200hz):
        assert not make(eeg, flat="public")[:, silent].any()
        assert make(eeg)[:, silent].any()
    assert np.isnan(kaggle_spectrogram(eeg, flat="public")[:, :100]).all()
    for make in (raw_signals, signals_200hz, eeg_spectrogram, kaggle_spectrogram):
        with pytest.raises(ConfigError, match="flat = 'no'; expected 'dark' or 'public'"):
            make(eeg, flat="no")


def test_every_longitudinal_pair_is_of_one_hemisphere() -> None:
    """Whence nothing that is filled on one side shows on the other."""
    left = {name for region in ("LL", "LP") for name in CHAINS[region]}
    assert all((first in left) == (second in left) for first, second in (*LONGITUDINAL_PAIRS, *RAW_PAIRS))
