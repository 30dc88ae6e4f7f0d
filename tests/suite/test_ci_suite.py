"""Suite `ci` as a user runs a suite, from the checkout: what it left is opened and looked at.

`.ci/run` makes it by the README's own command, `make demo SUITE=ci`; where nobody has, the fixture does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from hbaclib.artefacts import finished_stages, verify
from hbaclib.prediction.submission import validate_submission
from hbaclib.stages.names import COMPARISON
from hbaclib.stages.places import trained_folders
from hbaclib.suite.table import SuiteTable
from tests.report.page import check_whole_report

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run() -> subprocess.CompletedProcess[str]:
    # The tests' own settings are no user's: their drawing backend would keep the pictures out of the notebooks.
    own = ("MPLBACKEND", "HBAC_PROJECT", "KERAS_BACKEND")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    command = [sys.executable, "-m", "hbaclib.cli.main", "run", "ci"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def out() -> Path:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "runs" / "ci"


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Any]:
    return check_whole_report(out)


def test_every_notebook_ran_and_shows_pictures(out: Path) -> None:
    stages = SuiteTable().suite("ci").stages
    assert {stage.notebook.name for stage in stages} == set(SuiteTable().notebooks)
    for stage in stages:
        book = nbformat.read(out / "notebooks" / f"{stage.name}.ipynb", as_version=4)
        outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output.output_type == "error"]
        assert [output for output in outputs if "image/png" in output.get("data", {})], f"{stage.name} shows no picture"


def test_the_page_is_about_every_network_and_nothing_else(out: Path, results: dict[str, Any]) -> None:
    networks = {folder.name for folder in trained_folders(out)}
    assert len(networks) == 4 and set(results["training"]) == networks
    for name in networks:
        assert verify(out / name)
    assert {row["stage"] for row in results["stages"]} == {folder.name for folder in finished_stages(out)}
    assert [row["name"] for row in results["ensemble"]["members"]]


def test_the_comparisons_of_05_and_06(out: Path) -> None:
    tables = {
        folder.name: pd.read_csv(folder / "comparison.csv", index_col="network")
        for folder, manifest in finished_stages(out).items()
        if manifest.stage == COMPARISON
    }
    assert list(tables["05_kerascv"].index) == ["05_train_mobilenet_v3_large"]
    names = ["06_train_resnet1d_gru", "06_train_resnet1d_gru-0.5-4Hz", "ensemble of the bands"]
    assert list(tables["06_raw_eeg"].index) == names
    for table in tables.values():
        assert table.notna().all(axis=None) and (table["low"] <= table["high"]).all()


def test_the_submission_is_valid(out: Path) -> None:
    test = pd.read_csv(out / "synthetic-hms" / "test.csv")
    validate_submission(pd.read_csv(out / "submission.csv"), test)
    assert (out / "submission.csv").read_bytes() == (out / "08_submit" / "submission.csv").read_bytes()


def test_a_second_run_recomputes_nothing_and_leaves_every_byte(out: Path) -> None:
    def content() -> dict[str, tuple[int, int]]:
        files = [path for path in out.rglob("*") if path.is_file() and path.name not in (".lock", ".digests.json")]
        return {str(path): (path.stat().st_mtime_ns, hash(path.read_bytes())) for path in files}

    before = content()
    done = run()
    assert done.returncode == 0
    stages = SuiteTable().suite("ci").stages
    assert done.stdout.count("up to date") == len(stages)
    assert f"0 of {len(stages)} stages computed" in done.stdout
    assert content() == before
