"""The one fold table, by patient, and the audit that no patient is scored by a model trained on that patient."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.errors import ConfigError, DataError, LeakError, list_some


def patient_folds(train: pd.DataFrame, n_folds: int = 5, seed: int = 0) -> pd.Series:
    """Assign every patient to one fold, the classes balanced as well as whole patients allow.

    Made once, from ``train.csv``, and mapped onto any samples table: folds made anew from a samples table put patients
    elsewhere, and what one stage trained on is then scored by the next.

    Args:
        train: rows of ``train.csv``; a recording counts once, by the class with most of its votes.
        n_folds: number of folds, 2 or more.
        seed: of the shuffle.

    Returns:
        int64 fold numbers 0 .. n_folds - 1, named ``fold``, indexed by ``patient_id`` in ascending order.

    Raises:
        ConfigError: ``n_folds`` is below 2 or above the number of patients, or a number is none.
    """
    for name, value in (("n_folds", n_folds), ("seed", seed)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise ConfigError(f"{name} is {value!r}, expected a whole number")
    if not 0 <= seed <= 2**32 - 1:
        raise ConfigError(f"seed is {seed}, expected 0 to {2**32 - 1}")
    recordings = train.groupby("eeg_id", sort=True)[list(VOTE_COLUMNS)].sum()
    patients = train.groupby("eeg_id", sort=True)["patient_id"].first().to_numpy()
    n_patients = len(np.unique(patients))
    if not 2 <= n_folds <= n_patients:
        raise ConfigError(f"n_folds is {n_folds}, expected 2 .. {n_patients} (the number of patients)")
    classes = recordings.to_numpy().argmax(axis=1)
    # The stratified splitter refuses more folds than members of the largest class; then only the grouping is left.
    if np.bincount(classes, minlength=len(CLASSES)).max() < n_folds:
        classes = np.zeros_like(classes)
    # Up to scikit-learn 1.7 the splitter's own shuffle mixes up the patients' class counts and loses the balance;
    # numbering the patients in a random order does what it is meant to, in every version alike.
    order = np.random.RandomState(seed).permutation(n_patients)
    number = np.argsort(order)[np.unique(patients, return_inverse=True)[1]]
    splitter = StratifiedGroupKFold(n_splits=n_folds)
    fold_of = np.empty(len(patients), np.int64)
    with warnings.catch_warnings():
        # A class rarer than the number of folds cannot be in all of them; that is no fault of the table.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(classes, classes, number)):
            fold_of[held_out] = fold
    if len(np.unique(fold_of)) < n_folds:
        # Few patients: balancing the classes may leave a fold without any. Their number alone is balanced then.
        for fold, (_, held_out) in enumerate(GroupKFold(n_folds).split(classes, classes, patients)):
            fold_of[held_out] = fold
    table = pd.DataFrame({"patient_id": patients, "fold": fold_of}).drop_duplicates().set_index("patient_id")["fold"]
    return table.sort_index()


def audit_held_out(patients: np.ndarray, folds: np.ndarray, source: str = "fold table") -> None:
    """`audit_folds` for tables that carry the fold of every row, such as out-of-fold predictions.

    What is fitted to them and scored nested (weights, stackers) learns from the rows of all other folds.

    Args:
        patients: (n,) patient of every row.
        folds: (n,) fold of every row.
        source: how messages call the table.

    Raises:
        LeakError: naming a patient whose rows lie in two folds.
    """
    rows = pd.DataFrame({"patient_id": patients, "fold": folds})
    # Whoever trains on all folds but one learns from no patient of that one, if no patient is in two.
    audit_folds(rows, rows.drop_duplicates().set_index("patient_id")["fold"], {}, source)


def audit_folds(
    samples: pd.DataFrame,
    folds: pd.Series,
    used_for_training: np.ndarray | pd.Series | Mapping[int, np.ndarray | pd.Series | Collection[int]],
    source: str = "fold table",
) -> None:
    """Check that no patient is both trained on and scored.

    Args:
        samples: table with ``patient_id``, one row per sample.
        folds: fold of every patient, indexed by ``patient_id``: the one fold table.
        used_for_training: what was trained on.
            For all fits: scored fold -> boolean mask over the samples, or the ids of the patients, that the model
            scored on this fold was trained on (in any stage, pseudo-labels and stackers included).
            For a single fit: a boolean mask over the samples. All folds it took no sample from are those it is scored
            on; of every other fold all patients with a sample must be in the mask, else the fold is split.
        source: how messages call the table of folds.

    Raises:
        LeakError: naming the first patient on both sides, or one that the fold table holds twice.
        DataError: a patient has no fold, or a mask does not fit the samples.
    """
    if folds.index.has_duplicates:
        patient = folds.index[folds.index.duplicated()][0]
        raise LeakError(f"{source}: patient {patient} is in folds {sorted(set(folds.loc[patient]))}, expected one")
    patients = samples["patient_id"].to_numpy()
    unknown = np.setdiff1d(patients, folds.index.to_numpy())
    if len(unknown):
        raise DataError(f"{source}: no fold for patient {list_some(unknown)}")
    if isinstance(used_for_training, Mapping):
        for fold, used in used_for_training.items():
            trained = _patients(used, patients)
            both = np.intersect1d(trained, folds.index[folds == fold].to_numpy())
            if len(both):
                raise LeakError(
                    f"fold {fold}: patient {both[0]} was trained on and is scored ({len(both)} such patients); "
                    f"expected patients of other folds only"
                )
        return
    trained = _patients(np.asarray(used_for_training), patients)
    fold_of = samples["patient_id"].map(folds).to_numpy()
    touched = np.unique(fold_of[np.isin(patients, trained)])
    scored = np.setdiff1d(patients, trained)
    split = np.intersect1d(folds.loc[scored].to_numpy(), touched)
    mask = np.asarray(used_for_training, bool)
    halved = np.intersect1d(patients[mask], patients[~mask])
    if len(halved):
        raise LeakError(f"patient {halved[0]} has samples trained on and samples held out; expected one of the two")
    if len(split):
        leaked = np.intersect1d(trained, folds.index[folds == split[0]].to_numpy())
        raise LeakError(
            f"fold {split[0]}: patient {leaked[0]} was trained on, though others of its fold are scored; "
            "expected a fold to be trained on as a whole or not at all"
        )


def _patients(used: np.ndarray | pd.Series | Collection[int], patients: np.ndarray) -> np.ndarray:
    """Ids of the patients trained on, from a boolean mask over the samples or from the ids themselves."""
    values = np.asarray(list(used) if isinstance(used, set | frozenset) else used)
    if values.dtype != bool:
        return np.unique(values)
    if values.shape != patients.shape:
        raise DataError(f"mask of the samples trained on has shape {values.shape}, expected {patients.shape}")
    return np.unique(patients[values])
