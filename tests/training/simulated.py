"""Stands in for the processes that train: jobs take their estimated time on a made-up clock, and run at its end."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from hbaclib.training.plan import Call, Job


class Simulated:
    """Workers of a pool without processes.

    Attributes:
        now: the time, seconds.
        log: (begin, name, device) of everything that began, in that order.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.log: list[tuple[float, str, int]] = []
        self._calls: dict[Future[Any], tuple[float, Call]] = {}

    def submit(self, device: int, job: Job, call: Call) -> Future[Any]:
        """Begin a job."""
        assert device not in self._busy(), "one job at a time on a device"
        self.log.append((self.now, job.name, device))
        future: Future[Any] = Future()
        future.device = device  # type: ignore[attr-defined]
        self._calls[future] = self.now + self.seconds(job), call
        return future

    def seconds(self, job: Job) -> float:
        """How long a job takes."""
        return job.seconds

    def wait(self, futures: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """Go on to the end of the job that ends next."""
        future = min(futures, key=lambda each: self._calls[each][0])
        self.now, (function, arguments, named) = self._calls.pop(future)
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:
            future.set_exception(error)
        return [future]

    def clock(self) -> float:
        """The time."""
        return self.now

    def _busy(self) -> set[int]:
        return {future.device for future in self._calls}  # type: ignore[attr-defined]
