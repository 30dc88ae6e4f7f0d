"""The labels that a fit trains on, worked out by hand: votes smoothed, mixed with pseudo-labels, smoothed as shares."""

import numpy as np
import pandas as pd
import pytest

from hbaclib.artefacts import write_manifest
from hbaclib.conventions import PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.stages.names import PSEUDO_LABELS
from hbaclib.training.targets import HELD_OUT, LABELS, training_targets
from tests.training.tiny import tiny_recipe

# Votes of 2, 3, 4 and 12 experts, and one row of the fold that is left out.
VOTES = np.array(
    [[2, 0, 0, 0, 0, 0], [0, 3, 0, 0, 0, 0], [1, 0, 3, 0, 0, 0], [6, 0, 0, 6, 0, 0], [0, 0, 0, 0, 0, 1]], float
)
PSEUDO = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def table():
    counts = VOTES.sum(axis=1)
    samples = pd.DataFrame({"eeg_id": range(5), "eeg_start": 0, "patient_id": [1, 1, 2, 2, 3], "n_votes": counts})
    samples[list(VOTE_COLUMNS)] = VOTES / counts[:, None]
    return samples, pd.Series([1, 1, 0], index=pd.Index([1, 2, 3], name="patient_id"), name="fold")


@pytest.fixture(scope="module")
def pseudo(table, tmp_path_factory):
    """Pseudo-labels of all four rows outside fold 0, those of many votes as well."""
    samples, _ = table
    folder = tmp_path_factory.mktemp("pseudo")
    rows = samples.loc[:3, list(SAMPLE_ID)].assign(fold=0, **dict(zip(PREDICTION_COLUMNS, PSEUDO, strict=True)))
    rows.to_parquet(folder / LABELS)
    pd.DataFrame({"fold": [0], "patient_id": [3]}).to_parquet(folder / HELD_OUT)
    write_manifest(folder, PSEUDO_LABELS, inputs={}, parameters={}, outputs=[LABELS, HELD_OUT])
    return folder


def mixed(shares):
    return 0.75 * np.array(shares) + 0.25 * PSEUDO


# Half a pseudo-vote for each of six classes: 2.5 and 0.5 of 5, 3.5 and 0.5 of 6, ...
TWO = np.array([2.5, 0.5, 0.5, 0.5, 0.5, 0.5]) / 5
THREE = np.array([0.5, 3.5, 0.5, 0.5, 0.5, 0.5]) / 6
FOUR = np.array([1.5, 0.5, 3.5, 0.5, 0.5, 0.5]) / 7
TWELVE = np.array([6.5, 0.5, 0.5, 6.5, 0.5, 0.5]) / 15
ONE = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 1.5]) / 4
PLAIN = VOTES / VOTES.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("up_to", "pseudo_up_to", "expected"),
    [
        (3, 4, [mixed(TWO), mixed(THREE), mixed(PLAIN[2]), PLAIN[3], ONE]),
        (3, 2, [mixed(TWO), THREE, PLAIN[2], PLAIN[3], ONE]),
        (0, 3, [mixed(TWO), mixed(THREE), FOUR, TWELVE, ONE]),  # 0: rows of any number of votes are smoothed
        (2, 12, [mixed(TWO), mixed(PLAIN[1]), mixed(PLAIN[2]), mixed(PLAIN[3]), ONE]),
    ],
)
def test_votes_are_smoothed_then_mixed_each_up_to_its_number_of_voters(table, pseudo, up_to, pseudo_up_to, expected):
    smoothing = {"label_smoothing": 0.0, "label_smoothing_votes": 0.5, "label_smoothing_up_to": up_to}
    recipe = tiny_recipe(**smoothing, pseudo_weight=0.25, pseudo_up_to=pseudo_up_to)
    labels = training_targets(recipe, *table, 0, pseudo)
    assert labels.shape == (5, 6) and labels.dtype == np.float32
    np.testing.assert_allclose(labels, expected, atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    # A share of every label is spread evenly last, over what is mixed in as well.
    spread = training_targets(recipe.override({"label_smoothing": 0.06}), *table, 0, pseudo)
    np.testing.assert_allclose(spread, 0.94 * np.array(expected) + 0.01, atol=1e-6)


def test_numbers_of_the_first_row(table, pseudo):
    """(2 + 1/2) of 5 votes is 0.5, three quarters of it 0.375; smoothed after the mixing it would be 0.4."""
    recipe = tiny_recipe(label_smoothing=0.0, label_smoothing_votes=0.5, label_smoothing_up_to=3, pseudo_weight=0.25)
    labels = training_targets(recipe, *table, 0, pseudo)
    np.testing.assert_allclose(labels[0], [0.375, 0.325, 0.075, 0.075, 0.075, 0.075], atol=1e-6)


def test_votes_alone_stay_as_they_are(table):
    samples, folds = table
    labels = training_targets(tiny_recipe(label_smoothing=0.0), samples, folds, 0)
    np.testing.assert_allclose(labels, PLAIN, atol=1e-6)
