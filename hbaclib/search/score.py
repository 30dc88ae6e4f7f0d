"""Scores of a search's trials, and the nested score beside the one that flatters.

The best of many trials flatters itself: among recipes that are equally good, the one that luck favoured on these rows
is chosen and then scored on the same rows. So the trials, each trained once per fold, are judged twice by their
out-of-fold rows. For each outer fold k in turn, the trial with the least divergence on the rows of the *other* folds is
chosen, and the rows of fold k, which had no say in the choice, judge it. The mean over the outer folds' rows is the
nested score. It costs no fit beyond those of the plain search: trials x folds.

What is nested is the choice, not the training. The networks that are judged on fold k never saw its patients, as always
out of fold; those that are scored on the other folds did train on fold k, but are not scored there, so that hardly
favours a recipe on fold k. To keep fold k out of them as well would cost (folds - 1) times as much. And with ``tpe``
the proposals were guided by scores over all folds, so its nested score can still flatter a little.

Source: Cawley and Talbot, On over-fitting in model selection (2010).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from hbaclib.conventions import MANY_VOTES, PREDICTION_COLUMNS, VOTE_COLUMNS, VOTE_TIERS
from hbaclib.evaluation.metric import divergence
from hbaclib.evaluation.tiers import tier_mask


def row_losses(table: pd.DataFrame) -> np.ndarray:
    """Divergence of every row of an out-of-fold table, (n,) float64."""
    targets, predictions = (table[list(columns)].to_numpy(np.float64) for columns in (VOTE_COLUMNS, PREDICTION_COLUMNS))
    return divergence(targets, predictions)


def counted_rows(table: pd.DataFrame) -> np.ndarray:
    """Rows that count in a search, (n,) bool: those with at least MANY_VOTES votes where there are any, else all."""
    return _counted(table["n_votes"].to_numpy())


def _counted(n_votes: np.ndarray) -> np.ndarray:
    many = n_votes >= MANY_VOTES
    return many if many.any() else np.ones(len(many), bool)


def tier_scores(table: pd.DataFrame) -> dict[str, float]:
    """Scores of an out-of-fold table: kl of the rows that count, n of these, kl of every vote tier (NaN if empty)."""
    losses, counted, votes = row_losses(table), counted_rows(table), table["n_votes"].to_numpy()
    scores = {"kl": float(losses[counted].mean()), "n": int(counted.sum())}
    for tier in VOTE_TIERS:
        mask = tier_mask(votes, tier)
        scores[f"kl {tier}"] = float(losses[mask].mean()) if mask.any() else float("nan")
    return scores


def nested_choice(losses: np.ndarray, folds: np.ndarray, n_votes: np.ndarray) -> pd.DataFrame:
    """Choose by all folds but one, judge by that one, for each fold in turn.

    Args:
        losses: (m, n) divergence of every trial and row.
        folds: (n,) fold of each row; at least two.
        n_votes: (n,) votes of each row: those with at least MANY_VOTES count alone where there are any.

    Returns:
        One row per outer fold: fold, chosen (row of ``losses``; the first of equals), kl_inner (by which it was
        chosen), kl_outer, n (rows behind kl_outer). A fold without a row that counts has kl_outer NaN and n 0.
    """
    counted = _counted(n_votes)
    rows = []
    for fold in np.unique(folds):
        outer, inner = counted & (folds == fold), folds != fold
        # Where this fold alone has rows of many votes, the choice is made by all rows of the others.
        inner = counted & inner if (counted & inner).any() else inner
        means = losses[:, inner].mean(axis=1)
        chosen = int(means.argmin())
        kl_outer = float(losses[chosen, outer].mean()) if outer.any() else float("nan")
        found = {"fold": int(fold), "chosen": chosen, "kl_inner": float(means[chosen])}
        rows.append(found | {"kl_outer": kl_outer, "n": int(outer.sum())})
    return pd.DataFrame(rows)
