import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import keras
import pytest

from hbaclib.errors import ConfigError, PlatformError
from hbaclib.platform import cpu_is_asked_for, unseen_gpus
from hbaclib.training.cross_validate import train
from hbaclib.training.devices import (
    HERE,
    Runtime,
    choose_precision,
    choose_runtime,
    claim_device,
    configure,
    held_devices,
    release_devices,
    seed_everything,
    take_devices,
)
from hbaclib.training.gpus import visible_gpus
from hbaclib.training.replicas import make_strategy
from tests.training.tiny import TinyArrays, tiny_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def claims(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    release_devices()


def claiming(devices):
    """A process that claims a device and holds it until its input closes."""
    code = f"""
        from hbaclib.training.devices import claim_device
        print(claim_device({devices!r}, patience=20), flush=True)
        input()
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_no_device_is_given_twice_and_a_killed_process_gives_its_own_back(claims, monkeypatch, caplog):
    devices = ("0", "1")
    other = claiming(devices)
    try:
        theirs = other.stdout.readline().strip()
        ours = claim_device(devices)
        assert {theirs, ours} == set(devices)
        assert claim_device(devices) == ours  # a process keeps what it has
        holder = f"{theirs} is held by process {other.pid} for a fit since"
        with pytest.raises(PlatformError, match=rf"no free device among {theirs} within 0 s \({holder}"):
            claim_device((theirs,), patience=0.3)
        monkeypatch.setattr("hbaclib.training.devices._SAY_AFTER", 0.0)
        with pytest.raises(PlatformError):
            claim_device((theirs,), patience=0.3)
        assert f"waiting for a free device ({holder}" in caplog.text
    finally:
        other.kill()
        other.communicate()
    assert claim_device((theirs,), patience=10) == theirs


@pytest.mark.parametrize(
    ("gpus", "n_fits", "options", "expected"),
    [
        # A CPU, in as many processes as joblib was told.
        ((), 5, {}, Runtime("cpu", 1, (), ())),
        ((), 5, {"jobs": 2}, Runtime("cpu", 2, (), ())),
        ((), 5, {"devices": ("CPU:1",)}, Runtime("one device", 1, (), ("CPU:1",))),
        # One GPU takes one fit at a time, whatever joblib was told.
        (("0",), 5, {}, Runtime("one device", 1, ("0",), ())),
        (("0",), 5, {"jobs": 2}, Runtime("one device", 1, ("0",), ())),
        (("0",), 5, {"mirrored": True}, Runtime("one device", 1, ("0",), ())),
        # Two GPUs: one fit on each where several are due, and one alone on the first that is free.
        (("0", "1"), 5, {}, Runtime("process per device", 2, ("0", "1"), ())),
        (("0", "1"), 5, {"jobs": 7}, Runtime("process per device", 2, ("0", "1"), ())),
        (("0", "1"), 1, {}, Runtime("one device", 1, ("0", "1"), ())),
        (("0", "1"), 5, {"devices": ("1",)}, Runtime("one device", 1, ("1",), ())),
        (("0", "1", "2"), 2, {}, Runtime("process per device", 2, ("0", "1", "2"), ())),
        (
            ("0", "1"),
            5,
            {"devices": ("GPU:0", "GPU:1")},
            Runtime("process per device", 2, ("GPU:0", "GPU:1"), ()),
        ),
        # Two that share every batch; TensorFlow counts the GPUs that are visible.
        (("0", "1"), 5, {"mirrored": True}, Runtime("mirrored", 1, ("0", "1"), ("GPU:0", "GPU:1"))),
        (("2", "3"), 1, {"mirrored": True}, Runtime("mirrored", 1, ("2", "3"), ("GPU:0", "GPU:1"))),
        (
            (),
            5,
            {"mirrored": True, "devices": ("CPU:0", "CPU:1")},
            Runtime("mirrored", 1, (), ("CPU:0", "CPU:1")),
        ),
        # On a cluster a fit finds out where it runs.
        ((), 5, {"workers": 4}, Runtime("cluster", 4, HERE, ())),
        ((), 5, {"workers": 4, "devices": ("0", "1")}, Runtime("cluster", 4, ("0", "1"), ())),
        (
            ("0", "1"),
            5,
            {"workers": 4, "mirrored": True},
            Runtime("mirrored", 1, ("0", "1"), ("GPU:0", "GPU:1")),
        ),
    ],
)
def test_the_choice_of_a_runtime(gpus, n_fits, options, expected):
    assert choose_runtime(gpus, n_fits, **options) == expected


def test_one_fit_takes_the_first_free_gpu_and_a_mirrored_one_takes_all(claims, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    alone, both = choose_runtime(("0", "1")), choose_runtime(("0", "1"), mirrored=True)
    assert alone.in_children and both.in_children
    other = claiming(("0",))
    try:
        assert other.stdout.readline().strip() == "0"
        assert take_devices(alone.claim, alone.devices) == ("1", ())
        assert held_devices() == ("1",) and os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    finally:
        other.kill()
        other.communicate()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert take_devices(both.claim, both.devices) == ("0, 1", ("GPU:0", "GPU:1"))
    # TensorFlow counts the GPUs that are visible.
    assert set(held_devices()) == {"0", "1"} and os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_where_the_gpus_are_those_of_the_host_that_trains(claims, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert take_devices(HERE) == ("3", ()) and held_devices() == ("3",)
    assert take_devices(()) == ("3", ()), "what the process holds"
    release_devices()
    assert take_devices(()) == ("default", ()) and take_devices((), ("CPU:0",)) == ("CPU:0", ("CPU:0",))


@pytest.mark.parametrize(
    ("runtime", "children"),
    [
        (choose_runtime(("0",)), True),
        (choose_runtime(("0", "1"), 5), True),
        (choose_runtime(("0", "1"), 5, mirrored=True), True),
        (choose_runtime(("0",), devices=("GPU:0",)), True),
        (choose_runtime((), 5, devices=("CPU:0", "CPU:1")), True),
        (choose_runtime((), 5), False),
        (choose_runtime((), 5, jobs=2), False),
        (choose_runtime(("0",), devices=("CPU:0",)), False),
        (choose_runtime((), devices=("CPU:0", "CPU:1"), mirrored=True), False),
        (choose_runtime(("0",), 5, workers=3), False),
    ],
)
def test_what_trains_on_a_gpu_does_so_in_a_process_of_its_own(runtime, children):
    assert runtime.in_children is children


def test_a_number_that_names_no_gpu_of_a_host_that_has_some():
    with pytest.raises(PlatformError, match="devices 7 do not exist; here are the GPUs 0, 1"):
        choose_runtime(("0", "1"), devices=("7",))


def test_a_setting_of_joblib_puts_no_two_fits_on_one_gpu(claims, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # a number that names no GPU here: claimed all the same
    recipe = tiny_recipe(stages=[{"epochs": 1, "steps": 2}])
    with joblib.parallel_config("loky", n_jobs=2):
        train(recipe, TinyArrays(), tmp_path / "out", progress=False)
    facts = [json.loads((tmp_path / "out" / f"fold-{fold}.fit.json").read_text())["facts"] for fold in (0, 1)]
    assert [fact["device"] for fact in facts] == ["0", "0"] and facts[0]["end"] <= facts[1]["begin"]
    # In a process of its own, which has ended.
    assert os.getpid() not in {fact["process"] for fact in facts} and held_devices() == ()
    assert claim_device(("0",), patience=5) == "0"


@pytest.mark.parametrize(
    ("told", "gpus"),
    [
        ("0,3", ("0", "3")), (" 1 , 0 ", ("1", "0")), ("GPU-5d3c,MIG-7", ("GPU-5d3c", "MIG-7")), ("1,1", ("1",)),
        ("0,-1,1", ("0",)), ("0,,1", ("0",)), ("5", ("5",)),
        ("", ()), ("-1", ()), ("-1,0", ()), ("-2", ()), ("NoDevFiles", ()), ("nodevfiles", ()), ("none", ()), (" ", ()),
    ],
)  # fmt: skip
def test_gpus_that_the_environment_chooses(monkeypatch, told, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
    assert visible_gpus() == gpus
    assert cpu_is_asked_for() is (not gpus)
    monkeypatch.setattr("hbaclib.platform.accelerators", lambda: ["Tesla T4"])
    assert visible_gpus() == gpus and bool(unseen_gpus()) is bool(gpus)


def test_gpus_are_counted_without_touching_them(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("hbaclib.platform.accelerators", lambda: ["Tesla T4", "Tesla T4"])
    assert visible_gpus() == ("0", "1")
    monkeypatch.setattr("hbaclib.platform.accelerators", list)
    assert visible_gpus() == ()


@pytest.mark.parametrize("first", ["", '[ "$1" = -L ] || exit 6', '[ "$1" = -L ] || exit 0'])
def test_gpus_as_nvidia_smi_lists_them(tmp_path, monkeypatch, first):
    """Whether or not it knows the question for their memory."""
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{first}\necho 'GPU 0: Tesla T4 (UUID: a)'\necho 'GPU 1: Tesla T4 (UUID: b)'\n")
    script.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert visible_gpus() == ("0", "1") and "GPU 0: Tesla T4" in unseen_gpus()


def test_precision_is_the_recipes_or_the_devices():
    assert choose_precision("auto", on_gpu=True) == "mixed_float16"
    assert choose_precision("auto", on_gpu=False) == "float32"
    assert choose_precision("mixed_float16", on_gpu=False) == "mixed_float16"
    assert choose_precision("float32", on_gpu=True) == "float32"


def test_precision_of_the_recipe_is_in_force():
    try:
        assert configure(tiny_recipe(precision="mixed_float16"))["precision"] == "mixed_float16"
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        assert configure(tiny_recipe())["precision"] == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_threads_are_set_before_tensorflow_starts_and_a_late_wish_is_said():
    code = """
        import logging
        logging.basicConfig()
        from hbaclib.training.devices import configure
        from tests.training.tiny import tiny_recipe
        print(configure(tiny_recipe(threads=3))["threads"])
        import tensorflow as tf
        tf.zeros(1)
        print(configure(tiny_recipe(threads=2))["threads"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == ["3", "3"]
    assert "TensorFlow had started with 3 threads, the recipe asks for 2" in done.stderr


def test_seeds():
    drawn = []
    for key in [(0, 1), (0, 1), (1, 0), (0, 2)]:
        seed_everything(*key)
        drawn.append(float(keras.random.normal((1,))[0]))
    assert drawn[0] == drawn[1] and len(set(drawn)) == 3


def test_strategies_that_cannot_be():
    assert make_strategy().num_replicas_in_sync == 1
    with pytest.raises(PlatformError, match=r"devices GPU:7 do not exist; here are CPU:0"):
        make_strategy(("GPU:7",))
    with pytest.raises(ConfigError, match="batch is 9, expected a multiple of the 2 devices"):
        make_strategy(("CPU:0", "CPU:0"), batch=9)
