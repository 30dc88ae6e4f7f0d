"""Fits that other kernels have trained are taken over, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbaclib.artefacts import write_manifest, write_text
from hbaclib.suite.prerequisites import adopt_fits

STAGE = "04_train_efficientnet-b0"


def trained(folder: Path, fold: int) -> None:
    names = [f"fold-{fold}.weights.h5", f"fold-{fold}.fit.json", "recipe.toml"]
    for name in names:
        write_text(folder / name, f"{folder.parent.name} {name}")
    write_manifest(folder, STAGE, inputs={}, parameters={}, outputs=names)


def test_parts_are_joined_and_own_fits_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = tmp_path / "input"
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(inputs))
    adopt_fits(STAGE, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    trained(inputs / "notebooks" / "someone" / "part1" / STAGE, 0)
    trained(inputs / "part2" / STAGE, 1)
    write_text(inputs / "unfinished" / STAGE / "fold-2.weights.h5", "half")
    write_text(tmp_path / "out" / STAGE / "fold-1.fit.json", "own")
    adopt_fits(STAGE, tmp_path / "out")
    found = {path.name: path.read_text() for path in (tmp_path / "out" / STAGE).iterdir()}
    assert found == {
        "fold-0.weights.h5": "part1 fold-0.weights.h5",
        "fold-0.fit.json": "part1 fold-0.fit.json",
        "fold-1.weights.h5": "part2 fold-1.weights.h5",
        "fold-1.fit.json": "own",
    }
