"""Small convolutional networks that learn within minutes on a CPU; for the demo, tests and first trials.

From random weights an EfficientNet-B0 takes twice as many steps as ``convnet_small`` to come equally far below the
class means, and three times as long for each. With pretrained weights and a GPU the EfficientNets are the better
choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hbaclib.models.heads import UNITS, frequency_head
from hbaclib.models.registry import register_model

if TYPE_CHECKING:
    import keras


def convnet_features(shape: tuple[int, ...], *, filters: Sequence[int] = (16, 32, 64, 96)) -> keras.Model:
    """Convolution, batch norm, ReLU and 2 x 2 maximum, once per entry of ``filters``; then averages and maximum.

    A label belongs to the middle ten of the fifty seconds, so the average over all times is joined by average and
    maximum over the middle quarter.

    Args:
        shape: (height, width, planes); any number of planes, each side at least ``2 ** len(filters)``.
        filters: channels of each block.

    Returns:
        An uncompiled model (n, height, width, planes) -> (n, 3 * filters[-1]).
    """
    import keras

    image = keras.Input(shape)
    x = image
    for count in filters:
        x = keras.layers.Conv2D(count, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(2)(x)
    outside = (x.shape[2] - max(1, round(x.shape[2] / 4))) // 2
    middle = keras.layers.Cropping2D(((0, 0), (outside, outside)))(x)
    parts = [
        keras.layers.GlobalAveragePooling2D()(x),
        keras.layers.GlobalAveragePooling2D()(middle),
        keras.layers.GlobalMaxPooling2D()(middle),
    ]
    return keras.Model(image, keras.layers.Concatenate()(parts), name="convnet_small")


def frequency_features(
    shape: tuple[int, ...], *, filters: Sequence[int] = (24, 40, 64, 96), units: int = UNITS, dropout: float = 0.4
) -> keras.Model:
    """Convolutions of stride two, then `hbaclib.models.heads.frequency_head`: time is pooled, frequency is kept.

    Args:
        shape: (height, width, planes); each side at least ``2 ** len(filters)``.
        filters: channels of each convolution.
        units: width of the head.
        dropout: of the head.

    Returns:
        An uncompiled model (n, height, width, planes) -> (n, units).
    """
    import keras

    image = keras.Input(shape)
    x = image
    for index, count in enumerate(filters):
        x = keras.layers.Conv2D(count, 3 if index else 5, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(image, frequency_head(x, units=units, dropout=dropout), name="convnet_frequency")


register_model("convnet_small", convnet_features)
register_model("convnet_frequency", frequency_features)
