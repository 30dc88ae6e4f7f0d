"""Ensembles of models, with a score that no row contributed to both as teacher and as judge."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hbaclib.conventions import CLASSES
from hbaclib.ensemble.data import EnsembleData, ensemble_data, implausible, without_duplicates
from hbaclib.ensemble.pooling import KINDS, Pool
from hbaclib.ensemble.selection import Search, checked_weights
from hbaclib.errors import ConfigError, DataError, list_some
from hbaclib.evaluation.metric import divergence, share_faults
from hbaclib.evaluation.tiers import mean_interval


@dataclass(frozen=True)
class Ensemble:
    """A rule that pools the predictions of named models.

    Attributes:
        names: m model names, as in the fit.
        kind: one of pooling.KINDS, or "fixed weights".
        pool: weights (m,), 0 for a dropped model; temperature and biases.
    """

    names: tuple[str, ...]
    kind: str
    pool: Pool

    @property
    def weights(self) -> dict[str, float]:
        """Model name -> weight."""
        return dict(zip(self.names, map(float, self.pool.weights), strict=True))

    def predict(self, predictions: np.ndarray, names: Sequence[str] | None = None) -> np.ndarray:
        """Pool the models' predictions.

        Args:
            predictions: (m, n, 6) shares.
            names: the models that they come from, in their order; some of the ensemble's, whose weights are then
                rescaled to sum to 1. None: all, in the ensemble's order.

        Returns:
            (n, 6) float64 shares.

        Raises:
            DataError: naming every model whose shares are faulty.
            ConfigError: a name is not in the ensemble, or the named models have no weight.
        """
        names = self.names if names is None else tuple(names)
        if unknown := [name for name in names if name not in self.names]:
            raise ConfigError(f"not in the ensemble: {list_some(unknown)}; it has {list_some(self.names)}")
        shares = _checked_predictions(predictions, names)
        weights = self.pool.weights[[self.names.index(name) for name in names]]
        if weights.sum() <= 0:
            raise ConfigError(f"the models {list_some(names)} have no weight in the ensemble {self.weights}")
        return replace(self.pool, weights=weights / weights.sum()).apply(shares)


@dataclass(frozen=True)
class EnsembleFit(Ensemble):
    """An ensemble with the evidence for it.

    Attributes:
        oof: (n, 6) nested predictions: a fold's come from a rule chosen and fitted without that fold.
        score: mean divergence of ``oof`` on the rows that the fit is for (see ``tier``).
        tier: ">=10" if votes are known and every fold has such rows, else "all".
        table: one row per model: name, weight, kl (alone), low, high, adds (how much the score rises without it),
            note.
        candidates: one row per kind: kind, kl (cross-fitted), behind (the best), standard_error (paired), chosen.
        fold_kinds: fold -> the kind chosen without it.
        prior: (6,) class means of the rows that the fit is for: the guess where nothing can be predicted.
        notes: what the reader must know: dropped, implausible, tier.
    """

    oof: np.ndarray
    score: float
    tier: str
    table: pd.DataFrame
    candidates: pd.DataFrame
    fold_kinds: dict[int, str]
    prior: np.ndarray
    notes: tuple[str, ...]


def fit_ensemble(
    predictions: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    n_votes: np.ndarray | None = None,
    *,
    kinds: Sequence[str] | None = None,
    weights: Mapping[str, float] | Sequence[float] | None = None,
    leave_one_out: bool = True,
) -> EnsembleFit:
    """Choose and fit an ensemble of out-of-fold predictions, and score it nested.

    For every fold, kind and weights are decided on the other folds alone: each kind is cross-fitted over them, and the
    simplest within one paired standard error (over patients) of the best is fitted to all of them. The final rule is
    made the same way from all folds.

    Args:
        predictions: (m, n, 6) out-of-fold shares.
        targets: (n, 6) vote shares.
        folds: (n,) fold of each row, 0 .. K-1.
        groups: (n,) patients; none may lie in two folds. None: every row is its own group.
        names: m model names. None: "model 0", ...
        n_votes: (n,) votes. With them the ensemble is fitted and scored on rows with at least 10, as in the test set.
        kinds: kinds to choose from. None: all of pooling.KINDS.
        weights: fixed weights by name or in order; nothing is then fitted.
        leave_one_out: also compute what each model adds.

    Returns:
        The ensemble, its nested predictions, score and tables.

    Raises:
        DataError: naming every fault: shapes, NaN or rows not summing to 1 (by model), a fold without rows.
        LeakError: a group lies in two folds.
        ConfigError: an unknown kind, or impossible weights.
    """
    data = ensemble_data(predictions, targets, folds, groups, names, n_votes)
    if unknown := [kind for kind in kinds or () if kind not in KINDS]:
        raise ConfigError(f"no ensemble of kind {list_some(unknown)}; expected some of: {'; '.join(KINDS)}")
    chosen_kinds = [kind for kind in KINDS if kinds is None or kind in kinds]
    notes = list(data.notes)

    kept = without_duplicates(data)
    if dropped := [name for index, name in enumerate(data.names) if index not in kept]:
        notes.append(f"dropped as duplicates of another model: {list_some(dropped)}")
    notes += implausible(data, kept)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)

    small = replace(data, shares=data.shares[kept], names=tuple(data.names[index] for index in kept))
    if len(kept) == 1:
        # Of one model every pool is that model: only the calibration is open.
        chosen_kinds = [k for k in chosen_kinds if k in KINDS[::2][:2]] or [KINDS[0]]
    fixed = None if weights is None else checked_weights(weights, data.names, small.names)
    search = Search(small, chosen_kinds, fixed)
    # One thread: the products are too small to share, and sums in one order give the same weights on every machine.
    with threadpool_limits(1, "blas"):
        kind, candidates = search.choose(search.all_folds)
        pool = search.fit(kind, frozenset())

        oof = np.empty_like(data.targets)
        fold_kinds = {}
        for fold in search.all_folds:
            fold_kinds[fold], _ = search.choose([other for other in search.all_folds if other != fold])
            rows = data.folds == fold
            oof[rows] = search.fit(fold_kinds[fold], frozenset({fold})).apply(small.shares[:, rows])
        score = float(divergence(data.targets, oof)[data.fitted].mean())
        adds = search.leave_one_out(kind) if leave_one_out and len(kept) > 1 else np.full(len(kept), np.nan)
    return EnsembleFit(
        names=data.names,
        kind=kind,
        pool=replace(pool, weights=_spread(pool.weights, kept, len(data.names))),
        oof=oof,
        score=score,
        tier=data.tier,
        table=_table(data, kept, pool.weights, adds, notes),
        candidates=candidates,
        fold_kinds=fold_kinds,
        prior=data.targets[data.fitted].mean(axis=0),
        notes=tuple(notes),
    )


def _table(
    data: EnsembleData, kept: Sequence[int], weights: np.ndarray, adds: np.ndarray, notes: Sequence[str]
) -> pd.DataFrame:
    spread, added = _spread(weights, kept, len(data.names)), _spread(adds, kept, len(data.names), np.nan)
    losses = np.stack([divergence(data.targets, shares)[data.fitted] for shares in data.shares], axis=1)
    low, high = mean_interval(losses, data.groups[data.fitted])
    remarks = ["" if index in kept else "duplicate" for index in range(len(data.names))]
    for index, name in enumerate(data.names):
        if any(text.startswith(f"{name}: ") and "implausible" in text for text in notes):
            remarks[index] = "implausible"
    kl = [float(losses[:, index].mean()) for index in range(len(data.names))]
    table = pd.DataFrame(
        {"name": data.names, "weight": spread, "kl": kl, "low": low, "high": high, "adds": added, "note": remarks}
    )
    return table.sort_values(["weight", "kl"], ascending=[False, True], ignore_index=True)


def _spread(values: np.ndarray, kept: Sequence[int], total: int, empty: float = 0.0) -> np.ndarray:
    full = np.full(total, empty)
    full[list(kept)] = values
    return full


def _checked_predictions(predictions: np.ndarray, names: Sequence[str]) -> np.ndarray:
    shares = np.asarray(predictions, dtype=np.float64)
    if shares.ndim != 3 or shares.shape[0] != len(names) or shares.shape[2] != len(CLASSES) or not shares.shape[1]:
        raise DataError(f"predictions: shape {shares.shape}; expected ({len(names)}, n, {len(CLASSES)})")
    faults = [fault for name, values in zip(names, shares, strict=True) for fault in share_faults(values, name)]
    if faults:
        raise DataError("; ".join(faults))
    return shares
