"""Which job runs when, on the devices of one host, and what a session has no time for. Nothing is run here.

The order is the order of the list: a device that is free takes the first job whose needs are over. So the fits of
different networks share the devices, and no device waits for the end of a network. What does not fit into the session
is left out from the end of the list, job by job: networks that come first are complete before others begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""A function with its arguments, for another process."""
NO_TIME = "no time left for "
"""How the line begins that tells what a session has left out; by it a log is searched."""


@dataclass(frozen=True)
class Job:
    """What one device does in one go.

    Attributes:
        name: its own among the jobs, as messages say it.
        prepare: called in this process with the device's number when the job's turn has come; gives what another
            process is to call, or None where there is nothing left to do. An `HbacError` that it raises fails the job.
        group: jobs of one group may follow each other in one process.
        needs: names of jobs that must be over before, well or not; names that are no job's are over.
        seconds: how long it will take; 0 where that is not known.
    """

    name: str
    prepare: Callable[[int], Call | None] = field(compare=False)
    group: str = ""
    needs: frozenset[str] = frozenset()
    seconds: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a job stands in a plan: on which device, from when to when, in seconds from now."""

    name: str
    device: int
    begin: float
    end: float


def lay_out(jobs: Sequence[Job], devices: int) -> list[Place]:
    """Lay jobs out over devices as they will run if their estimates are right.

    Args:
        jobs: in their order; a job stands behind those that it needs.
        devices: their number.

    Returns:
        A place for every job, in the order in which they begin.
    """
    names, free, ends = {job.name for job in jobs}, [0.0] * devices, dict[str, float]()
    waiting, places = list(jobs), list[Place]()

    def ready(job: Job) -> float | None:
        needs = job.needs & names
        return max((ends[name] for name in needs), default=0.0) if needs <= ends.keys() else None

    while waiting:
        device = min(range(devices), key=free.__getitem__)
        moments = [moment for job in waiting if (moment := ready(job)) is not None]
        if not moments:
            raise ValueError(f"jobs need each other: {', '.join(job.name for job in waiting)}")
        begin = max(free[device], min(moments))
        job = next(job for job in waiting if (moment := ready(job)) is not None and moment <= begin)
        waiting.remove(job)
        free[device] = ends[job.name] = begin + job.seconds
        places.append(Place(job.name, device, begin, ends[job.name]))
    return places


def seconds_of(places: Sequence[Place]) -> float:
    """When the last job of a plan ends."""
    return max((place.end for place in places), default=0.0)


def fitting(jobs: Sequence[Job], devices: int, seconds: float | None) -> list[Job]:
    """The jobs that a session has time for.

    Args:
        jobs: in their order.
        devices: their number.
        seconds: what the session has left; None for no end.

    Returns:
        The longest beginning of the list that ends in time.
    """
    kept = list(jobs)
    while seconds is not None and kept and seconds_of(lay_out(kept, devices)) > seconds:
        kept.pop()
    return kept
