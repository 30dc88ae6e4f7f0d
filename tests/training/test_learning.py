"""The whole way from synthetic files to scores: networks learn the classes, not the labels' order and not the truth."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib.conventions import MANY_VOTES, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.evaluation.tiers import class_mean_predictions
from hbaclib.training.trained_folder import TrainedFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def recipe():
    from hbaclib.training.recipe import load_recipe

    # A quarter of its epochs: whether anything is learned shows by then.
    return load_recipe("demo").override({"stages.0.epochs": 9})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, recipe) -> Path:
    """A folder with a synthetic set, its truth beside it, and stages 01 to 03."""
    from hbaclib.dataset.synthetic import make_synthetic_dataset
    from hbaclib.stages.eeg_products import store_eeg_products
    from hbaclib.stages.images import store_kaggle_images
    from hbaclib.stages.port import port_data

    folder = tmp_path_factory.mktemp("learning")
    source = make_synthetic_dataset(
        folder / "set", n_patients=130, recordings_per_patient=1.2, seed=5, n_test=1, progress=False
    )
    port = port_data(source, folder, n_folds=2)
    store_eeg_products(source, port, folder, images=[recipe.image])
    store_kaggle_images(port, folder)
    return folder


@pytest.fixture(scope="module")
def arrays(work: Path):
    from hbaclib.inputs.store import open_inputs

    return open_inputs(work / "01_port_data", work / "02_eeg_spectrograms", work / "03_assemble_inputs")


def share_of_baseline(samples: pd.DataFrame, folds: pd.Series, folder: Path) -> float:
    """Score on the rows of many votes of fold 0, which alone is trained, over that of the other fold's class means."""
    of_row = samples["patient_id"].map(folds).to_numpy()
    means = class_mean_predictions(
        samples[list(VOTE_COLUMNS)].to_numpy(np.float64), of_row, samples["n_votes"].to_numpy()
    )
    rows = TrainedFolder.open(folder).oof([0])
    ids = (pd.MultiIndex.from_frame(table[list(SAMPLE_ID)]) for table in (samples, rows))
    places = next(ids).get_indexer(next(ids))
    assert len(rows) == (of_row == 0).sum() and (of_row[places] == 0).all()
    baseline = means[places]
    many = rows["n_votes"].to_numpy() >= MANY_VOTES
    targets, shares = (
        rows.loc[many, list(columns)].to_numpy(np.float64) for columns in (VOTE_COLUMNS, PREDICTION_COLUMNS)
    )
    return kl_divergence(targets, shares) / kl_divergence(targets, baseline[many])


def test_learns_the_classes_and_nothing_from_shuffled_labels(work: Path, arrays, recipe) -> None:
    from hbaclib.training.cross_validate import train

    trained = train(recipe, arrays, work / "04_train_small", folds=[0], progress=False)
    learned = share_of_baseline(arrays.samples, arrays.folds, trained)
    shares = arrays.samples[list(VOTE_COLUMNS)].to_numpy().copy()
    rng = np.random.default_rng(0)
    for group in (arrays.samples["n_votes"] >= MANY_VOTES, arrays.samples["n_votes"] < MANY_VOTES):
        rows = np.flatnonzero(group)
        shares[rows] = shares[rng.permutation(rows)]
    samples = arrays.samples.assign(**dict(zip(VOTE_COLUMNS, shares.T, strict=True)))
    shuffled = dataclasses.replace(arrays, samples=samples, digest="shuffled labels")
    trained = train(recipe, shuffled, work / "04_train_shuffled", folds=[0], progress=False)
    nothing = share_of_baseline(samples, arrays.folds, trained)
    assert learned < 0.9
    assert nothing > 0.97


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
    short = recipe.override({"stages": [{"epochs": 1, "steps": 2}]})
    first = train(short, arrays, tmp_path / "with", progress=False)
    second = train(short, alone, tmp_path / "without", progress=False)
    watching = False
    tables = [pd.read_parquet(folder / "oof.parquet")[list(PREDICTION_COLUMNS)] for folder in (first, second)]
    pd.testing.assert_frame_equal(*tables)
    assert opened and not [path for path in opened if "truth" in Path(path).name]
