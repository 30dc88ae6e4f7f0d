"""What is put in the place of missing samples: something that does not depend on the recording's reference.

Every product of ours is made of differences of electrodes. A value of its own for a missing electrode (its mean, 0)
leaves in its differences whatever all electrodes share, a noisy reference; a mean of its neighbours does not. The
electrodes of both chains of a hemisphere are a ring, Fp1-F7-T3-T5-O1-P3-C3-F3 and back: each missing one lies on the
straight line between the nearest present ones of either side, and so a single one is the mean of its two neighbours.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS, EEG_RATE, MIRRORED_ELECTRODE
from hbaclib.errors import ConfigError

WAYS = ("dark", "public")
"""Values of ``flat``: how missing samples and constant pairs are treated."""

LONGEST_INTERPOLATED_GAP = 3
"""Missing samples in a row that count as a lapse, which is bridged sample by sample."""

_LEFT = (*CHAINS["LL"], *CHAINS["LP"][-2:0:-1])
RINGS = tuple(
    tuple(EEG_COLUMNS.index(name) for name in ring)
    for ring in (_LEFT, tuple(MIRRORED_ELECTRODE[name] for name in _LEFT))
)
"""Columns of each hemisphere's electrodes in the order in which they are neighbours, the last one of the first."""

_MIDLINE = tuple(
    tuple(EEG_COLUMNS.index(name) for name in names)
    for names in (("Fz", "F3", "F4"), ("Cz", "C3", "C4"), ("Pz", "P3", "P4"))
)
_EKG = EEG_COLUMNS.index("EKG")
_SIZE = len(_LEFT)


def check_way(flat: str) -> None:
    """Refuse what is no value of ``flat``.

    Raises:
        ConfigError: none of WAYS.
    """
    if flat not in WAYS:
        raise ConfigError(f"flat = {flat!r}; expected 'dark' or 'public'")


def holds_nan(values: np.ndarray) -> bool:
    """Whether there is a NaN; no mask is made of what holds none, since the maximum of what holds one is NaN."""
    return bool(values.size and np.isnan(values.max()))


def fill_from_neighbours(eeg: np.ndarray) -> np.ndarray:
    """Replace missing samples by what the electrode's neighbours hold at the same time.

    A missing electrode is the mean of its two neighbours in the chain (Fp1: of F3 and F7), or lies between the nearest
    present ones where these are missing too. In an electrode that is missing in part, its distance from its neighbours
    is carried on from both sides of the gap, so that its offset makes no step there. Where a hemisphere is missing as a
    whole, the distances of its electrodes from each other are carried on. A common signal of all electrodes, whatever
    it is, changes no difference of two electrodes of a hemisphere. The midline takes its neighbours of both sides, the
    EKG, of which no difference is taken, its own mean.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) in µV, columns as EEG_COLUMNS.

    Returns:
        The same shape and precision without NaN; the very same array where there was none. Electrodes of a hemisphere
        without any sample are all 0.
    """
    if not holds_nan(eeg):
        return eeg
    filled = np.array(eeg)
    for one in filled[None] if filled.ndim == 2 else filled:
        missing = np.isnan(one)
        for ring in RINGS:
            if missing[:, ring].any():
                one[:, ring] = fill_ring(one[:, ring].T, missing[:, ring].T).T
        for target, *sides in _MIDLINE:
            hole = missing[:, target]
            if hole.any():
                around = one[:, sides].mean(axis=1, dtype=np.float64)
                apart = _carried(one[:, target] - around, np.flatnonzero(~hole), np.flatnonzero(hole))
                one[hole, target] = around[hole] + apart
        hole = missing[:, _EKG]
        one[hole, _EKG] = 0 if hole.all() else one[~hole, _EKG].mean(dtype=np.float64)
    return filled


def absent_chains(eeg: np.ndarray) -> np.ndarray:
    """Samples (4, n_samples) at which a region's chain has no electrode at all; from EEG (n_samples, 20)."""
    missing = np.isnan(eeg)
    return np.stack([missing[:, [EEG_COLUMNS.index(name) for name in chain]].all(axis=1) for chain in CHAINS.values()])


