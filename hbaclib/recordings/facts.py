"""What a recording with channels is: montage, rate, units, gaps, clock, quality over time, what can be predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS, EEG_RATE, EEG_WINDOW, REGIONS
from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.amplitude import ranges_within_seconds
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.columns import shown
from hbaclib.recordings.derivation import neutral_regions
from hbaclib.recordings.derived import DerivedRecording
from hbaclib.recordings.opened import OpenedRecording
from hbaclib.recordings.parts import Part, joined, n_windows, recorded_segments
from hbaclib.recordings.stuck import CHAINED
from hbaclib.signal.montage import LONGITUDINAL_PAIRS
from hbaclib.signal.plausibility import eeg_doubt

STEP = 10
"""Seconds from window to window."""
BLOCK = 600
"""Seconds of a row of the table of quality."""
_PIECE = 60
_PAIRS = len(LONGITUDINAL_PAIRS)


def gaps_of(recording: BaseRecording, segments: Sequence[Part]) -> list[Part]:
    """(start, stop) of what was not recorded, in samples of 200 Hz."""
    edges = [0, *(edge for segment in segments for edge in segment), recording.n_samples]
    return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


def facts_of(recording: BaseRecording, rows: Mapping[str, Any], fault: str = "") -> dict[str, Any]:
    """What a recording is, as values of JSON; it is read to its end, in bounded memory.

    Args:
        recording: the recording, open.
        rows: what a timeline would leave out of it, as `hbaclib.timeline.checked.judged_rows` gives it; or nothing.
        fault: why nothing can be predicted, where that is known already.

    Returns:
        ``file``, ``format``, ``seconds``, ``clock``, ``rate``, ``montage``, ``units``, ``channels`` (each with label,
        electrode, reference, unit, rate, used), ``left_out``, ``missing``, ``filled``, ``neutral``, ``segments`` and
        ``gaps`` ([start, stop] in seconds), ``notes``, ``quality`` (a row for every ten minutes: start, stop, recorded,
        flat, amplitude, reason), ``windows`` (of 50 s, every 10 s, as a timeline has them), ``rows`` and ``unusable``
        (None and empty where they are not given), ``fault`` (why nothing can be predicted; or empty).
    """
    segments = recorded_segments(recording)
    there = np.zeros(len(EEG_COLUMNS), bool)
    quality = list(_quality(recording, segments, there))
    channels = _channels(recording)
    left_out = [channel["label"] for channel in channels if channel.pop("signal") and not channel["used"]]
    missing, filled, neutral = _lacking(recording, there)
    facts = {
        "file": str(recording.path),
        "format": recording.kind,
        "seconds": recording.seconds,
        "clock": recording.clock.isoformat() if recording.clock else None,
        "rate": recording.rate,
        "montage": recording.montage,
        "units": sorted(set(recording.units.values())),
        "channels": channels,
        "left_out": left_out,
        "missing": missing,
        "filled": filled,
        "neutral": neutral,
        "segments": [[start / EEG_RATE, stop / EEG_RATE] for start, stop in segments],
        "gaps": [[start / EEG_RATE, stop / EEG_RATE] for start, stop in gaps_of(recording, segments)],
        "notes": list(recording.notes),
        "quality": quality,
        "windows": sum(n_windows(part, STEP) for part in joined(segments)),
        "rows": None,
        "unusable": [],
        **rows,
    }
    return {**facts, "fault": fault or _fault(recording, facts)}


def _channels(recording: BaseRecording) -> list[dict[str, Any]]:
    """The channels, or columns, in the file's order; ``signal``: whether it holds samples."""
    if not isinstance(recording, DerivedRecording):
        sources = recording.sources if isinstance(recording, OpenedRecording) else {}
        electrodes = {column: name for name, column in sources.items()}
        return [
            {"label": shown(label), "electrode": electrodes.get(label), "reference": None,
             "unit": recording.units.get(electrodes.get(label, "")),
             "rate": recording.rate if label in electrodes else None, "used": label in electrodes, "signal": True}
            for label in recording.labels
        ]  # fmt: skip
    terms = (*recording.derivation.differences, *recording.derivation.electrodes)
    used = {channel for row in terms for channel, _ in row}
    table = zip(recording.labels, recording.channel_table(), recording.source.channels, strict=True)
    return [
        {"label": label, "electrode": row[1] or None, "reference": row[2] or None, "unit": channel.unit,
         "rate": channel.rate if np.isfinite(channel.rate) else None, "used": number in used,
         "signal": channel.fault != "annotations"}
        for number, (label, row, channel) in enumerate(table)
    ]  # fmt: skip


