"""The jobs of a run, watched: on GPUs, and where a session's hours count, each device has a process of its own."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hbaclib.inputs.store import InputArrays
from hbaclib.training.devices import Runtime, names_cpu
from hbaclib.training.fit import Fit, run_fit
from hbaclib.training.gpus import check_gpus_seen, keep_off_gpus
from hbaclib.training.plan import Call, Job
from hbaclib.training.pool import Outcome, Workers, processes, run_jobs
from hbaclib.training.progress import watch
from hbaclib.training.reports import duration, read_report, told
from hbaclib.training.workers import Here, cluster

log = logging.getLogger(__name__)


@dataclass
class Children:
    """What trains, mostly processes beside each other, and what they tell.

    Attributes:
        runtime: how many, and what each of them claims.
        workers: the processes, or what stands in their place.
        folder: holds a report of each.
        over: how many jobs have come to their end, and
        count: of how many.
    """

    runtime: Runtime
    workers: Workers
    folder: Path
    over: int = 0
    count: int = 0
    _running: dict[int, tuple[str, float]] = field(default_factory=dict)
    _warned: set[tuple[str, str]] = field(default_factory=set)

    def group(self, network: str, threads: int) -> str:
        """Jobs of one group follow each other in one process.

        On a GPU those of one network: TensorFlow keeps the memory that it took for it. On a CPU those that compute with
        the same number of threads, which TensorFlow keeps.
        """
        names = (*self.runtime.claim, *self.runtime.devices)
        return f"{threads} threads" if not names or names_cpu(names) else network

    def options(self, device: int) -> dict[str, object]:
        """What every job of a device is told: where to run, how many do, where to report."""
        return {
            "claim": self.runtime.claim,
            "devices": self.runtime.devices,
            "at_once": self.runtime.processes,
            # A cluster's worker may be on another host, where nobody looks.
            "report": None if self.runtime.kind == "cluster" else self._report(device),
        }

    def fit_call(self, fit: Fit, inputs: InputArrays, device: int, deadline: float | None, rounds: int = 1) -> Call:
        """What trains a fit in a device's process."""
        options = {"progress": False, "deadline": deadline, "rounds": rounds, **self.options(device)}
        return run_fit, (fit, inputs), options

    def run(
        self,
        jobs: Sequence[Job],
        deadline: float | None = None,
        on_over: Callable[[Job, Outcome], None] = lambda job, outcome: None,
    ) -> dict[str, Outcome]:
        """Run jobs, one at a time on each device; as `hbaclib.training.pool.run_jobs`."""
        self.over, self.count = 0, len(jobs)

        def begins(job: Job, device: int) -> None:
            self._collect(device)
            self._report(device).unlink(missing_ok=True)
            self._running[device] = job.name, time.time()

        def ends(job: Job, outcome: Outcome) -> None:
            self.over += 1
            if outcome.device >= 0:
                self._collect(outcome.device)
                self._running.pop(outcome.device, None)
            on_over(job, outcome)

        return run_jobs(jobs, self.runtime.processes, self.workers, deadline=deadline, on_begin=begins, on_over=ends)

    def at_work(self) -> list[str]:
        """Names of the jobs that run now."""
        return [name for name, _ in list(self._running.values())]

    def lines(self) -> list[str]:
        """One line a device: what it does, how fast, how long yet."""
        said, now = [], time.time()
        for device in range(self.runtime.processes):
            self._collect(device)
            name, begin = self._running.get(device, ("", 0.0))
            report = read_report(self._report(device)) if name else None
            title = _called(report.device) if report and report.device else f"process {device + 1}"
            if report is not None:
                said.append(f"{title}: {told(report, now)}")
            else:
                said.append(f"{title}: {f'{name}: begins, {duration(now - begin)}' if name else 'idle'}")
        return [*said, f"{self.over} of {self.count} done"]

    def _report(self, device: int) -> Path:
        return self.folder / f"device-{device}.json"

    def _collect(self, device: int) -> None:
        """Say what a process has warned of, each warning once."""
        report = read_report(self._report(device))
        if report is None:
            return
        for text in report.warnings:
            if (report.fit, text) not in self._warned:
                self._warned.add((report.fit, text))
                log.warning("%s: %s", report.fit, text)


@contextmanager
def children(
    runtime: Runtime,
    fits: Sequence[Fit],
    *,
    here: bool = False,
    progress: bool = True,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> Iterator[Children]:
    """Processes for the devices of a runtime, or its cluster; they end with the block, however it ends.

    Args:
        runtime: the choice of `hbaclib.training.devices.choose_runtime`.
        fits: whose learning curves are followed.
        here: let this process do the work of a runtime of one process that claims no device.
        progress: show a bar over all epochs, and one line a device.
        on_epoch: as for `hbaclib.training.progress.watch`.

    Raises:
        PlatformError: the driver lists GPUs that TensorFlow does not see, and nobody has asked for the CPU.
    """
    with tempfile.TemporaryDirectory(prefix="hbac-reports-") as folder, _workers(runtime, here) as workers:
        made = Children(runtime, workers, Path(folder))
        with watch(fits, bar=progress, on_epoch=on_epoch, lines=made.lines):
            yield made


def _workers(runtime: Runtime, here: bool) -> AbstractContextManager[Workers]:
    if runtime.kind == "cluster":
        return cluster()
    if not names_cpu((*runtime.claim, *runtime.devices)):
        check_gpus_seen()
    if not here or runtime.in_children or runtime.processes > 1:
        return processes()
    keep_off_gpus()  # a CPU that was named; TensorFlow would take the GPUs as well
    return nullcontext(Here())


def _called(device: str) -> str:
    """A device as people call it: ``GPU 0`` where the name is a number."""
    return f"GPU {device}" if device[:1].isdigit() else device
