"""Memory does not grow with a recording: ``hbac predict --window sliding`` and ``hbac check`` on hours and days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE
from hbaclib.training.cross_validate import train
from tests.trained import SHORT
from tests.training.tiny import TinyArrays, tiny_recipe

HOUR = 3600 * EEG_RATE
STEPS = {1: 40, 24: 300}
"""Hours -> seconds between windows: an hour has more of them than are predicted at a time, so that its peak counts."""
MORE_AT_MOST = 400e6
"""Bytes that a day may take above an hour."""

_CHILD = """
import json, sys
from tests.training.tiny import register_tiny
register_tiny()
from hbaclib.cli.main import main
try:
    code = main(sys.argv[1:], standalone_mode=False) or 0
except SystemExit as error:
    code = error.code
except Exception as error:
    code = getattr(error, "exit_code", 1)
# Not ru_maxrss, which a process inherits from the one that starts it.
lines = open("/proc/self/status").read().splitlines()
peak = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(json.dumps({"code": code, "peak": peak}), file=sys.stderr)
"""


@dataclass(frozen=True)
class Run:
    code: int
    peak: int
    seconds: float
    answer: str


def hbac(*words: str | Path | int) -> Run:
    """A command in a process of its own, with its greatest resident memory."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    lines = done.stderr.splitlines()
    assert lines and lines[-1].startswith("{"), done.stderr
    found = json.loads(lines[-1])
    return Run(found["code"], found["peak"], time.monotonic() - begun, done.stdout + "\n".join(lines[:-1]))


def write_noise(path: Path, n_samples: int, row_group_size: int) -> Path:
    """An EEG of noise, written hour by hour where row groups allow it."""
    rng = np.random.default_rng(0)
    schema = pa.schema([(name, pa.float32()) for name in EEG_COLUMNS])
    piece = n_samples if row_group_size >= n_samples else HOUR
    with pq.ParquetWriter(path, schema) as writer:
        for begin in range(0, n_samples, piece):
            size = min(piece, n_samples - begin)
            columns = [np.round(rng.normal(0, 30, size).astype(np.float32), 2) for _ in EEG_COLUMNS]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=row_group_size)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = tiny_recipe(name="both", inputs="both", **SHORT)
    return Path(train(recipe, TinyArrays(), tmp_path_factory.mktemp("run") / "both", progress=False))


@pytest.mark.evidence
@pytest.mark.timeout(7200)
def test_a_day_takes_hardly_more_memory_than_an_hour(network: Path, tmp_path: Path) -> None:
    files = {
        "1 h": write_noise(tmp_path / "hour.parquet", HOUR, 1 << 20),
        "24 h in row groups": write_noise(tmp_path / "day.parquet", 24 * HOUR, 1 << 20),
        "24 h in one row group": write_noise(tmp_path / "one.parquet", 24 * HOUR, 24 * HOUR),
    }
    runs = {}
    for name, path in files.items():
        out = tmp_path / f"{path.stem}.csv"
        hours = 1 if path.stem == "hour" else 24
        runs[name] = run = hbac("predict", network, path, "--window", "sliding", "--step", STEPS[hours], "--out", out)
        assert run.code == 0, run.answer
        table = pd.read_csv(out)
        assert len(table) == (3600 * hours - 50) // STEPS[hours] + 1 and table["reason"].isna().all()
        print(f"\npredict, {name}: {run.peak / 1e6:.0f} MB, {run.seconds:.0f} s")
    day, one = (pd.read_csv(tmp_path / f"{name}.csv").drop(columns="file") for name in ("day", "one"))
    assert len(day) == len(one)
    least = runs["1 h"].peak
    assert all(run.peak - least <= MORE_AT_MOST for run in runs.values())


@pytest.mark.evidence
@pytest.mark.timeout(7200)
def test_two_days_are_read(network: Path, tmp_path: Path) -> None:
    path = write_noise(tmp_path / "two-days.parquet", 48 * HOUR, 1 << 20)
    for name, run in (
        ("check", hbac("check", path)),
        ("predict, every 10 min", hbac("predict", network, path, "--window", "sliding", "--step", "600")),
    ):
        print(f"\n{name}, 48 h: {run.peak / 1e6:.0f} MB, {run.seconds:.0f} s")
        assert run.code == 0, run.answer
        assert run.peak < 2e9


@pytest.mark.evidence
@pytest.mark.timeout(7200)
def test_thirty_million_rows_in_two_megabytes(network: Path, tmp_path: Path) -> None:
    path, n_rows = tmp_path / "small.parquet", 30_000_000
    zeros = pa.array(np.zeros(n_rows, np.float32))
    pq.write_table(pa.table([zeros] * 20, names=list(EEG_COLUMNS)), path, row_group_size=n_rows)
    for name, run in (
        ("check", hbac("check", path)),
        ("predict, every 10 min", hbac("predict", network, path, "--window", "sliding", "--step", "600")),
    ):
        size = path.stat().st_size / 1e6
        print(f"\n{name}, {n_rows} rows in {size:.1f} MB: {run.peak / 1e6:.0f} MB, {run.seconds:.0f} s")
        assert run.code == 1 and "no signal" in run.answer, run.answer
        assert run.peak < 2e9
