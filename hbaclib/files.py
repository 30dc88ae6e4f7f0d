"""What a path is, found before anybody opens it: to open a pipe waits for ever, and a device may never end.

Folders are listed here too, without what other systems leave in them and without what is no file; and made, where
what processes of one user agree on is nobody else's to see or to change.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from hbaclib.errors import ConfigError, PlatformError

FILE, FOLDER, NOTHING = "a file", "a folder", "nothing"
_KINDS = (
    (stat.S_ISREG, FILE),
    (stat.S_ISDIR, FOLDER),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(path: str | Path) -> str:
    """What a path leads to, in words: FILE, FOLDER, NOTHING, a pipe, a socket, a device, or what is wrong with it.

    Links are followed; nothing is opened.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"a link to nothing ({os.readlink(path)})" if os.path.islink(path) else NOTHING
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads back to itself"
        return f"not to be had ({error.strerror or error})"
    except ValueError:  # a NUL byte, or no text that the system has
        return "no name that the system takes"
    return _kind_of_mode(mode)


def expanded(path: str | Path) -> Path:
    """The path with the home of a user in the place of ``~`` or ``~NAME``.

    Raises:
        ConfigError: there is no such user, or nobody knows the home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: {Path(path).parts[0]} has no home here; write the whole path") from None


def whole_path(path: str | Path) -> Path:
    """The path from the root on, with ``~`` expanded and links followed.

    Raises:
        ConfigError: see `expanded`; or links lead back to themselves.
    """
    path = expanded(path)
    try:
        return path.resolve()
    except (RuntimeError, OSError) as error:  # the former before Python 3.13
        reason = error.strerror if isinstance(error, OSError) else "a link that leads back to itself"
        raise ConfigError(f"{path}: {reason}; name another path") from error


def regular_file(path: str | Path) -> Path:
    """The path, where it leads to a regular file.

    Raises:
        OSError: with the path and what it is: a pipe, a socket, a device, a folder, a link that leads nowhere; or a
            FileNotFoundError where there is nothing.
    """
    kind = kind_of(path)
    if kind == NOTHING:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    if kind != FILE:
        number = errno.EISDIR if kind == FOLDER else errno.EINVAL
        raise OSError(number, f"is {kind}; expected a regular file", os.fspath(path))
    return Path(path)


def listed(folder: str | Path, ending: str | tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """The files of a folder whose names have an ending, of whatever case, sorted.

    Hidden files (macOS puts a companion ``._NAME`` beside every file on foreign disks), folders, pipes, sockets and
    devices are left out. A link that leads nowhere and a file that must not be read stay: whoever opens them says so.

    Args:
        folder: the folder; one that is not there holds nothing.
        ending: the end of the names, as ``.parquet``, or several.

    Returns:
        The files, and a note on each entry with the ending that was left out: ``NAME: what it is``.

    Raises:
        OSError: the folder cannot be listed.
    """
    files, notes = list[Path](), list[str]()
    for name, kind in sorted(_entries(folder, ending)):
        if name.startswith("."):
            notes.append(f"{name}: {'a companion file of macOS' if name.startswith('._') else 'hidden'}")
        elif kind in (FILE, NOTHING) or kind.startswith(("a link", "not to be had")):
            files.append(Path(folder) / name)
        else:
            notes.append(f"{name}: {kind}")
    return files, notes


def no_files(folder: str, names: Iterable[str]) -> set[str]:
    """Those names in a folder that are no part of it: companion files of macOS, and what is neither file nor folder.

    Args:
        folder: the folder.
        names: what it holds; as `shutil.copytree` asks its ``ignore``.
    """
    return {
        name for name in names if name.startswith("._") or kind_of(os.path.join(folder, name)) not in (FILE, FOLDER)
    }


def _entries(folder: str | Path, ending: str | tuple[str, ...]) -> Iterator[tuple[str, str]]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.name.lower().endswith(ending):
                # Most entries tell their kind without being looked at, which counts on the slow disks of a cloud.
                plain = entry.is_file(follow_symlinks=False)
                yield entry.name, FILE if plain else kind_of(entry.path)


def private_folder(name: str) -> Path:
    """A folder for what processes of this user on this host share: ``hbac-USER/NAME`` among the temporary files.

    Everybody can write beside it, and knows its name: it is taken only where it is a folder, no link, belongs to this
    user, and nobody else can write there.

    Raises:
        PlatformError: it is none of that, or cannot be made.
    """
    folder = Path(tempfile.gettempdir()) / f"hbac-{_user()}"
    _make_private(folder)
    _make_private(folder / name)
    return folder / name


def private_file(folder: Path, name: str) -> Path:
    """The path of a file in a private folder, where there is none yet, or a regular one.

    Raises:
        PlatformError: a link bears that name, or something else that is no file.
    """
    path = folder / name
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return path
    except OSError as error:
        raise PlatformError(f"{path}: {error.strerror}; set TMPDIR to a folder of your own") from error
    if not stat.S_ISREG(mode):
        raise PlatformError(f"{path}: is {_kind_of_mode(mode)}, expected a file of hbac's own; remove it")
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read; never through a link.

    Raises:
        OSError: a link bears that name, or the file cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _make_private(folder: Path) -> None:
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        facts = os.lstat(folder)
        if not (fault := _fault_of(facts)) and facts.st_mode & 0o077 and os.name == "posix":
            os.chmod(folder, 0o700)
    except OSError as error:
        fault = f"cannot be used ({error.strerror or error})"
    if fault:
        raise PlatformError(
            f"{folder}: {fault}, expected a folder that is yours alone; remove it, or set TMPDIR to one"
        )


def _fault_of(facts: os.stat_result) -> str:
    """Why a folder is not private; empty where it is. One that others may only look into can be closed."""
    if not stat.S_ISDIR(facts.st_mode):
        return f"is {_kind_of_mode(facts.st_mode)}"
    if os.name != "posix":
        return ""  # the temporary folder itself is the user's there
    if facts.st_uid != _user():
        return f"belongs to user {facts.st_uid}"
    return "can be written by others" if facts.st_mode & 0o022 else ""


def _kind_of_mode(mode: int) -> str:
    return "a link" if stat.S_ISLNK(mode) else next((kind for holds, kind in _KINDS if holds(mode)), "no file")


def _user() -> int | str:
    return os.getuid() if hasattr(os, "getuid") else getpass.getuser()
