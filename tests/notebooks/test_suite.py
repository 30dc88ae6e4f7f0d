"""Suite `smoke` as a user runs it: complete, skipped when repeated, the same when killed or repeated elsewhere."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from hbaclib.prediction.submission import validate_submission
from hbaclib.suite.table import SuiteTable

pytestmark = pytest.mark.evidence
COMMAND = [sys.executable, "-m", "hbaclib.cli.main", "run", "smoke"]
KILLS = 10


def run(out: Path) -> subprocess.CompletedProcess[str]:
    # The tests' own drawing backend would keep the pictures out of the notebooks.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    command = [*COMMAND, "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("smoke") / "run"
    done = run(out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def results(out: Path) -> dict[str, bytes]:
    """Every array, table and the submission; not what holds times (notebooks, report, manifests)."""
    files = [path for path in out.rglob("*") if path.suffix in {".npy", ".parquet", ".csv"} and path.is_file()]
    kept = [path for path in files if not path.name.startswith(".")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in kept}


def differing(first: Path, second: Path) -> list[str]:
    ours, theirs = results(first), results(second)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def test_everything_is_there(smoke: Path) -> None:
    stages = SuiteTable().suite("smoke").stages
    for stage in stages:
        book = nbformat.read(smoke / "notebooks" / f"{stage.name}.ipynb", as_version=4)
        outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output.output_type == "error"]
        assert [output for output in outputs if "image/png" in output.get("data", {})], f"{stage.name} shows no picture"
    test = pd.read_csv(smoke / "synthetic-hms" / "test.csv")
    validate_submission(pd.read_csv(smoke / "submission.csv"), test)
    assert len(test) >= 20
    assert (smoke / "report.html").stat().st_size > 50_000
    assert json.loads((smoke / "results.json").read_text())
    assert np.load(smoke / "02_eeg_spectrograms" / "eeg_spectrograms.npy", mmap_mode="r").shape[1:] == (128, 256, 4)


def test_a_second_run_recomputes_nothing(smoke: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in smoke.rglob("*.npy")}
    done = run(smoke)
    assert done.returncode == 0
    assert done.stdout.count("up to date") == len(SuiteTable().suite("smoke").stages)
    assert {path: path.stat().st_mtime_ns for path in smoke.rglob("*.npy")} == before


def test_two_uninterrupted_runs_agree(smoke: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert differing(smoke, tmp_path / "again") == []


def test_killed_ten_times(smoke: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    seconds = sum(row["seconds"] for row in json.loads((smoke / "stages.json").read_text()))
    chance = random.Random(20)
    killed = 0
    while killed < KILLS:
        process = subprocess.Popen([*COMMAND, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(1, 0.2 * seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0
            break  # so little was left that it came to its end
        time.sleep(0.1)
    assert killed >= 5
    done = run(out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert differing(smoke, out) == []
