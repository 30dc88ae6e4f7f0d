"""Locks between processes, held on a file and freed by the operating system when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout, UnixFileLock, WindowsFileLock

from hbaclib.errors import ArtefactError

log = logging.getLogger(__name__)

_ABSENT = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What a file system answers that has no locks, as network and FUSE mounts do."""
_POLL = 0.05  # seconds between two tries
_said: set[int] = set()  # file systems without locks that the log has told of


class BusyError(ArtefactError):
    """Another process holds the lock."""


class _NoLocksError(Exception):
    """The file system has no locks."""


class _SystemLock(FileLock):
    """A lock of the operating system, or none.

    Where there is none, some versions of filelock take the file's mere existence for the lock. Such a file outlives a
    killed process, and who continues its work would wait forever.
    """

    def _fallback_to_soft_lock(self) -> None:
        raise NotImplementedError


def _take(path: Path, *, wait: bool = False) -> _SystemLock:
    """Take the lock, now or when its holder has freed it.

    Raises:
        Timeout: it is held. filelock before 3.21 says so as well of most errors of the system.
        _NoLocksError: the file system has none.
        OSError: the file cannot be opened.
    """
    if not issubclass(FileLock, UnixFileLock | WindowsFileLock):
        raise _NoLocksError  # this Python has none
    # A device is claimed in one thread and may be released in another.
    lock = _SystemLock(str(path), thread_local=False)
    try:
        lock.acquire(blocking=wait, poll_interval=_POLL)
    except NotImplementedError:
        raise _NoLocksError from None
    except OSError as error:
        # A Timeout is an OSError, without a number.
        if error.errno in _ABSENT:
            raise _NoLocksError from None
        raise
    return lock


def _has_locks(folder: Path) -> bool:
    """Whether a file that nobody else knows of can be locked in the folder."""
    handle, name = tempfile.mkstemp(prefix=".lock-", dir=folder)
    os.close(handle)
    try:
        _take(Path(name)).release()
    except (Timeout, _NoLocksError):
        return False
    finally:
        Path(name).unlink(missing_ok=True)
    return True


def _acquire(path: Path, wait: bool, busy: str) -> _SystemLock:
    try:
        return _take(path)
    except Timeout:
        # Held, or an error that filelock took for that, and that would last forever.
        if not _has_locks(path.parent):
            raise _NoLocksError from None
    if not wait:
        raise BusyError(busy or f"{path}: another process holds this lock; wait for it to end")
    return _take(path, wait=True)


def _acquire_named(path: Path, wait: bool, busy: str) -> _SystemLock:
    """Take the lock on the file that bears the name: a holder may remove its file when it ends (see `hold`)."""
    while True:
        before = _identity(path)
        lock = _acquire(path, wait, busy)
        # Who has opened a file keeps its number from being given to another.
        if before in (None, _identity(path)):
            return lock
        lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of the lock file, made where it is not; None where it cannot be.

    Raises:
        ArtefactError: a link or a file with content is there: taking the lock would empty it.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISDIR(facts.st_mode):
        return None  # told by who opens it
    if not stat.S_ISREG(facts.st_mode) or facts.st_size:
        raise ArtefactError(f"{path}: is not an empty file, so no lock of hbac; move it away, or name another folder")
    return facts.st_dev, facts.st_ino


@contextmanager
def hold(path: str | Path, *, wait: bool = True, busy: str = "", keep: bool = True) -> Iterator[None]:
    """Hold a lock file against other processes, and against a second holder in this one.

    The file is made where it is not, with its folder, and may stay behind: only who holds it counts. A link, or a file
    that is not empty, is no lock and is left as it is. A file system without locks is told of once in the log, and the
    block runs unprotected.

    Args:
        path: the lock file; nothing is to be kept in it.
        wait: wait for another holder, without end.
        busy: what to say where another process holds it, with ``wait=False``.
        keep: leave the file behind; else it is removed at the end.

    Raises:
        ArtefactError: the folder cannot be written, or something else than a lock bears the name.
        BusyError: another process holds it, with ``wait=False``.
    """
    path = Path(path)
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquire_named(path, wait, busy)
    except _NoLocksError:
        _remove(path)  # nothing for a later process to take for a lock
        file_system = path.parent.stat().st_dev
        if file_system not in _said:
            _said.add(file_system)
            log.warning(
                "%s: no locks on this file system; continuing without: let no other process write there", path.parent
            )
    except OSError as error:
        raise ArtefactError(
            f"{path.parent}: cannot write there ({error.strerror or error}); expected a writable folder"
        ) from error
    try:
        yield
    finally:
        if lock is not None:
            if not keep:  # while it is held, so that nobody else's is removed; Windows allows it afterwards alone
                _remove(path)
            lock.release()
            if not keep and os.name == "nt":
                _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
