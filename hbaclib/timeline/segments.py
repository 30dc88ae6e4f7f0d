"""From the shares of ten-second bins to segments with one state each, and what they add up to hour by hour.

A class begins where its share is high and leads, and goes on for as long as its share is not low and no other one
overtakes it: so a share that wavers about one half does not break a pattern into pieces. Where no class has begun, or
calibrated doubt is too great, the state is doubtful; where nothing was evaluated it is that, and nothing is drawn
across such a stretch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from scipy.optimize import brentq

from hbaclib.conventions import CLASSES, PATTERNS
from hbaclib.errors import ConfigError
from hbaclib.timeline.bins import NOT_EVALUATED, Bin

DOUBTFUL: Final = "doubtful"
"""State of an evaluated bin in which no class has begun, or in which the doubt is too great."""
OTHER: Final = CLASSES.index("Other")
SEIZURE: Final = CLASSES.index("Seizure")
STATES: Final = (*CLASSES, DOUBTFUL, NOT_EVALUATED)

PREVALENCE: Final = ((0.9, "continuous"), (0.5, "abundant"), (0.1, "frequent"), (0.01, "occasional"), (0.0, "rare"))
"""Words for the share of time that a pattern takes, each from its share on.

Source: American Clinical Neurophysiology Society, critical care EEG terminology, 2021.
"""
STATUS_SHARE, STATUS_SECONDS, STATUS_ON_END = 0.2, 3600, 600
"""Seizures in a fifth of any hour, or for ten minutes on end, are the criterion of electrographic status epilepticus.

Source: as `PREVALENCE`.
"""
_HOUR = 3600
_WEIGHTS = (1.0, 2.0, 1.0)


@dataclass(frozen=True)
class Rules:
    """When a class begins, goes on, and is joined.

    Attributes:
        enter: a class begins where it has this share or more ...
        lead: ... and leads the next one by as much.
        stay: it goes on while it has this share or more, and no other one leads it by ``lead``.
        seizure: share at which seizures begin, whatever else leads; they go on while they have the same part of it that
            ``stay`` is of ``enter``. None: as every class.
        join: seconds: segments of one class that are no further apart become one, unless what lies between was not
            evaluated or holds another pattern.
        shortest: seconds: a pattern below it is doubtful.
        doubt: a bin with more doubt is doubtful, ...
        widest: ... and one of whose classes as many may well be meant; where nothing tells, none is for that. A seizure
            by a threshold of its own stays one.
    """

    enter: float = 0.5
    lead: float = 0.1
    stay: float = 0.35
    seizure: float | None = None
    join: float = 20.0
    shortest: float = 10.0
    doubt: float = 0.5
    widest: int = 4

    def __post_init__(self) -> None:
        """Refuse rules that contradict themselves.

        Raises:
            ConfigError: a share is not between 0 and 1, a class would end at a share at which it begins, or a time is
                negative.
        """
        shares = {"enter": self.enter, "lead": self.lead, "stay": self.stay, "seizure": self.seizure}
        for name, value in (shares | {"doubt": self.doubt}).items():
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} = {value!r}; expected a share between 0 and 1")
        if self.widest < 2:
            raise ConfigError(f"widest = {self.widest!r}; expected two classes or more")
        if not 0 < self.stay <= self.enter:
            raise ConfigError(f"stay = {self.stay:g}; expected above 0 and at most enter, {self.enter:g}")
        for name, value in (("join", self.join), ("shortest", self.shortest)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} = {value!r}; expected seconds, 0 or more")


@dataclass(frozen=True)
class Segment:
    """A stretch of one state.

    Attributes:
        onset: seconds from the recording's first sample.
        duration: seconds.
        state: one of STATES.
        share: mean share of the class over its bins, of the leading one where that is doubtful; NaN if not evaluated.
        bins: number of bins.
        reason: why it was not evaluated; of a doubtful one the two leading classes, as ``LPD|GPD``.
        doubt: mean doubt of its bins; NaN where nothing tells.
    """

    onset: float
    duration: float
    state: str
    share: float
    bins: int
    reason: str
    doubt: float = float("nan")


def reweighed(shares: np.ndarray, trained: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Shares as they would be if the classes were as frequent as ``prior`` says instead of as in training.

    Args:
        shares: (n, 6) that sum to 1; NaN stays.
        trained: (6,) class means of what the networks were trained on.
        prior: (6,) class means that are expected.
    """
    odds = np.asarray(shares, np.float64) * (np.asarray(prior) / np.asarray(trained))
    return odds / odds.sum(axis=1, keepdims=True)


def estimated_prior(
    shares: np.ndarray, trained: np.ndarray, bounds: tuple[float, float] = (0.2, 5.0), steps: int = 100
) -> np.ndarray:
    """(6,) class means of one recording, by expectation and maximisation.

    Args:
        shares: (n, 6) that sum to 1; rows of NaN do not count.
        trained: (6,) class means of what the networks were trained on.
        bounds: the odds of a class are moved by these factors at most.
        steps: of the iteration, at most.

    Source: M. Saerens, P. Latinne, C. Decaestecker, Neural Computation 14, 2002.
    """
    known = np.asarray(shares, np.float64)
    known = np.maximum(known[np.isfinite(known).all(axis=1)], 1e-9)
    trained = np.asarray(trained, np.float64)
    prior = trained
    if not len(known):
        return trained
    odds = trained / (1 - trained)
    low, high = (factor * odds / (1 + factor * odds) for factor in bounds)
    for _ in range(steps):
        found = _bounded(reweighed(known, trained, prior).mean(axis=0), low, high)
        if np.abs(found - prior).max() < 1e-6:
            break
        prior = found
    return prior


