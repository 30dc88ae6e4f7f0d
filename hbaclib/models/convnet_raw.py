"""Small convolutional network on the eight raw signals: what the labelled ten seconds look like, wave by wave.

The images of the other small networks average the shape of a wave away; here it is what is read. A label belongs to
the middle ten of the fifty seconds, and nothing else is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hbaclib.conventions import EEG_RATE, EEG_WINDOW
from hbaclib.errors import ConfigError
from hbaclib.models.registry import register_model

if TYPE_CHECKING:
    import keras

_QUIETEST = 2 / 32
"""Amplitude (in units of 32 µV) that quieter recordings are not raised above: noise would become patterns."""
LABELLED = 10 * EEG_RATE / EEG_WINDOW
"""Share of the window that experts judge."""


def raw_convnet_features(
    shape: tuple[int, ...], *, filters: Sequence[int] = (32, 48, 64, 96), kernel: int = 7, middle: float = LABELLED
) -> keras.Model:
    """Convolution, batch norm, ReLU, twice, and maximum of two samples, once per entry of ``filters``; then pooling.

    Before them the stretch is brought to unit variance, all signals by one factor, so that which is louder remains, and
    compressed by the inverse hyperbolic sine, so that an artefact does not hide the rest.

    Args:
        shape: (samples, signals).
        filters: channels of each pair of convolutions.
        kernel: length of the first convolution; the others of a pair have 5 and 3.
        middle: share of the samples, in the middle, that is read.

    Returns:
        An uncompiled model (n, samples, signals) -> (n, 2 * filters[-1]): mean and maximum over time.

    Raises:
        ConfigError: ``middle`` is not above 0 and at most 1, or leaves too few samples for the maxima.
    """
    if not isinstance(middle, int | float) or not 0 < middle <= 1:
        raise ConfigError(f"middle of convnet_raw is {middle!r}; expected a share above 0, at most 1")
    kept = round(shape[0] * middle)
    if kept < 2 ** len(filters):
        raise ConfigError(
            f"convnet_raw reads {kept} samples, fewer than the {2 ** len(filters)} that {len(filters)} maxima need"
        )
    import keras
    from keras import layers

    signal = keras.Input(shape, name="signal")
    before = (shape[0] - kept) // 2
    x = layers.Cropping1D((before, shape[0] - kept - before), name="middle")(signal)
    x = layers.LayerNormalization((1, 2), epsilon=_QUIETEST**2, center=False, scale=False, name="loudness")(x)
    x = keras.ops.arcsinh(x)
    for number, count in enumerate(filters, 1):
        for part in ("a", "b"):
            length = kernel if (number, part) == (1, "a") else 5 if part == "a" else 3
            x = layers.Conv1D(count, length, padding="same", use_bias=False, name=f"block{number}{part}_conv")(x)
            x = layers.BatchNormalization(name=f"block{number}{part}_bn")(x)
            x = layers.ReLU(name=f"block{number}{part}_relu")(x)
        x = layers.MaxPooling1D(2, name=f"block{number}_pool")(x)
    parts = [layers.GlobalAveragePooling1D(name="mean")(x), layers.GlobalMaxPooling1D(name="peak")(x)]
    return keras.Model(signal, layers.Concatenate(name="features")(parts), name="convnet_raw")


register_model("convnet_raw", raw_convnet_features, layouts=("raw",))
