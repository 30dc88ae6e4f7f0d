"""``hbac score``: figures on the terminal and as JSON; sentences for what is no pair."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from hbaclib.cli.main import main
from tests.timeline.test_scores import timeline


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, words)])


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    line, truth = tmp_path / "night.csv", tmp_path / "night-truth.csv"
    timeline(["Other"] * 100 + ["Seizure"] * 6 + ["Other"] * 254).to_csv(line, index=False)
    truth.write_text("onset,duration,class\n1000,60,Seizure\n2000,100,LPD\n3000,5,mimic\n")
    return line, truth


def test_figures(pair: tuple[Path, Path]) -> None:
    answer = call(*pair)
    assert answer.exit_code == 0, answer.output
    lines = answer.output.splitlines()
    assert lines[0].startswith("1.00 h, of which 1.00 evaluated; doubtful 0.0%; kappa 0.")
    assert [line.split()[1:5] for line in lines if line.startswith("Seizure")] == [
        ["0.02", "1.00", "1.00", "1.00"], ["1", "1.00", "1.00", "1.00"], ["1", "1.00", "1.00", "1.00"]
    ]  # fmt: skip
    assert [line.split()[2] for line in lines if line.startswith("LPD")] == ["0.00", "0.00", "0.00"]
    assert max(map(len, lines)) <= 100
    found = json.loads(call(*pair, *pair, "--json").output)
    assert found["hours"] == 2 and found["classes"]["Seizure"]["strict"]["events"] == 2
    assert found["classes"]["GPD"]["f1"] is None


@pytest.mark.parametrize("words", [(0,), (0, 1, 0)])
def test_tables_that_are_no_pairs(pair: tuple[Path, Path], words: tuple[int, ...]) -> None:
    answer = call(*(pair[k] for k in words))
    assert answer.exit_code == 2 and "expected pairs, a timeline and its truth" in answer.output


def test_the_wrong_way_round(pair: tuple[Path, Path]) -> None:
    answer = call(pair[1], pair[0])
    assert answer.exit_code == 1 and "Traceback" not in answer.output and "night-truth.csv" in answer.output
    assert call(pair[0], pair[0].with_name("none.csv")).exit_code == 1
    pd.read_csv(pair[0]).iloc[:0].to_csv(pair[0], index=False)
    assert call(*pair).exit_code == 1
