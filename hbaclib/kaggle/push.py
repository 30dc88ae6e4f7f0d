"""Sends a build to Kaggle in order: data sets, then kernels as soon as those that they read are complete.

What was sent is noted in ``push-state.json`` at once, so that the same command continues after Ctrl-C or a failure, and
sends nothing a second time that is unchanged. A kernel counts as changed when its notebook, its settings, a data set or
a kernel that it reads has changed.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from hbaclib.artefacts import digest_json, write_json
from hbaclib.errors import ConfigError, PlatformError, list_some
from hbaclib.files import whole_path
from hbaclib.kaggle import client
from hbaclib.kaggle.again import left_out, readers, reading_itself
from hbaclib.kaggle.client import Kaggle
from hbaclib.kaggle.plan import Plan, PlannedDataset, PlannedKernel, read_plan
from hbaclib.outputs import claim
from hbaclib.schema import closed, read_json
from hbaclib.suite.table import unknown

STATE = "push-state.json"
GPU_SESSIONS = 2
SESSIONS = 5
"""Sessions that Kaggle runs at a time for one user: with a GPU, and altogether."""
POLL = 60.0
DATASET_HOURS = 1.0
KERNEL_HOURS = 13.0
"""Longest waits: a session itself ends after 12 hours."""
LOG_LINES = 15
AGAIN = "again"
"""Status of a kernel that is to be sent once more, reading its own last version's output."""
FAILED = ("ERROR", "CANCEL_REQUESTED", "CANCEL_ACKNOWLEDGED")


@closed
@dataclass(frozen=True)
class _Pushed:
    """What was sent of a data set or a kernel, and what came of it."""

    digest: str
    version: int
    status: str


