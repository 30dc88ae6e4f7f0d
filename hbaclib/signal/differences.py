"""The 24 differences that every network's input is made of, in the place of electrodes.

A recording in a bipolar montage has no electrodes, yet all that the networks see. So the functions of this room take
either, (..., n_samples, 20) electrodes or (..., n_samples, 24) differences, told apart by the last dimension.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS, RAW_PAIRS
from hbaclib.signal.missing import RINGS, absent_chains, fill_from_neighbours, fill_ring, holds_nan
from hbaclib.signal.montage import DIFFERENCES, LONGITUDINAL_PAIRS, Pair, as_eeg, bipolar, pair_rows

__all__ = ["DIFFERENCES", "absent_regions", "filled_rows", "is_differences", "to_differences"]

_NAMES = [[EEG_COLUMNS[column] for column in ring] for ring in RINGS]
_COLUMNS = [[k for k, pair in enumerate(DIFFERENCES) if set(pair) <= set(names)] for names in _NAMES]
_ENDS = [
    np.array([[names.index(name) for name in DIFFERENCES[column]] for column in columns], dtype=np.intp).T
    for names, columns in zip(_NAMES, _COLUMNS, strict=True)
]
"""Of each hemisphere: places in its ring of the first and of the second electrode of its differences."""
OF_REGION = {
    region: [k for k, pair in enumerate(DIFFERENCES) if set(pair) <= set(chain)] for region, chain in CHAINS.items()
}
"""Columns of each region's differences: four pairs and two raw signals."""
_PARTS = {
    LONGITUDINAL_PAIRS: slice(0, len(LONGITUDINAL_PAIRS)),
    RAW_PAIRS: slice(len(LONGITUDINAL_PAIRS), len(DIFFERENCES)),
}


def is_differences(recording: np.ndarray) -> bool:
    """Whether an array (..., n_samples, 20 or 24) holds differences and not electrodes."""
    return recording.shape[-1] == len(DIFFERENCES)


def to_differences(eeg: np.ndarray) -> np.ndarray:
    """Give the differences of electrodes that all inputs of the networks are made of.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) floating point, µV, columns as EEG_COLUMNS; differences, too, which
            are given back as they are. NaN allowed.

    Returns:
        (n_samples, 24) or (n, n_samples, 24) float32 µV, columns as DIFFERENCES; NaN where one of the two electrodes
        is. `hbaclib.eeg_spectrogram`, `kaggle_spectrogram`, `raw_signals` and `recording_quality` make of them what
        they make of the electrodes; but a region that has none of its six differences is neutral, though some of its
        electrodes may be there.

    Raises:
        DataError: malformed EEG.
    """
    eeg = as_eeg(eeg, differences=True)
    return eeg if is_differences(eeg) else bipolar(eeg, DIFFERENCES)


def filled_rows(recording: np.ndarray, pairs: tuple[Pair, ...]) -> np.ndarray:
    """Differences of one recording without NaN, as rows.

    Args:
        recording: (n_samples, 20) electrodes or (n_samples, 24) differences. What is missing is filled from the
            neighbours, see `hbaclib.signal.missing`.
        pairs: LONGITUDINAL_PAIRS or RAW_PAIRS.

    Returns:
        (n_pairs, n_samples) in the recording's precision; it shares no memory with the recording.
    """
    if is_differences(recording):
        return np.array(_filled(recording)[:, _PARTS[pairs]].T, order="C")
    return pair_rows(np.ascontiguousarray(fill_from_neighbours(recording).T), pairs)


def plain_rows(recording: np.ndarray, pairs: tuple[Pair, ...]) -> np.ndarray:
    """As `filled_rows`, but NaN where a difference is missing."""
    if is_differences(recording):
        return np.array(recording[:, _PARTS[pairs]].T, order="C")
    return pair_rows(np.ascontiguousarray(recording.T), pairs)


def absent_regions(recording: np.ndarray) -> np.ndarray:
    """Samples (4, n_samples) at which a region's chain has no electrode at all.

    Of differences: where it has none of its six, whatever the neighbouring chain has; so a reader leaves a region empty
    of which too much is missing.
    """
    if not is_differences(recording):
        return absent_chains(recording)
    missing = np.isnan(recording)
    return np.stack([missing[:, columns].all(axis=1) for columns in OF_REGION.values()])


def _filled(differences: np.ndarray) -> np.ndarray:
    """(n_samples, 24) without NaN; the very same array where there was none.

    The differences that are there place the electrodes of a hemisphere against each other; what is missing is filled
    as it is in electrodes. What is there stays as it is.
    """
    if not holds_nan(differences):
        return differences
    filled = np.array(differences)
    for side, columns in enumerate(_COLUMNS):
        hole = np.isnan(differences[:, columns])
        if hole.any():
            rows, missing = _located(differences, side)
            potentials = fill_ring(rows, missing)
            first, second = _ENDS[side]
            filled[:, columns] = np.where(hole, (potentials[first] - potentials[second]).T, filled[:, columns])
    return filled


def _located(differences: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Potentials of a hemisphere's electrodes against each other, and which are missing: both (8, n_samples)."""
    values = differences[:, _COLUMNS[side]].astype(np.float64)
    known = ~np.isnan(values)
    values[~known] = 0
    code = known @ (1 << np.arange(values.shape[1]))
    potentials = np.zeros((len(RINGS[side]), len(values)))
    missing = np.ones(potentials.shape, bool)
    for pattern in np.unique(code):
        samples = code == pattern
        weights, there = _weights(int(pattern), side)
        potentials[:, samples] = weights @ values[samples].T
        missing[:, samples] = ~there[:, None]
    return potentials, missing


@lru_cache(maxsize=512)
def _weights(pattern: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """From a hemisphere's differences to its electrodes' potentials, and which of these can be told.

    Args:
        pattern: which differences are there, as bits.
        side: number of the hemisphere.

    Returns:
        (8, 12), with zero mean over the electrodes of the greatest group that differences tie together; and (8,), which
        electrodes are in it. None is where there is no difference.
    """
    first, second = _ENDS[side]
    there = [k for k in range(len(first)) if pattern >> k & 1]
    group = np.arange(len(RINGS[side]))
    for k in there:
        group[group == group[second[k]]] = group[first[k]]
    sizes = np.bincount(group, minlength=len(group))
    inside = (group == int(sizes.argmax())) & (sizes.max() > 1)
    weights = np.zeros((len(group), len(first)))
    edges = [k for k in there if inside[first[k]]]
    if edges:
        incidence = np.zeros((len(edges), len(group)))
        incidence[np.arange(len(edges)), first[edges]] = 1
        incidence[np.arange(len(edges)), second[edges]] = -1
        weights[:, edges] = np.linalg.pinv(incidence)
        weights[~inside] = 0
    return weights, inside
