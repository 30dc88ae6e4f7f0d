"""What lies in the output folder of a run, found by the stages' manifests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import finished_stages
from hbaclib.conventions import SAMPLE_ID
from hbaclib.errors import ArtefactError
from hbaclib.stages.eeg_products import stored_images
from hbaclib.stages.names import EEG, EEG_IMAGES, IMAGES, KAGGLE_IMAGES, PORT, SAMPLES
from hbaclib.stages.places import stage_rows


class RunFolder:
    """Finished stages of a run.

    Args:
        path: the output folder.

    Attributes:
        path: the output folder.
        manifests: stage folder's name -> manifest, sorted by name.
        times: rows of ``stages.json`` (stage, seconds, status, notebook, parameters) by stage; empty if there is none.

    Raises:
        ArtefactError: there is no such folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise ArtefactError(f"{path}: no such folder; expected the output folder of a run")
        self.manifests = {folder.name: manifest for folder, manifest in finished_stages(self.path).items()}
        self.times = stage_rows(self.path)

    def stage(self, kind: str) -> Path | None:
        """Folder of the first finished stage of this kind; what is not finished the page names as missing."""
        return next((self.path / name for name, manifest in self.manifests.items() if manifest.stage == kind), None)

    def samples(self) -> pd.DataFrame | None:
        """The samples table of stage 01."""
        port = self.stage(PORT)
        path = port / SAMPLES if port else None
        return pd.read_parquet(path) if path and path.is_file() else None

    def image(self, row: int) -> np.ndarray | None:
        """Network input (128, 256, 8) of a row of the samples table."""
        eeg, images = self.stage(EEG), self.stage(IMAGES)
        if eeg is None or images is None:
            return None
        own = next((eeg / EEG_IMAGES[name] for name in stored_images(eeg)), eeg)
        halves = [images / KAGGLE_IMAGES, own]
        if not all(half.is_file() for half in halves):
            return None
        planes = [np.load(half, mmap_mode="r")[row] for half in halves]
        return np.concatenate(planes, axis=-1).astype(np.float32)


def rows_of_samples(samples: pd.DataFrame, ids: pd.DataFrame) -> np.ndarray:
    """Row of the samples table for each (eeg_id, eeg_start); -1 where there is none."""
    index = pd.MultiIndex.from_frame(samples[list(SAMPLE_ID)])
    return index.get_indexer(pd.MultiIndex.from_frame(ids[list(SAMPLE_ID)]))
