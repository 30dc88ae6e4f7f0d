"""Every command and program of the READMEs is run as it stands, in a folder outside the checkout."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from hbaclib.artefacts import verify
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.prediction.submission import validate_submission
from tests.kaggle.recording_server import serve
from tests.readme.blocks import ROOT, Block, read_blocks
from tests.readme.presumed import NIGHT_SECONDS, RECORDINGS, give_outputs, make_data, write_small_recipe, write_weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SUBSTITUTIONS = {
    # A suite of a few training steps in place of the real ones, once with a network that is quick to compile.
    "hbac run full": "hbac run smoke",
    "hbac run demo": "hbac run smoke -p backbone=convnet_small",
    "runs/full": "runs/smoke",
    # A recipe of one step in place of the real ones, on the two folds of that suite; one trial of it.
    "hbac tune gold": "hbac tune small.toml",
    "--trials 20": "--trials 1",
    '"demo", folds=5': '"small.toml", folds=2',
    "--patients 50": "--patients 2",
    "--hours 8": "--hours 0.1",
    "--user YOU": "--user someone",
}
"""All that is changed in the text before it is run."""

RUN_ALREADY = {
    "hbac run full --data DATA -p 04_train_efficientnet.weights=WEIGHTS": "cp -r runs/three-folds runs/full",
    '"demo", folds=5': '"small.toml", folds=3',
    "--key weights=WEIGHTS ": "",  # of a network that has none
}
"""Changed before these where the evidence does without: a second run of a suite, beside that of the block before it."""

QUICK_SLEEP = """
import time

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.02))
"""
"""Put before the commands that ask Kaggle once a minute, as ``sitecustomize``."""

AFTER = {
    "kaggle_spectrogram": "assert eeg.shape == (12_000, 20) and image.shape == (128, 256, 4) and power.shape[1] == 400",
    "register_model(": 'assert recipe.backbone == "two_convolutions" == recipe.family.features.__name__',
    "train(": 'assert {"fold-0.weights.h5", "history.csv", "oof.parquet"} <= {path.name for path in folder.iterdir()}',
}
"""Python that is run behind a block that holds a text: what the block promises."""


def environment_of_a_user(**more: str) -> dict[str, str]:
    """This environment with ``hbac`` on the path, without what the tests themselves set."""
    own = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "MPLBACKEND", "HBAC_PROJECT")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}


def run_block(block: Block, folder: Path, environment: Mapping[str, str], before: Mapping[str, str]) -> str:
    """Run one block; what it printed.

    Args:
        block: of a file.
        folder: where it is run.
        environment: of its process.
        before: texts that are changed before `SUBSTITUTIONS`.

    Raises:
        AssertionError: it ended with another code than 0; the message shows the file, the line and its last words.
    """
    code = block.code
    for old, new in [*before.items(), *SUBSTITUTIONS.items()]:
        code = code.replace(old, new)
    if block.language == "python":
        code += "\n".join(["", *(check for text, check in AFTER.items() if text in block.code)])
        command = [sys.executable, "-c", code]
    else:
        command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=folder, env=dict(environment), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{code}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def check_shares(table: pd.DataFrame) -> None:
    np.testing.assert_allclose(table[list(VOTE_COLUMNS)].sum(axis=1), 1, atol=1e-5)


def check_run(run: Path, data: Path) -> None:
    validate_submission(pd.read_csv(run / "submission.csv"), pd.read_csv(data / "test.csv"))
    assert (run / "report.html").is_file() and json.loads((run / "results.json").read_text())
    assert len(list((run / "notebooks").glob("*.ipynb"))) == 6


def check_first(folder: Path, printed: str) -> None:
    assert "no fault found" in printed
    check_run(folder / "runs/three-folds", folder / "DATA")
    assert verify(folder / "runs/three-folds/01_port_data").parameters["n_folds"] == 3
    assert verify(folder / "runs/three-folds/01_port_data").parameters["on_bad_file"] == "skip"
    assert (folder / "FOLDER/train.csv").is_file() and (folder / "FOLDER-truth.parquet").is_file()
    assert (folder / "NIGHTS/night.edf").is_file() and (folder / "NIGHTS/night-truth.csv").is_file()


def check_full(folder: Path, printed: str) -> None:
    check_run(folder / "runs/smoke", folder / "DATA")
    recipe = verify(folder / "runs/smoke/04_train_efficientnet-b0").parameters["recipe"]
    if recipe["backbone"] == "efficientnet_b0":  # else it is a copy of the run before
        assert Path(recipe["weights"]).name == "WEIGHTS"


def check_predict(folder: Path, printed: str) -> None:
    table = pd.read_csv(folder / "shares.csv")
    assert len(table) == RECORDINGS
    check_shares(table)
    lines = printed[printed.index("file,start_second") :].splitlines()
    assert len(lines) == 1 + (NIGHT_SECONDS - 50) // 10 + 1
    check_shares(pd.DataFrame([line.split(",") for line in lines[1:]], columns=lines[0].split(",")).astype(
        dict.fromkeys(VOTE_COLUMNS, float)))  # fmt: skip


def check_built_in(folder: Path, printed: str) -> None:
    tables = [pd.read_csv(folder / "shares.csv"), pd.read_csv(io.StringIO(printed[printed.index("file,") :]))]
    for table in tables:
        assert len(table) == RECORDINGS
        check_shares(table)
    assert tables[1]["note"].isna().all()  # none of them is short
    night = pd.read_csv(folder / "night.csv")
    assert len(night) == 36 and (night["state"] == "not evaluated").sum() == 4
    check_shares(night[night["state"] != "not evaluated"])


def check_timeline(folder: Path, printed: str) -> None:
    assert "kappa" in printed and "sens." in printed
    for place, timeline in ((folder, "night.csv"), (folder / "LINES", "night-timeline.csv")):
        assert "<canvas" in (place / "night.html").read_text()
        segments, bins = pd.read_csv(place / "night-segments.csv"), pd.read_csv(place / timeline)
        ends = segments["onset"] + segments["duration"]
        assert segments["onset"].iloc[0] == 0 and ends.iloc[-1] == pytest.approx(bins["stop"].iloc[-1])
        np.testing.assert_allclose(segments["onset"][1:], ends[:-1])
        assert (place / "night-hbac.edf").stat().st_size > 0


def check_tune(folder: Path, printed: str) -> None:
    assert "flatters" in printed and "nested" in printed
    assert (folder / "runs/smoke/tune_small/best.toml").is_file()


CHECKS: dict[str, Callable[[Path, str], None]] = {
    "hbac check DATA": check_first,
    "hbac run full": check_full,
    "--short reflect": check_built_in,
    "hbac score": check_timeline,
    "hbac predict runs/full": check_predict,
    "hbac tune": check_tune,
}
"""What a block must have left in the folder, and printed, by a text that it holds."""


def run_file(file: str, folder: Path, scratch: Path, before: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Run the blocks of a file, in their order; what each printed.

    Commands for Kaggle speak to a server on loopback, by way of a proxy, as Kaggle's client can be told to do.
    """
    printed = []
    (scratch / "quick").mkdir(parents=True)
    (scratch / "quick" / "sitecustomize.py").write_text(QUICK_SLEEP)
    with serve() as service:
        search = os.pathsep.join(filter(None, [str(scratch / "quick"), os.environ.get("PYTHONPATH")]))
        kaggle = {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": service.url,
            "no_proxy": "127.0.0.1",
            "KAGGLE_USERNAME": "someone",
            "KAGGLE_KEY": "0123456789abcdef-the-key",
            "KAGGLE_CONFIG_DIR": str(scratch / "config"),
            "HOME": str(scratch / "home"),
            "PYTHONPATH": search,
        }
        for block in [block for block in read_blocks(file) if block.kind == "run"]:
            more = kaggle if "hbac kaggle" in block.code else {}
            for build in [folder / name for name in ("kaggle-build", "selftest-build") if more]:
                if build.is_dir():
                    give_outputs(service, build, scratch / "outputs")
            text = run_block(block, folder, environment_of_a_user(**more), before)
            for words, check in CHECKS.items():
                if words in block.code:
                    check(folder, text)
            printed.append(text)
    return printed


