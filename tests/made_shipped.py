"""Shipped models as the package holds them, made of tiny untrained networks of the library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hbaclib.artefacts import write_json, write_manifest
from hbaclib.conventions import CLASSES
from hbaclib.stages.names import ENSEMBLE, TRAINED
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import fit_name

_SHORT = {"stages": [{"epochs": 1}], "folds": 2, "threads": 1, "batch": 8}
IMAGE = {
    **_SHORT, "name": "synthetic-image", "backbone": "convnet_small", "inputs": "eeg", "image": "absolute",
    "downsample": [4, 4], "model_options": {"filters": [2, 3]}, "seeds": [0, 1],
}  # fmt: skip
WAVES = {
    **_SHORT, "name": "synthetic-waves", "backbone": "wavenet", "layout": "raw", "inputs": "raw",
    "model_options": {"filters": [4], "dilations": 2},
}  # fmt: skip
IMAGE_FOLDER, WAVES_FOLDER = "04_train_image", "04_train_waves"
NETWORKS = {IMAGE_FOLDER: IMAGE, WAVES_FOLDER: WAVES}
PRIOR = (0.2, 0.2, 0.1, 0.1, 0.1, 0.3)


def make_shipped(root: Path, networks: Mapping[str, Mapping[str, Any]] = NETWORKS, seed: int = 0) -> Path:
    """Write ``07_ensemble`` and the folders of its networks, with fold 0 alone and no out-of-fold tables."""
    digests = {name: _network(root / name, Recipe.from_dict(recipe), seed) for name, recipe in networks.items()}
    members = [{"name": recipe["name"], "folder": name, "kl": 0.5} for name, recipe in networks.items()]
    write_json(
        root / "07_ensemble" / "ensemble.json",
        {
            "schema": 1,
            "kind": "mean, calibrated",
            "log_linear": False,
            "members": members,
            "weights": [1 / len(members)] * len(members),
            "temperature": 1.25,
            "biases": dict.fromkeys(CLASSES, 0.0),
            "score": 0.5,
            "tier": "all",
            "prior": dict(zip(CLASSES, PRIOR, strict=True)),
            "notes": [],
        },
    )
    write_manifest(root / "07_ensemble", ENSEMBLE, inputs=digests, parameters={}, outputs=["ensemble.json"])
    return root


def _network(folder: Path, recipe: Recipe, seed: int) -> str:
    folder.mkdir(parents=True)
    files = [recipe.save(folder / "recipe.toml").name]
    for each in recipe.seeds:
        keras.utils.set_random_seed(1000 * seed + each)
        rng = np.random.default_rng([seed, each])
        network = recipe.build_network()
        network.set_weights([np.asarray(w) + 0.01 * rng.standard_normal(w.shape) for w in network.get_weights()])
        files.append(f"{fit_name(recipe, 0, each)}.weights.h5")
        network.save_weights(folder / files[-1])
    parameters = {"recipe": recipe.to_dict()}
    return write_manifest(folder, TRAINED, inputs={}, parameters=parameters, outputs=files, facts={"folds": [0]}).digest
