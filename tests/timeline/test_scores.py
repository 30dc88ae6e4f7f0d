"""Scores of timelines: bins, events and burden by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib.errors import DataError, DataFileError, PlatformError
from hbaclib.timeline.bins import NOT_EVALUATED
from hbaclib.timeline.scores import beside, read_timeline, read_truth, score_timelines
from hbaclib.timeline.segments import DOUBTFUL


def timeline(states: Sequence[str]) -> pd.DataFrame:
    starts = 10.0 * np.arange(len(states))
    return pd.DataFrame({"file": "night.edf", "start": starts, "stop": starts + 10, "state": states})


def truth(*events: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(events, columns=["onset", "duration", "class"])


def test_a_perfect_timeline() -> None:
    states = ["Other"] * 60 + ["Seizure"] * 6 + ["Other"] * 60 + ["GPD"] * 60 + ["Other"] * 60
    found = score_timelines([beside(timeline(states), truth((600, 60, "Seizure"), (1260, 600, "GPD")))])
    assert found["kappa"] == 1 and found["doubtful"] == 0 and found["hours"] == found["evaluated_hours"]
    for name in ("Seizure", "GPD"):
        row = found["classes"][name]
        assert (row["sensitivity"], row["precision"], row["f1"], row["burden_error"]) == (1, 1, 1, 0)
        for rules in ("szcore", "strict"):
            assert row[rules]["sensitivity"] == row[rules]["precision"] == 1 and not row[rules]["false_alarms_a_day"]
    assert found["classes"]["Seizure"]["strict"]["events"] == 1
    assert found["classes"]["GPD"]["szcore"]["events"] == 2  # split above five minutes
    assert found["classes"]["LPD"]["f1"] is None and found["classes"]["LPD"]["strict"]["sensitivity"] is None


def test_false_alarms_are_counted_by_the_day_of_what_was_evaluated() -> None:
    states = ["Other"] * 180 + ["Seizure"] * 2 + ["Other"] * 178 + [NOT_EVALUATED] * 360
    row = score_timelines([beside(timeline(states), truth((0, 0, "Seizure")))])["classes"]["Seizure"]
    assert row["szcore"]["false_alarms_a_day"] == row["strict"]["false_alarms_a_day"] == pytest.approx(24)
    assert row["precision"] == 0 and row["sensitivity"] is None
    assert row["burden_error"] == pytest.approx(2 / 360)


def test_the_rules_of_events_differ() -> None:
    """A call 25 s late, and two 40 s apart: SzCORE counts neither against it."""
    states = ["Other"] * 100
    states[14:16] = ["Seizure"] * 2  # the seizure was 100 to 118 s
    states[40:42], states[46:48] = ["Seizure"] * 2, ["Seizure"] * 2
    row = score_timelines([beside(timeline(states), truth((100, 18, "Seizure"), (400, 80, "Seizure")))])["classes"][
        "Seizure"
    ]
    assert (row["szcore"]["sensitivity"], row["szcore"]["precision"]) == (1, 1)
    assert row["strict"]["sensitivity"] == 0.5
    assert row["strict"]["false_alarms_a_day"] > 0


def test_doubt_and_what_was_not_evaluated_are_no_calls() -> None:
    states = ["LPD"] * 10 + [DOUBTFUL] * 5 + [NOT_EVALUATED] * 5 + ["Other"] * 20
    found = score_timelines([beside(timeline(states), truth((0, 200, "LPD"), (0, 30, "artefact")))])
    assert found["doubtful"] == pytest.approx(5 / 35) and found["kappa"] == 1
    assert found["evaluated_hours"] == pytest.approx(350 / 3600)
    assert found["classes"]["LPD"]["sensitivity"] == 1


def test_recordings_are_added() -> None:
    one = beside(timeline(["Other"] * 50 + ["LPD"] * 10), truth((500, 100, "LPD")))
    other = beside(timeline(["Other"] * 60), truth((500, 100, "LPD")))
    row = score_timelines([one, other])["classes"]["LPD"]
    assert row["sensitivity"] == 0.5 and row["strict"]["events"] == 2 and row["strict"]["sensitivity"] == 0.5


def test_a_bin_is_of_the_class_that_holds_for_most_of_it() -> None:
    made = beside(timeline(["Other"] * 3), truth((4, 12, "LPD"), (27, 9, "GRDA")))
    assert made.truth.tolist() == ["LPD", "LPD", "Other"]
    assert made.events["GRDA"] == [(27, 30)]  # what lies beyond the recording's end does not count


def test_nothing_evaluated() -> None:
    with pytest.raises(DataError, match="no bin was evaluated"):
        score_timelines([beside(timeline([NOT_EVALUATED] * 3), truth())])


def test_without_timescoring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timescoring.annotations", None)
    with pytest.raises(PlatformError, match=r"pip install 'hbaclib\[score\]'"):
        score_timelines([beside(timeline(["Other"] * 3), truth())])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("onset,duration\n1,2\n", "class"),
        ("onset,duration,class\nx,2,LPD\n", "onset of row 1 is 'x'; expected seconds"),
        ("onset,duration,class\n1,2,LPD\n5,-2,LPD\n", "duration of row 2 is '-2'"),
        ("onset,duration,class\n1,nan,LPD\n", "duration of row 1 is 'nan'"),
        ("onset,duration,class\n1,2,lpd\n", "class of row 1 is 'lpd'; expected Seizure, LPD"),
        ("onset,duration,class\n10,20,LPD\n1,15,Seizure\n", "rows 2 and 1 overlap"),
    ],
)
def test_truths_that_are_none(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataFileError, match=match):
        read_truth(tmp_path / "t.csv")


def test_a_truth_holds_more_than_classes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("onset,duration,class\n0,5,mimic\n1,50,off T3\n2,9,LPD\n3,4,gap\n5,2,artefact\n")
    assert read_truth(tmp_path / "t.csv")["class"].tolist() == ["mimic", "off T3", "LPD", "gap", "artefact"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"file": ["a", "a", "b"]}, "bins of 2 recordings"),
        ({"start": [0, 10, 30]}, "row 3 is of 30 to 30 s; expected bins from 0 s on"),
        ({"start": [5, 10, 20]}, "row 1 is of 5 to 10 s"),
        ({"start": [0, "x", 20]}, "row 2 is of nan to 20 s"),
        ({"state": ["Other", "Other", "other"]}, "state of row 3 is 'other'"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_timelines_that_are_none(tmp_path: Path, change: dict, match: str, ending: str) -> None:
    table = timeline(["Other"] * 3)
    path = tmp_path / f"line.{ending}"
    for made in (table, table.assign(**change)):
        (made.to_csv(path, index=False) if ending == "csv" else made.astype(str).to_parquet(path))
        if made is table:
            assert read_timeline(path)["stop"].tolist() == [10, 20, 30]
    with pytest.raises(DataFileError, match=match):
        read_timeline(path)
    path.write_text("nothing")
    with pytest.raises(DataFileError):
        read_timeline(path)
