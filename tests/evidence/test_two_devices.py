"""Twenty fits of four networks on two devices: one is killed, the session is too short, another one ends the rest.

Real networks in real processes, on two logical CPUs of a host whose driver lists two T4s.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaclib.errors import PlatformError
from hbaclib.files import private_folder
from hbaclib.prediction.networks import Trained, train_networks
from hbaclib.training.recipe import Recipe
from tests.training.tiny import TinyArrays, tiny_recipe

FOLDS, DEVICES = 5, ("CPU:0", "CPU:1")
KILLED = "06_train_both fold-2"
STAGES = [{"epochs": 3, "steps": 4, "peak": 1e-2, "schedule": "cosine"}, {"epochs": 1, "min_votes": 10}]
NVIDIA_SMI = """#!/bin/sh
[ $1 = -L ] || exit 6
echo 'GPU 0: Tesla T4 (UUID: GPU-a)'
echo 'GPU 1: Tesla T4 (UUID: GPU-b)'
"""


class Deadly(TinyArrays):
    """Kills the process that trains one of the fits, as soon as an epoch of it is stored.

    Attributes:
        note: file that tells that this has happened; empty where nothing is to be killed.
    """

    note = ""

    def gather(self, rows: np.ndarray, inputs: str = "both", dtype: Any = np.float32) -> np.ndarray:
        if self.note and not os.path.exists(self.note) and own_checkpoint().is_file():
            Path(self.note).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().gather(rows, inputs, dtype)


def own_checkpoint() -> Path:
    """Where the fit to be killed stores its epochs, in the process that trains it; a place without a file elsewhere."""
    for path in private_folder("devices").glob("CPU-*.json"):
        claim = pd.read_json(path, typ="series")
        if claim["process"] == os.getpid() and claim["purpose"].endswith(KILLED.replace(" ", "/")):
            return Path(f"{claim['purpose']}.checkpoint.npz")
    return Path("no such file")


def networks() -> dict[str, Recipe]:
    """Four networks: of both halves of the image, of each half, and one that is wider."""
    common: dict[str, Any] = {"folds": FOLDS, "stages": STAGES, "augmentation": {"left_right_swap": {"p": 0.5}}}
    common |= {"ema": 0.0, "batch_norm_batches": 0}
    own: dict[str, dict[str, Any]] = {
        "both": {}, "eeg": {"inputs": "eeg"}, "kaggle": {"inputs": "kaggle"}, "wide": {"model_options": {"filters": 12}}
    }  # fmt: skip
    return {name: tiny_recipe(**common, **changes) for name, changes in own.items()}


def files(folder: Path) -> dict[str, bytes]:
    """What is trained: weights and out-of-fold predictions."""
    found = [*folder.rglob("*.weights.h5"), *folder.rglob("*oof.parquet")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def alone_on_their_devices(folder: Path) -> list[str]:
    """The devices on which fits have run, one at a time, by the fits' own records: a process may wait for a device."""
    facts = pd.DataFrame([json.loads(path.read_text())["facts"] for path in folder.rglob("*.fit.json")])
    for device, own in facts.sort_values("begin").groupby("device"):
        pairs = itertools.pairwise(own[["begin", "end"]].to_numpy())
        assert all(end <= begin for (_, end), (begin, _) in pairs), device
    return list(facts["device"])


def shown(title: str, found: Trained, begin: float) -> str:
    """What ran where, and when, seconds from the session's begin."""
    table = found.table.sort_values("begin", na_position="last", kind="stable")
    rows = [f"| {title} | device | begins, s | ends, s | state |", "|---|---|---|---|---|"]
    for row in table.itertuples():
        times = ("", "") if np.isnan(row.begin) else (f"{row.begin - begin:.0f}", f"{row.end - begin:.0f}")
        rows.append(f"| {row.network} {row.fit} | {row.device} | {' | '.join(times)} | {row.state} |")
    return "\n".join(rows)


@pytest.mark.evidence
def test_a_killed_fit_and_a_short_session_change_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(NVIDIA_SMI)
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # no other run on this machine has these devices
    monkeypatch.setattr(tempfile, "tempdir", None)
    recipes, arrays = networks(), Deadly(n=60, patients=15, folds=FOLDS)
    order = [f"06_train_{name} fold-{fold}" for name in recipes for fold in range(FOLDS)]

    def run(part: str, hours: float | None, **options: Any) -> tuple[Trained, float, list[str]]:
        begin, told = time.time(), list[str]()
        folders = {name: tmp_path / part / f"06_train_{name}" for name in recipes}
        options = {"devices": DEVICES, "tell": told.append, "progress": False, "session_hours": hours, **options}
        found = train_networks(recipes, arrays, folders, **options)
        print(f"\n{shown(f'{part}, {time.time() - begin:.0f} s', found, begin)}\n", *told, sep="\n")
        return found, time.time() - begin, told

    with pytest.raises(PlatformError, match=r"Tesla T4.*tensorflow\[and-cuda\]"):
        run("refused", None, devices=None)
    assert not files(tmp_path / "refused")

    whole, seconds, _ = run("whole", None)
    assert whole.errors == () and list(whole.table["state"]) == ["finished"] * 20

    none, measuring, told = run("parts", 1 / 3600)  # every network is measured, and the second is over
    assert none.errors == () and set(none.table["state"]) == {"left out"} and not files(tmp_path / "parts")

    arrays.note = str(tmp_path / "killed")
    first, _, told = run("parts", (measuring + 0.6 * seconds) / 3600)
    assert first.errors == () and Path(arrays.note).exists() and f"{KILLED}: {KILLED}: its process was" in caplog.text
    named = first.table["network"] + " " + first.table["fit"]
    state = dict(zip(named, first.table["state"], strict=True))
    done = [name for name in order if state[name] == "finished"]
    left = [name for name in order if name not in done]
    others = [name for name in order if name != KILLED]  # which is tried again behind all of them
    assert 2 < len(done) < 20 and [name for name in others if name in done] == others[: len({*done} - {KILLED})]
    assert told[0].startswith("20 fits, 2 at a time: ") and "start the same again" in told[-1]
    assert all(name in told[-1] for name in left)

    second, _, _ = run("parts", None)
    assert second.errors == () and set(second.table["state"]) == {"finished"}
    assert list(second.table["network"] + " " + second.table["fit"]) == left, "nothing is trained twice"
    for part in ("whole", "parts"):
        assert set(alone_on_their_devices(tmp_path / part)) == set(DEVICES)
    weights = files(tmp_path / "whole")
    assert len(weights) == 20 + 20 + 4 and weights == files(tmp_path / "parts")
