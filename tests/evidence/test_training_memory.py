"""Memory of training stays flat: 500 against 4,000 samples."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.evidence.test_memory import anonymous_bytes
from tests.training.tiny import TinyArrays, tiny_recipe

ROOT = Path(__file__).parents[2]
SAMPLES = (500, 4000)

_TRAIN = """
import sys
from tests.evidence.test_training_memory import train_stored
train_stored(sys.argv[1], int(sys.argv[2]))
"""


def write_arrays(folder: Path, n: int) -> None:
    """The two image files, written in pieces: the test itself must not hold them either."""
    rng = np.random.default_rng(0)
    for name in ("kaggle", "eeg"):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, (n, 128, 256, 4))
        for start in range(0, n, 100):
            file[start : start + 100] = rng.standard_normal((min(100, n - start), 128, 256, 4), np.float32)
        file.flush()


def train_stored(folder: str, n: int) -> None:
    """Trains the tiny network on stored arrays, as many steps however many samples there are."""
    from hbaclib.inputs.store import InputArrays
    from hbaclib.training.cross_validate import train

    kaggle, eeg = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in ("kaggle", "eeg"))
    tiny = TinyArrays(n=48, patients=12)
    samples = tiny.samples.iloc[np.arange(n) % 48].reset_index(drop=True)
    samples["eeg_id"] = np.arange(n)
    arrays = InputArrays(samples, tiny.folds, f"memory-{n}", kaggle, eeg, eeg)
    stages = [{"epochs": 3, "steps": 200, "vote_weights": "votes"}, {"epochs": 1, "steps": 100, "min_votes": 10}]
    train(tiny_recipe(stages=stages, batch=16), arrays, Path(folder) / "out", folds=[0], progress=False)


def peak_of(folder: Path, n: int) -> int:
    with subprocess.Popen([sys.executable, "-c", _TRAIN, str(folder), str(n)], cwd=ROOT) as process:
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(watched))
            time.sleep(0.02)
    assert process.returncode == 0
    return peak


@pytest.mark.evidence
def test_peak_memory_of_training_does_not_grow_with_the_samples(tmp_path: Path) -> None:
    peaks = {}
    for n in SAMPLES:
        folder = tmp_path / str(n)
        folder.mkdir()
        write_arrays(folder, n)
        peaks[n] = peak_of(folder, n)
    few, many = peaks.values()
    print(f"\ntraining: {few / 1e6:.0f} MB on {SAMPLES[0]} samples, {many / 1e6:.0f} MB on {SAMPLES[1]}")
    assert many <= 1.1 * few
