"""The recordings of a folder: which of its entries are, and which only look so."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hbaclib.conventions import RECORDING_ENDINGS
from hbaclib.errors import DataFileError, list_some
from hbaclib.files import FILE, NOTHING, kind_of, listed, regular_file

ENDING, EDF_ENDINGS = RECORDING_ENDINGS[0], RECORDING_ENDINGS[1:]
"""Endings of names under which Parquet files, and EDF and BDF files, are looked for in a folder."""
MNE_HEADS = (".vhdr", ".set", ".lay", ".cnt", ".gdf", ".fif")
"""Endings of the files that head a recording which MNE reads: BrainVision, EEGLAB, Persyst, Neuroscan, GDF, its own."""
NIHON_KOHDEN, _BESIDE = ".eeg", (".pnt", ".21e")
"""How a file of Nihon Kohden ends, and what lies beside it; of BrainVision such a file is the header's companion."""
_NEEDS = 'is read by MNE: pip install "hbaclib[formats]"'
_SPLIT = re.compile(r"(.+)-\d+\.fif", re.IGNORECASE | re.DOTALL)


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
        Paths of the Parquet, EDF and BDF files and, where MNE is installed, of those that head a recording which it
        reads, sorted by name, those among them that cannot be opened too; and a note on every entry that only bears
        such a name: hidden files, companions of macOS, folders, pipes, sockets, devices; and on what MNE would read.

    Raises:
        DataFileError: the folder cannot be listed.
    """
    own = (ENDING, *EDF_ENDINGS)
    found, notes = _listed(folder, (*own, *MNE_HEADS, NIHON_KOHDEN, *_BESIDE))
    names = {path.name.lower() for path in found}
    others = [path for path in found if path.suffix.lower() not in own and _heads(path, names)]
    files = [path for path in found if path.suffix.lower() in own]
    if others and find_spec("mne") is None:
        return files, sorted([*notes, *(f"{path.name}: {_NEEDS}" for path in others)])
    return sorted([*files, *others], key=lambda path: path.name), notes


def _heads(path: Path, names: Container[str]) -> bool:
    """Whether a file heads a recording that MNE reads, and is no part of one that another file heads."""
    ending, stem = path.suffix.lower(), path.stem.lower()
    if ending == NIHON_KOHDEN:
        return any(f"{stem}{beside}" in names for beside in _BESIDE)
    part = _SPLIT.fullmatch(path.name)
    return ending in MNE_HEADS and not (part and f"{part[1].lower()}.fif" in names)


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
