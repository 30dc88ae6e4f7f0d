"""``hbac compare``: tables on the terminal and as files, without a training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from hbaclib import compare_runs, open_runs, pair_runs
from hbaclib.cli.main import main
from tests.ensemble.made_runs import make_samples, make_trained

BEST, WORST, ALONE = "04_train_best", "04_train_worst", "05_train_alone"


def invoke(*words: object) -> str:
    answer = CliRunner().invoke(main, ["compare", *map(str, words)])
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: a good and a bad recipe of three seeds over both, and one of a single seed."""
    root = tmp_path_factory.mktemp("runs")
    samples = make_samples(120)
    for run, seeds in (("first", [0, 1]), ("second", [2])):
        make_trained(root / run / BEST, name="best", seeds=seeds, samples=samples)
        make_trained(root / run / WORST, name="worst", seeds=seeds, noise=1.5, samples=samples)
    make_trained(root / "second" / ALONE, name="alone", noise=0.3, samples=samples)
    return root


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for run in ("first", "second"):
        (tmp_path / run).symlink_to(made / run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(output: str, recipe: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines() if line.endswith(f"  {recipe}")]


def test_tables_are_those_of_the_library(work: Path) -> None:
    output = invoke("first", "second", "--csv", "out")
    runs = open_runs(["first", "second"])
    scores, pairs = compare_runs(runs), pair_runs(runs, "worst", "best")
    assert output.index(">=10 votes: 240 samples of 120 patients") < output.index("1-2 votes: 120 samples")
    table = scores.set_index(["tier", "recipe"])
    for recipe, rank in (("best", "1"), ("worst", "2"), ("alone", "-")):
        score, tier = rows(output, recipe)[0], table.loc[(">=10", recipe)]
        assert score[:3] == [rank, str(tier["seeds"]), f"{tier['kl']:.4f}"]
        assert score[3:6] == [f"{tier['low']:.3f}", "to", f"{tier['high']:.3f}"]
        assert score[6:10] == [f"{tier['lowest']:.3f}", "to", f"{tier['highest']:.3f}", f"{tier['averaged']:.4f}"]
    pair, tier = rows(output, "worst")[4], pairs.iloc[0]
    assert pair[:4] == [f"{tier['difference']:+.4f}", f"{tier['low']:+.3f}", "to", f"{tier['high']:+.3f}"]
    assert pair[4:] == ["0%", "worse", "worst"]
    assert rows(output, "alone")[4][1:] == ["-", "-", *["one", "seed:", "not", "ranked", "alone"]]
    assert "One seed ranks nothing, and its interval is over patients alone: alone." in output
    assert "Differences from best, on the same patients" in output
    assert f"best: seeds 0, 1, 2 of first/{BEST}, second/{BEST}" in output
    stored = pd.read_csv("out/scores.csv", keep_default_na=False, na_values={"rank": ""}).astype({"rank": "Int64"})
    pd.testing.assert_frame_equal(stored, scores, check_dtype=False)
    written = pd.read_csv("out/pairs.csv").set_index(["tier", "first"])
    assert written["second"].unique().tolist() == ["best"]
    assert written.loc[(">=10", "worst"), "low"] == pytest.approx(pairs["low"][0])
    assert sorted(path.name for path in Path("out").iterdir()) == ["pairs.csv", "scores.csv"]


def test_it_is_readable_in_100_columns(work: Path) -> None:
    long = make_trained(work / ("a_folder_of_a_name_that_is_longer_than_the_room_for_it_" * 2)[:100], name="other")
    both = make_trained(work / "other", name="other", changes={"dropout": 0.1})
    output = invoke(long, both, "--csv", "out")
    assert output.isascii()
    tables = [line for line in output.splitlines() if line and not line.startswith(("  ", "tables", "note", str(work)))]
    assert max(len(line) for line in tables if long.name not in line) <= 100


def test_the_same_command_replaces_its_own_tables(work: Path) -> None:
    invoke("first", "--csv", "out")
    before = Path("out/scores.csv").read_text()
    invoke("first", "second", "--csv", "out", "--over", "worst")
    assert Path("out/scores.csv").read_text() != before
    assert pd.read_csv("out/pairs.csv")["second"].unique().tolist() == ["worst"]


def test_one_recipe_and_two_seeds_are_said(work: Path) -> None:
    output = invoke(f"first/{BEST}")
    assert "One recipe: there is nothing to compare it with." in output
    assert "Two seeds tell but roughly how much seeds differ: best." in output
    assert "difference" not in output


def test_what_is_left_out_is_said(work: Path) -> None:
    part = make_trained(work / "part", name="part", folds=[1], samples=make_samples(120))
    output = invoke("first", part)
    assert "note: only rows of fold 1 are compared, which all have:" in output
    assert ">=10 votes: 80 samples of 40 patients\n(only 40 patients: the interval is rough" in output


def test_it_needs_no_tensorflow(work: Path) -> None:
    code = (
        "import sys; from hbaclib.cli.main import main; main(['compare', 'first'], standalone_mode=False); "
        "print('loaded:', [name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "loaded: []", done.stderr
