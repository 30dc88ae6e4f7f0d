"""Parts of a recording that windows may lie in: none is bridged by a gap that tells."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.opened import BATCH, OpenedRecording
from hbaclib.signal.differences import to_differences

LONGEST_HOLE = EEG_RATE
"""Samples (1 s) of a gap that a window may hold; a longer one parts the recording."""

Part = tuple[int, int]
"""First sample, and the one behind the last, at 200 Hz from the recording's first sample on."""


def recorded_parts(recording: BaseRecording) -> list[Part]:
    """The parts of a recording between gaps of more than a second, in time's order.

    In a Parquet file, which holds no times, a gap is where all differences are missing.

    Raises:
        DataFileError: the file is torn, or its signal cannot be used.
    """
    if isinstance(recording, OpenedRecording):
        return joined(_runs(recording))
    recording.verify()
    return joined(recording.segments)


def joined(segments: Iterable[Part]) -> list[Part]:
    """Segments as parts: those that lie no more than LONGEST_HOLE apart are one."""
    parts: list[Part] = []
    for start, stop in segments:
        if stop <= start:
            continue
        if parts and start - parts[-1][1] <= LONGEST_HOLE:
            start = parts.pop()[0]
        parts.append((start, stop))
    return parts


def bridges(parts: Iterable[Part], start: int, stop: int) -> bool:
    """Whether a stretch of samples reaches beyond the part that it lies in."""
    return not any(first <= start and stop <= last for first, last in parts)


def _runs(recording: BaseRecording) -> list[Part]:
    """Stretches in which any difference is there, by reading all of the recording."""
    edges: list[int] = []
    before = False
    for begin, block in zip(range(0, recording.n_samples, BATCH), recording.blocks(BATCH), strict=True):
        there = ~np.isnan(to_differences(block)).all(axis=1)
        edges += (begin + np.flatnonzero(np.diff(there, prepend=before))).tolist()
        before = bool(there[-1])
    edges += [recording.n_samples] * before
    return list(pairwise(edges))[::2]
