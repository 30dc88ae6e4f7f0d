"""What is wrong with a recording, as one row of a table."""

from __future__ import annotations

from functools import cache

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE, SCALP_ELECTRODES
from hbaclib.errors import DataError
from hbaclib.signal.differences import is_differences
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, as_eeg, electrode_index, fill_missing, pair_rows

LINE_FREQUENCY = 60.0
_FLOOR = np.arange(30.0, 50.5, 1.0)
_SEGMENT = 2 * EEG_RATE  # Hann over 2 s: half a hertz from bin to bin, so that 60 Hz and the floor stay apart


@cache
def _waves() -> np.ndarray:
    """(400, 2 x 22) windowed cosines and sines: the line's frequency first, then the floor's."""
    frequencies = np.array([LINE_FREQUENCY, *_FLOOR])
    phase = 2 * np.pi * np.outer(np.arange(_SEGMENT) / EEG_RATE, frequencies)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SEGMENT) / _SEGMENT)
    return np.concatenate([hann[:, None] * np.cos(phase), hann[:, None] * np.sin(phase)], axis=1).astype(np.float32)


def _line_noise(rows: np.ndarray) -> float:
    n_segments = rows.shape[-1] // _SEGMENT
    segments = rows[:, : n_segments * _SEGMENT].reshape(len(rows) * n_segments, _SEGMENT)
    power = np.square(segments @ _waves()).reshape(len(rows), n_segments, 2, -1).sum(axis=2).mean(axis=1)
    line, floor = power[:, 0], power[:, 1:].mean(axis=1)
    live = (line > 0) & (floor > 0)
    return float(np.median(10 * np.log10(line[live] / floor[live]))) if live.any() else float("nan")


def _longest_run(mask: np.ndarray) -> int:
    """Longest run of True in any row."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8).ravel())
    return int((np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).max(initial=0))


def _peak_to_peak(rows: np.ndarray) -> np.ndarray:
    """Range of every whole second: (n_rows, n_samples) to (n_rows, n_seconds)."""
    seconds = rows[:, : rows.shape[-1] // EEG_RATE * EEG_RATE].reshape(len(rows), -1, EEG_RATE)
    return seconds.max(axis=-1) - seconds.min(axis=-1)


def recording_quality(eeg: np.ndarray) -> dict[str, int | float]:
    """Describe a recording's faults in figures.

    Args:
        eeg: (n_samples, 20) floating point, µV at 200 Hz, at least 2 s; or 24 differences as `hbaclib.to_differences`
            gives them: what is said of electrodes is then of the 16 pairs of the chains. NaN allowed.

    Returns:
        An int or float for each column of the table, in this order:

        - ``n_samples``: samples of the recording
        - ``missing_share``: share of NaN among the scalp electrodes' samples, 0..1
        - ``longest_gap``: longest run of NaN in any scalp electrode, samples
        - ``missing_electrodes``: scalp electrodes without any value
        - ``flat_electrodes``: scalp electrodes that hold one value throughout
        - ``clipped_share``: share of scalp samples that stay at their electrode's own extreme for two samples or more
        - ``line_noise_db``: power at 60 Hz over the mean of 30-50 Hz, median of the 16 pairs, dB; NaN: all are flat
        - ``amplitude_median``: median over pairs and seconds of the bipolar peak-to-peak amplitude, µV
        - ``amplitude_p95``: 95th percentile of the same, µV
        - ``largest_value``: largest absolute scalp value, µV
        - ``ekg_amplitude``: median over seconds of the EKG's peak-to-peak amplitude, µV; 0 without one

        Amplitudes and line noise are taken with missing samples at the electrode's mean, so a gap lowers them; those of
        differences are at the difference's own.

    Raises:
        DataError: malformed EEG, or below 2 s.
    """
    recording = as_eeg(eeg, min_samples=_SEGMENT, differences=True)
    if recording.ndim != 2:
        raise DataError(f"EEG of shape {recording.shape}; expected one recording, (n_samples, {len(EEG_COLUMNS)})")
    electrodes = not is_differences(recording)
    judged = [electrode_index(name) for name in SCALP_ELECTRODES] if electrodes else range(len(LONGITUDINAL_PAIRS))
    scalp = np.ascontiguousarray(recording.T[judged])
    missing = np.isnan(scalp)
    filled = np.ascontiguousarray(fill_missing(recording).T)
    scalp_filled = filled[judged]
    top, bottom = scalp_filled.max(axis=-1, keepdims=True), scalp_filled.min(axis=-1, keepdims=True)
    absent = missing.all(axis=-1)
    flat = ~absent & (top == bottom)[:, 0]
    held = (scalp[:, 1:] == scalp[:, :-1]) & ((scalp[:, 1:] == top) | (scalp[:, 1:] == bottom))
    pairs = pair_rows(filled) if electrodes else scalp_filled
    amplitude = _peak_to_peak(pairs)
    ekg = filled[electrode_index("EKG")][None] if electrodes else np.zeros((1, len(recording)))
    return {
        "n_samples": len(recording),
        "missing_share": float(missing.mean()),
        "longest_gap": _longest_run(missing),
        "missing_electrodes": int(absent.sum()),
        "flat_electrodes": int(flat.sum()),
        "clipped_share": float(np.count_nonzero(held[~flat & ~absent]) / scalp.size),
        "line_noise_db": _line_noise(pairs),
        "amplitude_median": float(np.median(amplitude)),
        "amplitude_p95": float(np.percentile(amplitude, 95)),
        "largest_value": float(np.maximum(top, -bottom).max()),
        "ekg_amplitude": float(np.median(_peak_to_peak(ekg))),
    }
