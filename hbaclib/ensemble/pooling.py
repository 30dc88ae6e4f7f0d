"""Pools of predictions: weighted arithmetic or geometric means, with one temperature and six class biases on top.

Every fit here is a convex problem of a few dozen variables over many rows, with its slope at hand: sequential quadratic
programming (scipy's SLSQP) solves it in about twenty passes over the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from hbaclib.conventions import CLASSES
from hbaclib.errors import ConfigError, DataError
from hbaclib.evaluation.calibration import fit_calibration
from hbaclib.evaluation.metric import EPSILON
from hbaclib.schema import shown

KINDS = (
    "mean",
    "geometric mean",
    "mean, calibrated",
    "geometric mean, calibrated",
    "linear weights",
    "log-linear weights",
    "linear weights, calibrated",
    "log-linear weights, calibrated",
)
"""Ways to pool, from the simplest to the most flexible: fitted numbers 0, 0, 7, 7, m - 1, m - 1, m + 6, m + 6."""

_ROUNDING = 1e-6  # of weights that went through a file
_COLDEST, _STRONGEST = 1e-3, 50.0
"""Beyond these one class gets everything, or all get the same, whatever the members predict."""


@dataclass(frozen=True)
class Members:
    """Predictions of m models for n rows.

    Attributes:
        shares: (m, n, 6) float64.
        logs: (m, 6, n), their logarithms, computed once for all fits. (Sums over the class are quick along the first
            axis of two, slow along a last one of six.)
    """

    shares: np.ndarray
    logs: np.ndarray

    @classmethod
    def of(cls, shares: np.ndarray) -> Members:
        """Take the logarithms of (m, n, 6) shares."""
        shares = np.asarray(shares, dtype=np.float64)
        return cls(shares, np.ascontiguousarray(_log(shares).swapaxes(1, 2)))

    def take(self, rows: np.ndarray) -> Members:
        """Some of the rows (a mask)."""
        # Compress keeps the rows of one model together in memory, which indexing by a mask does not.
        return Members(np.compress(rows, self.shares, axis=1), np.compress(rows, self.logs, axis=2))


@dataclass(frozen=True)
class Pool:
    """A fitted pool.

    Attributes:
        weights: (m,) non-negative, summing to 1.
        log_linear: weighted mean of logarithms (geometric) instead of shares (arithmetic).
        temperature: divides the pooled logarithms.
        biases: (6,) added to them; they sum to 0.

    Raises:
        ConfigError: a value with which shares would be no shares, or would be turned round.
    """

    weights: np.ndarray
    log_linear: bool = False
    temperature: float = 1.0
    biases: np.ndarray = field(default_factory=lambda: np.zeros(len(CLASSES)))

    def __post_init__(self) -> None:
        weights, biases = np.asarray(self.weights), np.asarray(self.biases)
        if weights.ndim != 1 or weights.dtype.kind not in "fiu" or not len(weights):
            raise ConfigError(f"weights is {shown(self.weights)}, expected one number for each member")
        if not np.isfinite(weights).all() or weights.min() < 0 or abs(weights.sum() - 1) > _ROUNDING:
            raise ConfigError(f"weights is {shown(weights.tolist())}, expected numbers of at least 0 whose sum is 1")
        if not _COLDEST <= self.temperature <= 1 / _COLDEST:  # nor is NaN
            raise ConfigError(f"temperature is {self.temperature!r}, expected {_COLDEST:g} to {1 / _COLDEST:g}")
        if biases.shape != (len(CLASSES),) or not (np.abs(biases) <= _STRONGEST).all():
            raise ConfigError(
                f"biases is {shown(biases.tolist())}, expected {len(CLASSES)} numbers from -{_STRONGEST:g} to "
                f"{_STRONGEST:g}"
            )

    def apply(self, members: Members | np.ndarray) -> np.ndarray:
        """Pool (m, n, 6) shares to (n, 6) float64.

        Raises:
            DataError: there are not as many models as weights.
        """
        if len(members.shares if isinstance(members, Members) else members) != len(self.weights):
            found = len(members.shares if isinstance(members, Members) else members)
            raise DataError(f"predictions of {found} models, expected {len(self.weights)}, one for each weight")
        if not isinstance(members, Members):
            used = np.flatnonzero(self.weights)
            return replace(self, weights=self.weights[used]).apply(Members.of(np.asarray(members)[used]))
        if self.log_linear:
            logs = np.tensordot(self.weights, members.logs, axes=1).T
        else:
            pooled = np.tensordot(self.weights, members.shares, axes=1)
            if self.temperature == 1 and not self.biases.any():
                return pooled / pooled.sum(axis=-1, keepdims=True)
            logs = _log(pooled)
        return softmax(logs / self.temperature + self.biases, axis=-1)


def fit_pool(
    kind: str,
    members: Members,
    targets: np.ndarray,
    start: Pool | None = None,
    left_out: int | None = None,
) -> Pool:
    """Fit one of KINDS.

    Args:
        kind: one of KINDS.
        members: predicted shares.
        targets: (n, 6) vote shares.
        start: pool to start from; the result does not depend on it, the time does.
        left_out: number of a model whose weight is held at 0.

    Returns:
        The pool with the least mean divergence of this kind (the calibration is fitted after the weights).
    """
    free = np.arange(len(members.shares)) != (-1 if left_out is None else left_out)
    weights = free / free.sum()
    log_linear = kind.startswith(("geometric", "log-linear"))
    if "weights" in kind and free.sum() > 1:
        objective = _log_linear_weights if log_linear else _linear_weights
        weights = _simplex_minimum(objective(members, targets), weights if start is None else start.weights, free)
    pool = Pool(weights, log_linear)
    if kind.endswith("calibrated"):
        first = None if start is None else np.r_[1 / start.temperature, start.biases]
        temperature, biases = fit_calibration(_log(pool.apply(members)), targets, first)
        pool = Pool(weights, log_linear, temperature, biases)
    return pool


def _log(shares: np.ndarray) -> np.ndarray:
    return np.log(np.clip(shares, EPSILON, 1.0))


_RESTARTS, _GAP = 10, 1e-5
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def _linear_weights(members: Members, targets: np.ndarray) -> Objective:
    """-mean sum_c y ln(w . p), and its slope."""
    entries = targets > 0
    voted, y = np.compress(entries.ravel(), members.shares.reshape(len(members.shares), -1), axis=1), targets[entries]

    def evaluate(w: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = np.maximum(w @ voted, EPSILON)
        return -y @ np.log(pooled) / len(targets), -voted @ (y / pooled) / len(targets)

    return evaluate


def _log_linear_weights(members: Members, targets: np.ndarray) -> Objective:
    """-mean sum_c y ln softmax(w . ln p), and its slope."""
    flat, y = members.logs.reshape(len(members.logs), -1), np.ascontiguousarray(targets.T)

    def evaluate(w: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = log_softmax((w @ flat).reshape(y.shape), axis=0)
        return -np.vdot(y, pooled) / len(targets), flat @ (np.exp(pooled) - y).ravel() / len(targets)

    return evaluate


def _simplex_minimum(objective: Objective, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Minimise over w >= 0 with sum w = 1; w is 0 where it is not free."""
    equal = free / free.sum()
    w = np.where(free, start, 0.0)
    w = w / w.sum() if w.any() else equal
    for _ in range(_RESTARTS):
        w = minimize(
            objective,
            # Moved inwards: where a class has no share at all but from members without weight, slopes are no guide.
            0.98 * w + 0.02 * equal,
            jac=True,
            method="SLSQP",
            bounds=[(0, each) for each in free.astype(float)],
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-12},
        ).x
        w = np.where(w < 1e-6, 0.0, w)
        w = w / w.sum()
        # The objective is convex: no other weights are better by more than this.
        slope = objective(w)[1]
        if w @ slope - slope[free].min() < _GAP:
            break
    return w
