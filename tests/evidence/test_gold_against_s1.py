"""Recipe `gold` against `s1` on a synthetic set, both from random weights and for the same number of steps.

Then `gold` without each of its ingredients in turn: an ingredient that does not help should leave the recipe.
Everything that is trained lies in HBAC_EVIDENCE_FOLDER (or a temporary folder), and a second run goes on where the
first stopped.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import audit_folds, kl_divergence, make_synthetic_dataset, score_by_tier
from hbaclib.conventions import MANY_VOTES
from hbaclib.dataset.port import port_data, store_eeg_products, store_kaggle_images
from hbaclib.dataset.synthetic import truth_path
from hbaclib.evaluation.oof import load_oof
from hbaclib.evaluation.oracle import oracle_shares
from hbaclib.evaluation.tiers import class_mean_predictions, compare_by_tier
from hbaclib.inputs.store import open_inputs
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe, load_recipe
from hbaclib.training.schedules import steps_per_epoch

PATIENTS, FOLDS, AIM = 150, 2, 0.6
# From random weights on a small set: images halved, one seed, two folds; the same for both recipes.
COMMON = {
    "weights": "",
    "layout": "stem",
    "sampling": "any",
    "folds": FOLDS,
    "downsample": 2,
    "seeds": [0],
    "batch": 16,
    "batch_norm_momentum": 0.9,
    "model_options": {"drop_connect": 0.0},
}
WITHOUT = {
    "without the second stage": {"stages": None},
    "without weights by votes": {"stages.0.vote_weights": "none", "stages.1.vote_weights": "none"},
    "without averaged weights": {"ema": 0.0},
    "without label smoothing": {"label_smoothing": 0.0},
    "without augmentation": {"augmentation": {}},
    "without flipped views": {"tta": []},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("HBAC_EVIDENCE_FOLDER")
    return Path(named) if named else tmp_path_factory.mktemp("gold")


@pytest.fixture(scope="module")
def arrays(folder: Path):
    source = folder / "set"
    if not (source / "train.csv").is_file():
        make_synthetic_dataset(source, n_patients=PATIENTS, seed=3)
    port = port_data(source, folder, sampling="vote_groups", n_folds=FOLDS)
    return open_inputs(port, store_eeg_products(source, port, folder), store_kaggle_images(port, folder))


def gold() -> Recipe:
    return load_recipe("gold", **COMMON, ema=0.98)


def total_steps(recipe: Recipe, arrays) -> int:
    training = arrays.samples["patient_id"].map(arrays.folds) != 0
    rows = [int((training & (arrays.samples["n_votes"] >= stage.least_votes)).sum()) for stage in recipe.stages]
    return sum(
        stage.epochs * steps_per_epoch(stage, n, recipe.batch) for stage, n in zip(recipe.stages, rows, strict=True)
    )


def stretched_s1(steps: int) -> Recipe:
    """Recipe s1 with its four epochs stretched to a number of steps."""
    recipe = load_recipe("s1", **COMMON)
    return recipe.override({"stages.0.steps": round(steps / recipe.stages[0].epochs)})


def changed(recipe: Recipe, changes: dict) -> Recipe:
    if "stages" in changes:
        return recipe.override({"stages": recipe.to_dict()["stages"][:1]})
    return recipe.override(changes)


@pytest.mark.evidence
def test_gold_beats_the_seed_system_and_nears_the_oracle(folder: Path, arrays) -> None:
    audit_folds(arrays.samples, arrays.folds, {})
    best = gold()
    recipes = {"gold": best, "s1": stretched_s1(total_steps(best, arrays))}
    recipes |= {name: changed(best, changes) for name, changes in WITHOUT.items()}
    trained = {
        name: train(recipe, arrays, folder / f"04_train_{name.replace(' ', '-')}") for name, recipe in recipes.items()
    }
    oof = load_oof(list(trained.values()))
    many = oof.n_votes >= MANY_VOTES
    baseline = class_mean_predictions(oof.targets, oof.folds, oof.n_votes)
    oracle = oracle_shares(truth_path(folder / "set"), oof.ids, "vote_groups")
    worst, least = (kl_divergence(oof.targets[many], shares[many]) for shares in (baseline, oracle))
    tables, shares, differences = [], {}, []
    for name, predictions in zip(recipes, oof.predictions, strict=True):
        scores = score_by_tier(oof.targets, predictions, oof.n_votes, oof.patients)
        shares[name] = (worst - kl_divergence(oof.targets[many], predictions[many])) / (worst - least)
        tables.append(scores.assign(recipe=name, steps=total_steps(recipes[name], arrays)))
        if name != "gold":
            pair = compare_by_tier(oof.targets, predictions, oof.predictions[0], oof.n_votes, oof.patients)
            differences.append(pair.assign(recipe=name))
    print(f"\nclass means {worst:.3f}, oracle {least:.3f} on the rows of many votes")
    print(pd.concat(tables).to_string(index=False))
    print("difference to gold (positive: gold is better)")
    print(pd.concat(differences).to_string(index=False))
    print("share of the way from class means to the oracle:", {name: round(value, 3) for name, value in shares.items()})
    assert np.isfinite(list(shares.values())).all()
    assert shares["gold"] > shares["s1"]
    assert shares["gold"] >= AIM
