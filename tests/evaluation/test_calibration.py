from __future__ import annotations

import numpy as np
import pytest

from hbaclib import CLASSES
from hbaclib.errors import DataError
from hbaclib.evaluation.calibration import (
    best_temperature,
    expected_calibration_error,
    reliability,
    unanimous_disagreements,
    vote_sampling_loss,
)
from hbaclib.evaluation.metric import divergence
from tests.report.fake_run import fake_model, fake_votes


def test_vote_sampling_loss_is_what_a_perfect_model_scores():
    rng = np.random.default_rng(0)
    for n_votes in (1, 3, 14, 28):
        shares = rng.dirichlet(np.ones(6) * 0.5, 5)
        expected = vote_sampling_loss(shares, np.full(5, n_votes))
        for row, share in enumerate(shares):
            drawn = rng.multinomial(n_votes, share, size=20_000) / n_votes
            losses = divergence(drawn, np.tile(share, (20_000, 1)))
            assert expected[row] == pytest.approx(losses.mean(), abs=5 * losses.std() / np.sqrt(20_000) + 1e-9)


def test_the_observed_shares_give_a_lower_estimate_of_the_floor():
    rng = np.random.default_rng(1)
    n_votes = np.full(3000, 14)
    expected, targets = fake_votes(rng, 3000, n_votes)
    floor = vote_sampling_loss(expected, n_votes).mean()
    assert divergence(targets, expected).mean() == pytest.approx(floor, rel=0.05)
    assert vote_sampling_loss(targets, n_votes).mean() < floor
    # Many votes: (classes - 1) / (2 votes), the textbook's limit.
    assert vote_sampling_loss(np.full((1, 6), 1 / 6), np.array([400]))[0] == pytest.approx(5 / 800, rel=0.01)
    assert vote_sampling_loss(np.eye(6), np.full(6, 3)).tolist() == [0] * 6
    with pytest.raises(DataError, match="least 0"):
        vote_sampling_loss(np.eye(6), np.arange(6))


def test_reliability_and_its_error_agree_with_loops():
    rng = np.random.default_rng(2)
    expected, targets = fake_votes(rng, 500, np.full(500, 12))
    predictions = fake_model(rng, expected, 0.8, 1.8)
    table, errors = reliability(targets, predictions, 10), expected_calibration_error(targets, predictions, 10)
    assert table.groupby("class")["n"].sum().tolist() == [500] * 6
    for index, name in enumerate(CLASSES):
        total = 0.0
        for number in range(10):
            inside = (predictions[:, index] >= number / 10) & (predictions[:, index] < (number + 1) / 10)
            row = table[(table["class"] == name) & (table["bin"] == number)]
            assert len(row) == int(inside.any())
            if inside.any():
                gap = predictions[inside, index].mean() - targets[inside, index].mean()
                assert float((row["predicted"] - row["observed"]).iloc[0]) == pytest.approx(gap)
                total += abs(gap) * inside.sum() / 500
        assert errors[name] == pytest.approx(total)
    assert errors["all"] == pytest.approx(errors[list(CLASSES)].mean())


def test_a_sure_share_of_1_falls_into_the_last_bin():
    table = reliability(np.eye(6), np.eye(6))
    assert set(table["bin"]) == {0, 9}
    assert expected_calibration_error(np.eye(6), np.eye(6))["all"] == 0


def test_temperature_says_whether_predictions_are_too_sure():
    rng = np.random.default_rng(3)
    expected, targets = fake_votes(rng, 3000, np.full(3000, 14))
    assert best_temperature(targets, expected)[0] == pytest.approx(1, abs=0.05)
    sharp = expected**2 / np.sum(expected**2, axis=1, keepdims=True)
    temperature, biases = best_temperature(targets, sharp)
    assert temperature == pytest.approx(2, rel=0.05)
    assert list(biases) == list(CLASSES)


def test_unanimous_disagreements():
    targets = np.eye(6)[[0, 0, 1, 2, 3]]
    targets[3] = [0, 0, 0.9, 0.1, 0, 0]
    predictions = np.full((5, 6), 0.04)
    predictions[np.arange(5), [0, 1, 2, 4, 5]] = 0.8
    predictions[2, 1], predictions[2, 0] = 0.07, 0.01
    found = unanimous_disagreements(targets, predictions, np.array([9, 9, 9, 9, 2]))
    # Row 0 agrees, row 3 is not unanimous, row 4 has two votes only; the worst comes first.
    assert found["row"].tolist() == [1, 2]
    assert found["experts"].tolist() == ["Seizure", "LPD"]
    assert found["model"].tolist() == ["LPD", "GPD"]
    assert found["loss"].tolist() == pytest.approx([-np.log(0.04), -np.log(0.07)])
