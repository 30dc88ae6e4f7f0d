"""Cross-validation: every fit (seed x fold) of a recipe, and out-of-fold predictions of all samples.

The fits are independent, so they are mapped through `joblib`: one after the other on a CPU or one GPU, one process a
GPU where there are several, or over a Dask cluster within ``joblib.parallel_config("dask")``.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hbaclib.artefacts import (
    MANIFEST,
    digest_bytes,
    digest_file,
    digest_folder,
    digest_json,
    is_current,
    read_manifest,
    write_manifest,
    write_table,
)
from hbaclib.compat.joblib import active_backend
from hbaclib.compat.keras_settings import check_keras
from hbaclib.conventions import OOF_COLUMNS, SAMPLE_COLUMNS
from hbaclib.dataset.folds import audit_folds
from hbaclib.errors import ArtefactError, ConfigError, DataError
from hbaclib.inputs.pipeline import input_kinds
from hbaclib.inputs.store import InputArrays
from hbaclib.outputs import stage_folder
from hbaclib.source import callable_digest, code_digest
from hbaclib.stages.names import TRAINED
from hbaclib.stages.shipped import digest_of, is_shipped
from hbaclib.training.devices import choose_runtime, claim_for_this_process, visible_gpus
from hbaclib.training.fit import Fit, run_fit
from hbaclib.training.history import HISTORY, read_history
from hbaclib.training.progress import watch
from hbaclib.training.recipe import Recipe
from hbaclib.training.shipped_start import check_shipped_starts, start_files
from hbaclib.training.targets import load_pseudo_labels
from hbaclib.training.trained_folder import FITS, TrainedFolder, fit_name, read_oof
from hbaclib.training.warm_start import start_folders

log = logging.getLogger(__name__)

RECIPE, OOF = "recipe.toml", "oof.parquet"


def train(
    recipe: Recipe,
    inputs: InputArrays,
    out_folder: str | Path,
    folds: Iterable[int] | None = None,
    *,
    progress: bool = True,
    session_hours: float | None = None,
    devices: tuple[str, ...] | None = None,
    mirrored: bool = False,
    pseudo_labels: str | Path | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    kind: str = TRAINED,
) -> Path:
    """Train a recipe on all folds but one, for each fold, and predict the fold that was left out.

    What is finished is not done again: neither the whole folder, nor a fit, nor an epoch of a fit that was stopped.

    Args:
        recipe: what to train, and how.
        inputs: samples, folds and arrays, as `hbaclib.inputs.store.open_inputs` gives them.
        out_folder: gets ``recipe.toml``, and for each fit ``fold-K.weights.h5``, ``fold-K.history.csv`` and
            ``fold-K.oof.parquet``; then ``oof.parquet``, ``history.csv`` and the manifest.
        folds: which folds to leave out, in turn; None is all of them.
        progress: show a bar with the time left.
        session_hours: length of the session; a run that would not end in it is refused after its first steps.
        devices: devices of this host, one for each fit at a time: GPU numbers, or TensorFlow's names such as
            ``CPU:1``. None takes the GPUs that are visible.
        mirrored: let all devices share every batch of one fit after the other, in place of one fit a device.
        pseudo_labels: folder of `hbaclib.prediction.pseudo_labels.make_pseudo_labels`, for a recipe that mixes them in.
        on_epoch: called while the fits run, with the learning curves so far (see `hbaclib.training.progress.watch`).
        kind: what the manifest says that the folder holds; networks that only serve the training of others are of
            another kind than those that ensembles and reports take.

    Returns:
        The folder.

    Raises:
        ConfigError: the recipe does not fit the data or names something that does not exist; a fold out of range.
        DataError: the samples table is not as promised.
        LeakError: a patient in two folds; pseudo-labels or starting weights made with a patient that is scored.
        TrainingError: a loss that is not a number.
        PlatformError: too little time or memory; Keras is set up for other networks.
        ArtefactError: an array is not the one that its stage wrote; the folder holds another kind of stage.
    """
    # Whole paths from here on: processes that train need not have this working folder.
    folder = Path(out_folder).resolve()
    labels = None if pseudo_labels is None else Path(pseudo_labels).resolve()
    chosen = check_training(recipe, inputs, folds, pseudo_labels, folder)
    starts = start_folders(recipe, folder)
    needed = {"arrays": inputs.digest} | {f"from {name}": digest_of(place) for name, place in starts.items()}
    # A user's network keeps its name when it is edited.
    needed["network"] = callable_digest(recipe.family.features)
    if labels is not None:
        needed["pseudo_labels"] = read_manifest(labels).digest
    if weights := recipe.find_weights():
        needed["weights"] = digest_file(weights) if weights.is_file() else digest_folder(weights)
    current = is_current(folder, inputs=needed, parameters={"recipe": recipe.to_dict()}, code=code_digest(__name__))
    if current and set(chosen) <= set(read_manifest(folder).facts["folds"]):
        return folder
    check_keras()
    if isinstance(inputs, InputArrays):
        inputs.verify()
    folder.mkdir(parents=True, exist_ok=True)
    every = [
        Fit(recipe, fold, seed, folder, data, recipe.family, labels, tuple(starts.values()))
        for fold in range(recipe.folds)
        if (data := _data_of(fold, starts, inputs, needed.get("weights", ""), labels))
        for seed in recipe.seeds
    ]
    fits = [fit for fit in every if fit.fold in chosen]
    with stage_folder(folder, kind, own=FITS):
        if not current:
            # Until the new run ends the folder is not a trained one: its files may come from two recipes.
            (folder / MANIFEST).unlink(missing_ok=True)
            (folder / OOF).unlink(missing_ok=True)
            _remove_others(recipe, folder)
        recipe.save(folder / RECIPE)
        _map_fits(fits, inputs, progress, session_hours, devices, mirrored, on_epoch)
        _combine(recipe, every, folder, needed, kind)
    return folder


def check_training(
    recipe: Recipe,
    inputs: InputArrays,
    folds: Iterable[int] | None = None,
    pseudo_labels: str | Path | None = None,
    folder: str | Path = "",
) -> tuple[int, ...]:
    """Check everything that can be checked before any training starts.

    Args:
        recipe: what is to be trained.
        inputs: samples, folds and arrays.
        folds: folds to leave out, in turn; None is all.
        pseudo_labels: folder of pseudo-labels, or None.
        folder: the folder to be trained, or the run's; stages that ``start_from`` names lie in it or above it.

    Returns:
        The folds.

    Raises:
        ConfigError, DataError, LeakError: as `train` says.
    """
    recipe.find_weights()
    if (recipe.band or recipe.crop_seconds) and not recipe.reads_signals:
        raise ConfigError(f"recipe {recipe.name!r}: band and crop_seconds are for networks that read the raw signals")
    if recipe.reads_signals and recipe.augment_with == "albumentations":
        raise ConfigError(f"recipe {recipe.name!r}: albumentations changes images, not raw signals; use 'batched'")
    if bool(recipe.pseudo_weight) != (pseudo_labels is not None):
        passed = "no pseudo-labels" if pseudo_labels is None else f"the pseudo-labels {pseudo_labels}"
        raise ConfigError(
            f"recipe {recipe.name!r} has pseudo_weight = {recipe.pseudo_weight}, but {passed} were passed"
        )
    samples, table = inputs.samples, inputs.folds
    missing = [column for column in SAMPLE_COLUMNS if column not in samples.columns]
    if missing:
        raise DataError(f"samples table: columns {', '.join(missing)} are missing")
    again = samples.loc[samples["eeg_id"].duplicated(), "eeg_id"]
    if recipe.sampling == "non_overlapping" and len(again):
        raise ConfigError(
            f"recipe {recipe.name!r} is for sampling 'non_overlapping', but eeg_id {again.iloc[0]} has several "
            "samples; prepare the data that way, or set the recipe's sampling to 'any'"
        )
    if inputs.sampling and recipe.sampling not in ("any", inputs.sampling):
        raise ConfigError(
            f"recipe {recipe.name!r} is for sampling {recipe.sampling!r}, the data were prepared with "
            f"{inputs.sampling!r}; prepare them that way, or set the recipe's sampling to 'any'"
        )
    numbers = {int(number) for number in table}
    if numbers != set(range(recipe.folds)):
        raise ConfigError(f"recipe {recipe.name!r} has {recipe.folds} folds, the fold table {sorted(numbers)}")
    chosen = tuple(range(recipe.folds)) if folds is None else tuple(dict.fromkeys(folds))
    outside = [fold for fold in chosen if fold not in range(recipe.folds)]
    if outside or not chosen:
        raise ConfigError(f"folds {list(chosen)}, expected some of 0 to {recipe.folds - 1}")
    audit_folds(samples, table, {})  # the table itself: a patient in two folds, or in none
    fold_of = samples["patient_id"].map(table).to_numpy()
    audit_folds(samples, table, {fold: fold_of != fold for fold in chosen})
    for kind in input_kinds(recipe):
        inputs.gather(np.zeros(1, int), kind)  # raises where the recipe reads what is not stored
    starts = start_folders(recipe, folder)
    if Path(folder).resolve() in starts.values():
        raise ConfigError(f"recipe {recipe.name!r} starts from {folder}, the folder it trains; name another folder")
    check_shipped_starts(recipe)
    for fold in chosen:
        for place in starts.values():
            if not is_shipped(place):  # which has seen no patient
                TrainedFolder.open(place).audit(fold, samples, table)
        if pseudo_labels is not None:
            load_pseudo_labels(pseudo_labels, samples, table, fold)
        if not (fold_of == fold).any():
            raise DataError(f"fold {fold} has no samples")
        for number, stage in enumerate(recipe.stages, 1):
            if not ((fold_of != fold) & (samples["n_votes"] >= stage.min_votes)).any():
                raise DataError(
                    f"stage {number} of recipe {recipe.name!r} trains on samples with at least {stage.min_votes} "
                    f"votes; there are none outside fold {fold}"
                )
    return chosen


def _data_of(
    fold: int,
    starts: Mapping[str, str | Path],
    inputs: InputArrays,
    weights: str,
    pseudo_labels: str | Path | None,
) -> str:
    """Digest of what the fits of a fold are made from; empty where it is not there (yet).

    Of pseudo-labels and trained folders only the fold's own part counts: other folds may follow later. A shipped
    model serves all folds alike.
    """
    used: dict[str, object] = {"arrays": inputs.digest}
    if weights:
        used["weights"] = weights
    try:
        for name, place in starts.items():
            files = start_files(place) if is_shipped(place) else TrainedFolder.open(place).weights(fold)
            used[f"from {name}"] = [digest_file(file) for file in files]
        if pseudo_labels is not None:
            labels = load_pseudo_labels(pseudo_labels, inputs.samples, inputs.folds, fold)
            used["pseudo_labels"] = digest_bytes(labels.tobytes())
    except ArtefactError:
        return ""
    return inputs.digest if len(used) == 1 else digest_json(used)


def _remove_others(recipe: Recipe, folder: Path) -> None:
    """Remove what fits of an earlier recipe have left, which would otherwise lie beside the new ones for good."""
    names = {fit_name(recipe, fold, seed) for fold in range(recipe.folds) for seed in recipe.seeds}
    for path in folder.glob("fold-*"):
        if path.is_file() and path.name.split(".")[0] not in names:
            path.unlink()


def _map_fits(
    fits: list[Fit],
    inputs: InputArrays,
    progress: bool,
    session_hours: float | None,
    devices: tuple[str, ...] | None,
    mirrored: bool,
    on_epoch: Callable[[pd.DataFrame], None] | None,
) -> None:
    deadline = None if session_hours is None else time.time() + 3600 * session_hours
    fits = [fit for fit in fits if not fit.finished()]
    (backend, _), gpus = active_backend(), visible_gpus()
    runtime = choose_runtime(
        gpus,
        len(fits),
        devices=devices,
        mirrored=mirrored,
        workers=joblib.effective_n_jobs(-1) if "Dask" in backend else 0,
        # Fits in threads of one process take turns.
        jobs=1 if "Threading" in backend else joblib.effective_n_jobs(None),
    )
    names = claim_for_this_process(runtime, gpus, str(fits[0].folder)) if fits else ()
    elsewhere = runtime.kind in ("process per device", "cluster")
    at_once = runtime.processes
    rounds = [-(-(len(fits) - number) // at_once) for number in range(len(fits))]
    with watch(fits, bar=progress and at_once > 1, on_epoch=on_epoch), warnings.catch_warnings():
        # joblib replaces a process that has grown, as one does that has trained; that is no fault to tell anyone.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        # Said outright where devices are at stake: a setting of joblib's could put two processes on one.
        ways = {"one device": "sequential", "mirrored": "sequential", "process per device": "loky"}
        workers = None if runtime.kind == "cluster" else at_once
        joblib.Parallel(n_jobs=workers, backend=ways.get(runtime.kind), batch_size=1)(
            joblib.delayed(run_fit)(
                fit,
                inputs,
                claim=runtime.claim if elsewhere else (),
                devices=names,
                progress=progress and at_once == 1,
                deadline=deadline,
                rounds=left,
                at_once=at_once,
            )
            for fit, left in zip(fits, rounds, strict=True)
        )


def _combine(recipe: Recipe, fits: list[Fit], folder: Path, needed: dict[str, str], kind: str) -> None:
    """Join what the finished fits left: one out-of-fold table (mean over the seeds), one learning curve."""
    finished = {fit.name: fit.finished() for fit in fits}
    folds = sorted({fit.fold for fit in fits} - {fit.fold for fit in fits if not finished[fit.name]})
    whole = [fit for fit in fits if fit.fold in folds]
    histories = [read_history(fit.path(HISTORY)).assign(fold=fit.fold, seed=fit.seed) for fit in whole]
    outputs = [folder / RECIPE, folder / HISTORY]
    if len(folds) == recipe.folds:
        # Only a whole table can be compared with other models' and enter an ensemble.
        outputs.append(write_table(folder / OOF, read_oof(folder, recipe, folds)[list(OOF_COLUMNS)]))
    write_table(folder / HISTORY, pd.concat(histories, ignore_index=True))
    outputs += [path for fit in whole for path in fit.outputs()]
    records = {fit.name: fit.read_record().facts for fit in fits if finished[fit.name]}
    facts = list(records.values())
    write_manifest(
        folder,
        kind,
        inputs=needed,
        parameters={"recipe": recipe.to_dict()},
        code=code_digest(__name__),
        outputs=outputs,
        facts={
            "folds": folds,
            "recipe_digest": recipe.digest,
            "seconds": round(sum(fact.end - fact.begin for fact in facts), 1),
            "threads": sorted({fact.threads for fact in facts}),
            "precision": sorted({fact.precision for fact in facts}),
            "fits": {name: dataclasses.asdict(fact) for name, fact in records.items()},
        },
    )
