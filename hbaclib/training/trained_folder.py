"""What a trained folder tells about itself: its recipe, its files' names, and whom its networks never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import Manifest, check_kind
from hbaclib.dataset.folds import audit_folds
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.stages.names import FIRST_ROUND, TRAINED
from hbaclib.training.recipe import Recipe


def trained_manifest(folder: str | Path) -> Manifest:
    """The manifest of a trained folder.

    Raises:
        ArtefactError: the folder does not hold a finished training run.
    """
    return check_kind(folder, TRAINED, FIRST_ROUND)


def trained_recipe(folder: str | Path) -> Recipe:
    """The recipe of a trained folder.

    Raises:
        ArtefactError: the folder does not hold a finished training run.
    """
    return Recipe.from_dict(trained_manifest(folder).parameters["recipe"], str(folder))


def fit_name(recipe: Recipe, fold: int, seed: int) -> str:
    """``fold-K``, with the seed behind it where the recipe has several."""
    return f"fold-{fold}" if len(recipe.seeds) == 1 else f"fold-{fold}-seed-{seed}"


def weight_files(folder: str | Path, fold: int) -> list[Path]:
    """Weight files of a fold's trained networks, one for each seed.

    Raises:
        ArtefactError: the folder is not a finished training run, or a file is missing.
    """
    recipe = trained_recipe(folder)
    files = [Path(folder) / f"{fit_name(recipe, fold, seed)}.weights.h5" for seed in recipe.seeds]
    for path in files:
        if not path.is_file():
            raise ArtefactError(f"{path}: missing; train fold {fold} again")
    return files


def held_out_patients(folder: str | Path, fold: int) -> np.ndarray:
    """Patients that no network of a trained folder's fold has seen, from its own out-of-fold tables.

    Args:
        folder: a trained folder.
        fold: one of its folds.

    Raises:
        ArtefactError: the folder does not hold a finished training run, or a table is missing.
        ConfigError: the fold was not trained there.
    """
    folder, manifest = Path(folder), trained_manifest(folder)
    if fold not in manifest.facts["folds"]:
        raise ConfigError(f"{folder}: fold {fold} was not trained there; it has {manifest.facts['folds']}")
    recipe = trained_recipe(folder)
    held_out: np.ndarray | None = None
    for seed in recipe.seeds:
        path = folder / f"{fit_name(recipe, fold, seed)}.oof.parquet"
        try:
            patients = pd.read_parquet(path, columns=["patient_id"])["patient_id"].unique()
        except OSError as error:
            raise ArtefactError(f"{path}: cannot be read ({error}); train the fold again") from error
        held_out = patients if held_out is None else np.intersect1d(held_out, patients)
    assert held_out is not None
    return np.sort(held_out)


def audit_trained(folder: str | Path, fold: int, samples: pd.DataFrame, folds: pd.Series) -> None:
    """Check that a trained folder's networks of a fold never saw the patients that this fold has now.

    Raises:
        LeakError: naming a patient that they were trained on.
    """
    audit_folds(samples, folds, {fold: np.setdiff1d(samples["patient_id"].unique(), held_out_patients(folder, fold))})
