"""The one fold table, and the audit that catches every known way to leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hbaclib import audit_folds, non_overlapping_samples, patient_folds, vote_group_samples
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import ConfigError, DataError, LeakError
from tests.dataset.tiny import train_rows


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return train_rows(240, 3)


def test_every_patient_has_one_fold_and_every_fold_patients(train: pd.DataFrame) -> None:
    folds = patient_folds(train, 5, seed=1)
    assert folds.index.tolist() == sorted(train["patient_id"].unique())
    assert folds.dtype == np.int64 and set(folds) == set(range(5))
    assert folds.value_counts().max() <= 2 * folds.value_counts().min()


def test_the_seed_decides_in_both_directions_and_row_order_does_not(train: pd.DataFrame) -> None:
    folds = patient_folds(train, 5, seed=1)
    assert folds.equals(patient_folds(train.sample(frac=1, random_state=0), 5, seed=1))
    assert not folds.equals(patient_folds(train, 5, seed=2))


def test_classes_are_balanced(train: pd.DataFrame) -> None:
    """Clearly better than dealing the patients out at random, with every version of scikit-learn."""
    samples = non_overlapping_samples(train)
    classes = samples[list(VOTE_COLUMNS)].to_numpy().argmax(axis=1)

    def imbalance(folds: pd.Series) -> float:
        counts = pd.crosstab(samples["patient_id"].map(folds), classes)
        return float((counts - counts.sum() / 4).abs().to_numpy().sum())

    folds = patient_folds(train, 4)
    rng = np.random.default_rng(0)
    chance = [imbalance(pd.Series(rng.permutation(folds.to_numpy()), index=folds.index)) for _ in range(100)]
    assert imbalance(folds) < np.quantile(chance, 0.25)


@pytest.mark.parametrize("n_patients", range(2, 9))
def test_as_many_folds_as_patients_leave_none_empty(n_patients: int) -> None:
    folds = patient_folds(train_rows(4 * n_patients, 1), n_patients)
    assert sorted(folds) == list(range(n_patients))


@pytest.mark.parametrize("n_folds", [1, 61])
def test_impossible_numbers_of_folds(train: pd.DataFrame, n_folds: int) -> None:
    with pytest.raises(ConfigError, match=rf"n_folds is {n_folds}, expected 2 \.\. 60"):
        patient_folds(train, n_folds)


def test_one_table_serves_both_samplings_and_passes_the_audit(train: pd.DataFrame) -> None:
    folds = patient_folds(train)
    for samples in (non_overlapping_samples(train), vote_group_samples(train)):
        fold_of = samples["patient_id"].map(folds).to_numpy()
        audit_folds(samples, folds, {fold: fold_of != fold for fold in range(5)})
        for fold in range(5):
            audit_folds(samples, folds, fold_of != fold)


def test_plain_k_fold_leaks(train: pd.DataFrame) -> None:
    samples = vote_group_samples(train)
    mask = np.arange(len(samples)) % 5 != 0
    with pytest.raises(LeakError, match=r"patient \d+ has samples trained on and samples held out"):
        audit_folds(samples, patient_folds(train), mask)


def test_folds_made_anew_for_the_second_stage_leak(train: pd.DataFrame) -> None:
    samples = vote_group_samples(train)
    first, second = patient_folds(train, seed=0), patient_folds(train, seed=1)
    fold_of = samples["patient_id"].map(first)
    with pytest.raises(LeakError, match=r"fold 0: patient \d+ was trained on"):
        audit_folds(samples, second, {fold: fold_of != fold for fold in range(5)})
    with pytest.raises(LeakError, match=r"patient \d+ was trained on, though others of its fold are scored"):
        audit_folds(samples, second, (fold_of != 0).to_numpy())


def test_patients_of_pseudo_labels_leak_and_are_named(train: pd.DataFrame) -> None:
    samples, folds = vote_group_samples(train), patient_folds(train)
    leaked = folds.index[folds == 3][0]
    allowed = {fold: set(folds.index[folds != fold]) for fold in range(5)}
    audit_folds(samples, folds, allowed)
    allowed[3].add(leaked)
    with pytest.raises(LeakError, match=f"fold 3: patient {leaked} was trained on and is scored"):
        audit_folds(samples, folds, allowed)


def test_a_patient_in_two_folds_or_in_none(train: pd.DataFrame) -> None:
    samples, folds = vote_group_samples(train), patient_folds(train)
    twice = pd.concat([folds, pd.Series({folds.index[0]: (folds.iloc[0] + 1) % 5})])
    with pytest.raises(LeakError, match=f"patient {folds.index[0]} is in folds"):
        audit_folds(samples, twice, {})
    with pytest.raises(DataError, match=f"no fold for patient {folds.index[0]}"):
        audit_folds(samples, folds.iloc[1:], {})
    with pytest.raises(DataError, match="has shape"):
        audit_folds(samples, folds, {0: np.ones(3, bool)})
