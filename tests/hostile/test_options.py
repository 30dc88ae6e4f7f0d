"""Hostile values of options and arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import stock
from tests.hostile.frame import Case, table, try_case

CASES = [
    Case(
        "no such network", 15,
        lambda folder: ["predict", "nothing-there", stock.recording(folder)],
        1, ("nothing-there: no such folder",),
    ),
    Case(
        "sound", 0,
        lambda folder: ["predict", stock.run(folder) / "eeg", stock.recording(folder)],
        0, ("a.parquet,0.0,0\\.",),
    ),
]  # fmt: skip


@table(CASES)
def test_options(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)
