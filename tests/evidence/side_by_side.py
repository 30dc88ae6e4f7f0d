"""Recipes trained side by side on one synthetic set, and their tables.

Two fits run at a time, of one thread each: small batches gain next to nothing from a second thread. What is trained
stays in its folder, so that a second run goes on where the first stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from hbaclib import score_by_tier
from hbaclib.conventions import PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.evaluation.tiers import compare_by_tier
from hbaclib.inputs.store import InputArrays
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder

FOLDS = 4
COMMON = {
    "weights": "",
    "sampling": "any",
    "folds": FOLDS,
    "seeds": [0],
    "batch": 16,
    "batch_norm_momentum": 0.9,
    "threads": 1,
}
"""From random weights, in steps that a CPU can take by the thousand."""


def trained_folder(folder: Path, name: str) -> Path:
    """Where a recipe's networks lie."""
    return folder / f"04_train_{name.replace(' ', '-')}"


def train_all(
    recipes: Mapping[str, tuple[Recipe, Sequence[int]]], arrays: InputArrays, folder: Path
) -> dict[str, pd.DataFrame]:
    """Train every recipe on some folds, two recipes at a time.

    Returns:
        Out-of-fold rows of these folds, by name.
    """
    folders = {name: trained_folder(folder, name) for name in recipes}
    Parallel(n_jobs=2, batch_size=1)(
        delayed(train)(recipe, arrays, folders[name], folds=folds, progress=False)
        for name, (recipe, folds) in recipes.items()
    )
    return {name: TrainedFolder.open(folders[name]).oof(folds) for name, (_, folds) in recipes.items()}


def of_fold(rows: pd.DataFrame, folds: Sequence[int]) -> pd.DataFrame:
    """The rows of some folds, numbered anew."""
    return rows[rows["fold"].isin(folds)].reset_index(drop=True)


def places_of(rows: pd.DataFrame, arrays: InputArrays) -> np.ndarray:
    """Place of every row in the samples table."""
    samples, wanted = (pd.MultiIndex.from_frame(table[list(SAMPLE_ID)]) for table in (arrays.samples, rows))
    return samples.get_indexer(wanted)


def predictions(rows: pd.DataFrame) -> np.ndarray:
    """(n, 6) shares as they were predicted."""
    return rows[list(PREDICTION_COLUMNS)].to_numpy(np.float64)


def targets(rows: pd.DataFrame) -> np.ndarray:
    """(n, 6) shares of the votes."""
    return rows[list(VOTE_COLUMNS)].to_numpy(np.float64)


def with_predictions(rows: pd.DataFrame, shares: np.ndarray) -> pd.DataFrame:
    """The same rows with other predictions."""
    return rows.assign(**dict(zip(PREDICTION_COLUMNS, np.asarray(shares).T, strict=True)))


def scores_of(rows: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """KL by tier with intervals, and columns of the caller's own."""
    return score_by_tier(
        targets(rows), predictions(rows), rows["n_votes"].to_numpy(), rows["patient_id"].to_numpy()
    ).assign(**columns)


def gain_over(rows: pd.DataFrame, others: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """By how much ``rows`` predict better than ``others`` do, by tier, paired; and what the interval says of it."""
    assert rows[list(SAMPLE_ID)].equals(others[list(SAMPLE_ID)])
    gain = compare_by_tier(
        targets(rows), predictions(others), predictions(rows), rows["n_votes"].to_numpy(), rows["patient_id"].to_numpy()
    )
    says = np.select([gain["low"] > 0, gain["high"] < 0], ["better", "worse"], "no clear difference")
    return gain[["tier", "n", "patients", "difference", "low", "high"]].assign(says=says, **columns)
