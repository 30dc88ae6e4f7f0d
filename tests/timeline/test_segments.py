"""Segments: hysteresis, shortest duration, joining, gaps; and what hours and status are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib.conventions import CLASSES
from hbaclib.errors import ConfigError
from hbaclib.timeline.bins import EDGE, GAP, NOT_EVALUATED, Bin
from hbaclib.timeline.segments import (
    DOUBTFUL,
    Rules,
    Segment,
    decided,
    estimated_prior,
    find_segments,
    hourly_burden,
    reweighed,
    smoothed,
    status_criterion,
)

NOTHING = np.full(6, np.nan)


def row(**shares: float) -> np.ndarray:
    """Shares of some classes; what is left is spread over the others."""
    rest = (1 - sum(shares.values())) / (6 - len(shares))
    return np.array([shares.get(name, rest) for name in CLASSES])


def bins_of(rows: Sequence[np.ndarray], parts: Sequence[int] | None = None, reason: str = "") -> list[Bin]:
    parts = parts or [0] * len(rows)
    return [
        Bin(10.0 * k, 10.0 * k + 10, part, shares, reason if np.isfinite(shares).all() else GAP if part < 0 else EDGE,
            1.0, 0.0, 1.0)
        for k, (shares, part) in enumerate(zip(rows, parts, strict=True))
    ]  # fmt: skip


def cut(rows: Sequence[np.ndarray], parts: Sequence[int] | None = None, **rules: float) -> list[tuple]:
    """Onset, duration and state of the segments, of shares that each stand for three bins: smoothing leaves them."""
    found = find_segments(bins_of(rows, parts), Rules(**rules))[1]
    return [(each.onset, each.duration, each.state) for each in found]


def test_a_class_begins_high_and_goes_on_lower() -> None:
    shares = np.stack([row(LPD=p, Other=q) for p, q in [(0.45, 0.3), (0.5, 0.3), (0.36, 0.3), (0.34, 0.3), (0.4, 0.3)]])
    assert decided(shares, [0] * 5) == [DOUBTFUL, "LPD", "LPD", DOUBTFUL, DOUBTFUL]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (row(GPD=0.5, LPD=0.41), DOUBTFUL),  # does not lead by a tenth
        (row(GPD=0.5, LPD=0.39), "GPD"),
        (row(GPD=0.49, LPD=0.2), DOUBTFUL),
        (row(Other=0.9), "Other"),
        (NOTHING, NOT_EVALUATED),
    ],
)
def test_what_a_single_bin_is(shares: np.ndarray, expected: str) -> None:
    assert decided(shares[None], [0]) == [expected]


def test_a_class_ends_when_it_is_overtaken() -> None:
    shares = np.stack([row(GPD=0.6), row(GPD=0.4, LPD=0.45), row(GPD=0.38, LPD=0.49), row(GPD=0.2, LPD=0.7)])
    assert decided(shares, [0] * 4) == ["GPD", "GPD", DOUBTFUL, "LPD"]


@pytest.mark.parametrize(("threshold", "expected"), [(0.2, "Seizure"), (0.31, "LPD"), (None, "LPD")])
def test_seizures_may_begin_by_a_threshold_of_their_own(threshold: float | None, expected: str) -> None:
    assert decided(np.stack([row(Seizure=0.3, LPD=0.6)]), [0], Rules(seizure=threshold)) == [expected]


def test_a_seizure_of_its_own_threshold_goes_on_by_the_same_part_of_it() -> None:
    shares = np.stack([row(Seizure=p, Other=0.6) for p in (0.3, 0.15, 0.13)])
    assert decided(shares, [0] * 3, Rules(seizure=0.2)) == ["Seizure", "Seizure", "Other"]


def test_no_class_goes_on_across_a_gap() -> None:
    shares = np.stack([row(LPD=0.9), row(LPD=0.4, GPD=0.35), NOTHING, row(LPD=0.4, GPD=0.35)])
    assert decided(shares, [0, 0, -1, 1]) == ["LPD", "LPD", NOT_EVALUATED, DOUBTFUL]
    assert decided(shares[[0, 1]], [0, 1]) == ["LPD", DOUBTFUL]


def test_smoothing_takes_nothing_from_across_a_gap_or_from_what_was_not_evaluated() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(6), 6)
    shares[3] = np.nan
    found = smoothed(shares, [0, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(found[0], (2 * shares[0] + shares[1]) / 3)
    np.testing.assert_allclose(found[1], (shares[0] + 2 * shares[1] + shares[2]) / 4)
    np.testing.assert_allclose(found[2], (shares[1] + 2 * shares[2]) / 3)
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(found[4:], shares[4:])


OTHER, SEIZURE, LPD, DOUBT = row(Other=0.9), row(Seizure=0.9), row(LPD=0.9), row(LPD=0.32, GPD=0.32)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Twenty seconds of Other between two of one pattern are joined, thirty are not; other patterns never are.
        ([SEIZURE] * 3 + [OTHER] * 2 + [SEIZURE] * 3, [(0, 80, "Seizure")]),
        ([SEIZURE] * 3 + [OTHER] * 4 + [SEIZURE] * 3, [(0, 30, "Seizure"), (30, 40, "Other"), (70, 30, "Seizure")]),
        ([LPD] * 3 + [SEIZURE] * 2 + [LPD] * 3, [(0, 30, "LPD"), (30, 20, "Seizure"), (50, 30, "LPD")]),
        # A pattern is not lost in Other, which takes in doubt.
        ([OTHER] * 3 + [SEIZURE] + [OTHER] * 3, [(0, 30, "Other"), (30, 10, "Seizure"), (40, 30, "Other")]),
        # Nothing is drawn across time that was not evaluated.
        ([LPD] * 3 + [NOTHING] + [LPD] * 3, [(0, 30, "LPD"), (30, 10, NOT_EVALUATED), (40, 30, "LPD")]),
    ],
)  # fmt: skip
def test_segments_by_hand(rows: list[np.ndarray], expected: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbaclib.timeline.segments.smoothed", lambda shares, parts: shares)
    assert cut(rows) == expected


def test_a_pattern_below_the_shortest_duration_is_doubtful() -> None:
    rows = [OTHER] * 5 + [SEIZURE] * 2 + [OTHER] * 5
    assert [each[2] for each in cut(rows)] == ["Other", "Seizure", "Other"]
    assert "Seizure" not in [each[2] for each in cut(rows, shortest=40.0)]
    # The end of a recording may hold a part of a bin.
    short = bins_of([OTHER] * 3 + [SEIZURE])
    short[-1] = Bin(30.0, 37.5, 0, SEIZURE, "", 1.0, 0.0, 1.0)
    assert find_segments(short)[0][-1] != "Seizure"


def test_what_was_not_evaluated_is_parted_by_its_reasons() -> None:
    found = find_segments(bins_of([NOTHING, NOTHING, LPD, LPD, LPD, NOTHING, NOTHING], [0, 0, 0, 0, 0, 0, -1]))[1]
    assert [(each.state, each.reason, each.bins) for each in found] == [
        (NOT_EVALUATED, EDGE, 2), ("LPD", "", 3), (NOT_EVALUATED, EDGE, 1), (NOT_EVALUATED, GAP, 1)
    ]  # fmt: skip
    assert np.isnan(found[0].share) and found[1].share == pytest.approx(0.9)


def test_a_doubtful_segment_names_its_two_leading_classes() -> None:
    found = find_segments(bins_of([row(GPD=0.4, LPD=0.35)] * 3))[1]
    assert [(each.state, each.reason) for each in found] == [(DOUBTFUL, "GPD|LPD")]
    assert found[0].share == pytest.approx(0.4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.floats(0.2, 1), st.integers(0, 1)), min_size=1, max_size=40),
       st.sampled_from([None, 0.2, 0.7]))  # fmt: skip
def test_segments_tile_the_recording(drawn: list[tuple[int, float, int]], seizure: float | None) -> None:
    rows = [NOTHING if kind > 5 else row(**{CLASSES[kind]: share}) for kind, share, _ in drawn]
    parts = [
        -1 if kind == 7 else part for (kind, _, _), part in zip(drawn, np.cumsum([d[2] for d in drawn]), strict=True)
    ]
    bins = bins_of(rows, parts)
    states, found = find_segments(bins, Rules(seizure=seizure))
    assert found[0].onset == 0 and found[-1].onset + found[-1].duration == 10 * len(bins)
    for one, after in pairwise(found):
        assert one.onset + one.duration == after.onset
    assert sum(each.bins for each in found) == len(bins) == len(states)
    assert [each.state for each in found for _ in range(each.bins)] == states
    for state, shares in zip(states, rows, strict=True):
        assert (state == NOT_EVALUATED) == (not np.isfinite(shares).all())


def test_shares_under_another_prior() -> None:
    trained, prior = np.full(6, 1 / 6), np.array([0.02, 0.04, 0.04, 0.03, 0.05, 0.82])
    found = reweighed(np.stack([np.full(6, 1 / 6), np.eye(6)[0], NOTHING]), trained, prior)
    np.testing.assert_allclose(found[0], prior)
    np.testing.assert_allclose(found[1], np.eye(6)[0])
    assert np.isnan(found[2]).all()


def test_the_prior_of_a_recording_is_found_within_bounds() -> None:
    trained = np.full(6, 1 / 6)
    rng = np.random.default_rng(1)
    truth = np.array([0.05, 0.1, 0.1, 0.1, 0.15, 0.5])
    # A calibrated guesser that was trained on classes of the same frequency.
    classes = rng.choice(6, 20_000, p=truth)
    evidence = rng.normal(size=(len(classes), 6)) + 1.5 * np.eye(6)[classes]
    shares = np.exp(1.5 * evidence)
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(estimated_prior(shares, trained), truth, atol=0.02)
    extreme = estimated_prior(np.tile(row(Other=0.999), (50, 1)), trained)
    odds = extreme / (1 - extreme) / (trained / (1 - trained))
    assert odds[5] == pytest.approx(5, rel=0.01) and odds.min() >= 0.2 and extreme.sum() == pytest.approx(1)
    np.testing.assert_array_equal(estimated_prior(NOTHING[None], trained), trained)


def test_hours_count_what_was_evaluated() -> None:
    parts = [Segment(0, 1800, "Other", 0.9, 180, ""), Segment(1800, 900, "LPD", 0.8, 90, ""),
             Segment(2700, 1800, NOT_EVALUATED, np.nan, 180, GAP), Segment(4500, 30, DOUBTFUL, 0.4, 3, "LPD|GPD"),
             Segment(4530, 270, "Seizure", 0.8, 27, "")]  # fmt: skip
    first, second = hourly_burden(parts)
    assert (first.start, first.minutes, second.start, second.minutes) == (0, 45, 3600, 5)
    assert first.burden["LPD"] == pytest.approx(1 / 3) and first.prevalence("LPD") == "frequent"
    assert first.prevalence("Other") == "abundant" and first.prevalence("GPD") == ""
    assert second.burden["Seizure"] == pytest.approx(0.9) and second.prevalence("Seizure") == "continuous"
    assert second.doubtful == pytest.approx(0.1)
    (empty,) = hourly_burden([Segment(0, 100, NOT_EVALUATED, np.nan, 10, GAP)])
    assert empty.minutes == 0 and not empty.burden and empty.prevalence("LPD") == ""


def seizures(*spans: tuple[float, float]) -> list[Segment]:
    return [Segment(begin, end - begin, "Seizure", 0.9, 1, "") for begin, end in spans]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 590)], []),
        ([(100, 700)], [(100, 700)]),
        ([(0, 360), (3200, 3560)], [(0, 3560)]),  # twelve minutes of sixty
        ([(0, 360), (3300, 3650)], []),  # of which less lies in any hour
        ([(0, 300), (5000, 5700), (20_000, 20_100)], [(5000, 5700)]),
    ],
)
def test_status_criterion(spans: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    assert status_criterion(seizures(*spans)) == expected


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ({"enter": 1.5}, "enter = 1.5; expected a share"),
        ({"stay": 0.6}, "stay = 0.6; expected above 0 and at most enter"),
        ({"seizure": -0.1}, "seizure = -0.1"),
        ({"join": -1.0}, "join = -1.0; expected seconds"),
        ({"shortest": float("nan")}, "shortest = nan"),
    ],
)
def test_rules_that_contradict_themselves(rules: dict[str, float], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Rules(**rules)
