"""What an ensemble is fitted to: checked, its duplicates found, its models held against what chance allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hbaclib.conventions import CLASSES, MANY_VOTES
from hbaclib.dataset.folds import audit_held_out
from hbaclib.errors import DataError, list_some
from hbaclib.evaluation.calibration import vote_sampling_loss
from hbaclib.evaluation.metric import divergence, share_faults

_SAME = 1 - 1e-9
_MOST_VOTES = 28
"""Most votes of a row in the competition; where votes are not known, the floor is computed as if all had so many."""


@dataclass(frozen=True)
class EnsembleData:
    """Checked arguments of a fit.

    Attributes:
        shares: (m, n, 6) float64.
        targets: (n, 6) float64.
        folds, groups, n_votes: (n,).
        names: m.
        fitted: (n,) bool, the rows that are fitted and scored.
        tier: what these rows are.
        notes: what the reader must know of that.
    """

    shares: np.ndarray
    targets: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...]
    n_votes: np.ndarray
    fitted: np.ndarray
    tier: str
    notes: tuple[str, ...]


def ensemble_data(
    predictions: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray | None,
    names: Sequence[str] | None,
    n_votes: np.ndarray | None,
) -> EnsembleData:
    """Check the arguments of `fit_ensemble`; its docstring says what is refused."""
    shape = np.shape(predictions)
    if len(shape) != 3 or shape[2] != len(CLASSES) or 0 in shape:
        raise DataError(f"predictions: shape {shape}; expected (models, samples, {len(CLASSES)}), none of them 0")
    labels = tuple(str(name) for name in names) if names is not None else tuple(f"model {i}" for i in range(shape[0]))
    true, fold_of = np.asarray(targets, dtype=np.float64), np.asarray(folds)
    patients = np.arange(shape[1]) if groups is None else np.asarray(groups)
    votes = np.full(shape[1], _MOST_VOTES) if n_votes is None else np.asarray(n_votes)
    faults = []
    if len(labels) != shape[0] or len(set(labels)) != len(labels):
        faults.append(f"names: {list_some(labels)}; expected {shape[0]} different names")
    shares = np.asarray(predictions, dtype=np.float64)
    if len(labels) == shape[0]:
        faults += [fault for name, values in zip(labels, shares, strict=True) for fault in share_faults(values, name)]
    faults += (
        share_faults(true, "targets")
        if true.shape == shape[1:]
        else [f"targets: shape {true.shape}; expected {shape[1:]}"]
    )
    for what, values in {"folds": fold_of, "groups": patients, "n_votes": votes}.items():
        if values.shape != shape[1:2]:
            faults.append(f"{what}: shape {values.shape}; expected {shape[1:2]}")
    if fold_of.shape == shape[1:2]:
        faults += _fold_faults(fold_of)
    if faults:
        raise DataError("; ".join(faults))
    audit_held_out(patients, fold_of)
    fitted, tier, notes = np.ones(shape[1], dtype=bool), "all", []
    if n_votes is not None:
        many = votes >= MANY_VOTES
        bare = [fold for fold in np.unique(fold_of) if not many[fold_of == fold].any()]
        if bare:
            notes.append(
                f"no rows with {MANY_VOTES} or more votes in fold {list_some(bare)}: fitted and scored on rows of all"
                " votes, another scale than the test set's"
            )
        else:
            fitted, tier = many, ">=10"
    return EnsembleData(shares, true, fold_of.astype(int), patients, labels, votes, fitted, tier, tuple(notes))


def _fold_faults(folds: np.ndarray) -> list[str]:
    if not np.issubdtype(folds.dtype, np.integer) or (folds < 0).any():
        return [f"folds: values {list_some(np.unique(folds), 5)}; expected integers from 0"]
    found = np.unique(folds)
    faults = [f"fold {fold} has no rows" for fold in range(int(found.max()) + 1) if fold not in found]
    if len(found) < 2:
        faults.append("only one fold has rows; a nested score needs at least two")
    return faults


def without_duplicates(data: EnsembleData) -> list[int]:
    """Numbers of the models that differ from every earlier one."""
    flat = data.shares.reshape(len(data.shares), -1)
    with np.errstate(invalid="ignore"):  # what is the same everywhere correlates with nothing
        same = np.atleast_2d(np.corrcoef(flat)) > _SAME
    kept: list[int] = []
    for model in range(len(flat)):
        if not any(same[model, other] or np.array_equal(flat[model], flat[other]) for other in kept):
            kept.append(model)
    return kept


def implausible(data: EnsembleData, kept: Sequence[int]) -> list[str]:
    """Name models that are better than votes by chance allow: they have most likely seen their targets."""
    floor = vote_sampling_loss(data.targets, data.n_votes)[data.fitted]
    groups, notes = data.groups[data.fitted], []
    for model in kept:
        loss = divergence(data.targets, data.shares[model])[data.fitted]
        excess = loss - floor
        if excess.mean() < -3 * clustered_error(excess, groups) and excess.mean() < -1e-6:
            notes.append(
                f"{data.names[model]}: score {loss.mean():.4f} is implausible: chance in the votes alone costs a"
                f" perfect model at least about {floor.mean():.4f}; it has most likely seen these targets"
            )
    return notes


def clustered_error(values: np.ndarray, groups: np.ndarray) -> float:
    """Standard error of the mean of ``values`` when rows of one group are alike."""
    _, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, weights=values - values.mean())
    count = len(sums)
    return float(np.sqrt(np.sum(sums**2) * count / max(count - 1, 1)) / len(values))
