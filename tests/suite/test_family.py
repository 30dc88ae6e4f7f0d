"""Networks side by side, trained and compared as the notebooks do it, on a tiny data set."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

from hbaclib import load_oof
from hbaclib.artefacts import read_manifest
from hbaclib.ensemble.fit import fit_ensemble
from hbaclib.stages.names import COMPARISON
from hbaclib.suite.family import UNFINISHED, Family, ensemble_tables
from hbaclib.suite.plans import BAND_NETWORK, Plans
from tests.training.tiny import TinyArrays, tiny_recipe

SHORT = {"stages": [{"epochs": 1, "rates": [1e-2]}], "ema": 0.0, "augmentation": {}}


def family(out, folds=()) -> Family:
    recipes = {"one": tiny_recipe(**SHORT), "two": tiny_recipe(inputs="eeg", **SHORT)}
    return Family(Plans(recipes), TinyArrays(), {name: out / f"05_train_{name}" for name in recipes}, folds)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Family:
    made = family(tmp_path_factory.mktemp("run"))
    assert made.train() == made.folders
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
    part.train()
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

    monkeypatch.setattr("hbaclib.suite.family.train_in_rounds", look)
    part = family(tmp_path)
    plans = Plans({name: recipe.override({"threads": threads}) for name, recipe in part.plans.recipes.items()})
    with joblib.parallel_config(n_jobs=told) if told else nullcontext():
        replace(part, plans=plans).train()
    assert seen == [expected, expected] and joblib.effective_n_jobs(None) == 1
