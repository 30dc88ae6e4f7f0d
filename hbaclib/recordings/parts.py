"""Parts of a recording that windows may lie in: none is bridged by a gap that tells."""

from __future__ import annotations

from collections.abc import Iterable

from hbaclib.conventions import EEG_RATE, EEG_WINDOW
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.edf_records import LEAST_GAP
from hbaclib.recordings.opened import OpenedRecording

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
        return joined(recording.runs)
    recording.verify()
    return joined(recording.segments)


def recorded_segments(recording: BaseRecording) -> list[Part]:
    """What was recorded without a break, in time's order, as an EDF file says it of its records.

    In a Parquet file, which holds no times, a break is where all differences are missing, for as long as one of EDF is.

    Raises:
        DataFileError: the file is torn.
    """
    if isinstance(recording, OpenedRecording):
        return joined(recording.runs, round(LEAST_GAP * EEG_RATE))
    return list(recording.segments)


def n_windows(part: Part, step: int) -> int:
    """Windows of 50 s that lie in a part, one around every so many seconds of the recording."""
    apart = step * EEG_RATE
    first = apart // 2 - EEG_WINDOW // 2
    return max(0, (part[1] - EEG_WINDOW - first) // apart + (first - part[0]) // apart + 1)


def joined(segments: Iterable[Part], longest: int = LONGEST_HOLE) -> list[Part]:
    """Segments as parts: those that lie no more than so many samples apart are one."""
    parts: list[Part] = []
    for start, stop in segments:
        if stop <= start:
            continue
        if parts and start - parts[-1][1] <= longest:
            start = parts.pop()[0]
        parts.append((start, stop))
    return parts


def bridges(parts: Iterable[Part], start: int, stop: int) -> bool:
    """Whether a stretch of samples reaches beyond the part that it lies in."""
    return not any(first <= start and stop <= last for first, last in parts)
