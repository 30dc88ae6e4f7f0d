"""GPUs are found, and left alone by who does not train; one that TensorFlow does not see ends the start."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hbaclib.errors import PlatformError
from hbaclib.training import gpus
from hbaclib.training.cross_validate import train
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
