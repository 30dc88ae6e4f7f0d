"""How well a timeline finds what a recording holds: bins, events by two rules, burden.

A score of events depends on its rules more than on the timeline: the same predictions have been counted as 9 and as 137
false alarms a day. So there are two, SzCORE's, made for discrete seizures, and a strict one without merging; and beside
them the bins, which know no events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, PATTERNS
from hbaclib.dataset.csv_tables import read_text_csv
from hbaclib.dataset.synthetic.night_plan import ARTEFACT, GAP, MIMIC, OFF, TRUTH_COLUMNS
from hbaclib.errors import DataError, DataFileError, PlatformError, list_some
from hbaclib.recordings.found import ENDING
from hbaclib.timeline.bins import NOT_EVALUATED
from hbaclib.timeline.segments import DOUBTFUL, OTHER, STATES

if TYPE_CHECKING:
    from timescoring.scoring import EventScoring

NO_CLASS: Final = (ARTEFACT, MIMIC, GAP, OFF)
"""What a truth may hold beside the classes: artefacts, gaps, and `OFF` with an electrode's name."""
SZCORE: Final[dict[str, float]] = {
    "toleranceStart": 30, "toleranceEnd": 60, "minOverlap": 0, "maxEventDuration": 300, "minDurationBetweenEvents": 90
}  # fmt: skip
"""Rules of SzCORE's events: any overlap, merged below 90 s, split above 5 min."""
STRICT: Final[dict[str, float]] = {
    "toleranceStart": 10, "toleranceEnd": 10, "minOverlap": 0, "maxEventDuration": float("inf"),
    "minDurationBetweenEvents": 0,
}  # fmt: skip
"""Rules of the strict events: any overlap within ten seconds, nothing merged or split."""
_RULES = {"szcore": SZCORE, "strict": STRICT}
_RATE = 10
_DAY, _HOUR = 86_400, 3600


@dataclass(frozen=True)
class Scored:
    """The bins of one recording beside its truth.

    Attributes:
        starts: (n,) seconds from the recording's first sample.
        stops: (n,) the same.
        states: (n,) one of STATES each.
        truth: (n,) the class that holds for most of each bin.
        events: class -> (onset, end) of each of its events.
    """

    starts: np.ndarray
    stops: np.ndarray
    states: np.ndarray
    truth: np.ndarray
    events: dict[str, list[tuple[float, float]]]

    @property
    def evaluated(self) -> np.ndarray:
        """(n,) whether a bin has a state other than NOT_EVALUATED."""
        return self.states != NOT_EVALUATED


def read_truth(path: str | Path) -> pd.DataFrame:
    """Read a table of what holds when, as ``hbac synth --edf`` writes it beside a night.

    Args:
        path: CSV with ``onset`` and ``duration`` in seconds from the recording's first sample on, gaps included, and
            ``class``: a class, or one of NO_CLASS. Where there is no row, the class is Other.

    Raises:
        DataFileError: it is no such table, or classes overlap; naming the row.
    """
    cells = read_text_csv(path, TRUTH_COLUMNS).cells.to_pandas()
    table = pd.DataFrame({"class": cells["class"]})
    for column in TRUTH_COLUMNS[:2]:
        table[column] = pd.to_numeric(cells[column], errors="coerce")
        wrong = np.flatnonzero(~(np.isfinite(table[column]) & (table[column] >= 0)))
        if len(wrong):
            told = cells[column].iloc[wrong[0]]
            raise DataFileError(f"{path}: {column} of row {wrong[0] + 1} is {told!r}; expected seconds, 0 or more")
    known = {*CLASSES, *NO_CLASS}
    for number, name in enumerate(table["class"], 1):
        if name not in known and name.split(" ")[0] != OFF:
            raise DataFileError(
                f"{path}: class of row {number} is {name!r}; expected {', '.join(CLASSES)}, or {', '.join(NO_CLASS)}"
            )
    ordered = table[table["class"].isin(CLASSES)].sort_values("onset", kind="stable")
    ends = (ordered["onset"] + ordered["duration"]).to_numpy()
    early = np.flatnonzero(ordered["onset"].to_numpy()[1:] < ends[:-1] - 1e-6)
    if len(early):
        first, second = (int(ordered.index[early[0] + k]) + 1 for k in (0, 1))
        raise DataFileError(f"{path}: rows {first} and {second} overlap; expected one class at a time")
    return table[list(TRUTH_COLUMNS)]


