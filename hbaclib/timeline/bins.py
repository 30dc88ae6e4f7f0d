"""From a recording of any length to shares of the classes for every ten seconds.

Experts judge the 10 s in the middle of 50 s: the shares of a window belong to the bin of ten seconds in its middle.
Bins tile the recording from its first sample to its last, gaps included; what is not evaluated has no shares, whatever
the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from hbaclib.conventions import (
    CLASSES,
    EEG_RATE,
    EEG_WINDOW,
    REGIONS,
    SPECTROGRAM_STEP,
    SPECTROGRAM_WINDOW,
    VOTE_COLUMNS,
)
from hbaclib.errors import ConfigError, DataFileError
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.derivation import MOST_NEUTRAL
from hbaclib.recordings.parts import Part, n_windows, recorded_parts
from hbaclib.recordings.ring import BLOCK, FILLINGS, SIZE, Ring, first_row, parts_near, place_rows, row_centres
from hbaclib.recordings.usable import SIGNAL, Usable
from hbaclib.signal.short import LEAST_SAMPLES, check_how, place_short

BIN = SIZE // EEG_RATE
"""Seconds of a bin."""
STEPS = (1, 2, 5, 10)
"""Seconds between windows; where they are less than a bin, its shares are the mean over the windows that centre in it.
"""
EDGES = ("empty", "nearest")
"""What the bins near a part's ends have, in the middle of which no whole window lies: nothing, or the shares of the
nearest bin that has some."""
NOT_EVALUATED = "not evaluated"
EDGE, GAP, TOO_SHORT = "edge", "gap", "segment too short"
"""How the reason of a bin without shares begins, or as those of `hbaclib.recordings.usable`."""
SHORT_CONTEXT, COPIED, SHORT = "short context", "edge: shares of the nearest bin", "short"
LEAST_CONTEXT = 0.5
"""Share of the ten minutes below which a bin is marked, where a network sees them."""
_SAMPLES, _ROW = SIZE, SPECTROGRAM_STEP * EEG_RATE
_CHUNK = 16


@dataclass(frozen=True)
class Bin:
    """Ten seconds of a recording, or what it has of them at its end.

    Attributes:
        start: seconds from the recording's first sample.
        stop: the same.
        part: number of the part that it lies in, -1 in a gap.
        shares: (6,) as CLASSES, that sum to 1; or NaN.
        reason: why it has no shares; or what is to be known of them.
        context: share of the ten minutes around it that the recording has, 0..1.
        missing: share of the samples of the sixteen pairs that were not recorded, or are of an electrode that the
            recording lacks or that cannot be used (see `hbaclib.recordings.usable`), or of a neutral region, 0..1.
        quality: share of the pairs' recorded seconds that can be used and are neither flat nor beyond 1,500 µV, 0..1;
            NaN in a gap.
        usable: what can be used of it.
        spread: how far the members of an ensemble disagree, see `hbaclib.evaluation.doubt.member_spread`; NaN where
            nobody asked, or nothing was evaluated.
        doubt: how likely a random expert does not vote for the leading class, 0..1, see `hbaclib.timeline.doubt`; NaN
            where nothing tells.
        classes: those that an expert may well say, the leading one first; empty where nothing tells.
    """

    start: float
    stop: float
    part: int
    shares: np.ndarray
    reason: str
    context: float
    missing: float
    quality: float
    usable: Usable | None = None
    spread: float = float("nan")
    doubt: float = float("nan")
    classes: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The leading class, or NOT_EVALUATED."""
        return CLASSES[int(np.argmax(self.shares))] if np.isfinite(self.shares).all() else NOT_EVALUATED


@dataclass
class _Window:
    """What the networks see of one bin."""

    eeg: np.ndarray
    rows: np.ndarray | None
    recorded: int = EEG_WINDOW


class _Answer(NamedTuple):
    """What the networks say of a window: shares or NaN, why not, how far they disagree."""

    shares: np.ndarray
    note: str
    spread: float


@dataclass
class _Open:
    """A bin whose windows are cut but not predicted."""

    bin: Bin
    windows: list[_Window] = field(default_factory=list)


