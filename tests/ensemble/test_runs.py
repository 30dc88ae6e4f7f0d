"""Recipes of several trained folders put together, without a training: the predictions are made up."""

import shutil

import numpy as np
import pytest

from hbaclib import compare_runs, open_runs, pair_runs
from hbaclib.artefacts import write_manifest
from hbaclib.ensemble.runs import best_of, pair_with
from hbaclib.errors import ArtefactError, ConfigError, DataError, LeakError
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.evaluation.oof import load_oof
from tests.ensemble.made_runs import make_samples, make_trained


def test_seeds_of_a_folder_are_the_recipes(tmp_path):
    folder = make_trained(tmp_path / "04_a", name="gold", seeds=[3, 0, 7])
    runs = open_runs(folder)
    (name,), (recipe,) = runs.recipes, runs.recipes.values()
    assert name == "gold" and recipe.seeds == (0, 3, 7) and recipe.folders == (folder,)
    assert runs.folds == (0, 1, 2) and runs.notes == ()
    # What the folder's table holds is their mean.
    oof = load_oof(folder)
    np.testing.assert_allclose(recipe.predictions.mean(axis=0), oof.predictions[0], atol=1e-12)
    assert runs.rows.ids.equals(oof.ids) and np.array_equal(runs.rows.targets, oof.targets)
    row = compare_runs(runs).set_index("tier").loc[">=10"]
    many = runs.rows.many_votes
    scores = [kl_divergence(oof.targets[many], shares[many]) for shares in recipe.predictions]
    assert row["kl"] == pytest.approx(np.mean(scores)) and row["lowest"] == pytest.approx(min(scores))
    assert row["averaged"] == pytest.approx(kl_divergence(oof.targets[many], oof.predictions[0][many]))


def test_folders_that_differ_in_seeds_are_one_recipe(tmp_path):
    for run, seed in (("first", 0), ("second", 1)):
        make_trained(tmp_path / run / "04_train_x", name="x", seeds=[seed])
        make_trained(tmp_path / run / "05_train_y", name="y", seeds=[seed, seed + 10], noise=0.9)
    runs = open_runs([tmp_path / "first", tmp_path / "second"])
    assert {name: recipe.seeds for name, recipe in runs.recipes.items()} == {"x": (0, 1), "y": (0, 1, 10, 11)}
    assert [folder.parent.name for folder in runs.recipes["x"].folders] == ["first", "second"]
    pair = pair_runs(runs, "x", "y").set_index("tier").loc[">=10"]
    scores = compare_runs(runs).set_index(["tier", "recipe"]).loc[">=10"]
    assert pair["difference"] == pytest.approx(scores.loc["x", "kl"] - scores.loc["y", "kl"])
    assert pair["note"].startswith("two seeds: rough") and best_of(compare_runs(runs)) == "x"
    assert set(pair_with(runs)["first"]) == {"y"} and set(pair_with(runs, "y")["first"]) == {"x"}


def test_recipes_of_one_name_are_called_by_folder_and_run(tmp_path):
    make_trained(tmp_path / "r" / "b0", name="demo")
    make_trained(tmp_path / "r" / "b1", name="demo", changes={"dropout": 0.1})
    make_trained(tmp_path / "r" / "own", name="own")
    assert list(open_runs(tmp_path / "r").recipes) == ["b0", "b1", "own"]
    make_trained(tmp_path / "q" / "b1", name="demo", changes={"dropout": 0.2})
    assert list(open_runs([tmp_path / "r", tmp_path / "q"]).recipes) == ["b0", "r/b1", "own", "q/b1"]


def test_other_inputs_are_another_recipe_unless_it_is_named(tmp_path):
    one = make_trained(tmp_path / "one" / "x", seeds=[0])
    other = make_trained(tmp_path / "other" / "x", seeds=[1], inputs={"arrays": "b"}, code="new")
    assert list(open_runs([one, other]).recipes) == ["one/x", "other/x"]
    runs = open_runs({"both": [one, other]})
    assert runs.recipes["both"].seeds == (0, 1)
    assert runs.notes == (
        "both: its seeds were trained on different inputs",
        "both: its seeds were trained by different versions of the code",
    )
    assert list(open_runs({"a": one, "b": other}).recipes) == ["a", "b"]


def test_names_of_a_mapping_stand_before_several_recipes(tmp_path):
    for run, noise in (("old", 0.5), ("new", 0.6)):
        make_trained(tmp_path / run / "b0", name="demo", noise=noise)
        make_trained(tmp_path / run / "b1", name="demo", noise=noise, changes={"dropout": 0.1})
    runs = open_runs({"before": tmp_path / "old", "after": tmp_path / "new"})
    assert list(runs.recipes) == ["before/b0", "before/b1", "after/b0", "after/b1"]


def test_a_seed_trained_twice_counts_once_or_is_told(tmp_path):
    one = make_trained(tmp_path / "one" / "x", seeds=[0, 1])
    copy = make_trained(tmp_path / "copy" / "x", seeds=[1, 2])
    runs = open_runs([one, copy])
    assert runs.recipes["tiny"].seeds == (0, 1, 2)
    assert any("copy/x, seed 1: the same predictions as" in note for note in runs.notes)

    def spoil(table, fold, seed):
        return table.assign(seizure_prediction=table["lpd_prediction"], lpd_prediction=table["seizure_prediction"])

    other = make_trained(tmp_path / "other" / "x", seeds=[1], spoil=spoil)
    with pytest.raises(ConfigError, match=r"other/x: seed 1 of recipe 'tiny' was trained in .*one/x, too"):
        open_runs([one, other])
    later = make_trained(tmp_path / "later" / "x", seeds=[1], spoil=spoil, code="later")
    runs = open_runs([one, later])
    assert {name: recipe.seeds for name, recipe in runs.recipes.items()} == {"one/x": (0, 1), "later/x": (1,)}
    assert any("from other code: kept apart" in note for note in runs.notes)


