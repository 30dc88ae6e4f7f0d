"""Whether networks learn the classes, and nothing from labels in another order: minutes, which CI leaves out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib.conventions import MANY_VOTES, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.synthetic import make_synthetic_dataset
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.evaluation.tiers import class_mean_predictions
from hbaclib.inputs.store import open_inputs
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.port import port_data
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import load_recipe
from hbaclib.training.trained_folder import TrainedFolder

pytestmark = pytest.mark.evidence


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


def test_learns_the_classes_and_nothing_from_shuffled_labels(tmp_path: Path) -> None:
    # A quarter of its epochs: whether anything is learned shows by then.
    recipe = load_recipe("demo").override({"stages.0.epochs": 9})
    source = make_synthetic_dataset(
        tmp_path / "set", n_patients=130, recordings_per_patient=1.2, seed=5, n_test=1, progress=False
    )
    port = port_data(source, tmp_path, n_folds=2)
    eeg = store_eeg_products(source, port, tmp_path, images=[recipe.image])
    arrays = open_inputs(port, eeg, store_kaggle_images(port, tmp_path))
    trained = train(recipe, arrays, tmp_path / "04_train_small", folds=[0], progress=False)
    learned = share_of_baseline(arrays.samples, arrays.folds, trained)
    shares = arrays.samples[list(VOTE_COLUMNS)].to_numpy().copy()
    rng = np.random.default_rng(0)
    for group in (arrays.samples["n_votes"] >= MANY_VOTES, arrays.samples["n_votes"] < MANY_VOTES):
        rows = np.flatnonzero(group)
        shares[rows] = shares[rng.permutation(rows)]
    samples = arrays.samples.assign(**dict(zip(VOTE_COLUMNS, shares.T, strict=True)))
    shuffled = dataclasses.replace(arrays, samples=samples, digest="shuffled labels")
    trained = train(recipe, shuffled, tmp_path / "04_train_shuffled", folds=[0], progress=False)
    nothing = share_of_baseline(samples, arrays.folds, trained)
    print(f"of the class means' loss: {learned:.3f}; of shuffled labels {nothing:.3f}")
    assert learned < 0.9
    assert nothing > 0.97
