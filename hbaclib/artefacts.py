"""Atomic files and the manifests by which a finished stage is recognised.

Every stage owns one folder. Files come into being under a temporary name and are renamed when they are whole; the
stage's ``manifest.json`` is written last. A folder without a manifest is unfinished; one whose manifest names other
inputs, parameters or code is out of date; one whose files differ from their digests was changed by hand.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hbaclib.errors import ArtefactError, list_some
from hbaclib.locks import hold
from hbaclib.schema import closed, read_json, shown

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SCHEMA = 2
MANIFEST = "manifest.json"
CARRIED = "_project"
"""Folder of the installed package with its copy of the notebooks and of ``kaggle/suite.toml``; a checkout has none."""
_PIECE = 1 << 24
_BUFFER = 1 << 18


def digest_bytes(data: bytes) -> str:
    """Short content digest (BLAKE2b, 16 bytes, hexadecimal)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_json(value: Any) -> str:
    """Digest of a JSON value, independent of the order of its keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def digest_file(path: str | Path) -> str:
    """Digest of a file's content; of a large file, of the digests of its pieces, which are computed side by side."""
    starts = range(0, max(os.path.getsize(path), 1), _PIECE)
    if len(starts) == 1:
        return _digest_piece(path, 0)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return digest_json(list(pool.map(partial(_digest_piece, path), starts)))


def digest_folder(folder: Path) -> str:
    """Digest of all files of a folder, by name and content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_json([(path.relative_to(folder).as_posix(), digest_file(path)) for path in files])


def _digest_piece(path: str | Path, start: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        file.seek(start)
        while part := file.read(min(_BUFFER, start + _PIECE - file.tell())):
            digest.update(part)
    return digest.hexdigest()


@contextmanager
def stage_lock(folder: str | Path) -> Iterator[None]:
    """Hold a stage's folder against other processes, waiting for one that holds it.

    A killed run can leave its notebook's process alive for a moment; who continues the stage waits until it is gone.

    Raises:
        ArtefactError: the folder's parent cannot be written.
    """
    folder = Path(folder)
    with hold(folder.parent / f".{folder.name}.lock"):
        yield


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block ends well, else remove it.

    Raises:
        ArtefactError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    path = Path(path)
    partial = path.with_name(f".{secrets.token_hex(4)}.partial.{path.name}")  # Keras goes by all of the ending
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(exist_ok=False)
    except OSError as error:
        raise ArtefactError(
            f"{path.parent}: cannot write there ({error.strerror}); expected a writable folder"
        ) from error
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write a JSON file atomically, with sorted keys; NaN and infinite numbers, which JSON lacks, as null."""
    plain = json.loads(json.dumps(value), parse_constant=lambda name: None)
    return write_text(path, json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_table(path: str | Path, table: pd.DataFrame) -> Path:
    """Write a table without its index atomically, as Parquet or CSV by the file's ending."""
    with atomic_path(path) as partial:
        if partial.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)
    return Path(path)


@closed
@dataclass(frozen=True)
class Manifest:
    """What a finished stage was made from and what it made.

    Attributes:
        stage: name of the stage.
        inputs: name -> digest of everything that was read.
        parameters: the parameters, JSON values.
        outputs: file name relative to the folder -> digest.
        code: digest of the part of the library's source that computed it.
        facts: figures worth keeping (counts, seconds, versions); they do not decide whether a stage is current.
        schema: version of this form.
        seal: digest of all the rest, by which a manifest that was changed by hand is told.
    """

    stage: str
    inputs: dict[str, str]
    parameters: dict[str, Any]
    outputs: dict[str, str]
    code: str
    facts: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    seal: str = ""

    @property
    def digest(self) -> str:
        """Digest of what the stage made: what a following stage names as its input."""
        return digest_json([self.stage, self.outputs])


def read_manifest(folder: str | Path) -> Manifest:
    """Read a stage's manifest.

    Raises:
        ArtefactError: there is none, it is not of this form or version, or it was changed by hand.
    """
    path = Path(folder) / MANIFEST
    mend = "run the stage again"
    if not path.parent.is_dir():
        found = "is a file" if path.parent.exists() else "no such folder"
        raise ArtefactError(
            f"{folder}: {found}; expected the folder of a finished stage, with a {MANIFEST}; {path.parent.name} "
            "has not finished"
        )
    missing = f"missing; the stage that writes {Path(folder).name} has not finished"
    manifest = read_json(path, Manifest, "manifest", mend, missing=missing, schema=SCHEMA)
    for name in manifest.outputs:
        if not is_inside(name):
            raise ArtefactError(f"{path}: key 'outputs' names {shown(name)}, expected a file inside the folder; {mend}")
    if manifest.seal != _seal(asdict(manifest)):
        raise ArtefactError(f"{path}: changed since it was written: it is not what its seal says; {mend}")
    return manifest


