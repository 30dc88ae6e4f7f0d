"""Recipes fitted to an occasion: the data's folds, fewer epochs, no published weights at hand, parts trained before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hbaclib.errors import ConfigError
from hbaclib.inputs.store import InputArrays
from hbaclib.stages.shipped import is_shipped
from hbaclib.training.recipe import Recipe
from hbaclib.training.shipped_start import fitting_networks, network_parts, no_network_fits
from hbaclib.training.trained_folder import TrainedFolder
from hbaclib.training.warm_start import start_folders

WAVENET_BATCH = 32
"""The most rows of a step of WaveNet: it keeps 115 MB of float16 a row, and a T4 has 16 GB."""


def with_epochs(recipe: Recipe, epochs: Sequence[int]) -> Recipe:
    """A recipe whose stages have other numbers of epochs; a warm-up keeps its share of them.

    So a shortened schedule climbs and falls as the whole one does, and ends at its floor. (A schedule of one rate an
    epoch that is left with a single epoch has the first rate alone.)

    Args:
        recipe: what is changed.
        epochs: one number a stage, from the first; stages without one keep theirs, numbers beyond the stages are not
            used, so that one list serves recipes of one stage and of several.

    Raises:
        ConfigError: a number below 1.
    """
    changes: dict[str, float] = {}
    for number, (stage, count) in enumerate(zip(recipe.stages, epochs, strict=False)):
        changes[f"stages.{number}.epochs"] = count
        if count != stage.epochs:  # the quotient need not give back the very number
            changes[f"stages.{number}.warmup"] = stage.warmup * max(count, 0) / stage.epochs
    return recipe.override(changes, "epochs")


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """A recipe with other batches: its rates scaled by the square root of their size, as suits Adam.

    As many rows as before give the batch-norm statistics.

    Args:
        recipe: what is changed.
        batch: rows of a step.

    Raises:
        ConfigError: it is no such number.
    """
    changed = recipe.override({"batch": batch}, "batch")
    scale, changes = (batch / recipe.batch) ** 0.5, dict[str, object]()
    for number, stage in enumerate(recipe.stages):
        changes[f"stages.{number}.rates"] = [scale * rate for rate in stage.rates]
        changes[f"stages.{number}.peak"] = scale * stage.peak
        changes[f"stages.{number}.start"] = scale * stage.start
        changes[f"stages.{number}.floor"] = min(stage.floor, scale * stage.peak)
    if recipe.batch_norm_batches:
        changes["batch_norm_batches"] = -(-recipe.batch_norm_batches * recipe.batch // batch)
    return changed.override(changes, "batch")


def with_steps(recipe: Recipe, batch: int = 0, xla: str = "") -> Recipe:
    """A recipe whose steps have other rows (see `with_batch`), or another part that XLA compiles.

    Args:
        recipe: what is changed.
        batch: rows of a step; 0 for the recipe's.
        xla: as the recipe's key; empty for the recipe's.

    Raises:
        ConfigError: a value that is not allowed.
    """
    recipe = with_batch(recipe, batch) if batch else recipe
    return recipe.override({"xla": xla}, "xla") if xla else recipe


def on_folds_of(recipe: Recipe, inputs: InputArrays) -> Recipe:
    """The recipe with as many folds as the data have, which were split before any recipe was chosen.

    Notebooks train on whatever data they find; `hbaclib.training.cross_validate.train` refuses other folds.
    """
    number = int(inputs.folds.nunique())
    if number == recipe.folds:
        return recipe
    print(f"recipe {recipe.name}: {number} folds, as the data have, in place of {recipe.folds}")
    return recipe.override({"folds": number})


def missing_weights(recipe: Recipe) -> str:
    """Why the pretrained weights of a recipe are not to be had; empty where they are, or where it has none."""
    try:
        recipe.find_weights()
    except ConfigError as error:
        return str(error)
    return ""


def start_fusions(plans: Mapping[str, Recipe], out: str | Path = "") -> dict[str, Recipe]:
    """Let ``start_from`` hold for fusions alone, each with those trained folders whose network is a part of it.

    Side by side with the fusions stand their image networks, which have no part in common with a trained WaveNet, and
    the fusions of other image networks. A model that the package ships serves whatever network may start from it.

    Args:
        plans: name -> recipe.
        out: the run's output folder, where stages lie that ``start_from`` names.

    Returns:
        The same with ``start_from`` cut down.

    Raises:
        ConfigError: there are fusions, and a folder's network is a part of none of them; or a shipped model has nothing
            for any of the networks.
        ArtefactError: a folder is not a finished training run, or the package is damaged.
    """
    fusions = {name: plan for name, plan in plans.items() if plan.family.with_signal}
    folders = {title: path for plan in fusions.values() for title, path in start_folders(plan, out).items()}
    trained = {title: TrainedFolder.open(path) for title, path in folders.items() if not is_shipped(path)}
    fitting = {}
    for name, plan in plans.items():
        own = []
        for title in plan.start_from:
            if is_shipped(title):
                serves = not all(reason for _, reason in fitting_networks(title, plan))
            else:
                serves = name in fusions and bool(network_parts(trained[title].recipe) & network_parts(plan))
            own += [title] * serves
        fitting[name] = plan.override({"start_from": own})
    for title, folder in trained.items():
        if not any(title in plan.start_from for plan in fitting.values()):
            raise ConfigError(
                f"start_from: {folder.path} holds {folder.recipe.backbone!r}, which is a part of none "
                f"of {', '.join(sorted(fusions))}"
            )
    for plan in plans.values():
        for title in filter(is_shipped, plan.start_from):
            if not any(title in each.start_from for each in fitting.values()):
                raise no_network_fits(title, plan, fitting_networks(title, plan))
    return fitting
