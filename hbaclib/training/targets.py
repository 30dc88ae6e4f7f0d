"""The targets that a fit trains on: votes, smoothed, mixed with pseudo-labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import check_kind, verify
from hbaclib.conventions import PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.folds import audit_folds
from hbaclib.errors import ArtefactError
from hbaclib.stages.names import PSEUDO_LABELS
from hbaclib.training.losses import smooth_targets, smooth_votes
from hbaclib.training.recipe import Recipe

LABELS, HELD_OUT = "pseudo_labels.parquet", "held_out.parquet"


def training_targets(
    recipe: Recipe, samples: pd.DataFrame, folds: pd.Series, fold: int, pseudo_folder: Path | None = None
) -> np.ndarray:
    """Targets of all samples for the fit that leaves a fold out.

    Votes are smoothed as votes, then mixed with the fold's pseudo-labels, then smoothed as shares.

    Args:
        recipe: its keys ``label_smoothing...`` and ``pseudo_...`` decide.
        samples: the samples table.
        folds: fold of every patient.
        fold: the fold that is left out.
        pseudo_folder: folder of pseudo-labels, for recipes with a ``pseudo_weight``.

    Returns:
        (n, 6) float32, rows sum to 1.

    Raises:
        LeakError: the pseudo-labels of this fold come from networks that saw one of its patients.
        ArtefactError: the folder does not hold pseudo-labels of this fold, or they were changed.
    """
    targets = samples[list(VOTE_COLUMNS)].to_numpy(np.float64)
    votes = samples["n_votes"].to_numpy()
    if recipe.label_smoothing_votes:
        targets = smooth_votes(targets, votes, recipe.label_smoothing_votes, recipe.label_smoothing_up_to)
    if recipe.pseudo_weight and pseudo_folder is not None:
        pseudo = load_pseudo_labels(pseudo_folder, samples, folds, fold)
        there = np.isfinite(pseudo[:, 0]) & (votes <= recipe.pseudo_up_to)
        mixed = (1 - recipe.pseudo_weight) * targets + recipe.pseudo_weight * pseudo
        targets = np.where(there[:, None], mixed, targets)
    return smooth_targets(targets, recipe.label_smoothing)


def load_pseudo_labels(folder: str | Path, samples: pd.DataFrame, folds: pd.Series, fold: int) -> np.ndarray:
    """Pseudo-labels for the fit that leaves a fold out, audited.

    Args:
        folder: as `hbaclib.prediction.pseudo_labels.make_pseudo_labels` writes it.
        samples: the samples table.
        folds: fold of every patient.
        fold: the fold that is left out.

    Returns:
        (n, 6) float64, NaN where a sample has none.

    Raises:
        LeakError: they come from networks that saw a patient of this fold.
        ArtefactError: there are none of this fold, or they were changed.
    """
    check_kind(folder, PSEUDO_LABELS)
    verify(folder)
    held_out = pd.read_parquet(Path(folder) / HELD_OUT)
    unseen = held_out.loc[held_out["fold"] == fold, "patient_id"].to_numpy()
    if not len(unseen):
        raise ArtefactError(f"{folder}: no pseudo-labels for fold {fold}; make them from a folder with that fold")
    audit_folds(samples, folds, {fold: np.setdiff1d(samples["patient_id"].unique(), unseen)})
    table = pd.read_parquet(Path(folder) / LABELS)
    table = table[table["fold"] == fold].set_index(list(SAMPLE_ID))[list(PREDICTION_COLUMNS)]
    if table.index.has_duplicates or samples.duplicated(list(SAMPLE_ID)).any():
        raise ArtefactError(f"{folder}: two pseudo-labels of one sample in fold {fold}")
    return table.reindex(pd.MultiIndex.from_frame(samples[list(SAMPLE_ID)])).to_numpy(np.float64)
