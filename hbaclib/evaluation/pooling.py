"""Pools of predictions: weighted arithmetic or geometric means, with one temperature and six class biases on top.

Every fit here is a convex problem of a few dozen variables over many rows, solved by Newton steps whose quadratic
model is minimised under the constraints with non-negative least squares. A handful of passes over the data is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls

from hbaclib.conventions import CLASSES
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

_TOLERANCE = 1e-10


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

    def apply(self, shares: np.ndarray) -> np.ndarray:
        """Pool (m, n, 6) shares to (n, 6) float64."""
        used = np.flatnonzero(self.weights)
        chosen = np.asarray(shares, dtype=np.float64)[used]
        if self.log_linear:
            logs = np.tensordot(self.weights[used], _log(chosen), axes=1)
        else:
            pooled = np.tensordot(self.weights[used], chosen, axes=1)
            if self.temperature == 1 and not self.biases.any():
                return pooled / pooled.sum(axis=-1, keepdims=True)
            logs = _log(pooled)
        return softmax(logs / self.temperature + self.biases)


def fit_pool(kind: str, shares: np.ndarray, targets: np.ndarray, start: np.ndarray | None = None) -> Pool:
    """Fit one of KINDS.

    Args:
        kind: one of KINDS.
        shares: (m, n, 6) predicted shares.
        targets: (n, 6) vote shares.
        start: (m,) weights to start from; the result does not depend on it, the time does.

    Returns:
        The pool with the least mean divergence of this kind (the calibration is fitted after the weights).
    """
    members = len(shares)
    weights = np.full(members, 1 / members)
    log_linear = kind.startswith(("geometric", "log-linear"))
    if "weights" in kind and members > 1:
        fit = _log_linear_weights if log_linear else _linear_weights
        weights = fit(shares, targets, weights if start is None else start)
    pool = Pool(weights, log_linear)
    if kind.endswith("calibrated"):
        temperature, biases = fit_calibration(_log(pool.apply(shares)), targets)
        pool = Pool(weights, log_linear, temperature, biases)
    return pool


def fit_calibration(logs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Fit softmax(logs / temperature + biases) to the targets.

    A unit normal prior on the biases and on 1 / temperature (around 1), worth one row, keeps a class without votes
    finite.

    Args:
        logs: (n, 6) logarithms of predicted shares.
        targets: (n, 6) vote shares.

    Returns:
        temperature and (6,) biases that sum to 0.
    """
    n, prior = len(logs), np.r_[1.0, np.zeros(len(CLASSES))]
    x = prior.copy()

    def value(x: np.ndarray) -> float:
        z = logs * x[0] + x[1:]
        return float(np.mean(_logsumexp(z) - np.sum(targets * z, axis=1)) + np.sum((x - prior) ** 2) / (2 * n))

    for _ in range(50):
        p = softmax(logs * x[0] + x[1:])
        excess = p - targets
        gradient = np.r_[np.sum(excess * logs), excess.sum(axis=0)] / n + (x - prior) / n
        weighted = p * logs
        mean = weighted.sum(axis=1)
        hessian = np.empty((1 + len(CLASSES), 1 + len(CLASSES)))
        hessian[0, 0] = np.mean(np.sum(weighted * logs, axis=1) - mean**2)
        hessian[0, 1:] = hessian[1:, 0] = np.mean(weighted - p * mean[:, None], axis=0)
        hessian[1:, 1:] = np.diag(p.mean(axis=0)) - p.T @ p / n
        step = -np.linalg.solve(hessian + np.eye(len(hessian)) / n, gradient)
        # 1 / temperature stays positive: a model worse than chance is flattened, not turned round.
        if x[0] + step[0] < 0.02:
            step *= 0.9 * (x[0] - 0.02) / -step[0]
        x, decrease = _line_search(value, x, step, gradient)
        if decrease < _TOLERANCE:
            break
    biases = x[1:] - x[1:].mean()
    return float(1 / x[0]), biases


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _log(shares: np.ndarray) -> np.ndarray:
    return np.log(np.clip(shares, EPSILON, 1.0))


def _logsumexp(z: np.ndarray) -> np.ndarray:
    top = z.max(axis=-1)
    return top + np.log(np.exp(z - top[..., None]).sum(axis=-1))


def _linear_weights(shares: np.ndarray, targets: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Minimise -mean sum_c y ln(w . p) over the simplex.

    The sum of the weights is added to the objective instead of fixing it: since every row of targets sums to 1, the
    minimum over all w >= 0 then sums to 1 by itself.
    """
    n, entries = len(targets), targets > 0
    voted = np.ascontiguousarray(shares[:, entries], dtype=np.float64)
    y = targets[entries] / n

    def value(w: np.ndarray) -> float:
        return float(w.sum() - y @ np.log(np.maximum(w @ voted, EPSILON)))

    def derivatives(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pooled = np.maximum(w @ voted, EPSILON)
        scaled = voted * (np.sqrt(y) / pooled)
        return 1 - scaled @ np.sqrt(y), scaled @ scaled.T

    w = _newton(value, derivatives, _interior(start), total=None)
    return w / w.sum()


def _log_linear_weights(shares: np.ndarray, targets: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Minimise the mean of log-sum-exp(w . ln p) - y . (w . ln p) over the simplex."""
    members, n = shares.shape[:2]
    logs = _log(np.asarray(shares, dtype=np.float64))
    flat = logs.reshape(members, -1)
    linear = flat @ targets.ravel() / n

    def value(w: np.ndarray) -> float:
        return float(np.mean(_logsumexp((w @ flat).reshape(n, -1))) - w @ linear)

    def derivatives(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = softmax((w @ flat).reshape(n, -1))
        means = np.einsum("mnc,nc->mn", logs, p)
        scaled = flat * np.sqrt(p / n).ravel()
        return means.mean(axis=1) - linear, scaled @ scaled.T - means @ means.T / n

    return _newton(value, derivatives, _interior(start), total=1.0)


def _interior(start: np.ndarray) -> np.ndarray:
    # A start on the boundary is moved inwards, where every member still has a say in the first step.
    return 0.95 * start / start.sum() + 0.05 / len(start)


def _newton(
    value: Callable[[np.ndarray], float],
    derivatives: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    w: np.ndarray,
    total: float | None,
) -> np.ndarray:
    """Minimise a convex function over w >= 0 (and sum w = total, if given)."""
    for _ in range(60):
        gradient, hessian = derivatives(w)
        step = _constrained_minimum(hessian, hessian @ w - gradient, total) - w
        w, decrease = _line_search(value, w, step, gradient)
        if decrease < _TOLERANCE:
            break
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


def _line_search(
    value: Callable[[np.ndarray], float], x: np.ndarray, step: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, float]:
    """Go as far along ``step`` as the function falls as promised; return the new point and the decrease."""
    slope = float(gradient @ step)
    if slope > -_TOLERANCE:
        return x, 0.0
    before, length = value(x), 1.0
    while length > 1e-8:
        moved = x + length * step
        decrease = before - value(moved)
        if decrease >= -1e-4 * length * slope:
            return moved, decrease
        length /= 2
    return x, 0.0
