"""What may be written where: an output never touches an input, and never replaces what hbac did not write.

What hbac wrote is told by what it left, each kind of output in its own way:

- a table (``hbac predict --out``): an existing file is replaced where its first line is one that hbac writes there;
- a stage's folder: it holds the manifest of such a stage, or the stage's lock, which comes first, lies beside it;
- a working folder that a killed process left: it bears the marker that was put into it before all else.

All else that exists is somebody else's and is refused, by name.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hbaclib.artefacts import MANIFEST, atomic_path, stage_lock
from hbaclib.conventions import RECORDING_ENDINGS
from hbaclib.errors import ArtefactError
from hbaclib.locks import hold

WHOLE = ("train.csv", "test.csv", MANIFEST, "ensemble.json")
"""A folder with one of these is one thing, a data set or a stage, unless it is a run's: nothing else goes into it."""
STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
"""Where what the process has open is found by name: written to, as it is."""
REPORT = "report"
"""Stage of the manifest in a run's own folder, which holds the folders of others."""
RUN_LOCK = ".lock"
"""What a run holds in its folder while it writes; it stays, and tells that the folder is a run's."""
_MARKER, _MARK = ".hbac-working-folder", "Made by hbac while it works; to be deleted when no hbac runs.\n"
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.partial\..+", re.DOTALL)
"""Names of files and folders that are not whole yet, see `hbaclib.artefacts.atomic_path`."""
_LONGEST_HEADER = 4096


