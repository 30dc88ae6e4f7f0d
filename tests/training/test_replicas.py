"""Two logical CPU devices stand in for two GPUs; in a process of its own, as devices are split once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PLAIN = {
    "model_options": {"batch_norm": False, "drop": 0.0},
    "batch_norm_batches": 0,
    "ema": 0.0,
    "augmentation": {},
}
RUNS = {
    "one": (1, {}),
    "one again": (1, {}),
    "two": (2, {}),
    "two again": (2, {}),
    "two, another seed": (2, {"seeds": [1]}),
    "one, plain": (1, PLAIN),
    "two, plain": (2, PLAIN),
    "two, float16": (2, {"precision": "mixed_float16"}),
}


def run(folder, names):
    """One process that trains some of the runs, one after the other."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.train_replicas", str(folder)],
        input=json.dumps({name: RUNS[name] for name in names}),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name: dict(np.load(folder / name / "result.npz")) for name in names}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), ["one, plain", "two, plain"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two processes: the second repeats two runs of the first."""
    again = {name for name in RUNS if name.endswith("again")}
    return run(tmp_path_factory.mktemp("run"), set(RUNS) - again) | run(tmp_path_factory.mktemp("run"), again)


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.evidence
def test_weights_repeat_for_one_replica_and_for_two(runs):
    assert same(runs["one"], runs["one again"])
    assert same(runs["two"], runs["two again"])
    assert not same(runs["two"], runs["two, another seed"])


def test_two_replicas_train_as_one_where_there_is_no_batch_norm(plain):
    """27 rows in batches of 4: the last batch of training and of validation is whole, and no replica is ever empty."""
    one, two = plain["one, plain"], plain["two, plain"]
    assert all(np.isfinite(values).all() for values in two.values())
    assert len(one["loss"]) == 4 and one["loss"][0] != one["loss"][1]
    np.testing.assert_allclose(two["loss"], one["loss"], atol=1e-5)
    np.testing.assert_allclose(two["val_kl"], one["val_kl"], atol=1e-4)


@pytest.mark.evidence
def test_batch_norm_tells_two_replicas_from_one(runs):
    # With batch norm each device has statistics of its own share, so the two really are two.
    assert np.abs(runs["one"]["loss"] - runs["two"]["loss"]).max() > 1e-4


@pytest.mark.evidence
@pytest.mark.parametrize("name", RUNS)
def test_no_replica_is_ever_empty(runs, name):
    """The last training batch, the last validation batch and every statistic are whole and finite."""
    assert all(np.isfinite(values).all() for values in runs[name].values())
