"""Learning curves over patients: from the built-in model, from random weights, from ImageNet; three seeds each.

The set is the plain synthetic one, whose patterns and patients the built-in model knows from their wider population,
with another seed: what is measured is the most that such a start can give, not what it gives on a hospital's own
recordings. The built-in model itself, not trained any further, is scored beside. ImageNet's start is another, larger
network: that row compares what a competitor would do, not the start alone.

27 fits, about fifty minutes on two idle cores, the longest ones first. With HBAC_EVIDENCE_FOLDER a second run goes on
where the first was stopped: set, fits and their epochs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from hbaclib import compare_runs, load_recipe, open_runs, pair_runs
from hbaclib.artefacts import digest_json
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.evaluation.tiers import score_by_tier
from hbaclib.inputs.store import InputArrays
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe
from tests.evidence.conftest import prepared
from tests.evidence.side_by_side import trained_folder

PATIENTS = (50, 100, 300)
STARTS = ("random", "synthetic", "ImageNet")
FOLD, HELD_OUT = 0, 100
"""The fold that is scored, and its patients."""
SEEDS = [0, 1, 2]
LEAST_STEPS = 52
"""Steps of an epoch, half of those of 300 patients: with one pass over fifty patients' few samples what is called a
better start would be a network from random weights that was trained for too short."""
SHARED = {"seeds": SEEDS, "folds": 2, "threads": 1, "sampling": "any"}


def recipes(n_rows: int) -> dict[str, Recipe]:
    """Start -> recipe, the longest training first: Lite0 from ImageNet, `demo` from random weights and from the model.

    What starts from the built-in model is trained at a quarter of the rate.

    Args:
        n_rows: rows that are trained on.
    """
    chosen = {
        "ImageNet": load_recipe("demo_large", **SHARED, weights="lite"),
        "random": (random := load_recipe("demo", **SHARED)),
        "synthetic": random.override({"start_from": ["synthetic"], "stages.0.peak": 1e-3}),
    }
    steps = {name: max(LEAST_STEPS, n_rows // recipe.batch) for name, recipe in chosen.items()}
    return {name: recipe.override({"stages.0.steps": steps[name]}) for name, recipe in chosen.items()}


def test_every_start_takes_as_many_steps() -> None:
    few, many = recipes(280), recipes(1700)
    assert {recipe.stages[0].steps for recipe in few.values()} == {LEAST_STEPS}
    assert {recipe.stages[0].steps for recipe in many.values()} == {1700 // 16}
    assert {len(recipe.seeds) for recipe in few.values()} == {3}
    assert few["synthetic"].start_from == ("synthetic",) and not few["random"].start_from


def place(folder: Path, start: str, n: int) -> Path:
    """Where the networks of one start and number of patients lie."""
    return trained_folder(folder, f"{start} {n}")


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
    some = {n: some_patients(arrays, n) for n in PATIENTS}
    chosen = {
        (start, n): recipe
        for n in PATIENTS
        for start, recipe in recipes(int((some[n].samples["patient_id"].map(some[n].folds) != FOLD).sum())).items()
    }
    # Two at a time through all of them: with a pause after each number of patients one core would wait for Lite0.
    longest_first = sorted(chosen, key=lambda key: (key[0] != "ImageNet", -key[1]))
    Parallel(n_jobs=2, batch_size=1)(
        delayed(train)(chosen[key], some[key[1]], place(folder, *key), folds=[FOLD], progress=False)
        for key in longest_first
    )
    tables, gains = [], []
    for n in PATIENTS:
        runs = open_runs({f"{start} {n}": place(folder, start, n) for start in STARTS})
        tables.append(compare_runs(runs))
        gains += [pair_runs(runs, f"synthetic {n}", f"{other} {n}") for other in ("random", "ImageNet")]
    table, gain = pd.concat(tables, ignore_index=True), pd.concat(gains, ignore_index=True)
    table.to_csv(folder / "scores.csv", index=False)
    gain.to_csv(folder / "gains.csv", index=False)
    print("\n" + table.to_string(index=False) + "\n" + gain.to_string(index=False))
    print("\nnot trained further:\n" + untrained(some[PATIENTS[0]]).to_string(index=False))
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
