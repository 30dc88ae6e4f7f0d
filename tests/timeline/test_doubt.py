"""Doubt of bins: sets, abstention, what a model without calibration says, and the files and the page that tell it."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hbaclib.conventions import CLASSES
from hbaclib.errors import ConfigError
from hbaclib.evaluation.doubt import Doubt
from hbaclib.timeline.annotations import DOUBT_COLUMNS, SEGMENT_COLUMNS, segment_table
from hbaclib.timeline.bins import Bin, Timeline
from hbaclib.timeline.doubt import Calibration, calibration_of, with_doubt
from hbaclib.timeline.outputs import Read, Reading, read_bins
from hbaclib.timeline.page import Facts, render_page
from hbaclib.timeline.page_data import CHANNELS, NOTHING, Signals, stretches
from hbaclib.timeline.page_data import ROWS as PAGE_ROWS
from hbaclib.timeline.segments import DOUBTFUL, Rules, find_segments
from tests.signal.recordings import noise
from tests.timeline.made import Answers, MadeRecording
from tests.timeline.test_page import array, unpacked
from tests.timeline.test_segments import NOTHING as UNKNOWN
from tests.timeline.test_segments import bins_of, row

SECOND = 200


def made(threshold: float = 0.6, patients: int = 40) -> Doubt:
    """Doubt 0.5 where the leading share is a half and the members agree, 0 from 0.953 on, more where they do not."""
    return Doubt(
        coverage=0.9, threshold=threshold, mean=(0.0, float(np.log(1e-3))), scale=(1.0, 1.0), coefficients=(-1.0, 0.5),
        intercept=0.0, scores=(-3.0, 3.0), doubts=(0.0, 1.0), rows=200, patients=patients, about="<rows> of a test",
    )  # fmt: skip


def calibrated(threshold: float = 0.6) -> Calibration:
    return Calibration(made(threshold), "doubt and sets: calibrated on a test")


def agreeing(rows: list[np.ndarray]) -> list[Bin]:
    """Bins whose members agree."""
    return [Bin(**{**vars(each), "spread": 0.0}) for each in bins_of(rows)]


def doubted(rows: list[np.ndarray], doubts: list[float], sizes: list[int] | None = None) -> list[Bin]:
    sizes = sizes or [1] * len(rows)
    return [
        Bin(**{**vars(each), "doubt": doubt, "classes": CLASSES[:size]})
        for each, doubt, size in zip(bins_of(rows), doubts, sizes, strict=True)
    ]


def test_sets_hold_the_fewest_classes_and_begin_with_the_leading_one() -> None:
    rows = [row(LPD=0.9), row(GPD=0.5, LPD=0.3, Other=0.15), row(Other=0.61, Seizure=0.3), UNKNOWN]
    found = with_doubt(agreeing(rows), made())
    assert [each.classes for each in found] == [("LPD",), ("GPD", "LPD"), ("Other",), ()]
    odds = np.log(0.9 / 0.1)
    assert [each.doubt for each in found][:2] == [round((3 - odds) / 6, 4), 0.5]
    assert np.isnan(found[3].doubt) and with_doubt([], made()) == []


def test_members_that_disagree_are_doubted() -> None:
    bins = [
        Bin(**{**vars(each), "spread": spread})
        for each, spread in zip(bins_of([row(LPD=0.7)] * 3), (0.0, 0.3, np.nan), strict=True)
    ]
    sure, unsure, unknown = with_doubt(bins, made())
    assert unsure.doubt > sure.doubt + 0.3 and unsure.classes == sure.classes == ("LPD",)
    assert np.isnan(unknown.doubt)


@pytest.mark.parametrize(
    ("rules", "states"),
    [
        ({}, ["LPD", "LPD", DOUBTFUL, "LPD", "LPD", DOUBTFUL]),
        ({"doubt": 0.51}, ["LPD"] * 5 + [DOUBTFUL]),
        ({"doubt": 1.0, "widest": 5}, ["LPD"] * 6),
        ({"doubt": 0.0}, ["LPD", *[DOUBTFUL] * 5]),
        ({"widest": 2}, [*["LPD"] * 2, *[DOUBTFUL] * 2, "LPD", DOUBTFUL]),
    ],
)
def test_too_much_doubt_is_never_called_nor_bridged(rules: dict, states: list[str]) -> None:
    bins = doubted([row(LPD=0.9)] * 6, [0.0, 0.5, 0.505, 0.1, 0.2, 0.3], [1, 1, 1, 2, 1, 4])
    found, segments = find_segments(bins, Rules(**rules))
    assert found == states
    assert sum(each.duration for each in segments) == 60
    assert [each.state for each in segments] == [
        state for k, state in enumerate(states) if states[k - 1 : k] != [state]
    ]
    first = segments[0]
    assert first.doubt == pytest.approx(np.mean([each.doubt for each in bins[: first.bins]]))


def test_a_seizure_by_a_threshold_of_its_own_stays_one() -> None:
    bins = doubted([row(Seizure=0.3, LPD=0.35)] * 3 + [row(LPD=0.9)] * 3, [0.65] * 6)
    assert find_segments(bins, Rules(seizure=0.25))[0] == ["Seizure"] * 3 + [DOUBTFUL] * 3
    assert find_segments(bins)[0] == [DOUBTFUL] * 6


def test_where_nothing_tells_nothing_is_doubted() -> None:
    bins = bins_of([row(LPD=0.9)] * 3 + [UNKNOWN])
    states, segments = find_segments(bins, Rules(doubt=0.0, widest=2))
    assert states == ["LPD"] * 3 + ["not evaluated"] and all(np.isnan(each.doubt) for each in segments)


@pytest.mark.parametrize("wrong", [{"doubt": 1.5}, {"doubt": -0.1}, {"doubt": float("nan")}, {"widest": 1}])
def test_limits_that_are_none(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Rules(**wrong)


@pytest.mark.parametrize(
    ("ensemble", "members", "told"),
    [
        (None, ["a"], "one model alone"),
        (SimpleNamespace(folders={"a": 0, "b": 0}, doubt=made()), ["a"], "all models, of which b do"),
        (SimpleNamespace(folders={"a": 0}, doubt=None), ["a"], "no calibration of them; fit it again"),
        (SimpleNamespace(folders={"a": 0}, doubt=made()), ["a"], r"<rows> of a test \(200 rows of 40 patients\).* 90%"),
        (SimpleNamespace(folders={"a": 0}, doubt=made(1.0, 5)), ["a"], "5 patients.*too few patients for a set"),
    ],
)
def test_what_a_model_says_of_its_calibration(ensemble: object, members: list[str], told: str) -> None:
    networks = Answers()
    networks.ensemble, networks.members = ensemble, dict.fromkeys(members)
    found = calibration_of(networks)  # type: ignore[arg-type]
    assert pd.Series([found.note]).str.contains(told).all(), found.note
    has = told[0] in "<5"
    assert (found.doubt is not None) == has and found.note.startswith("doubt" if has else "no doubt and no sets: ")
    assert found.sets_tell == (told[0] == "<")


LINE = SimpleNamespace(warning="", clock=lambda seconds: "")
ROWS = [UNKNOWN, row(LPD=0.9), row(LPD=0.9), row(GPD=0.45, LPD=0.35, Other=0.15), row(Other=0.9)]


def read(calibration: Calibration | None, prior: str = "trained") -> Read:
    trained = np.full(6, 1 / 6)
    return read_bins(LINE, agreeing(ROWS), trained, Reading(prior), calibration)  # type: ignore[arg-type]


def test_the_table_tells_set_and_doubt() -> None:
    table = read(calibrated()).rows
    at = list(table.columns).index("reason")
    assert list(table.columns)[at + 1 : at + 3] == ["set", "doubt"]
    assert table["set"].tolist() == ["", "LPD", "LPD", "GPD|LPD", "Other"]
    assert np.isnan(table["doubt"][0]) and table["doubt"][1:].between(0, 1).all()
    assert (table["doubt"][1:] > 0.5).tolist() == [False, False, True, False]
    assert table["state"].tolist() == ["not evaluated", "LPD", "LPD", DOUBTFUL, "Other"]


def test_a_table_without_calibration_has_neither() -> None:
    found = read(None)
    assert not {"set", "doubt"} & set(found.rows.columns) and "no doubt" in found.doubt_note
    assert DOUBTFUL not in found.states[:3]


def test_sets_that_hold_all_classes_make_nothing_doubtful() -> None:
    found = read(calibrated(threshold=1.0))
    assert {len(each.classes) for each in found.bins} == {0, 6}
    assert found.states == ["not evaluated", "LPD", "LPD", DOUBTFUL, "Other"]


def test_under_another_prior_doubt_is_of_its_shares() -> None:
    found = read(calibrated(), "icu")
    assert "calibrated under that of training" in found.doubt_note
    told = [each for each in found.bins if each.classes]
    assert all(each.classes[0] == CLASSES[int(each.shares.argmax())] for each in told)
    assert "under this prior" not in read(calibrated()).doubt_note


def test_the_table_of_segments_tells_doubt() -> None:
    segments = read(calibrated()).segments
    table = segment_table(segments, with_doubt=True)
    assert tuple(table.columns) == DOUBT_COLUMNS and tuple(segment_table(segments).columns) == SEGMENT_COLUMNS
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert np.isnan(back["doubt"][0]) and back["doubt"][1:].between(0, 1).all()
    assert back.loc[back["state"] == DOUBTFUL, "reason"].tolist() == ["GPD|LPD"]


@pytest.mark.parametrize("limit", [None, 0.4])
def test_the_page_tells_doubt_or_why_there_is_none(limit: float | None) -> None:
    found = read(calibrated() if limit else None)
    signals = Signals(np.zeros((len(CHANNELS), 50, 2), np.int8), np.zeros((4, PAGE_ROWS, 25), np.uint8), 2.0, ())
    facts = Facts("night.edf", 50.0, None, "", "", (), "calibrated on <rows>" if limit else "no doubt <at> all", limit)
    page = render_page(facts, found.bins, found.states, found.segments, signals)
    data = unpacked(page)
    assert data["limit"] == limit
    doubts, sets = array(data["doubt"], "u1"), array(data["sets"], "u1")
    if limit is None:
        assert (doubts == NOTHING).all() and not sets.any()
        assert "No doubt &lt;at&gt; all." in page and '<th scope="col">doubt</th>' not in page
        return
    assert doubts[0] == NOTHING and (doubts[1:] <= 254).all() and doubts[3] > 127
    leading = 1 << CLASSES.index("GPD") | 1 << CLASSES.index("LPD")
    assert sets[3] == leading and sets[0] == 0
    assert "Calibrated on &lt;rows&gt;." in page and "(0.4)" in page and '<th scope="col">doubt</th>' in page


def test_the_most_doubtful_bins_are_kept_in_detail() -> None:
    bins = doubted([row(Other=0.9)] * 300, [0.1] * 300)
    bins[250] = Bin(**{**vars(bins[250]), "doubt": 0.9})
    kept = stretches(bins, [], 3000, 30)
    assert any(start <= 2505 < stop for start, stop in kept)


@pytest.mark.parametrize("step", [10, 5])
def test_bins_say_how_far_the_members_disagree(step: int) -> None:
    line = Timeline(MadeRecording(noise(1, 80 * SECOND)), step=step, edges="nearest")
    spreads = [each.spread for each in line.bins(Answers(silent=[1]), spread=True)]  # type: ignore[arg-type]
    # Of the second bin's two windows one has no answer; the first and last bin that are whole have but one.
    inner = [0, np.nan, 2, 3] if step == 10 else [0, 2, 3.5, 5]
    np.testing.assert_array_equal(spreads, [*[inner[0]] * 2, *inner, *[inner[-1]] * 2])
    assert all(np.isnan(each.spread) for each in line.bins(Answers()))  # type: ignore[arg-type]
