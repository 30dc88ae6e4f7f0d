"""What training minimises, and how rows are weighed by their votes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hbaclib.conventions import CLASSES

FULL_WEIGHT_VOTES = 20
"""Number of votes from which a row has its full weight (the expert group that labelled the test set has 20 members)."""


def smooth_targets(targets: np.ndarray, amount: float) -> np.ndarray:
    """Spread a share of every target evenly over the classes.

    Args:
        targets: (n, 6) shares that sum to 1.
        amount: the share, 0 <= amount < 1.
    """
    return (targets * (1 - amount) + amount / len(CLASSES)).astype(np.float32)


def smooth_votes(targets: np.ndarray, n_votes: np.ndarray, added: float, up_to: int = 0) -> np.ndarray:
    """Add pseudo-votes to every class before the votes are made shares: few votes are smoothed more than many.

    Args:
        targets: (n, 6) shares that sum to 1.
        n_votes: (n,) votes behind each row.
        added: pseudo-votes for each class, 0 or more.
        up_to: only rows with at most so many votes; 0 is all rows.

    Returns:
        (n, 6) shares that sum to 1.

    Source: label smoothing of the public ResNet1D-GRU notebooks of the competition (2024).
    """
    n_votes = np.asarray(n_votes, np.float64)[:, None]
    smoothed = (targets * n_votes + added) / (n_votes + added * len(CLASSES))
    return np.where((n_votes <= up_to) | (not up_to), smoothed, targets)


def vote_weights(n_votes: np.ndarray, mode: str) -> np.ndarray:
    """Weight of every row in the loss, with mean 1.

    Args:
        n_votes: (n,) number of votes of each row.
        mode: ``votes`` (in proportion to the votes, up to 20) or ``none``.

    Returns:
        (n,) float32.

    Source: weights by number of voters, as in the winning solutions of the competition (facts collected 2024).
    """
    n_votes = np.asarray(n_votes)
    weights = np.minimum(n_votes, FULL_WEIGHT_VOTES) if mode == "votes" else np.ones(len(n_votes))
    return (weights / weights.mean()).astype(np.float32)


def kl_loss(targets: Any, predictions: Any) -> Any:
    """Kullback-Leibler divergence of each row, as a tensor in float32.

    Clipped at 1e-7 as `keras.losses.KLDivergence` is, so it is the training loss and not the official score.

    Args:
        targets: (b, 6) shares.
        predictions: (b, 6) probabilities.

    Returns:
        (b,) float32.
    """
    from keras import ops

    targets = ops.clip(ops.cast(targets, "float32"), 1e-7, 1)
    predictions = ops.clip(ops.cast(predictions, "float32"), 1e-7, 1)
    return ops.sum(targets * ops.log(targets / predictions), axis=-1)
