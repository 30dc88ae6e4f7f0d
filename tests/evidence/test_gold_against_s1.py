"""Recipe `gold` against `s1` on a synthetic set, both from random weights and for the same number of steps.

Then `gold` without each of its ingredients in turn: an ingredient that does not help should leave the recipe. Two of
four folds are trained and scored, of the changed recipes the first alone. The networks see the EEG half, four
frequencies averaged into one (times never): from random weights an EfficientNet-B0 learns the ten-minute half of a few
hundred patients by heart, and whole images take four times as long. Batches of 16 and one learning rate above that for
pretrained weights; the rest is the recipes' own.

Two fits run at a time, of one thread each: small batches gain next to nothing from a second thread. Everything that is
trained lies in HBAC_EVIDENCE_FOLDER (or a temporary folder), and a second run goes on where the first stopped. The
tables go there as well.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from hbaclib import audit_folds, kl_divergence, make_synthetic_dataset, score_by_tier
from hbaclib.conventions import MANY_VOTES, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.port import port_data, store_eeg_products, store_kaggle_images
from hbaclib.dataset.synthetic import truth_path
from hbaclib.evaluation.oracle import oracle_shares
from hbaclib.evaluation.tiers import class_mean_predictions, compare_by_tier
from hbaclib.inputs.store import open_inputs
from hbaclib.training.cross_validate import train
from hbaclib.training.predict import Predictor
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
    "threads": 1,
    "model_options": {"drop_connect": 0.0},
}
WITHOUT = {
    "without the second stage": {"stages": None},
    "without weights by votes": {"stages.0.vote_weights": "none", "stages.1.vote_weights": "none"},
    "without averaged weights": {"ema": 0.0},
    "without label smoothing": {"label_smoothing": 0.0},
    "without augmentation": {"augmentation": {}},
    "without XY masking": {"augmentation.xy_masking.p": 0.0},
    "without shifts": {"augmentation.band_shift.p": 0.0, "augmentation.time_shift.p": 0.0},
}
PLAIN = "without flipped views"
"""Needs no training: the networks of `gold` predict once more."""


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
    recipe = load_recipe("gold", **COMMON, ema=0.99)
    return recipe.override({"stages.0.epochs": 20, "stages.0.peak": 3e-3, "stages.1.epochs": 12})


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


def train_all(recipes: dict[str, Recipe], arrays, folder: Path) -> dict[str, pd.DataFrame]:
    """Train every recipe, two at a time; out-of-fold rows by name."""
    folders = {name: folder / f"04_train_{name.replace(' ', '-')}" for name in recipes}
    Parallel(n_jobs=2)(
        delayed(train)(recipe, arrays, folders[name], folds=SCORED.get(name, [0]), progress=False)
        for name, recipe in recipes.items()
    )
    return {name: predictions_of(place, SCORED.get(name, [0])) for name, place in folders.items()}


def predicted_plainly(folder: Path, arrays, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of fold 0, predicted anew without flipped views."""
    rows = rows[rows["fold"] == 0].reset_index(drop=True)
    predictor = Predictor.load(folder, folds=[0])
    plain = dataclasses.replace(predictor, recipe=predictor.recipe.override({"tta": []}))
    shares = plain.predict(arrays.gather(places_of(rows, arrays), "eeg"))
    return rows.assign(**dict(zip(PREDICTION_COLUMNS, shares.T, strict=True)))


def places_of(rows: pd.DataFrame, arrays) -> np.ndarray:
    """Place of every row in the samples table."""
    keys = (pd.MultiIndex.from_frame(table[list(SAMPLE_ID)]) for table in (arrays.samples, rows))
    return next(keys).get_indexer(next(keys))


def share_closed(rows: pd.DataFrame, arrays, truth: Path) -> dict[str, float]:
    """How much of the way from class means to the oracle is done, on the rows of many votes.

    The class means are those of the rows outside each fold, of the same tier: what knows no EEG.
    """
    rows = rows[rows["n_votes"] >= MANY_VOTES].reset_index(drop=True)
    samples = arrays.samples
    means = class_mean_predictions(
        samples[list(VOTE_COLUMNS)].to_numpy(np.float64),
        samples["patient_id"].map(arrays.folds).to_numpy(),
        samples["n_votes"].to_numpy(),
    )[places_of(rows, arrays)]
    oracle = oracle_shares(truth, rows[list(SAMPLE_ID)], "vote_groups")
    reached = rows[list(PREDICTION_COLUMNS)].to_numpy(np.float64)
    targets = rows[list(VOTE_COLUMNS)].to_numpy(np.float64)
    worst, least, here = (kl_divergence(targets, part) for part in (means, oracle, reached))
    return {"class means": worst, "oracle": least, "reached": here, "share": (worst - here) / (worst - least)}


def verdict(low: float, high: float) -> str:
    """What an interval of the gain by an ingredient says."""
    return "helps" if low > 0 else "hurts" if high < 0 else "no clear difference"


@pytest.mark.evidence
def test_gold_beats_the_seed_system_and_nears_the_oracle(folder: Path, arrays) -> None:
    audit_folds(arrays.samples, arrays.folds, {})
    best = gold()
    steps = total_steps(best, arrays)
    recipes = {"gold": best, "s1": stretched_s1(steps)}
    recipes |= {name: changed(best, changes) for name, changes in WITHOUT.items()}
    rows = train_all(recipes, arrays, folder)
    rows[PLAIN] = predicted_plainly(folder / "04_train_gold", arrays, rows["gold"])
    tables, differences = [], []
    for name, own in rows.items():
        others = rows["gold"][rows["gold"]["fold"].isin(own["fold"].unique())].reset_index(drop=True)
        assert (places_of(own, arrays) == places_of(others, arrays)).all()
        given = (own["n_votes"].to_numpy(), own["patient_id"].to_numpy())
        targets = own[list(VOTE_COLUMNS)].to_numpy(np.float64)
        predicted, golden = (part[list(PREDICTION_COLUMNS)].to_numpy(np.float64) for part in (own, others))
        spent = total_steps(recipes[name], arrays) if name in recipes else steps
        tables.append(score_by_tier(targets, predicted, *given).assign(recipe=name, steps=spent))
        if name != "gold":
            pair = compare_by_tier(targets, predicted, golden, *given)
            differences.append(
                pair.assign(
                    recipe=name, gold=[verdict(*limits) for limits in zip(pair["low"], pair["high"], strict=True)]
                )
            )
    scores, gains = pd.concat(tables), pd.concat(differences)
    shares = {name: share_closed(rows[name], arrays, truth_path(folder / "set")) for name in SCORED}
    scores.to_csv(folder / "scores.csv", index=False)
    gains.to_csv(folder / "gains.csv", index=False)
    print("\n" + scores.to_string(index=False))
    print("gain by gold over the others (positive: gold is better)\n" + gains.to_string(index=False))
    print(pd.DataFrame(shares).T.to_string())
    assert shares["gold"]["share"] > shares["s1"]["share"]
    assert shares["gold"]["share"] >= AIM