def refuse_inputs(out: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output that is an input, by whatever name or link, or that lies inside one.

    A folder of recordings that is neither a data set nor a stage may take a table, but no further recording.

    Args:
        out: file or folder to be written; it need not exist.
        inputs: files and folders that are read; those that do not exist do not count.

    Raises:
        ArtefactError: naming both.
    """
    place = _real(out)
    for given in inputs:
        source = _real(given)
        if _same(place, source):
            raise ArtefactError(f"{out}: is an input, which no output replaces; name another place")
        if not source.is_dir() or not any(_same(parent, source) for parent in place.parents):
            continue
        if stage_of(source) != REPORT and any((source / name).exists() for name in WHOLE):
            raise ArtefactError(f"{out}: lies inside the input {given}, which stays as it is; name a place outside it")
        if place.suffix.lower() in RECORDING_ENDINGS:
            raise ArtefactError(f"{out}: would count as a recording of the input {given}; name another file")


def stage_of(folder: Path) -> str | None:
    """What a folder holds as its manifest says, of whatever version that is; None where there is none of hbac."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return content["stage"] if isinstance(content["stage"], str) and "outputs" in content else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def refuse_inside_stage(out: str | Path) -> None:
    """Refuse an output inside a finished stage, whose manifest names all that it holds.

    Raises:
        ArtefactError: naming the stage.
    """
    for folder in _real(out).parents:
        if (stage := stage_of(folder)) not in (None, REPORT):
            raise ArtefactError(f"{out}: {folder} holds a finished stage ({stage}); name a place outside it")


def is_table(path: Path, headers: Iterable[Sequence[str]]) -> bool:
    """Whether a file is a table in CSV with one of some headers."""
    try:
        with open(path, "rb") as file:
            first = file.readline(_LONGEST_HEADER)
    except OSError:
        return False
    return first.decode("utf-8", "replace").strip() in {",".join(header) for header in headers}


def refuse_foreign(path: str | Path, is_own: Callable[[Path], bool]) -> None:
    """Refuse to replace a file that hbac did not write.

    Args:
        path: the file; it need not exist.
        is_own: whether an existing file is hbac's.

    Raises:
        ArtefactError: it exists and was not written by hbac, or is no file.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be written ({error.strerror or error})") from error
    if not stat.S_ISREG(mode):
        raise ArtefactError(f"{path}: is no file (a folder, pipe, socket or disk); expected the name of a file")
    if not is_own(Path(path)):
        raise ArtefactError(f"{path}: exists and was not written by hbac; choose another name")


@contextmanager
def table_file(
    out: str | Path | None, inputs: Iterable[str | Path], headers: Iterable[Sequence[str]]
) -> Iterator[Path | None]:
    """Give the file that a table is written to, which appears under its name when the block ends well.

    Args:
        out: the table; a link is followed, a device or an open stream (``/dev/stdout``) is written to as it is.
        inputs: what is read, see `refuse_inputs`.
        headers: first lines, as columns, of the tables that may be replaced.

    Yields:
        The file to append to; None: standard output.

    Raises:
        ArtefactError: it is an input, exists and is not such a table, cannot be written, or another hbac writes it.
    """
    named = os.path.abspath(out) if out is not None else STREAMS[0]
    if named in (STREAMS[0], "/dev/fd/1", "/proc/self/fd/1"):
        yield None
        return
    with output_file(named, inputs, lambda path: is_table(path, headers)) as file:
        yield file


@contextmanager
def output_file(out: str | Path, inputs: Iterable[str | Path], is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """Give the file that an output is written to, which appears under its name when the block ends well.

    Args:
        out: the output; a link is followed, a device or an open stream is written to as it is.
        inputs: what is read, see `refuse_inputs`.
        is_own: whether an existing file is one that hbac wrote, which may be replaced.

    Yields:
        The file to write.

    Raises:
        ArtefactError: it is an input, exists and is not hbac's, cannot be written, or another hbac writes it.
    """
    place = check_output(out, inputs, is_own)
    if place is None:
        yield Path(os.path.abspath(out))
        return
    with without_new_folders(place.parent), claim(place), atomic_path(place) as partial:
        yield partial


def check_output(out: str | Path, inputs: Iterable[str | Path], is_own: Callable[[Path], bool]) -> Path | None:
    """Refuse a place that `output_file` refuses; nothing is written.

    Returns:
        Where the output will be, links followed; None for a device or an open stream.

    Raises:
        ArtefactError: it is an input, lies in a stage, or holds a file that is not hbac's.
    """
    named = os.path.abspath(out)
    place = _real(named)
    refuse_inputs(named, inputs)
    if named.startswith(STREAMS) or _is_device(place):
        return None
    refuse_inside_stage(place)
    refuse_foreign(place, is_own)
    return place


@contextmanager
def naming(place: str | Path) -> Iterator[None]:
    """Say of what cannot be written within the block which output it is: its file has another name until it is whole.

    Raises:
        ArtefactError: the system refused to write.
    """
    try:
        yield
    except OSError as error:
        raise ArtefactError(f"{place}: cannot be written ({error.strerror or error})") from error


@contextmanager
def claim(path: str | Path, *, folder: bool = False) -> Iterator[None]:
    """Hold a place that is written to against every other hbac; nothing stays of the lock.

    Args:
        path: the file or folder that will appear there.
        folder: it is a folder that is there for long, which is made and holds the lock itself.

    Raises:
        BusyError: another hbac writes there.
        ArtefactError: the folder cannot be written.
    """
    path = Path(path)
    lock = path / ".writing.lock" if folder else path.with_name(f".{path.name}.writing.lock")
    busy = f"{path}: another hbac writes there; wait for it to end, or name another place"
    with hold(lock, wait=False, busy=busy, keep=False):
        yield


@contextmanager
def without_new_folders(folder: str | Path) -> Iterator[None]:
    """Where the block fails, remove the folders that it made down to this one and left empty."""
    folder = Path(folder)
    new = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for path in new:
                path.rmdir()
        raise


@contextmanager
def working_folder(target: str | Path) -> Iterator[Path]:
    """Give an empty folder beside a target, to make it in; what is left of it at the end is removed.

    Its outer folder has a random name and a marker, by which `remove_left` tells it after a kill. Who calls has claimed
    the target.

    Raises:
        OSError: it cannot be made.
    """
    target = Path(target)
    remove_left(target)
    outer = target.with_name(f".{secrets.token_hex(4)}.partial.{target.name}")
    outer.mkdir(parents=True)
    try:
        (outer / _MARKER).write_text(_MARK, encoding="utf-8")
        inner = outer / "new"
        inner.mkdir()
        yield inner
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def remove_left(target: str | Path) -> None:
    """Remove the working folders that killed processes left beside a target that nobody else writes now."""
    target = Path(target)
    for path in target.parent.glob(f".*.partial.{glob.escape(target.name)}"):
        if path.is_dir():
            _remove_unfinished(path)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers left below a folder: temporary files of `artefacts`, and working folders.

    Only for a folder that nobody writes to. What a stage continues from after a kill bears other names and stays, and
    so do a user's files of similar names.
    """
    for path in list(folder.rglob(".*.partial*")):
        _remove_unfinished(path)


def remove_unfinished_files(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files of these names in a folder that nobody writes to."""
    for name in names:
        for path in folder.glob(f".*.partial.{glob.escape(name)}"):
            _remove_unfinished(path)


def remove_if_empty(path: Path) -> None:
    """Remove an empty file or folder; whatever holds something stays."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        elif not is_something(path):
            path.unlink()


def _remove_unfinished(path: Path) -> None:
    """Remove a temporary file or a marked working folder; an empty file holds nothing, whosever it is."""
    with contextlib.suppress(OSError):
        facts = path.lstat()
        if stat.S_ISREG(facts.st_mode):
            if not facts.st_size or _TEMPORARY.fullmatch(path.name):
                path.unlink()
        elif stat.S_ISDIR(facts.st_mode) and _TEMPORARY.fullmatch(path.name):
            if (path / _MARKER).is_file() and (path / _MARKER).read_text(encoding="utf-8") == _MARK:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.rmdir()  # killed before its marker was written; what holds something stays


def refuse_foreign_folder(folder: str | Path, kinds: Iterable[str], own: Iterable[str] = ()) -> None:
    """Refuse to make a stage in a folder that holds another one, or what is none of hbac's.

    Args:
        folder: the stage's folder.
        kinds: stages that may be there already.
        own: patterns of files by which a folder without a manifest is known, besides the lock that lies beside it.

    Raises:
        ArtefactError: naming the folder and what it holds.
    """
    folder, kinds = Path(folder), tuple(kinds)
    refuse_inside_stage(folder)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ArtefactError(f"{folder}: is no folder; expected a new or empty one")
    stage = stage_of(folder)
    if stage in kinds or (stage is None and (is_begun(folder) or any(any(folder.glob(name)) for name in own))):
        return
    if not has_content(folder):
        return
    holds = f"a stage {stage!r}" if stage else "files that hbac did not write"
    raise ArtefactError(f"{folder}: holds {holds}; expected a new or empty folder: name another, or move it away")


@contextmanager
def stage_folder(folder: str | Path, *kinds: str, own: Iterable[str] = ()) -> Iterator[None]:
    """Hold a stage's folder as `hbaclib.artefacts.stage_lock` does, where it is one or may become one.

    Args:
        folder: the stage's folder.
        kinds: stages that may be there already.
        own: as for `refuse_foreign_folder`.

    Raises:
        ArtefactError: it holds something else, or cannot be written.
    """
    folder = Path(folder)
    refuse_foreign_folder(folder, kinds, own)
    with stage_lock(folder):
        # The record that what is in the folder from now on is ours; where there are no locks, nobody has left it.
        with contextlib.suppress(OSError):
            _lock_of(folder).touch()
        yield


def _lock_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"


def is_begun(folder: Path) -> bool:
    """Whether a stage was begun in a folder: its lock, which comes before all else, lies beside it."""
    return _lock_of(folder).is_file()


def is_something(path: Path) -> bool:
    """Whether there is anything to lose: an empty file is nothing, whosever it is."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return bool(facts.st_size) or not stat.S_ISREG(facts.st_mode)


def has_content(folder: Path) -> bool:
    """Whether a folder holds anything but empty files and temporary ones of ours; one that cannot be read may."""
    try:
        return any(is_something(path) and not _TEMPORARY.fullmatch(path.name) for path in folder.iterdir())
    except OSError:
        return True


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one thing: by name, link, hard link, or letters whose case does not count there."""
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False
