"""What a fit takes, as its record tells it: seconds of tracing, seconds a step, images a second, memory."""

from __future__ import annotations

import contextlib
import math
from statistics import median

from hbaclib.platform import peak_megabytes

_WARM_UP = 2
_UNTOLD = (ValueError, KeyError, RuntimeError)
"""What TensorFlow raises for an allocator that keeps no account."""


class StepTimes:
    """Collects what the steps of a fit take.

    Args:
        batch: rows of a step.
    """

    def __init__(self, batch: int) -> None:
        self.batch, self.tracing = batch, 0.0
        self._seconds: list[float] = []

    def step(self, seconds: float) -> None:
        """Count a step, without what lies between the epochs."""
        self._seconds.append(seconds)

    def facts(self) -> dict[str, float | None]:
        """``trace_seconds``, ``step_seconds`` (the median) and ``images_per_second``; None where no step tells.

        The first two steps trace and compile: what they took beyond usual ones is counted as that, and what was added
        to ``tracing``.
        """
        first, usual = self._seconds[:_WARM_UP], self._seconds[_WARM_UP:]
        if not usual:
            return dict.fromkeys(("trace_seconds", "step_seconds", "images_per_second"))
        typical = median(usual)
        tracing = self.tracing + max(sum(first) - len(first) * typical, 0.0)
        rate = self.batch / typical if typical else None
        return {"trace_seconds": tracing, "step_seconds": typical, "images_per_second": rate}


def hardware(devices: tuple[str, ...]) -> str:
    """Names of the devices that a fit runs on, such as ``Tesla T4``, or ``CPU``.

    Args:
        devices: TensorFlow's names; empty for TensorFlow's own choice.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    numbers = _gpus(devices) if gpus else []
    if not numbers:
        return "CPU"
    details = (tf.config.experimental.get_device_details(gpus[number]) for number in numbers)
    return ", ".join(detail.get("device_name", "GPU") for detail in details)


def begin_memory(devices: tuple[str, ...]) -> None:
    """Let `peak_memory` count from here where that is possible: on GPUs."""
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        for number in _gpus(devices):
            with contextlib.suppress(*_UNTOLD):
                tf.config.experimental.reset_memory_stats(f"GPU:{number}")


def peak_memory(devices: tuple[str, ...]) -> int | None:
    """Greatest memory so far, MiB: of the fullest GPU, on a CPU of the process; None where the system does not tell."""
    import tensorflow as tf

    numbers = _gpus(devices) if tf.config.list_logical_devices("GPU") else []
    try:
        used = [tf.config.experimental.get_memory_info(f"GPU:{number}")["peak"] / 2**20 for number in numbers]
    except _UNTOLD:
        return None
    most = max(used, default=peak_megabytes())
    return None if math.isnan(most) else round(most)


def _gpus(devices: tuple[str, ...]) -> list[int]:
    """Numbers of the GPUs among TensorFlow's names of devices; without names TensorFlow takes the first."""
    return [int(name.rpartition(":")[2]) for name in devices or ("GPU:0",) if "GPU" in name.upper()]
