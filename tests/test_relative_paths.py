"""Folders relative to the working folder: every function and command that takes one finds it, and writes there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import hbaclib
from hbaclib import open_inputs, port_data, predict, read_eeg, register_model, train
from hbaclib.artefacts import verify, write_manifest, write_text
from hbaclib.cli.main import main
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.ensemble.comparison import store_comparison
from hbaclib.ensemble.store import ensemble_stage, load_ensemble
from hbaclib.prediction.networks import train_networks
from hbaclib.prediction.pseudo_labels import make_pseudo_labels
from hbaclib.prediction.submission import make_submission, submit_stage
from hbaclib.report.page import write_report
from hbaclib.search.space import Choice
from hbaclib.search.tune import tune
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.names import EEG_IMAGES
from hbaclib.stages.signals_200hz import store_signals_200hz
from hbaclib.training.fit import Fit
from hbaclib.training.warm_start import start_folders
from tests.dataset.tiny import write_tiny
from tests.suite.tiny_project import make_project
from tests.trained import SHORT
from tests.training.tiny import tiny_features, tiny_recipe

pytestmark = pytest.mark.slow

STAGES = ("run/01_port_data", "run/02_eeg_spectrograms", "run/03_assemble_inputs")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data set, a run with what the stages 01 to 07 leave, and pseudo-labels; made by relative paths throughout."""
    folder = tmp_path_factory.mktemp("work")
    write_tiny(folder / "data", n_eegs=16)
    with pytest.MonkeyPatch.context() as patch:
        # Worker processes that joblib keeps from here on have another working folder.
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        port_data(folder / "data", "first", n_folds=2, n_jobs=2)
        patch.chdir(folder)
        port_data("data", "run", n_folds=2, n_jobs=2)
        store_eeg_products("data", STAGES[0], "run", images=EEG_IMAGES, n_jobs=2)
        store_kaggle_images(STAGES[0], "run", n_jobs=2)
        store_signals_200hz("data", STAGES[0], "run", n_jobs=2)
        inputs = open_inputs(*STAGES, "run/06_signals_200hz")
        names = ["04_train_a", "04_train_b"]
        for name in names:
            train(
                tiny_recipe(name=name, batch=4 if name[-1] == "a" else 6, **SHORT),
                inputs,
                f"run/{name}",
                progress=False,
            )
        ensemble_stage([f"run/{name}" for name in names], "run/07_ensemble", weights=dict.fromkeys(names, 0.5))
        make_pseudo_labels(["run/04_train_a"], inputs, "labels")
    return folder


