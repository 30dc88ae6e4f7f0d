"""A copy of the library's source that a test may change, seen by `hbaclib.source` in place of the library's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from hbaclib import source


def forget() -> None:
    """Look at the source anew."""
    for cached in (source.code_digest, source._facts_of):
        cached.cache_clear()


class ChangedSource:
    """The copy, in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "hbaclib"
        shutil.copytree(source.PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def change(self, name: str, old: str, new: str) -> None:
        """Change the first such place of a file."""
        text = (self.package / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        (self.package / name).write_text(text.replace(old, new, 1))
        forget()


@contextmanager
def changed_source(folder: Path) -> Iterator[ChangedSource]:
    """Within the block the copy counts."""
    copy = ChangedSource(folder)
    forget()
    try:
        with mock.patch.object(source, "PACKAGE", copy.package):
            yield copy
    finally:
        forget()
