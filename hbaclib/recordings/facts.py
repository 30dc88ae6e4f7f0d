"""What a recording with channels is: montage, rate, units, gaps, clock, quality over time, what can be predicted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from hbaclib.conventions import EEG_RATE, EEG_WINDOW, REGIONS
from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.amplitude import ranges_within_seconds
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.derived import DerivedRecording
from hbaclib.recordings.parts import joined
from hbaclib.signal.montage import LONGITUDINAL_PAIRS
from hbaclib.signal.plausibility import eeg_doubt

STEP = 10
"""Seconds from window to window."""
BLOCK = 600
"""Seconds of a row of the table of quality."""
_PIECE = 60
_PAIRS = len(LONGITUDINAL_PAIRS)


def gaps_of(recording: BaseRecording) -> list[tuple[int, int]]:
    """(start, stop) of what was not recorded, in samples of 200 Hz."""
    segments = recording.segments
    return [(one[1], other[0]) for one, other in pairwise(segments) if one[1] < other[0]]


def number_of_windows(recording: BaseRecording) -> int:
    """Windows of 50 s, one every ten seconds, that bridge no gap."""
    lengths = [stop - start for start, stop in joined(recording.segments)]
    return sum((length - EEG_WINDOW) // (STEP * EEG_RATE) + 1 for length in lengths if length >= EEG_WINDOW)


def facts_of(recording: DerivedRecording) -> dict[str, Any]:
    """What a recording is, as values of JSON; it is read to its end, in bounded memory.

    Returns:
        ``file``, ``format``, ``seconds``, ``clock``, ``rate``, ``montage``, ``units``, ``channels`` (each with label,
        electrode, reference, unit, rate, used), ``left_out``, ``missing``, ``filled``, ``neutral``, ``segments`` and
        ``gaps`` ([start, stop] in seconds), ``notes``, ``quality`` (a row for every ten minutes: start, stop, recorded,
        flat, amplitude, reason), ``windows`` (of 50 s, every 10 s), ``fault`` (why nothing can be predicted; or empty).
    """
    quality = list(_quality(recording))
    used = {
        channel for row in (*recording.derivation.differences, *recording.derivation.electrodes) for channel, _ in row
    }
    channels, table = recording.source.channels, recording.channel_table()
    return {
        "file": str(recording.path),
        "format": recording.kind,
        "seconds": recording.seconds,
        "clock": recording.clock.isoformat() if recording.clock else None,
        "rate": recording.rate,
        "montage": recording.montage,
        "units": sorted(set(recording.units.values())),
        "channels": [
            {"label": label, "electrode": row[1] or None, "reference": row[2] or None, "unit": channel.unit,
             "rate": channel.rate if np.isfinite(channel.rate) else None, "used": number in used}
            for number, (label, row, channel) in enumerate(zip(recording.labels, table, channels, strict=True))
        ],
        "left_out": [label for number, label in enumerate(recording.labels)
                     if number not in used and channels[number].fault != "annotations"],
        "missing": list(recording.missing),
        "filled": list(recording.derivation.filled),
        "neutral": list(recording.neutral),
        "segments": [[start / EEG_RATE, stop / EEG_RATE] for start, stop in recording.segments],
        "gaps": [[start / EEG_RATE, stop / EEG_RATE] for start, stop in gaps_of(recording)],
        "notes": list(recording.notes),
        "quality": quality,
        "windows": number_of_windows(recording),
        "fault": _fault(recording, quality),
    }  # fmt: skip


def lines_of(facts: dict[str, Any]) -> list[str]:
    """The same in words, one thing a line."""
    regions = len(REGIONS) - len(facts["neutral"])
    begins = f"; begins {facts['clock'].replace('T', ' ')}" if facts["clock"] else ""
    used = [channel["label"] for channel in facts["channels"] if channel["used"]]
    lines = [
        f"{facts['format']}, {_duration(facts['seconds'])} at {facts['rate']:g} Hz{begins}",
        f"montage: {facts['montage']}; {regions} of {len(REGIONS)} regions; {len(used)} channels: "
        + list_some(used, 24),
    ]
    if facts["missing"]:
        lines.append(f"electrodes that cannot be told: {list_some(facts['missing'], 20)}")
    lines.append(f"unit: {list_some(facts['units'])}")
    if gaps := facts["gaps"]:
        longest = max(gaps, key=lambda gap: gap[1] - gap[0])
        lost = sum(stop - start for start, stop in gaps)
        lines.append(
            f"gaps: {len(gaps)}, {_duration(lost)} in all; the longest, {_duration(longest[1] - longest[0])}, from "
            f"second {longest[0]:g} on"
        )
    else:
        lines.append("gaps: none")
    lines += facts["notes"]
    lines.append("   from s      to s  recorded   flat  amplitude  quality")
    for row in facts["quality"]:
        amplitude = f"{row['amplitude']:.4g} µV" if row["amplitude"] is not None else "none"
        flat = f"{100 * row['flat']:4.0f} %" if row["flat"] is not None else "  none"
        lines.append(
            f"{row['start']:9g} {row['stop']:9g}  {100 * row['recorded']:6.1f} % {flat} {amplitude:>10}  "
            + (row["reason"] or "plausible as EEG")
        )
    if not facts["fault"]:
        lines.append(
            f"can be predicted: {facts['windows']} windows of 50 s, one every {STEP} s, {regions} of 4 regions"
        )
    return lines


def _fault(recording: DerivedRecording, quality: list[dict[str, Any]]) -> str:
    if recording.montage_fault:
        return recording.montage_fault
    try:
        recording.verify()
    except DataFileError as error:
        return str(error).removeprefix(f"{recording.path}: ")
    if quality and all(row["reason"] for row in quality):
        return quality[0]["reason"]
    longest = max(stop - start for start, stop in joined(recording.segments))
    if longest < EEG_WINDOW:
        return (
            f"the longest segment without a gap is {longest / EEG_RATE:g} s; expected at least "
            f"{EEG_WINDOW / EEG_RATE:g} s (hbac predict --short evaluates recordings of 10 to 50 s)"
        )
    return ""


def _quality(recording: DerivedRecording) -> Iterator[dict[str, Any]]:
    """A row for every ten minutes: what was recorded, how much of it is flat, its amplitude, what is to be doubted."""
    for begin in range(0, recording.n_samples, BLOCK * EEG_RATE):
        end = min(begin + BLOCK * EEG_RATE, recording.n_samples)
        recorded, pieces, reasons = 0, list[np.ndarray](), list[str]()
        for segment in recording.segments:
            first, last = max(segment[0], begin), min(segment[1], end)
            recorded += max(last - first, 0)
            for start in range(first, last, _PIECE * EEG_RATE):
                stop = min(start + _PIECE * EEG_RATE, last)
                pieces.append(ranges_within_seconds(recording.read_differences(start, stop)))
                reasons.append(eeg_doubt(recording.read(start, stop)))
        ranges = np.concatenate([*pieces, np.zeros((_PAIRS, 0))], axis=1)
        # What no channel tells is missing and not flat.
        told = ranges[~np.isnan(ranges).all(axis=1)]
        known = told[~np.isnan(told)]
        doubtful = [reason for reason in reasons if reason]
        yield {
            "start": begin / EEG_RATE,
            "stop": end / EEG_RATE,
            "recorded": recorded / (end - begin),
            "flat": float(np.isnan(told).mean()) if told.size else None,
            "amplitude": float(np.median(known)) if known.size else None,
            "reason": "nothing recorded" if not reasons else doubtful[0] if len(doubtful) == len(reasons) else "",
        }


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" + (f" ({seconds / 3600:.1f} h)" if seconds >= 3600 else "")