@pytest.fixture
def work(root, tmp_path, monkeypatch):
    """A working folder beside which the data lie, for what a test writes."""
    for name in ("data", "run", "labels"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def inputs(work):
    return open_inputs(*STAGES)


def new(work: Path) -> set[str]:
    return {path.name for path in work.iterdir() if not path.name.startswith(".")} - {"data", "run", "labels"}


def test_the_public_names_of_the_readme_are_there():
    assert {"train", "load_recipe", "open_inputs", "port_data"} <= set(hbaclib.__all__)
    for name in hbaclib.__all__:
        assert getattr(hbaclib, name) is not None


def test_the_stages_lie_where_they_were_named(root):
    assert {path.name for path in root.iterdir() if not path.name.startswith(".")} == {"data", "run", "labels"}
    for folder in (*STAGES, "run/06_signals_200hz", "run/04_train_a", "run/04_train_b", "run/07_ensemble", "labels"):
        verify(root / folder)


def named_features(shape):
    import keras

    whole = tiny_features(shape)
    return keras.Model(whole.input, whole.output, name="part")


def test_train_and_what_it_starts_from(inputs, work):
    register_model("named", named_features)
    train(tiny_recipe(name="first", backbone="named", **SHORT), inputs, "first", progress=False)
    recipe = tiny_recipe(name="c", backbone="named", pseudo_weight=0.5, start_from=("first",), **SHORT)
    folder = train(recipe, inputs, "trained", pseudo_labels="labels", progress=False)
    assert folder == work / "trained" and verify(folder).facts["folds"] == [0, 1]
    assert new(work) == {"first", "trained"}
    # With whole paths it is the same training: nothing is done again.
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert train(recipe, inputs, work / "trained", pseudo_labels=work / "labels", progress=False) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_a_fit_finds_what_its_recipe_names_from_another_working_folder(inputs, work, monkeypatch):
    recipe = tiny_recipe(start_from=("run/04_train_a",))
    assert list(start_folders(recipe, work).values()) == [work / "run/04_train_a"]
    fit = Fit(recipe=recipe, fold=0, seed=0, folder=work, data="")
    monkeypatch.chdir("/")
    assert fit.place("run/04_train_a") == str(work / "run/04_train_a")
    assert fit.place("noisy-student") == "noisy-student" and fit.place("") == ""


def test_two_rounds(inputs, work):
    recipe = tiny_recipe(name="d", pseudo_weight=0.5, **SHORT)
    train_networks({"d": recipe}, inputs, {"d": "06_train_d"}, progress=False).raise_errors()
    assert new(work) == {"06_train_d", "06_first_round_d", "06_pseudo_labels_d"}


def test_tune(inputs, work):
    found = tune(tiny_recipe(name="e", **SHORT), inputs, {"batch": Choice((4, 6))}, "tuned", progress=False)
    assert found.folder == work / "tuned" and found.trained.is_dir() and new(work) == {"tuned"}
    assert (found.trials["state"] == "finished").all() and all(
        (found.folder / name).is_dir() for name in found.trials.folder
    )


def test_ensemble_submission_and_report(work):
    folder = ensemble_stage(["run/04_train_a", "run/04_train_b"], "07_ensemble")
    assert verify(folder) and folder == work / "07_ensemble"
    assert load_ensemble("run/07_ensemble").oof.shape[1] == 6
    eeg = read_eeg("data/test_eegs/80.parquet")[None, :10_000]
    np.testing.assert_allclose(predict("run/07_ensemble", eeg, np.ones((1, 300, 400))).sum(axis=1), 1, atol=1e-5)
    assert len(submit_stage("data", "run/07_ensemble", "08_submit", progress=False)) == 2
    assert len(make_submission("data", "run/04_train_a", "one.csv", progress=False).table) == 2
    store_comparison(["run/04_train_a", "run/04_train_b"], "compared")
    assert new(work) == {"07_ensemble", "08_submit", "submission.csv", "one.csv", "compared"}
    shutil.copytree("run/01_port_data", "small/01_port_data")
    assert write_report("small", data="data") == work / "small" / "report.html"


def invoke(words: str) -> str:
    answer = CliRunner().invoke(main, words.split())
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("synth made --patients 2 --test-rows 1 --jobs 1", ["made/train.csv", "made-truth.parquet"]),
        ("check data --jobs 1", []),
        ("predict run/07_ensemble data/test_eegs --spectrogram from_eeg --out shares.csv", ["shares.csv"]),
        ("predict run/04_train_a data/test_eegs/80.parquet --spectrogram data/test_spectrograms/90.parquet", []),
        ("predict run/04_train_a data --out table/shares.csv", ["table/shares.csv"]),
        ("compare run --csv tables", ["tables/scores.csv", "tables/pairs.csv"]),
        ("compare run/04_train_a run/04_train_b --over 04_train_b", []),
        ("tune mine.toml --run run --key batch=4,6 --out tuned", ["tuned/best.toml", "tuned/trials.csv"]),
        ("tune mixed.toml --run run --key batch=4 --out tuned --pseudo-labels labels", ["tuned/best.toml"]),
        ("tune mine.toml --run own --space space.toml", ["own/tune_mine/best.toml"]),
    ],
)  # fmt: skip
def test_commands(words, made, work):
    tiny_recipe(name="mine", **SHORT).save("mine.toml")
    tiny_recipe(name="mixed", pseudo_weight=0.5, **SHORT).save("mixed.toml")
    write_text("space.toml", "batch = [4]\n")
    for name in STAGES:
        Path("own").mkdir(exist_ok=True)
        Path("own", Path(name).name).symlink_to(work / name)
    invoke(words)
    assert all(Path(name).is_file() for name in made)
    if made and made[0].endswith("shares.csv"):
        table = pd.read_csv(made[0])
        assert len(table) == 2
        np.testing.assert_allclose(table[list(VOTE_COLUMNS)].sum(axis=1), 1, atol=1e-5)


def test_predict_in_the_trained_folder_itself(work, root, monkeypatch):
    monkeypatch.chdir(root / "run" / "04_train_a")
    assert "seizure_vote" in invoke("predict . ../../data/test_eegs")


def test_run(work, monkeypatch):
    monkeypatch.setenv("HBAC_PROJECT", str(make_project(work / "project")))
    invoke("run tiny --data data --out runs/here")
    verify(work / "runs/here/12_second")


def test_kaggle_build(work):
    write_text("published/efficientnet-b0_noisy-student_notop.h5", "stands for weights")
    folder = Path("own")
    for name in STAGES:
        shutil.copytree(name, folder / Path(name).name)
    invoke("kaggle build --user someone --out build --data data --weights published --dataset arrays --from own")
    assert {path.name for path in Path("build/datasets").iterdir()} == {"wheels", "arrays", "weights"}
    plan = json.loads(Path("build/plan.json").read_text())
    assert len(plan["datasets"]) == 3 and new(work) == {"published", "own", "build"}


def test_outputs_of_a_manifest_lie_in_its_folder_however_both_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text("stage/a.txt", "a")
    for folder, output in (("stage", "a.txt"), ("stage", tmp_path / "stage" / "a.txt"), (tmp_path / "stage", "a.txt")):
        manifest = write_manifest(folder, "stage", inputs={}, parameters={}, outputs=[output])
        assert list(manifest.outputs) == ["a.txt"] and verify("stage") == manifest
