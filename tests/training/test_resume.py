"""A fit that is killed at any moment ends as if it had never been stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("whole"))


# Killed while the first stage's second epoch runs, then again in the middle of the second stage.
@pytest.mark.parametrize("kills", [(1,), pytest.param((1, 3), marks=pytest.mark.evidence)])
def test_killed_in_the_middle_of_an_epoch(kills, uninterrupted, tmp_path):
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
    assert finish(tmp_path) == uninterrupted
