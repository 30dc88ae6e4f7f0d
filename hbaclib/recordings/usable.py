"""Which electrodes can be used within ten seconds of a recording, and what that leaves of the regions.

One that holds one value or is clipped is told by its channel (`hbaclib.recordings.stuck`), one that has come off by the
differences that it is in: mains, or swings that no EEG has. What all electrodes share, the noise of a reference, is in
no difference and makes none bad. Either counts as missing, by the rule for those that a recording lacks.

Of a montage of differences each channel is judged for itself. An electrode is bad where all channels that it is in are;
a bad channel alone is left out, and what the others tell of its electrodes takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from hbaclib.conventions import EEG_RATE, REGIONS
from hbaclib.errors import list_some
from hbaclib.recordings.derivation import MOST_NEUTRAL, RING_NAMES, neutral_regions
from hbaclib.recordings.stuck import CHAINED, MISSING, Stuck
from hbaclib.signal.differences import DIFFERENCES, OF_REGION
from hbaclib.signal.montage import LONGITUDINAL_PAIRS
from hbaclib.signal.plausibility import second_ranges, without_mains

OFF = "off"
MONTAGE, SIGNAL = "montage", "signal"
"""How a reason begins why something is not evaluated."""
NOT_USED = "not used:"
"""How a reason names electrodes and channels that are flat, clipped or off."""
_NAMED = 4
LARGEST_RANGE = 1500.0
"""µV: a pair's range within a second beyond which it is an artefact's."""
MOST_LARGE = 0.2
"""Share of such seconds beyond which a difference is that of an electrode which is off."""
LOUDEST_MAINS, STANDS_OUT = 30.0, 20.0
"""dB: power at 50 or 60 Hz above the mean from 30 Hz on, and above the median of all differences, beyond which it is,
too. The former alone calls half of the differences of recordings off that experts could judge: no network sees mains,
and all electrodes may have them."""
_LINES, _FLOOR = (50.0, 60.0), np.arange(30.0, 48.0, 1.0)
_SEGMENT = 2 * EEG_RATE
_PAIRS = len(LONGITUDINAL_PAIRS)
_COLUMNS = {name: [k for k, pair in enumerate(DIFFERENCES) if name in pair] for name in CHAINED}


@dataclass(frozen=True)
class Usable:
    """What can be used of a bin.

    Attributes:
        lost: (24,) differences that cannot be used, those of neutral regions too.
        neutral: regions of which too much is missing or bad.
        silent: whether none of the differences can be used, whatever the regions lack.
        faults: what cannot be used though it was recorded, in words: ``T3 (flat)``, ``F7-T3 (off)``.
        missing: share of the samples of the sixteen pairs that were not recorded or cannot be used.
        quality: share of the pairs' recorded seconds that can be used and are neither flat nor beyond LARGEST_RANGE;
            NaN where nothing was recorded.
    """

    lost: np.ndarray
    neutral: tuple[str, ...]
    silent: bool
    faults: tuple[str, ...]
    missing: float
    quality: float

    def refusal(self, most_neutral: int = MOST_NEUTRAL) -> str:
        """Why networks are not asked about it, "" where they can be.

        Args:
            most_neutral: regions that may be empty.
        """
        if len(self.neutral) <= most_neutral:
            return ""
        reason = f"{SIGNAL}: no signal of use"
        if not self.silent:
            reason = f"{MONTAGE}: nothing of use in {', '.join(self.neutral)}"
        return f"{reason} ({NOT_USED} {list_some(self.faults, _NAMED)})" if self.faults else reason

    def told(self) -> list[str]:
        """What is to be known where it is evaluated."""
        told = []
        if self.neutral:
            left = len(REGIONS) - len(self.neutral)
            told.append(f"{left} of {len(REGIONS)} regions, without {', '.join(self.neutral)}")
        if self.faults:
            told.append(f"{NOT_USED} {list_some(self.faults, _NAMED)}")
        return told


def judge(signals: np.ndarray, recorded: slice, stuck: Stuck, neutral: Iterable[str], lacking: np.ndarray) -> Usable:
    """Judge ten seconds, or what a recording has of them at its end.

    Args:
        signals: (n_samples, 24) differences, NaN where nothing was recorded.
        recorded: the samples of the part that the bin belongs to.
        stuck: what its channels say.
        neutral: regions that the whole recording leaves empty.
        lacking: (16,) pairs of an electrode that the whole recording lacks.
    """
    own = signals[recorded]
    off = off_differences(own) & ~stuck.differences
    bad = dict(stuck.electrodes)
    known = ~np.isnan(own).all(axis=0) & ~stuck.differences
    for name, columns in _COLUMNS.items():
        left = [k for k in columns if known[k]]
        if name not in bad and left and off[left].all():
            bad[name] = OFF
    lost = stuck.differences | off
    for ring in RING_NAMES:
        if any(bad.get(name, MISSING) != MISSING for name in ring):
            # A missing electrode is the mean of neighbours, one of which may be bad.
            for name in ring:
                lost[_COLUMNS[name]] |= name in bad
    empty = {*neutral, *neutral_regions(bad), *(name for name, columns in OF_REGION.items() if lost[columns].all())}
    faults = [f"{name} ({why})" for name, why in bad.items() if why != MISSING]
    faults += [f"{name} ({why})" for name, why in stuck.channels.items() if not bad.keys() & name.split("-")]
    faults += [f"{'-'.join(pair)} ({OFF})" for pair, is_off in zip(LONGITUDINAL_PAIRS, off[:_PAIRS], strict=True)
               if is_off and not bad.keys() & set(pair)]  # fmt: skip
    quality, silent = _quality(own, lost[:_PAIRS]), bool(lost.all())
    for region in empty:
        lost[OF_REGION[region]] = True
    missing = float((np.isnan(signals[:, :_PAIRS]) | lacking | lost[:_PAIRS]).mean())
    return Usable(lost, tuple(name for name in REGIONS if name in empty), silent, tuple(faults), missing, quality)


GAP = Usable(np.zeros(len(DIFFERENCES), bool), (), False, (), 1.0, np.nan)
"""Of a bin in which nothing was recorded."""


def off_differences(signals: np.ndarray) -> np.ndarray:
    """Which differences (24,) are those of an electrode that is off.

    Args:
        signals: (n_samples, 24) µV. NaN allowed; below a second none is off, below two seconds none for its mains.
    """
    n_seconds = len(signals) // EEG_RATE
    if not n_seconds:
        return np.zeros(signals.shape[1], bool)
    seconds = without_mains(signals)[: n_seconds * EEG_RATE].reshape(n_seconds, EEG_RATE, -1)
    ranges = seconds.max(axis=1) - seconds.min(axis=1)
    known = ~np.isnan(ranges)
    large = (np.where(known, ranges, 0) > LARGEST_RANGE).sum(axis=0) > MOST_LARGE * known.sum(axis=0)
    return large | _mains(signals)


def _mains(signals: np.ndarray) -> np.ndarray:
    n_segments, width = len(signals) // _SEGMENT, signals.shape[1]
    if not n_segments:
        return np.zeros(width, bool)
    rows = signals[: n_segments * _SEGMENT].T.reshape(width, n_segments, _SEGMENT)
    whole = ~np.isnan(rows).any(axis=2)
    # Without its mean: an offset of volts would cost the digits.
    rows = np.where(whole[..., None], rows - rows.mean(axis=2, keepdims=True), 0)
    power = np.square(rows @ _waves()).reshape(width, n_segments, 2, -1).sum(axis=(1, 2))
    lines, floor = power[:, : len(_LINES)].max(axis=1), power[:, len(_LINES) :].mean(axis=1)
    floor = np.maximum(floor, np.finfo(np.float32).tiny)
    usual = np.median(lines[whole.any(axis=1)]) if whole.any() else 0.0
    return (lines > 10 ** (LOUDEST_MAINS / 10) * floor) & (lines > 10 ** (STANDS_OUT / 10) * usual)


@cache
def _waves() -> np.ndarray:
    """(400, 2 x 20) windowed cosines and sines: the mains' frequencies first, then the floor's."""
    phase = 2 * np.pi * np.outer(np.arange(_SEGMENT) / EEG_RATE, np.array([*_LINES, *_FLOOR]))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_SEGMENT) / _SEGMENT)
    return np.concatenate([hann[:, None] * np.cos(phase), hann[:, None] * np.sin(phase)], axis=1).astype(np.float32)


def _quality(recorded: np.ndarray, lost: np.ndarray) -> float:
    ranges = second_ranges(recorded)
    n_seconds, length = ranges.shape[1], min(EEG_RATE, len(recorded))
    gone = np.isnan(recorded[: n_seconds * length, : len(ranges)]).reshape(n_seconds, length, -1).all(axis=1).T
    good = ((np.nan_to_num(ranges, nan=np.inf) <= LARGEST_RANGE) & ~lost[:, None])[~gone]
    return float(good.mean()) if len(good) else np.nan
