"""Write large arrays block by block: in parallel, resumable after a kill, renamed when whole.

A run lays out its ``.npy`` files at full size in a hidden folder whose name holds the digest of what is computed, so
that a full disk is noticed before the work begins. Every block is computed and written by one process, and only then
noted in a journal; a run that was killed resumes with the blocks that are not in it. The files are written with plain
writes, for a write through a memory map onto a full disk kills the process.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from hbaclib.artefacts import MANIFEST, digest_json
from hbaclib.compat.joblib import active_backend
from hbaclib.errors import ArtefactError
from hbaclib.schema import as_form, closed, parse_json
from hbaclib.source import callable_digest

_PREFIX = ".unfinished-"
_JOURNAL = "finished-blocks.jsonl"


@dataclass(frozen=True)
class StoredArray:
    """An array to be written: file name, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Bytes of all rows; its file has a header before them."""
        return self.shape[0] * self.row_bytes


@closed
@dataclass(frozen=True)
class _Noted:
    """A line of the journal: a block that is written, and its facts."""

    block: int
    facts: Any


@dataclass(frozen=True)
class Block:
    """A unit of work: rows ``start`` to ``stop`` of every array, made from ``work``."""

    start: int
    stop: int
    work: Any


Compute = Callable[[Any], tuple[dict[str, np.ndarray], Any]]
"""From a block's ``work`` to its rows of every array, by file name, and facts (JSON) for the caller."""


def run_blocks(
    compute: Compute,
    blocks: Sequence[Block],
    *,
    arrays: Sequence[StoredArray] = (),
    folder: Path | None = None,
    key: str = "",
    n_jobs: int | None = None,
    description: str = "",
) -> list[Any]:
    """Compute blocks in parallel through joblib, write their rows and collect their facts.

    The result does not depend on the number of processes: each block is computed by itself with one BLAS thread. The
    calls run on a Dask cluster inside ``joblib.parallel_config("dask")``; its workers must see the same file system.

    Args:
        compute: importable function, the same result for the same work.
        blocks: in the order of their rows; with arrays they cover all rows.
        arrays: what to write; they appear in ``folder`` under their names when all of them are whole.
        folder: where to write and to note finished blocks; None: no arrays, nothing noted.
        key: digest of everything that the result depends on (the library's source is added); what another key left
            unfinished in the folder is discarded.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.
        description: of the progress bar.

    Returns:
        The facts of every block, in order.

    Raises:
        ArtefactError: the folder cannot be written or the disk is full. What is finished is kept for the next run.
    """
    key = digest_json([key, callable_digest(compute)])
    unfinished = _open_unfinished(folder, arrays, key, description) if folder else None
    facts = _read_journal(unfinished, len(blocks)) if unfinished else {}
    missing = [index for index in range(len(blocks)) if index not in facts]
    files = tuple((str(unfinished / array.name), array) for array in arrays) if unfinished else ()
    # A notebook's stream is no terminal, but shows the bar all the same.
    hidden = False if "ipykernel" in sys.modules else None
    processes = joblib.Parallel(_processes(n_jobs, len(missing)), return_as="generator_unordered", batch_size=1)
    calls = (joblib.delayed(_do_block)(compute, index, blocks[index], files) for index in missing)
    bar = tqdm(total=len(blocks), initial=len(facts), desc=description, unit="block", leave=False, disable=hidden)
    with bar:
        for index, found in processes(calls):
            if unfinished:
                with _writing(journal := unfinished / _JOURNAL), open(journal, "ab") as file:
                    file.write(json.dumps({"block": index, "facts": found}).encode() + b"\n")
            facts[index] = found
            bar.update()
    if folder and unfinished:
        _publish(folder, unfinished, arrays)
    return [facts[index] for index in range(len(blocks))]


def _processes(n_jobs: int | None, n_blocks: int) -> int | None:
    """All cores where nobody says otherwise, and no more than there is work for; None leaves it to joblib."""
    backend, configured = active_backend()
    if n_jobs is None and configured in (None, 1) and backend != "DaskDistributedBackend":
        n_jobs = joblib.cpu_count()
    return max(1, min(n_jobs, n_blocks)) if n_jobs is not None and n_jobs > 0 else n_jobs


def _do_block(
    compute: Compute, index: int, block: Block, files: tuple[tuple[str, StoredArray], ...]
) -> tuple[int, Any]:
    """Compute one block and write its rows; runs in a worker process."""
    with threadpool_limits(1):
        rows, facts = compute(block.work)
    for path, array in files:
        part = np.ascontiguousarray(rows[array.name], dtype=array.dtype)
        expected = (block.stop - block.start, *array.shape[1:])
        if part.shape != expected:
            raise ArtefactError(f"{path}: block {index} gave rows of shape {part.shape}, expected {expected}")
        with _writing(path), open(path, "r+b") as file:
            file.seek(block.start * array.row_bytes - array.bytes, os.SEEK_END)
            file.write(part.data)
    return index, facts


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    """Name the path where it cannot be written."""
    try:
        yield
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be written ({error.strerror})") from error


def _boot() -> str:
    """Name of this run of the operating system: after a crash of the machine, noted blocks may not be on the disk."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _open_unfinished(folder: Path, arrays: Sequence[StoredArray], key: str, description: str) -> Path:
    """The hidden folder of this run, its files laid out at full size; leftovers of other runs are removed."""
    layout = [(array.name, array.shape, array.dtype) for array in arrays]
    unfinished = folder / f"{_PREFIX}{digest_json([key, description, layout, _boot()])}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.glob(f"{_PREFIX}*"):
            if other != unfinished:
                shutil.rmtree(other)
        complete = all((unfinished / array.name).is_file() for array in arrays) and (unfinished / _JOURNAL).is_file()
        if not complete:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            for array in arrays:
                np.lib.format.open_memmap(unfinished / array.name, "w+", array.dtype, array.shape)
                with open(unfinished / array.name, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, os.path.getsize(file.name))
            # Written last: with it, the layout is complete.
            (unfinished / _JOURNAL).touch()
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        needed = sum(array.bytes for array in arrays) / 1e6
        free = shutil.disk_usage(folder).free / 1e6 if folder.is_dir() else float("nan")
        raise ArtefactError(
            f"{folder}: cannot be written ({error.strerror or error}); {needed:,.1f} MB are needed, "
            f"{free:,.1f} MB free; make space or choose another output folder, then run again"
        ) from error
    return unfinished


def _read_journal(unfinished: Path, n_blocks: int) -> dict[int, Any]:
    """Facts of the finished blocks; a last line that was cut by a kill is dropped, and its block done again."""
    path = unfinished / _JOURNAL
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    found = {}
    for line in whole.splitlines():
        with suppress(ValueError):  # what the disk has spoilt is done again
            noted = as_form(parse_json(line.decode()), _Noted, ValueError)
            if 0 <= noted.block < n_blocks:
                found[noted.block] = noted.facts
    return found


def _publish(folder: Path, unfinished: Path, arrays: Sequence[StoredArray]) -> None:
    """Move the whole arrays to their names. The manifest goes first: it belongs to what they replace."""
    with _writing(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        for array in arrays:
            with open(unfinished / array.name, "rb") as file:
                os.fsync(file.fileno())
            os.replace(unfinished / array.name, folder / array.name)
        if arrays:
            shutil.rmtree(unfinished)


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """Bounds of consecutive blocks of at most ``size`` of n things."""
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]
