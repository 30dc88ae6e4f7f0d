"""``make builtin``: segments, networks, calibration, the folder that the package ships, its card.

Everything is seeded: the same source and versions give the same bytes. A run that was killed resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import joblib
import keras
import numpy as np
import pandas as pd

from hbaclib.artefacts import read_manifest, write_manifest, write_text
from hbaclib.builtin.card import note
from hbaclib.builtin.judge import judge_held_out, judge_real
from hbaclib.builtin.segments import HELD_OUT, open_segments, store_segments
from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.ensemble.fit import EnsembleFit
from hbaclib.ensemble.pooling import Members, fit_pool
from hbaclib.ensemble.store import DOUBT_FILE, ENSEMBLE_FILE, TABLE_FILE, save_doubt, save_ensemble
from hbaclib.evaluation.doubt import Doubt, fit_doubt, member_spread
from hbaclib.evaluation.metric import kl_per_sample
from hbaclib.inputs.store import InputArrays
from hbaclib.prediction.predictor import Predictor
from hbaclib.stages.names import ENSEMBLE, TRAINED
from hbaclib.stages.places import SHIPPED
from hbaclib.stages.shipped import FOLD, model_digest
from hbaclib.training.cross_validate import train
from hbaclib.training.devices import configure
from hbaclib.training.recipe import Recipe, load_recipe
from hbaclib.training.stage import RECIPE
from hbaclib.training.trained_folder import TrainedFolder, fit_name

RECIPES: Final = ("builtin_small", "builtin_frequency")
"""Recipes of the networks, which are averaged."""

N_SEGMENTS, SEED = 9_000, 19
_KIND = "geometric mean, calibrated"
_DROPPED_BITS = 13


def train_networks(inputs: InputArrays, recipes: Sequence[Recipe], folder: Path, n_jobs: int) -> list[Path]:
    """Train every recipe on all segments but those held out, several fits at a time; their folders."""
    folders = [folder / f"04_train_{recipe.name}" for recipe in recipes]
    with joblib.parallel_config(n_jobs=n_jobs):
        for recipe, place in zip(recipes, folders, strict=True):
            train(recipe, inputs, place, folds=[FOLD])
    return folders


def ship_network(trained: Path, out: Path) -> Path:
    """Copy recipe and weights of a trained folder, the weights to eleven bits: half the bytes in a compressed wheel.

    Of the out-of-fold rows, which are of segments that nobody else has, nothing is kept.
    """
    source = TrainedFolder.open(trained)
    place = out / trained.name
    place.mkdir(parents=True)
    files = [place / RECIPE]
    shutil.copy(trained / RECIPE, files[0])
    for seed, path in zip(source.recipe.seeds, source.weights(FOLD), strict=True):
        # The file holds the layers' names, which count on from all networks that the process has built.
        keras.utils.clear_session()
        network = source.network(path)
        network.set_weights([rounded(values) for values in network.get_weights()])
        files.append(place / f"{fit_name(source.recipe, FOLD, seed)}.weights.h5")
        network.save_weights(files[-1])
    # Nothing of the machine or the hour: the same training gives the same file.
    write_manifest(
        place,
        TRAINED,
        inputs={"segments": source.manifest.inputs["arrays"]},
        parameters={"recipe": source.recipe.to_dict()},
        outputs=files,
        facts={"folds": [FOLD], "recipe_digest": source.recipe.digest},
    )
    return place


def rounded(values: np.ndarray) -> np.ndarray:
    """float32 numbers whose last bits are 0, so that they compress: a relative error of at most 2 ** -11."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32(2 ** (_DROPPED_BITS - 1))
    return ((bits + half) & ~np.uint32(2**_DROPPED_BITS - 1)).view(np.float32)


def held_out(inputs: InputArrays) -> np.ndarray:
    """Mask (n,) of the segments that no network is trained on."""
    return inputs.samples["patient_id"].map(inputs.folds).to_numpy() == FOLD


def held_out_shares(folder: Path, inputs: InputArrays) -> dict[int, np.ndarray]:
    """Seed -> (n, 6) shares of the segments held out, by the networks as they are shipped."""
    predictor = Predictor.load(folder)
    rows = np.flatnonzero(held_out(inputs))
    alone = {
        seed: Predictor(predictor.recipe, [model])
        for seed, model in zip(predictor.recipe.seeds, predictor.models, strict=True)
    }
    return {
        seed: one.predict_rows(lambda part, kind: inputs.gather(rows[part], kind), len(rows))
        for seed, one in alone.items()
    }


