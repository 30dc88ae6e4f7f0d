"""What a set holds and how well a model that knows the truth would score on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import rel_entr

from hbaclib.conventions import CLASSES, VOTE_COLUMNS, VOTE_TIERS

EXPECTED = tuple(f"{name}_expected" for name in VOTE_COLUMNS)
READERS = tuple(f"{name}_readers" for name in VOTE_COLUMNS)


def oracle_scores(truth: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """Score the truth itself, by vote tier, on one sample per distinct votes of an EEG.

    Args:
        truth: rows of the truth table, of one split.

    Returns:
        Tier -> ``n`` samples; ``oracle``: KL of the expected distribution to the votes; ``oracle_without_sampling``: to
        the shares of the row's own readers, what uncountably many votes of the same readers would give;
        ``class_mean``: KL of the tier's mean; empty tiers are left out.
    """
    once = ~truth.duplicated(["eeg_id", *VOTE_COLUMNS]).to_numpy()
    votes = truth[list(VOTE_COLUMNS)].to_numpy(dtype=float)
    n_votes = votes.sum(axis=1)
    scores: dict[str, dict[str, float | int]] = {}
    for tier, (low, high) in VOTE_TIERS.items():
        chosen = once & (n_votes >= low) & (n_votes <= (np.inf if high is None else high))
        if not chosen.any():
            continue
        shares = votes[chosen] / n_votes[chosen, None]
        expected = _shares(truth.loc[chosen, list(EXPECTED)])
        readers = _shares(truth.loc[chosen, list(READERS)])
        mean = np.broadcast_to(shares.mean(axis=0), shares.shape)
        scores[tier] = {
            "n": int(chosen.sum()),
            "oracle": _divergence(shares, expected),
            "oracle_without_sampling": _divergence(readers, expected),
            "class_mean": _divergence(shares, mean),
        }
    return scores


def _divergence(votes: np.ndarray, predictions: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence; no prediction here is 0, so that none needs the official score's floor."""
    return float(rel_entr(votes, predictions).sum(axis=1).mean())


def _shares(values: pd.DataFrame) -> np.ndarray:
    array = values.to_numpy(dtype=float)
    return array / array.sum(axis=1, keepdims=True)


def summarise(truth: pd.DataFrame, arguments: dict[str, Any]) -> dict[str, Any]:
    """Make the JSON summary of a set: arguments, counts, scores of the truth by split and tier."""
    train = truth[truth["split"] == "train"]
    test = truth[truth["split"] == "test"]
    once = train.drop_duplicates(["eeg_id", *VOTE_COLUMNS])
    shares = {}
    for annotators, rows in once.groupby("annotators"):
        mean = _shares(rows[list(VOTE_COLUMNS)]).mean(axis=0)
        shares[str(annotators)] = dict(zip(CLASSES, mean.tolist(), strict=True))
    scores = {name: oracle_scores(rows) for name, rows in (("train", train), ("test", test)) if len(rows)}
    return {
        "arguments": arguments,
        "counts": {
            "train_rows": len(train),
            "train_samples": len(once),
            "train_eegs": int(train["eeg_id"].nunique()),
            "train_patients": int(train["patient_id"].nunique()),
            "test_rows": len(test),
        },
        "class_means": shares,
        "scores": scores,
    }
