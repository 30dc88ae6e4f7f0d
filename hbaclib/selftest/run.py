"""Runs the measurements: each in a process of its own, with a limit, all within the minutes that there are.

Whatever fails or hangs costs its own row. On several GPUs each has a process at a time, as in training.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from hbaclib.artefacts import MANIFEST, is_current, write_json, write_manifest, write_text
from hbaclib.errors import ConfigError
from hbaclib.outputs import stage_folder
from hbaclib.platform import accelerators, cpu_is_asked_for, kaggle_image, versions
from hbaclib.processes import end_processes
from hbaclib.report.templates import fill
from hbaclib.selftest.answers import answer
from hbaclib.selftest.form import PAGE, RESULTS, STAGE, Check, Machine, SelfTest, Speed, read_selftest
from hbaclib.selftest.tasks import MINUTES, Task, tasks
from hbaclib.source import code_digest

_LEAST = 15.0  # seconds in which nothing can be measured any more
_LOOK = 0.1
Tell = Callable[[str], None]


@dataclass
class Outcome:
    """What came of a measurement: its values, or why there are none."""

    values: dict[str, Any] | None
    reason: str = ""
    seconds: float = 0.0


def run_selftest(
    out: str | Path, *, minutes: float = MINUTES, only: Sequence[str] = (), tell: Tell = lambda line: None
) -> Path:
    """Measure this machine, as a stage: ``<out>/09_selftest/`` with ``selftest.json`` and a page.

    Args:
        out: output folder.
        minutes: time for everything; what does not fit is left out, the least important first.
        only: names of measurements, or ``speed`` for all speeds; empty for all.
        tell: gets a line for every measurement that has ended.

    Returns:
        The stage's folder. If it is there already, of the same code and parameters, nothing is measured.

    Raises:
        ConfigError: no such measurement, or no time.
        ArtefactError: the folder cannot be written or holds something else.
    """
    if not minutes > 0:
        raise ConfigError(f"minutes is {minutes!r}, expected a number above 0")
    gpus = [] if cpu_is_asked_for() else accelerators()
    chosen = tasks(len(gpus), only)
    folder = Path(out).resolve() / STAGE
    made_from: dict[str, Any] = {
        "inputs": {},
        "parameters": {"minutes": minutes, "only": list(only), "gpus": gpus},
        "code": code_digest(__name__),
    }
    with stage_folder(folder, STAGE):
        if is_current(folder, **made_from):
            return folder
        (folder / MANIFEST).unlink(missing_ok=True)
        found = measure(chosen, gpus, minutes, tell)
        write_json(folder / RESULTS, asdict(found))
        write_page(folder)
        write_manifest(folder, STAGE, **made_from, outputs=[RESULTS, PAGE], facts={"device": found.device})
    return folder


def write_page(folder: str | Path) -> Path:
    """Write the page of a folder's results beside them."""
    found = read_selftest(folder)
    return write_text(Path(folder) / PAGE, fill("selftest.html", asdict(found)))


def measure(chosen: Sequence[Task], gpus: Sequence[str], minutes: float, tell: Tell = lambda line: None) -> SelfTest:
    """Run measurements within so many minutes.

    Args:
        chosen: the measurements, the most important first.
        gpus: name of each GPU; none for a CPU.
        minutes: time for everything.
        tell: gets a line for every measurement that has ended.
    """
    begun, start = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), time.monotonic()
    deadline = start + 60 * minutes
    outcomes: dict[str, Outcome] = {}
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in _device_numbers(len(gpus)):
        free.put(number)
    lock, stop = threading.Lock(), threading.Event()

    def work(task: Task) -> None:
        own = None if task.alone or not gpus else free.get()
        try:
            outcome = Outcome(None, task.left_out) if task.left_out else run_task(task, deadline, own, stop)
        finally:
            if own is not None:
                free.put(own)
        with lock:
            outcomes[task.name] = outcome
            words = f"measured in {outcome.seconds:.0f} s" if outcome.values is not None else outcome.reason
            tell(f"{task.name}: {words}")

    for task in chosen:
        if task.alone:
            work(task)
    with ThreadPoolExecutor(max_workers=max(len(gpus), 1)) as pool:
        try:
            list(pool.map(work, [task for task in chosen if not task.alone]))
        except BaseException:
            stop.set()  # Ctrl-C reaches this thread alone
            raise
    return SelfTest(
        begun=begun,
        seconds=round(time.monotonic() - start, 1),
        minutes=minutes,
        device="gpu" if gpus else "cpu",
        machine=Machine(
            gpus=tuple(gpus),
            cpu_cores=os.cpu_count() or 1,
            memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
            image=kaggle_image(),
            versions=versions(),
        ),
        speeds=tuple(_speed(task, outcomes[task.name], bool(gpus)) for task in chosen if task.is_speed),
        checks=tuple(_check(task, outcomes, bool(gpus)) for task in chosen if not task.is_speed),
    )