def read_timeline(path: str | Path) -> pd.DataFrame:
    """Read the timeline of one recording: columns ``file``, ``start``, ``stop``, ``state``.

    Raises:
        DataFileError: it is no such table, of several recordings, or its bins do not follow one another.
    """
    path = Path(path)
    columns = ["file", "start", "stop", "state"]
    if path.suffix.lower() == ENDING:
        try:
            table = pd.read_parquet(path, columns=columns)
        except (OSError, ValueError) as error:
            raise DataFileError(f"{path}: no timeline in Parquet ({error})") from None
    else:
        table = read_text_csv(path, columns).cells.to_pandas()
    for column in ("start", "stop"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    if table["file"].nunique() != 1:
        raise DataFileError(
            f"{path}: bins of {table['file'].nunique()} recordings ({list_some(table['file'].unique())}); expected one"
        )
    starts, stops = table["start"].to_numpy(), table["stop"].to_numpy()
    wrong = np.flatnonzero(~((stops > starts) & (starts == np.r_[0.0, stops[:-1]])))
    if len(wrong):
        raise DataFileError(
            f"{path}: row {wrong[0] + 1} is of {starts[wrong[0]]:g} to {stops[wrong[0]]:g} s; "
            "expected bins from 0 s on, one after the other"
        )
    unknown = np.flatnonzero(~table["state"].isin(STATES))
    if len(unknown):
        told = table["state"].iloc[unknown[0]]
        raise DataFileError(f"{path}: state of row {unknown[0] + 1} is {told!r}; expected {', '.join(STATES)}")
    return table


def beside(timeline: pd.DataFrame, truth: pd.DataFrame) -> Scored:
    """Put a timeline beside its truth.

    Args:
        timeline: bins, as `read_timeline` gives them.
        truth: events, as `read_truth` gives them.
    """
    starts, stops = timeline["start"].to_numpy(float), timeline["stop"].to_numpy(float)
    seconds = np.zeros((len(starts), len(CLASSES)))
    events: dict[str, list[tuple[float, float]]] = {name: [] for name in CLASSES}
    for onset, duration, name in truth[list(TRUTH_COLUMNS)].itertuples(index=False):
        if name in events:
            end = min(onset + duration, stops[-1])
            if end > onset:
                events[name].append((onset, end))
            seconds[:, CLASSES.index(name)] += np.clip(np.minimum(stops, end) - np.maximum(starts, onset), 0, None)
    seconds[:, OTHER] += stops - starts - seconds.sum(axis=1)
    held = np.array(CLASSES)[seconds.argmax(axis=1)]
    return Scored(starts, stops, timeline["state"].to_numpy(str), held, events)


def score_timelines(recordings: Sequence[Scored]) -> dict[str, Any]:
    """Score timelines, all of them together.

    Returns:
        JSON values: ``hours`` and ``evaluated_hours``; ``doubtful``, the share of the evaluated time; ``kappa`` of the
        bins that have a class; ``classes``: for every class its hours, sensitivity, precision and F1 of these bins and
        the mean absolute error of its hourly burden; for the patterns ``szcore`` and ``strict`` events: number,
        sensitivity, precision, F1 and false alarms in 24 h. Null where there is nothing to count.

    Raises:
        DataError: there is nothing that was evaluated.
        PlatformError: timescoring is not installed.
    """
    from sklearn.metrics import cohen_kappa_score

    if not any(one.evaluated.any() for one in recordings):
        raise DataError("no bin was evaluated; there is nothing to score")
    states, truth, lengths = (
        np.concatenate([getattr(one, name) if name else one.stops - one.starts for one in recordings])
        for name in ("states", "truth", "")
    )
    evaluated = states != NOT_EVALUATED
    called = evaluated & (states != DOUBTFUL)
    several = len(set(states[called]) | set(truth[called])) > 1
    found: dict[str, Any] = {
        "hours": lengths.sum() / _HOUR,
        "evaluated_hours": lengths[evaluated].sum() / _HOUR,
        "doubtful": lengths[states == DOUBTFUL].sum() / lengths[evaluated].sum(),
        "kappa": float(cohen_kappa_score(truth[called], states[called])) if several else None,
        "classes": {},
    }
    for name in CLASSES:
        real, said = truth[called] == name, states[called] == name
        row = {
            "hours": lengths[truth == name].sum() / _HOUR,
            **_rates(int((real & said).sum()), real.sum(), said.sum()),
        }
        row["burden_error"] = _burden_error(recordings, name)
        if name in PATTERNS:
            row |= {rules: _events(recordings, name, options) for rules, options in _RULES.items()}
        found["classes"][name] = row
    return found


def _rates(both: float, real: float, said: float) -> dict[str, float | None]:
    return {
        "sensitivity": float(both / real) if real else None,
        "precision": float(both / said) if said else None,
        "f1": float(2 * both / (real + said)) if real + said else None,
    }


def _burden_error(recordings: Sequence[Scored], name: str) -> float | None:
    """Mean over hours of |share said - share true| of the time that was evaluated and has a class."""
    errors = []
    for one in recordings:
        hours = (one.starts // _HOUR).astype(int)
        called = one.evaluated & (one.states != DOUBTFUL)
        for hour in np.unique(hours[called]):
            here = called & (hours == hour)
            errors.append(abs((one.states[here] == name).mean() - (one.truth[here] == name).mean()))
    return float(np.mean(errors)) if errors else None


def _events(recordings: Sequence[Scored], name: str, rules: dict[str, float]) -> dict[str, float | None]:
    """Events of a class, by timescoring; its counts are added over recordings."""
    try:
        from timescoring.annotations import Annotation
        from timescoring.scoring import EventScoring
    except ImportError:
        raise PlatformError("events are scored by timescoring: pip install 'hbaclib[score]'") from None
    hit = real = false = 0
    seconds = 0.0
    for one in recordings:
        length = round(float(one.stops[-1]) * _RATE)
        said = _merged(one, name)
        scored: EventScoring = EventScoring(
            Annotation(list(one.events[name]), _RATE, length),
            Annotation(said, _RATE, length),
            EventScoring.Parameters(**rules),
        )
        hit, real, false = hit + scored.tp, real + scored.refTrue, false + scored.fp
        seconds += float((one.stops - one.starts)[one.evaluated].sum())
    precision = hit / (hit + false) if hit + false else None
    return {
        "events": real,
        "sensitivity": hit / real if real else None,
        "precision": precision,
        "f1": 2 * hit / (2 * hit + false + real - hit) if real + false else None,
        "false_alarms_a_day": false / (seconds / _DAY),
    }


def _merged(one: Scored, name: str) -> list[tuple[float, float]]:
    """(onset, end) of the stretches of one state."""
    is_there = np.r_[False, one.states == name, False]
    edges = np.flatnonzero(is_there[1:] != is_there[:-1]).reshape(-1, 2)
    return [(float(one.starts[first]), float(one.stops[end - 1])) for first, end in edges]
