"""The eight signals of every sample at the full 200 Hz: for recipes that crop them, an array that others do without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_json, is_current, verify, write_manifest
from hbaclib.conventions import EEG_WINDOW, RAW_PAIRS
from hbaclib.digests import STORE, digest_files
from hbaclib.errors import DataFileError
from hbaclib.recordings.parquet import load_eeg
from hbaclib.signal.raw import signals_200hz
from hbaclib.source import code_digest
from hbaclib.stages.blocks import Block, StoredArray, run_blocks, spans
from hbaclib.stages.names import PORT, SAMPLES, SIGNALS_200HZ, SIGNALS_200HZ_FILE

_PER_BLOCK = 16


def store_signals_200hz(
    source: str | Path, port_folder: str | Path, out: str | Path, *, n_jobs: int | None = None
) -> Path:
    """Store the eight signals of every sample, clipped and scaled but unfiltered, at 200 Hz (160 kB each).

    Args:
        source: folder in the competition's format, the one that stage 01 was made from.
        port_folder: the folder of stage 01.
        out: the run's output folder; ``06_signals_200hz/`` is written in it.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The folder: ``signals_200hz.npy`` (n, 10000, 8) float16, row i for row i of the samples table. A folder that is
        already made from this is returned at once.

    Raises:
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
        DataFileError: a recording cannot be read any more.
    """
    port = verify(port_folder)
    samples = pd.read_parquet(Path(port_folder) / SAMPLES, columns=["eeg_id", "eeg_start"])
    folder, root = Path(out).resolve() / SIGNALS_200HZ, Path(source).resolve()
    paths = [root / "train_eegs" / f"{name}.parquet" for name in samples["eeg_id"]]
    inputs = {PORT: port.digest, "eegs": digest_files(root, paths, Path(out) / STORE)}
    if is_current(folder, inputs=inputs, parameters={}, code=code_digest(__name__)):
        return folder
    work = list(zip(map(str, paths), samples["eeg_start"].tolist(), strict=True))
    array = StoredArray(SIGNALS_200HZ_FILE, (len(work), EEG_WINDOW, len(RAW_PAIRS)), "float16")
    blocks = [Block(begin, end, work[begin:end]) for begin, end in spans(len(work), _PER_BLOCK)]
    run_blocks(
        _block,
        blocks,
        arrays=[array],
        folder=folder,
        key=digest_json(inputs),
        n_jobs=n_jobs,
        description="signals at 200 Hz",
    )
    write_manifest(
        folder,
        SIGNALS_200HZ,
        inputs=inputs,
        parameters={},
        code=code_digest(__name__),
        outputs=[array.name],
        facts={"samples": len(work)},
    )
    return folder


def _block(work: list[tuple[str, int]]) -> tuple[dict[str, np.ndarray], None]:
    signals = np.empty((len(work), EEG_WINDOW, len(RAW_PAIRS)), np.float16)
    recordings: dict[str, np.ndarray] = {}
    for row, (path, start) in enumerate(work):
        if path not in recordings:  # the samples of one recording lie together
            recordings = {path: load_eeg(path)[0]}
        window = recordings[path][start : start + EEG_WINDOW]
        if len(window) < EEG_WINDOW:
            raise DataFileError(f"{path}: {len(recordings[path])} rows; a window at {start} needs {start + EEG_WINDOW}")
        signals[row] = signals_200hz(window)
    return {SIGNALS_200HZ_FILE: signals}, None
