"""Which recipes the notebooks 04, 05 and 06 train, decided from their parameters alone: no data are read for it.

So the same decisions can be judged before anything is computed, and without starting TensorFlow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hbaclib.ensemble.weights import check_weights
from hbaclib.errors import ConfigError
from hbaclib.models.lite_weights import LITE
from hbaclib.platform import accelerators, cpu_is_asked_for, output_root
from hbaclib.stages.names import EFFICIENTNET, KERASCV, RAW
from hbaclib.training.adapt import WAVENET_BATCH, missing_weights, start_fusions, with_batch, with_epochs, with_steps
from hbaclib.training.recipe import Recipe, load_recipe

IMAGE_NETWORKS = ("efficientnet_v2_b2", "mobilenet_v3_large", "resnet50_v2", "densenet201")
RAW_NETWORKS = ("wavenet", "resnet1d_gru")
BANDS = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0))
"""Delta, theta and alpha, Hz."""
BAND_NETWORK = "resnet1d_gru"
"""The network that is trained on bands, and that system S3 averages with an image network."""

PUBLISHED = ("imagenet", "noisy-student", LITE)
"""Weights that recipes name by their kind; anything else is a file or folder of the user's."""
FROM_LITE = "start from EfficientNet-Lite (ImageNet, weights = 'lite')"
FROM_SCRATCH = "start from random weights (weights = '')"


@dataclass(frozen=True)
class Plans:
    """What a notebook trains.

    Attributes:
        recipes: name -> recipe, in the order of training; there is at least one.
        note: what was decided beside the parameters, for the reader; empty for nothing.
        image: name of S3's image half among them; empty for none.
        weights_named: whether somebody named the weights to start from; then no others are taken.
        image_named: whether somebody named the recipe of the image half; then its weights are not replaced.
    """

    recipes: dict[str, Recipe]
    note: str = ""
    image: str = ""
    weights_named: bool = False
    image_named: bool = False

    @property
    def first(self) -> Recipe:
        """The recipe that is trained first; its threads and precision are configured."""
        return next(iter(self.recipes.values()))

    @property
    def signals(self) -> list[str]:
        """Names of all but the image half."""
        return [name for name in self.recipes if name != self.image]

    @property
    def grus(self) -> list[str]:
        """Names of the ResNet1D-GRUs, on the whole signal and on bands."""
        return [name for name in self.signals if self.recipes[name].backbone == BAND_NETWORK]

    @property
    def eeg_images(self) -> dict[str, str]:
        """Which stored images of the EEG the networks see -> name of the first recipe that sees it."""
        seen: dict[str, str] = {}
        for recipe in self.recipes.values():
            if recipe.eeg_image:
                seen.setdefault(recipe.eeg_image, recipe.name)
        return seen

    def lacking_images(self, stored: Collection[str]) -> str:
        """Which recipes see an image of the EEG that is not among the stored ones, in words; empty for none."""
        lacking = [(name, image) for image, name in self.eeg_images.items() if image not in stored]
        return " and ".join(f"recipe {name!r} sees image {image!r}" for name, image in lacking)

    def find_weights(self) -> None:
        """Look for the pretrained weights of all recipes.

        Raises:
            ConfigError: some are not found, or a network takes none, or not its recipe's options.
        """
        for recipe in self.recipes.values():
            recipe.find_weights()

    def with_weights_at_hand(self) -> Plans:
        """The same with weights that are there: the recipe's, else EfficientNet-Lite's, else none, as ``note`` says.

        All networks get the same kind, so that they compare. Weights that somebody named are not replaced.

        Raises:
            ConfigError: named weights are not found, or a network takes none, or not its recipe's options.
        """
        lacking = [text for name in self._free() if (text := missing_weights(self.recipes[name]))]
        if not lacking:
            self.find_weights()
            return self
        for weights, words in ((LITE, FROM_LITE), ("", FROM_SCRATCH)):
            found = {name: self.recipes[name].override({"weights": weights}) for name in self._free()}
            start = words if len(found) > 1 else words.replace("start ", "starts ", 1)
            if not any(missing_weights(recipe) for recipe in found.values()):
                break
        plans = replace(self, recipes={**self.recipes, **found})
        plans.find_weights()  # those that were named, and what else a network does not take
        who = "all networks" if len(found) > 1 else next(iter(found))
        told = f"{lacking[0]}; {who} {start}. To have the recipe's, attach them (kaggle/README.md) and run this again"
        return replace(plans, note="\n".join(filter(None, [self.note, told])))

    def _free(self) -> list[str]:
        """Networks that may start from other weights than their recipe says, which says a kind of them."""
        if self.weights_named:
            return []
        named = self.image if self.image_named else ""
        return [name for name, plan in self.recipes.items() if name != named and plan.weights in PUBLISHED]


