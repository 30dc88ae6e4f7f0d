"""Channels that are connected to nothing: flat ones and clipped ones, told by the values as they were recorded.

Neither shows in differences of electrodes, of which the other one goes on, nor after a change of rate, whose filter
leaves no two samples alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hbaclib.recordings.derivation import RING_NAMES, Edge, Terms

LONGEST_FLAT = 2.0
"""Seconds for which a channel may hold one value."""
MOST_CLIPPED = 0.05
"""Share of a channel's samples that may lie at its extremes."""
LEAST_VALUES = 32
"""Different values of a signal whose extremes tell: one of a few steps has many samples at them by its nature."""
MISSING, FLAT, CLIPPED = "missing", "flat", "clipped"
CHAINED = tuple(name for ring in RING_NAMES for name in ring)
"""The electrodes of the chains."""


@dataclass(frozen=True)
class Stuck:
    """What cannot be used of a stretch of samples.

    Attributes:
        electrodes: of the chains, of which nothing can be used -> MISSING, FLAT or CLIPPED.
        channels: names of channels between two electrodes that cannot be used -> FLAT or CLIPPED.
        differences: (24,) which differences are made of such a channel or electrode.
    """

    electrodes: Mapping[str, str]
    channels: Mapping[str, str]
    differences: np.ndarray


def stuck_rows(rows: np.ndarray, rate: float) -> list[str]:
    """Say of each channel whether it is stuck.

    Args:
        rows: (n_channels, n_samples) as recorded, in any unit. NaN allowed.
        rate: samples a second.

    Returns:
        FLAT where a row holds one value for more than LONGEST_FLAT seconds; CLIPPED where more than MOST_CLIPPED of its
        samples lie at its extremes; else "".
    """
    n_samples, cell = rows.shape[1], max(1, round(rate))
    if not n_samples:
        return [""] * len(rows)
    high, low = np.fmax.reduce(rows, axis=1), np.fmin.reduce(rows, axis=1)
    at_extremes = ((rows == high[:, None]) | (rows == low[:, None])).sum(axis=1)
    n_cells = n_samples // cell
    cells = rows[:, : n_cells * cell].reshape(len(rows), n_cells, cell)
    # A run of more than two seconds has a whole second of any grid in it.
    held = (cells.max(axis=2) == cells.min(axis=2)).any(axis=1) if n_cells else np.zeros(len(rows), bool)
    found = []
    for row, count, may_be_flat in zip(rows, at_extremes.tolist(), held.tolist(), strict=True):
        if may_be_flat and _longest_run(row) > LONGEST_FLAT * rate:
            found.append(FLAT)
        elif count > MOST_CLIPPED * n_samples and len(np.unique(row)) >= LEAST_VALUES:
            found.append(CLIPPED)
        else:
            found.append("")
    return found


def of_electrodes(electrodes: Mapping[str, np.ndarray], rate: float, wanted: Iterable[tuple[str, str]]) -> Stuck:
    """What cannot be used of electrodes that were recorded each for itself.

    Args:
        electrodes: electrode of the chains -> (n_samples,), NaN where nothing was recorded.
        rate: samples a second.
        wanted: the differences.
    """
    names = [name for name in CHAINED if name in electrodes]
    rows = np.stack([electrodes[name] for name in names])
    absent = np.isnan(rows).all(axis=1)
    faults = {
        name: MISSING if gone else fault
        for name, gone, fault in zip(names, absent.tolist(), stuck_rows(rows, rate), strict=True)
        if gone or fault
    }
    return Stuck(faults, {}, np.array([any(name in faults for name in pair) for pair in wanted]))


def of_channels(
    faults: Mapping[int, str], edges: Iterable[Edge], absent: Iterable[str], differences: Iterable[Terms]
) -> Stuck:
    """What cannot be used of a montage.

    Args:
        faults: number of a channel that is stuck -> FLAT or CLIPPED.
        edges: the channels.
        absent: electrodes that the recording lacks.
        differences: of which channels the differences are made.
    """
    electrodes, channels = dict.fromkeys(absent, MISSING), dict[str, str]()
    own: dict[str, list[int]] = {}
    for edge in edges:
        for name in (edge.anode, edge.cathode):
            own.setdefault(name, []).append(edge.channel)
    for name in CHAINED:
        if name not in electrodes and own.get(name) and all(channel in faults for channel in own[name]):
            electrodes[name] = faults[own[name][0]]
    for edge in edges:
        ends = {edge.anode, edge.cathode}
        if edge.channel in faults and ends <= {*CHAINED} and not ends & electrodes.keys():
            channels[f"{edge.anode}-{edge.cathode}"] = faults[edge.channel]
    lost = [any(channel in faults for channel, _ in terms) for terms in differences]
    return Stuck(electrodes, channels, np.array(lost))


def _longest_run(row: np.ndarray) -> int:
    """Samples of the longest stretch of one value."""
    changes = np.flatnonzero(row[1:] != row[:-1])
    return int(np.diff(np.concatenate([[-1], changes, [len(row) - 1]])).max())
