"""KerasCV backbones, built from explicit configurations: nothing is downloaded.

KerasCV's named presets fetch their configuration even when no weights are asked for, so the configurations stand here.
Pretrained weights come from a local preset folder (on Kaggle an attached model) through KerasCV's own ``from_preset``.

Scale: the presets of all four families were trained on pixels divided by 255, that is 0..1. The inputs here lie about
in -3..3, so every builder maps x to x / 6 + 1/2 first. In the layouts with 4 or 8 planes the first kernel is spread as
for the EfficientNets.

Source: keras-cv 0.9.0; Tan and Le, EfficientNetV2 (2021); He et al., ResNetV2 (2016); Howard et al., MobileNetV3
(2019); Huang et al., DenseNet (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hbaclib.errors import ConfigError, list_some
from hbaclib.models.efficientnet import quiet_import, spread_kernel
from hbaclib.models.registry import Published, register_model
from hbaclib.platform import input_root, mounted_files
from hbaclib.schema import parse_json

if TYPE_CHECKING:
    import keras

HALF_RANGE = 3.0
"""Inputs of -3..3 become the 0..1 of the pretrained weights."""


class Backbone(NamedTuple):
    """A backbone of KerasCV: its class, the Kaggle model that holds its presets, the configuration of its preset."""

    cls: str
    kaggle_model: str
    config: dict[str, Any]


def _efficientnet_v2(
    width: float = 1.0,
    depth: float = 1.0,
    repeats: Sequence[int] = (1, 2, 2, 3, 5, 8),
    stem: int = 32,
    filters: Sequence[int] = (16, 32, 48, 96, 112, 192),
) -> Backbone:
    config = {
        "width_coefficient": width,
        "depth_coefficient": depth,
        "stackwise_kernel_sizes": [3] * 6,
        "stackwise_num_repeats": list(repeats),
        "stackwise_input_filters": [stem, *filters[:-1]],
        "stackwise_output_filters": list(filters),
        "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0, 0, 0, 0.25, 0.25, 0.25],
        "stackwise_strides": [1, 2, 2, 2, 1, 2],
        "stackwise_conv_types": ["fused"] * 3 + ["unfused"] * 3,
    }
    return Backbone("EfficientNetV2Backbone", "efficientnetv2", config)


BACKBONES = {
    "efficientnet_v2_b0": _efficientnet_v2(),
    "efficientnet_v2_b1": _efficientnet_v2(1.0, 1.1),
    "efficientnet_v2_b2": _efficientnet_v2(1.1, 1.2),
    "efficientnet_v2_b3": _efficientnet_v2(1.2, 1.4),
    "efficientnet_v2_s": _efficientnet_v2(repeats=(2, 4, 4, 6, 9, 15), stem=24, filters=(24, 48, 64, 128, 160, 256)),
    "resnet50_v2": Backbone(
        "ResNetV2Backbone",
        "resnetv2",
        {"stackwise_filters": [64, 128, 256, 512], "stackwise_blocks": [3, 4, 6, 3], "stackwise_strides": [1, 2, 2, 2]},
    ),
    "mobilenet_v3_large": Backbone(
        "MobileNetV3Backbone",
        "mobilenetv3",
        {
            "stackwise_expansion": [1, 4, 3, 3, 3, 3, 6, 2.5, 2.3, 2.3, 6, 6, 6, 6, 6],
            "stackwise_filters": [16, 24, 24, 40, 40, 40, 80, 80, 80, 80, 112, 112, 160, 160, 160],
            "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5],
            "stackwise_stride": [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1],
            "stackwise_se_ratio": [None] * 3 + [0.25] * 3 + [None] * 4 + [0.25] * 5,
            "stackwise_activation": ["relu"] * 6 + ["hard_swish"] * 9,
        },
    ),
    "densenet201": Backbone("DenseNetBackbone", "densenet", {"stackwise_num_repeats": [6, 12, 48, 32]}),
}
"""Registry name -> backbone."""

IMAGENET = {
    **{f"efficientnet_v2_{size}": f"efficientnetv2_{size}_imagenet" for size in ("b0", "b1", "b2", "s")},
    **{name: f"{name}_imagenet" for name in ("resnet50_v2", "mobilenet_v3_large", "densenet201")},
}
"""Registry name -> variation of the Kaggle model that holds KerasCV's ImageNet preset (a part of its mount's path).

