"""Recipe `gold` against `s1` on a synthetic set, both from random weights and for the same number of steps.

Then `gold` without each of its ingredients in turn: an ingredient that does not help should leave the recipe. Two of
four folds are trained and scored, of the changed recipes the first alone. The networks see the EEG half, four
frequencies averaged into one (times never): from random weights an EfficientNet-B0 learns the ten-minute half of a few
hundred patients by heart, and whole images take four times as long.

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
from hbaclib.conventions import MANY_VOTES, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.port import port_data, store_eeg_products, store_kaggle_images
from hbaclib.dataset.synthetic import truth_path
from hbaclib.evaluation.oracle import oracle_shares
from hbaclib.evaluation.tiers import class_mean_predictions, compare_by_tier
from hbaclib.inputs.store import open_inputs
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe, load_recipe
from hbaclib.training.schedules import steps_per_epoch

PATIENTS, RECORDINGS, FOLDS, AIM = 400, 1.2, 4, 0.6
SCORED = {"gold": [0, 1], "s1": [0, 1]}
"""Folds that are trained and scored; of every other recipe the first."""
COMMON = {
    "weights": "",
    "layout": "stem",
    "inputs": "eeg",
    "sampling": "any",
    "folds": FOLDS,
    "downsample": [4, 1],
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
        make_synthetic_dataset(source, n_patients=PATIENTS, seed=3, recordings_per_patient=RECORDINGS)
    port = port_data(source, folder, sampling="vote_groups", n_folds=FOLDS)
    return open_inputs(port, store_eeg_products(source, port, folder), store_kaggle_images(port, folder))


def gold() -> Recipe:
    return load_recipe("gold", **COMMON, ema=0.98).override({"stages.0.epochs": 12, "stages.1.epochs": 8})


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


def predictions_of(folder: Path, folds: list[int]) -> pd.DataFrame:
    """Out-of-fold rows of the given folds."""
    return pd.concat([pd.read_parquet(folder / f"fold-{fold}.oof.parquet") for fold in folds], ignore_index=True)


@pytest.mark.evidence
def test_gold_beats_the_seed_system_and_nears_the_oracle(folder: Path, arrays) -> None:
    audit_folds(arrays.samples, arrays.folds, {})
    best = gold()
    recipes = {"gold": best, "s1": stretched_s1(total_steps(best, arrays))}
    recipes |= {name: changed(best, changes) for name, changes in WITHOUT.items()}
    tables, differences, shares = [], [], {}
    for name, recipe in recipes.items():
        folds = SCORED.get(name, [0])
        place = train(recipe, arrays, folder / f"04_train_{name.replace(' ', '-')}", folds=folds, progress=False)
        own, others = predictions_of(place, folds), predictions_of(folder / "04_train_gold", folds)
        votes, patients = own["n_votes"].to_numpy(), own["patient_id"].to_numpy()
        targets = own[list(VOTE_COLUMNS)].to_numpy(np.float64)
        predicted, golden = (part[list(PREDICTION_COLUMNS)].to_numpy(np.float64) for part in (own, others))
        scores = score_by_tier(targets, predicted, votes, patients)
        tables.append(scores.assign(recipe=name, steps=total_steps(recipe, arrays), folds=str(folds)))
        if name != "gold":
            pair = compare_by_tier(targets, predicted, golden, votes, patients)
            differences.append(pair.assign(recipe=name))
        if name in SCORED:
            # Class means of the rows outside each fold, of the same tier: what knows no EEG.
            many = votes >= MANY_VOTES
            samples = arrays.samples
            numbers = samples["patient_id"].map(arrays.folds).to_numpy()
            means = class_mean_predictions(
                samples[list(VOTE_COLUMNS)].to_numpy(np.float64), numbers, samples["n_votes"].to_numpy()
            )
            rows = pd.MultiIndex.from_frame(samples[list(SAMPLE_ID)]).get_indexer(
                pd.MultiIndex.from_frame(own[list(SAMPLE_ID)])
            )
            oracle = oracle_shares(truth_path(folder / "set"), own[list(SAMPLE_ID)], "vote_groups")
            worst, least, reached = (
                kl_divergence(targets[many], part[many]) for part in (means[rows], oracle, predicted)
            )
            shares[name] = (worst - reached) / (worst - least)
            print(f"\n{name}: class means {worst:.3f}, oracle {least:.3f}, reached {reached:.3f}, {shares[name]:.1%}")
        print(f"{name} done", flush=True)
    print(pd.concat(tables).to_string(index=False))
    print("difference to gold (positive: gold is better)")
    print(pd.concat(differences).to_string(index=False))
    assert np.isfinite(list(shares.values())).all()
    assert shares["gold"] > shares["s1"]
    assert shares["gold"] >= AIM
