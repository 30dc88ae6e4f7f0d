"""``hbac check`` says the same of one recording, whichever format it has, and as much of it as its timeline knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hbaclib import open_recording
from hbaclib.cli.main import main
from hbaclib.conventions import EEG_COLUMNS, SCALP_ELECTRODES
from hbaclib.timeline.bins import NOT_EVALUATED, Timeline
from tests.recordings.edf_files import noise, write_edf
from tests.recordings.files import write as write_parquet
from tests.timeline.made import Answers

VALUES = noise(90 * 200)
SAME = ("seconds", "rate", "montage", "units", "missing", "filled", "neutral", "segments", "gaps", "windows", "rows",
        "unusable", "left_out")  # fmt: skip
Spoil = Callable[[np.ndarray], object]


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, words)])


def columns(*names: str) -> list[int]:
    return [EEG_COLUMNS.index(name) for name in names]


def flat(values: np.ndarray) -> None:
    values[20 * 200 : 50 * 200, columns("T3")] = 7


def clipped(values: np.ndarray) -> None:
    values[40 * 200 : 60 * 200, columns("O2")] = values[40 * 200 : 60 * 200, columns("O2")].clip(-250, 250)


def off(values: np.ndarray) -> None:
    values[:, columns("C4")] += np.round(9000 * np.sin(2 * np.pi * 50 * np.arange(len(values)) / 200))[:, None].astype(
        int
    )


def fallen(values: np.ndarray) -> None:
    values[40 * 200 : 50 * 200, columns("T3", "T5", "T4", "T6")] = 0


def dead(values: np.ndarray) -> None:
    values[:, columns("F7", "T3", "F8", "T4")] = 3


CASES: dict[str, dict[str, Any]] = {
    "sound": {},
    "a gap": {"gap": 20.0},
    "a gap that is bridged": {"gap": 0.9},
    "a gap that is not": {"gap": 1.5},
    "an electrode that is not there": {"without": ("T3",)},
    "a region that is not there": {"without": ("T4", "T6")},
    "the EKG is not there": {"without": ("EKG",)},
    "flat for a while": {"spoil": flat},
    "clipped for a while": {"spoil": clipped},
    "off": {"spoil": off},
    "two regions off for a row": {"spoil": fallen},
    "two regions dead": {"spoil": dead, "fault": "montage: nothing of use in LL, RL"},
    "two regions that are not there": {"without": ("F7", "T3", "F8", "T4"), "fault": "montage"},
    "flat as a whole": {"spoil": lambda values: values.fill(5), "fault": "no signal"},
    "short": {"seconds": 30, "fault": ""},
}


def both(folder: Path, case: dict[str, Any]) -> tuple[Path, Path]:
    """The recording as EDF and as Parquet."""
    seconds, gap, without = case.get("seconds", 90), case.get("gap", 0.0), case.get("without", ())
    values = VALUES[: seconds * 200].copy()
    case.get("spoil", lambda values: None)(values)
    kept = [k for k, name in enumerate(EEG_COLUMNS) if name not in without]
    onsets = [k + (gap if k >= 30 else 0) for k in range(seconds)] if gap else None
    edf = write_edf(folder / "a.edf", values[:, kept], [EEG_COLUMNS[k] for k in kept], onsets=onsets)
    eeg = values.astype(np.float32) / 10
    eeg[:, columns(*without)] = np.nan
    eeg = np.concatenate([eeg[:6000], np.full((round(gap * 200), 20), np.nan, np.float32), eeg[6000:]])
    return edf, write_parquet(folder / "a.parquet", eeg)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_parquet_and_edf_of_one_recording(tmp_path: Path, case: dict[str, Any]) -> None:
    answers = [check(path, "--json") for path in both(tmp_path, case)]
    assert [answer.exit_code for answer in answers] == [int("fault" in case)] * 2, [each.output for each in answers]
    edf, parquet = (json.loads(answer.stdout) for answer in answers)
    assert list(edf) == list(parquet) and edf["format"].startswith("EDF") and parquet["format"] == "Parquet"
    if case.get("fault") == "montage":
        # Of a montage that does not suffice no row is asked about; that of a Parquet file is told row by row.
        assert edf["rows"].pop("reasons") == {} and parquet["rows"].pop("reasons") == {
            "montage: nothing of use in LL, RL": 5
        }
    assert {name: edf[name] for name in SAME} == {name: parquet[name] for name in SAME}
    for one, other in zip(edf["quality"], parquet["quality"], strict=True):
        assert {**one, "amplitude": None} == {**other, "amplitude": None}
        # Of an electrode that is not there EDF has what fills it, and a column of nothing is nothing.
        close = 0.05 if "without" in case else 1e-3
        assert one["amplitude"] == (other["amplitude"] and pytest.approx(other["amplitude"], rel=close))
    used = [[each["electrode"] for each in facts["channels"] if each["used"]] for facts in (edf, parquet)]
    assert used[0] == [name for name in used[1] if name not in case.get("without", ())]
    assert bool(edf["fault"]) == bool(parquet["fault"])
    if "fault" in case:
        assert case["fault"] in edf["fault"] and case["fault"] in parquet["fault"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "fault" not in case])
def test_what_can_be_predicted_is_what_the_timeline_predicts(tmp_path: Path, name: str) -> None:
    for path in both(tmp_path, CASES[name]):
        facts = json.loads(check(path, "--json").stdout)
        with open_recording(path) as recording:
            line = Timeline(recording)
            bins = list(line.bins(Answers()))
        assert facts["windows"] == line.n_windows
        assert facts["rows"]["evaluated"] == sum(each.state != NOT_EVALUATED for each in bins) > 0
        assert facts["rows"]["recorded"] == sum(each.part >= 0 for each in bins)
        faults = [fault for each in bins if each.usable for fault in each.usable.faults]
        for each in facts["unusable"]:
            assert faults.count(f"{each['name']} ({each['fault']})") == each["rows"]
        assert sum(each["rows"] for each in facts["unusable"]) == len(faults)


@pytest.mark.parametrize(
    ("spoil", "name", "why", "first", "rows"),
    [(flat, "T3", "flat", 20, 3), (clipped, "O2", "clipped", 40, 2), (off, "C4", "off", 0, 9)],
)
def test_an_electrode_that_cannot_be_used_is_told(
    tmp_path: Path, spoil: Spoil, name: str, why: str, first: int, rows: int
) -> None:
    words = (
        f"not to be used for a while: {name} {why} ({100 * rows / 9:.0f} % of the rows of 10 s, the first from second"
    )
    for path in both(tmp_path, {"spoil": spoil}):
        answer = check(path)
        assert answer.exit_code == 0 and f"  {words} {first} on)" in answer.stdout.splitlines(), answer.output
        (found,) = json.loads(check(path, "--json").stdout)["unusable"]
        assert found == {"name": name, "fault": why, "first": first, "rows": rows, "share": rows / 9}


def test_a_channel_of_a_double_banana_is_told_by_its_name(tmp_path: Path) -> None:
    pairs = ["Fp1-F7", "F7-T3", "T3-T5", "T5-O1", "Fp2-F8", "F8-T4", "T4-T6", "T6-O2",
             "Fp1-F3", "F3-C3", "C3-P3", "P3-O1", "Fp2-F4", "F4-C4", "C4-P4", "P4-O2"]  # fmt: skip
    values = noise(60 * 200, 16)
    values[30 * 200 : 50 * 200, 2] = 0
    facts = json.loads(check(write_edf(tmp_path / "a.edf", values, pairs), "--json").stdout)
    assert facts["unusable"] == [{"name": "T3-T5", "fault": "flat", "first": 30, "rows": 2, "share": 2 / 6}]


def test_rows_that_are_not_evaluated_are_counted_with_their_reason(tmp_path: Path) -> None:
    for path in both(tmp_path, {"spoil": fallen}):
        answer = check(path)
        assert (
            "can be predicted: 5 windows of 50 s, one every 10 s, 4 of 4 regions; 1 of them without: " in answer.stdout
        )
        assert "montage: nothing of use in LL, RL (not used: " in answer.stdout and answer.exit_code == 0


def test_parquet_without_50_s_on_end_has_its_middle_and_no_timeline(tmp_path: Path) -> None:
    eeg = VALUES.astype(np.float32) / 10
    eeg[45 * 200 : 48 * 200] = np.nan
    answer = check(write_parquet(tmp_path / "a.parquet", eeg))
    assert answer.exit_code == 0
    assert (
        "can be predicted: 50 s in its middle, and no timeline: the longest segment without a gap is 45 s"
        in answer.stdout
    )


def test_columns_of_parquet_that_are_no_electrodes_are_left_out(tmp_path: Path) -> None:
    eeg = VALUES[:10_000].astype(np.float32) / 10
    more = {"time": np.arange(10_000) / 200, "SpO2": np.full(10_000, 97.0)}
    path = write_parquet(tmp_path / "a.parquet", eeg, names={"T3": "T7"}, more=more)
    facts = json.loads(check(path, "--json").stdout)
    assert facts["left_out"] == ["time", "SpO2"] and len(facts["channels"]) == 22
    assert facts["channels"][5] == {"label": "T7", "electrode": "T3", "reference": None, "unit": "µV", "rate": 200,
                                    "used": True}  # fmt: skip
    assert [each["electrode"] for each in facts["channels"] if each["used"]] == list(EEG_COLUMNS)
    assert len(SCALP_ELECTRODES) == facts["quality"][0]["flat"] + 19