Of EfficientNetV2-B3 keras-cv 0.9.0 publishes the configuration alone, without weights.
"""


def kerascv_features(shape: tuple[int, ...], *, name: str, block_dropout: float | None = None) -> keras.Model:
    """A KerasCV backbone with global average pooling.

    Args:
        shape: (height, width, planes); any number of planes.
        name: one of `BACKBONES`.
        block_dropout: rate of dropping a residual path, for the EfficientNetV2 only; None is KerasCV's 0.2.

    Returns:
        An uncompiled model (n, height, width, planes) -> (n, k).

    Raises:
        ConfigError: the backbone drops no residual paths.
    """
    import keras

    entry = BACKBONES[name]
    options: dict[str, Any] = {}
    if block_dropout is not None:
        if entry.cls != "EfficientNetV2Backbone":
            raise ConfigError(f"model {name!r} drops no residual paths, found block_dropout = {block_dropout!r}")
        options["skip_connection_dropout"] = block_dropout
    builder = getattr(quiet_import("keras_cv").models, entry.cls)
    backbone = builder(**entry.config, **options, include_rescaling=False, input_shape=tuple(shape), name="backbone")
    image = keras.Input(tuple(shape), name="image")
    x = keras.layers.Rescaling(1 / (2 * HALF_RANGE), offset=0.5, name="to_unit_range")(image)
    x = keras.layers.GlobalAveragePooling2D(name="average")(backbone(x))
    return keras.Model(image, x, name=name)


def load_preset(features: keras.Model, weights: str | Path) -> None:
    """Fill a features model from a KerasCV preset folder.

    Args:
        features: as `kerascv_features` makes it.
        weights: the folder (config.json, model.weights.h5), as KerasCV's ``save_to_preset`` or a Kaggle model has it.

    Raises:
        ConfigError: no preset lies there, it is of another network, or its weights cannot be read.
    """
    folder = find_preset(features.name, weights)
    cls = getattr(quiet_import("keras_cv").models, BACKBONES[features.name].cls)
    try:
        preset = cls.from_preset(str(folder), load_weights=True)
    except Exception as error:  # KerasCV raises whatever its parts do: KeyError, ValueError, OSError, TypeError
        raise ConfigError(f"{folder}: not a preset with weights of {features.name} ({error})") from error
    backbone = features.get_layer("backbone")
    other = f"{folder}: preset of another network than {features.name}"
    values, wanted = preset.get_weights(), [tuple(weight.shape) for weight in backbone.weights]
    if len(values) != len(wanted):
        raise ConfigError(f"{other}; it has {len(values)} arrays of weights, expected {len(wanted)}")
    if values[0].ndim == 4 and values[0].shape[2] == 3 != wanted[0][2]:
        values[0] = spread_kernel(values[0], wanted[0][2])
    for value, shape, source in zip(values, wanted, preset.weights, strict=True):
        if value.shape != shape:
            raise ConfigError(f"{other}; {source.path} has shape {value.shape}, expected {shape}")
    backbone.set_weights(values)


def find_preset(name: str, weights: str | Path) -> Path:
    """Find a preset folder of a backbone.

    Args:
        name: one of `BACKBONES`.
        weights: the folder itself, or one above it in which a single preset of the backbone's class lies; ``imagenet``
            looks among Kaggle's attached models.

    Raises:
        ConfigError: there is none, or there are several; or KerasCV publishes none of this backbone.
    """
    if str(weights) == "imagenet":
        if name not in IMAGENET:
            raise ConfigError(
                f"weights 'imagenet': KerasCV publishes no ImageNet preset of {name}, only of {', '.join(IMAGENET)}; "
                "name the path of a preset folder"
            )
        folder, configs = input_root(), [path for path in mounted_files("config.json") if IMAGENET[name] in path.parts]
    else:
        folder, configs = Path(weights), sorted(path for path in Path(weights).rglob("config.json") if path.is_file())
    found = [path.parent for path in configs if _class_of(path) == BACKBONES[name].cls]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{folder}: {len(found)} presets ({list_some(found)}); name the one that is meant")
    others = sorted({_class_of(path) for path in configs})
    raise ConfigError(
        f"weights {str(weights)!r}: no KerasCV preset folder (config.json, model.weights.h5) of "
        f"{BACKBONES[name].cls} there" + (f"; found {list_some(others)}" if others else "")
    )


def published_preset(weights: str, *, name: str) -> Published | None:
    """Kaggle's page of a backbone's ImageNet preset; None where KerasCV publishes none.

    Args:
        weights: not asked for: there is one preset of each.
        name: one of `BACKBONES`.
    """
    if name not in IMAGENET:
        return None
    page = f"https://www.kaggle.com/models/keras/{BACKBONES[name].kaggle_model}/keras/{IMAGENET[name]}"
    return Published(IMAGENET[name], page)


def _class_of(path: Path) -> str:
    try:
        return str(parse_json(path.read_text(encoding="utf-8"))["registered_name"]).rpartition(">")[2]
    except (OSError, ValueError, KeyError, TypeError):
        return "no preset"


for _name in BACKBONES:
    register_model(
        _name,
        partial(kerascv_features, name=_name),
        layouts=("stem", "tiled", "starter"),
        load_weights=load_preset,
        find_weights=partial(find_preset, _name),
        published=partial(published_preset, name=_name),
    )
