"""Start the parts of a network from trained networks of the same fold: both halves of a fusion, or a fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hbaclib.errors import ConfigError
from hbaclib.models.registry import all_layers, build_model
from hbaclib.training.trained import audit_trained, trained_recipe, weight_files


def start_from(
    model: Any, folders: Sequence[str | Path], fold: int, seed: int, samples: pd.DataFrame, folds: pd.Series
) -> None:
    """Copy weights of trained networks into the parts of the same name.

    Args:
        model: an uncompiled network; its weights are changed.
        folders: trained folders, for instance of an image backbone and of WaveNet.
        fold: the fold that the network leaves out; the trained networks of this fold are used.
        seed: of the trained networks the one of this seed, or the first where they have others.
        samples: the samples table.
        folds: fold of every patient.

    Raises:
        LeakError: a trained network saw a patient of the fold.
        ConfigError: a folder's network has no part in common with the model.
        ArtefactError: a folder is not a finished training run, or lacks the weights.
    """
    for folder in map(Path, folders):
        audit_trained(folder, fold, samples, folds)
        recipe = trained_recipe(folder)
        path = weight_files(folder, fold)[recipe.seeds.index(seed) if seed in recipe.seeds else 0]
        source = build_model(recipe.backbone, recipe.layout, recipe.inputs, **recipe.network_options())
        source.load_weights(path)
        if not _copy_parts(_parts(source), _parts(model)):
            raise ConfigError(
                f"{folder}: network {recipe.backbone!r} has no part in common with {model.name!r} "
                f"(parts here: {', '.join(_parts(model)) or 'none'}; there: {', '.join(_parts(source)) or 'none'})"
            )


def _parts(model: Any) -> dict[str, Any]:
    return {layer.name: layer for layer in all_layers(model) if hasattr(layer, "layers") and layer.weights}


def _copy_parts(source: dict[str, Any], target: dict[str, Any]) -> int:
    copied = 0
    for name in source.keys() & target.keys():
        shapes = [[tuple(weight.shape) for weight in part.weights] for part in (source[name], target[name])]
        if shapes[0] == shapes[1]:
            target[name].set_weights(source[name].get_weights())
            copied += 1
    return copied
