"""What happens in a synthetic night, and when: patterns, artefacts, electrodes that fall off, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hbaclib.conventions import CHAINS, PATTERNS
from hbaclib.dataset.synthetic.draws import log_uniform

TRUTH_COLUMNS = ("onset", "duration", "class")
"""Columns of the table that holds what happens when."""
ARTEFACT, MIMIC, GAP, OFF = "artefact", "mimic", "gap", "off"
"""What the truth calls times at which no class holds."""
PATTERN_SHARE = 0.15
"""Share of a night in which there is a pattern, more where patterns last: pauses are of _LONGEST_PAUSE s on average at
most. An intensive care unit's night is mostly Other."""
_LONGEST_PAUSE = 900.0
_SEIZURE, _OTHERS = (20.0, 120.0), (40.0, 600.0)
_APART = 60
"""Seconds between two episodes, gaps or ends at least."""
_BURSTS, _MIMICS, _FALLS = 6.0, 2.0, 0.5
"""Artefacts of each kind in an hour, and electrodes that fall off."""
_ON_HEAD = sorted({name for chain in CHAINS.values() for name in chain})


@dataclass(frozen=True)
class Event:
    """Something that lasts for a while.

    Attributes:
        onset: seconds from the night's begin, gaps included.
        duration: seconds.
        kind: one of PATTERNS; ARTEFACT, MIMIC, GAP; or OFF and the electrode.
    """

    onset: float
    duration: float
    kind: str

    @property
    def end(self) -> float:
        """Second at which it ends."""
        return self.onset + self.duration


@dataclass(frozen=True)
class NightPlan:
    """A night.

    Attributes:
        seconds: its length by the clock.
        events: all of them, by onset.
    """

    seconds: int
    events: tuple[Event, ...]

    def of(self, *kinds: str) -> list[Event]:
        """Events of some kinds; OFF stands for every electrode's."""
        return [event for event in self.events if event.kind.split(" ")[0] in kinds]

    def record_onsets(self) -> np.ndarray:
        """Seconds at which the records of one second begin, none in a gap."""
        gaps, onsets, at = self.of(GAP), list[float](), 0.0
        for gap in [*gaps, Event(float(self.seconds), 0.0, GAP)]:
            n_records = int(gap.onset - at)
            onsets += [at + k for k in range(n_records)]
            at = gap.end
        return np.array(onsets)


def plan_night(hours: float, n_gaps: int, rng: np.random.Generator) -> NightPlan:
    """Draw what happens in a night.

    Args:
        hours: its length.
        n_gaps: gaps of 5 to 600 s; fewer where so many do not fit.
        rng: source of everything.
    """
    seconds = round(hours * 3600)
    episodes = _episodes(seconds, rng)
    gaps = _gaps(seconds, n_gaps, rng)
    events = [*episodes, *gaps]
    for kind, an_hour, length in ((ARTEFACT, _BURSTS, (8.0, 30.0)), (MIMIC, _MIMICS, (15.0, 60.0))):
        for _ in range(rng.poisson(an_hour * hours)):
            duration = float(rng.uniform(*length))
            onset = float(rng.uniform(0, max(1.0, seconds - duration)))
            # What only looks like a pattern is to be told from one: it comes alone.
            if kind == ARTEFACT or not _near(onset, duration, episodes):
                events.append(Event(onset, duration, kind))
    for _ in range(rng.poisson(_FALLS * hours) or 1):
        duration = min(log_uniform(rng, 60, 900), seconds / 4)
        events.append(Event(float(rng.uniform(0, seconds - duration)), duration, f"{OFF} {rng.choice(_ON_HEAD)}"))
    return NightPlan(seconds, tuple(sorted(events, key=lambda event: (event.onset, event.kind))))


def _episodes(seconds: int, rng: np.random.Generator) -> list[Event]:
    """Patterns, each class in its turn, one after the other."""
    episodes: list[Event] = []
    order: list[str] = []
    at = float(_APART)
    while True:
        order = order or [str(name) for name in rng.permutation(PATTERNS)]
        kind = order.pop()
        duration = log_uniform(rng, *(_SEIZURE if kind == "Seizure" else _OTHERS))
        duration = min(duration, seconds / 5)
        mean = min(duration * (1 - PATTERN_SHARE) / PATTERN_SHARE, _LONGEST_PAUSE)
        at += _APART + float(rng.exponential(max(mean - _APART, 1.0)))
        if at + duration + _APART > seconds:
            return episodes
        episodes.append(Event(at, duration, kind))
        at += duration


def _gaps(seconds: int, n_gaps: int, rng: np.random.Generator) -> list[Event]:
    """Gaps that begin with a whole record; what comes behind one begins at a quarter of a second."""
    found: list[Event] = []
    for _ in range(100 * n_gaps):
        if len(found) == n_gaps:
            break
        duration = round(4 * min(log_uniform(rng, 5, 600), seconds / (4 * n_gaps))) / 4
        onset = float(rng.uniform(_APART, max(_APART + 1, seconds - duration - _APART)))
        if onset + duration + _APART < seconds and not _near(onset, duration, found):
            found.append(Event(onset, duration, GAP))
    found.sort(key=lambda event: event.onset)
    # Whole records lie between them.
    placed, at = list[Event](), 0.0
    for event in found:
        onset = at + int(event.onset - at)
        placed.append(Event(onset, event.duration, GAP))
        at = placed[-1].end
    return placed


def _near(onset: float, duration: float, events: Sequence[Event]) -> bool:
    return any(onset < event.end + _APART and event.onset - _APART < onset + duration for event in events)
