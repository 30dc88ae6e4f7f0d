import keras
import numpy as np
import pytest

from hbaclib.training.losses import kl_loss, smooth_targets, vote_weights


@pytest.fixture
def shares():
    rng = np.random.default_rng(0)
    targets, predictions = rng.dirichlet(np.full(6, 0.3), (2, 40))
    targets[0] = [1, 0, 0, 0, 0, 0]
    predictions[0] = [0, 1, 0, 0, 0, 0]
    return targets.astype(np.float32), predictions.astype(np.float32)


def test_loss_is_keras_own(shares):
    keras_loss = keras.losses.KLDivergence(reduction=None)(*shares)
    np.testing.assert_allclose(np.array(kl_loss(*shares)), np.array(keras_loss), rtol=1e-5)
    assert float(kl_loss(*shares)[0]) == pytest.approx(16.118, abs=1e-3)


def test_loss_is_float32_for_float16_predictions(shares):
    assert kl_loss(shares[0], keras.ops.cast(shares[1], "float16")).dtype == "float32"


def test_smoothing_keeps_a_distribution(shares):
    smooth = smooth_targets(shares[0], 0.06)
    np.testing.assert_allclose(smooth.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(smooth[0], [0.95, 0.01, 0.01, 0.01, 0.01, 0.01], atol=1e-6)
    assert (smooth_targets(shares[0], 0.0) == shares[0]).all()


def test_vote_weights():
    votes = np.array([1, 3, 20, 28])
    weights = vote_weights(votes, "votes")
    assert weights.mean() == pytest.approx(1) and weights.dtype == np.float32
    assert weights[1] / weights[0] == pytest.approx(3) and weights[2] == weights[3]
    assert (vote_weights(votes, "none") == 1).all()