GOLD = {EFFICIENTNET: "gold", KERASCV: "s4", RAW: "s3"}
"""Notebook -> its default recipe on a GPU."""
DEMO = {EFFICIENTNET: "demo", KERASCV: "demo_large", RAW: "demo_raw"}
"""Notebook -> its default recipe on a CPU."""


def _default(notebook: str) -> str:
    """Recipe for who names none: the notebook's own on a GPU, the demo's on a CPU."""
    return (GOLD if accelerators() and not cpu_is_asked_for() else DEMO)[notebook]


def efficientnet_plans(
    recipe: str = "", backbone: str = "", weights: str | None = None, batch: int = 0, xla: str = ""
) -> Plans:
    """The network of notebook 04.

    Args:
        recipe: name or TOML file; empty for the default.
        backbone: in place of the recipe's; empty for none.
        weights: in place of the recipe's; None for none.
        batch: rows of a step in place of the recipe's, whose rates are scaled (see `with_batch`); 0 for none.
        xla: what XLA compiles, in place of the recipe's; empty for none.

    Raises:
        ConfigError: no such recipe or network, or a value that is not allowed.
    """
    settings = ({"backbone": backbone} if backbone else {}) | ({} if weights is None else {"weights": weights})
    plan = load_recipe(recipe or _default(EFFICIENTNET), **settings)
    plan = with_steps(plan, batch, xla)
    return Plans({plan.backbone: plan}, weights_named=weights is not None)


def kerascv_plans(
    recipe: str = "",
    backbones: Sequence[str] = IMAGE_NETWORKS,
    fusions: bool = True,
    epochs: Sequence[int] = (),
    weights: str | None = None,
    out: str | Path = "",
    *,
    batch: int = 0,
    xla: str = "",
) -> Plans:
    """The networks of notebook 05: each alone, then each joined with a WaveNet.

    Who names neither recipe nor weights gets pretrained ones where all are found, else none at all.

    Args:
        recipe: name or TOML file; empty for the default.
        backbones: image networks.
        fusions: whether each is joined with a WaveNet, too.
        epochs: epochs of the recipe's stages in place of its own.
        weights: in place of the recipe's; None for none.
        out: the run's output folder, where trained folders lie that the recipe starts from.
        batch: as for `efficientnet_plans`.
        xla: as for `efficientnet_plans`.

    Raises:
        ConfigError: no network, no such recipe or network, or a value that is not allowed.
        ArtefactError: a folder that the recipe starts from is not a finished training run.
    """
    if not backbones:
        raise ConfigError("backbones is empty; name at least one network")
    names = [*backbones, *(f"{name}_wavenet" for name in backbones if fusions)]
    base = with_steps(load_recipe(recipe or _default(KERASCV)), batch, xla)
    settings = {} if weights is None else {"weights": weights}
    plans = {}
    for name in names:
        own: dict[str, Any] = {} if name == base.backbone else {"model_options": {}}
        plans[name] = with_epochs(base.override({**settings, **own, "backbone": name}), epochs)
    plans = start_fusions(plans, output_root(out))  # networks that the recipe starts from are parts of fusions
    named = bool(recipe) or weights is not None
    lacking = [] if named else [text for each in plans.values() if (text := missing_weights(each))]
    if not lacking:
        return Plans(plans, weights_named=weights is not None)
    return Plans(
        {name: plan.override({"weights": ""}) for name, plan in plans.items()},
        f"{lacking[0]}: all networks start from random weights, so that they compare",
    )


