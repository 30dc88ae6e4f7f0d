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
    "one, clipped": (1, {**PLAIN, "clip_norm": 0.05}),
    "two, clipped": (2, {**PLAIN, "clip_norm": 0.05}),
    # A convolution fails where a share is empty; without one the batch-norm statistics are no numbers from then on,
    # and nothing says so. To estimate them anew, or average, would hide that.
    "two, statistics kept": (2, {"model_options": {"filters": 0}, "batch_norm_batches": 0, "ema": 0.0}),
    "two, float16": (2, {"precision": "mixed_float16", "clip_norm": 1.0}),
}
CHECKS = ("batch norm", "xla", "ahead")


def run(folder, names):
    """One process that trains some of the runs, one after the other."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.train_replicas", str(folder)],
        input=json.dumps({name: RUNS.get(name) for name in names}),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name: dict(np.load(folder / name / "result.npz")) for name in names}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    names = ["one, plain", "two, plain", "one, clipped", "two, clipped", "two, statistics kept", "two, float16"]
    return run(tmp_path_factory.mktemp("plain"), [*names, *CHECKS])


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
    one, two = plain["one, plain"], plain["two, plain"]
    assert len(one["loss"]) == 4 and one["loss"][0] != one["loss"][1]
    np.testing.assert_allclose(two["loss"], one["loss"], atol=1e-5)
    np.testing.assert_allclose(two["val_kl"], one["val_kl"], atol=1e-5)


def test_two_replicas_are_clipped_as_one(plain):
    """By the length of the whole batch's gradient: a device's own share of it is another one."""
    one, two = plain["one, clipped"], plain["two, clipped"]
    np.testing.assert_allclose(two["loss"], one["loss"], atol=1e-5)
    np.testing.assert_allclose(two["val_kl"], one["val_kl"], atol=1e-5)
    assert np.abs(one["loss"] - plain["one, plain"]["loss"]).max() > 1e-4


def test_batch_norm_statistics_under_two_replicas_are_those_of_whole_batches(plain):
    found = plain["batch norm"]
    np.testing.assert_allclose(found["mean"], found["direct_mean"], atol=1e-5)
    np.testing.assert_allclose(found["variance"], found["direct_variance"], rtol=1e-4)


def test_a_step_that_overflows_on_one_device_is_skipped_on_all(plain):
    """The first steps in float16 overflow, and here the second device's alone."""
    assert all(np.isfinite(values).all() for values in plain["two, float16"].values())


def test_xla_is_off_under_a_mirrored_strategy(plain):
    assert plain["xla"]["alone"] and not plain["xla"]["two"].any()


def test_batches_lie_on_the_device_before_they_are_asked_for(plain):
    found = plain["ahead"]
    (host,), (ahead,) = found["host devices"], found["ahead devices"]
    assert host.endswith("CPU:0") and ahead.endswith("CPU:1")
    for k in range(4):
        assert found[f"host{k}"].dtype == found[f"ahead{k}"].dtype
        np.testing.assert_array_equal(found[f"host{k}"], found[f"ahead{k}"])
    assert found["ahead1"].dtype == np.float16 and len(found["ahead0"]) == 5


@pytest.mark.evidence
def test_batch_norm_tells_two_replicas_from_one(runs):
    # With batch norm each device has statistics of its own share, so the two really are two.
    assert np.abs(runs["one"]["loss"] - runs["two"]["loss"]).max() > 1e-4


@pytest.mark.parametrize("name", ["two, plain", "two, statistics kept"])
def test_no_replica_is_ever_empty(plain, name):
    """A share of no rows would leave batch-norm statistics that are not numbers, silently."""
    assert all(np.isfinite(values).all() for values in plain[name].values())


@pytest.mark.evidence
@pytest.mark.parametrize("name", RUNS)
def test_no_run_has_an_empty_replica(runs, name):
    assert all(np.isfinite(values).all() for values in runs[name].values())
