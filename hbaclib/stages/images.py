"""Stage 03: the image of every sample's ten-minute spectrogram."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hbaclib.artefacts import digest_json, is_current, verify, write_manifest
from hbaclib.conventions import IMAGE_SHAPE, REGIONS
from hbaclib.outputs import stage_folder
from hbaclib.source import code_digest
from hbaclib.stages.blocks import Block, StoredArray, run_blocks, spans
from hbaclib.stages.names import (
    IMAGES,
    KAGGLE_IMAGES,
    KAGGLE_SCALES,
    PORT,
    SAMPLES,
    SPECTROGRAM_INDEX,
    SPECTROGRAM_ROWS,
)
from hbaclib.stages.windows import image_block

_PER_BLOCK = 128


def store_kaggle_images(port_folder: str | Path, out: str | Path, *, n_jobs: int | None = None) -> Path:
    """Stage 03: the image of every sample's ten-minute spectrogram.

    Args:
        port_folder: the folder of stage 01.
        out: the run's output folder; the stage writes ``03_assemble_inputs/`` in it.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The stage's folder: ``kaggle_images.npy`` (n, 128, 256, 4) float16 and ``kaggle_scales.npy`` (n, 4, 2) float32,
        which puts an image's regions on one scale; row i for row i of the samples table. The EEG half of the 8-channel
        input lies in stage 02; the reader joins them. A folder that is already made from this is returned at once.

    Raises:
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
    """
    port = verify(port_folder)
    folder, inputs, code = Path(out).resolve() / IMAGES, {PORT: port.digest}, code_digest(__name__)
    with stage_folder(folder, IMAGES):
        if is_current(folder, inputs=inputs, parameters={}, code=code):
            return folder
        samples = pd.read_parquet(Path(port_folder) / SAMPLES, columns=["spectrogram_id", "spectrogram_row"])
        index = pd.read_parquet(Path(port_folder) / SPECTROGRAM_INDEX).set_index("spectrogram_id")
        starts = index["start"].loc[samples["spectrogram_id"]].to_numpy() + samples["spectrogram_row"].to_numpy()
        path = str(Path(port_folder).resolve() / SPECTROGRAM_ROWS)
        blocks = [
            Block(begin, end, (path, starts[begin:end].tolist())) for begin, end in spans(len(samples), _PER_BLOCK)
        ]
        arrays = [
            StoredArray(KAGGLE_IMAGES, (len(samples), *IMAGE_SHAPE, len(REGIONS)), "float16"),
            StoredArray(KAGGLE_SCALES, (len(samples), len(REGIONS), 2), "float32"),
        ]
        run_blocks(
            image_block,
            blocks,
            arrays=arrays,
            folder=folder,
            key=digest_json(inputs),
            n_jobs=n_jobs,
            description="Kaggle images",
        )
        facts = {"samples": len(samples)}
        outputs = [array.name for array in arrays]
        write_manifest(folder, IMAGES, inputs=inputs, parameters={}, code=code, outputs=outputs, facts=facts)
        return folder
