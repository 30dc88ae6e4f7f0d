"""What the networks see and what they start from: recipes `demo` and `demo_large` on the demo's set, three seeds each.

Every network is trained on the image of each pair's own scale and on the absolute one, the pretrained kinds from random
weights and from ImageNet's; everything else is equal. Of the two folds one is trained and scored. The tables are left
beside the trained networks.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hbaclib import compare_runs, open_runs, pair_runs
from hbaclib.inputs.store import InputArrays
from hbaclib.stages.names import EEG_IMAGES
from hbaclib.training.recipe import Recipe, load_recipe
from tests.evidence.conftest import prepared
from tests.evidence.side_by_side import train_all, trained_folder

FOLD = 0
SEEDS = [0, 1, 2]
NETWORKS = {
    "small": ("demo", {}),
    "frequency": ("demo", {"backbone": "convnet_frequency"}),
    "lite0 random": ("demo_large", {}),
    "lite0 ImageNet": ("demo_large", {"weights": "lite"}),
    "b0 random": ("demo_large", {"backbone": "efficientnet_b0"}),
    "b0 from Lite": ("demo_large", {"backbone": "efficientnet_b0", "weights": "lite"}),
}
KEEPS_FREQUENCY = ("demo_large", {"weights": "lite", "model_options": {"keep_frequency": True}})


@pytest.fixture(scope="module")
def folder(networks_folder: Path) -> Path:
    return networks_folder / "demo"


@pytest.fixture(scope="module")
def inputs(folder: Path) -> InputArrays:
    """The demo's set."""
    return prepared(folder, patients=260, seed=1, folds=2)


def recipes() -> dict[str, Recipe]:
    """Name -> recipe: the image last."""

    def made(recipe: str, changes: dict, image: str) -> Recipe:
        return load_recipe(recipe, **changes, image=image, seeds=SEEDS, threads=1)

    each = {f"{name} {image}": made(*network, image) for name, network in NETWORKS.items() for image in EEG_IMAGES}
    return each | {"lite0 frequency absolute": made(*KEEPS_FREQUENCY, "absolute")}


@pytest.mark.evidence
def test_the_image_and_the_start(folder: Path, inputs: InputArrays) -> None:
    chosen = recipes()
    train_all({name: (recipe, [FOLD]) for name, recipe in chosen.items()}, inputs, folder)
    runs = open_runs({name: trained_folder(folder, name) for name in chosen})
    table = compare_runs(runs)
    pairs = [(f"{name} absolute", f"{name} pair") for name in NETWORKS]
    pairs += [
        (f"{name} {start} {image}", f"{name} random {image}")
        for name, start in (("lite0", "ImageNet"), ("b0", "from Lite"))
        for image in EEG_IMAGES
    ]
    pairs += [("frequency absolute", "small absolute"), ("lite0 frequency absolute", "lite0 ImageNet absolute")]
    gains = pd.concat([pair_runs(runs, first, second) for first, second in pairs], ignore_index=True)
    table.to_csv(folder / "scores.csv", index=False)
    gains.to_csv(folder / "gains.csv", index=False)
    print("\n" + table.to_string(index=False) + "\n" + gains.to_string(index=False))
