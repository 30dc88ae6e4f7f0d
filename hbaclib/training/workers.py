"""Where the jobs of a plan run that need no processes of their own on this host: here, or on a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from typing import Any

from hbaclib.compat.joblib import cluster_executor
from hbaclib.training.plan import Call, Job


class Here:
    """This process: a job has ended when its begin returns, so there is one at a time."""

    def submit(self, device: int, job: Job, call: Call) -> Future[Any]:
        """Run a job to its end; an interruption passes."""
        future, (function, arguments, named) = Future[Any](), call
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future

    def wait(self, futures: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """All of them, as they have ended."""
        return futures

    def clock(self) -> float:
        """Unix time."""
        return time.time()


class Cluster:
    """A Dask cluster, which chooses the host and begins a job anew whose worker it has lost.

    Args:
        executor: the cluster's.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def submit(self, device: int, job: Job, call: Call) -> Future[Any]:
        """Begin a job on a worker that is free; ``device`` only counts them."""
        function, arguments, named = call
        return self.executor.submit(function, *arguments, **named)

    def wait(self, futures: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """Wait until one of some jobs has ended."""
        return list(wait(futures, return_when=FIRST_COMPLETED).done)

    def clock(self) -> float:
        """Unix time."""
        return time.time()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The Dask cluster of ``joblib.parallel_config("dask")``; what still runs when the block ends is given up."""
    executor = cluster_executor()
    try:
        yield Cluster(executor)
    finally:
        executor.shutdown(wait=False)
