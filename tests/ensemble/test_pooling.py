from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from hbaclib.ensemble.pooling import KINDS, Members, Pool, fit_pool
from hbaclib.evaluation.calibration import fit_calibration
from hbaclib.evaluation.metric import divergence
from tests.report.fake_run import fake_model, fake_votes


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    expected, targets = fake_votes(rng, 800, rng.choice([3, 12, 16], 800))
    noises = (0.5, 0.6, 0.9, 1.5, 2.5)
    return np.stack([fake_model(rng, expected, noise, rng.uniform(0.6, 1.4)) for noise in noises]), targets


def loss(pool: Pool, shares: np.ndarray, targets: np.ndarray) -> float:
    return float(divergence(targets, pool.apply(shares)).mean())


def on_simplex(objective, members: int) -> np.ndarray:
    """The simplex minimum by an independent solver, from several starts: quasi-Newton steps over w = softmax(z)."""
    rng = np.random.default_rng(0)
    starts = [np.full(members, 1 / members), *rng.dirichlet(np.ones(members), 2)]
    found = [
        minimize(lambda z: objective(softmax(z)), np.log(start), method="BFGS", options={"gtol": 1e-7})
        for start in starts
    ]
    return softmax(min(found, key=lambda result: result.fun).x)


def test_linear_weights_are_the_simplex_minimum(data):
    shares, targets = data
    pool = fit_pool("linear weights", Members.of(shares), targets)
    reference = on_simplex(lambda w: divergence(targets, np.tensordot(w, shares, axes=1)).mean(), len(shares))
    assert pool.weights.sum() == pytest.approx(1)
    assert (pool.weights >= 0).all()
    assert pool.weights == pytest.approx(reference, abs=2e-3)
    assert loss(pool, shares, targets) <= loss(Pool(reference / reference.sum()), shares, targets) + 1e-9


def test_log_linear_weights_are_the_simplex_minimum(data):
    shares, targets = data
    logs = np.log(shares)

    def objective(w):
        return -np.mean(np.sum(targets * log_softmax(np.tensordot(w, logs, axes=1), axis=1), axis=1))

    pool = fit_pool("log-linear weights", Members.of(shares), targets)
    reference = on_simplex(objective, len(shares))
    assert pool.weights == pytest.approx(reference, abs=2e-3)
    assert objective(pool.weights) <= objective(reference / reference.sum()) + 1e-9


def test_calibration_is_the_minimum(data):
    shares, targets = data
    logs, n = np.log(shares[3]), len(targets)

    def objective(x):
        likelihood = -np.mean(np.sum(targets * log_softmax(logs * x[0] + x[1:], axis=1), axis=1))
        return likelihood + ((x[0] - 1) ** 2 + np.sum(x[1:] ** 2)) / (2 * n)

    reference = minimize(objective, np.r_[1.0, np.zeros(6)], method="BFGS", options={"gtol": 1e-9}).x
    temperature, biases = fit_calibration(logs, targets)
    assert 1 / temperature == pytest.approx(reference[0], abs=1e-4)
    assert biases == pytest.approx(reference[1:] - reference[1:].mean(), abs=1e-4)
    assert biases.sum() == pytest.approx(0, abs=1e-12)


def test_calibration_finds_a_planted_temperature():
    rng = np.random.default_rng(1)
    expected, targets = fake_votes(rng, 4000, np.full(4000, 16))
    too_sure = expected**2.5
    temperature, biases = fit_calibration(np.log(too_sure / too_sure.sum(axis=1, keepdims=True)), targets)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert np.abs(biases).max() < 0.05


def test_a_class_without_votes_and_a_model_worse_than_chance_stay_finite():
    rng = np.random.default_rng(2)
    expected, _ = fake_votes(rng, 60, np.full(60, 3))
    targets = np.eye(6)[expected[:, :5].argmax(axis=1)]
    upside_down = 1 / expected
    temperature, biases = fit_calibration(np.log(upside_down / upside_down.sum(axis=1, keepdims=True)), targets)
    assert np.isfinite(biases).all()
    assert 0 < temperature <= 50


@pytest.mark.parametrize("kind", KINDS)
def test_pools_sum_to_1_and_a_more_flexible_kind_fits_no_worse(kind, data):
    shares, targets = data
    pool = fit_pool(kind, Members.of(shares), targets)
    pooled = pool.apply(shares)
    assert pooled.shape == (800, 6)
    assert pooled.sum(axis=1) == pytest.approx(1)
    mean = "geometric mean" if pool.log_linear else "mean"
    assert loss(pool, shares, targets) <= loss(fit_pool(mean, Members.of(shares), targets), shares, targets) + 1e-3
    if not pool.log_linear and kind == "mean":
        assert pooled == pytest.approx(shares.mean(axis=0))
    if kind == "geometric mean":
        product = np.prod(shares, axis=0) ** (1 / len(shares))
        assert pooled == pytest.approx(product / product.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["linear weights", "log-linear weights"])
def test_the_start_decides_nothing(kind, data):
    shares, targets = data
    first = fit_pool(kind, Members.of(shares), targets)
    corner = fit_pool(kind, Members.of(shares), targets, start=Pool(np.eye(5)[4]))
    assert first.weights == pytest.approx(corner.weights, abs=1e-4)


def test_zero_shares_do_no_harm(data):
    shares, targets = data
    clipped = np.where(shares < 0.05, 0, shares)
    clipped /= clipped.sum(axis=2, keepdims=True)
    for kind in KINDS:
        assert np.isfinite(loss(fit_pool(kind, Members.of(clipped), targets), clipped, targets))


@pytest.mark.parametrize("seed", range(6))
def test_linear_weights_from_a_corner_with_zero_shares_are_the_minimum(seed):
    """Where a member alone gives a class no share the loss is all but infinite and its slope no guide."""
    rng = np.random.default_rng(seed)
    expected, targets = fake_votes(rng, 300, np.full(300, 3))
    shares = np.stack([fake_model(rng, expected, noise, 1.0) for noise in (0.5, 1.0, 1.5, 2.0)])
    shares = np.where(shares < 0.1, 0, shares)
    shares /= shares.sum(axis=2, keepdims=True)
    weights = np.full(4, 0.25)
    for _ in range(3000):  # expectation maximisation: slow, and sure
        pooled = np.maximum(np.tensordot(weights, shares, axes=1), 1e-15)
        weights = weights * np.einsum("mnc,nc->m", shares, targets / pooled)
        weights /= weights.sum()
    for corner in np.eye(4):
        pool = fit_pool("linear weights", Members.of(shares), targets, start=Pool(corner))
        assert loss(pool, shares, targets) <= loss(Pool(weights), shares, targets) + 1e-7
