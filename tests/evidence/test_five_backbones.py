"""EfficientNet B0 to B4, a few steps each, through the notebooks in one suite run: five members ensembled.

Both folds are trained, because an ensemble is scored on folds that its weights did not see.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import tomli_w

from hbaclib.platform import project_root
from hbaclib.prediction.submission import validate_submission
from hbaclib.suite.runner import run_suite

BACKBONES = [f"efficientnet_b{number}" for number in range(5)]


@pytest.mark.evidence
def test_five_backbones_train_and_are_ensembled_in_one_run(tmp_path: Path) -> None:
    table = tomllib.loads((project_root() / "kaggle" / "suite.toml").read_text())
    stages = table["suites"]["smoke"]["stages"]
    train = next(stage for stage in stages if stage["notebook"] == "04_train_efficientnet")
    place = stages.index(train)
    stages[place : place + 1] = [
        {**train, "name": f"04_train_{name.replace('_', '-')}", "parameters": {"recipe": "smoke", "backbone": name}}
        for name in BACKBONES
    ]
    root = tmp_path / "project"
    (root / "kaggle").mkdir(parents=True)
    (root / "notebooks").symlink_to(project_root() / "notebooks")
    table["suites"] = {"five": {"about": "five backbones", "stages": stages}}
    (root / "kaggle" / "suite.toml").write_text(tomli_w.dumps(table))
    out = run_suite("five", root=root, out=tmp_path / "out")
    members = pd.read_csv(out / "07_ensemble" / "members.csv")
    assert sorted(members["name"]) == [f"04_train_{name.replace('_', '-')}" for name in BACKBONES]
    validate_submission(pd.read_csv(out / "submission.csv"), pd.read_csv(out / "synthetic-hms" / "test.csv"))
    seconds = {row["stage"]: row["seconds"] for row in json.loads((out / "stages.json").read_text())}
    print("\nseconds", seconds)
    print(members.to_string(index=False))
