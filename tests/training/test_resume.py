"""A fit that is killed at any moment ends as if it had never been stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hbaclib.training.fit as module
from hbaclib.training.checkpoint import Checkpoint
from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe

ROOT = Path(__file__).parents[2]
EPOCHS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def start(folder, slow=""):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TINY_DELAY": slow}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.train_tiny", str(folder)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(folder):
    process = start(folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return {path.name: path.read_bytes() for path in folder.glob("fold-0.*") if path.suffix != ".json"}


def trained_epochs(folder):
    """(stage, epoch) of every epoch that was begun since the last call."""
    file = folder / "epochs.txt"
    lines = file.read_text().splitlines()
    file.unlink()
    return [tuple(map(int, line.split())) for line in lines]


def finished_epochs(folder):
    """How many epochs the checkpoint says are finished."""
    with np.load(folder / "fold-0.checkpoint.npz", allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
    return EPOCHS.index((facts["stage"], facts["epoch"] - 1)) + 1


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("whole"))


# Killed while the first stage's second epoch runs, then again in the middle of the second stage.
@pytest.mark.parametrize("kills", [(1,), pytest.param((1, 3), marks=pytest.mark.evidence)])
def test_killed_in_the_middle_of_an_epoch(kills, uninterrupted, tmp_path):
    done = 0
    for epochs in kills:
        process = start(tmp_path, slow="0.15")
        history = tmp_path / "fold-0.history.csv"
        end = time.monotonic() + 200
        try:
            while not (history.is_file() and len(history.read_text().splitlines()) > epochs):
                assert process.poll() is None, process.stdout.read()
                assert time.monotonic() < end
                time.sleep(0.02)
            # A few steps into the next epoch: each of them is held up by the delay.
            time.sleep(0.4)
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
        assert (tmp_path / "fold-0.checkpoint.npz").is_file()
        assert not (tmp_path / "fold-0.weights.h5").is_file()
        # The outcome alone would not tell going on from starting anew: both end with the same weights.
        begun, before = trained_epochs(tmp_path), done
        done = finished_epochs(tmp_path)
        assert done >= epochs and begun in (EPOCHS[before:done], EPOCHS[before : done + 1])
    assert finish(tmp_path) == uninterrupted
    assert trained_epochs(tmp_path) == EPOCHS[done:]


def test_a_checkpoint_of_another_precision_is_not_gone_on_with(tmp_path, monkeypatch, caplog):
    """A recipe with precision "auto", begun on a CPU and continued on a GPU."""
    save = Checkpoint.save

    def stop(checkpoint, path):
        save(checkpoint, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "save", stop)
        train(tiny_recipe(), TinyArrays(), tmp_path, folds=[0], progress=False)
    assert finished_epochs(tmp_path) == 1
    configure = module.configure
    half = {"precision": "mixed_float16"}
    monkeypatch.setattr(module, "configure", lambda recipe, **options: configure(recipe.override(half), **options))
    try:
        train(tiny_recipe(), TinyArrays(), tmp_path, folds=[0], progress=False)
    finally:
        configure(tiny_recipe())
    assert "was made in float32, this device trains in mixed_float16: the fit starts anew" in caplog.text
    assert len((tmp_path / "fold-0.history.csv").read_text().splitlines()) == 1 + len(EPOCHS)
    assert json.loads((tmp_path / "fold-0.fit.json").read_text())["facts"]["precision"] == "mixed_float16"
