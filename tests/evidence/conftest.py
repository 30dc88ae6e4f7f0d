"""The synthetic set on which networks are compared, prepared once for all such proofs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hbaclib import make_synthetic_dataset
from hbaclib.inputs.store import InputArrays, open_inputs
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.names import EEG_IMAGES
from hbaclib.stages.port import port_data
from tests.evidence.side_by_side import FOLDS

RECORDINGS = 1.2


def prepared(folder: Path, *, patients: int, seed: int, folds: int) -> InputArrays:
    """A synthetic set and its stages 01 to 03, with every image of the EEG; made where they are not there yet."""
    source = folder / "set"
    if not (source / "train.csv").is_file():
        make_synthetic_dataset(source, n_patients=patients, seed=seed, recordings_per_patient=RECORDINGS)
    port = port_data(source, folder, sampling="vote_groups", n_folds=folds)
    eeg = store_eeg_products(source, port, folder, images=EEG_IMAGES)
    return open_inputs(port, eeg, store_kaggle_images(port, folder))


@pytest.fixture(scope="session")
def networks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the set and what is trained on it lies: HBAC_EVIDENCE_FOLDER, or a temporary folder."""
    named = os.environ.get("HBAC_EVIDENCE_FOLDER")
    return Path(named) if named else tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="session")
def arrays(networks_folder: Path) -> InputArrays:
    """A thousand patients."""
    return prepared(networks_folder, patients=1000, seed=3, folds=FOLDS)
