"""Choosing and fitting a pool on some folds only, each fit made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hbaclib.ensemble.data import EnsembleData, clustered_error
from hbaclib.ensemble.pooling import Members, Pool, fit_pool
from hbaclib.ensemble.weights import check_weights
from hbaclib.errors import ConfigError, list_some
from hbaclib.evaluation.metric import divergence

GIVEN = "given weights"
FEW_GROUPS = 10
"""With fewer groups (patients) than this to judge by, the simplest kind is taken."""


class Search:
    """Fits of every kind without some folds, each made once.

    Attributes:
        data: what is fitted.
        kinds: kinds to choose from, the simplest first.
        all_folds: folds of the data.
    """

    def __init__(self, data: EnsembleData, kinds: Sequence[str]):
        self.data, self.kinds = data, list(kinds)
        self.all_folds = [int(fold) for fold in np.unique(data.folds)]
        self.members = Members.of(data.shares)
        self._pools: dict[tuple[frozenset[int], int], dict[str, Pool]] = {}

    def fit(self, kind: str, without: frozenset[int], part: int = -1) -> Pool:
        """Fit on the rows of all folds but some (and but one part of the groups, where ``part`` is not -1)."""
        pools = self._pools.setdefault((without, part), {})
        if kind not in pools:
            rows = self._training_rows(without, part)
            self._fit_rows([kind] if pools else self.kinds, rows, pools)
        return pools[kind]

    def _fit_rows(self, kinds: Sequence[str], rows: np.ndarray, pools: dict[str, Pool]) -> None:
        members, targets = self.members.take(rows), self.data.targets[rows]
        for kind in kinds:
            # A calibrated kind starts from the weights of the uncalibrated one, which it shares.
            start = pools.get(kind.removesuffix(", calibrated"))
            pools[kind] = fit_pool(kind, members, targets, start)

    def choose(self, folds: Sequence[int]) -> tuple[str, pd.DataFrame]:
        """Kind for these folds: the simplest within one paired standard error of the best, cross-fitted over them."""
        excluded = frozenset(self.all_folds) - frozenset(folds)
        if len(folds) > 1:
            parts = [(excluded | {fold}, -1, self.data.fitted & (self.data.folds == fold)) for fold in folds]
        else:
            # One training fold only: its groups are parted instead.
            part_of = self._part_of_group()
            inside = self.data.fitted & (self.data.folds == folds[0])
            parts = [(excluded, part, inside & (part_of == part)) for part in np.unique(part_of[inside])]
        rows = np.concatenate([np.flatnonzero(mask) for _, _, mask in parts])
        judged = [self._losses(*part) for part in parts]
        losses = {kind: np.concatenate([part[kind] for part in judged]) for kind in self.kinds}
        return _simplest_within_one_error(losses, self.data.groups[rows])

    def _losses(self, without: frozenset[int], part: int, mask: np.ndarray) -> dict[str, np.ndarray]:
        judged, targets = self.members.take(mask), self.data.targets[mask]
        return {kind: divergence(targets, self.fit(kind, without, part).apply(judged)) for kind in self.kinds}

    def _part_of_group(self, parts: int = 5) -> np.ndarray:
        _, group = np.unique(self.data.groups, return_inverse=True)
        shuffled = np.random.default_rng(0).permutation(group.max() + 1)
        return shuffled[group] % parts

    def _training_rows(self, without: frozenset[int], part: int) -> np.ndarray:
        rows = self.data.fitted & ~np.isin(self.data.folds, list(without))
        return rows if part < 0 else rows & (self._part_of_group() != part)

    def leave_one_out(self, kind: str) -> np.ndarray:
        """How much the cross-fitted score of ``kind`` rises without each model, (m,)."""
        data, total = self.data, int(self.data.fitted.sum())
        added = np.zeros(len(data.shares))
        for fold in self.all_folds:
            without = frozenset({fold})
            pool, rows = self.fit(kind, without), self._training_rows(without, -1)
            mask = data.fitted & (data.folds == fold)
            training, judged = self.members.take(rows), self.members.take(mask)
            loss = divergence(data.targets[mask], pool.apply(judged)).sum()
            # A model that the fit gives no weight can be taken away without moving the optimum.
            for model in np.flatnonzero(pool.weights):
                smaller = fit_pool(kind, training, data.targets[rows], pool, left_out=int(model))
                added[model] += divergence(data.targets[mask], smaller.apply(judged)).sum() - loss
        return added / total


class _Given(Search):
    """The same questions for weights that the user gave: nothing is fitted."""

    def __init__(self, data: EnsembleData, weights: np.ndarray):
        super().__init__(data, [GIVEN])
        self._given = weights

    def _fit_rows(self, kinds: Sequence[str], rows: np.ndarray, pools: dict[str, Pool]) -> None:
        pools[GIVEN] = Pool(self._given)

    def leave_one_out(self, kind: str) -> np.ndarray:
        data, rows = self.data, self.data.fitted
        shares = data.shares[:, rows]
        loss = divergence(data.targets[rows], Pool(self._given).apply(shares)).mean()
        added = np.zeros(len(shares))
        for model in np.flatnonzero(self._given):
            weights = np.where(np.arange(len(shares)) == model, 0.0, self._given)
            if weights.sum() > 0:
                pooled = Pool(weights / weights.sum()).apply(shares)
                added[model] = divergence(data.targets[rows], pooled).mean() - loss
        return added


def given_weights(data: EnsembleData, small: EnsembleData, weights: Mapping[str, float] | Sequence[float]) -> Search:
    """A search whose answer is what the user gave.

    Raises:
        ConfigError: an unknown model, a wrong number of weights, negative or all zero ones.
    """
    if isinstance(weights, Mapping):
        if unknown := [name for name in weights if name not in data.names]:
            raise ConfigError(f"weights for unknown models: {list_some(unknown)}; there are {list_some(data.names)}")
        named = {name: float(weights.get(name, 0.0)) for name in data.names}
    elif len(weights) != len(data.names):
        raise ConfigError(f"{len(weights)} weights for {len(data.names)} models; expected as many")
    else:
        named = dict(zip(data.names, map(float, weights), strict=True))
    lost = {name: weight for name, weight in named.items() if weight and name not in small.names}
    check_weights("weights", list(named.values()), data.names)
    if lost:
        raise ConfigError(f"weights {named}: {list_some(lost)} was dropped as a duplicate")
    values = np.array([named[name] for name in small.names])
    return _Given(small, values / values.sum())


def _simplest_within_one_error(losses: Mapping[str, np.ndarray], groups: np.ndarray) -> tuple[str, pd.DataFrame]:
    means = {kind: float(values.mean()) for kind, values in losses.items()}
    best = min(means, key=lambda kind: means[kind])
    rows = []
    for kind, values in losses.items():
        error = clustered_error(values - losses[best], groups)
        rows.append({"kind": kind, "kl": means[kind], "behind": means[kind] - means[best], "standard_error": error})
    table = pd.DataFrame(rows)
    # The error of a handful of groups is itself mostly chance: nothing but the simplest can be argued for then.
    few = len(np.unique(groups)) < FEW_GROUPS
    chosen = 0 if few else table.index[table["behind"] <= table["standard_error"]][0]
    table["chosen"] = table.index == chosen
    return str(table.loc[chosen, "kind"]), table
