"""Calibrated doubt: which classes an expert may well say, and how likely one is not to say the leading one.

Both are fitted to predictions of rows that no network was trained on, patient by patient: rows of one patient are no
independent witnesses. They hold for recordings like those; another hospital's may differ, and what they were fitted to
is kept with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hbaclib.errors import DataError
from hbaclib.evaluation.metric import Shares, check_shares, divergence
from hbaclib.schema import closed

COVERAGE: Final = 0.9
"""Of the sets: how often the vote of a random expert lies in one."""
FEATURES: Final = ("log odds of the leading share", "log of the members' disagreement")
_KNOTS, _BINS, _KEPT = 64, 10, 0.7
_LEAST, _SLACK = 1e-6, 1e-9


@closed
@dataclass(frozen=True)
class Doubt:
    """What was fitted.

    Attributes:
        coverage: of the sets.
        threshold: sets take classes, the largest share first, until those before have more than this.
        mean, scale: of FEATURES, by which they are standardised; a scale of 0 leaves one out.
        coefficients, intercept: of the logistic score of the standardised features.
        scores, doubts: the monotone curve from score to doubt, at its corners.
        rows, patients: how many it was fitted to.
        about: what these were.
    """

    coverage: float
    threshold: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    scores: tuple[float, ...]
    doubts: tuple[float, ...]
    rows: int
    patients: int
    about: str

    def __post_init__(self) -> None:
        """Refuse what no fit gives.

        Raises:
            ValueError: numbers are too many, too few, out of their range or out of order.
        """
        for name in ("mean", "scale", "coefficients"):
            if len(getattr(self, name)) != len(FEATURES):
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers, expected {len(FEATURES)}")
        for name, value in (("coverage", self.coverage), ("threshold", self.threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value!r}, expected 0 to 1")
        if min(self.scale) < 0:
            raise ValueError(f"scale is {list(self.scale)}, expected 0 or more")
        if not self.scores or len(self.scores) != len(self.doubts):
            raise ValueError(f"{len(self.doubts)} doubts of {len(self.scores)} scores, expected as many, at least one")
        for name in ("scores", "doubts"):
            if np.any(np.diff(getattr(self, name)) < 0):
                raise ValueError(f"{name} fall, expected a curve that rises")
        if not 0 <= self.doubts[0] <= self.doubts[-1] <= 1:
            raise ValueError(f"doubts from {self.doubts[0]!r} to {self.doubts[-1]!r}, expected 0 to 1")

    def sets(self, shares: np.ndarray) -> np.ndarray:
        """(n, 6) bool: the classes of each row's set; of a row of NaN none."""
        before = _mass_before(shares)
        return np.isfinite(before) & (before <= self.threshold + _SLACK)

    def doubt(self, shares: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """(n,) how likely a random expert does not vote for the leading class, 0..1; NaN where a row is.

        Args:
            shares: (n, 6) calibrated shares.
            spread: (n,) the members' disagreement, see `member_spread`.
        """
        score = self._score(_features(shares, spread))
        return np.where(np.isfinite(score), np.interp(score, self.scores, self.doubts), np.nan)

    def _score(self, features: np.ndarray) -> np.ndarray:
        return (
            _standardised(features, np.array(self.mean), np.array(self.scale)) @ np.array(self.coefficients)
            + self.intercept
        )


def member_spread(predictions: np.ndarray) -> np.ndarray:
    """(n,) mean divergence of each member's shares from the mean of all; 0 of one member alone.

    Args:
        predictions: (m, n, 6) shares.
    """
    shares = np.maximum(np.asarray(predictions, np.float64), _LEAST)
    mean = shares.mean(axis=0)
    return np.maximum((shares * np.log(shares / mean)).sum(axis=2).mean(axis=0), 0)


def fit_doubt(
    shares: Shares,
    targets: Shares,
    patients: np.ndarray,
    spread: np.ndarray,
    *,
    coverage: float = COVERAGE,
    about: str = "",
) -> Doubt:
    """Fit sets and doubt.

    Args:
        shares: (n, 6) predicted shares of rows that nothing was fitted to.
        targets: (n, 6) vote shares.
        patients: (n,) of each row; each counts as one, however many rows it has.
        spread: (n,) the members' disagreement.
        coverage: of the sets.
        about: what the rows are.

    Raises:
        DataError: shapes do not match, or shares are faulty.
    """
    predicted, true = check_shares(shares, "shares"), check_shares(targets, "targets")
    patients, spread = np.asarray(patients), np.asarray(spread, np.float64)
    if not len(predicted) == len(true) == len(patients) == len(spread):
        raise DataError(
            f"{len(predicted)} rows of shares, {len(true)} of targets, {len(patients)} of patients, {len(spread)} of "
            "spread; expected as many"
        )
    _, numbers, counts = np.unique(patients, return_inverse=True, return_counts=True)
    weights = 1 / counts[numbers]
    features = _features(predicted, spread)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < _LEAST] = 0
    rejected = 1 - true[np.arange(len(true)), predicted.argmax(axis=1)]
    standard = _standardised(features, mean, scale)
    twice = np.r_[np.zeros(len(true)), np.ones(len(true))]
    # One thread: sums in one order give the same numbers on every machine.
    with threadpool_limits(1, "blas"):
        regression = LogisticRegression().fit(
            np.tile(standard, (2, 1)), twice, sample_weight=np.r_[weights * (1 - rejected), weights * rejected] + 1e-12
        )
        coefficients, intercept = regression.coef_[0], float(regression.intercept_[0])
        score = standard @ coefficients + intercept
    curve = IsotonicRegression(y_min=0, y_max=1).fit(score, rejected, sample_weight=weights)
    corners, values = curve.X_thresholds_, curve.y_thresholds_
    if len(corners) > _KNOTS:
        kept = np.unique(np.linspace(0, len(corners) - 1, _KNOTS).round().astype(int))
        corners, values = corners[kept], values[kept]
    return Doubt(
        coverage=coverage,
        threshold=_rounded([_threshold(predicted, true, weights, len(counts), coverage)])[0],
        mean=_rounded(mean),
        scale=_rounded(scale),
        coefficients=_rounded(coefficients),
        intercept=_rounded([intercept])[0],
        scores=_rounded(corners),
        doubts=_rounded(values),
        rows=len(true),
        patients=len(counts),
        about=about,
    )


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    """Numbers to ten digits: what rounding adds beyond them differs between machines."""
    return tuple(float(f"{value:.10g}") for value in values)


