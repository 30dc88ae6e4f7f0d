"""Stage 02: the mel spectrogram and the raw signals of every sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_json, is_current, stage_lock, verify, write_manifest
from hbaclib.conventions import EEG_WINDOW, IMAGE_SHAPE, RAW_PAIRS, REGIONS
from hbaclib.digests import STORE, digest_files
from hbaclib.source import code_digest
from hbaclib.stages.blocks import Block, StoredArray, run_blocks, spans
from hbaclib.stages.names import (
    EEG,
    EEG_SPECTROGRAMS,
    PORT,
    RAW_SIGNALS,
    SAMPLES,
)
from hbaclib.stages.windows import eeg_block

_PER_BLOCK = 8


def store_eeg_products(
    source: str | Path,
    port_folder: str | Path,
    out: str | Path,
    *,
    n_jobs: int | None = None,
) -> Path:
    """Stage 02: the mel spectrograms and the eight raw signals of every sample; each EEG file is read once for both.

    Args:
        source: folder in the competition's format, the one that stage 01 was made from.
        port_folder: the folder of stage 01.
        out: the run's output folder; the stage writes ``02_eeg_spectrograms/`` in it.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The stage's folder: ``eeg_spectrograms.npy`` (n, 128, 256, 4) and ``raw_signals.npy`` (n, 2000, 8), both
        float16, row i for row i of the samples table. A folder that is already made from this is returned at once.

    Raises:
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
        DataFileError: a recording cannot be read any more.
    """
    port = verify(port_folder)
    samples = pd.read_parquet(Path(port_folder) / SAMPLES, columns=["eeg_id", "eeg_start"])
    folder, root = Path(out).resolve() / EEG, Path(source).resolve()
    with stage_lock(folder):
        files = [root / "train_eegs" / f"{name}.parquet" for name in samples["eeg_id"].unique()]
        inputs = {PORT: port.digest, "eegs": digest_files(root, files, Path(out) / STORE)}
        if is_current(folder, inputs=inputs, parameters={}, code=code_digest(__name__)):
            return folder
        n = len(samples)
        arrays = [
            StoredArray(EEG_SPECTROGRAMS, (n, *IMAGE_SHAPE, len(REGIONS)), "float16"),
            StoredArray(RAW_SIGNALS, (n, EEG_WINDOW // 5, len(RAW_PAIRS)), "float16"),
        ]
        starts = samples["eeg_start"].to_numpy()
        # The samples of one recording lie together: the bounds of each recording, then blocks of several recordings.
        first = np.flatnonzero(np.r_[True, samples["eeg_id"].to_numpy()[1:] != samples["eeg_id"].to_numpy()[:-1]])
        bounds = np.append(first, n)
        blocks = [
            Block(
                int(bounds[begin]),
                int(bounds[end]),
                [(str(files[i]), starts[bounds[i] : bounds[i + 1]].tolist()) for i in range(begin, end)],
            )
            for begin, end in spans(len(files), _PER_BLOCK)
        ]
        run_blocks(
            eeg_block,
            blocks,
            arrays=arrays,
            folder=folder,
            key=digest_json(inputs),
            n_jobs=n_jobs,
            description="EEG spectrograms",
        )
        write_manifest(
            folder,
            EEG,
            inputs=inputs,
            parameters={},
            code=code_digest(__name__),
            outputs=[array.name for array in arrays],
            facts={"samples": n, "recordings": len(files)},
        )
        return folder
