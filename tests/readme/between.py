"""Parts of the project's texts that are written by the code that they tell of, between two lines that mark them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def between(path: Path, begin: str, end: str) -> str:
    """What stands between two lines of a file."""
    return path.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]


def write_between(texts: Mapping[Path, Callable[[], str]], begin: str, end: str) -> None:
    """Write each file's text between these lines, and show it."""
    for path, make in texts.items():
        before, found, rest = path.read_text(encoding="utf-8").partition(begin)
        assert found, f"{path}: lacks the line {begin!r}"
        made = make()
        path.write_text(before + begin + made + end + rest.partition(end)[2], encoding="utf-8")
        sys.stdout.write(made)
