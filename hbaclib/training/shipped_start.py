"""Which network of a shipped model a recipe can start from, as far as recipes tell: no network is built for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hbaclib.errors import ConfigError
from hbaclib.stages.shipped import FOLD, damage_told, is_shipped, shipped_networks
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder

Candidate = tuple[TrainedFolder, str]
WAVENET = "wavenet"
"""The signal half of every fusion of the library."""


def check_shipped_starts(recipe: Recipe) -> None:
    """Check the shipped models that a recipe's network starts from, before anything is computed.

    Parts of networks are not compared: that takes the networks themselves, and is done where one is trained.

    Raises:
        ConfigError: none of a model's networks can fit.
        PackageError: the package lacks the model's files, or they are damaged.
    """
    for name in filter(is_shipped, recipe.start_from):
        found = fitting_networks(name, recipe)
        if all(reason for _, reason in found):
            raise no_network_fits(name, recipe, found)


def fitting_networks(name: str, recipe: Recipe) -> list[Candidate]:
    """The networks of a shipped model, and of each why a recipe's network cannot start from it; "" where it may.

    Raises:
        PackageError: the package lacks the model's files, or they are damaged.
    """
    with damage_told(name):
        found = [TrainedFolder.open(folder) for folder in shipped_networks(name)]
        for trained in found:
            trained.weights(FOLD)
    return [(trained, _obstacle(trained.recipe, recipe)) for trained in found]


def start_files(name: str) -> list[Path]:
    """Weights of all networks of a shipped model; errors as for `fitting_networks`."""
    with damage_told(name):
        return [path for folder in shipped_networks(name) for path in TrainedFolder.open(folder).weights(FOLD)]


def no_network_fits(name: str, recipe: Recipe, candidates: Iterable[Candidate]) -> ConfigError:
    """An error that names what a shipped model has, and what a recipe has."""
    there = "; ".join(f"{each.path.name} ({_described(each.recipe)}): {reason}" for each, reason in candidates)
    return ConfigError(
        f"start_from = {name!r}: no network of the built-in model fits recipe {recipe.name!r} ({_described(recipe)}). "
        f"It has {there}"
    )


def network_parts(recipe: Recipe) -> set[str]:
    """Names of the networks that a recipe's is made of: its own, or the halves of a fusion."""
    if recipe.family.with_signal:
        return {recipe.backbone.removesuffix(f"_{WAVENET}"), WAVENET}
    return {recipe.backbone}


def _obstacle(there: Recipe, here: Recipe) -> str:
    """Why no part of a shipped network can be one of a recipe's; "" where the recipes do not tell."""
    common = [kind for kind in ("image", "signal") if kind in _kinds(there) and kind in _kinds(here)]
    if not common:
        return "one reads an image, the other raw signals"
    if there.family.built_in and here.family.built_in and not network_parts(there) & network_parts(here):
        return f"no part of {there.backbone!r} is one of {here.backbone!r}"
    differing = []
    for kind in common:
        found, expected = shipped_settings(there, kind), shipped_settings(here, kind)
        differing.append([f"{key} = {found[key]!r}, expected {expected[key]!r}" for key in found
                          if found[key] != expected[key]])  # fmt: skip
    # A fusion may have one half in common.
    return "" if not all(differing) else f"trained with {differing[0][0]}"


def _kinds(recipe: Recipe) -> set[str]:
    signal = {"signal"} if recipe.reads_signals else set()
    return signal if recipe.inputs == "raw" else signal | {"image"}


def shipped_settings(recipe: Recipe, kind: str) -> dict[str, object]:
    """As `input_settings`, and which image: many networks are at hand, and one of the other image would not serve."""
    return input_settings(recipe, kind) | ({"image": recipe.eeg_image} if kind == "image" else {})


def _described(recipe: Recipe) -> str:
    image = f", image {recipe.eeg_image!r}" if recipe.eeg_image else ""
    factors = " x ".join(map(str, recipe.downsample))
    seen = f"inputs {recipe.inputs!r}, layout {recipe.layout!r}{image}"
    return f"backbone {recipe.backbone!r}, {seen}, downsample {factors}"


def input_settings(recipe: Recipe, kind: str) -> dict[str, object]:
    """What decides how images or signals reach the network, named by the keys that decide it."""
    if kind == "image":
        return {"layout": recipe.layout, "inputs": recipe.inputs}
    return {
        "crop_seconds (rate of the signals)": f"{recipe.signal_rate:g} Hz",
        "band (or low_pass)": list(recipe.band or (0.0, recipe.low_pass)),
        "downsample (of the signals)": recipe.signal_downsample,
    }
