"""A trained folder opened, without a training: the tables are made up."""

import numpy as np
import pandas as pd
import pytest

from hbaclib.artefacts import write_manifest, write_table
from hbaclib.conventions import OOF_COLUMNS, PREDICTION_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, LeakError
from hbaclib.training.trained_folder import TrainedFolder
from tests.training.tiny import TinyArrays, tiny_recipe


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays(n=24, patients=8, folds=2)


@pytest.fixture
def trained(arrays, tmp_path):
    recipe = tiny_recipe(seeds=[3, 5])
    for fold in (0, 1):
        for seed in recipe.seeds:
            table = arrays.samples[arrays.samples["patient_id"].map(arrays.folds) == fold].assign(fold=fold)
            table[list(PREDICTION_COLUMNS)] = np.random.default_rng([fold, seed]).dirichlet(np.ones(6), len(table))
            write_table(tmp_path / f"fold-{fold}-seed-{seed}.oof.parquet", table[list(OOF_COLUMNS)])
            (tmp_path / f"fold-{fold}-seed-{seed}.weights.h5").touch()
    parameters, facts = {"recipe": recipe.to_dict()}, {"folds": [0, 1]}
    write_manifest(tmp_path, "train", inputs={}, parameters=parameters, outputs=[], facts=facts)
    return TrainedFolder.open(tmp_path)


def test_recipe_and_weights_of_a_fold(trained):
    assert trained.recipe == tiny_recipe(seeds=[3, 5]) and trained.folds == (0, 1)
    assert [path.name for path in trained.weights(1)] == ["fold-1-seed-3.weights.h5", "fold-1-seed-5.weights.h5"]
    trained.weights(1)[1].unlink()
    with pytest.raises(ArtefactError, match=r"fold-1-seed-5\.weights\.h5: missing; train fold 1 again"):
        trained.weights(1)


def test_predictions_are_the_mean_over_the_seeds_sorted_by_id(trained, arrays):
    oof = trained.oof()
    assert oof["eeg_id"].tolist() == arrays.samples["eeg_id"].tolist() and tuple(oof.columns) == OOF_COLUMNS
    for fold in (0, 1):
        one, other = (
            pd.read_parquet(trained.path / f"fold-{fold}-seed-{seed}.oof.parquet")[list(PREDICTION_COLUMNS)]
            for seed in (3, 5)
        )
        found = trained.oof([fold])[list(PREDICTION_COLUMNS)]
        np.testing.assert_array_equal(found, (one.to_numpy() + other.to_numpy()) / 2)
    (trained.path / "fold-1-seed-3.oof.parquet").unlink()
    with pytest.raises(ArtefactError, match="fold 1 cannot be read"):
        trained.oof()


def test_tables_of_the_seeds_are_as_they_were_written(trained):
    tables = trained.oof_by_seed(1)
    assert list(tables) == [3, 5]
    for seed, table in tables.items():
        pd.testing.assert_frame_equal(table, pd.read_parquet(trained.path / f"fold-1-seed-{seed}.oof.parquet"))
    (trained.path / "fold-1-seed-3.oof.parquet").unlink()
    with pytest.raises(ArtefactError, match="fold 1 cannot be read"):
        trained.oof_by_seed(1)


def test_held_out_is_who_no_seed_has_seen(trained, arrays):
    assert trained.held_out(0).tolist() == [100, 102, 104, 106]
    with pytest.raises(ConfigError, match=r"fold 7 was not trained there; it has \[0, 1\]"):
        trained.held_out(7)
    trained.audit(0, arrays.samples, arrays.folds)
    # The second seed's network was trained on patient 102.
    path = trained.path / "fold-0-seed-5.oof.parquet"
    write_table(path, pd.read_parquet(path).query("patient_id != 102"))
    assert trained.held_out(0).tolist() == [100, 104, 106]
    with pytest.raises(LeakError, match="patient 102"):
        trained.audit(0, arrays.samples, arrays.folds)


def test_a_folder_of_another_kind_is_refused(tmp_path):
    write_manifest(tmp_path, "ensemble", inputs={}, parameters={}, outputs=[])
    with pytest.raises(ArtefactError, match="holds stage 'ensemble', expected 'train'"):
        TrainedFolder.open(tmp_path)


def test_a_recipe_that_is_no_table_is_told(tmp_path):
    write_manifest(tmp_path, "train", inputs={}, parameters={"recipe": "demo"}, outputs=[])
    with pytest.raises(ConfigError, match="the manifest's recipe is 'demo', expected a table"):
        TrainedFolder.open(tmp_path)
