"""The synthetic set on which networks are compared, prepared once for all such proofs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hbaclib import make_synthetic_dataset
from hbaclib.inputs.store import InputArrays, open_inputs
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.port import port_data
from tests.evidence.side_by_side import FOLDS

PATIENTS, RECORDINGS = 1000, 1.2
IMAGES = ("pair", "absolute")


@pytest.fixture(scope="session")
def networks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the set and what is trained on it lies: HBAC_EVIDENCE_FOLDER, or a temporary folder."""
    named = os.environ.get("HBAC_EVIDENCE_FOLDER")
    return Path(named) if named else tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="session")
def arrays(networks_folder: Path) -> InputArrays:
    """Stages 01 to 03 of the set; made where they are not there yet."""
    source, folder = networks_folder / "set", networks_folder
    if not (source / "train.csv").is_file():
        make_synthetic_dataset(source, n_patients=PATIENTS, seed=3, recordings_per_patient=RECORDINGS)
    port = port_data(source, folder, sampling="vote_groups", n_folds=FOLDS)
    return open_inputs(port, store_eeg_products(source, port, folder, images=IMAGES), store_kaggle_images(port, folder))
