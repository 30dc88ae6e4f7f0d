"""What the page of a recording shows of its signals, small enough for one file: envelopes, spectrograms, stretches.

The recording is read once more, block by block; what is kept of a day is some six megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE, MIDLINE_ELECTRODES, PATTERNS, REGIONS, SPECTROGRAM_STEP
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.parts import Part
from hbaclib.recordings.ring import BLOCK, MARGIN, row_centres
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, bipolar
from hbaclib.signal.multitaper import WINDOW, kaggle_spectrogram
from hbaclib.timeline.bins import NOT_EVALUATED, Bin
from hbaclib.timeline.segments import Segment

MIDLINE: Final = tuple(pairwise(MIDLINE_ELECTRODES))
CHANNELS: Final = (*LONGITUDINAL_PAIRS, *MIDLINE)
"""The double banana, the midline last."""
PASS_BAND: Final = (0.5, 40.0)
"""Hz: what is drawn, as readers of EEG set their filters."""
DETAIL_RATE: Final = 100
DETAIL_STEP: Final = 0.1
"""µV of a step of the detail's whole numbers."""
WHOLE_MINUTES: Final = 30.0
"""Up to this length all of a recording is kept in detail."""
NOTHING: Final = 255
"""Of a byte: nothing is known. In envelopes it is ENVELOPE_NOTHING."""
ENVELOPE_NOTHING: Final = -128
ENVELOPE_KNEE, ENVELOPE_TOP = 4.0, 2000.0
"""µV: below the knee the bytes of an envelope are steps of one size, above it of one ratio."""
POWER_RANGE: Final = (-2.0, 4.0)
"""log10 of µV²/Hz: from the darkest to the brightest byte of a spectrogram."""
MOST_COLUMNS, ROWS = 4320, 50
"""Of the spectrogram of each region."""
_STRETCH, _MOST_SEGMENTS, _MOST_OF_CLASS, _MOST_DOUBTFUL = 30.0, 30, 6, 10
_STEP = SPECTROGRAM_STEP * EEG_RATE
_DECIMATE = EEG_RATE // DETAIL_RATE


@dataclass(frozen=True)
class Signals:
    """What is drawn of a recording's signals.

    Attributes:
        envelope: (18, seconds, 2) int8, least and greatest value of each second, see `encoded`.
        spectrogram: (4, 50, columns) uint8, regions as REGIONS, lowest frequency first.
        column_seconds: seconds of a column of it.
        details: (start in seconds, (18, n) int16 in steps of DETAIL_STEP at DETAIL_RATE) of some stretches.
    """

    envelope: np.ndarray
    spectrogram: np.ndarray
    column_seconds: float
    details: tuple[tuple[float, np.ndarray], ...]


def encoded(values: np.ndarray) -> np.ndarray:
    """int8 of µV: the logarithm, with its sign, from the knee on; NaN is ENVELOPE_NOTHING."""
    size = np.log1p(np.minimum(np.abs(values), ENVELOPE_TOP) / ENVELOPE_KNEE) / np.log1p(ENVELOPE_TOP / ENVELOPE_KNEE)
    return np.where(np.isnan(values), ENVELOPE_NOTHING, np.nan_to_num(np.sign(values) * np.round(127 * size))).astype(
        np.int8
    )


def stretches(bins: Sequence[Bin], segments: Sequence[Segment], seconds: float, minutes: float) -> list[Part]:
    """Seconds (start, stop) that are kept in detail.

    Args:
        bins: of the recording.
        segments: of it.
        seconds: its length.
        minutes: how long a recording may be of which all is kept.

    Returns:
        All of it; or half a minute in the middle of the segments of most certain patterns and of the most doubtful
        bins, as many as fit.
    """
    if seconds <= 60 * minutes:
        return [(0, int(np.ceil(seconds)))]
    chosen: list[float] = []
    counts = dict.fromkeys(PATTERNS, 0)
    patterns = [each for each in segments if each.state in PATTERNS]
    for each in sorted(patterns, key=lambda one: -one.share):
        if counts[each.state] < _MOST_OF_CLASS and len(chosen) < _MOST_SEGMENTS:
            counts[each.state] += 1
            chosen.append(each.onset + each.duration / 2)
    known = [each for each in bins if each.state != NOT_EVALUATED]
    doubtful = sorted(known, key=_sureness)[:_MOST_DOUBTFUL]
    chosen += [(each.start + each.stop) / 2 for each in doubtful]
    spans = sorted(
        (max(0, int(at - _STRETCH / 2)), min(int(np.ceil(seconds)), int(at + _STRETCH / 2))) for at in chosen
    )
    merged: list[Part] = []
    for start, stop in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _sureness(one: Bin) -> float:
    """By calibrated doubt where there is one, else by the leading share."""
    return 1 - one.doubt if np.isfinite(one.doubt) else float(one.shares.max())


