from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, recall_score

from hbaclib import CLASSES
from hbaclib.evaluation.clinical import agreement, clinical_table
from tests.report.fake_run import fake_model, fake_votes


def test_sensitivity_specificity_and_auc():
    rng = np.random.default_rng(0)
    expected, targets = fake_votes(rng, 400, np.full(400, 14))
    predictions = fake_model(rng, expected, 0.8)
    table = clinical_table(targets, predictions).set_index("class")
    truth, call = targets.argmax(axis=1), predictions.argmax(axis=1)
    recalls = recall_score(truth, call, average=None, labels=range(6))
    for index, name in enumerate(CLASSES):
        positive, score = truth == index, predictions[:, index]
        assert table.loc[name, "n"] == positive.sum()
        assert table.loc[name, "sensitivity"] == pytest.approx(recalls[index])
        assert table.loc[name, "specificity"] == pytest.approx(recall_score(~positive, call != index))
        # The area under the curve is the chance that a positive sample is ranked above a negative one.
        above = (score[positive][:, None] > score[~positive][None]).mean()
        ties = (score[positive][:, None] == score[~positive][None]).mean()
        assert table.loc[name, "auc"] == pytest.approx(above + ties / 2)


def test_classes_without_samples_have_no_figures():
    table = clinical_table(np.eye(6)[[5, 5]], np.full((2, 6), 1 / 6)).set_index("class")
    assert np.isnan(table.loc["LPD", "sensitivity"])
    assert np.isnan(table.loc["Other", ["specificity", "auc"]].astype(float)).all()


def test_kappa_of_the_experts_agrees_with_listing_every_vote():
    rng = np.random.default_rng(1)
    n_votes = rng.integers(2, 16, 150)
    expected, targets = fake_votes(rng, 150, n_votes)
    votes, pluralities = [], []
    for share, n in zip(targets, n_votes, strict=True):
        counts = np.rint(share * n).astype(int)
        for vote in np.repeat(np.arange(6), counts):
            others = counts.copy()
            others[vote] -= 1
            votes.append(vote)
            pluralities.append(others.argmax())
    weights = np.repeat(1 / n_votes, n_votes)
    found = agreement(targets, expected, n_votes)
    assert found["expert_kappa"] == pytest.approx(cohen_kappa_score(votes, pluralities, sample_weight=weights))
    assert found["model_kappa"] == pytest.approx(cohen_kappa_score(targets.argmax(axis=1), expected.argmax(axis=1)))


def test_fleiss_kappa_of_the_worked_example():
    """Fleiss 1971 as retold in textbooks: 10 subjects, 14 raters, 5 categories, kappa = 0.210."""
    counts = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
    )
    shares = np.hstack([counts, np.zeros((10, 1))]) / 14
    assert agreement(shares, shares, np.full(10, 14))["fleiss_kappa"] == pytest.approx(0.210, abs=5e-4)


def test_kappa_is_undefined_where_there_is_nothing_to_tell():
    single = agreement(np.eye(6), np.eye(6), np.ones(6))
    assert np.isnan(single["expert_kappa"])
    assert np.isnan(single["fleiss_kappa"])
    assert single["model_kappa"] == 1
    assert np.isnan(agreement(np.eye(6)[[0, 0]], np.eye(6)[[0, 0]], np.full(2, 9))["model_kappa"])
