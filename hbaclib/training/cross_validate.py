"""Cross-validation: every fit (seed x fold) of a recipe, and out-of-fold predictions of all samples.

The fits are independent. On GPUs each runs in a process of its own, one a device; elsewhere they are mapped through
`joblib`: one after the other on a CPU, or over a Dask cluster within ``joblib.parallel_config("dask")``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import joblib
import pandas as pd

from hbaclib.compat.joblib import active_backend
from hbaclib.compat.keras_settings import check_keras
from hbaclib.inputs.store import InputArrays
from hbaclib.stages.names import TRAINED
from hbaclib.training.children import children
from hbaclib.training.devices import Runtime, choose_runtime
from hbaclib.training.fit import Fit, run_fit
from hbaclib.training.gpus import keep_off_gpus, visible_gpus
from hbaclib.training.plan import Job
from hbaclib.training.progress import watch
from hbaclib.training.recipe import Recipe
from hbaclib.training.stage import TrainingStage, check_training

__all__ = ["check_training", "choose_here", "train"]


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

    What is finished is not done again: neither the whole folder, nor a fit, nor an epoch of a fit that was stopped. In
    processes of their own a fit that fails costs only itself: the others are trained, then its error is raised.

    Args:
        recipe: what to train, and how.
        inputs: samples, folds and arrays, as `hbaclib.inputs.store.open_inputs` gives them.
        out_folder: gets ``recipe.toml``, and for each fit ``fold-K.weights.h5``, ``fold-K.history.csv`` and
            ``fold-K.oof.parquet``; then ``oof.parquet``, ``history.csv`` and the manifest.
        folds: which folds to leave out, in turn; None is all of them.
        progress: show a bar with the time left.
        session_hours: what the session has left; a run that would not end in it is refused after its first steps.
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
        PlatformError: too little time or memory; TensorFlow does not see the GPUs; Keras is set up for other networks.
        ArtefactError: an array is not the one that its stage wrote; the folder holds another kind of stage.
    """
    stage = TrainingStage.open(recipe, inputs, out_folder, folds, pseudo_labels, kind)
    if stage.complete:
        return stage.folder
    check_keras()
    if isinstance(inputs, InputArrays):
        inputs.verify()
    with stage.held():
        errors = _map_fits(stage.left, inputs, progress, session_hours, devices, mirrored, on_epoch)
        stage.finish()
    if errors:
        raise errors[0]
    return stage.folder


def _map_fits(
    fits: list[Fit],
    inputs: InputArrays,
    progress: bool,
    session_hours: float | None,
    devices: tuple[str, ...] | None,
    mirrored: bool,
    on_epoch: Callable[[pd.DataFrame], None] | None,
) -> list[Exception]:
    """Train fits; what has failed those that ran in processes of their own, the first one's error first."""
    if not fits:
        return []
    deadline = None if session_hours is None else time.time() + 3600 * session_hours
    gpus = visible_gpus()
    runtime = choose_here(len(fits), devices=devices, mirrored=mirrored)
    at_once = runtime.processes
    rounds = [-(-(len(fits) - number) // at_once) for number in range(len(fits))]
    if runtime.in_children:
        return _in_children(fits, inputs, runtime, rounds, progress, deadline, on_epoch)
    if runtime.kind != "cluster" and gpus:
        keep_off_gpus()  # a CPU that was named; TensorFlow would take the GPUs as well
    with watch(fits, bar=progress and at_once > 1, on_epoch=on_epoch), warnings.catch_warnings():
        # joblib replaces a process that has grown, as one does that has trained; that is no fault to tell anyone.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        # Said outright where devices are at stake: a setting of joblib's could put two processes on one.
        backend = "sequential" if runtime.kind in ("one device", "mirrored") else None
        workers = None if runtime.kind == "cluster" else at_once
        joblib.Parallel(n_jobs=workers, backend=backend, batch_size=1)(
            joblib.delayed(run_fit)(
                fit,
                inputs,
                claim=runtime.claim,
                devices=runtime.devices,
                progress=progress and at_once == 1,
                deadline=deadline,
                rounds=left,
                at_once=at_once,
            )
            for fit, left in zip(fits, rounds, strict=True)
        )
    return []


def _in_children(
    fits: list[Fit],
    inputs: InputArrays,
    runtime: Runtime,
    rounds: list[int],
    progress: bool,
    deadline: float | None,
    on_epoch: Callable[[pd.DataFrame], None] | None,
) -> list[Exception]:
    with children(runtime, fits, progress=progress, on_epoch=on_epoch) as running:

        def job(fit: Fit, left: int) -> Job:
            return Job(fit.name, lambda device: running.fit_call(fit, inputs, device, deadline, left))

        outcomes = running.run([job(fit, left) for fit, left in zip(fits, rounds, strict=True)])
    return [outcome.error for outcome in outcomes.values() if outcome.error is not None]


def choose_here(n_fits: int, *, devices: tuple[str, ...] | None = None, mirrored: bool = False) -> Runtime:
    """The runtime of this host, or of the cluster that joblib was told of, for a number of fits.

    Args:
        n_fits: that are due.
        devices: as for `train`.
        mirrored: as for `train`.
    """
    (backend, _), gpus = active_backend(), visible_gpus()
    return choose_runtime(
        gpus,
        n_fits,
        devices=devices,
        mirrored=mirrored,
        workers=joblib.effective_n_jobs(-1) if "Dask" in backend else 0,
        # Fits in threads of one process take turns.
        jobs=1 if "Threading" in backend else joblib.effective_n_jobs(None),
    )
