"""Start the parts of a network from trained networks of the same fold: both halves of a fusion, or a fine-tuning."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hbaclib.artefacts import MANIFEST
from hbaclib.errors import ConfigError
from hbaclib.stages.places import mounted_stages
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder

log = logging.getLogger(__name__)


def start_folders(recipe: Recipe, near: str | Path) -> dict[str, Path]:
    """Trained folders that a recipe's network starts from: name in the recipe -> folder.

    A name is a path, or that of a stage as ``04_train_efficientnet-b0``: in a folder, in one above it, or in attached
    outputs of other notebooks. What is nowhere stays as it is; whoever opens it says what it lacks.

    Args:
        recipe: its ``start_from`` holds the names.
        near: the folder in which and above which a stage is looked for.
    """
    found, near = {}, Path(near).resolve()
    for name in recipe.start_from:
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

    Args:
        model: an uncompiled network; its weights are changed.
        folders: trained folders, for instance of an image backbone and of WaveNet.
        fold: the fold that the network leaves out; the trained networks of this fold are used.
        seed: of the trained networks the one of this seed, or the first where they have others.
        samples: the samples table.
        folds: fold of every patient.
        recipe: of the model.

    Raises:
        LeakError: a trained network saw a patient of the fold.
        ConfigError: a folder's network has no part in common with the model, a part of the same name has other weights,
            or it was trained on other inputs.
        ArtefactError: a folder is not a finished training run, or lacks the weights.
    """
    target = _parts(model)
    for folder in map(Path, folders):
        trained = TrainedFolder.open(folder)
        trained.audit(fold, samples, folds)
        there = trained.recipe
        path = trained.weights(fold)[there.seeds.index(seed) if seed in there.seeds else 0]
        network = trained.network(path)
        source = _parts(network)
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
            _check_inputs(folder, name, seen, there, recipe)
        for name in outermost:
            target[name].set_weights(source[name].get_weights())
        log.info("%s: fold %d starts with %s from %s", model.name, fold, ", ".join(outermost), path)


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


def _check_inputs(folder: Path, name: str, seen: set[str], there: Recipe, here: Recipe) -> None:
    for kind in sorted(seen):
        expected = _settings(here, kind)
        for key, found in _settings(there, kind).items():
            if found != expected[key]:
                raise ConfigError(
                    f"{folder}: part {name!r} was trained with {key} = {found!r}, expected {expected[key]!r} as "
                    f"recipe {here.name!r} has"
                )


def _settings(recipe: Recipe, kind: str) -> dict[str, object]:
    """What decides how images or signals reach the network, named by the keys that decide it."""
    if kind == "image":
        return {"layout": recipe.layout, "inputs": recipe.inputs}
    return {
        "crop_seconds (rate of the signals)": f"{recipe.signal_rate:g} Hz",
        "band (or low_pass)": list(recipe.band or (0.0, recipe.low_pass)),
        "downsample (of the signals)": recipe.signal_downsample,
    }
