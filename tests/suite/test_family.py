"""Networks side by side, trained and compared as the notebooks do it, on a tiny data set."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from hbaclib import load_oof
from hbaclib.artefacts import read_manifest
from hbaclib.ensemble.fit import fit_ensemble
from hbaclib.errors import ConfigError, PlatformError, TrainingError
from hbaclib.prediction.networks import Trained
from hbaclib.stages.names import COMPARISON
from hbaclib.suite.family import UNFINISHED, Family, ensemble_tables, open_family
from hbaclib.suite.plans import BAND_NETWORK, Plans, efficientnet_plans
from tests.trained import SHORT
from tests.training.tiny import TinyArrays, tiny_recipe

ROOT = Path(__file__).parents[2]


def family(out, folds=()) -> Family:
    recipes = {"one": tiny_recipe(**SHORT), "two": tiny_recipe(inputs="eeg", **SHORT)}
    return Family(Plans(recipes), TinyArrays(), {name: out / f"05_train_{name}" for name in recipes}, folds)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Family:
    made = family(tmp_path_factory.mktemp("run"))
    assert made.train(devices=("CPU:0",)) == made.folders  # in this process
    return made


def test_all_are_trained_and_compared(trained):
    assert set(trained.finished()) == {"one", "two"}
    table = trained.compare("05_tiny")
    assert list(table.index) == ["05_train_one", "05_train_two"]
    stage = trained.folders["one"].with_name("05_tiny")
    assert read_manifest(stage).stage == COMPARISON
    pd.testing.assert_frame_equal(pd.read_csv(stage / "comparison.csv", index_col="network"), table)


def test_some_folds_are_no_table(tmp_path):
    part = family(tmp_path, folds=(1,))
    part.train(devices=("CPU:0",))
    assert part.finished() == {} and part.compare("05_tiny") == UNFINISHED and not (tmp_path / "05_tiny").exists()
    assert part.raw_ensembles() == {} and "no ensemble" in ensemble_tables({})
    assert not list(tmp_path.glob("*/fold-0*"))


def test_sizes_of_networks(trained, monkeypatch):
    drawn = []
    monkeypatch.setattr("hbaclib.plots.networks.plot_network", lambda network: drawn.append(network.input_shape))
    table = trained.networks(["two", "one"], drawn=["two"])
    assert list(table.index) == ["two", "one"] and list(table.columns) == ["parameters", "trainable", "layers"]
    network = trained.plans.recipes["one"].build_network()
    assert table.loc["one", "parameters"] == network.count_params() > table.loc["one", "trainable"]
    assert drawn == [(None, 128, 256, 4)]


def test_rates_of_every_step(trained):
    recipe = trained.plans.first
    votes, share = trained.inputs.samples["n_votes"], 1 - 1 / recipe.folds
    steps = max(1, int(share * (votes >= recipe.stages[0].min_votes).sum()) // recipe.batch)
    np.testing.assert_allclose(trained.learning_rates(recipe), np.full(steps, 1e-2))


def test_the_ensembles_of_the_raw_networks(trained):
    plans = trained.plans
    signals = tiny_recipe(inputs="eeg", **SHORT)
    object.__setattr__(signals, "backbone", BAND_NETWORK)
    both = Family(Plans({"one": plans.first, "two": signals}, image="one"), trained.inputs, trained.folders)
    assert both.plans.grus == ["two"]
    fits = both.raw_ensembles(half_weights=[3, 1])
    assert list(fits) == ["S3: signals and image"]
    oof = load_oof(trained.folders)
    shares = dict(zip(oof.names, oof.predictions, strict=True))
    expected = 0.75 * shares["two"] + 0.25 * shares["one"]
    np.testing.assert_allclose(fits["S3: signals and image"].oof, expected / expected.sum(axis=1, keepdims=True))
    table = ensemble_tables(fits)
    assert table.index[0] == ("S3: signals and image (fixed weights, score of >=10)", "signals")
    assert list(table.columns) == ["weight", "kl", "adds"]
    fitted = both.raw_ensembles()["S3: signals and image"]
    about = oof.targets, oof.folds, oof.patients, ["signals", "image"], oof.n_votes
    again = fit_ensemble(np.stack([shares["two"], shares["one"]]), *about)
    assert fitted.weights == again.weights


@pytest.mark.parametrize(
    ("threads", "told", "expected"), [(1, None, 4), (2, None, 2), (3, None, 1), (9, None, 1), (1, 3, 3)]
)
def test_folds_share_the_cores(tmp_path, monkeypatch, threads, told, expected):
    """By the threads of a fit, unless joblib was told a number."""
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    seen = []

    def look(*given, **options):
        seen.append(joblib.effective_n_jobs(None))
        return Trained(pd.DataFrame(), ())

    monkeypatch.setattr("hbaclib.suite.family.train_networks", look)
    part = family(tmp_path)
    # The one with most threads decides.
    plans = Plans(
        {
            name: recipe.override({"threads": n})
            for (name, recipe), n in zip(part.plans.recipes.items(), (1, threads), strict=True)
        }
    )
    with joblib.parallel_config(n_jobs=told) if told else nullcontext():
        replace(part, plans=plans).train()
    assert seen == [expected] and joblib.effective_n_jobs(None) == 1


class Planned:
    """What was asked for: a plan of all networks, which has no time for one fit."""

    def __init__(self, monkeypatch):
        self.plans, self.errors = [], ()
        columns = ["network", "fit", "state", "device", "begin", "end", "note"]
        self.table = pd.DataFrame([("05_train_two", "fold-1", "left out", "", 0.0, 0.0, "slow")], columns=columns)
        monkeypatch.setattr("hbaclib.suite.family.train_networks", self.plan)

    def plan(self, recipes, inputs, folders, **options):
        self.plans.append((list(recipes), options))
        return Trained(self.table, self.errors)


@pytest.fixture
def planned(monkeypatch):
    return Planned(monkeypatch)


@pytest.mark.parametrize(
    ("options", "kaggle_hours"), [({}, None), ({}, 11.0), ({"mirrored": True}, None), ({"devices": ("CPU:0",)}, None)]
)
def test_one_plan_for_all_networks(tmp_path, monkeypatch, planned, options, kaggle_hours):
    monkeypatch.setattr("hbaclib.suite.family.session_hours_left", lambda: kaggle_hours)
    made = family(tmp_path)
    assert made.left_out() == "nothing was left out"
    assert made.train(**options) == made.folders
    ((names, given),) = planned.plans
    assert names == ["one", "two"] and given["session_hours"] == kaggle_hours
    assert (given["mirrored"], given["devices"]) == (options.get("mirrored", False), options.get("devices"))
    left = made.left_out()
    assert list(left.index) == [("05_train_two", "fold-1")] and list(left["note"]) == ["slow"]


def test_the_hours_of_a_session_count_from_the_notebooks_start(tmp_path, monkeypatch, planned):
    """What was computed before the training, the earlier stages for instance, is a part of them."""
    monkeypatch.setattr("hbaclib.suite.family.session_hours_left", lambda: 11.5)
    begun = replace(family(tmp_path), begin=time.time() - 2 * 3600)
    begun.train(session_hours=9.0)
    begun.train()
    assert [options["session_hours"] for _, options in planned.plans] == [pytest.approx(7.0, abs=0.01), 11.5]


def test_what_failed_is_told_when_all_others_are_trained(tmp_path, planned):
    planned.errors = (TrainingError("the loss is not a number"),)
    made = family(tmp_path)
    with pytest.raises(TrainingError, match="the loss is not a number"):
        made.train(session_hours=1.0)
    assert len(made.outcomes) == 1


def test_networks_of_which_some_folds_are_trained(tmp_path):
    made = family(tmp_path)
    assert made.begun() == {}
    made.folders["two"].mkdir()
    (made.folders["two"] / "manifest.json").touch()
    assert list(made.begun()) == ["two"] and made.finished() == {}


def test_a_host_with_gpus_is_asked_before_anything_is_computed_and_this_process_leaves_them(tmp_path, monkeypatch):
    def unseen():
        raise PlatformError("the driver lists Tesla T4, but TensorFlow sees no GPU")

    plans = Plans({"one": tiny_recipe(**SHORT)})
    monkeypatch.setattr("hbaclib.suite.family.configure", lambda recipe: pytest.fail("TensorFlow was started"))
    monkeypatch.setattr("hbaclib.suite.family.ported", lambda *given: pytest.fail("a stage was computed"))
    monkeypatch.setattr("hbaclib.suite.family.check_gpus_seen", unseen)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(PlatformError, match="TensorFlow sees no GPU"):
        open_family(plans, tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_are_looked_for_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    """Named ones are not there, and nothing begins; else it is told what the network starts from in their place."""

    def reached(*given):
        raise TrainingError("a stage is computed now")

    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    monkeypatch.setattr("hbaclib.suite.family.configure", lambda recipe: None)
    monkeypatch.setattr("hbaclib.suite.family.visible_gpus", tuple)
    monkeypatch.setattr("hbaclib.suite.family.ported", reached)
    with pytest.raises(ConfigError, match="found no efficientnet-b4"):
        open_family(efficientnet_plans("gold", "efficientnet_b4", "noisy-student"), tmp_path)
    with pytest.raises(TrainingError, match="a stage is computed now"):
        open_family(efficientnet_plans("gold", "efficientnet_b4"), tmp_path)
    assert "starts from random weights" in capsys.readouterr().out


def test_the_process_of_a_notebook_trains_on_gpus_without_tensorflow(tmp_path):
    """All networks, measured and in two rounds; the processes are stand-ins."""
    code = """
        import sys
        from pathlib import Path
        import pytest
        from hbaclib.suite.family import Family
        from hbaclib.suite.plans import Plans
        from tests.prediction import test_networks as networks
        with pytest.MonkeyPatch.context() as patch:
            machine = networks.set_up(patch)
            patch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
            recipes = {name: networks.tiny_recipe(inputs="eeg", pseudo_weight=0.5 * (name == "two"), pseudo_up_to=5,
                                                  **networks.SHORT) for name in ("one", "two")}
            folders = {name: Path(sys.argv[1]) / f"06_train_{name}" for name in recipes}
            made = Family(Plans(recipes), networks.TinyArrays(), folders)
            made.train(session_hours=11.5)
            print(len(made.finished()), made.left_out(), "tensorflow" in sys.modules, "keras" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1:] == ["2 nothing was left out False False"], done.stdout + done.stderr
