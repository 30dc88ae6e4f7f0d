"""Calibration, and how good a score can be at all when the truth is a finite number of votes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import binom

from hbaclib.conventions import CLASSES
from hbaclib.errors import DataError
from hbaclib.evaluation.metric import EPSILON, Shares, check_shares

N_BINS = 10
_LEAST_SLOPE = 0.02


def vote_sampling_loss(shares: Shares, n_votes: np.ndarray) -> np.ndarray:
    """Expected divergence of each row for a model that knows the shares behind the votes.

    If ``n`` experts vote independently with probabilities q, their shares y differ from q by chance, and even the
    prediction q costs E[KL(y || q)] = sum_c (E[y_c ln y_c] - q_c ln q_c), where n y_c is binomial.

    Args:
        shares: (n, 6) vote probabilities.
        n_votes: (n,) number of votes.

    Returns:
        (n,) expected losses. With the *observed* shares as q this is a lower estimate of the floor (votes that
        happened to agree look certain); with a model's shares it is exact if the model were right.
    """
    q, votes = check_shares(shares, "shares"), np.asarray(n_votes)
    if votes.shape != (len(q),) or (votes < 1).any():
        raise DataError(f"n_votes: shape {votes.shape}, least {votes.min(initial=0)}; expected ({len(q)},), at least 1")
    loss = -np.sum(q * np.log(np.clip(q, EPSILON, 1)), axis=1)
    for n in np.unique(votes):
        rows = votes == n
        counts = np.arange(1, int(n) + 1)
        y = counts / n
        probability = binom.pmf(counts, int(n), q[rows][:, :, None])
        loss[rows] += np.sum(probability * (y * np.log(y)), axis=(1, 2))
    return np.maximum(loss, 0.0)


def reliability(targets: Shares, predictions: Shares, n_bins: int = N_BINS) -> pd.DataFrame:
    """Mean predicted and mean true share in bins of the predicted share, for each class.

    Returns:
        class, bin, low, high (bounds of the bin), n, predicted, observed; empty bins are left out.
    """
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    edges = np.linspace(0, 1, n_bins + 1)
    rows = []
    for index, name in enumerate(CLASSES):
        bins = np.minimum((predicted[:, index] * n_bins).astype(int), n_bins - 1)
        for number in np.unique(bins):
            inside = bins == number
            rows.append(
                {
                    "class": name,
                    "bin": int(number),
                    "low": edges[number],
                    "high": edges[number + 1],
                    "n": int(inside.sum()),
                    "predicted": float(predicted[inside, index].mean()),
                    "observed": float(true[inside, index].mean()),
                }
            )
    return pd.DataFrame(rows)


def expected_calibration_error(targets: Shares, predictions: Shares, n_bins: int = N_BINS) -> pd.Series:
    """Mean gap between predicted and true share over the bins of `reliability`, per class and their mean ("all")."""
    table = reliability(targets, predictions, n_bins)
    gap = (table["predicted"] - table["observed"]).abs() * table["n"]
    per_class = gap.groupby(table["class"]).sum() / table.groupby("class")["n"].sum()
    per_class = per_class.reindex(list(CLASSES))
    return pd.concat([per_class, pd.Series({"all": per_class.mean()})]).rename("expected_calibration_error")


def best_temperature(targets: Shares, predictions: Shares) -> tuple[float, dict[str, float]]:
    """Temperature and class biases that would suit the predictions best; above 1 means over-confident predictions."""
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    temperature, biases = fit_calibration(np.log(np.clip(predicted, EPSILON, 1)), true)
    return temperature, dict(zip(CLASSES, map(float, biases), strict=True))


def unanimous_disagreements(
    targets: Shares, predictions: Shares, n_votes: np.ndarray, min_votes: int = 3
) -> pd.DataFrame:
    """Samples whose experts all agree on one class while the model's plurality is another, worst first.

    Returns:
        row (number in the arrays), n_votes, experts, model, share (the model's, of the experts' class), loss.
    """
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    truth, guess = true.argmax(axis=1), predicted.argmax(axis=1)
    share = predicted[np.arange(len(true)), truth]
    chosen = np.flatnonzero((true.max(axis=1) > 1 - 1e-6) & (truth != guess) & (np.asarray(n_votes) >= min_votes))
    chosen = chosen[np.argsort(share[chosen], kind="stable")]
    return pd.DataFrame(
        {
            "row": chosen,
            "n_votes": np.asarray(n_votes)[chosen],
            "experts": np.array(CLASSES)[truth[chosen]],
            "model": np.array(CLASSES)[guess[chosen]],
            "share": share[chosen],
            "loss": -np.log(np.clip(share[chosen], EPSILON, 1)),
        }
    )


def fit_calibration(logs: np.ndarray, targets: np.ndarray, start: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Fit softmax(logs / temperature + biases) to the targets.

    A unit normal prior on the biases and on 1 / temperature (around 1), worth one row, keeps a class without votes
    finite.

    Args:
        logs: (n, 6) logarithms of predicted shares.
        targets: (n, 6) vote shares.
        start: (7,) 1 / temperature and biases to start from.

    Returns:
        temperature and (6,) biases that sum to 0.
    """
    n, prior = len(logs), np.r_[1.0, np.zeros(len(CLASSES))]
    # Sums over the class are quick along the first axis of two, slow along a last one of six.
    z, y = np.ascontiguousarray(logs.T), np.ascontiguousarray(targets.T)

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        fitted = log_softmax(z * x[0] + x[1:, None], axis=0)
        value = -np.vdot(y, fitted) + np.sum((x - prior) ** 2) / 2
        excess = np.exp(fitted) - y
        return float(value / n), (np.r_[np.vdot(excess, z), excess.sum(axis=1)] + x - prior) / n

    # 1 / temperature stays positive: a model worse than chance is flattened, not turned round.
    x = minimize(
        evaluate,
        prior if start is None else start,
        jac=True,
        method="SLSQP",
        bounds=[(_LEAST_SLOPE, None), *[(None, None)] * len(CLASSES)],
        options={"ftol": 1e-12},
    ).x
    return float(1 / x[0]), x[1:] - x[1:].mean()