class Timeline:
    """A recording cut into bins.

    Attributes:
        parts: between gaps of more than a second.
        n_bins: bins of the recording.
        n_windows: windows that the networks are asked about at most.
        allow_missing: whether less than three regions will do.
    """

    def __init__(
        self,
        recording: BaseRecording,
        *,
        step: int = BIN,
        edges: str = EDGES[0],
        short: str | None = None,
        filling: str = FILLINGS[0],
        allow_missing: bool = False,
        block: int = BLOCK,
    ) -> None:
        """Find out where windows lie; nothing is predicted yet.

        Args:
            recording: the recording, open, which nobody else reads.
            step: seconds between windows, one of STEPS.
            edges: one of EDGES.
            short: how parts of 10 to 50 s are placed in the middle of 50 s, as `hbaclib.place_short` takes it; None:
                they are not evaluated.
            filling: what lies in the ten minutes beyond the recording's ends, one of FILLINGS.
            allow_missing: predict from less than three regions, too, as long as there is one.
            block: samples that are read and whose spectrogram is computed at a time.

        Raises:
            ConfigError: there is no such step, edge, placing or filling.
            DataFileError: the recording cannot be used, or no part of it is long enough.
        """
        for name, value, known in (("step", step, STEPS), ("edges", edges, EDGES), ("filling", filling, FILLINGS)):
            if value not in known:
                raise ConfigError(f"{name} = {value!r}; expected one of {', '.join(map(str, known))}")
        if short is not None:
            check_how(short)
        self._recording, self._edges, self._short, self._filling, self._block = recording, edges, short, filling, block
        self.allow_missing = allow_missing
        self._most_neutral = len(REGIONS) - 1 if allow_missing else MOST_NEUTRAL
        if recording.montage_fault and (not allow_missing or len(recording.neutral) == len(REGIONS)):
            raise DataFileError(f"{recording.path}: {recording.montage_fault}")
        self.parts = recorded_parts(recording)
        self._offsets = [(step * number + step / 2) * EEG_RATE for number in range(BIN // step)]
        self.n_bins = -(-recording.n_samples // _SAMPLES)
        self._refuse_short()
        self.n_windows = sum(n_windows(part, step) for part in self.parts)

    def bins(self, predictor: EnsemblePredictor, *, spread: bool = False) -> Iterator[Bin]:
        """Predict, bin by bin, in time's order.

        Args:
            predictor: what predicts.
            spread: whether the bins say how far its members disagree.
        """
        filled = (self._predicted(predictor, chunk, spread) for chunk in self._chunks(predictor.sees_spectrograms))
        bins = (each for chunk in filled for each in chunk)
        return _nearest(bins) if self._edges == "nearest" else bins

    @property
    def warning(self) -> str:
        """What whoever sees the shares has to know, where less than three regions will do; else empty."""
        if not self.allow_missing:
            return ""
        lacks = self._recording.montage_fault or "rows with less than three of the four regions"
        return f"warning: {lacks}; predicted all the same (--allow-missing), the networks know no such EEG"

    def clock(self, seconds: float) -> str:
        """Date and time of a second of the recording, in the form of ISO 8601; empty where they are not known."""
        begun = self._recording.clock
        return "" if begun is None else (begun + timedelta(seconds=seconds)).isoformat()

    def _refuse_short(self) -> None:
        longest = max((stop - start for start, stop in self.parts), default=0)
        least = LEAST_SAMPLES if self._short else EEG_WINDOW
        if longest >= least:
            return
        if not longest:
            raise DataFileError(f"{self._recording.path}: no signal: every sample is missing; expected an EEG")
        hint = ""
        if longest >= LEAST_SAMPLES:
            hint = f"; hbac predict --short nan or --short reflect evaluates {LEAST_SAMPLES // EEG_RATE} s and more"
        raise DataFileError(
            f"{self._recording.path}: its longest segment is {longest / EEG_RATE:g} s; expected at least "
            f"{least // EEG_RATE} s without a gap{hint}"
        )

    def _chunks(self, wanted: bool) -> Iterator[list[_Open]]:
        """Bins in time's order, so many at a time that their windows fit into memory."""
        ring = Ring(self._recording, self.parts, block=self._block)
        chunk: list[_Open] = []
        count = 0
        for number in range(self.n_bins):
            chunk.append(self._open(number, ring, wanted))
            count += len(chunk[-1].windows)
            if count >= _CHUNK or len(chunk) >= 10 * _CHUNK:
                yield chunk
                chunk, count = [], 0
        if chunk:
            yield chunk

    def _open(self, number: int, ring: Ring, wanted: bool) -> _Open:
        first = number * _SAMPLES
        stop = min(first + _SAMPLES, self._recording.n_samples)
        ring.forget(first - EEG_WINDOW)
        part, usable = ring.part_of(number), ring.usable(number)
        starts = [first + round(offset) - EEG_WINDOW // 2 for offset in self._offsets]
        starts = [start for start in starts if part >= 0 and _within(start, self.parts[part])]
        reason, recorded = "", EEG_WINDOW
        if part < 0:
            reason = GAP
        elif not starts:
            begin, end = self.parts[part]
            reason = EDGE if end - begin >= EEG_WINDOW else f"{TOO_SHORT} ({(end - begin) / EEG_RATE:g} s)"
            middle = (begin + end) // 2
            if self._short and LEAST_SAMPLES <= end - begin < EEG_WINDOW:
                reason = EDGE
                if first <= middle < first + _SAMPLES:
                    reason, recorded, starts = SHORT, end - begin, [begin]
        windows = []
        if starts and (refusal := usable.refusal(self._most_neutral)):
            reason, starts = refusal, []
        for start in starts:
            centre = start + recorded // 2
            rows = ring.ten_minutes(centre - EEG_WINDOW // 2) if wanted else None
            signals = ring.differences_by(usable, start, start + recorded)
            if recorded < EEG_WINDOW:
                assert self._short
                signals = place_short(signals, self._short)
            if rows is not None:
                rows = place_rows(rows, self._filling)
            windows.append(_Window(signals, rows, recorded))
        if windows:
            reason = "; ".join(filter(None, (reason, *usable.told())))
        context = self._context(first + _SAMPLES // 2)
        if windows and wanted and context < LEAST_CONTEXT:
            reason = "; ".join(filter(None, (reason, SHORT_CONTEXT)))
        nothing = np.full(len(CLASSES), np.nan, np.float32)
        told = usable.missing, usable.quality, usable
        return _Open(Bin(first / EEG_RATE, stop / EEG_RATE, part, nothing, reason, context, *told), windows)

    def _context(self, centre: int) -> float:
        """Share of the ten minutes' rows that the recording has."""
        first = first_row(centre - EEG_WINDOW // 2)
        span = first * _ROW, (first + SPECTROGRAM_WINDOW) * _ROW
        return sum(len(row_centres(self.parts[k], *span)) for k in parts_near(self.parts, *span)) / SPECTROGRAM_WINDOW

    def _predicted(self, predictor: EnsemblePredictor, chunk: Sequence[_Open], spread: bool) -> list[Bin]:
        windows = [window for each in chunk for window in each.windows]
        answers: list[_Answer] = []
        for some in (windows[begin : begin + _CHUNK] for begin in range(0, len(windows), _CHUNK)):
            eeg = np.stack([window.eeg for window in some])
            wanted = [window.rows for window in some if window.rows is not None]
            given = eeg, np.stack(wanted) if wanted else None, [window.recorded for window in some]
            shares, reasons, apart = predictor.judge(*given) if spread else (*predictor.evaluate(*given), None)
            for row, reason in enumerate(reasons):
                note = f"{SIGNAL}: {reason}" if reason else ""
                answers.append(_Answer(shares[row], note, float("nan") if apart is None else float(apart[row])))
        found, at = [], 0
        for each in chunk:
            own_answers = answers[at : at + len(each.windows)]
            at += len(each.windows)
            found.append(_joined(each.bin, own_answers) if own_answers else each.bin)
        return found


def _within(start: int, part: Part) -> bool:
    return part[0] <= start and start + EEG_WINDOW <= part[1]


def _joined(found: Bin, answers: Sequence[_Answer]) -> Bin:
    """A bin with the mean of its windows' shares, and of their disagreement, of those that have any."""
    known = [each for each in answers if np.isfinite(each.shares).all()]
    if not known:
        return replace(found, reason=answers[0].note)
    shares = np.mean([each.shares for each in known], axis=0, dtype=np.float64)
    notes = dict.fromkeys(filter(None, (found.reason, *(each.note for each in known))))
    return replace(
        found,
        shares=(shares / shares.sum()).astype(np.float32),
        reason="; ".join(notes),
        spread=float(np.mean([each.spread for each in known])),
    )


def _nearest(bins: Iterator[Bin]) -> Iterator[Bin]:
    """Give the bins at a part's edges the shares of the nearest one that has some."""
    waiting: list[Bin] = []
    last: Bin | None = None
    for each in bins:
        if waiting and each.part != waiting[0].part:
            yield from waiting
            waiting = []
        if last is not None and last.part != each.part:
            last = None
        if each.reason == EDGE and each.state == NOT_EVALUATED:
            if last is None:
                waiting.append(each)
                continue
            each = replace(each, shares=last.shares, spread=last.spread, reason=COPIED)
        elif each.state != NOT_EVALUATED:
            yield from (replace(one, shares=each.shares, spread=each.spread, reason=COPIED) for one in waiting)
            waiting, last = [], each
        else:
            yield from waiting
            waiting = []
            last = None
        yield each
    yield from waiting


def as_row(line: Timeline, found: Bin) -> dict[str, Any]:
    """A bin as a row of the table, without the file's name."""
    return {
        "start": found.start,
        "stop": found.stop,
        "clock": line.clock(found.start),
        **dict(zip(VOTE_COLUMNS, found.shares.tolist(), strict=True)),
        "state": found.state,
        "reason": found.reason,
        "context": round(found.context, 4),
        "missing": round(found.missing, 4),
        "quality": round(found.quality, 4),
    }