def is_inside(name: str) -> bool:
    """Whether a relative path with slashes leads to a file inside its folder, whatever folder that is."""
    parts = PurePosixPath(name).parts
    return name.isprintable() and bool(parts) and parts[0] != "/" and ".." not in parts and "\\" not in name


def _seal(content: Mapping[str, Any]) -> str:
    return digest_json({name: value for name, value in content.items() if name != "seal"})


def manifest_of(folder: str | Path) -> Manifest | None:
    """The manifest of a folder; None where it holds no finished stage that can be used."""
    try:
        return read_manifest(folder)
    except ArtefactError:
        return None


def check_kind(folder: str | Path, *kinds: str) -> Manifest:
    """Read the manifest of a folder that must hold a stage of one of these kinds.

    Raises:
        ArtefactError: it holds no finished stage, or one of another kind.
    """
    manifest = read_manifest(folder)
    if manifest.stage not in kinds:
        raise ArtefactError(f"{folder}: holds stage {manifest.stage!r}, expected {' or '.join(map(repr, kinds))}")
    return manifest


def finished_stages(root: str | Path) -> dict[Path, Manifest]:
    """Folders of the finished stages in a run's output folder, sorted by name, with their manifests.

    What a folder holds is what its manifest says (``stage``); its name says nothing. Folders with a ``manifest.json``
    that is not a stage's, or that cannot be used, are passed over; the log tells of them.
    """
    found = {}
    for path in sorted(Path(root).glob(f"*/{MANIFEST}")):
        try:
            found[path.parent] = read_manifest(path.parent)
        except ArtefactError as error:
            log.warning("passed over: %s", error)
    return found


def write_manifest(
    folder: str | Path,
    stage: str,
    *,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Any],
    outputs: Iterable[str | Path],
    code: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Digest the outputs (paths inside the folder) and write the manifest, which marks the stage as finished.

    Args:
        folder: the stage's folder.
        stage: what it holds.
        inputs: name -> digest of everything that was read.
        parameters: JSON values.
        outputs: the files, whole or relative to the folder.
        code: digest of what computed them, as `hbaclib.source.code_digest` gives it.
        facts: figures worth keeping.
    """
    folder = Path(folder).resolve()
    files = sorted(Path(path) if Path(path).is_absolute() else folder / path for path in outputs)
    manifest = Manifest(
        stage=stage,
        inputs=dict(inputs),
        parameters=_plain(parameters),
        outputs={file.relative_to(folder).as_posix(): digest_file(file) for file in files},
        code=code,
        facts=_plain(facts or {}),
    )
    manifest = replace(manifest, seal=_seal(asdict(manifest)))
    write_json(folder / MANIFEST, asdict(manifest))
    return manifest


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON gives them back: lists for tuples, and text for what is no number of JSON (NaN, infinity)."""
    return json.loads(json.dumps(dict(values)), parse_constant=str)


def is_current(folder: str | Path, *, inputs: Mapping[str, str], parameters: Mapping[str, Any], code: str = "") -> bool:
    """Whether the folder holds a finished stage made from these inputs and parameters by this code, unchanged since."""
    manifest = manifest_of(folder)
    if manifest is None:
        return False
    same = manifest.inputs == dict(inputs) and manifest.parameters == _plain(parameters) and manifest.code == code
    return same and not changed_outputs(folder, manifest)


def changed_outputs(folder: str | Path, manifest: Manifest) -> list[str]:
    """Names of outputs that are missing or differ from their digest."""
    folder = Path(folder)
    return [
        name
        for name, digest in manifest.outputs.items()
        if not (folder / name).is_file() or digest_file(folder / name) != digest
    ]


def verify(folder: str | Path) -> Manifest:
    """Read a manifest and check every output against it.

    Raises:
        ArtefactError: naming the outputs that are missing or changed.
    """
    manifest = read_manifest(folder)
    changed = changed_outputs(folder, manifest)
    if changed:
        raise ArtefactError(f"{folder}: missing or changed since its manifest was written: {list_some(changed)}")
    return manifest
