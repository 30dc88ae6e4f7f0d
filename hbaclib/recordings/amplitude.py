"""Whether a recording's amplitude is one of EEG in µV, looked for in its first ten minutes of signal."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.units import MICROVOLTS
from hbaclib.signal.filters import band_pass_gain, zero_phase
from hbaclib.signal.mel import FLAT_SHARE
from hbaclib.signal.montage import LONGITUDINAL_PAIRS

AMPLITUDES = (1.0, 1500.0)
"""µV: range within a second of the pairs of electrodes that a recording as a whole has."""
BAND = (0.5, 40.0)
SECONDS = 600
"""Seconds of signal that are looked at."""
_BLOCK = 60 * EEG_RATE
_LEAST = 2 * EEG_RATE
_MOST_BLOCKS = 60
_TYPICAL = 50.0


def amplitude_fault(recording: BaseRecording) -> str:
    """Say why an amplitude cannot be that of an EEG, with the unit that would explain it; "" where it can."""
    amplitude = first_amplitude(recording)
    if np.isnan(amplitude) or AMPLITUDES[0] <= amplitude <= AMPLITUDES[1]:
        return ""
    fitting = [unit for unit, factor in MICROVOLTS.items() if AMPLITUDES[0] <= amplitude * factor <= AMPLITUDES[1]]
    hint = min(fitting, key=lambda unit: abs(np.log(amplitude * MICROVOLTS[unit] / _TYPICAL)), default="")
    said = set(recording.units.values())
    likely = f"; --unit {hint} would explain it" if hint and said == {"µV"} else ""
    return (
        f"amplitudes of {amplitude:.3g} µV (pairs of electrodes, 1 s, {BAND[0]:g} to {BAND[1]:g} Hz); expected "
        f"{AMPLITUDES[0]:g} to {AMPLITUDES[1]:g} µV; if the file's unit is wrong give --unit mV (µV, V, nV){likely}"
    )


def first_amplitude(recording: BaseRecording) -> float:
    """Median over pairs and seconds of the range within a second, µV; NaN where there is no signal at all.

    Seconds that are missing or flat do not count; ten minutes are looked at, wherever they lie in the first hour of the
    segments.
    """
    found, seconds, n_blocks = list[np.ndarray](), 0, 0
    for begin, end in recording.segments:
        for start in range(begin, end, _BLOCK):
            if seconds >= SECONDS or n_blocks >= _MOST_BLOCKS:
                break
            n_blocks += 1
            ranges = ranges_within_seconds(recording.read_differences(start, min(start + _BLOCK, end)))
            found.append(ranges[~np.isnan(ranges)])
            seconds += int((~np.isnan(ranges)).any(axis=0).sum())
    values = np.concatenate([*found, np.zeros(0)])
    return float(np.median(values)) if len(values) else float("nan")


def ranges_within_seconds(differences: np.ndarray) -> np.ndarray:
    """Range of the 16 pairs within each second, from 0.5 to 40 Hz.

    Args:
        differences: (n_samples, 24) µV at 200 Hz, without gaps; a pair may be missing as a whole or in part.

    Returns:
        (16, whole seconds) µV, NaN where a pair is missing or flat; of seconds that it lacks in part, too. Below two
        seconds there are none.
    """
    rows = np.ascontiguousarray(differences[:, : len(LONGITUDINAL_PAIRS)].T, np.float64)
    n_seconds = rows.shape[1] // EEG_RATE if rows.shape[1] >= _LEAST else 0
    ranges = np.full((len(rows), n_seconds), np.nan)
    holes = np.isnan(rows)
    present = ~holes.all(axis=1)
    if not n_seconds or not present.any():
        return ranges
    rows, holes = rows[present], holes[present]
    for row, hole in zip(rows, holes, strict=True):
        if hole.any():
            row[hole] = np.interp(np.flatnonzero(hole), np.flatnonzero(~hole), row[~hole])
    lacking = holes[:, : n_seconds * EEG_RATE].reshape(len(rows), n_seconds, EEG_RATE).any(axis=-1)
    seconds = rows[:, : n_seconds * EEG_RATE].reshape(len(rows), n_seconds, EEG_RATE)
    flat = np.ptp(seconds, axis=-1) <= FLAT_SHARE * np.abs(seconds).max(axis=-1)
    # Without its mean first: an offset of volts would cost the filter's digits.
    clean = zero_phase(rows - rows.mean(axis=1, keepdims=True), band_pass_gain(*BAND))
    spans = np.ptp(clean[:, : n_seconds * EEG_RATE].reshape(seconds.shape), axis=-1)
    ranges[present] = np.where(flat | lacking, np.nan, spans)
    return ranges
