"""The GPUs of this host, found and checked without a process that keeps their memory.

Fits run on a GPU in processes of their own (see `hbaclib.training.pool`). A process that starts them, a notebook's
mostly, leaves the GPUs alone: whatever of TensorFlow it needs itself, it computes on the CPU.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys

from hbaclib import platform
from hbaclib.errors import PlatformError

log = logging.getLogger(__name__)

PATIENCE = 180.0
"""Seconds for TensorFlow to start: minutes where its files lie on a slow disk."""
_ASK_TENSORFLOW = """
import tensorflow
print(len(tensorflow.config.list_physical_devices("GPU")))
"""
_seen: dict[str | None, int] = {}


def visible_gpus() -> tuple[str, ...]:
    """Names of this host's GPUs, found without touching them (so that worker processes can have them).

    They are what ``CUDA_VISIBLE_DEVICES`` names, else the numbers of those that the driver lists.
    """
    chosen = platform.chosen_gpus()
    return tuple(map(str, range(len(platform.accelerators())))) if chosen is None else chosen


def ask_tensorflow(patience: float = PATIENCE) -> tuple[int, str]:
    """Number of the GPUs that TensorFlow sees, asked in another process, which gives them back.

    Args:
        patience: seconds to wait for the answer.

    Returns:
        The number, and why it could not be asked (empty where it could).
    """
    command, environment = [sys.executable, "-c", _ASK_TENSORFLOW], {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=patience, env=environment)
    except subprocess.TimeoutExpired:
        return 0, f"no answer within {patience:g} s"
    except OSError as error:
        return 0, str(error)
    try:
        return int(answer.stdout.split()[-1]), ""
    except (IndexError, ValueError):
        last = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        return 0, last[0]


def check_gpus_seen() -> None:
    """Refuse to train where the driver lists a GPU that TensorFlow does not see, unless the CPU was asked for.

    TensorFlow is asked in another process, and once only of those that it sees.

    Raises:
        PlatformError: names the GPUs, what to install, and how to ask for the CPU.
    """
    if not platform.unseen_gpus():
        return
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told not in _seen:
        number, reason = ask_tensorflow()
        if not number:
            raise unseen_error(reason)
        _seen[told] = number


def unseen_error(reason: str = "") -> PlatformError:
    """The error of GPUs that TensorFlow does not see; ``reason`` says why, where that is known."""
    return PlatformError(
        f"{platform.unseen_gpus(reason)}, or ask for the CPU: CUDA_VISIBLE_DEVICES=-1 in the environment "
        '(hbac run: --cpu), or devices=("CPU:0",)'
    )


def keep_off_gpus() -> None:
    """Let TensorFlow of this process compute on the CPU alone, so that the GPUs' memory stays with those who train.

    Does nothing on a host without GPUs, nor where TensorFlow has taken them already, which the log says.
    """
    if not visible_gpus():
        return
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        log.warning("TensorFlow has started on the GPUs in this process, and keeps their memory until it ends")
