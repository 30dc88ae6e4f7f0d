"""The clinician's view: sensitivity, specificity, area under the curve, and agreement beside the experts' own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from hbaclib.conventions import CLASSES
from hbaclib.evaluation.metric import Shares, check_shares


def clinical_table(targets: Shares, predictions: Shares) -> pd.DataFrame:
    """Detection of each class, where the experts' plurality is the truth and the model's greatest share its call.

    Args:
        targets: (n, 6) vote shares.
        predictions: (n, 6) predicted shares.

    Returns:
        One row per class: class, n (samples of that plurality), sensitivity, specificity, auc (of the predicted share).
        NaN where there are no samples to tell.
    """
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    truth, call = true.argmax(axis=1), predicted.argmax(axis=1)
    rows = []
    for index, name in enumerate(CLASSES):
        positive = truth == index
        both = positive.any() and not positive.all()
        rows.append(
            {
                "class": name,
                "n": int(positive.sum()),
                "sensitivity": float((call[positive] == index).mean()) if positive.any() else np.nan,
                "specificity": float((call[~positive] != index).mean()) if not positive.all() else np.nan,
                "auc": float(roc_auc_score(positive, predicted[:, index])) if both else np.nan,
            }
        )
    return pd.DataFrame(rows)


def agreement(targets: Shares, predictions: Shares, n_votes: np.ndarray) -> dict[str, float]:
    """Agreement of the model with the experts, beside the experts' own.

    Args:
        targets: (n, 6) vote shares.
        predictions: (n, 6) predicted shares.
        n_votes: (n,) votes of each sample.

    Returns:
        ``model_kappa``: Cohen's kappa of the model's call with the experts' plurality; ``expert_kappa``: the same of
        one expert's vote with the plurality of the *other* experts; ``fleiss_kappa``: of all experts among each other.
        NaN where kappa is not defined (one class only, single votes).
    """
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    votes = np.asarray(n_votes)
    truth, call = true.argmax(axis=1), predicted.argmax(axis=1)
    several = votes >= 2
    one_class = len(np.unique(np.r_[truth, call])) < 2
    return {
        "model_kappa": np.nan if one_class else float(cohen_kappa_score(truth, call)),
        "expert_kappa": _expert_kappa(true[several], votes[several]),
        "fleiss_kappa": _fleiss_kappa(true[several], votes[several]),
    }


def _expert_kappa(shares: np.ndarray, n_votes: np.ndarray) -> float:
    counts = shares * n_votes[:, None]
    table = np.zeros((len(CLASSES), len(CLASSES)))
    for vote in range(len(CLASSES)):
        # Each vote is held against the plurality of the others, so that it cannot agree with itself.
        others = counts.copy()
        others[:, vote] -= 1
        voted = counts[:, vote] >= 1 - 1e-6
        plurality = others[voted].argmax(axis=1)
        table[vote] += np.bincount(plurality, weights=shares[voted, vote], minlength=len(CLASSES))
    return _kappa(table)


def _fleiss_kappa(shares: np.ndarray, n_votes: np.ndarray) -> float:
    if not len(shares):
        return np.nan
    agreed = np.mean((n_votes * np.sum(shares**2, axis=1) - 1) / (n_votes - 1))
    by_chance = np.sum(shares.mean(axis=0) ** 2)
    return float((agreed - by_chance) / (1 - by_chance)) if by_chance < 1 else np.nan


def _kappa(table: np.ndarray) -> float:
    if table.sum() <= 0:
        return np.nan
    joint = table / table.sum()
    by_chance = joint.sum(axis=0) @ joint.sum(axis=1)
    return float((np.trace(joint) - by_chance) / (1 - by_chance)) if by_chance < 1 else np.nan
