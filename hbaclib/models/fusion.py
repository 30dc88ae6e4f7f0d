"""An image backbone and WaveNet, trained together: their features are joined before the one head.

``<image>_wavenet`` takes two inputs: the image of its layout, and the eight raw signals of the same window.

Source: the KerasCV and WaveNet fusions of the competition's public notebooks (2024).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbaclib.errors import ConfigError
from hbaclib.models.registry import family_of, model_names, register_model
from hbaclib.models.wavenet import wavenet_trunk

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras


def fused_features(
    shape: tuple[int, ...],
    signal_shape: tuple[int, ...],
    *,
    image: Callable[..., keras.Model],
    wavenet: dict[str, Any] | None = None,
    **options: Any,
) -> keras.Model:
    """Join the features of an image and of its raw signals.

    Args:
        shape: (height, width, planes) of the image.
        signal_shape: (samples, 8) of the raw signals.
        image: ``image(shape, **options)`` builds the image's features.
        wavenet: options of the WaveNet.
        options: of the image's builder.

    Returns:
        An uncompiled model of two inputs, image and signal, -> (n, k + 256).

    Raises:
        ConfigError: the shapes are not those of an image and of raw signals.
    """
    import keras

    if len(shape) != 3 or len(signal_shape) != 2:
        raise ConfigError(
            f"a fusion joins an image (height, width, planes) and signals (samples, n): {shape}, {signal_shape}"
        )
    inputs = [keras.Input(tuple(shape), name="image"), keras.Input(tuple(signal_shape), name="signal")]
    parts = [image(tuple(shape), **options), wavenet_trunk(tuple(signal_shape), **(wavenet or {}))]
    joined = [part(data) for part, data in zip(parts, inputs, strict=True)]
    return keras.Model(inputs, keras.layers.Concatenate(name="joined")(joined), name=f"{parts[0].name}_wavenet")


def _load_image_weights(features: keras.Model, weights: str | Path, load: Callable[[Any, str | Path], None]) -> None:
    # The image's part is the model inside that is not the WaveNet.
    parts = [layer for layer in features.layers if hasattr(layer, "layers") and layer.name != "wavenet_trunk"]
    load(parts[0], weights)


# One for each of the library's image networks, on its layouts and from its weights.
for _name in model_names():
    _family = family_of(_name)
    if _family.built_in and not _family.with_signal and "raw" not in _family.layouts:
        register_model(
            f"{_name}_wavenet",
            partial(fused_features, image=_family.features),
            layouts=_family.layouts,
            load_weights=_family.load_weights and partial(_load_image_weights, load=_family.load_weights),
            find_weights=_family.find_weights,
            with_signal=True,
            published=_family.published,
        )