def _device_numbers(n: int) -> list[str]:
    """How the processes are to call each GPU: as the user has restricted them, else by their numbers."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return (named.split(",") if named else [])[:n] or [str(number) for number in range(n)]


def run_task(task: Task, deadline: float, device: str | None = None, stop: threading.Event | None = None) -> Outcome:
    """Run one measurement in a child process, and end it with all that it has started when its time is over.

    Args:
        task: which one.
        deadline: time of the monotonic clock by which all measurements end.
        device: the one GPU that it sees; None for all.
        stop: ends it as soon as it is set.
    """
    stop = stop or threading.Event()
    start = time.monotonic()
    limit = min(task.limit, deadline - start)
    if limit < min(_LEAST, task.limit) or stop.is_set():
        return Outcome(None, "left out: the time for the self-test was over")
    environment = dict(os.environ) if device is None else {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory(prefix="hbac-selftest-") as temporary:
        folder, messages = Path(temporary), Path(temporary) / "messages.txt"
        command = [sys.executable, "-m", "hbaclib.selftest.child", task.measure, json.dumps(task.options), temporary]
        with messages.open("wb") as stream:
            child = psutil.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
        try:
            code = _wait(child, start + limit, stop)
        finally:
            with contextlib.suppress(psutil.Error):
                end_processes([*child.children(recursive=True), child])
            # What a child leaves behind that was killed is nobody's child, but still of its group.
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
        seconds = round(time.monotonic() - start, 1)
        if code is None:
            return Outcome(None, f"failed: not ended after {limit:.0f} s", seconds)
        try:
            if code == 0:
                return Outcome(json.loads((folder / "result.json").read_text(encoding="utf-8")), seconds=seconds)
        except (OSError, ValueError):
            pass
        return Outcome(None, f"failed: {_last_words(messages, code)}", seconds)


def _wait(child: psutil.Popen, until: float, stop: threading.Event) -> int | None:
    while time.monotonic() < until and not stop.wait(_LOOK):
        if (code := child.poll()) is not None:
            return int(code)
    return None


def _last_words(messages: Path, code: int) -> str:
    lines = messages.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{ended}; its last words: {lines[-1].strip()[:400]}" if lines and code < 0 else (lines or [ended])[-1][:400]


def _state(outcome: Outcome) -> dict[str, Any]:
    if outcome.values is not None:
        return {"state": "measured", "seconds": outcome.seconds}
    state = "failed" if outcome.reason.startswith("failed") else "left out"
    return {"state": state, "reason": outcome.reason.removeprefix(f"{state}: "), "seconds": outcome.seconds}


def _speed(task: Task, outcome: Outcome, on_gpu: bool) -> Speed:
    options = task.options
    about = {"network": options["backbone"], "recipe": options["recipe"], "xla": options["xla"], "small": not on_gpu}
    return Speed(**about, **_state(outcome), **(outcome.values or {}))


def _check(task: Task, outcomes: dict[str, Outcome], on_gpu: bool) -> Check:
    outcome = outcomes[task.name]
    alone = outcomes.get("speed/efficientnet_b0/off")
    values = {} if outcome.values is None else dict(outcome.values)
    good, says = None, ""
    if values:
        one = alone.values["images_per_second"] if alone and alone.values else None
        try:
            good, says, more = answer(task.name, values, on_gpu=on_gpu, alone=one)
        except (LookupError, TypeError, ValueError) as error:
            outcome, more = Outcome(None, f"failed: it gave other values than expected ({error!r})"), {}
        values |= more
    return Check(task.name, task.about, **_state(outcome), good=good, says=says, values=values)
