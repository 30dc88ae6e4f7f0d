"""GPUs are found, and left alone by who does not train; one that TensorFlow does not see ends the start."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from hbaclib.errors import PlatformError
from hbaclib.prediction.networks import train_networks
from hbaclib.training import gpus
from hbaclib.training.cross_validate import train
from hbaclib.training.devices import configure, names_cpu, release_devices, take_devices
from hbaclib.training.gpus import check_gpus_seen, keep_off_gpus
from tests.training.tiny import TinyArrays, tiny_recipe

ROOT = Path(__file__).parents[2]
UNSEEN = (
    r"the driver lists GPU 0: Tesla T4.*, but TensorFlow sees no GPU.* -m pip install \"tensorflow\[and-cuda\]\", or"
)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A host with two T4s; TensorFlow sees as many as the list's first number, and adds one each time it is asked."""
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\n[ $1 = -L ] || exit 6\necho 'GPU 0: Tesla T4 (UUID: GPU-a)'\necho 'GPU 1: Tesla T4 (UUID: GPU-b)'\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "_seen", {})
    answers = [0]

    def answer() -> tuple[int, str]:
        answers.append(answers[0])
        return answers[0], "no CUDA" if not answers[0] else ""

    monkeypatch.setattr(gpus, "ask_tensorflow", answer)
    return answers


def test_a_gpu_that_tensorflow_does_not_see_ends_the_start_in_one_sentence(asked: list[int]) -> None:
    with pytest.raises(PlatformError, match=UNSEEN) as caught:
        check_gpus_seen()
    assert "(no CUDA)" in str(caught.value) and "\n" not in str(caught.value)
    assert "CUDA_VISIBLE_DEVICES=-1" in str(caught.value)
    asked[0] = 2  # installed since
    check_gpus_seen()
    check_gpus_seen()
    assert len(asked) == 3, "asked once of those that it sees"


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles", "-1,0"])
def test_who_asks_for_the_cpu_is_not_refused(asked: list[int], monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    check_gpus_seen()
    assert len(asked) == 1 and gpus.visible_gpus() == ()


@pytest.mark.parametrize("options", [{}, {"folds": [0]}, {"mirrored": True}, {"devices": ("1",)}])
def test_training_is_refused_before_a_process_begins(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    monkeypatch.setattr("hbaclib.training.pool.Processes.submit", lambda *arguments: pytest.fail("began"))
    with pytest.raises(PlatformError, match=UNSEEN):
        train(tiny_recipe(), TinyArrays(n=8, patients=4), tmp_path / "out", progress=False, **options)  # type: ignore[arg-type]


def test_who_names_the_cpu_is_not_asked_for_gpus(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hbaclib.training.children import Children

    seen: list[str] = []
    monkeypatch.setattr(Children, "run", lambda self, jobs: seen.extend(self.runtime.claim) or {})
    train(tiny_recipe(), TinyArrays(), tmp_path / "out", progress=False, devices=("CPU:0", "CPU:1"))
    assert seen == ["CPU:0", "CPU:1"] and len(asked) == 1


@pytest.mark.parametrize(
    ("devices", "cpu"),
    [
        (("CPU:0",), True), (("/CPU:0",), True), (("cpu:1", "CPU:0"), True), (("/device:CPU:0",), True),
        ((), False), (("0",), False), (("GPU:0",), False), (("CPU:0", "GPU:0"), False), (("GPU-c9u",), False),
    ],
)  # fmt: skip
def test_which_names_are_a_cpus(devices: tuple[str, ...], cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr("hbaclib.training.devices.keep_off_gpus", lambda: kept.append(1))
    assert names_cpu(devices) is cpu
    take_devices((), devices)
    assert len(kept) == cpu, "TensorFlow would take the GPU's memory for what is computed without a device's name"


def test_a_plan_on_a_cpu_that_was_named_makes_its_pseudo_labels_there(asked: list[int], tmp_path: Path) -> None:
    """Also the labels between the rounds, on a host whose GPUs TensorFlow does not see."""
    recipe = tiny_recipe(
        pseudo_weight=0.5, stages=[{"epochs": 1, "steps": 1, "rates": [1e-2]}], ema=0.0, batch_norm_batches=0
    )
    folders = {"one": tmp_path / "05_train_one"}
    options = {"folds": [0], "devices": ("CPU:0",), "progress": False, "tell": str}
    found = train_networks({"one": recipe}, TinyArrays(n=16, patients=4), folders, **options)
    assert found.table[["state", "note"]].to_numpy().tolist() == [["finished", ""]] * 3 and not found.errors
    assert len(asked) == 1, "TensorFlow was asked for GPUs"


@pytest.mark.parametrize(
    ("wish", "cpu", "expected"),
    [
        ("auto", True, ("float32", 0)), ("float32", True, ("float32", 0)),
        ("mixed_float16", True, ("mixed_float16", 0)),
        ("auto", False, ("mixed_float16", 1)), ("float32", False, ("float32", 1)),
    ],
)  # fmt: skip
def test_precision_of_a_cpu_that_was_named_beside_a_gpu(
    wish: str, cpu: bool, expected: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = keras.config.dtype_policy()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a T4"] if kind == "GPU" else [])
    try:
        facts = configure(tiny_recipe(precision=wish), cpu=cpu)
    finally:
        keras.config.set_dtype_policy(policy)
    assert (facts["precision"], facts["gpus"]) == expected


@pytest.mark.parametrize("device", ["CPU:0", "/device:CPU:1"])
def test_a_cpu_that_is_claimed_hides_the_gpus(device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr("hbaclib.training.devices.private_folder", lambda name: tmp_path)
    monkeypatch.setattr("hbaclib.training.devices._make_cpus", lambda devices: None)
    try:
        assert take_devices((device,)) == (device, (device,)) and os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    finally:
        release_devices()


def test_who_only_looks_on_keeps_tensorflow_on_the_cpu() -> None:
    code = """
        import logging
        logging.basicConfig()
        from hbaclib.training import gpus
        gpus.visible_gpus = lambda: ("0",)
        asked = []
        import tensorflow as tf
        real = tf.config.set_visible_devices
        tf.config.set_visible_devices = lambda *given: asked.append(given) or real(*given)
        gpus.keep_off_gpus()
        tf.zeros(1)
        print(asked, [device.device_type for device in tf.config.list_logical_devices()])
        def late(*given):
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        tf.config.set_visible_devices = late
        gpus.keep_off_gpus()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[([], 'GPU')] ['CPU']"
    assert "TensorFlow has started on the GPUs in this process" in done.stderr


def test_a_host_without_gpus_needs_no_tensorflow_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "visible_gpus", tuple)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    keep_off_gpus()