def _lacking(recording: BaseRecording, there: np.ndarray) -> tuple[list[str], list[str], list[str]]:
    """Electrodes that are missing, those of them that are filled, and regions that are neutral."""
    if isinstance(recording, DerivedRecording):
        return list(recording.missing), list(recording.derivation.filled), list(recording.neutral)
    # A column that is empty from its first row to its last is an electrode that the recording lacks.
    missing = [name for name, some in zip(EEG_COLUMNS, there, strict=True) if not some or name in recording.missing]
    absent = [name for name in missing if name in CHAINED]
    neutral = neutral_regions(absent)
    filled = [name for name in absent if any(name in CHAINS[region] for region in REGIONS if region not in neutral)]
    return missing, filled, list(neutral)


def lines_of(facts: Mapping[str, Any]) -> list[str]:
    """The same in words, one thing a line."""
    begins = f"; begins {facts['clock'].replace('T', ' ')}" if facts["clock"] else ""
    lines = [f"{facts['format']}, {_duration(facts['seconds'])} at {facts['rate']:g} Hz{begins}", _montage(facts)]
    if facts["missing"]:
        lines.append(f"electrodes that cannot be told: {list_some(facts['missing'], 20)}")
    lines.append(f"unit: {list_some(facts['units'])}")
    return [*lines, _gaps(facts), *facts["notes"], *_table(facts), *_rest(facts)]


def further_lines(facts: Mapping[str, Any]) -> list[str]:
    """Those of them that are of the whole recording, behind others that tell length, unit and notes."""
    return [_montage(facts), _gaps(facts), *_table(facts), *_rest(facts)]


def _regions(facts: Mapping[str, Any]) -> int:
    return len(REGIONS) - len(facts["neutral"])


def _montage(facts: Mapping[str, Any]) -> str:
    used = [channel["label"] for channel in facts["channels"] if channel["used"]]
    told = f"{_regions(facts)} of {len(REGIONS)} regions; {len(used)} channels: {list_some(used, 24)}"
    return f"montage: {facts['montage']}; {told}"


def _gaps(facts: Mapping[str, Any]) -> str:
    gaps = facts["gaps"]
    if not gaps:
        return "gaps: none"
    longest = max(gaps, key=lambda gap: gap[1] - gap[0])
    lost = sum(stop - start for start, stop in gaps)
    return (
        f"gaps: {len(gaps)}, {_duration(lost)} in all; the longest, {_duration(longest[1] - longest[0])}, from "
        f"second {longest[0]:g} on"
    )


def _table(facts: Mapping[str, Any]) -> list[str]:
    lines = ["   from s      to s  recorded   flat  amplitude  quality"]
    for row in facts["quality"]:
        amplitude = f"{row['amplitude']:.4g} µV" if row["amplitude"] is not None else "none"
        flat = f"{100 * row['flat']:4.0f} %" if row["flat"] is not None else "  none"
        lines.append(
            f"{row['start']:9g} {row['stop']:9g}  {100 * row['recorded']:6.1f} % {flat} {amplitude:>10}  "
            + (row["reason"] or "plausible as EEG")
        )
    return lines