def read_signals(recording: BaseRecording, parts: Sequence[Part], kept: Sequence[Part]) -> Signals:
    """Read what the page shows, forwards through the recording.

    Args:
        recording: the recording, which nobody else reads.
        parts: where it was recorded, in samples.
        kept: seconds (start, stop) that are kept in detail, in order.
    """
    seconds = -(-recording.n_samples // EEG_RATE)
    envelope = np.full((len(CHANNELS), seconds, 2), ENVELOPE_NOTHING, np.int8)
    group = max(1, -(-seconds // SPECTROGRAM_STEP // MOST_COLUMNS))
    columns = -(-seconds // (SPECTROGRAM_STEP * group))
    total = np.zeros((len(REGIONS), ROWS, columns))
    count = np.zeros((len(REGIONS), ROWS, columns))
    details = [np.zeros((len(CHANNELS), (stop - start) * DETAIL_RATE), np.int16) for start, stop in kept]
    midline = not set(MIDLINE_ELECTRODES) & set(recording.missing)
    for part, low, high in _blocks(parts):
        begin, end = max(part[0], low - MARGIN), min(part[1], high + MARGIN)
        signals = recording.read_differences(begin, end)
        _add_power(signals, begin, row_centres(part, low, high), group, total, count)
        middle = recording.read(begin, end) if midline else None
        drawn = _filtered(signals, middle)[:, low - begin : high - begin]
        _add_envelope(drawn, low, envelope)
        for (start, stop), detail in zip(kept, details, strict=True):
            _add_detail(drawn, low, start, stop, detail)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    share = (mean - POWER_RANGE[0]) / (POWER_RANGE[1] - POWER_RANGE[0])
    image = np.where(count > 0, np.clip(np.nan_to_num(share), 0, 1) * (NOTHING - 1), NOTHING).round().astype(np.uint8)
    starts = [float(start) for start, _ in kept]
    return Signals(envelope, image, float(SPECTROGRAM_STEP * group), tuple(zip(starts, details, strict=True)))


def _blocks(parts: Sequence[Part]) -> Iterator[tuple[Part, int, int]]:
    """Parts cut into blocks, that begin at whole multiples of them."""
    for part in parts:
        low = part[0]
        while low < part[1]:
            high = min((low // BLOCK + 1) * BLOCK, part[1])
            yield part, low, high
            low = high


def _add_power(
    signals: np.ndarray, begin: int, centres: range, group: int, total: np.ndarray, count: np.ndarray
) -> None:
    """Add logarithms of power of a block's rows to the columns that they lie in."""
    if not len(centres) or len(signals) < WINDOW:
        return
    power = kaggle_spectrogram(signals, first_centre=(centres[0] - begin) / EEG_RATE)[: len(centres)]
    with np.errstate(divide="ignore"):
        logs = np.log10(power.reshape(len(power), len(REGIONS), ROWS, -1).mean(axis=-1))
    logs = np.maximum(logs, POWER_RANGE[0])
    at = np.minimum(np.arange(centres[0], centres[0] + len(logs) * _STEP, _STEP) // (_STEP * group), total.shape[2] - 1)
    known = np.isfinite(logs)
    for row, place in enumerate(at):
        total[:, :, place] += np.where(known[row], logs[row], 0)
        count[:, :, place] += known[row]


def _filtered(signals: np.ndarray, electrodes: np.ndarray | None) -> np.ndarray:
    """(18, n) of a block, NaN where the recording has nothing."""
    rows = np.full((len(CHANNELS), len(signals)), np.nan, np.float32)
    rows[: len(LONGITUDINAL_PAIRS)] = signals[:, : len(LONGITUDINAL_PAIRS)].T
    if electrodes is not None:
        rows[len(LONGITUDINAL_PAIRS) :] = bipolar(electrodes, MIDLINE).T
    missing = np.isnan(rows)
    filled = np.where(missing, np.float32(0), rows)
    # Offsets of electrodes are far above the EEG; a filter that meets one swings for seconds.
    counts = np.maximum((~missing).sum(axis=1, keepdims=True), 1)
    filled = np.where(missing, np.float32(0), filled - filled.sum(axis=1, keepdims=True) / counts)
    bands = signal.butter(2, PASS_BAND, "bandpass", fs=EEG_RATE, output="sos")
    if filled.shape[1] > 30:
        filled = signal.sosfiltfilt(bands, filled, axis=1)
    return np.where(missing, np.nan, filled)


def _add_envelope(drawn: np.ndarray, low: int, envelope: np.ndarray) -> None:
    """Least and greatest value of the seconds that lie in a block; of a second in two blocks those of both."""
    first = low // EEG_RATE
    last = -(-(low + drawn.shape[1]) // EEG_RATE)
    padded = np.full((len(drawn), (last - first) * EEG_RATE), np.nan, drawn.dtype)
    padded[:, low - first * EEG_RATE :][:, : drawn.shape[1]] = drawn
    seconds = padded.reshape(len(drawn), last - first, EEG_RATE)
    known = ~np.isnan(seconds).all(axis=2)
    values = np.full((*known.shape, 2), np.nan)
    values[known, 0], values[known, 1] = np.nanmin(seconds[known], axis=1), np.nanmax(seconds[known], axis=1)
    new = encoded(values)
    there = envelope[:, first:last]
    empty, fresh = there == ENVELOPE_NOTHING, new != ENVELOPE_NOTHING
    joined = np.stack([np.minimum(there[..., 0], new[..., 0]), np.maximum(there[..., 1], new[..., 1])], axis=-1)
    envelope[:, first:last] = np.where(empty, new, np.where(fresh, joined, there))


def _add_detail(drawn: np.ndarray, low: int, start: int, stop: int, detail: np.ndarray) -> None:
    """Every second sample of what of a stretch lies in a block."""
    first = max(start * EEG_RATE, low)
    first += first % _DECIMATE
    end = min(stop * EEG_RATE, low + drawn.shape[1])
    if first >= end:
        return
    values = np.nan_to_num(drawn[:, first - low : end - low : _DECIMATE]) / DETAIL_STEP
    at = first // _DECIMATE - start * DETAIL_RATE
    detail[:, at : at + values.shape[1]] = np.clip(np.round(values), -32_767, 32_767).astype(np.int16)
