"""What is to be said of one file, an EEG or a spectrogram, before anybody predicts from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE, EEG_WINDOW, SCALP_ELECTRODES, SPECTROGRAM_STEP
from hbaclib.errors import HbacError, list_some
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.derived import DerivedRecording
from hbaclib.recordings.facts import facts_of, further_lines, lines_of
from hbaclib.recordings.formats import PARQUET, format_of
from hbaclib.recordings.opened import open_recording
from hbaclib.recordings.parquet import holds_spectrogram, load_spectrogram
from hbaclib.signal.plausibility import eeg_doubt, pair_amplitude, spectrogram_doubt

BLOCK = 600 * EEG_RATE
"""Samples of a long recording that are judged at a time: ten minutes."""
WHOLE = 6 * BLOCK
"""Recordings up to an hour are judged as a whole."""
_EVERY = 6
"""The amplitude of a long recording is taken from every sixth block."""


@dataclass(frozen=True)
class Verdict:
    """What a file holds.

    Attributes:
        path: the file.
        lines: what was found, in words, one thing a line.
        fault: why it cannot be used; empty where it can.
        facts: of a recording, the same as values of JSON, see `hbaclib.recordings.facts`.
    """

    path: Path
    lines: tuple[str, ...]
    fault: str = ""
    facts: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """What JSON holds of it."""
        if self.facts is not None:
            return dict(self.facts)
        return {"file": str(self.path), "notes": list(self.lines), "fault": self.fault}


def judge_file(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    *,
    rows: Callable[[BaseRecording], Mapping[str, Any]] | None = None,
    **options: Any,
) -> Verdict:
    """Read a file to its end and judge it; memory does not grow with its length.

    Args:
        path: an EEG file, or a spectrogram file.
        columns: of an EEG file, as `open_recording` takes it.
        unit: of an EEG file, as `open_recording` takes it.
        rows: tells what a timeline would leave out, see `hbaclib.recordings.facts.facts_of`; None: nobody asks.
        **options: of an EEG file with channels, as `open_recording` takes them.

    Returns:
        The verdict; what cannot be read is a fault too.
    """
    path = Path(path)
    try:
        if format_of(path) == PARQUET and holds_spectrogram(path):
            return _spectrogram(path)
        with open_recording(path, columns, unit, **options) as recording:
            judged = rows(recording) if rows else {}
            if isinstance(recording, DerivedRecording):
                facts = facts_of(recording, judged)
                return Verdict(path, tuple(lines_of(facts)), facts["fault"], facts)
            lines, fault = _eeg(recording)
            facts = facts_of(recording, judged, fault)
            return Verdict(path, (*lines, *further_lines(facts)), facts["fault"], facts)
    except HbacError as error:
        return Verdict(path, (), str(error).removeprefix(f"{path}: "))


def _eeg(recording: BaseRecording) -> tuple[list[str], str]:
    """What is told of electrodes at 200 Hz, and why they cannot be evaluated; empty where they can."""
    stated = recording.rate_stated_by
    rate = f"{EEG_RATE} Hz ({stated})" if stated else f"no rate stated, taken as {EEG_RATE} Hz"
    lines = [f"{recording.n_samples} samples, {_duration(recording.seconds)}; {rate}", *recording.notes]
    size = recording.n_samples if recording.n_samples <= WHOLE else BLOCK
    scalp = [EEG_COLUMNS.index(name) for name in SCALP_ELECTRODES]
    absent = np.zeros(len(EEG_COLUMNS), np.int64)
    doubts, amplitudes = list[str](), list[float]()
    for number, block in enumerate(recording.blocks(size)):
        absent += np.isnan(block).sum(axis=0)
        doubts.append(eeg_doubt(block))
        if number % _EVERY == 0:
            amplitudes.append(pair_amplitude(block))
    share = absent / recording.n_samples
    silent = [name for name, part in zip(EEG_COLUMNS, share, strict=True) if part == 1]
    lines.append(
        f"missing: {100 * share[scalp].mean():.3g} % of the scalp electrodes' samples"
        + (f"; without any: {list_some(silent, 20)}" if silent else "")
    )
    units = sorted(set(recording.units.values()))
    known = [value for value in amplitudes if not np.isnan(value)]
    amplitude = f"{np.median(known):.3g} µV" if known else "none"
    lines.append(f"unit: {list_some(units)}; amplitude of the pairs of electrodes: {amplitude}")
    short = recording.n_samples < EEG_WINDOW
    doubtful = [number for number, doubt in enumerate(doubts) if doubt]
    fault = doubts[0] if len(doubtful) == len(doubts) else ""
    if short and not fault:
        fault = f"{recording.n_samples} samples; a window takes {EEG_WINDOW}"
    if doubtful and not fault:
        first = doubtful[0]
        lines.append(
            f"without a plausible signal: {len(doubtful)} of {len(doubts)} blocks of {BLOCK // EEG_RATE} s, the "
            f"first from second {first * BLOCK // EEG_RATE} on ({doubts[first]})"
        )
    elif not fault:
        lines.append("plausible as EEG")
    return lines, fault


def _spectrogram(path: Path) -> Verdict:
    power, note = load_spectrogram(path)
    lines = [f"a spectrogram of {len(power)} rows, {_duration(SPECTROGRAM_STEP * len(power))}"]
    if note:
        lines.append(note.removeprefix(f"{path}: "))
    lines.append(f"missing: {100 * np.isnan(power).mean():.3g} % of the values")
    return Verdict(path, tuple(lines), spectrogram_doubt(power))


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" + (f" ({seconds / 3600:.1f} h)" if seconds >= 3600 else "")
