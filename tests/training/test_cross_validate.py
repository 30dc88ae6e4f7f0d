import dataclasses
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from hbaclib import kl_divergence
from hbaclib.artefacts import read_manifest, verify
from hbaclib.conventions import MANY_VOTES, OOF_COLUMNS, PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, DataError, LeakError, PlatformError, TrainingError
from hbaclib.prediction.predictor import Predictor
from hbaclib.training.cross_validate import train
from hbaclib.training.fit import Fit
from hbaclib.training.trained_folder import TrainedFolder
from tests.training.tiny import TinyArrays, tiny_recipe


def weights_of(folder, name="fold-0"):
    import h5py

    found = {}
    with h5py.File(folder / f"{name}.weights.h5") as file:
        file.visititems(lambda key, item: found.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def same(first, second):
    return first.keys() == second.keys() and all((first[key] == second[key]).all() for key in first)


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays()


@pytest.fixture(scope="module")
def trained(arrays, tmp_path_factory):
    return train(tiny_recipe(), arrays, tmp_path_factory.mktemp("run") / "04_train_tiny", progress=False)


def test_folder_holds_what_the_next_stages_read(trained, arrays):
    recipe = tiny_recipe()
    assert TrainedFolder.open(trained).recipe == recipe
    manifest = verify(trained)
    assert manifest.inputs.keys() == {"arrays", "network"} and manifest.inputs["arrays"] == arrays.digest
    assert manifest.code and manifest.facts["folds"] == [0, 1]
    assert {"fold-0.weights.h5", "fold-1.oof.parquet", "oof.parquet", "history.csv"} <= set(manifest.outputs)
    assert not list(trained.glob("*.checkpoint.npz")) and not list(trained.glob(".*"))
    history = pd.read_csv(trained / "fold-0.history.csv")
    assert list(history["stage"]) == [1, 1, 2, 2] and list(history["epoch"]) == [1, 2, 1, 2]
    assert history["loss"].notna().all() and history["val_kl_many_votes"].notna().all()


def test_every_sample_is_predicted_once_by_networks_that_never_saw_its_patient(trained, arrays):
    oof = pd.read_parquet(trained / "oof.parquet")
    assert tuple(oof.columns) == OOF_COLUMNS and len(oof) == len(arrays.samples)
    assert (oof["eeg_id"].to_numpy() == arrays.samples["eeg_id"].to_numpy()).all()
    assert (oof["fold"].to_numpy() == arrays.samples["patient_id"].map(arrays.folds).to_numpy()).all()
    np.testing.assert_allclose(oof[list(PREDICTION_COLUMNS)].sum(axis=1), 1, atol=1e-6)
    assert oof[list(VOTE_COLUMNS)].equals(arrays.samples[list(VOTE_COLUMNS)])


def test_learning_curve_ends_at_the_score_of_the_stored_predictions(trained):
    for fold in (0, 1):
        oof = pd.read_parquet(trained / f"fold-{fold}.oof.parquet")
        last = pd.read_csv(trained / f"fold-{fold}.history.csv").iloc[-1]
        scores = [
            kl_divergence(part[list(VOTE_COLUMNS)].to_numpy(), part[list(PREDICTION_COLUMNS)].to_numpy())
            for part in (oof, oof[oof["n_votes"] >= MANY_VOTES])
        ]
        assert (last["val_kl"], last["val_kl_many_votes"]) == pytest.approx(scores, abs=1e-6)


def test_it_learns(arrays, tmp_path):
    recipe = tiny_recipe(**{"stages.0.epochs": 12, "stages.0.peak": 2e-2, "batch": 8})
    folder = train(recipe, arrays, tmp_path, folds=[0], progress=False)
    history = pd.read_csv(folder / "fold-0.history.csv")
    targets = arrays.samples[list(VOTE_COLUMNS)].to_numpy()
    mean = kl_divergence(targets, np.tile(targets.mean(axis=0), (len(targets), 1)))
    assert history["val_kl"].iloc[-1] < 0.6 * mean


def test_finished_work_is_not_done_again(trained, arrays, monkeypatch):
    import hbaclib.training.cross_validate as module

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    before = read_manifest(trained)
    monkeypatch.setattr(module, "run_fit", refuse)
    assert train(tiny_recipe(), arrays, trained, progress=False) == trained
    assert train(tiny_recipe(), arrays, trained, folds=[1], progress=False) == trained
    assert read_manifest(trained) == before


@pytest.mark.parametrize("change", [{"data": "other"}, {"seed": 1}, {"fold": 1}, {"code": "other"}, {"recipe": None}])
def test_a_fit_of_anything_else_is_not_taken_for_this_one(trained, arrays, tmp_path, change):
    fit = Fit(recipe=tiny_recipe(), fold=0, seed=0, folder=trained, data=arrays.digest)
    assert fit.finished()
    other = dataclasses.replace(
        fit, folder=tmp_path, **change | ({"recipe": tiny_recipe(ema=0.8)} if "recipe" in change else {})
    )
    for one, copy in zip(
        [*fit.outputs(), fit.path("fit.json")], [*other.outputs(), other.path("fit.json")], strict=True
    ):
        shutil.copy(one, copy)
    assert other.key != fit.key and not other.finished()


def test_a_retraining_that_is_killed_leaves_no_folder_that_looks_finished(trained, arrays, tmp_path, monkeypatch):
    """Its first fold would be of the new recipe and its second of the old one."""
    import hbaclib.training.cross_validate as module

    folder = shutil.copytree(trained, tmp_path / "again")
    real = module.run_fit

    def killed(fit, *args, **kwargs):
        if fit.fold == 1:
            raise KeyboardInterrupt
        return real(fit, *args, **kwargs)

    monkeypatch.setattr(module, "run_fit", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(seeds=[5]), arrays, folder, progress=False)
    assert not (folder / "manifest.json").exists() and not (folder / "oof.parquet").exists()
    with pytest.raises(ArtefactError, match=r"manifest\.json"):
        Predictor.load(folder)
    monkeypatch.undo()
    assert read_manifest(train(tiny_recipe(seeds=[5]), arrays, folder, progress=False)).facts["folds"] == [0, 1]


def test_weights_of_another_network_are_refused_while_the_trained_folder_is_whole(trained, arrays, tmp_path):
    import h5py

    folder = shutil.copytree(trained, tmp_path / "again")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = [b"block1a_dwconv", b"block1b_dwconv"]
    recipe = tiny_recipe(backbone="efficientnet_b0", weights=str(tmp_path / "other.h5"))
    with pytest.raises(ConfigError, match=r"other\.h5: not the weights of efficientnet-b0; layers it lacks: block2a"):
        train(recipe, arrays, folder, progress=False)
    verify(folder)
    assert Predictor.load(folder).recipe == tiny_recipe()


def test_the_rows_of_a_fit_are_audited_and_not_the_table_alone(arrays, tmp_path, monkeypatch):
    from hbaclib.training.trainer import Trainer

    real = Trainer.rows_of
    leak = np.flatnonzero(arrays.samples["patient_id"].map(arrays.folds).to_numpy() == 0)[:1]
    # In the second stage alone: what the first one used is in order.
    monkeypatch.setattr(
        Trainer,
        "rows_of",
        lambda self, stage: np.append(real(self, stage), leak) if stage.min_votes > 1 else real(self, stage),
    )
    patient = arrays.samples["patient_id"].iloc[leak[0]]
    with pytest.raises(LeakError, match=f"fold 0: patient {patient} was trained on and is scored"):
        train(tiny_recipe(), arrays, tmp_path, folds=[0], progress=False)
    assert not list(tmp_path.glob("*.weights.h5"))


def test_files_of_an_earlier_recipe_do_not_stay_beside_the_new_ones(trained, arrays, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "again")
    (folder / "fold-notes").mkdir()
    train(tiny_recipe(seeds=[3, 4]), arrays, folder, progress=False)
    left = {path.name.split(".")[0] for path in folder.glob("fold-*") if path.is_file()}
    assert left == {f"fold-{fold}-seed-{seed}" for fold in (0, 1) for seed in (3, 4)}
    assert set(pd.read_csv(folder / "history.csv")["seed"]) == {3, 4}


def test_arrays_that_changed_under_their_manifest_are_refused_before_training(arrays, tmp_path, monkeypatch):
    import hbaclib.training.cross_validate as module

    class Changed(TinyArrays):
        def verify(self):
            raise ArtefactError("02_eeg_spectrograms: missing or changed since its manifest was written: raw.npy")

    monkeypatch.setattr(module, "InputArrays", Changed)
    monkeypatch.setattr(module, "run_fit", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ArtefactError, match=r"changed since .*raw\.npy"):
        train(tiny_recipe(), Changed(), tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


def test_every_fit_has_a_process_of_its_own_where_there_are_several_devices(trained, arrays, tmp_path, capfd):
    """Numbers that name no GPU here: the fits claim them all the same and run on the CPU."""
    seen = []
    folder = train(tiny_recipe(), arrays, tmp_path, devices=("0", "1"), on_epoch=seen.append)
    for fold in (0, 1):
        # Equal but for the last bits: in this process TensorFlow may have started with more threads than a fit has.
        alone, there = (weights_of(place, f"fold-{fold}") for place in (trained, folder))
        assert alone.keys() == there.keys()
        for key, value in alone.items():
            np.testing.assert_allclose(there[key], value, atol=1e-5, err_msg=key)
    facts = [json.loads((folder / f"fold-{fold}.fit.json").read_text())["facts"] for fold in (0, 1)]
    assert {fact["device"] for fact in facts} <= {"0", "1"}
    # One bar over the epochs of both, and the curves as they are at the end.
    assert "2 fits: 100%" in capfd.readouterr().err
    last = seen[-1]
    assert len(last) == 8 and set(last["fold"]) == {"fold-0", "fold-1"} and last["loss"].notna().all()


def test_one_fit_leaves_all_devices_to_those_after_it(arrays, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    train(tiny_recipe(), arrays, tmp_path, folds=[1], devices=("0", "1"), progress=False)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_rounds_grow_fewer_as_fits_end(arrays, tmp_path, monkeypatch):
    """What a fit adds to the time that is needed: the fits behind it, shared by all devices."""
    given = []

    def look(self, jobs, *arguments):
        given.extend(job.prepare(0)[2] for job in jobs)
        return {}

    monkeypatch.setattr("hbaclib.training.children.Children.run", look)
    train(tiny_recipe(seeds=[0, 1, 2]), arrays, tmp_path, devices=("0", "1"), progress=False)
    assert [named["rounds"] for named in given] == [3, 3, 2, 2, 1, 1]
    assert {named["at_once"] for named in given} == {2} and {named["claim"] for named in given} == {("0", "1")}


def test_what_draws_the_curves_cannot_stop_the_training(arrays, tmp_path, caplog):
    def fail(history):
        raise RuntimeError("no display")

    folder = train(tiny_recipe(), arrays, tmp_path, folds=[0], progress=False, on_epoch=fail)
    assert (folder / "fold-0.weights.h5").is_file()
    assert "cannot be shown" in caplog.text


def test_a_run_that_would_not_fit_the_memory_is_refused_at_its_start(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr("hbaclib.training.limits.available_memory", lambda: 50 * 2**20)
    with pytest.raises(PlatformError, match=r"fold-0: 50 MiB of memory are left .* about 1\d\d MiB are needed"):
        train(tiny_recipe(), arrays, tmp_path, progress=False)
    assert not list(tmp_path.glob("*.weights.h5"))


def test_folds_come_one_by_one(trained, arrays, tmp_path):
    folder = train(tiny_recipe(), arrays, tmp_path, folds=[1], progress=False)
    assert not (folder / "oof.parquet").exists() and read_manifest(folder).facts["folds"] == [1]
    written = (folder / "fold-1.weights.h5").stat().st_mtime_ns
    train(tiny_recipe(), arrays, folder, progress=False)
    assert (folder / "fold-1.weights.h5").stat().st_mtime_ns == written
    assert (folder / "oof.parquet").read_bytes() == (trained / "oof.parquet").read_bytes()


def test_one_seed_one_result_another_seed_another(trained, arrays, tmp_path):
    again = train(tiny_recipe(), arrays, tmp_path / "again", folds=[0], progress=False)
    assert same(weights_of(trained), weights_of(again))
    assert (trained / "fold-0.oof.parquet").read_bytes() == (again / "fold-0.oof.parquet").read_bytes()
    other = train(tiny_recipe(seeds=[1]), arrays, tmp_path / "other", folds=[0], progress=False)
    assert not same(weights_of(trained), weights_of(other))
    assert not same(weights_of(trained), weights_of(trained, "fold-1"))


def test_several_seeds_make_several_members(trained, arrays, tmp_path):
    folder = train(tiny_recipe(seeds=[0, 1]), arrays, tmp_path, progress=False)
    names = sorted(path.name for path in folder.glob("*.weights.h5"))
    assert names == [f"fold-{fold}-seed-{seed}.weights.h5" for fold in (0, 1) for seed in (0, 1)]
    assert same(weights_of(trained), weights_of(folder, "fold-0-seed-0"))
    parts = [pd.read_parquet(folder / f"fold-0-seed-{seed}.oof.parquet") for seed in (0, 1)]
    mean = np.mean([part[list(PREDICTION_COLUMNS)] for part in parts], axis=0)
    oof = pd.read_parquet(folder / "oof.parquet")
    np.testing.assert_allclose(oof.loc[oof["fold"] == 0, list(PREDICTION_COLUMNS)], mean, atol=1e-7)


def test_a_loss_that_is_not_a_number_stops_the_fit_and_saves_the_batch(tmp_path):
    arrays = TinyArrays()
    arrays.images[4, 0, 0, 0] = np.nan
    with pytest.raises(TrainingError, match=r"loss is not a number at stage 1, epoch 1.*eeg_id 1004.*nan\.csv"):
        train(tiny_recipe(), arrays, tmp_path, folds=[1], progress=False)
    saved = pd.read_csv(tmp_path / "fold-1.nan.csv")
    assert len(saved) == 4 and list(saved.loc[~saved["finite_input"], "eeg_id"]) == [1004]


def test_a_run_that_cannot_end_in_time_is_refused_at_its_start(arrays, tmp_path):
    recipe = tiny_recipe(**{"stages.0.epochs": 500})
    with pytest.raises(PlatformError, match=r"h are needed .* left of the session"):
        train(recipe, arrays, tmp_path, progress=False, session_hours=1 / 3600)
    assert not list(tmp_path.glob("*.weights.h5"))
    assert len(pd.read_csv(tmp_path / "fold-0.history.csv")) < 50, "of 500 epochs"


def broken(arrays, **changes):
    for name, value in changes.items():
        setattr(arrays, name, value)
    return arrays


@pytest.mark.parametrize(
    ("spoil", "changes", "folds", "error", "message"),
    [
        (lambda a: a, {"backbone": "tiyn"}, None, ConfigError, "model 'tiyn' is unknown; did you mean tiny"),
        (lambda a: a, {"layout": "raw", "inputs": "raw"}, None, ConfigError, "takes the layouts stem, tiled"),
        (lambda a: a, {"backbone": "efficientnet_b0", "weights": "no/such/file.h5"}, None, ConfigError, "no/such"),
        (lambda a: a, {"weights": "imagenet"}, None, ConfigError, "model 'tiny' has no pretrained weights"),
        (lambda a: a, {"model_options": {"depth": 3}}, None, ConfigError, "does not take model_options ['depth']"),
        (lambda a: a, {}, [2], ConfigError, "folds [2], expected some of 0 to 1"),
        (lambda a: a, {}, [], ConfigError, "folds [], expected"),
        (lambda a: a, {"folds": 5}, None, ConfigError, "has 5 folds, the fold table [0, 1]"),
        (
            lambda a: broken(a, samples=a.samples.drop(columns="n_votes")),
            {},
            None,
            DataError,
            "columns n_votes are missing",
        ),
        (
            lambda a: broken(a, samples=a.samples.assign(eeg_id=1)),
            {"sampling": "non_overlapping"},
            None,
            ConfigError,
            "eeg_id 1 has several samples",
        ),
        (
            lambda a: broken(a, sampling="non_overlapping"),
            {"sampling": "vote_groups"},
            None,
            ConfigError,
            "for sampling 'vote_groups', the data were prepared with 'non_overlapping'",
        ),
        (
            lambda a: a,
            {"backbone": "wavenet", "layout": "raw", "inputs": "raw", "augment_with": "albumentations"}
            | {"augmentation": {"horizontal_flip": {"p": 0.5}}},
            None,
            ConfigError,
            "albumentations changes images, not raw signals",
        ),
        (lambda a: broken(a, samples=a.samples.assign(n_votes=3)), {}, None, DataError, "at least 10 votes"),
        (lambda a: broken(a, folds=pd.concat([a.folds, 1 - a.folds[:1]])), {}, None, LeakError, "patient 100 is in"),
        (lambda a: broken(a, folds=a.folds[1:]), {}, None, DataError, "no fold for patient 100"),
    ],
)
def test_faults_are_found_before_any_training(spoil, changes, folds, error, message, tmp_path, monkeypatch):
    import hbaclib.training.cross_validate as module

    monkeypatch.setattr(module, "run_fit", lambda *args, **kwargs: pytest.fail("training has started"))
    with pytest.raises(error) as caught:
        train(tiny_recipe(**changes), spoil(TinyArrays(n=24)), tmp_path / "out", folds=folds, progress=False)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()
