from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, kl_divergence
from hbaclib.conventions import PREDICTION_COLUMNS
from hbaclib.errors import DataError
from hbaclib.evaluation.metric import apply_floor, kl_per_sample


def reference(targets: np.ndarray, predictions: np.ndarray) -> float:
    """The scorer's rules, one number at a time."""
    total = 0.0
    for true, predicted in zip(targets.tolist(), predictions.tolist(), strict=True):
        for y, p in zip(true, predicted, strict=True):
            if y != 0:
                total += y * math.log(y / min(max(p, 1e-15), 1 - 1e-15))
    return total / len(targets)


def rows(kind: str, n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(3)
    if kind == "random":
        return rng.dirichlet(np.ones(6), n)
    if kind == "one-hot":
        return np.eye(6)[rng.integers(0, 6, n)]
    shares = rng.dirichlet(np.ones(6), n)
    shares[np.arange(n), rng.integers(0, 6, n)] = 0
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("true", ["random", "one-hot", "with zeros"])
@pytest.mark.parametrize("predicted", ["random", "one-hot", "with zeros"])
def test_agrees_with_an_independent_scorer(true, predicted):
    targets, predictions = rows(true), rows(predicted)[::-1].copy()
    assert kl_divergence(targets, predictions) == pytest.approx(reference(targets, predictions), rel=1e-12)


def test_known_values():
    one_hot = np.eye(6)
    assert kl_divergence(one_hot, np.full((6, 6), 1 / 6)) == pytest.approx(math.log(6))
    assert kl_divergence(one_hot, one_hot) == pytest.approx(0, abs=1e-14)
    missed = np.roll(one_hot, 1, axis=1)
    assert kl_divergence(one_hot, missed) == pytest.approx(34.539, abs=1e-3)
    # Keras' loss clips at 1e-7: the same mistake costs less than half as much there.
    assert -math.log(1e-7) == pytest.approx(16.118, abs=1e-3)


def test_a_floor_of_1e_4_costs_next_to_nothing_and_bounds_the_worst_loss():
    targets, predictions = rows("with zeros"), rows("random")
    floored = apply_floor(predictions)
    assert floored.min() >= 1e-4 / (1 + 6e-4)
    assert floored.sum(axis=1) == pytest.approx(1)
    assert abs(kl_divergence(targets, floored) - kl_divergence(targets, predictions)) < 1e-3
    assert kl_divergence(np.eye(6), apply_floor(np.roll(np.eye(6), 1, axis=1))) < 9.3


def test_tables_are_matched_by_name():
    targets, predictions = rows("random"), rows("random")[::-1].copy()
    true = pd.DataFrame(targets, columns=VOTE_COLUMNS)
    shuffled = pd.DataFrame(predictions, columns=VOTE_COLUMNS)[list(VOTE_COLUMNS)[::-1]]
    assert kl_divergence(true, shuffled) == kl_divergence(targets, predictions)
    named = pd.DataFrame(predictions, columns=PREDICTION_COLUMNS)
    assert kl_divergence(true, named) == kl_divergence(targets, predictions)


def test_every_fault_is_named_at_once():
    targets, predictions = rows("random", 9), rows("random", 9)
    predictions[1] *= 0.9
    predictions[2, :2] = [-0.5, 1.5]
    targets[4, 0] = np.nan
    with pytest.raises(DataError) as caught:
        kl_divergence(targets, predictions)
    message = str(caught.value)
    for part in ("targets: NaN", "row 4", "outside [0, 1] in 1 row (row 2)", "do not sum to 1", "sums to 0.9)"):
        assert part in message


@pytest.mark.parametrize(
    ("targets", "predictions", "part"),
    [
        (np.eye(6), np.eye(6)[:5], "6 rows of targets, 5 rows of predictions"),
        (np.eye(6), np.eye(5), "shape (5, 5)"),
        (np.eye(6), np.empty((0, 6)), "n of at least 1"),
        (np.eye(6), [["a"] * 6] * 6, "not numbers"),
        (pd.DataFrame(np.eye(6), columns=VOTE_COLUMNS).drop(columns="gpd_vote"), np.eye(6), "missing: gpd_vote"),
        (
            pd.DataFrame(np.eye(6), columns=VOTE_COLUMNS).assign(eeg_id=range(6)),
            pd.DataFrame(np.eye(6), columns=VOTE_COLUMNS).assign(eeg_id=[0, 1, 2, 3, 5, 4]),
            "differs in 2 rows (row 4, 5)",
        ),
    ],
)
def test_refusals(targets, predictions, part):
    with pytest.raises(DataError, match="(?s)" + part.replace("(", r"\(").replace(")", r"\)")):
        kl_divergence(targets, predictions)


def test_sums_may_miss_1_by_float32_rounding_only():
    predictions = rows("random").astype(np.float32)
    assert np.isfinite(kl_per_sample(rows("random"), predictions)).all()
    with pytest.raises(DataError, match="do not sum to 1"):
        kl_divergence(rows("random"), predictions * np.float32(1 + 3e-5))