def held_out_samples(inputs: InputArrays) -> pd.DataFrame:
    """Rows of the segments held out; ``calibrates`` says which half temperature and biases are fitted to."""
    table = inputs.samples[held_out(inputs)].reset_index(drop=True)
    # By rounds of the six classes, so that each half has as many of each.
    return table.assign(calibrates=table["eeg_id"] // len(CLASSES) // HELD_OUT % 2 == 0)


def ship_ensemble(out: Path, shares: dict[str, np.ndarray], samples: pd.DataFrame) -> tuple[EnsembleFit, Doubt]:
    """Fit pool and doubt to one half of the segments held out and write the ensemble's folder."""
    targets = samples[list(VOTE_COLUMNS)].to_numpy(np.float64)
    fitted = samples["calibrates"].to_numpy()
    stacked = np.stack(list(shares.values())).astype(np.float64)
    pool = fit_pool(_KIND, Members.of(stacked[:, fitted]), targets[fitted])
    pooled, judged = pool.apply(stacked), ~fitted
    alone = [float(kl_per_sample(targets[judged], part[judged]).mean()) for part in stacked]
    table = pd.DataFrame({"name": list(shares), "weight": pool.weights, "kl": alone})
    fit = EnsembleFit(
        names=tuple(shares),
        kind=_KIND,
        pool=pool,
        oof=pooled,
        score=float(kl_per_sample(targets[judged], pooled[judged]).mean()),
        tier=">=10",
        table=table,
        candidates=pd.DataFrame(),
        fold_kinds={},
        prior=targets[fitted].mean(axis=0),
        notes=("trained on synthetic EEG alone",),
    )
    folder = out / ENSEMBLE
    folder.mkdir()
    places = {name: out / name for name in shares}
    save_ensemble(fit, folder, places)
    write_text(folder / TABLE_FILE, table.to_csv(index=False))
    doubt = fit_doubt(
        pooled[fitted],
        targets[fitted],
        samples["patient_id"].to_numpy()[fitted],
        member_spread(stacked[:, fitted]),
        about="synthetic patients held out",
    )
    save_doubt(doubt, folder)
    write_manifest(
        folder,
        ENSEMBLE,
        inputs={name: read_manifest(place).digest for name, place in places.items()},
        parameters={"weights": None},
        outputs=[ENSEMBLE_FILE, TABLE_FILE, DOUBT_FILE],
        facts={"members": len(shares)},
    )
    return fit, doubt


def make_builtin(
    work: str | Path,
    out: str | Path,
    *,
    n_segments: int = N_SEGMENTS,
    seed: int = SEED,
    recipes: Sequence[Recipe] | None = None,
    n_jobs: int = 2,
) -> Path:
    """Make the built-in model.

    Args:
        work: folder of segments and trainings (about 10 GB); what is finished in it is not done again.
        out: folder of the model, replaced when the new one is whole.
        n_segments: synthetic segments, one in ten of which is held out.
        seed: of the segments; the networks' seeds are in their recipes.
        recipes: of the networks; None: those named in RECIPES.
        n_jobs: processes.

    Returns:
        ``out``.
    """
    work, out = Path(work).resolve(), Path(out).resolve()
    inputs = open_segments(store_segments(work / "segments", n_segments, seed, n_jobs=n_jobs))
    chosen = [load_recipe(name) for name in RECIPES] if recipes is None else recipes
    folders = train_networks(inputs, chosen, work, n_jobs)
    # What is computed here must not depend on whether the fits ran in this process or in others.
    configure(chosen[0])
    made = work / "shipped"
    shutil.rmtree(made, ignore_errors=True)
    samples = held_out_samples(inputs)
    by_seed = {path.name: held_out_shares(ship_network(path, made), inputs) for path in folders}
    means = {name: np.mean(list(parts.values()), axis=0) for name, parts in by_seed.items()}
    fit, doubt = ship_ensemble(made, means, samples)
    trained = {"segments": n_segments, "seed": seed, "digest": model_digest(made)}
    note(made, model=trained, held_out=judge_held_out(fit, doubt, by_seed, samples))
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(made, out)
    return out


@click.command()
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=SHIPPED["synthetic"],
              help="Folder of the model; that of the package without it.")  # fmt: skip
@click.option("--segments", default=N_SEGMENTS, show_default=True, help="Synthetic segments.")
@click.option("--jobs", default=2, show_default=True, help="Processes.")
@click.option("--real", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None,
              help="Folder of real recordings that judge the finished model; nothing is fitted to them.")  # fmt: skip
def main(work: Path, out: Path, segments: int, jobs: int, real: Path | None) -> None:
    """Make the built-in model `synthetic` in WORK, and judge it."""
    make_builtin(work, out, n_segments=segments, n_jobs=jobs)
    if real:
        note(out, real=judge_real(out, real))
    click.echo(f"{out}: {model_digest(out)}")


if __name__ == "__main__":
    main()