def read_state(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of earlier pushes: name -> digest, version, status."""
    if not (folder / STATE).exists():
        return {}
    mend = "delete it to push everything again"
    found = read_json(folder / STATE, dict[str, _Pushed], "state of a push", mend, error=PlatformError)
    return {name: asdict(pushed) for name, pushed in found.items()}


def chain_digests(plan: Plan) -> dict[str, str]:
    """Digest per kernel of all that its result depends on: itself, the data sets, the kernels before it."""
    found: dict[str, str] = {}
    datasets = [dataset.digest for dataset in plan.datasets]
    for kernel in plan.kernels:
        found[kernel.name] = digest_json([kernel.digest, datasets, [found[name] for name in kernel.after]])
    return found


@dataclass
class _Running:
    kernel: PlannedKernel
    version: int
    since: float
    seen_active: bool = False
    ended_polls: int = 0


class Push:
    """One run of ``hbac kaggle push``.

    Args:
        folder: what `build` made.
        plan: its plan.
        poll: seconds between two looks at a kernel.
        kaggle: the service.
        again: names of kernels that go on from their own last version, and all that read them after them.
    """

    def __init__(self, folder: Path, plan: Plan, poll: float, kaggle: Kaggle, again: Collection[str] = ()) -> None:
        self.again = again
        self.folder, self.plan, self.poll, self.kaggle = folder, plan, poll, kaggle
        if kaggle.user != plan.user:
            raise ConfigError(
                f"{folder}: built for user {plan.user!r}, but the credentials are of {kaggle.user!r}; "
                f"build again with --user {kaggle.user}"
            )
        self.state = read_state(folder)
        self.digests = {f"data set {each.name}": each.digest for each in plan.datasets} | chain_digests(plan)
        self._shown: dict[str, str] = {}
        self._began = time.monotonic()

    def _show(self, name: str, state: str) -> None:
        """Print what has changed: seconds since the begin, a data set or kernel, its state."""
        if self._shown.get(name) != state:
            self._shown[name] = state
            width = max(map(len, self.digests))
            click.echo(f"{time.monotonic() - self._began:6.0f} s  {name:<{width}}  {state}")

    def _note(self, name: str, version: int, status: str, shown: str = "") -> None:
        self.state[name] = {"digest": self.digests[name], "version": version, "status": status}
        write_json(self.folder / STATE, self.state)
        self._show(name, f"version {version}: {shown or status}")

    def run(self) -> None:
        """Send everything and wait until all kernels are complete.

        Raises:
            PlatformError: something failed on Kaggle; the message ends with the kernel's last lines where it ran.
        """
        self._mark()
        for dataset in self.plan.datasets:
            self._dataset(dataset)
        self._kernels()

    def _mark(self) -> None:
        """Note which kernels are sent again, with those that read them, so that another push goes on with it.

        Raises:
            PlatformError: a kernel has no version that it could go on from.
        """
        marked = set()
        for kernel in self.plan.kernels:
            if kernel.name not in self.again:
                continue
            known = self._unchanged(kernel)
            if known and known["status"] == "running":  # the same command, after Ctrl-C
                continue
            version = self.kaggle.kernel_version(kernel.ref)
            if not version:
                raise PlatformError(f"kernel {kernel.ref}: not on Kaggle yet, nothing to go on from; leave out --again")
            self.state[kernel.name] = {"digest": self.digests[kernel.name], "version": version, "status": AGAIN}
            marked.add(kernel.name)
        for name in readers(self.plan, marked):
            self.state.pop(name, None)
        if marked:
            write_json(self.folder / STATE, self.state)

    def _dataset(self, dataset: PlannedDataset) -> None:
        row = f"data set {dataset.name}"
        found = self.kaggle.dataset(dataset.ref)
        known = self.state.get(row, {})
        wanted = known.get("version", 0)
        sent = known.get("digest") == dataset.digest and found is not None and found[1] <= wanted
        if not sent:
            self._show(row, "uploading")
            folder = self.folder / "datasets" / dataset.name
            exists, notes = found is not None, f"digest {dataset.digest}"
            self.kaggle.upload_dataset(folder, exists=exists, notes=notes, public=dataset.public)
            wanted = found[1] + 1 if found else 1
            self._note(row, wanted, "uploaded")
        began = time.monotonic()
        while True:
            found = self.kaggle.dataset(dataset.ref)
            status, version = found or ("not there yet", 0)
            if status in ("failed", "deleted"):
                del self.state[row]
                write_json(self.folder / STATE, self.state)
                raise PlatformError(
                    f"data set {dataset.ref}: Kaggle could not take it in (status {status}); push again"
                )
            if status == "ready" and version >= wanted:
                break
            if time.monotonic() - began > DATASET_HOURS * 3600:
                raise PlatformError(f"data set {dataset.ref}: not ready after {DATASET_HOURS:g} h (status {status})")
            self._show(row, f"version {wanted}: {status}")
            client.sleep(min(self.poll, 10.0))
        self._note(row, wanted, "ready", "unchanged" if sent else "")

    def _unchanged(self, kernel: PlannedKernel) -> dict[str, Any] | None:
        """The note of an earlier push of exactly this, if Kaggle still holds that version as the newest."""
        known = self.state.get(kernel.name, {})
        if known.get("digest") != self.digests[kernel.name] or known.get("status") not in ("complete", "running"):
            return None
        return known if self.kaggle.kernel_version(kernel.ref) == known["version"] else None

    def _kernels(self) -> None:
        waiting = list(self.plan.kernels)
        running: list[_Running] = []
        done: set[str] = set()
        for kernel in self.plan.kernels:
            known = self._unchanged(kernel)
            if known and set(kernel.after) <= done | {each.kernel.name for each in running}:
                waiting.remove(kernel)
                if known["status"] == "complete":
                    done.add(kernel.name)
                    self._show(kernel.name, f"version {known['version']}: unchanged")
                else:
                    running.append(_Running(kernel, known["version"], time.monotonic()))
        gpus = [kernel.name for kernel in waiting if kernel.gpu]
        left = self.kaggle.gpu_hours_left() if gpus else None
        if left is not None and left <= 0:
            raise PlatformError(
                f"no GPU hours left this week; {list_some(gpus)} need them. "
                "Push again after the reset that kaggle.com/settings shows"
            )
        while waiting or running:
            for kernel in [each for each in waiting if set(each.after) <= done]:
                on_gpu = sum(each.kernel.gpu for each in running)
                if len(running) < SESSIONS and (not kernel.gpu or on_gpu < GPU_SESSIONS):
                    started = self._start(kernel, bool(running))
                    if started is None:
                        break
                    running.append(started)
                    waiting.remove(kernel)
            for each in list(running):
                if self._finished(each):
                    running.remove(each)
                    done.add(each.kernel.name)
            if running or waiting:
                client.sleep(self.poll)

    def _start(self, kernel: PlannedKernel, others_run: bool) -> _Running | None:
        """Push one kernel; None where Kaggle has no session free and one of ours will end."""
        self._show(kernel.name, "pushing")
        folder = self.folder / "kernels" / kernel.name
        again = self.state.get(kernel.name, {}).get("status") == AGAIN
        try:
            with reading_itself(folder, kernel.ref) if again else nullcontext(folder) as sent:
                version = self.kaggle.push_kernel(sent, kernel.ref)
        except PlatformError as error:
            if "session count" in str(error).lower() and others_run:
                self._show(kernel.name, "waiting for a free session")
                return None
            self._show(kernel.name, "push failed")
            raise
        self._note(kernel.name, version, "running", "pushed")
        return _Running(kernel, version, time.monotonic())

    def _finished(self, each: _Running) -> bool:
        kernel = each.kernel
        status, message = self.kaggle.kernel_status(kernel.ref)
        late = time.monotonic() - each.since > KERNEL_HOURS * 3600
        if status not in ("COMPLETE", *FAILED):
            each.seen_active = each.seen_active or status in ("QUEUED", "RUNNING")
            if late:
                raise PlatformError(f"kernel {kernel.ref}: still {status} after {KERNEL_HOURS:g} h; look at its page")
            self._show(kernel.name, f"version {each.version}: {status.lower()}")
            return False
        # Right after a push the service may still tell of the session before it, so the answer is believed only when
        # the newest version is ours, and this session was seen at work or tells the same twice.
        newest = self.kaggle.kernel_version(kernel.ref)
        if newest > each.version:
            raise PlatformError(
                f"kernel {kernel.ref}: version {newest} was saved by someone else while version {each.version} ran; "
                "push again"
            )
        each.ended_polls = each.ended_polls + 1 if newest == each.version else 0
        if not each.ended_polls or not (each.seen_active or each.ended_polls > 1):
            if late:
                raise PlatformError(f"kernel {kernel.ref}: version {each.version} never started; look at its page")
            self._show(kernel.name, f"version {each.version}: starting")
            return False
        self._note(kernel.name, each.version, status.lower())
        if status in FAILED:
            raise PlatformError(self._failure(kernel, each.version, status, message))
        for line in left_out(self.kaggle, kernel, self.folder):
            click.echo(line)
        return True

    def _failure(self, kernel: PlannedKernel, version: int, status: str, message: str) -> str:
        word = "failed" if status == "ERROR" else "was cancelled"
        said = f" ({message})" if message else ""
        try:
            tail = self.kaggle.kernel_log(kernel.ref).strip().splitlines()[-LOG_LINES:]
        except PlatformError as error:
            tail = [f"(no log: {error})"]
        lines = "".join(f"\n    {line}" for line in tail)
        return f"kernel {kernel.ref} version {version} {word}{said}; nothing more was started. Its last lines:{lines}"


def push(folder: str | Path, *, poll: float = POLL, again: Collection[str] = ()) -> None:
    """Send a build to Kaggle and wait until all of it has run; see `Push`.

    Args:
        folder: what `build` made.
        poll: seconds between two looks at a kernel.
        again: names of kernels that are sent though nothing has changed, reading their own last version's output:
            those whose session was too short. All that read them are sent after them.

    Raises:
        PlatformError: credentials are missing, or something failed on Kaggle.
        ConfigError: the build is for another user, or has no such kernel.
    """
    folder = whole_path(folder)
    plan = read_plan(folder)  # before the client logs in
    known = [kernel.name for kernel in plan.kernels]
    for name in again:
        if name not in known:
            raise unknown("kernel", name, known)
    with claim(folder, folder=True):
        Push(folder, plan, poll, Kaggle(), again).run()