def _rest(facts: Mapping[str, Any]) -> list[str]:
    """Electrodes that cannot be used for a while, and what can be predicted."""
    lines = []
    if facts["unusable"]:
        named = [
            f"{each['name']} {each['fault']} ({_percent(each['share'])} of the rows of {STEP} s, the first from second "
            f"{each['first']} on)"
            for each in facts["unusable"]
        ]
        lines.append(f"not to be used for a while: {list_some(named, 20)}")
    if facts["fault"]:
        return lines
    windows, rows = facts["windows"], facts["rows"]
    if not windows:
        return [
            *lines,
            f"can be predicted: {EEG_WINDOW // EEG_RATE} s in its middle, and no timeline: {_without(facts)}",
        ]
    told = f"can be predicted: {windows} windows of 50 s, one every {STEP} s, {_regions(facts)} of 4 regions"
    if rows and rows["evaluated"] < windows:
        why = [f"{reason} ({count})" for reason, count in rows["reasons"].items()]
        told += f"; {windows - rows['evaluated']} of them without: {list_some(why, 4)}"
    return [*lines, told]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _without(facts: Mapping[str, Any]) -> str:
    """Why there is no window of a timeline."""
    longest = max((stop - start for start, stop in joined(_samples(facts["segments"]))), default=0)
    if longest >= EEG_WINDOW:
        return f"no {EEG_WINDOW // EEG_RATE} s without a gap lie around a row of {STEP} s"
    return (
        f"the longest segment without a gap is {longest / EEG_RATE:g} s; expected at least "
        f"{EEG_WINDOW / EEG_RATE:g} s (hbac predict --short evaluates recordings of 10 to 50 s)"
    )


def _samples(seconds: Iterable[Sequence[float]]) -> list[Part]:
    return [(round(start * EEG_RATE), round(stop * EEG_RATE)) for start, stop in seconds]


def _fault(recording: BaseRecording, facts: Mapping[str, Any]) -> str:
    if recording.montage_fault:
        return recording.montage_fault
    timed, rows = isinstance(recording, DerivedRecording), facts["rows"]
    if timed:
        try:
            recording.verify()
        except DataFileError as error:
            return str(error).removeprefix(f"{recording.path}: ")
        if facts["quality"] and all(row["reason"] for row in facts["quality"]):
            return str(facts["quality"][0]["reason"])
        if not facts["windows"]:
            return _without(facts)
    # Of a file without times the window in its middle is predicted, whatever the rows of a timeline lack.
    if rows and (rows["evaluated"] == 0 if timed else rows["unusable"] == rows["recorded"]):
        return next(iter(rows["reasons"]), "no row of a timeline has a signal of use")
    return ""


def _quality(recording: BaseRecording, segments: Sequence[Part], there: np.ndarray) -> Iterator[dict[str, Any]]:
    """A row for every ten minutes: what was recorded, how much of it is flat, its amplitude, what is to be doubted.

    Of each of EEG_COLUMNS that has a sample it is noted in ``there``.
    """
    for begin in range(0, recording.n_samples, BLOCK * EEG_RATE):
        end = min(begin + BLOCK * EEG_RATE, recording.n_samples)
        recorded, pieces, absent, reasons = 0, list[np.ndarray](), list[np.ndarray](), list[str]()
        for segment in segments:
            first, last = max(segment[0], begin), min(segment[1], end)
            recorded += max(last - first, 0)
            for start in range(first, last, _PIECE * EEG_RATE):
                stop = min(start + _PIECE * EEG_RATE, last)
                differences, electrodes = recording.read_differences(start, stop), recording.read(start, stop)
                pieces.append(ranges_within_seconds(differences))
                absent.append(_lacking_seconds(differences, pieces[-1].shape[1]))
                reasons.append(eeg_doubt(electrodes))
                there |= ~np.isnan(electrodes).all(axis=0)
        ranges = np.concatenate([*pieces, np.zeros((_PAIRS, 0))], axis=1)
        # What no channel tells is missing and not flat.
        told = ranges[~np.concatenate([*absent, np.zeros((_PAIRS, 0), bool)], axis=1)]
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


def _lacking_seconds(differences: np.ndarray, n_seconds: int) -> np.ndarray:
    """(16, n_seconds) whether a pair lacks a sample in a second."""
    rows = np.isnan(differences[: n_seconds * EEG_RATE, :_PAIRS]).T
    return rows.reshape(_PAIRS, n_seconds, EEG_RATE).any(axis=2)


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" + (f" ({seconds / 3600:.1f} h)" if seconds >= 3600 else "")
