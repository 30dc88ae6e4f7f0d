"""A table of hostile inputs: one row a case, each made by code, tried at one door, and held to what must be said.

A door is a command of ``hbac`` or a call of the library. Whatever it is fed it may answer, or refuse in words of its
own: never a traceback, never a changed input, never a file that the case does not name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.errors import HbacError

Words = Sequence[str | Path]


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        name: what is wrong with it, in a few words.
        kind: number of the kind of fault that it is a case of.
        make: writes the input below the folder that it is given, and returns the words of an ``hbac`` command, or a
            call without arguments.
        code: expected exit code; 0 of a call that returns, 1 of one that raises an `HbacError`.
        words: regular expressions, each of which the whole answer (output, warnings, error) must hold.
        writes: what may have come into being or changed, as patterns of `Path.match` below the folder.
        never: regular expressions that the answer must not hold.
    """

    name: str
    kind: int
    make: Callable[[Path], Words | Callable[[], Any]]
    code: int
    words: tuple[str, ...]
    writes: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


def table(cases: Sequence[Case]) -> Any:
    """The cases as a parameter of a test."""
    names = [f"{case.kind}: {case.name}" for case in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    return pytest.mark.parametrize("case", cases, ids=names)


def snapshot(folder: Path) -> dict[str, str]:
    """What lies below a folder: kind, mode and content of every entry; links are not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
        if path.is_symlink():
            found[name] = f"link {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.blake2b(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else "closed"
        else:
            found[name] = "folder" if path.is_dir() else "other"
    return found


def try_case(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a case's input below an empty folder, try its door, and hold it to what the case says.

    Returns:
        The whole answer.
    """
    monkeypatch.chdir(folder)
    asked = case.make(folder)
    before = snapshot(folder)
    if callable(asked):
        code, answer = _call(asked)
    else:
        done = CliRunner().invoke(main, [os.fspath(word) for word in asked])
        unexpected = done.exception is not None and not isinstance(done.exception, SystemExit)
        assert not unexpected, repr(done.exception)
        code, answer = done.exit_code, done.output
    assert "Traceback" not in answer, answer
    assert code == case.code, answer
    for words in case.words:
        assert re.search(words, answer), f"expected {words!r} in: {answer}"
    for words in case.never:
        assert not re.search(words, answer), f"not expected {words!r} in: {answer}"
    after = snapshot(folder)
    touched = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    left = [name for name in touched if not any(Path(name).match(pattern) for pattern in case.writes)]
    assert not left, f"changed or left: {sorted(left)}"
    return answer


def _call(door: Callable[[], Any]) -> tuple[int, str]:
    import warnings

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            answer, code = str(door()), 0
        except HbacError as error:
            answer, code = str(error), 1
    return code, "\n".join([*(str(warning.message) for warning in told), answer])