def folder_outside(tmp_path: Path) -> Path:
    folder = tmp_path / "anywhere"
    folder.mkdir()
    assert not any((place / "pyproject.toml").exists() for place in folder.parents)
    return folder


@pytest.mark.parametrize("before", [RUN_ALREADY, pytest.param({}, marks=pytest.mark.evidence)], ids=["one run", "all"])
def test_readme(tmp_path: Path, before: Mapping[str, str]) -> None:
    folder = folder_outside(tmp_path)
    make_data(folder)
    write_weights(folder / "WEIGHTS" / "efficientnet-b0_noisy-student_notop.h5")
    backbone, folds = ("convnet_small", 3) if before else ("efficientnet_b0", 2)  # as the run that they are trained on
    write_small_recipe(folder / "small.toml", backbone, folds)
    assert all(text in (ROOT / "README.md").read_text(encoding="utf-8") for text in before)
    run_file("README.md", folder, tmp_path / "scratch", before)
    assert {path.name for path in (folder / "runs").iterdir() if not path.name.startswith(".")} == {
        "smoke", "three-folds", "own"
    }  # fmt: skip


def test_kaggle_readme(tmp_path: Path) -> None:
    folder = folder_outside(tmp_path)
    for number in range(5):
        path = folder / "WEIGHTS" / f"efficientnet-b{number}_noisy-student_notop.h5"
        path.parent.mkdir(exist_ok=True)
        path.write_text("stands for weights")
    built, again, pushed, fetched, submitted, longer, tested, planned = run_file(
        "kaggle/README.md", folder, tmp_path / "scratch"
    )
    assert "Kaggle's client accepts all of it" in built and "hbac-weights" in again
    assert len(list((folder / "kaggle-build/datasets/weights").glob("*_notop.h5"))) == 5
    assert "all complete" in pushed and len(re.findall(r"version 1 +complete", pushed)) == 13
    assert "digests agree" in fetched
    assert {verify(path.parent).stage for path in (folder / "runs/kaggle").glob("*/manifest.json")} >= {"08_submit"}
    assert [path.name for path in (folder / "runs/ensemble").glob("*/manifest.json")] == ["manifest.json"]
    assert "public score 0.41" in submitted
    more = re.findall(r"(\w+) +version 2: complete", longer)
    assert more == ["05_kerascv", "07_ensemble", "08_submit"] and longer.count("unchanged") == 12
    assert "09-self-test: built" in tested and "complete; next: hbac kaggle output" in tested
    assert "(measured by the self-test)" in planned
