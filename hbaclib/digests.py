"""Digests of files that a run reads but does not own: each is read once and known by size, times and inode after that.

A data set of 26 GB is hashed whole, because what is left out of a digest can change unseen; it is hashed once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from hbaclib.artefacts import Manifest, digest_file, digest_json, write_json
from hbaclib.errors import ArtefactError
from hbaclib.files import listed
from hbaclib.schema import read_json

STORE = ".digests.json"
"""Where a run keeps the digests of the files that it reads, in its output folder."""
MISSING = "missing"
_SETTLED_NS = 2_000_000_000
"""A file that changed so shortly before it was read could change again without another time: it is read anew."""

_MANY_BYTES, _PART = 2_000_000_000, 1000

Stamp = tuple[int, int, int, int]
Known = dict[str, tuple[int, int, int, int, str]]
_known: Known = {}


def data_digest(folder: str | Path, part: str, store: str | Path | None = None) -> str:
    """Digest of the training or the test part of a data set in the competition's format.

    Args:
        folder: the data set.
        part: ``train`` or ``test``: that table and every recording in the folders that belong to it.
        store: as for `digest_files`.
    """
    folder = Path(folder)
    files = [path for kind in ("eegs", "spectrograms") for path in listed(folder / f"{part}_{kind}", ".parquet")[0]]
    return digest_files(folder, [folder / f"{part}.csv", *files], store)


def digest_files(root: str | Path, files: Iterable[str | Path], store: str | Path | None = None) -> str:
    """Digest of the content and the names below ``root`` of some files; a missing one counts as missing.

    Args:
        root: folder that holds all of them; its own place and name do not count.
        files: the files, in any order.
        store: JSON file of digests that are known; files with the size, times and inode noted there are not read
            again. None reads all of them. It is made and kept up to date; where it cannot be written, or is not
            readable, the files are read.
    """
    root, paths = Path(root), sorted({Path(file) for file in files})
    known: Known = _read(Path(store)) if store else {}
    begun = time.time_ns()
    stamps = {path: stamp for path in paths if (stamp := _stamp(path)) is not None}
    names = {path: os.path.abspath(path) for path in stamps}
    noted = {path: known.get(names[path]) for path in stamps}
    digests = {path: entry[4] for path, entry in noted.items() if entry and entry[:4] == stamps[path]}
    new = [path for path in stamps if path not in digests]
    total = sum(stamps[path][0] for path in new)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=total, desc="reading the data once", unit="B", unit_scale=True, disable=total < _MANY_BYTES) as bar,
    ):
        for part in (new[begin : begin + _PART] for begin in range(0, len(new), _PART)):
            found = dict(zip(part, pool.map(_digest, part), strict=True))
            digests |= found
            bar.update(sum(stamps[path][0] for path in part))
            settled = {
                names[path]: (*stamps[path], digest)
                for path, digest in found.items()
                if digest != MISSING and _is_settled(path, stamps[path], begun)
            }
            if store and settled:
                known |= settled
                # Else the next run reads the files again; a full disk is told by what has to be written.
                with contextlib.suppress(ArtefactError):
                    write_json(store, known)
    return digest_json([[path.relative_to(root).as_posix(), digests.get(path, MISSING)] for path in paths])


def verify_files(folder: str | Path, manifest: Manifest, names: Iterable[str]) -> None:
    """Compare files of a finished stage with its manifest, before they are used: each content once in a process.

    Args:
        folder: the stage's folder.
        manifest: its manifest.
        names: of files in it. Those that are missing, or that the manifest does not name, are left to their reader.

    Raises:
        ArtefactError: naming the first file whose content is not what the stage wrote.
    """
    for name in names:
        path, expected = Path(folder) / name, manifest.outputs.get(name)
        if expected and path.exists() and (found := _digest_once(path)) != expected:
            raise ArtefactError(
                f"{path}: changed since its manifest was written (digest {found}, expected {expected}); "
                "copy it anew, or run the stage again"
            )


def _digest_once(path: Path) -> str:
    begun, name, stamp = time.time_ns(), os.path.abspath(path), _stamp(path)
    entry = _known.get(name)
    if stamp and entry and entry[:4] == stamp:
        return entry[4]
    digest = _digest(path)
    if stamp and digest != MISSING and _is_settled(path, stamp, begun):
        _known[name] = (*stamp, digest)
    return digest


def _stamp(path: Path) -> Stamp | None:
    """Size, time of the last change of content and of the last change at all, inode; None for what is no file."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino) if path.is_file() else None


def _is_settled(path: Path, stamp: Stamp, begun: int) -> bool:
    """Whether a file's stamp vouches for what was read since ``begun``: not written meanwhile, nor just before."""
    return max(stamp[1:3]) < begun - _SETTLED_NS and stamp == _stamp(path)


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError:
        return MISSING


def _read(store: Path) -> Known:
    try:
        return read_json(store, dict[str, tuple[int, int, int, int, str]], "store of digests", "it is made anew")
    except ArtefactError:
        return {}
