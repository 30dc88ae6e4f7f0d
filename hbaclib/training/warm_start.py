"""Start the parts of a network from trained networks of the same fold: both halves of a fusion, or a fine-tuning."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hbaclib.artefacts import MANIFEST
from hbaclib.errors import ConfigError
from hbaclib.stages.places import mounted_stages
from hbaclib.stages.shipped import FOLD, damage_told, is_shipped
from hbaclib.training.recipe import Recipe
from hbaclib.training.shipped_start import (
    Candidate,
    fitting_networks,
    input_settings,
    no_network_fits,
    shipped_settings,
)
from hbaclib.training.trained_folder import TrainedFolder

log = logging.getLogger(__name__)


def start_folders(recipe: Recipe, near: str | Path) -> dict[str, str | Path]:
    """Trained folders that a recipe's network starts from: name in the recipe -> folder.

    A name is a path, or that of a stage as ``04_train_efficientnet-b0``: in a folder, in one above it, or in attached
    outputs of other notebooks. What is nowhere stays as it is; whoever opens it says what it lacks. The name of a model
    that the package ships stays a name, whatever lies in these folders.

    Args:
        recipe: its ``start_from`` holds the names.
        near: the folder in which and above which a stage is looked for.
    """
    found: dict[str, str | Path] = {}
    near = Path(near).resolve()
    for name in recipe.start_from:
        if is_shipped(name):
            found[name] = name
            continue
        beside = [place / name for place in (Path(), near, *near.parents)]
        places = (place for place in (*beside, *mounted_stages(name)) if (place / MANIFEST).is_file())
        found[name] = next(places, Path(name)).absolute()
    return found


def start_from(
    model: Any,
    folders: Sequence[str | Path],
    fold: int,
    seed: int,
    samples: pd.DataFrame,
    folds: pd.Series,
    *,
    recipe: Recipe,
) -> None:
    """Copy weights of trained networks into the parts of the same name.

    A part must have been trained on what it is to see: an image part on the same layout and inputs, a signal part on
    signals of the same rate, band and downsampling. The scale of an image may differ, as where a network is refined on
    larger images, and so may the length of a crop.

    Of a shipped model those of its networks serve whose parts fit, the one with the most weights first; a part starts
    from one of them. No patient's recording was in their training, so there is nothing to audit.

    Args:
        model: an uncompiled network; its weights are changed.
        folders: trained folders, for instance of an image backbone and of WaveNet; or a shipped model's name.
        fold: the fold that the network leaves out; the trained networks of this fold are used, and a shipped network
            for any fold.
        seed: of the trained networks the one of this seed, or the first where they have others.
        samples: the samples table.
        folds: fold of every patient.
        recipe: of the model.

    Raises:
        LeakError: a trained network saw a patient of the fold.
        ConfigError: a folder's network has no part in common with the model, a part of the same name has other weights,
            or it was trained on other inputs; or none of a shipped model's networks fits.
        ArtefactError: a folder is not a finished training run, or lacks the weights; or the package is damaged.
    """
    for folder in folders:
        if is_shipped(folder):
            _start_from_shipped(model, folder, fold, seed, recipe)
            continue
        trained = TrainedFolder.open(folder)
        trained.audit(fold, samples, folds)
        source, path = _opened(trained, fold, seed)
        names = _fitting_parts(Path(folder), trained.recipe, source, model, recipe)
        _copy(model, source, names, fold, path)


def _start_from_shipped(model: Any, name: str, fold: int, seed: int, recipe: Recipe) -> None:
    fitting, refused = list[tuple[int, dict[str, Any], list[str], Path]](), list[Candidate]()
    for trained, reason in fitting_networks(name, recipe):
        if reason:
            refused.append((trained, reason))
            continue
        with damage_told(name):
            source, path = _opened(trained, FOLD, seed)
        try:
            names = _fitting_parts(trained.path, trained.recipe, source, model, recipe, shipped_settings)
        except ConfigError as error:
            refused.append((trained, str(error).removeprefix(f"{trained.path}: ")))
            continue
        fitting.append((sum(len(source[part].weights) for part in names), source, names, path))
    if not fitting:
        raise no_network_fits(name, recipe, refused)
    target, taken = _parts(model), list[Any]()
    for _, source, names, path in sorted(fitting, key=lambda each: (-each[0], str(each[3]))):
        free = [part for part in names if not any(_overlap(target[part], other) for other in taken)]
        if free:
            _copy(model, source, free, fold, path)
            taken += [target[part] for part in free]


def _opened(trained: TrainedFolder, fold: int, seed: int) -> tuple[dict[str, Any], Path]:
    """The parts of a fold's network, and the file of its weights."""
    seeds = trained.recipe.seeds
    path = trained.weights(fold)[seeds.index(seed) if seed in seeds else 0]
    return _parts(trained.network(path)), path


