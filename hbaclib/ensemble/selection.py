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

FIXED = "fixed weights"
FEW_GROUPS = 10
"""With fewer groups (patients) than this to judge by, the simplest kind is taken."""


class Search:
    """Fits of every kind without some folds, each made once.

    Attributes:
        data: what is fitted.
        kinds: kinds to choose from, the simplest first.
        fixed: weights that the user has set; then nothing is fitted, and FIXED is the only kind.
        all_folds: folds of the data.
    """

    def __init__(self, data: EnsembleData, kinds: Sequence[str], fixed: np.ndarray | None = None):
        self.data, self.kinds, self.fixed = data, list(kinds) if fixed is None else [FIXED], fixed
        self.all_folds = [int(fold) for fold in np.unique(data.folds)]
        self.members = Members.of(data.shares)
        self._pools: dict[tuple[frozenset[int], int], dict[str, Pool]] = {}

    def fit(self, kind: str, without: frozenset[int], part: int = -1) -> Pool:
        """Fit on the rows of all folds but some (and but one part of the groups, where ``part`` is not -1)."""
        if self.fixed is not None:
            return Pool(self.fixed)
        pools = self._pools.setdefault((without, part), {})
        if kind not in pools:
            rows = self._training_rows(without, part)
            members, targets = self.members.take(rows), self.data.targets[rows]
            for each in [kind] if pools else self.kinds:
                # A calibrated kind starts from the weights of the uncalibrated one, which it shares.
                pools[each] = fit_pool(each, members, targets, pools.get(each.removesuffix(", calibrated")))
        return pools[kind]

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
                if self.fixed is None:
                    smaller = fit_pool(kind, training, data.targets[rows], pool, left_out=int(model))
                elif (others := np.where(np.arange(len(added)) == model, 0.0, self.fixed)).any():
                    smaller = Pool(others / others.sum())
                else:
                    continue
                added[model] += divergence(data.targets[mask], smaller.apply(judged)).sum() - loss
        return added / total


def checked_weights(
    weights: Mapping[str, float] | Sequence[float], names: Sequence[str], kept: Sequence[str]
) -> np.ndarray:
    """Fixed weights of the models that are kept, in their order, with the sum 1.

    Raises:
        ConfigError: an unknown model, a wrong number of weights, negative or all zero ones, one of a dropped model.
    """
    if isinstance(weights, Mapping):
        if unknown := [name for name in weights if name not in names]:
            raise ConfigError(f"weights for unknown models: {list_some(unknown)}; there are {list_some(names)}")
        weights = [weights.get(name, 0.0) for name in names]
    if len(weights) != len(names):
        raise ConfigError(f"{len(weights)} weights for {len(names)} models; expected as many")
    check_weights("weights", weights, names)
    named = dict(zip(names, map(float, weights), strict=True))
    if lost := [name for name, weight in named.items() if weight and name not in kept]:
        raise ConfigError(f"weights {named}: {list_some(lost)} was dropped as a duplicate")
    values = np.array([named[name] for name in kept])
    return values / values.sum()


def _simplest_within_one_error(losses: Mapping[str, np.ndarray], groups: np.ndarray) -> tuple[str, pd.DataFrame]:
    table = pd.DataFrame({"kind": list(losses), "kl": [float(values.mean()) for values in losses.values()]})
    best = min(losses.values(), key=lambda values: float(values.mean()))
    table["behind"] = table["kl"] - table["kl"].min()
    table["standard_error"] = [clustered_error(values - best, groups) for values in losses.values()]
    # The error of a handful of groups is itself mostly chance: nothing but the simplest can be argued for then.
    few = len(np.unique(groups)) < FEW_GROUPS
    chosen = 0 if few else table.index[table["behind"] <= table["standard_error"]][0]
    table["chosen"] = table.index == chosen
    return str(table.loc[chosen, "kind"]), table
