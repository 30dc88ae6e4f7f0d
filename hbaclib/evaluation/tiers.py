"""Scores by number of votes, with intervals from resampled patients.

Rows with at least 10 votes come from other annotators than the rest, and the test set has only such rows: scores of
different tiers are numbers on different scales, and nothing here lets them be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, VOTE_TIERS
from hbaclib.dataset.cells import at_rows, whole_numbers
from hbaclib.errors import ConfigError, DataError
from hbaclib.evaluation.metric import Shares, apply_floor, check_shares, kl_per_sample

N_RESAMPLES = 2000
FEW_PATIENTS = 100
"""With fewer patients than this an interval is marked as rough."""

TIERS = tuple(sorted(VOTE_TIERS, key=lambda tier: tier != ">=10"))
"""In the order of the tables: the test set's first."""

_FEWEST_FOR_ERRORS = 20
_SEED = 20240408


def tier_mask(n_votes: np.ndarray, tier: str) -> np.ndarray:
    """Rows of a tier of VOTE_TIERS, (n,) bool."""
    if tier not in VOTE_TIERS:
        raise ConfigError(f"no vote tier {tier!r}; expected one of {', '.join(VOTE_TIERS)}")
    lowest, highest = VOTE_TIERS[tier]
    votes, faults = whole_numbers(n_votes, "n_votes")
    if votes is None:
        raise DataError("; ".join(faults))
    return (votes >= (lowest or 1)) & (votes <= (np.inf if highest is None else highest))


def score_by_tier(
    targets: Shares,
    predictions: Shares,
    n_votes: np.ndarray,
    patients: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = _SEED,
) -> pd.DataFrame:
    """Score every vote tier with a 95 % interval from resampled patients.

    Args:
        targets: (n, 6) vote shares.
        predictions: (n, 6) predicted shares.
        n_votes: (n,) votes behind each row.
        patients: (n,) patient of each row; patients, not rows, are resampled, because rows of one patient are alike.
        n_resamples: number of bootstrap resamples.
        seed: of the resampling; same seed, same interval.

    Returns:
        One row per tier, the test set's first: tier, n, patients, kl, low, high, note (warns of few patients).

    Raises:
        DataError: naming every fault of the arguments.
    """
    _, losses, votes, patients = check_scored(targets, predictions, n_votes, patients)
    return pd.DataFrame([_score(losses, votes, patients, tier, n_resamples, seed) for tier in TIERS])


def compare_by_tier(
    targets: Shares,
    first: Shares,
    second: Shares,
    n_votes: np.ndarray,
    patients: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = _SEED,
) -> pd.DataFrame:
    """Paired comparison of two models on the same rows: the difference ``first - second`` and its 95 % interval.

    Returns:
        One row per tier: tier, n, patients, first, second, difference (negative: the first is better), low, high,
        first_better (share of resamples), note.
    """
    true, losses, votes, patients = check_scored(targets, first, n_votes, patients)
    others = kl_per_sample(true, second)
    rows = []
    for tier in TIERS:
        chosen = tier_mask(votes, tier)
        means = resampled_means((losses - others)[chosen], patients[chosen], n_resamples=n_resamples, seed=seed)
        score = _score(losses - others, votes, patients, tier, n_resamples, seed)
        sides = {"first": _mean(losses[chosen]), "second": _mean(others[chosen]), "first_better": _mean(means < 0)}
        rows.append(score | sides | {"difference": score["kl"]})
    columns = "tier n patients first second difference low high first_better note"
    return pd.DataFrame(rows)[columns.split()]


def score_by_class(targets: Shares, predictions: Shares, n_votes: np.ndarray, tier: str = ">=10") -> pd.DataFrame:
    """Score the rows of each plurality class: class, n, kl, and the class's share in targets and predictions."""
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    losses, chosen = kl_per_sample(true, predicted), tier_mask(n_votes, tier)
    if chosen.shape != losses.shape:
        raise DataError(f"n_votes: shape {chosen.shape}; expected {losses.shape}")
    plurality, classes = true.argmax(axis=1), range(len(CLASSES))
    masks = [chosen & (plurality == index) for index in classes]
    return pd.DataFrame(
        {
            "class": CLASSES,
            "n": [int(mask.sum()) for mask in masks],
            "kl": [_mean(losses[mask]) for mask in masks],
            "true_share": [_mean(true[chosen, index]) for index in classes],
            "predicted_share": [_mean(predicted[chosen, index]) for index in classes],
        }
    )