def _fitting_parts(
    folder: Path,
    there: Recipe,
    source: dict[str, Any],
    model: Any,
    recipe: Recipe,
    settings: Callable[[Recipe, str], dict[str, object]] = input_settings,
) -> list[str]:
    """Names of the parts to be copied, the outermost ones; ``settings`` of both recipes must agree on what a part sees.

    Raises:
        ConfigError: there is none, or one does not fit.
    """
    target = _parts(model)
    names = [name for name in target if name in source]
    if not names:
        raise ConfigError(
            f"{folder}: network {there.backbone!r} has no part in common with {model.name!r} "
            f"(parts here: {', '.join(target) or 'none'}; there: {', '.join(source) or 'none'})"
        )
    _check_shapes(folder, names, source, target)
    outermost = [name for name in names if not any(_holds(source[other], source[name]) for other in names)]
    for name in outermost:
        seen = _sees(there, source[name]) | _sees(recipe, target[name])
        for kind in sorted(seen):
            _check_settings(folder, name, settings(there, kind), settings(recipe, kind), recipe)
    return outermost


def _copy(model: Any, source: dict[str, Any], names: Iterable[str], fold: int, path: Path) -> None:
    target = _parts(model)
    for name in names:
        target[name].set_weights(source[name].get_weights())
    log.info("%s: fold %d starts with %s from %s", model.name, fold, ", ".join(names), path)


def _overlap(one: Any, other: Any) -> bool:
    return one is other or _holds(one, other) or _holds(other, one)


def _parts(model: Any) -> dict[str, Any]:
    """The features and, within them, a fusion's halves or a trunk; what lies deeper goes with the part around it.

    (The inner models of all KerasCV networks bear one name.)
    """
    outer = [layer for layer in model.layers if hasattr(layer, "layers") and layer.weights]
    inner = [layer for part in outer for layer in part.layers if hasattr(layer, "layers") and layer.weights]
    return {layer.name: layer for layer in [*outer, *inner]}


def _holds(outer: Any, inner: Any) -> bool:
    return any(layer is inner for layer in outer.layers)


def _shapes(part: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in part.weights]


def _check_shapes(folder: Path, names: list[str], source: dict[str, Any], target: dict[str, Any]) -> None:
    """Refuse a part that could not be copied: left out, it would start from random weights without a word."""
    differing = [name for name in names if _shapes(source[name]) != _shapes(target[name])]
    if not differing:
        return
    # A part differs wherever one inside it does; the smallest one tells the most.
    name = min(differing, key=lambda name: len(source[name].weights))
    found, expected = _shapes(source[name]), _shapes(target[name])
    if len(found) != len(expected):
        raise ConfigError(f"{folder}: part {name!r} has {len(found)} arrays of weights, expected {len(expected)}")
    place = next(k for k, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
    raise ConfigError(
        f"{folder}: {source[name].weights[place].path} of part {name!r} has shape {found[place]}, "
        f"expected {expected[place]}"
    )


def _sees(recipe: Recipe, part: Any) -> set[str]:
    """What a part of a recipe's network reads: the image, the signals, or both."""
    if not recipe.reads_signals or recipe.inputs == "raw":
        return {"signal" if recipe.inputs == "raw" else "image"}
    inputs = getattr(part, "inputs", None)
    return {"image" if len(one.shape) == 4 else "signal" for one in inputs} if inputs else {"image", "signal"}


def _check_settings(
    folder: Path, name: str, there: Mapping[str, object], expected: Mapping[str, object], recipe: Recipe
) -> None:
    for key, found in there.items():
        if found != expected[key]:
            raise ConfigError(
                f"{folder}: part {name!r} was trained with {key} = {found!r}, expected {expected[key]!r} as "
                f"recipe {recipe.name!r} has"
            )