def _bounded(prior: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Class means within bounds that sum to 1: all are brought to it by one factor, as far as their bounds let them."""

    def excess(factor: float) -> float:
        return float(np.clip(factor * prior, low, high).sum() - 1)

    most = float((high / np.maximum(prior, np.finfo(float).tiny)).max())
    return np.clip(brentq(excess, 0.0, most) * prior, low, high)


def smoothed(shares: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    """Mean of every bin with its neighbours, which count half as much; none is taken from across a gap.

    Args:
        shares: (n, 6); NaN where nothing was evaluated, which stays and is no neighbour.
        parts: (n,) part of the recording that each bin lies in.
    """
    shares, numbers = np.asarray(shares, np.float64), np.asarray(parts)
    known = np.isfinite(shares).all(axis=1)
    total, weight = np.zeros_like(shares), np.zeros(len(shares))
    for offset, factor in zip((-1, 0, 1), _WEIGHTS, strict=True):
        here = np.arange(len(shares))
        there = here + offset
        inside = (there >= 0) & (there < len(shares))
        here, there = here[inside], there[inside]
        counts = known[here] & known[there] & (numbers[here] == numbers[there])
        total[here[counts]] += factor * shares[there[counts]]
        weight[here[counts]] += factor
    return np.where(known[:, None], total / np.maximum(weight, 1)[:, None], np.nan)


def decided(shares: np.ndarray, parts: Sequence[int], rules: Rules | None = None) -> list[str]:
    """State of every bin, by hysteresis; durations are not looked at yet.

    Args:
        shares: (n, 6), smoothed; NaN where nothing was evaluated.
        parts: (n,) part of the recording that each bin lies in: no class goes on from one into the next.
        rules: when a class begins and ends; those by default without.
    """
    rules = rules or Rules()
    states: list[str] = []
    current, before = None, -1
    for row, part in zip(np.asarray(shares, np.float64), parts, strict=True):
        known = bool(np.isfinite(row).all())
        if not known or part != before or (current is not None and not _goes_on(row, current, rules)):
            current = None
        before = part
        if known and (begun := _begun(row, current, rules)) is not None:
            current = begun
        states.append(NOT_EVALUATED if not known else DOUBTFUL if current is None else CLASSES[current])
    return states


def _goes_on(row: np.ndarray, current: int, rules: Rules) -> bool:
    if current == SEIZURE and rules.seizure is not None:
        return bool(row[current] >= rules.seizure * rules.stay / rules.enter)
    return bool(row[current] >= rules.stay and row.max() - row[current] < rules.lead)


def _begun(row: np.ndarray, current: int | None, rules: Rules) -> int | None:
    """The class that begins with a bin; a seizure by a threshold of its own begins whatever else goes on."""
    if rules.seizure is not None and row[SEIZURE] >= rules.seizure:
        return SEIZURE
    first, second = np.argsort(-row, kind="stable")[:2]
    if current is not None or (first == SEIZURE and rules.seizure is not None):
        return None
    return int(first) if row[first] >= rules.enter and row[first] - row[second] >= rules.lead else None


def find_segments(
    bins: Sequence[Bin], rules: Rules | None = None, shares: np.ndarray | None = None
) -> tuple[list[str], list[Segment]]:
    """Cut a recording into segments that tile it.

    Args:
        bins: all of the recording, in time's order.
        rules: when a class begins, goes on, and is joined.
        shares: (n, 6) in place of those of the bins, say under another prior; not smoothed.

    Returns:
        The state of every bin, and the segments: none overlaps, and their durations add up to the recording's.
    """
    rules = rules or Rules()
    if not bins:
        return [], []
    own = np.stack([each.shares for each in bins]).astype(np.float64) if shares is None else np.asarray(shares)
    parts = [each.part for each in bins]
    states = decided(smoothed(own, parts), parts, rules)
    states = _without_short(_abstained(_joined(states, bins, rules), bins, rules), bins, rules)
    runs = _runs(states, bins)
    return states, [_segment(state, bins[first:stop], own[first:stop]) for state, first, stop in runs]


def _key(state: str, one: Bin) -> tuple[str, int, str]:
    """What bins of one segment share: time that was not evaluated is parted by its reasons, all else by gaps."""
    return (state, -1, one.reason) if state == NOT_EVALUATED else (state, one.part, "")


def _runs(states: Sequence[str], bins: Sequence[Bin]) -> list[tuple[str, int, int]]:
    """State, first bin and the bin behind the last of every stretch."""
    runs = []
    for (state, _, _), group in groupby(range(len(bins)), key=lambda k: _key(states[k], bins[k])):
        numbers = list(group)
        runs.append((state, numbers[0], numbers[-1] + 1))
    return runs


def _joined(states: Sequence[str], bins: Sequence[Bin], rules: Rules) -> list[str]:
    """Join what is of one class and not far apart.

    A pattern takes in doubt and Other that lie between; Other takes in doubt alone, so that no pattern is lost in it.
    """
    states = list(states)
    for index, name in enumerate(CLASSES):
        yields = (DOUBTFUL,) if index == OTHER else (DOUBTFUL, CLASSES[OTHER])
        last: int | None = None
        for k, state in enumerate(states):
            if state == name:
                if last is not None and k - last > 1 and bins[k].start - bins[last].stop <= rules.join:
                    states[last + 1 : k] = [name] * (k - last - 1)
                last = k
            elif state not in yields or (last is not None and bins[k].part != bins[last].part):
                last = None
    return states


def _abstained(states: Sequence[str], bins: Sequence[Bin], rules: Rules) -> list[str]:
    """Nothing is called, nor bridged, where the doubt is too great: whoever reads a class there can rely on it."""
    asked = {CLASSES[SEIZURE]} if rules.seizure is not None else set()
    return [
        DOUBTFUL
        if state not in (NOT_EVALUATED, *asked) and (one.doubt > rules.doubt or len(one.classes) >= rules.widest)
        else state
        for state, one in zip(states, bins, strict=True)
    ]


def _without_short(states: Sequence[str], bins: Sequence[Bin], rules: Rules) -> list[str]:
    """Patterns below the shortest duration are doubtful: they are too brief to be called."""
    states = list(states)
    for state, first, stop in _runs(states, bins):
        if state in PATTERNS and bins[stop - 1].stop - bins[first].start < rules.shortest:
            states[first:stop] = [DOUBTFUL] * (stop - first)
    return states


def _segment(state: str, bins: Sequence[Bin], shares: np.ndarray) -> Segment:
    onset, end = bins[0].start, bins[-1].stop
    if state == NOT_EVALUATED:
        return Segment(onset, end - onset, state, float("nan"), len(bins), bins[0].reason)
    mean, doubt = shares.mean(axis=0), float(np.mean([each.doubt for each in bins]))
    first, second = np.argsort(-mean, kind="stable")[:2]
    index, reason = int(first), f"{CLASSES[first]}|{CLASSES[second]}"
    if state != DOUBTFUL:
        notes = dict.fromkeys(each.reason for each in bins if each.reason)
        index, reason = CLASSES.index(state), "; ".join(notes)
    return Segment(onset, end - onset, state, float(mean[index]), len(bins), reason, doubt)


@dataclass(frozen=True)
class Hour:
    """What an hour of a recording holds.

    Attributes:
        start: seconds from the recording's first sample.
        minutes: of the hour that were evaluated.
        burden: class -> share of the evaluated time; empty where nothing was evaluated.
        doubtful: share of the evaluated time without a class.
    """

    start: float
    minutes: float
    burden: Mapping[str, float]
    doubtful: float

    def prevalence(self, name: str) -> str:
        """The field's word for how much of the hour a class takes; empty where it takes nothing."""
        share = self.burden.get(name, 0.0)
        return next(word for least, word in PREVALENCE if share >= least) if share > 0 else ""


def hourly_burden(segments: Sequence[Segment]) -> list[Hour]:
    """Hour by hour, from the recording's first sample on, how much of what was evaluated each class takes."""
    if not segments:
        return []
    end = max(each.onset + each.duration for each in segments)
    hours = []
    for start in range(0, int(np.ceil(end)), _HOUR):
        seconds = dict.fromkeys(STATES, 0.0)
        for each in segments:
            overlap = min(each.onset + each.duration, start + _HOUR) - max(each.onset, start)
            seconds[each.state] += max(0.0, overlap)
        evaluated = sum(value for state, value in seconds.items() if state != NOT_EVALUATED)
        burden = {name: seconds[name] / evaluated for name in CLASSES} if evaluated else {}
        hours.append(
            Hour(float(start), evaluated / 60, burden, seconds[DOUBTFUL] / evaluated if evaluated else float("nan"))
        )
    return hours


def status_criterion(segments: Sequence[Segment]) -> list[tuple[float, float]]:
    """Stretches (begin, end), in seconds, over which seizures fill a fifth of an hour, or ten minutes on end.

    What is computed is no diagnosis. Hours that begin with a seizure are looked at, which hold the fullest one.
    """
    seizures = [(each.onset, each.onset + each.duration) for each in segments if each.state == CLASSES[SEIZURE]]
    found = [(begin, end) for begin, end in seizures if end - begin >= STATUS_ON_END]
    edges = sorted({edge for begin, end in seizures for edge in (begin, end - STATUS_SECONDS)})
    for start in edges:
        stop = start + STATUS_SECONDS
        inside = [(max(begin, start), min(end, stop)) for begin, end in seizures if begin < stop and end > start]
        if inside and sum(end - begin for begin, end in inside) >= STATUS_SHARE * STATUS_SECONDS:
            found.append((inside[0][0], inside[-1][1]))
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged
