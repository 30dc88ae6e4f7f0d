"""Work for the block writer's tests: importable, so that every kind of worker process finds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np


def numbers(work: tuple[int, int]) -> tuple[dict[str, np.ndarray], Any]:
    """Rows of two arrays that depend on their row numbers alone."""
    rows = np.arange(*work)
    return {
        "a.npy": (rows[:, None] * np.arange(5)).astype(np.float32),
        "b.npy": np.sqrt(rows).astype(np.float16),
    }, {"rows": [int(row) for row in rows]}


def counted(work: tuple[int, int, str]) -> tuple[dict[str, np.ndarray], Any]:
    """As `numbers`, and leaves a mark for every call."""
    start, stop, folder = work
    Path(folder, f"{start}-{os.getpid()}-{os.urandom(4).hex()}").touch()
    return numbers((start, stop))


def failing(work: tuple[int, int, str]) -> tuple[dict[str, np.ndarray], Any]:
    """As `counted`, until a file ``stop`` appears: then the last block fails."""
    if Path(work[2], "stop").exists() and work[0] >= 8:
        raise RuntimeError("stopped here")
    return counted(work)


def dies_once(work: tuple[int, int, str]) -> tuple[dict[str, np.ndarray], Any]:
    """As `counted`; the first worker process that reaches the middle kills itself."""
    mark = Path(work[2], "killed")
    if work[0] == 6 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return counted(work)


def wrong_shape(work: tuple[int, int]) -> tuple[dict[str, np.ndarray], Any]:
    """Rows of another shape than was announced."""
    arrays, facts = numbers(work)
    return arrays | {"a.npy": arrays["a.npy"][:, :2]}, facts