def score_by_fold(
    targets: Shares, predictions: Shares, n_votes: np.ndarray, patients: np.ndarray, folds: np.ndarray
) -> pd.DataFrame:
    """Score every fold and tier: fold, tier, n, patients, kl."""
    _, losses, votes, patients = check_scored(targets, predictions, n_votes, patients)
    fold_of, faults = whole_numbers(folds, "folds")
    if fold_of is None or fold_of.shape != losses.shape:
        raise DataError("; ".join(faults) or f"folds: shape {np.shape(folds)}; expected ({len(losses)},)")
    rows = []
    for fold in np.unique(fold_of):
        for tier in VOTE_TIERS:
            mask = (fold_of == fold) & tier_mask(votes, tier)
            counts = {"n": int(mask.sum()), "patients": len(np.unique(patients[mask]))}
            rows.append({"fold": int(fold), "tier": tier, **counts, "kl": _mean(losses[mask])})
    return pd.DataFrame(rows)


def class_mean_predictions(targets: Shares, folds: np.ndarray, n_votes: np.ndarray | None = None) -> np.ndarray:
    """Predict, for every row, the class mean of the *other* folds' rows: the baseline that a model must beat.

    Args:
        targets: (n, 6) vote shares.
        folds: (n,) fold of each row; at least two.
        n_votes: (n,) votes; with them the mean is taken over rows of the same tier (1-2, 3-9, >=10) only, which makes
            the baseline as hard as it can be.

    Returns:
        (n, 6) float64. Where the other folds have no row of the tier, the mean over all their rows.
    """
    true, fold_of = check_shares(targets, "targets"), np.asarray(folds)
    if pd.isna(fold_of).any():
        raise DataError("folds: missing values; expected the fold of every row")
    if len(fold_of) != len(true) or len(np.unique(fold_of)) < 2:
        raise DataError(f"folds: {len(fold_of)} values, {len(np.unique(fold_of))} folds; expected {len(true)}, >= 2")
    predictions = np.empty_like(true)
    masks = [np.ones(len(true), dtype=bool)]
    if n_votes is not None:
        masks += [tier_mask(n_votes, tier) for tier in VOTE_TIERS if tier != "all"]
    for fold in np.unique(fold_of):
        for mask in masks:
            elsewhere = mask & (fold_of != fold)
            if elsewhere.any():
                predictions[mask & (fold_of == fold)] = true[elsewhere].mean(axis=0)
    # A class that the other folds never saw gets the floor, as in a submission.
    return apply_floor(predictions)


def baseline_by_tier(targets: Shares, n_votes: np.ndarray, patients: np.ndarray, folds: np.ndarray) -> pd.DataFrame:
    """`score_by_tier` of the class-mean baseline of the training folds, each tier with its own mean."""
    return _judged(lambda mean: score_by_tier(targets, mean, n_votes, patients), targets, folds, n_votes)


def gain_over_baseline(
    targets: Shares, predictions: Shares, n_votes: np.ndarray, patients: np.ndarray, folds: np.ndarray
) -> pd.DataFrame:
    """`compare_by_tier` of predictions with the class-mean baseline of the training folds."""
    return _judged(lambda mean: compare_by_tier(targets, predictions, mean, n_votes, patients), targets, folds, n_votes)


def _judged(
    judge: Callable[[np.ndarray], pd.DataFrame], targets: Shares, folds: np.ndarray, n_votes: np.ndarray
) -> pd.DataFrame:
    """Every tier's row of a verdict on the class-mean baseline of the training folds."""
    # Over all rows one mean for all is the baseline: knowing a row's number of votes would be knowing too much.
    whole = judge(class_mean_predictions(targets, folds))
    own = judge(class_mean_predictions(targets, folds, n_votes))
    return own.where(own["tier"] != "all", whole)


def resampled_means(
    values: np.ndarray, groups: np.ndarray, *, n_resamples: int = N_RESAMPLES, seed: int = _SEED
) -> np.ndarray:
    """Means over resampled groups; groups are drawn as a whole, with replacement.

    Args:
        values: (n,), or (n, k) for k columns that are resampled together.
        groups: (n,) group of each row.
        n_resamples: number of resamples.
        seed: of the draws.

    Returns:
        (n_resamples,) or (n_resamples, k).
    """
    return _resample(values, groups, n_resamples, seed)[0] if len(values) else np.empty((0, *values.shape[1:]))


def mean_interval(
    values: np.ndarray, groups: np.ndarray, *, n_resamples: int = N_RESAMPLES, seed: int = _SEED
) -> tuple[Any, Any]:
    """95 % interval of the mean by resampling whole groups.

    Resampled means are measured in their own standard errors (bootstrap-t): with some hundred patients of unequal
    numbers of rows and skewed losses, plain quantiles of the means cover too seldom. Fewer than 20 groups have no
    standard error worth the name; there the plain quantiles are taken.

    Args:
        values: (n,), or (n, k) columns.
        groups: (n,) group of each row.
        n_resamples: number of resamples.
        seed: of the draws.

    Returns:
        Lower and upper bound, numbers or (k,) arrays; NaN without values.

    Source: Efron, Nonparametric standard errors and confidence intervals (1981).
    """
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(plausible_means(values, groups, n_resamples=n_resamples, seed=seed), [0.025, 0.975], axis=0)
    return (float(low), float(high)) if values.ndim == 1 else (low, high)


