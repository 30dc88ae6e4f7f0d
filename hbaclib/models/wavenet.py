"""WaveNet on the eight raw signals, with one set of weights for all of them.

A block is a 1x1 convolution and then, for the dilations 1, 2, 4, ..., a gated pair (tanh times sigmoid) of dilated
convolutions whose 1x1 projection is added to a running sum. The convolutions are *not* causal: with ``same`` padding
they look both ways. One layer of kernel k and dilation d sees (k - 1) d samples more than its input does, of which
floor((k - 1) d / 2) lie in the past and the rest in the future. The default stack (kernel 4, six dilations, four
blocks) sees 757 samples, 376 in the past and 380 in the future: 18.9 s at 40 Hz, 3.8 s at 200 Hz.

Source: van den Oord et al., WaveNet (2016); stack and chain average as in the public WaveNet notebooks of the
competition (C. Deotte, 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbaclib.errors import ConfigError
from hbaclib.models.registry import register_model

if TYPE_CHECKING:
    import keras

FILTERS = (8, 16, 32, 64)
KERNEL = 4
DILATIONS = 6


def _block(x: keras.KerasTensor, filters: int, kernel: int, dilations: int, name: str) -> keras.KerasTensor:
    from keras import layers

    # A kernel of width 1 along the signals' axis: every signal passes through the same weights.
    x = layers.Conv2D(filters, 1, name=f"{name}_in")(x)
    total = x
    for power in range(dilations):
        options = {"padding": "same", "dilation_rate": (2**power, 1)}
        shape = (kernel, 1)
        tanh = layers.Conv2D(filters, shape, activation="tanh", name=f"{name}_tanh{2**power}", **options)(x)
        gate = layers.Conv2D(filters, shape, activation="sigmoid", name=f"{name}_gate{2**power}", **options)(x)
        x = layers.Conv2D(filters, 1, name=f"{name}_out{2**power}")(layers.Multiply()([tanh, gate]))
        total = layers.Add(name=f"{name}_sum{2**power}")([total, x])
    return total


def wavenet_sequence(
    shape: tuple[int, ...], *, filters: tuple[int, ...] = FILTERS, kernel: int = KERNEL, dilations: int = DILATIONS
) -> keras.Model:
    """The stack of blocks, before anything is averaged.

    Args:
        shape: (samples, signals).
        filters: filters of each block.
        kernel: length of the dilated convolutions.
        dilations: number of dilations of a block: 1, 2, 4, ...

    Returns:
        An uncompiled model (n, samples, signals) -> (n, samples, signals, filters[-1]).
    """
    import keras

    signal = keras.Input(shape, name="signal")
    x = keras.layers.Reshape((*shape, 1))(signal)
    for number, width in enumerate(filters, 1):
        x = _block(x, width, kernel, dilations, f"wave{number}")
    return keras.Model(signal, x, name="wavenet_sequence")


def wavenet_trunk(shape: tuple[int, ...], **options: object) -> keras.Model:
    """The stack with its averages: over time, then over the two signals of every chain.

    Args:
        shape: (samples, 8), signals as RAW_PAIRS.
        options: of `wavenet_sequence`.

    Returns:
        An uncompiled model (n, samples, 8) -> (n, 4 * filters[-1]); 256 features by default.

    Raises:
        ConfigError: the number of signals is odd.
    """
    import keras

    if len(shape) != 2 or shape[1] % 2:
        raise ConfigError(f"WaveNet takes pairs of signals, (samples, 8); found the input shape {shape}")
    sequence = wavenet_sequence(shape, **options)  # type: ignore[arg-type]
    x = keras.layers.AveragePooling2D((shape[0], 1), name="wave_mean")(sequence.output)
    # The conventions' table lists the two signals of a chain side by side.
    x = keras.layers.Reshape((shape[1] // 2, 2, x.shape[-1]))(x)
    x = keras.layers.AveragePooling2D((1, 2), name="chain_mean")(x)
    return keras.Model(sequence.input, keras.layers.Flatten()(x), name="wavenet_trunk")


def wavenet_features(shape: tuple[int, ...], *, units: int = 64, **options: object) -> keras.Model:
    """WaveNet on its own: the trunk and a hidden layer.

    Args:
        shape: (samples, 8).
        units: width of the hidden layer (ReLU).
        options: of `wavenet_sequence`.

    Returns:
        An uncompiled model (n, samples, 8) -> (n, units).
    """
    import keras

    trunk = wavenet_trunk(shape, **options)
    signal = keras.Input(shape, name="signal")
    hidden = keras.layers.Dense(units, activation="relu", name="wave_dense")(trunk(signal))
    return keras.Model(signal, hidden, name="wavenet")


register_model("wavenet", wavenet_features, layouts=("raw",))
