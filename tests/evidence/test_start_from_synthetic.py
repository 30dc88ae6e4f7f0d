"""Learning curves over patients: from the built-in model, from random weights, from ImageNet; three seeds each.

The set is made by the generator that the built-in model has learned from, with another seed: what is measured is the
most that such a start can give, not what it gives on a hospital's own recordings. The built-in model itself, not
trained any further, is scored beside.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import compare_runs, load_recipe, open_runs, pair_runs
from hbaclib.artefacts import digest_json
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.evaluation.tiers import score_by_tier
from hbaclib.inputs.store import InputArrays
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.training.recipe import Recipe
from tests.evidence.conftest import prepared
from tests.evidence.side_by_side import train_all, trained_folder

PATIENTS = (50, 100, 300)
FOLD, HELD_OUT = 0, 100
"""The fold that is scored, and its patients."""
SEEDS = [0, 1, 2]
SHARED = {"seeds": SEEDS, "folds": 2, "threads": 1, "sampling": "any"}


def recipes() -> dict[str, Recipe]:
    """Start -> recipe: `demo` from random weights, the same network from the built-in model, Lite0 from ImageNet.

    What starts from a trained network is trained at a quarter of the rate.
    """
    random = load_recipe("demo", **SHARED)
    return {
        "random": random,
        "synthetic": random.override({"start_from": ["synthetic"], "stages.0.peak": 1e-3}),
        "ImageNet": load_recipe("demo_large", **SHARED, weights="lite"),
    }


def some_patients(arrays: InputArrays, n: int) -> InputArrays:
    """The held-out patients and n others, drawn once so that the fewer are among the more."""
    patients = np.random.default_rng(7).permutation(arrays.samples["patient_id"].unique())
    fold = pd.Series(1, index=pd.Index(patients[: HELD_OUT + n], name="patient_id"), name="fold")
    fold.iloc[:HELD_OUT] = FOLD
    rows = np.flatnonzero(arrays.samples["patient_id"].isin(fold.index))
    assert arrays.eeg_absolute is not None
    return replace(
        arrays,
        samples=arrays.samples.iloc[rows].reset_index(drop=True),
        folds=fold.sort_index(),
        digest=digest_json([arrays.digest, n]),
        kaggle=arrays.kaggle[:0],
        kaggle_scales=None,
        eeg=None,
        eeg_absolute=np.asarray(arrays.eeg_absolute)[rows],
        raw=arrays.raw[rows],
    )


@pytest.mark.evidence
def test_a_start_from_the_built_in_model(networks_folder: Path) -> None:
    folder = networks_folder / "curves"
    arrays = prepared(folder, patients=HELD_OUT + max(PATIENTS), seed=11, folds=2)
    tables, gains = [], []
    for n in PATIENTS:
        some = some_patients(arrays, n)
        chosen = {f"{name} {n}": recipe for name, recipe in recipes().items()}
        train_all({name: (recipe, [FOLD]) for name, recipe in chosen.items()}, some, folder)
        runs = open_runs({name: trained_folder(folder, name) for name in chosen})
        tables.append(compare_runs(runs))
        gains += [pair_runs(runs, f"synthetic {n}", f"{other} {n}") for other in ("random", "ImageNet")]
    table, gain = pd.concat(tables, ignore_index=True), pd.concat(gains, ignore_index=True)
    table.to_csv(folder / "scores.csv", index=False)
    gain.to_csv(folder / "gains.csv", index=False)
    print("\n" + table.to_string(index=False) + "\n" + gain.to_string(index=False))
    print("\nnot trained further:\n" + untrained(some).to_string(index=False))
    fewest = gain[(gain["tier"] == ">=10") & (gain["first"] == f"synthetic {PATIENTS[0]}")]
    assert (fewest["high"] < 0).all()


def untrained(arrays: InputArrays) -> pd.DataFrame:
    """Scores of the built-in model as it is on the held-out patients."""
    predictor = EnsemblePredictor.open("synthetic", spectrograms=False)
    rows = np.flatnonzero(arrays.samples["patient_id"].map(arrays.folds).to_numpy() == FOLD)
    shares = {
        name: member.predict({kind: arrays.gather(rows, kind) for kind in member.kinds})
        for name, member in predictor.members.items()
    }
    samples = arrays.samples.iloc[rows]
    targets = samples[list(VOTE_COLUMNS)].to_numpy(np.float64)
    return score_by_tier(
        targets, predictor.pool(shares), samples["n_votes"].to_numpy(), samples["patient_id"].to_numpy()
    )