@cache
def _sources() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest present electrodes before and after each of a ring, and the weight of the former.

    Three tables (2 ** 8, 8): row = which electrodes are missing, as bits. A present electrode's source is itself; with
    none present the weight is NaN.
    """
    before, after = np.zeros((2, 2**_SIZE, _SIZE), np.intp)
    weight = np.full((2**_SIZE, _SIZE), np.nan)
    for code in range(2**_SIZE - 1):
        for electrode in range(_SIZE):
            steps = [next(k for k in range(_SIZE) if not code >> (electrode + way * k) % _SIZE & 1) for way in (-1, 1)]
            before[code, electrode], after[code, electrode] = (
                (electrode - steps[0]) % _SIZE,
                (electrode + steps[1]) % _SIZE,
            )
            weight[code, electrode] = steps[1] / sum(steps) if sum(steps) else 1.0
    return before, after, weight


def fill_ring(rows: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fill the electrodes of one hemisphere, (8, n_samples) in the order of the ring."""
    present = ~missing
    level = _levels(rows, present)
    known = np.where(missing, 0.0, rows - level[:, None])
    count = present.sum(axis=0)
    code = (missing * (1 << np.arange(_SIZE))[:, None]).sum(axis=0)
    before, after, weight = _sources()
    filled = known.copy()
    nobody = np.flatnonzero(count == 0)
    common = known.sum(axis=0) / np.maximum(count, 1)
    for electrode in np.flatnonzero(missing.any(axis=1)):
        # What the others say about this one at every sample, as if it were always missing.
        others = code | 1 << electrode
        share, sample = weight[others, electrode], np.arange(len(code))
        around = known[before[others, electrode], sample] * share + known[after[others, electrode], sample] * (
            1 - share
        )
        told = ~np.isnan(share)
        hole = np.flatnonzero(missing[electrode] & told)
        apart = _carried(known[electrode] - around, np.flatnonzero(present[electrode] & told), hole)
        filled[electrode, hole] = around[hole] + apart
        apart = _carried(known[electrode] - common, np.flatnonzero(present[electrode]), nobody)
        filled[electrode, nobody] = apart
    return np.where(missing, filled + level[:, None], rows)


def _levels(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Offset of each electrode (8,), free of what all share at a time.

    The least-squares levels of electrodes and times, each sample being the sum of both: with an electrode's gap its
    neighbours' mean would otherwise jump by their offsets. An electrode without a sample lies between its neighbours.
    """
    ever = present.any(axis=1)
    if not ever.any():
        return np.zeros(len(rows))
    count = np.maximum(present.sum(axis=0), 1)
    values = np.where(present, rows, 0.0)
    apart = np.where(present, rows - values.sum(axis=0) / count, 0.0).sum(axis=1)
    shared = (present / count) @ present.T
    level = np.linalg.lstsq(np.diag(present.sum(axis=1)) - shared, apart, rcond=1e-9)[0]
    before, after, weight = (table[int((~ever * (1 << np.arange(_SIZE))).sum())] for table in _sources())
    return level[before] * weight + level[after] * (1 - weight)


def _carried(values: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Carry a slow signal into gaps: a straight line between its levels on both sides.

    Args:
        values: (n_samples,).
        known: sorted numbers of the samples that count.
        wanted: numbers of samples in the gaps between them.

    Returns:
        One value for each wanted sample. The level of a side is the mean of as many samples as the gap is long, at most
        one second; of a lapse the last sample alone. 0 where nothing is known.
    """
    if not len(known) or not len(wanted):
        return np.zeros(len(wanted))
    total = np.concatenate([[0.0], np.cumsum(values[known] - values[known[0]])])
    place = np.searchsorted(known, wanted)  # known samples before each wanted one
    last = len(known)
    left, right = known[np.maximum(place - 1, 0)], known[np.minimum(place, last - 1)]
    length = np.where((place > 0) & (place < last), right - left - 1, EEG_RATE)
    reach = np.where(length <= LONGEST_INTERPOLATED_GAP, 1, np.minimum(length, EEG_RATE))
    first, end = np.maximum(place - reach, 0), np.minimum(place + reach, last)
    earlier = (total[place] - total[first]) / np.maximum(place - first, 1)
    later = (total[end] - total[place]) / np.maximum(end - place, 1)
    share = np.where(place == 0, 1.0, np.where(place == last, 0.0, (wanted - left) / np.maximum(right - left, 1)))
    return earlier * (1 - share) + later * share + values[known[0]]


def neighbour_weights(absent: frozenset[str]) -> dict[str, dict[str, float]]:
    """Of which electrodes, and with which weights, an electrode is made that is missing throughout.

    Args:
        absent: names of the missing electrodes of the chains.

    Returns:
        Missing electrode -> the nearest present ones of its ring and their weights, whose sum is 1; without those of a
        hemisphere of which no electrode is present.
    """
    found: dict[str, dict[str, float]] = {}
    before, after, weight = _sources()
    for ring in RINGS:
        names = [EEG_COLUMNS[column] for column in ring]
        code = sum(1 << k for k, name in enumerate(names) if name in absent)
        for k, name in enumerate(names):
            share = float(weight[code, k])
            if name in absent and not np.isnan(share):
                shares: dict[str, float] = {}
                for source, part in ((before[code, k], share), (after[code, k], 1 - share)):
                    shares[names[source]] = shares.get(names[source], 0.0) + part
                found[name] = shares
    return found
