"""Pools of predictions: weighted arithmetic or geometric means, with one temperature and six class biases on top.

Every fit here is a convex problem of a few dozen variables over many rows, solved by Newton steps whose quadratic
model is minimised under the constraints with non-negative least squares. A handful of passes over the data is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import nnls

from hbaclib.conventions import CLASSES
from hbaclib.evaluation.calibration import Evaluate, fit_calibration, line_search, normalised
from hbaclib.evaluation.metric import EPSILON

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

_CURVATURE_ROWS = 5000


@dataclass(frozen=True)
class Members:
    """Predictions of m models for n rows.

    Attributes:
        shares: (m, n, 6) float64.
        logs: (m, n, 6), their logarithms, computed once for all fits.
    """

    shares: np.ndarray
    logs: np.ndarray

    @classmethod
    def of(cls, shares: np.ndarray) -> Members:
        """Take the logarithms of (m, n, 6) shares."""
        shares = np.asarray(shares, dtype=np.float64)
        return cls(shares, _log(shares))

    def take(self, rows: np.ndarray) -> Members:
        """Some of the rows (a mask)."""
        # Compress keeps the rows of one model together in memory, which indexing by a mask does not.
        return Members(np.compress(rows, self.shares, axis=1), np.compress(rows, self.logs, axis=1))


@dataclass(frozen=True)
class Pool:
    """A fitted pool.

    Attributes:
        weights: (m,) non-negative, summing to 1.
        log_linear: weighted mean of logarithms (geometric) instead of shares (arithmetic).
        temperature: divides the pooled logarithms.
        biases: (6,) added to them; they sum to 0.
    """

    weights: np.ndarray
    log_linear: bool = False
    temperature: float = 1.0
    biases: np.ndarray = field(default_factory=lambda: np.zeros(len(CLASSES)))

    def apply(self, members: Members | np.ndarray) -> np.ndarray:
        """Pool (m, n, 6) shares to (n, 6) float64."""
        if not isinstance(members, Members):
            used = np.flatnonzero(self.weights)
            return replace(self, weights=self.weights[used]).apply(Members.of(np.asarray(members)[used]))
        if self.log_linear:
            logs = np.tensordot(self.weights, members.logs, axes=1)
        else:
            pooled = np.tensordot(self.weights, members.shares, axes=1)
            if self.temperature == 1 and not self.biases.any():
                return pooled / pooled.sum(axis=-1, keepdims=True)
            logs = _log(pooled)
        return softmax(logs / self.temperature + self.biases)


def fit_pool(
    kind: str,
    members: Members | np.ndarray,
    targets: np.ndarray,
    start: Pool | None = None,
    left_out: int | None = None,
) -> Pool:
    """Fit one of KINDS.

    Args:
        kind: one of KINDS.
        members: (m, n, 6) predicted shares.
        targets: (n, 6) vote shares.
        start: pool to start from; the result does not depend on it, the time does.
        left_out: number of a model whose weight is held at 0.

    Returns:
        The pool with the least mean divergence of this kind (the calibration is fitted after the weights).
    """
    if not isinstance(members, Members):
        members = Members.of(members)
    free = np.arange(len(members.shares)) != (-1 if left_out is None else left_out)
    weights = free / free.sum()
    log_linear = kind.startswith(("geometric", "log-linear"))
    if "weights" in kind and free.sum() > 1:
        fit = _log_linear_weights if log_linear else _linear_weights
        weights = fit(members, targets, weights if start is None else start.weights, free)
    pool = Pool(weights, log_linear)
    if kind.endswith("calibrated"):
        first = None if start is None else np.r_[1 / start.temperature, start.biases]
        temperature, biases = fit_calibration(_log(pool.apply(members)), targets, first)
        pool = Pool(weights, log_linear, temperature, biases)
    return pool


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _log(shares: np.ndarray) -> np.ndarray:
    return np.log(np.clip(shares, EPSILON, 1.0))


Hessian = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _linear_weights(members: Members, targets: np.ndarray, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Minimise -mean sum_c y ln(w . p) over the simplex.

    The sum of the weights is added to the objective instead of fixing it: since every row of targets sums to 1, the
    minimum over all w >= 0 then sums to 1 by itself.
    """
    n, entries = len(targets), targets > 0
    voted, y = np.compress(entries.ravel(), members.shares.reshape(len(free), -1), axis=1), targets[entries] / n
    part = _sample(voted.shape[1])
    few, y_few = np.ascontiguousarray(voted[:, part]), y[part] * y.sum() / y[part].sum()

    def evaluate(w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        pooled = np.maximum(w @ voted, EPSILON)
        return float(w.sum() - y @ np.log(pooled)), 1 - voted @ (y / pooled), pooled

    def hessian(w: np.ndarray, pooled: np.ndarray) -> np.ndarray:
        scaled = few * (np.sqrt(y_few) / pooled[part])
        return scaled @ scaled.T

    w = _newton(evaluate, hessian, _interior(start, free), free, total=None)
    return w / w.sum()


def _log_linear_weights(members: Members, targets: np.ndarray, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Minimise the mean of log-sum-exp(w . ln p) - y . (w . ln p) over the simplex."""
    count, n = members.logs.shape[:2]
    flat = members.logs.reshape(count, -1)
    linear = flat @ targets.ravel() / n
    part = _sample(n)
    few = np.ascontiguousarray(members.logs[:, part])

    def evaluate(w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        normaliser, p = normalised((w @ flat).reshape(n, -1))
        return float(normaliser.mean() - w @ linear), flat @ p.ravel() / n - linear, p

    def hessian(w: np.ndarray, p: np.ndarray) -> np.ndarray:
        weights = p[part]
        means = np.einsum("mnc,nc->mn", few, weights)
        scaled = (few * np.sqrt(weights)).reshape(count, -1)
        return (scaled @ scaled.T - means @ means.T) / len(weights)

    return _newton(evaluate, hessian, _interior(start, free), free, total=1.0)


def _sample(n: int) -> slice:
    """Entries that the curvature is estimated from: all of few, evenly spaced ones of many.

    Value and slope are always exact, so this decides how many steps a fit takes, not where it ends.
    """
    return slice(None, None, max(1, n // _CURVATURE_ROWS))


def _interior(start: np.ndarray, free: np.ndarray) -> np.ndarray:
    # A start on the boundary is moved inwards, where every member still has a say in the first step.
    kept = np.where(free, start, 0.0)
    if kept.sum() <= 0:
        return free / free.sum()
    return 0.98 * kept / kept.sum() + 0.02 * free / free.sum()


def _newton(evaluate: Evaluate, hessian: Hessian, w: np.ndarray, free: np.ndarray, total: float | None) -> np.ndarray:
    """Minimise a convex function over w >= 0 (and sum w = total, if given); w is 0 where it is not free."""
    value, gradient, kept = evaluate(w)
    for _ in range(100):
        curvature = hessian(w, kept)[np.ix_(free, free)]
        step = np.zeros_like(w)
        step[free] = _constrained_minimum(curvature, curvature @ w[free] - gradient[free], total) - w[free]
        moved = line_search(evaluate, w, step, value, gradient)
        if moved is None:
            break
        w, value, gradient, kept = moved
    w = np.where(w < 1e-6, 0.0, w)
    return w / w.sum() if total is not None else w


def _constrained_minimum(hessian: np.ndarray, linear: np.ndarray, total: float | None) -> np.ndarray:
    """Minimise z'Hz/2 - z'linear over z >= 0 (and sum z = total)."""
    scale = np.trace(hessian) / len(hessian) + 1e-12
    ridge = hessian + 1e-9 * scale * np.eye(len(hessian))
    if total is not None:
        # Adding a multiple of (sum z - total)² changes nothing on the constraint and, being heavy, holds z near it.
        heavy = 1e4 * scale
        ridge = ridge + heavy
        linear = linear + heavy * total
    lower = np.linalg.cholesky(ridge)
    z, _ = nnls(lower.T, np.linalg.solve(lower, linear), maxiter=30 * len(linear))
    return z * (total / z.sum()) if total is not None else z
