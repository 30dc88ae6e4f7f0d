"""The recordings of a folder: which of its entries are, and which only look so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hbaclib.conventions import RECORDING_ENDINGS
from hbaclib.errors import DataFileError, list_some
from hbaclib.files import FILE, NOTHING, kind_of, listed, regular_file

ENDING, EDF_ENDINGS = RECORDING_ENDINGS[0], RECORDING_ENDINGS[1:]
"""Endings of names under which Parquet files, and EDF and BDF files, are looked for in a folder."""


def recording_files(folder: str | Path) -> list[Path]:
    """The Parquet files that lie in a folder, sorted by name, as in the competition's format.

    Raises:
        DataFileError: the folder cannot be listed.
    """
    return _listed(folder, ENDING)[0]


def recordings_and_notes(folder: str | Path) -> tuple[list[Path], list[str]]:
    """The recordings that lie in a folder, and what was passed over.

    Args:
        folder: the folder; one that is not there holds none.

    Returns:
        Paths of the Parquet, EDF and BDF files, sorted by name, those among them that cannot be opened too; and a note
        on every entry that only bears such a name: hidden files, companions of macOS, folders, pipes, sockets, devices.

    Raises:
        DataFileError: the folder cannot be listed.
    """
    return _listed(folder, (ENDING, *EDF_ENDINGS))


def _listed(folder: str | Path, endings: str | tuple[str, ...]) -> tuple[list[Path], list[str]]:
    try:
        return listed(folder, endings)
    except OSError as error:
        raise DataFileError(f"{folder}: cannot be listed ({error.strerror or error}); expected a folder") from error


def arrow_source(path: str | Path) -> Any:
    """What pyarrow is to open for a path: it takes names in UTF-8, and those of files may be any bytes.

    Raises:
        OSError: there is no regular file; a pipe would never end.
    """
    import pyarrow as pa

    path = regular_file(path)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return pa.memory_map(os.fsencode(path))
    return path


def told_passed_over(folder: str | Path, notes: list[str]) -> str:
    """One sentence on what `recordings_and_notes` passed over."""
    return f"{folder}: passed over, as no recordings: {list_some(notes)}"


def check_file(path: str | Path, expected: str) -> None:
    """Check, before anything is opened, that a path leads to a file.

    Args:
        path: the path.
        expected: what should be there, for the message.

    Raises:
        DataFileError: there is nothing, or something that is no file; a pipe would never end.
    """
    kind = kind_of(path)
    if kind == NOTHING:
        raise DataFileError(f"{path}: no such file or folder; expected {expected}")
    if kind != FILE:
        raise DataFileError(f"{path}: is {kind}; expected {expected}")