def plausible_means(
    values: np.ndarray, groups: np.ndarray, *, n_resamples: int = N_RESAMPLES, seed: int = _SEED
) -> np.ndarray:
    """What the true mean may be, as draws whose quantiles are the bounds of `mean_interval`; arguments as there.

    To the draws those of another, independent cause of doubt can be added.

    Returns:
        (n_resamples,) or (n_resamples, k); none without values.
    """
    if not len(values):
        return np.empty((0, *values.shape[1:]))
    means, errors = _resample(values, groups, n_resamples, seed)
    n_groups = len(np.unique(groups))
    if n_groups < _FEWEST_FOR_ERRORS:
        return means
    centre, (_, error) = values.mean(axis=0), _ratio(*_sums(values, groups), np.ones((1, n_groups)))
    # Mirrored: what lies far above the mean in the resamples bounds it from below.
    return centre - (means - centre) / np.maximum(errors, 1e-300) * error[0]


def _resample(values: np.ndarray, groups: np.ndarray, n_resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of resampled groups and their standard errors."""
    means, errors = (np.empty((n_resamples, *values.shape[1:])) for _ in range(2))
    sums, counts = _sums(values, groups)
    n_groups, rng = len(counts), np.random.default_rng(seed)
    # In blocks, so that memory stays flat with thousands of patients.
    block = max(1, 4_000_000 // n_groups)
    for start in range(0, n_resamples, block):
        stop = min(start + block, n_resamples)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=stop - start).astype(np.float64)
        means[start:stop], errors[start:stop] = _ratio(sums, counts, drawn)
    return means, errors


def _sums(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values and number of rows of each group."""
    _, index = np.unique(groups, return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, index, values)
    return sums, counts


def _ratio(sums: np.ndarray, counts: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over rows, and its standard error, for each (n_resamples, n_groups) draw of groups."""
    columns = (slice(None),) + (None,) * (sums.ndim - 1)
    rows = (drawn @ counts)[columns]
    counts = counts[columns]
    # Around the overall mean, where the squares do not cancel.
    overall = sums.sum(axis=0) / counts.sum()
    rest = sums - overall * counts
    shift = (drawn @ rest) / rows
    squares = drawn @ rest**2 - 2 * shift * (drawn @ (rest * counts)) + shift**2 * (drawn @ counts**2)
    n_groups = len(sums)
    errors = np.sqrt(np.maximum(squares, 0) * n_groups / max(n_groups - 1, 1)) / rows
    return overall + shift, errors


def _score(
    losses: np.ndarray, votes: np.ndarray, patients: np.ndarray, tier: str, n_resamples: int, seed: int
) -> dict[str, Any]:
    """A tier's row of `score_by_tier`."""
    chosen = tier_mask(votes, tier)
    values, patients = losses[chosen], patients[chosen]
    n_patients = len(np.unique(patients))
    low, high = mean_interval(values, patients, n_resamples=n_resamples, seed=seed)
    scores = {"n": len(values), "patients": n_patients, "kl": _mean(values), "low": low, "high": high}
    return {"tier": tier, **scores, "note": patients_note(n_patients)}


def patients_note(n_patients: int) -> str:
    """What a reader must know of an interval over so many patients; empty where there are enough."""
    if not n_patients:
        return "no samples"
    rough = f"only {n_patients} patients: the interval is rough and likely too narrow"
    return rough if n_patients < FEW_PATIENTS else ""


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def check_scored(
    targets: Shares, predictions: Shares, n_votes: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Check the arguments of `score_by_tier`.

    Returns:
        (n, 6) targets, (n,) losses, (n,) votes, (n,) patients, the latter such that they can be sorted.

    Raises:
        DataError: naming every fault.
    """
    losses = kl_per_sample(targets, predictions)
    votes, groups = np.asarray(n_votes), np.asarray(patients)
    faults = [
        f"{name}: shape {values.shape}; expected ({len(losses)},)"
        for name, values in {"n_votes": votes, "patients": groups}.items()
        if values.shape != losses.shape
    ]
    if votes.shape == losses.shape:
        whole, more = whole_numbers(n_votes, "n_votes")
        faults += more
        votes = votes if whole is None else whole
        if whole is not None and (bad := whole < 1).any():
            faults.append(f"n_votes: {int(bad.sum())} values below 1; every sample has at least one vote")
    if groups.shape == losses.shape:
        faults += at_rows(pd.isna(groups), "patients: missing, expected the patient of every row")
    if faults:
        raise DataError("; ".join(faults))
    if groups.dtype == object and len({type(patient) for patient in groups}) > 1:  # which have no order
        groups = pd.factorize(groups)[0]
    return check_shares(targets, "targets"), losses, votes, groups
