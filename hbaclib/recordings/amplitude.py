"""Whether a recording's amplitude is one of EEG in µV, looked for in its first ten minutes of signal."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.units import MICROVOLTS
from hbaclib.signal.filters import band_pass_gain, zero_phase
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
    gain, ranges, seconds, n_blocks = band_pass_gain(*BAND), list[np.ndarray](), 0, 0
    for begin, end in recording.segments:
        for start in range(begin, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            n_blocks += 1
            if stop - start < _LEAST or seconds >= SECONDS or n_blocks > _MOST_BLOCKS:
                continue
            rows = recording.read_differences(start, stop)[:, : len(LONGITUDINAL_PAIRS)].T
            rows = np.ascontiguousarray(rows[~np.isnan(rows).any(axis=1)], np.float64)
            if not len(rows):
                continue
            length = rows.shape[1] // EEG_RATE * EEG_RATE
            raw = np.ptp(rows[:, :length].reshape(len(rows), -1, EEG_RATE), axis=-1)
            # Without its mean first: an offset of volts would cost the filter's digits.
            clean = zero_phase(rows - rows.mean(axis=1, keepdims=True), gain)[:, :length]
            found = np.ptp(clean.reshape(len(rows), -1, EEG_RATE), axis=-1)
            ranges.append(found[raw > 0])
            seconds += int((raw > 0).any(axis=0).sum())
        if seconds >= SECONDS:
            break
    values = np.concatenate([*ranges, np.zeros(0)])
    return float(np.median(values)) if len(values) else float("nan")