def judge_doubt(doubt: Doubt, shares: Shares, targets: Shares, spread: np.ndarray) -> dict[str, float]:
    """What sets and doubt are worth on rows that they were not fitted to.

    Returns:
        ``coverage``: how often a random expert's vote lies in the set; ``classes``: mean size of a set; ``error``: mean
        gap between the doubt that is told and how often experts reject the leading class, over ten bins; ``kept``: the
        score of the seven tenths of the rows with least doubt, as a share of that of all.
    """
    predicted, true = check_shares(shares, "shares"), check_shares(targets, "targets")
    sets, told = doubt.sets(predicted), doubt.doubt(predicted, spread)
    rejected = 1 - true[np.arange(len(true)), predicted.argmax(axis=1)]
    bins = np.minimum((told * _BINS).astype(int), _BINS - 1)
    gaps = [abs(told[bins == k].mean() - rejected[bins == k].mean()) * (bins == k).mean() for k in np.unique(bins)]
    losses = divergence(true, predicted)
    least = np.argsort(told, kind="stable")[: max(1, round(_KEPT * len(told)))]
    return {
        "coverage": float((true * sets).sum(axis=1).mean()),
        "classes": float(sets.sum(axis=1).mean()),
        "error": float(sum(gaps)),
        "kept": float(losses[least].mean() / losses.mean()) if losses.mean() else 1.0,
    }


def _threshold(shares: np.ndarray, targets: np.ndarray, weights: np.ndarray, patients: int, coverage: float) -> float:
    """The mass before an expert's class that is not exceeded as often as the coverage says, with one patient more.

    Source: split conformal prediction with adaptive sets, Y. Romano, M. Sesia, E. Candes, NeurIPS 2020.
    """
    wanted = coverage * (patients + 1) / patients
    if wanted >= 1:
        return 1.0  # too few patients to leave any class out
    before = _mass_before(shares).ravel()
    mass = (targets * weights[:, None]).ravel()
    order = np.argsort(before, kind="stable")
    reached = np.cumsum(mass[order]) / mass.sum()
    place = min(int(np.searchsorted(reached, wanted)), len(order) - 1)
    return min(float(before[order[place]]), 1.0)  # shares sum to 1 but for rounding


def _mass_before(shares: np.ndarray) -> np.ndarray:
    """(n, 6) sum of all shares that are larger; of equal ones the class that comes first is the larger."""
    shares = np.asarray(shares, np.float64)
    order = np.argsort(-shares, axis=1, kind="stable")
    sorted_shares = np.take_along_axis(shares, order, axis=1)
    before = np.empty_like(sorted_shares)
    np.put_along_axis(before, order, np.cumsum(sorted_shares, axis=1) - sorted_shares, axis=1)
    return before


def _features(shares: np.ndarray, spread: np.ndarray) -> np.ndarray:
    top = np.clip(np.asarray(shares, np.float64).max(axis=1), _LEAST, 1 - _LEAST)
    return np.stack([np.log(top / (1 - top)), np.log(np.asarray(spread, np.float64) + 1e-3)], axis=1)


def _standardised(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, (features - mean) / np.where(scale > 0, scale, 1), 0)
