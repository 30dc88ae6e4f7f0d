"""Runs jobs in processes of their own, one a device, so that none can take another with it.

A process that is killed, or a job that raises, costs only itself: the others go on. What may be passing (a killed
process, whatever TensorFlow, the driver or the system raise) is tried once more, behind all others, when a device that
was short of memory may have room again. What the library itself refuses is not.
"""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from hbaclib.compat.joblib import end_idle_workers, worker_process
from hbaclib.errors import HbacError, PlatformError, TimeShortage
from hbaclib.training.plan import Call, Job

log = logging.getLogger(__name__)

State = Literal["finished", "failed", "left out"]
FINISHED: State = "finished"
FAILED: State = "failed"
LEFT_OUT: State = "left out"
_ATTEMPTS = 2


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        name: of the job.
        state: ``finished``, ``failed``, or ``left out``, for which the session had no time.
        device: number of the device that it ran on last, from 0; -1 where it never began.
        begin: Unix time at which it began last, and
        end: ended.
        attempts: how often it began.
        error: what failed it, or why there was no time for it.
        result: what it gave back.
    """

    name: str
    state: State
    device: int = -1
    begin: float = 0.0
    end: float = 0.0
    attempts: int = 0
    error: Exception | None = None
    result: Any = None

    @property
    def reason(self) -> str:
        """Why it is not finished, in one line; empty where it is."""
        return (str(self.error).strip().splitlines() or [type(self.error).__name__])[0] if self.error else ""


class Workers(Protocol):
    """Where jobs run: one at a time on each device."""

    def submit(self, device: int, job: Job, call: Call) -> Future[Any]:
        """Begin a job."""

    def wait(self, futures: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """Wait until one of some jobs has ended; those that have."""

    def clock(self) -> float:
        """Unix time."""


class Processes:
    """A process for each device, renewed between networks and after it was killed.

    A process keeps what TensorFlow took for one network (memory, threads), which the next one need not want.
    """

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, Any]] = {}

    def submit(self, device: int, job: Job, call: Call) -> Future[Any]:
        """Begin a job in the device's process."""
        group, executor = self._open.get(device, ("", None))
        if executor is None or group != job.group:
            self.end(device)
            executor = worker_process()
            self._open[device] = job.group, executor
        function, arguments, named = call
        try:
            return executor.submit(function, *arguments, **named)
        except BrokenProcessPool:  # it was killed while it was idle
            self.end(device)
            return self.submit(device, job, call)

    def wait(self, futures: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """Wait until one of some jobs has ended."""
        return list(wait(futures, return_when=FIRST_COMPLETED).done)

    def clock(self) -> float:
        """Unix time."""
        return time.time()

    def end(self, device: int) -> None:
        """End a device's process, whatever it does."""
        _, executor = self._open.pop(device, ("", None))
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


@contextmanager
def processes() -> Iterator[Processes]:
    """Processes that end with the block, however it ends."""
    end_idle_workers()  # those of earlier parallel calls, which keep their memory
    made = Processes()
    with warnings.catch_warnings():
        # A process that has grown is replaced, as one does that has trained; that is no fault to tell anyone.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        try:
            yield made
        finally:
            for device in list(made._open):
                made.end(device)


def run_jobs(
    jobs: Sequence[Job],
    devices: int,
    workers: Workers,
    *,
    deadline: float | None = None,
    on_begin: Callable[[Job, int], None] = lambda job, device: None,
    on_over: Callable[[Job, Outcome], None] = lambda job, outcome: None,
) -> dict[str, Outcome]:
    """Run jobs in their order, each on the first device that is free.

    Before a job begins, its estimate is held against the clock: the first that would not end in time, and all that have
    not begun by then, are left out.

    Args:
        jobs: what is to be done.
        devices: how many at a time.
        workers: where they run.
        deadline: Unix time by which the session ends; None for no end.
        on_begin: called when a job begins, with its device.
        on_over: called when a job is over; not for one that is tried again.

    Returns:
        Name -> outcome, in the order of the jobs.

    Raises:
        BaseException: whatever ``on_over`` raises, or an interruption.
    """
    waiting, running, over = list(jobs), dict[Future[Any], tuple[Job, Outcome]](), dict[str, Outcome]()
    attempts, names, closed = dict.fromkeys((job.name for job in jobs), 0), {job.name for job in jobs}, False
    failed = dict[str, Outcome]()  # what is tried once more, as it ended the first time

    def end(job: Job, outcome: Outcome) -> None:
        over[job.name] = outcome
        on_over(job, outcome)

    def begin(device: int) -> bool:
        """Begin, on a free device, the first job that is ready; whether there was one, or one that needed no device."""
        nonlocal closed
        job = next((job for job in waiting if job.needs & names <= over.keys()), None)
        if job is None:
            return False
        now = workers.clock()
        if deadline is not None and now + job.seconds > deadline:
            closed = True
            return False
        waiting.remove(job)
        try:
            call = job.prepare(device)
        except HbacError as error:
            end(job, Outcome(job.name, FAILED, error=error))
            return True
        if call is None:
            end(job, Outcome(job.name, FINISHED))
            return True
        attempts[job.name] += 1
        started = Outcome(job.name, FINISHED, device, now, now, attempts[job.name])
        on_begin(job, device)
        running[workers.submit(device, job, call)] = job, started
        return True

    while True:
        free = [
            number for number in range(devices) if number not in {started.device for _, started in running.values()}
        ]
        while free and not closed and begin(free[0]):
            free = [number for number in free if number not in {s.device for _, s in running.values()}]
        if not running:
            break
        for future in workers.wait(list(running)):
            job, started = running.pop(future)
            outcome = _judge(replace(started, end=workers.clock()), future)
            if outcome.state == LEFT_OUT:
                closed = True
            elif outcome.state == FAILED and _may_pass(outcome.error) and outcome.attempts < _ATTEMPTS:
                log.warning("%s: %s; tried once more, behind the others", job.name, outcome.reason)
                waiting.append(job)
                failed[job.name] = outcome
                continue
            end(job, outcome)
    for job in waiting:
        end(job, replace(failed.get(job.name, Outcome(job.name, LEFT_OUT)), state=LEFT_OUT))
    return {job.name: over[job.name] for job in jobs}


def _judge(outcome: Outcome, future: Future[Any]) -> Outcome:
    error = future.exception()
    if error is None:
        return replace(outcome, result=future.result())
    if isinstance(error, TimeShortage):
        return replace(outcome, state=LEFT_OUT, error=error)
    if isinstance(error, BrokenProcessPool):
        codes = re.findall(r"\b(SIG[A-Z]+)\(|EXIT\((-?\d+)\)", str(error))
        how = f" ({', '.join(signal or f'exit code {code}' for signal, code in codes)})" if codes else ""
        lost = ProcessLost(f"{outcome.name}: its process was killed{how}, mostly for lack of memory")
        return replace(outcome, state=FAILED, error=lost)
    if not isinstance(error, Exception):
        raise error
    return replace(outcome, state=FAILED, error=error)


class ProcessLost(PlatformError):
    """A process was killed, or has crashed, in the middle of its work."""


def _may_pass(error: Exception | None) -> bool:
    return isinstance(error, ProcessLost) or not isinstance(error, HbacError)