def raw_plans(
    recipe: str = "",
    backbones: Sequence[str] = RAW_NETWORKS,
    bands: Sequence[Sequence[float]] = BANDS,
    *,
    band_weights: Sequence[float] = (),
    image_half: str | None = None,
    half_weights: Sequence[float] = (),
    downsample: int = 1,
    epochs: Sequence[int] = (),
    crop_seconds: float = 0.0,
    batch: int = 0,
    xla: str = "",
) -> Plans:
    """The networks of notebook 06: on the whole signal, on bands, and S3's image half.

    The image half that nobody named starts from other weights where its own are not found (see
    `Plans.with_weights_at_hand`).

    Args:
        recipe: name or TOML file; empty for the default.
        backbones: networks on the whole signal.
        bands: (low, high), Hz; one ResNet1D-GRU each.
        band_weights: weights of the band ensemble; empty: fitted.
        image_half: recipe of the image half; None for the default, empty for none.
        half_weights: weights of the two halves; empty: fitted.
        downsample: samples of the signals averaged into one.
        epochs: epochs of the recipes' stages in place of their own.
        crop_seconds: length of the stretches that are trained on; 0 for the whole window.
        batch: as for `efficientnet_plans`, the image half included; WaveNet has at most `WAVENET_BATCH` rows.
        xla: as for `efficientnet_plans`, the image half included.

    Raises:
        ConfigError: no network, no such recipe or network, or a value that is not allowed.
    """
    recipe = recipe or _default(RAW)
    base = with_steps(load_recipe(recipe), batch, xla)
    settings = {"layout": "raw", "inputs": "raw", "weights": "", "crop_seconds": float(crop_seconds)}
    settings["downsample"] = downsample  # a recipe's own is meant for images
    recipes = {}
    for name, band in [*((name, []) for name in backbones), *((BAND_NETWORK, band) for band in bands)]:
        own: dict[str, Any] = {} if name == base.backbone else {"model_options": {}}
        chosen = with_epochs(base.override({**settings, **own, "backbone": name, "band": band}), epochs)
        chosen = with_batch(chosen, WAVENET_BATCH) if name == "wavenet" and chosen.batch > WAVENET_BATCH else chosen
        recipes["-".join([name, *(f"{edge:g}" for edge in band)]) + "Hz" * bool(band)] = chosen
    if not recipes:
        raise ConfigError("backbones and bands are both empty; name at least one network")
    plans = Plans(recipes)
    images_recipe = image_half if image_half is not None else "s3_image" if recipe == "s3" else ""
    image = with_epochs(with_steps(load_recipe(images_recipe), batch, xla), epochs) if images_recipe else None
    if image and (image.reads_signals or not plans.grus):
        raise ConfigError(
            f"image_half {images_recipe!r}: expected an image network, and a ResNet1D-GRU to average it with"
        )
    check_weights("band_weights", band_weights, plans.grus)
    check_weights("half_weights", half_weights, ["signals", "image"] if image else [])
    if not image:
        return plans
    named = image_half is not None
    return replace(plans, recipes={**recipes, image.backbone: image}, image=image.backbone, image_named=named)


_OF_NOTEBOOK: dict[str, Callable[..., Plans]] = {
    EFFICIENTNET: efficientnet_plans,
    KERASCV: kerascv_plans,
    RAW: raw_plans,
}


def plans_of(notebook: str, parameters: Mapping[str, Any]) -> Plans | None:
    """What a notebook trains.

    Args:
        notebook: its name, as ``05_train_kerascv``.
        parameters: values of its parameters cell; what is not among them has the notebook's own default.

    Returns:
        None for a notebook that trains nothing.

    Raises:
        ConfigError, ArtefactError: as `efficientnet_plans`, `kerascv_plans` and `raw_plans` say.
    """
    function = _OF_NOTEBOOK.get(notebook)
    if function is None:
        return None
    known = inspect.signature(function).parameters
    return function(**{name: value for name, value in parameters.items() if name in known})
