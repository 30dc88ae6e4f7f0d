"""Trained folders as `hbaclib.train` leaves them, without a training: predictions are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import write_manifest, write_table
from hbaclib.conventions import OOF_COLUMNS
from hbaclib.evaluation.oof import oof_table
from hbaclib.stages.names import TRAINED
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import fit_name, read_oof
from tests.report.fake_run import fake_model, fake_votes

FOLDS = 3


def make_samples(n_patients: int = 60, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of an out-of-fold table without predictions, four a patient, and the expected shares behind the votes."""
    rng = np.random.default_rng(seed)
    n = 4 * n_patients
    n_votes = np.tile([14, 12, 3, 1], n_patients)
    expected, targets = fake_votes(rng, n, n_votes)
    ids = pd.DataFrame({"eeg_id": 1000 + np.arange(n), "eeg_start": 0})
    patients = 100 + np.arange(n) // 4
    return oof_table(ids, patients, n_votes, patients % FOLDS, targets, expected), expected


def make_trained(
    folder: Path,
    *,
    name: str = "tiny",
    seeds: Sequence[int] = (0,),
    noise: float = 0.6,
    folds: Sequence[int] = range(FOLDS),
    samples: tuple[pd.DataFrame, np.ndarray] | None = None,
    changes: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    code: str = "code",
    spoil: Callable[[pd.DataFrame, int, int], pd.DataFrame] = lambda table, fold, seed: table,
) -> Path:
    """Write a trained folder.

    Args:
        folder: where.
        name: the recipe's.
        seeds: the recipe's; the same seed and noise make the same predictions.
        noise: how bad the predictions are.
        folds: those that were trained.
        samples: of `make_samples`; None: its default.
        changes: further values of the recipe.
        inputs: of the manifest.
        code: of the manifest.
        spoil: changes a table (of a fold and a seed) before it is written.
    """
    recipe = Recipe.from_dict(
        {"name": name, "stages": [{"epochs": 1}], "seeds": list(seeds), "folds": FOLDS, **(changes or {})}
    )
    rows, expected = samples or make_samples()
    folder.mkdir(parents=True)
    files = [recipe.save(folder / "recipe.toml")]
    for seed in seeds:
        rng = np.random.default_rng([seed, int(1000 * noise)])
        shares = fake_model(rng, expected, noise + 0.05 * rng.standard_normal())
        table = oof_table(rows, rows["patient_id"], rows["n_votes"], rows["fold"], _targets(rows), shares)
        for fold in folds:
            part = spoil(table[table["fold"] == fold], fold, seed)
            files.append(write_table(folder / f"{fit_name(recipe, fold, seed)}.oof.parquet", part))
    if len(folds) == FOLDS and spoil.__name__ == "<lambda>":
        files.append(write_table(folder / "oof.parquet", read_oof(folder, recipe, folds)[list(OOF_COLUMNS)]))
    parameters, facts = {"recipe": recipe.to_dict()}, {"folds": list(folds)}
    write_manifest(
        folder,
        TRAINED,
        inputs=inputs or {"arrays": "a"},
        parameters=parameters,
        outputs=[file.name for file in files],
        code=code,
        facts=facts,
    )
    return folder


def _targets(rows: pd.DataFrame) -> np.ndarray:
    return rows[[name for name in rows.columns if name.endswith("_vote")]].to_numpy(np.float64)
