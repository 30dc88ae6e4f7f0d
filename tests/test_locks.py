"""Locks between processes, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from hbaclib import locks
from hbaclib.artefacts import stage_lock
from hbaclib.errors import ArtefactError
from hbaclib.locks import BusyError, hold

ROOT = Path(__file__).parents[1]
HOLDER = """
import sys
from hbaclib.locks import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / ".stage.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    yield process
    process.kill()
    process.communicate()


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A file system whose locks all fail with an error."""

    def flock(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_said", set())


def test_who_does_not_wait_is_told_and_leaves_no_trace(holder: subprocess.Popen[str], path: Path) -> None:
    with (
        pytest.raises(BusyError, match=r"^runs: another is there$"),
        hold(path, wait=False, busy="runs: another is there"),
    ):
        pytest.fail("held twice")
    with pytest.raises(ArtefactError, match=r"\.stage\.lock: another process holds this lock"), hold(path, wait=False):
        pytest.fail("held twice")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_who_waits_resumes_when_the_holder_ends(holder: subprocess.Popen[str], path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            other.communicate(timeout=2)
        holder.communicate("")
        assert other.communicate(timeout=30)[0].strip() == "held"
    finally:
        other.kill()
        other.communicate()


def test_a_killed_holder_leaves_no_lock(holder: subprocess.Popen[str], path: Path) -> None:
    with pytest.raises(BusyError), hold(path, wait=False):
        pass
    holder.kill()
    holder.wait()
    with hold(path, wait=False):
        pass


def test_a_lock_is_released_and_taken_again(path: Path) -> None:
    for _ in range(3):
        with hold(path, wait=False), pytest.raises(BusyError), hold(path, wait=False):
            pass
    with pytest.raises(ZeroDivisionError), hold(path):
        raise ZeroDivisionError
    with hold(path, wait=False):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("wait", [True, False])
def test_a_file_system_without_locks_is_told_of_once(
    number: int, wait: bool, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(monkeypatch, number)
    for _ in range(2):
        with hold(path, wait=wait), hold(path, wait=wait):
            # Nothing there for a later process to take for a lock.
            assert {file.name for file in path.parent.iterdir()} <= {path.name}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{path.parent}: no locks on this file system; continuing without")
    monkeypatch.undo()
    with hold(path, wait=False):
        pass


def test_a_python_without_locks_continues_without(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "FileLock", filelock.SoftFileLock)
    monkeypatch.setattr(locks, "_said", set())
    with hold(path):
        assert list(path.parent.iterdir()) == []
    assert "no locks on this file system; continuing without" in caplog.text


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with (
        pytest.raises(ArtefactError, match=r"file/run: cannot write there \(.+\); expected a writable folder"),
        stage_lock(blocked / "run" / "stage"),
    ):
        pytest.fail("held in a file")


def test_a_file_that_cannot_be_opened_is_an_error(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(ArtefactError, match="expected a writable folder"), hold(path):
        pytest.fail("held a folder")
