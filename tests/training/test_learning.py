"""Training sees the tables and signals of a set, and not the truth that lies beside a synthetic one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from hbaclib.conventions import PREDICTION_COLUMNS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def recipe():
    from hbaclib.training.recipe import load_recipe

    return load_recipe("demo").override({"stages": [{"epochs": 1, "steps": 2}]})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, recipe) -> Path:
    """A folder with a synthetic set, its truth beside it, and stages 01 to 03."""
    from hbaclib.dataset.synthetic import make_synthetic_dataset
    from hbaclib.stages.eeg_products import store_eeg_products
    from hbaclib.stages.images import store_kaggle_images
    from hbaclib.stages.port import port_data

    folder = tmp_path_factory.mktemp("learning")
    source = make_synthetic_dataset(
        folder / "set", n_patients=24, recordings_per_patient=1.2, seed=5, n_test=1, progress=False
    )
    port = port_data(source, folder, n_folds=2)
    store_eeg_products(source, port, folder, images=[recipe.image])
    store_kaggle_images(port, folder)
    return folder


@pytest.fixture(scope="module")
def arrays(work: Path):
    from hbaclib.inputs.store import open_inputs

    return open_inputs(work / "01_port_data", work / "02_eeg_spectrograms", work / "03_assemble_inputs")


def test_training_does_not_open_the_truth(work: Path, arrays, recipe, tmp_path: Path) -> None:
    """The same predictions with the truth there and with it gone, and no file of that name is opened."""
    from hbaclib.inputs.store import open_inputs
    from hbaclib.stages.eeg_products import store_eeg_products
    from hbaclib.stages.images import store_kaggle_images
    from hbaclib.stages.port import port_data
    from hbaclib.training.cross_validate import train

    assert (work / "set-truth.parquet").is_file()
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple) -> None:
        if watching and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.append(os.fsdecode(arguments[0]))

    sys.addaudithook(watch)
    shutil.copytree(work / "set", tmp_path / "alone")  # no truth beside it
    port = port_data(tmp_path / "alone", tmp_path, n_folds=2)
    eeg = store_eeg_products(tmp_path / "alone", port, tmp_path, images=[recipe.image])
    alone = open_inputs(port, eeg, store_kaggle_images(port, tmp_path))
    first = train(recipe, arrays, tmp_path / "with", progress=False)
    second = train(recipe, alone, tmp_path / "without", progress=False)
    watching = False
    tables = [pd.read_parquet(folder / "oof.parquet")[list(PREDICTION_COLUMNS)] for folder in (first, second)]
    pd.testing.assert_frame_equal(*tables)
    assert opened and not [path for path in opened if "truth" in Path(path).name]
