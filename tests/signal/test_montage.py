from __future__ import annotations

import numpy as np
import pytest

from hbaclib.conventions import CHAINS, EEG_COLUMNS, RAW_PAIRS, REGIONS
from hbaclib.errors import DataError
from hbaclib.signal.montage import (
    LONGITUDINAL_PAIRS,
    as_eeg,
    bipolar,
    chain_pairs,
    electrode_index,
    fill_missing,
    pair_rows,
)
from tests.signal.recordings import column, noise


def test_longitudinal_montage_is_the_double_banana() -> None:
    expected = "Fp1-F7 F7-T3 T3-T5 T5-O1 Fp2-F8 F8-T4 T4-T6 T6-O2 Fp1-F3 F3-C3 C3-P3 P3-O1 Fp2-F4 F4-C4 C4-P4 P4-O2"
    assert " ".join(f"{a}-{b}" for a, b in LONGITUDINAL_PAIRS) == expected
    assert chain_pairs("RP") == (("Fp2", "F4"), ("F4", "C4"), ("C4", "P4"), ("P4", "O2"))


@pytest.mark.parametrize("pairs", [LONGITUDINAL_PAIRS, RAW_PAIRS, (("Cz", "EKG"),)])
def test_bipolar_subtracts_named_electrodes(pairs: tuple[tuple[str, str], ...]) -> None:
    eeg = noise(0, 50)
    result = bipolar(np.stack([eeg, 2 * eeg]), pairs)
    assert result.shape == (2, 50, len(pairs))
    for k, (first, second) in enumerate(pairs):
        np.testing.assert_array_equal(result[0, :, k], eeg[:, column(first)] - eeg[:, column(second)])
    np.testing.assert_array_equal(pair_rows(eeg.T, pairs), result[0].T)


def test_differences_of_a_chain_telescope() -> None:
    eeg = noise(1, 20).astype(np.float64)
    for region in REGIONS:
        total = bipolar(eeg, chain_pairs(region)).sum(axis=-1)
        ends = eeg[:, column(CHAINS[region][0])] - eeg[:, column(CHAINS[region][-1])]
        np.testing.assert_allclose(total, ends, atol=1e-12)


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="unknown electrode 'T7'; expected one of Fp1"):
        bipolar(noise(0, 5), (("T7", "O1"),))
    with pytest.raises(DataError, match="unknown region 'LR'"):
        chain_pairs("LR")
    assert electrode_index("EKG") == 19


def test_fill_missing_takes_each_electrodes_own_mean() -> None:
    eeg = np.stack([noise(2, 100), noise(3, 100)])
    eeg[0, 10:30, 4] = np.nan
    eeg[1, :, 7] = np.nan
    filled = fill_missing(eeg)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled[0, 10:30, 4], np.nanmean(eeg[0, :, 4].astype(np.float64)), rtol=1e-6)
    assert (filled[1, :, 7] == 0).all()
    present = ~np.isnan(eeg)
    np.testing.assert_array_equal(filled[present], eeg[present])
    whole = noise(4, 100)
    assert fill_missing(whole) is whole


def test_as_eeg_keeps_what_is_right() -> None:
    eeg = noise(0, 30)
    assert as_eeg(eeg) is eeg
    assert as_eeg(eeg.astype(np.float64)).dtype == np.float32
    assert as_eeg(eeg.astype(np.float16), dtype=np.float64).dtype == np.float64
    eeg[3, 3] = np.nan
    assert np.isnan(as_eeg(eeg)[3, 3])


@pytest.mark.parametrize(
    ("eeg", "message"),
    [
        (np.zeros((100, 19), np.float32), "19 columns; expected 20: Fp1"),
        (np.zeros((20, 100), np.float32), "100 columns; expected 20"),
        (np.zeros(100, np.float32), r"shape \(100,\); expected \(n_samples, 20\)"),
        (np.zeros((1, 1, 100, 20), np.float32), "expected"),
        (np.zeros((100, 20), np.int16), "type int16; expected floating-point"),
        (np.zeros((100, 20), bool), "type bool"),
        (np.zeros((100, 20), complex), "type complex128"),
        ([["a"] * 20], "type <U1"),
        (np.zeros((9, 20), np.float32), "9 samples; expected at least 10"),
        (np.full((100, 20), 1e300), "infinite in Fp1 at sample 0"),
    ],
)
def test_as_eeg_names_what_is_wrong(eeg: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_eeg(eeg, min_samples=10)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_are_located(value: float) -> None:
    eeg = np.stack([noise(0, 30)] * 2)
    eeg[1, 17, EEG_COLUMNS.index("Cz")] = value
    with pytest.raises(DataError, match="infinite in Cz at sample 17"):
        as_eeg(eeg)
