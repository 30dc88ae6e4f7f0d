"""ResNet1D-GRU on the eight raw signals: convolutions of several lengths beside a recurrent layer.

The recurrent layer runs over *time*. (The public network's runs over the batch, so that its predictions depend on which
recordings are asked for together.) It keeps Keras' defaults of activation, recurrent activation, bias, dropout and
``reset_after``, with which TensorFlow takes the fused kernel on a GPU.

Source: the public ResNet1D-GRU notebooks of the competition (2024); pre-activation blocks after He et al. (2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hbaclib.errors import ConfigError
from hbaclib.models.registry import register_model

if TYPE_CHECKING:
    import keras

KERNELS = (3, 5, 7, 9, 11)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_options(kernels: Sequence[int], block_dropout: float, **counts: int) -> None:
    listed = isinstance(kernels, list | tuple)
    if not listed or not kernels or not all(map(_is_count, kernels)) or len(set(kernels)) < len(kernels):
        raise ConfigError(f"kernels of resnet1d_gru are {kernels!r}; expected different whole numbers of at least 1")
    for name, value in counts.items():
        if not _is_count(value):
            raise ConfigError(f"{name} of resnet1d_gru is {value!r}; expected a whole number of at least 1")
    if not isinstance(block_dropout, int | float) or not 0 <= block_dropout < 1:
        raise ConfigError(f"block_dropout of resnet1d_gru is {block_dropout!r}; expected a rate from 0 to below 1")


def _activate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    from keras import layers

    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.Activation("silu", name=f"{name}_silu")(x)


def _block(x: keras.KerasTensor, planes: int, kernel: int, dropout: float, name: str) -> keras.KerasTensor:
    """Pre-activation block that halves the length, its identity path pooled."""
    from keras import layers

    identity = layers.MaxPooling1D(2, padding="same", name=f"{name}_identity")(x)
    for part in ("a", "b"):
        x = _activate(x, f"{name}{part}")
        if dropout and part == "b":
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        x = layers.Conv1D(planes, kernel, padding="same", use_bias=False, name=f"{name}{part}_conv")(x)
    x = layers.MaxPooling1D(2, padding="same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_sum")([x, identity])


def resnet1d_gru_features(
    shape: tuple[int, ...],
    *,
    kernels: Sequence[int] = KERNELS,
    planes: int = 24,
    blocks: int = 9,
    kernel: int = 5,
    units: int = 128,
    block_dropout: float = 0.0,
) -> keras.Model:
    """The convolutional and the recurrent features, side by side.

    Args:
        shape: (samples, signals).
        kernels: lengths of the parallel convolutions, all different; their outputs are joined along time.
        planes: filters of every convolution.
        blocks: number of residual blocks; each halves the length.
        kernel: length of the convolutions inside the blocks.
        units: of the recurrent layer, in each direction.
        block_dropout: rate between the two convolutions of a block.

    Returns:
        An uncompiled model (n, samples, signals) -> (n, k): 48 + 256 features for 2,000 samples.

    Raises:
        ConfigError: kernels that are none, equal or below 1, another count below 1, or a rate outside 0..1.
    """
    _check_options(kernels, block_dropout, planes=planes, blocks=blocks, kernel=kernel, units=units)
    import keras
    from keras import layers

    signal = keras.Input(shape, name="signal")
    parallel = [layers.Conv1D(planes, k, padding="same", use_bias=False, name=f"parallel{k}")(signal) for k in kernels]
    x = layers.Concatenate(axis=1, name="parallel")(parallel) if len(parallel) > 1 else parallel[0]
    x = _activate(x, "parallel")
    x = layers.Conv1D(planes, kernel, strides=2, padding="same", use_bias=False, name="halve")(x)
    for number in range(1, blocks + 1):
        x = _block(x, planes, kernel, block_dropout, f"block{number}")
    x = layers.AveragePooling1D(6, padding="same", name="mean")(_activate(x, "last"))
    x = layers.Flatten(name="flat")(x)
    recurrent = layers.Bidirectional(layers.GRU(units), name="gru")(signal)
    return keras.Model(signal, layers.Concatenate(name="features")([x, recurrent]), name="resnet1d_gru")


register_model("resnet1d_gru", resnet1d_gru_features, layouts=("raw",))
