import numpy as np
import pytest

from hbaclib.training.recipe import Stage
from hbaclib.training.schedules import learning_rates, recipe_learning_rates, steps_per_epoch
from tests.training.tiny import tiny_recipe


def test_step_schedule_gives_one_rate_an_epoch():
    rates = learning_rates(Stage(epochs=5, rates=(1e-3, 1e-3, 1e-4, 1e-5)), 3)
    assert rates.shape == (5, 3)
    np.testing.assert_array_equal(rates[:, 0], [1e-3, 1e-3, 1e-4, 1e-5, 1e-5])
    assert (rates == rates[:, :1]).all()


def test_cosine_climbs_and_falls():
    stage = Stage(epochs=4, schedule="cosine", start=1e-5, peak=1e-3, floor=1e-6, warmup=1.0)
    rates = learning_rates(stage, 50).ravel()
    assert rates[0] == pytest.approx(1e-5) and rates.argmax() == 50 and rates.max() == pytest.approx(1e-3)
    assert (np.diff(rates[:51]) > 0).all() and (np.diff(rates[50:]) < 0).all()
    # Half-way down the cosine the rate is half-way between peak and floor.
    assert rates[50 + 75] == pytest.approx((1e-3 + 1e-6) / 2)
    assert rates[-1] < 2e-6


def test_ramped_cosine_of_the_kerascv_starter():
    # Constants of the public system: start 5e-5, three epochs up to 6e-6 * 64, cosine to 1e-5 over 13 epochs.
    stage = Stage(epochs=13, schedule="cosine", start=5e-5, peak=6e-6 * 64, floor=1e-5, warmup=3.0, per_epoch=True)
    rates = learning_rates(stage, 7)
    assert (rates == rates[:, :1]).all()
    expected = [5e-5 + (6e-6 * 64 - 5e-5) / 3 * epoch for epoch in range(3)]
    np.testing.assert_allclose(rates[:3, 0], expected)
    assert rates[3, 0] == pytest.approx(6e-6 * 64) and rates[12, 0] == pytest.approx(1e-5)


def test_steps():
    assert steps_per_epoch(Stage(epochs=1), 100, 32) == 3
    assert steps_per_epoch(Stage(epochs=1), 5, 32) == 1
    assert steps_per_epoch(Stage(epochs=1, steps=9), 100, 32) == 9
    assert recipe_learning_rates(tiny_recipe(), [24, 8]).shape == (2 * 6 + 2 * 2,)
