from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, load_oof
from hbaclib.conventions import OOF_COLUMNS, PREDICTION_COLUMNS
from hbaclib.errors import DataError, DataFileError, LeakError
from hbaclib.evaluation.oof import oof_table


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    ids = pd.DataFrame({"eeg_id": np.repeat(np.arange(20), 2) + 500, "eeg_start": np.tile([0, 400], 20)})
    patients = np.repeat(np.arange(10), 4)
    shares = rng.dirichlet(np.ones(6), 40)
    return oof_table(ids, patients, np.full(40, 12), patients % 3, shares, rng.dirichlet(np.ones(6), 40))


def write(folder, name, table):
    (folder / name).mkdir()
    table.to_parquet(folder / name / "oof.parquet", index=False)
    return folder / name


def test_models_are_aligned_by_sample(tmp_path, table):
    other = table.copy()
    other[list(PREDICTION_COLUMNS)] = np.roll(table[list(PREDICTION_COLUMNS)].to_numpy(), 1, axis=1)
    first = write(tmp_path, "04_train_b0", table)
    second = write(tmp_path, "04_train_b1", other.sample(frac=1, random_state=1))
    oof = load_oof([first, second])
    assert tuple(table.columns) == OOF_COLUMNS
    assert oof.names == ("04_train_b0", "04_train_b1")
    assert oof.predictions.shape == (2, 40, 6)
    assert np.array_equal(oof.predictions[1], np.roll(oof.predictions[0], 1, axis=1))
    assert np.array_equal(oof.targets, table[list(VOTE_COLUMNS)])
    assert oof.ids["eeg_id"].is_monotonic_increasing
    assert np.array_equal(oof.folds, table["fold"])


def test_names_from_files_and_mappings(tmp_path, table):
    folder = write(tmp_path, "04_train_b0", table)
    table.to_parquet(tmp_path / "public.parquet")
    assert load_oof([folder / "oof.parquet", tmp_path / "public.parquet"]).names == ("04_train_b0", "public")
    assert load_oof({"a": folder, "b": folder}).names == ("a", "b")
    assert load_oof(folder).names == ("04_train_b0",)
    with pytest.raises(DataError, match="two models are called 04_train_b0"):
        load_oof([folder, folder])
    with pytest.raises(DataError, match="no out-of-fold tables"):
        load_oof([])


def test_every_fault_of_every_file_is_named(tmp_path, table):
    good = write(tmp_path, "good", table)
    nan = table.copy()
    nan.loc[3, "gpd_prediction"] = np.nan
    sums = table.copy()
    sums.loc[5, "lpd_prediction"] += 0.1
    doubled = pd.concat([table, table.iloc[[0]]])
    columns = table.drop(columns=["fold", "other_prediction"])
    bad = {"nan": nan, "sums": sums, "doubled": doubled, "columns": columns, "empty": table.iloc[:0]}
    with pytest.raises(DataError) as caught:
        load_oof([good, *(write(tmp_path, name, part) for name, part in bad.items())])
    message = str(caught.value)
    for part in (
        "nan/oof.parquet: predictions: NaN",
        "sums/oof.parquet: predictions: 1 row (row 5) do not sum to 1",
        "doubled/oof.parquet: 1 repeated samples",
        "columns/oof.parquet: column missing: fold, other_prediction",
        "empty/oof.parquet: no rows",
    ):
        assert part in message


def test_missing_and_unreadable_files(tmp_path, table):
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "oof.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataFileError) as caught:
        load_oof([tmp_path / "absent", tmp_path / "torn", write(tmp_path, "good", table)])
    assert "absent/oof.parquet: missing" in str(caught.value)
    assert "torn/oof.parquet: not a readable parquet file" in str(caught.value)


def test_ids_that_match_nothing(tmp_path, table):
    first, second = write(tmp_path, "a", table), write(tmp_path, "b", table.assign(eeg_id=table["eeg_id"] + 1000))
    with pytest.raises(DataError) as caught:
        load_oof([first, second])
    assert "a/oof.parquet: no prediction for 40 of 80 samples (eeg_id/eeg_start 1500/0" in str(caught.value)
    assert "b/oof.parquet: no prediction for 40 of 80 samples (eeg_id/eeg_start 500/0" in str(caught.value)


def test_other_targets_and_other_folds(tmp_path, table):
    first = write(tmp_path, "a", table)
    moved = table.copy()
    moved[list(VOTE_COLUMNS)] = np.roll(table[list(VOTE_COLUMNS)].to_numpy(), 1, axis=1)
    with pytest.raises(DataError, match="votes of 40 samples differ from a's"):
        load_oof([first, write(tmp_path, "b", moved.assign(n_votes=11))])
    with pytest.raises(LeakError, match="lie in other folds than in a"):
        load_oof([first, write(tmp_path, "c", table.assign(fold=(table["fold"] + 1) % 3))])
    split = table.assign(fold=np.arange(40) % 2)
    with pytest.raises(LeakError, match=r"patient 0 is in folds \[0, 1\], expected one"):
        load_oof([write(tmp_path, "d", split)])