def test_only_folds_that_all_have_are_compared(tmp_path):
    whole = make_trained(tmp_path / "whole", name="whole")
    part = make_trained(tmp_path / "part", name="part", folds=[1, 2])
    runs = open_runs([whole, part])
    assert runs.folds == (1, 2) and set(runs.rows.folds) == {1, 2} and len(runs.rows.targets) == 160
    assert runs.notes == (f"only rows of fold 1, 2 are compared, which all have: {part} has 1, 2",)
    other = make_trained(tmp_path / "other", name="other", folds=[0])
    with pytest.raises(DataError, match=r"no fold that all were trained on: .*part has 1, 2, .*other has 0"):
        open_runs([whole, part, other])


def test_other_samples_votes_and_folds_are_told(tmp_path):
    sound = make_trained(tmp_path / "sound", name="sound")
    fewer = make_trained(tmp_path / "fewer", name="fewer", spoil=lambda table, fold, seed: table.iloc[fold:])
    with pytest.raises(DataError, match=r"fewer: no prediction for 3 of 240 samples"):
        open_runs([sound, fewer])
    samples, expected = make_samples()
    votes = samples.assign(n_votes=samples["n_votes"] + (samples.index < 5))
    with pytest.raises(DataError, match=r"votes: n_votes of 5 samples differ from .*sound's"):
        open_runs([sound, make_trained(tmp_path / "votes", name="votes", samples=(votes, expected))])
    moved = samples.assign(fold=np.where(samples["patient_id"] == 100, 0, samples["fold"]))
    assert (moved["fold"] != samples["fold"]).sum() == 4
    with pytest.raises(LeakError, match=r"moved: 4 samples \(patients 100\) lie in other folds"):
        open_runs([sound, make_trained(tmp_path / "moved", name="moved", samples=(moved, expected))])
    # Also where the fold that they lie in now is not trained in both.
    part = make_trained(tmp_path / "part", name="part", samples=(moved, expected), folds=[0])
    with pytest.raises(LeakError, match=r"part: 4 samples"):
        open_runs([sound, part])


def test_tables_that_are_none_are_told_by_file(tmp_path):
    def spoil(table, fold, seed):
        return table.assign(gpd_prediction=np.nan) if (fold, seed) == (1, 4) else table

    folder = make_trained(tmp_path / "nan", seeds=[3, 4], spoil=spoil)
    with pytest.raises(DataError, match=r"nan/fold-1-seed-4\.oof\.parquet: predictions: NaN or infinite values in 80"):
        open_runs(folder)
    strange = make_trained(tmp_path / "strange", spoil=lambda table, fold, seed: table.assign(fold=0))
    with pytest.raises(DataError, match=r"fold-1\.oof\.parquet: 80 of 80 samples are of other folds"):
        open_runs(strange)
    (sound := make_trained(tmp_path / "sound")).joinpath("fold-0.oof.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtefactError, match=r"fold-0\.oof\.parquet: changed since its manifest was written"):
        open_runs(sound)


def test_what_is_no_trained_folder_is_told(tmp_path):
    sound = make_trained(tmp_path / "run" / "x")
    with pytest.raises(ArtefactError, match="absent: no such folder; expected the folder of a trained network"):
        open_runs(tmp_path / "absent")
    with pytest.raises(ArtefactError, match=r"oof\.parquet: is a file"):
        open_runs(sound / "oof.parquet")
    with pytest.raises(ConfigError, match=r"x: is named twice \(as .*run/x, too\)"):
        open_runs([tmp_path / "run", tmp_path / "run" / ".." / "run" / "x"])
    with pytest.raises(ConfigError, match="nothing to compare"):
        open_runs([])
    with pytest.raises(ConfigError, match="3 is no path"):
        open_runs([3])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtefactError, match=r"empty: holds no trained network \(found nothing\)"):
        open_runs(tmp_path / "empty")
    write_manifest(tmp_path / "empty", "07_ensemble", inputs={}, parameters={}, outputs=[])
    with pytest.raises(ArtefactError, match="holds stage '07_ensemble', expected 'train' or 'first_round'"):
        open_runs(tmp_path / "empty")


def test_unfinished_trainings_are_told(tmp_path):
    run = tmp_path / "run"
    sound = make_trained(run / "x")
    begun = shutil.copytree(sound, run / "y")
    (begun / "manifest.json").unlink()
    (begun / "fold-0.fit.json").write_text("{}")
    assert open_runs(run).notes == (f"{run}: not finished there: y",)
    with pytest.raises(ArtefactError, match=r"run/y: the training there has not finished"):
        open_runs([sound, begun])
    shutil.rmtree(sound)
    with pytest.raises(ArtefactError, match=r"run: holds no trained network \(not finished there: y\)"):
        open_runs(run)


def test_unknown_names_are_told(tmp_path):
    runs = open_runs([make_trained(tmp_path / "a", name="first"), make_trained(tmp_path / "b", name="second")])
    with pytest.raises(ConfigError, match="recipe 'fist' is unknown; did you mean first"):
        pair_runs(runs, "second", "fist")
    with pytest.raises(ConfigError, match="recipe 'first' is compared with itself"):
        pair_runs(runs, "first", "first")
    with pytest.raises(ConfigError, match="recipe 'thrid' is unknown"):
        pair_with(runs, "thrid")
    assert set(pair_runs(runs, "first", "second")["says"]) == {"one seed: not ranked"}
