"""Ending well: a stop signal ends a command as Ctrl-C does, with nothing left running and nothing half-written."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

_GRACE = 2.0
"""Seconds in which a process may end by itself once it was asked to."""


class Stopped(KeyboardInterrupt):
    """The process was told to end by a signal other than Ctrl-C's.

    Attributes:
        code: the exit code that a shell gives for it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that an error is, or that was being handled when it came up; None where there is none.

    Libraries that are interrupted while they start or end their workers fail in other ways.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped` in the main thread, so that what is open is closed as after Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    # One that is ignored stays so: nohup asks for that.
    with _handled(stop, "SIGTERM", "SIGHUP", where=lambda before: before is signal.SIG_DFL):
        yield


@contextmanager
def _handled(handler: Any, *names: str, where: Callable[[Any], bool] = lambda before: True) -> Iterator[None]:
    """Handle signals in another way for a while, where the system has them and this is the main thread."""
    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in names if main and hasattr(signal, name)]
    before = {number: found for number in numbers if where(found := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)


@contextmanager
def messages_aside(path: Path | None = None) -> Iterator[None]:
    """Send what child processes, and libraries that are not Python, write to the error stream into a file.

    This process' own messages stay where they are. A terminal sends Ctrl-C to workers as well, which answer with a
    traceback each; TensorFlow notes on the processor whatever its log level is.

    Args:
        path: the file; None: one that is thrown away.
    """
    if not _is_open(2):
        yield  # nobody listens
        return
    with path.open("wb") if path else tempfile.TemporaryFile() as file, _error_stream_to(file.fileno()):
        yield


@contextmanager
def without_remarks(pattern: str) -> Iterator[None]:
    """Drop lines that libraries which are not Python write to the error stream; all others stay, to the last of them.

    A process of its own reads them: what a library says before it ends this one, with a signal, is still shown.

    Args:
        pattern: regular expression of the beginnings of the lines to drop.
    """
    if not _is_open(2):
        yield
        return
    kept = os.dup(2)
    try:
        command = [sys.executable, "-I", "-S", "-c", _PASS_ON, pattern]
        # In a session of its own: Ctrl-C is for this process, and what it answers is to be shown.
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=kept, stderr=kept, start_new_session=True)
    except OSError:
        yield  # without room for another process; the lines do no harm
        return
    finally:
        os.close(kept)
    assert reader.stdin
    try:
        with reader.stdin as pipe, _error_stream_to(pipe.fileno()):
            yield
    finally:
        try:
            reader.wait(_GRACE)
        except subprocess.TimeoutExpired:  # a process that was started within the block still writes there
            reader.kill()
            reader.wait()


_PASS_ON = """
import re, sys
drop = re.compile(sys.argv[1].encode()).match
for line in sys.stdin.buffer:
    if not drop(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


@contextmanager
def _error_stream_to(descriptor: int) -> Iterator[None]:
    """Send the process' error stream elsewhere, but for what Python's ``sys.stderr`` is told."""
    own, kept = sys.stderr, os.dup(2)
    try:
        with contextlib.ExitStack() as stack:
            if own is not None:
                own.flush()
            if own is sys.__stderr__ and isinstance(own, io.TextIOWrapper):
                # As Python's own: what the terminal cannot show is escaped.
                terminal = os.fdopen(os.dup(2), "w", buffering=1, encoding=own.encoding, errors="backslashreplace")
                sys.stderr = stack.enter_context(terminal)
            os.dup2(descriptor, 2)
            yield
    finally:
        sys.stderr = own
        os.dup2(kept, 2)
        os.close(kept)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def processes_below(having: str) -> list[psutil.Process]:
    """The children whose command line has a word, and all that they have started."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(having in word for word in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def interrupt(processes: Iterable[psutil.Process]) -> None:
    """Send Ctrl-C to some processes: what they have open, they can close."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGINT)


def end_processes(processes: Iterable[psutil.Process]) -> None:
    """End some processes: first they are asked, then killed.

    joblib's trackers of shared memory end with the process that they track; killed before it, they would be started
    anew, with a warning.
    """
    left = [process for process in processes if not _tracks(process)]
    for act in ("terminate", "kill"):
        for process in left:
            with contextlib.suppress(psutil.Error):
                getattr(process, act)()
        _, left = psutil.wait_procs(left, timeout=_GRACE)


def end_children() -> None:
    """End every process that this one has started, and those that they have, undisturbed by further signals."""
    # A tracker that was just being started may be ended, too; that is no news where all ends. Again at the end, as a
    # thread that was catching warnings puts the filters back that it found.
    warnings.filterwarnings("ignore", message="resource_tracker")
    atexit.register(warnings.filterwarnings, "ignore", message="resource_tracker")
    with _handled(signal.SIG_IGN, "SIGINT", "SIGTERM", "SIGHUP"):
        end_processes(psutil.Process().children(recursive=True))


def _tracks(process: psutil.Process) -> bool:
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return False


def replace_path(source: Path, target: Path) -> None:
    """Move a file or a folder to a place, whatever is there now."""
    remove_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def remove_path(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
