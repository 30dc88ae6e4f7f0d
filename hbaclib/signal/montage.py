"""Electrodes to signals: validation of an EEG array, bipolar montages, missing values.

Every index is looked up from electrode names in ``conventions``; no other file of this room knows a column number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from hbaclib.conventions import CHAINS, EEG_COLUMNS, RAW_PAIRS, REGIONS
from hbaclib.errors import DataError

Pair = tuple[str, str]


@cache
def chain_pairs(region: str) -> tuple[Pair, ...]:
    """Give the consecutive electrode pairs of a region's chain, front to back."""
    if region not in CHAINS:
        raise DataError(f"unknown region {region!r}; expected one of {', '.join(REGIONS)}")
    return tuple(pairwise(CHAINS[region]))


LONGITUDINAL_PAIRS: tuple[Pair, ...] = tuple(pair for region in REGIONS for pair in chain_pairs(region))
"""The 16 pairs of the longitudinal bipolar montage, region by region, front to back."""

DIFFERENCES: tuple[Pair, ...] = LONGITUDINAL_PAIRS + RAW_PAIRS
"""The 24 differences that all inputs of the networks are made of: columns of an EEG that comes without electrodes."""


@cache
def electrode_index(name: str) -> int:
    """Column of an electrode in an EEG array.

    Raises:
        DataError: no such electrode.
    """
    if name not in EEG_COLUMNS:
        raise DataError(f"unknown electrode {name!r}; expected one of {', '.join(EEG_COLUMNS)}")
    return EEG_COLUMNS.index(name)


@cache
def pair_table(pairs: tuple[Pair, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the first and of the second electrode of each pair."""
    table = np.array([[electrode_index(name) for name in pair] for pair in pairs], dtype=np.intp)
    table.setflags(write=False)
    return table[:, 0], table[:, 1]


def as_eeg(
    eeg: np.ndarray, *, min_samples: int = 1, dtype: DTypeLike = np.float32, differences: bool = False
) -> np.ndarray:
    """Check an EEG array at the door and give it in the wanted precision.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) floating-point array in µV, columns as EEG_COLUMNS. NaN allowed.
        min_samples: fewest samples of one recording that the caller can use.
        dtype: precision to return.
        differences: whether 24 columns as DIFFERENCES will do as well.

    Returns:
        The same values in ``dtype``; the same array where nothing had to change.

    Raises:
        DataError: not floating point, not 2-D or 3-D, not 20 columns (nor 24), too few samples, or infinite values.
    """
    eeg = np.asarray(eeg)
    if eeg.dtype.kind != "f":
        raise DataError(
            f"EEG of type {eeg.dtype}; expected floating-point µV (convert integers with their scale first)"
        )
    if eeg.ndim not in (2, 3):
        raise DataError(f"EEG of shape {eeg.shape}; expected (n_samples, 20) or (n, n_samples, 20)")
    names = list(EEG_COLUMNS)
    if differences and eeg.shape[-1] == len(DIFFERENCES):
        names = ["-".join(pair) for pair in DIFFERENCES]
    elif eeg.shape[-1] != len(EEG_COLUMNS):
        other = f"; or {len(DIFFERENCES)} differences as hbaclib.to_differences gives them" if differences else ""
        raise DataError(
            f"EEG with {eeg.shape[-1]} columns; expected {len(EEG_COLUMNS)}: {', '.join(EEG_COLUMNS)}{other}"
        )
    if eeg.shape[-2] < min_samples:
        raise DataError(f"EEG of {eeg.shape[-2]} samples; expected at least {min_samples}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is named below
        eeg = eeg.astype(dtype, copy=False)
    infinite = np.isinf(eeg)
    if infinite.any():
        where = np.argwhere(infinite)[0]
        raise DataError(f"EEG is infinite in {names[where[-1]]} at sample {where[-2]}; expected finite values or NaN")
    return eeg


def of_each(
    recordings: np.ndarray, function: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], dtype: DTypeLike
) -> np.ndarray:
    """A function's results, of one shape, for one recording (n_samples, 20 or 24) or for each of several."""
    results = np.empty((*recordings.shape[:-2], *shape), dtype)
    batch = [(results, recordings)] if recordings.ndim == 2 else zip(results, recordings, strict=True)
    for result, recording in batch:
        result[...] = function(recording)
    return results


def fill_missing(eeg: np.ndarray) -> np.ndarray:
    """Replace NaN by the electrode's own mean, in an electrode without any value by 0.

    Args:
        eeg: (..., n_samples, n_electrodes) in µV.

    Returns:
        The same shape and precision without NaN; the very same array where there was none.
    """
    # The maximum of what holds a NaN is NaN; no mask is made of what holds none.
    if not (eeg.size and np.isnan(eeg.max())):
        return eeg
    missing = np.isnan(eeg)
    present = np.maximum((~missing).sum(axis=-2, keepdims=True), 1)
    total = np.where(missing, 0, eeg).sum(axis=-2, keepdims=True, dtype=np.float64)
    return np.where(missing, (total / present).astype(eeg.dtype), eeg)


def bipolar(eeg: np.ndarray, pairs: Iterable[Pair] = LONGITUDINAL_PAIRS) -> np.ndarray:
    """Give the difference first minus second of each electrode pair.

    Args:
        eeg: (..., 20) in µV, columns as EEG_COLUMNS.
        pairs: electrode names; by default the longitudinal bipolar montage. NaN in either makes NaN.

    Returns:
        (..., n_pairs) in the input's precision.

    Raises:
        DataError: an unknown electrode name.
    """
    first, second = pair_table(tuple(pairs))
    return eeg[..., first] - eeg[..., second]


def pair_rows(electrodes: np.ndarray, pairs: tuple[Pair, ...] = LONGITUDINAL_PAIRS) -> np.ndarray:
    """Give the differences of one recording's electrodes, all as rows: (20, n_samples) to (n_pairs, n_samples)."""
    first, second = pair_table(pairs)
    return electrodes[first] - electrodes[second]
