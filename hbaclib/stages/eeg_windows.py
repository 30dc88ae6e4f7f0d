"""The way from the EEG files to arrays of what is made of every sample's window."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import MANIFEST, digest_json, is_current, verify, write_manifest
from hbaclib.digests import STORE, digest_files
from hbaclib.outputs import stage_folder
from hbaclib.stages.blocks import Block, StoredArray, run_blocks, spans
from hbaclib.stages.names import PORT, SAMPLES
from hbaclib.stages.windows import Products, eeg_block

_PER_BLOCK = 8


def store_eeg_windows(
    stage: str,
    products: Products,
    source: str | Path,
    port_folder: str | Path,
    out: str | Path,
    *,
    code: str,
    parameters: Mapping[str, Any] | None = None,
    stale: Collection[str] = (),
    n_jobs: int | None,
    description: str,
) -> Path:
    """Store products of every sample's EEG window as float16; each EEG file is read once for all of them.

    Args:
        stage: what the folder is called, and holds.
        products: what is made.
        source: folder in the competition's format, the one that stage 01 was made from.
        port_folder: the folder of stage 01.
        out: the run's output folder.
        code: digest of the code that computes the products.
        parameters: of the stage, beside its inputs.
        stale: files that the stage makes with other parameters; what lies there of them goes first, for room.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.
        description: of the progress bar.

    Returns:
        The stage's folder: an array for each product, row i for row i of the samples table. A folder that is already
        made from this is returned at once.

    Raises:
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
        DataFileError: a recording cannot be read any more.
    """
    port = verify(port_folder)
    samples = pd.read_parquet(Path(port_folder) / SAMPLES, columns=["eeg_id", "eeg_start"])
    folder, root = Path(out).resolve() / stage, Path(source).resolve()
    with stage_folder(folder, stage):
        # The samples of one recording lie together.
        starts = samples.groupby("eeg_id", sort=False)["eeg_start"].agg(list)
        files = [root / "train_eegs" / f"{name}.parquet" for name in starts.index]
        inputs = {PORT: port.digest, "eegs": digest_files(root, files, Path(out) / STORE)}
        if is_current(folder, inputs=inputs, parameters=parameters or {}, code=code):
            return folder
        for left in [folder / name for name in stale if (folder / name).is_file()]:
            (folder / MANIFEST).unlink(missing_ok=True)  # the stage that it belongs to is no whole one any more
            left.unlink()
        work = list(zip(map(str, files), starts, strict=True))
        bounds = np.cumsum([0, *map(len, starts)]).tolist()
        run_blocks(
            partial(eeg_block, products),
            [Block(bounds[begin], bounds[end], work[begin:end]) for begin, end in spans(len(work), _PER_BLOCK)],
            arrays=[StoredArray(name, (len(samples), *shape), "float16") for name, (shape, _) in products.items()],
            folder=folder,
            key=digest_json([inputs, list(products)]),
            n_jobs=n_jobs,
            description=description,
        )
        facts = {"samples": len(samples), "recordings": len(files)}
        about: dict[str, Any] = {"inputs": inputs, "parameters": parameters or {}, "code": code}
        write_manifest(folder, stage, outputs=products, facts=facts, **about)
        return folder
