"""Which files of a folder hbac has written there, so that it replaces and removes those alone.

A build and a download put many files into a folder that may hold others as well. ``hbac-files.json`` in it names each
file that was put there, who put it (the build, or a kernel), and what it was then.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hbaclib.artefacts import digest_file, write_json
from hbaclib.errors import ArtefactError, list_some

LEDGER = "hbac-files.json"
_DIGESTED = 1 << 24
"""A longer file is known by size and time: data sets of many gigabytes are not read through for this alone."""
Files = dict[str, list[str]]
"""File -> what it may be: two things while a new one takes the place of an old one."""


class Ledger:
    """The files that hbac has written into one folder.

    Args:
        folder: the folder; who writes has claimed it.

    Raises:
        ArtefactError: it holds a file of the ledger's name that is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / LEDGER
        self._files: dict[str, Files] = {}
        if not os.path.lexists(self._path):
            return
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            made = content["made"]
            self._files = {
                str(owner): {str(name): [str(stamp) for stamp in stamps] for name, stamps in files.items()}
                for owner, files in made.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ArtefactError(
                f"{self._path}: not hbac's list of the files that it wrote; choose another folder, or move it away"
            ) from None

    def refuse_foreign(self, names: Iterable[str], new: Path | None = None) -> None:
        """Refuse to write files where others lie, or were changed since, or where a link leads elsewhere.

        Args:
            names: files, relative to the folder, with slashes.
            new: folder of the new files; one that is there with the same content is no hindrance.

        Raises:
            ArtefactError: naming them.
        """
        found = [where for name in names if (where := self._hindrance(name, new))]
        if found:
            found = list(dict.fromkeys(found))
            raise ArtefactError(
                f"{self.folder}: {list_some(found)}: would be replaced, and hbac did not write that; move it away, or "
                "choose another folder"
            )

    def adopt(self, owner: str, names: Iterable[str]) -> None:
        """Enter files that are known in another way to be ours."""
        files = self._files.setdefault(owner, {})
        files.update({name: [_stamp(self.folder / name)] for name in names})

    def publish(self, owner: str, new: Path, last: Iterable[str] = ()) -> None:
        """Move all files of a folder to their places, and remove what the same owner had put there before.

        A process that is killed meanwhile leaves a mixture, all of which is known as ours.

        Args:
            owner: who puts them there.
            new: folder of the new files, on the same file system.
            last: files that mark others as whole: removed before, written after them.

        Raises:
            ArtefactError: a file would be replaced that is not ours.
            OSError: the folder cannot be written.
        """
        names = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
        marks = set(last)
        self.refuse_foreign(names, new)
        before = self._files.get(owner, {})
        after = {name: [_stamp(new / name)] for name in names}
        self._files[owner] = {name: before.get(name, []) + after.get(name, []) for name in {*before, *after}}
        self._write()
        for name in sorted(marks & set(names)):
            (self.folder / name).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: (name in marks, name)):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(new / name, target)
        for name in sorted(set(before) - set(after)):
            self._remove(name)
        self._files[owner] = after
        self._write()

    def _write(self) -> None:
        write_json(self._path, {"schema": 1, "about": "files that hbac wrote here", "made": self._files})

    def _remove(self, name: str) -> None:
        """Remove a file of an earlier time, unless it was changed since, and the folders that are empty then."""
        path = self.folder / name
        if self._hindrance(name, None) or not path.is_file():
            return
        path.unlink()
        with contextlib.suppress(OSError):
            for parent in list(PurePosixPath(name).parents)[:-1]:
                (self.folder / parent).rmdir()

    def _hindrance(self, name: str, new: Path | None) -> str:
        """What lies in a file's way, relative to the folder; "" where nothing does."""
        for parent in reversed(list(PurePosixPath(name).parents)[:-1]):
            path = self.folder / parent
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                return parent.as_posix()
        path = self.folder / name
        if not os.path.lexists(path):
            return ""
        if path.is_symlink() or not path.is_file():
            return name
        known = {stamp for files in self._files.values() for stamp in files.get(name, [])}
        if known and _stamp(path) in known:
            return ""
        return "" if new is not None and _same_content(path, new / name) else name


def _stamp(path: Path) -> str:
    facts = path.stat()
    return digest_file(path) if facts.st_size <= _DIGESTED else f"{facts.st_size} bytes, {facts.st_mtime_ns} ns"


def _same_content(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and digest_file(one) == digest_file(other)
