"""Networks side by side on one set of inputs, as the training notebooks have them: trained, described, compared."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from hbaclib.artefacts import MANIFEST
from hbaclib.compat.joblib import active_backend
from hbaclib.compat.keras_settings import check_keras
from hbaclib.ensemble.comparison import store_comparison
from hbaclib.ensemble.fit import EnsembleFit, fit_ensemble
from hbaclib.evaluation.oof import load_oof
from hbaclib.inputs.store import InputArrays, open_inputs
from hbaclib.platform import output_root, session_hours_left
from hbaclib.prediction.networks import Trained, train_networks
from hbaclib.prediction.rounds import round_folders
from hbaclib.stages.names import OOF_FILE
from hbaclib.stages.signals_200hz import store_signals_200hz
from hbaclib.suite.plans import Plans
from hbaclib.suite.prerequisites import adopt_fits, check_attached, eeg_products, images, ported, source_of
from hbaclib.training.adapt import on_folds_of
from hbaclib.training.cross_validate import check_training
from hbaclib.training.devices import configure
from hbaclib.training.gpus import check_gpus_seen, keep_off_gpus, visible_gpus
from hbaclib.training.recipe import Recipe
from hbaclib.training.reports import duration
from hbaclib.training.schedules import recipe_learning_rates

_WORTH_TELLING = 120.0  # seconds that the earlier stages took
UNFINISHED = "trained some of the folds; the out-of-fold tables are written when all are done"


@dataclass(frozen=True)
class Family:
    """What a notebook trains, and on what.

    Attributes:
        plans: the networks' recipes, with the data's folds.
        inputs: samples, folds and arrays.
        folders: name -> folder of the network's stage.
        folds: folds to train; empty for all.
        begin: Unix time from which the hours of the session count: before the earlier stages were computed.
        outcomes: what became of each call of `train`.
    """

    plans: Plans
    inputs: InputArrays
    folders: dict[str, Path]
    folds: tuple[int, ...] = ()
    begin: float = field(default_factory=time.time)
    outcomes: list[Trained] = field(default_factory=list, compare=False)

    def learning_rates(self, recipe: Recipe) -> np.ndarray:
        """Rate of every step of one fit."""
        votes, share = self.inputs.samples["n_votes"], 1 - 1 / recipe.folds
        return recipe_learning_rates(recipe, [int(share * (votes >= step.min_votes).sum()) for step in recipe.stages])

    def train(
        self,
        *,
        pseudo_labels: bool = True,
        mirrored: bool = False,
        devices: tuple[str, ...] | None = None,
        session_hours: float | None = None,
    ) -> dict[str, Path]:
        """Train all networks; their learning curves grow while they do.

        By one plan for all networks (see `hbaclib.prediction.networks.train_networks`): what a session has no time for
        is left out from the end, and told (see `left_out`). On a CPU so many fits run at once as its cores have room
        for, by the recipes' ``threads``.

        Fits that other Kaggle kernels have trained are taken over.

        Args:
            pseudo_labels: train a second time with pseudo-labels, where a recipe mixes them in.
            mirrored: as for `hbaclib.training.cross_validate.train`.
            devices: as for `train`.
            session_hours: length of the session, which counts from `begin`; None for what Kaggle grants, and no end
                elsewhere.

        Returns:
            Name -> folder; of those in `begun` at least one fold is trained.

        Raises:
            HbacError: a fit has failed; all others are trained.
        """
        from hbaclib.plots.scores import live_learning_curves

        for name, folder in self.folders.items():
            for part in (folder, round_folders(folder)[0]):
                adopt_fits(part.name, part.parent)
            if starts := self.plans.recipes[name].start_from:
                print(f"{name} starts from {', '.join(starts)}")
        hours = session_hours_left()
        if session_hours is not None:
            hours = session_hours - (time.time() - self.begin) / 3600
        options: dict[str, Any] = {"folds": self.folds or None, "pseudo_labels": pseudo_labels}
        options |= {"mirrored": mirrored, "devices": devices}
        most = max(self.plans.recipes.values(), key=lambda recipe: recipe.threads)
        with _fits_at_once(most), live_learning_curves() as draw:
            found = train_networks(
                self.plans.recipes, self.inputs, self.folders, session_hours=hours, on_epoch=draw, **options
            )
        self.outcomes.append(found)
        found.raise_errors()
        return self.folders

    def left_out(self) -> pd.DataFrame | str:
        """What the session had no time for, network and fit; a sentence where that is nothing."""
        rows = self.outcomes[-1].left_out if self.outcomes else pd.DataFrame()
        if not len(rows):
            return "nothing was left out"
        return rows[["network", "fit", "note"]].set_index(["network", "fit"])

    def begun(self) -> dict[str, Path]:
        """Name -> folder of the networks that are trained on at least one fold."""
        return {name: folder for name, folder in self.folders.items() if (folder / MANIFEST).is_file()}

    def networks(self, names: Iterable[str], drawn: Collection[str]) -> pd.DataFrame:
        """Sizes of networks: parameters, trainable ones, layers; the structure of some is shown.

        They are built on the CPU, which on a host with GPUs is where this process stays.

        Args:
            names: of networks.
            drawn: which of them are shown.
        """
        import matplotlib.pyplot as plt

        from hbaclib.compat.keras import flat_layers
        from hbaclib.plots.networks import plot_network

        keep_off_gpus()
        sizes = {}
        for name in names:
            network = self.plans.recipes[name].build_network()
            trainable = sum(int(weight.shape.num_elements()) for weight in network.trainable_weights)
            layers = len(flat_layers(network))
            sizes[name] = {"parameters": network.count_params(), "trainable": trainable, "layers": layers}
            if name in drawn:
                plot_network(network)
                plt.show()
        return pd.DataFrame(sizes).T

    def finished(self) -> dict[str, Path]:
        """Name -> folder of the networks that are trained on all folds."""
        return {name: folder for name, folder in self.folders.items() if (folder / OOF_FILE).is_file()}

    def compare(self, stage: str, ensembles: Mapping[str, EnsembleFit] | None = None) -> pd.DataFrame | str:
        """Store the table of the networks that are trained on all folds, and of their ensembles, as a stage.

        Returns:
            The table, or a sentence where no network is.
        """
        complete = list(self.finished().values())
        return store_comparison(complete, complete[0].parent / stage, ensembles) if complete else UNFINISHED

    def raw_ensembles(
        self, band_weights: Sequence[float] = (), half_weights: Sequence[float] = ()
    ) -> dict[str, EnsembleFit]:
        """The ensemble of ResNet1D-GRUs on the whole signal and on bands, and S3: their mean and the image network.

        Args:
            band_weights: one a ResNet1D-GRU; empty for equal ones in S3's mean, and fitted ones in the first ensemble.
            half_weights: of the signals and the image; empty to have them fitted.

        Returns:
            Name -> fit; empty where a network is not trained on all folds, or there is nothing to join.
        """
        if len(self.finished()) < len(self.folders):
            return {}
        oof, grus, image = load_oof(self.folders), self.plans.grus, self.plans.image
        shares = dict(zip(oof.names, oof.predictions, strict=True))
        joined: dict[str, tuple[dict[str, np.ndarray], Sequence[float]]] = {}
        if len(grus) > 1:
            joined["ensemble of the bands"] = {name: shares[name] for name in grus}, band_weights
        if image:
            mean = np.average([shares[name] for name in grus], axis=0, weights=band_weights or None)
            joined["S3: signals and image"] = {"signals": mean, "image": shares[image]}, half_weights
        fits = {}
        for title, (parts, weights) in joined.items():
            about = oof.targets, oof.folds, oof.patients, list(parts), oof.n_votes
            fits[title] = fit_ensemble(np.stack(list(parts.values())), *about, weights=weights or None)
        return fits


def _fits_at_once(recipe: Recipe) -> AbstractContextManager[object]:
    """Small batches gain little from a second thread: on a CPU the folds share its cores, unless joblib was told."""
    backend, told = active_backend()
    if told not in (None, 1) or backend == "DaskDistributedBackend":
        return nullcontext()
    return joblib.parallel_config(n_jobs=max(1, joblib.cpu_count() // recipe.threads))


def open_family(
    plans: Plans, out: str | Path, data: str = "", *, stage: str = "{}", folds: Iterable[int] = ()
) -> Family:
    """Make ready to train: the process configured, the earlier stages there, every recipe checked against them.

    On a host with GPUs this process leaves them to those that train; whether TensorFlow sees them is asked in another.

    Args:
        plans: recipes.
        out: the run's output folder; empty for the usual one.
        data: folder in the competition's format; empty for the usual one.
        stage: name of a network's folder, ``{}`` for its name.
        folds: folds to train; empty for all.

    Raises:
        HbacError: weights that somebody named are not found, an earlier stage cannot be computed or lacks the image
            that a recipe sees, or a recipe does not fit the data. A `PlatformError`: the driver lists GPUs that
            TensorFlow does not see, and nobody has asked for the CPU.
    """
    begin = time.time()
    if visible_gpus():
        check_keras()
        check_gpus_seen()
    else:
        configure(plans.first)  # threads, seeds and determinism are set before TensorFlow starts
    plans = plans.with_weights_at_hand()  # what is missing is told now, not after the earlier stages are computed
    if plans.note:
        print(plans.note)
    out, seen = output_root(str(out)), plans.eeg_images
    check_attached(out, seen)  # before stage 01 is computed
    port = ported(out, data)
    crops = any(recipe.crop_seconds for recipe in plans.recipes.values())
    signals_200hz = store_signals_200hz(source_of(data, out), port, out) if crops else None
    inputs = open_inputs(port, eeg_products(out, data, seen), images(out, data), signals_200hz)
    recipes = {name: on_folds_of(recipe, inputs) for name, recipe in plans.recipes.items()}
    chosen = tuple(folds)
    for recipe in recipes.values():  # all of them before the first one trains
        check_training(recipe.override({"pseudo_weight": 0.0}), inputs, chosen or None, folder=out)
    print(f"{len(inputs.samples):,} samples of {inputs.samples['patient_id'].nunique():,} patients")
    if (took := time.time() - begin) > _WORTH_TELLING:
        print(f"to get there took {duration(took)}, which the session's hours count in")
    folders = {name: out / stage.format(name) for name in recipes}
    return Family(replace(plans, recipes=recipes), inputs, folders, chosen, begin)


def ensemble_tables(ensembles: Mapping[str, EnsembleFit]) -> pd.DataFrame | str:
    """Weight, score and gain of every member of every ensemble, or a sentence where there is none."""
    if not ensembles:
        return "no ensemble: fewer than two members, or not all folds are trained"
    titles = [f"{name} ({fit.kind}, score of {fit.tier})" for name, fit in ensembles.items()]
    return pd.concat([fit.table.set_index("name")[["weight", "kl", "adds"]] for fit in ensembles.values()], keys=titles)
