"""From a map of features to one vector a sample."""

from __future__ import annotations

from typing import Any

FREQUENCY_HEAD = "frequency_head"
"""How the names of the layers of `frequency_head` begin."""
UNITS = 64


def is_head(layer: Any) -> bool:
    """Whether a layer is one of a `frequency_head`, which no published weights know."""
    return str(layer.name).startswith(FREQUENCY_HEAD)


def frequency_head(x: Any, *, units: int = UNITS, dropout: float = 0.4) -> Any:
    """Pool time away and keep frequency: where in the spectrum something happens matters to a reader.

    Args:
        x: (n, frequencies, times, maps).
        units: width of the dense layer that joins the frequencies.
        dropout: rate before that layer; half of it behind.

    Returns:
        (n, units): a dense layer over mean and maximum of every map along time, at every frequency.
    """
    from keras import layers

    size = (1, x.shape[2])
    mean = layers.AveragePooling2D(size, name=f"{FREQUENCY_HEAD}_mean")(x)
    peak = layers.MaxPooling2D(size, name=f"{FREQUENCY_HEAD}_peak")(x)
    x = layers.Flatten(name=f"{FREQUENCY_HEAD}_flat")(layers.Concatenate(name=f"{FREQUENCY_HEAD}_both")([mean, peak]))
    x = layers.Dropout(dropout, name=f"{FREQUENCY_HEAD}_dropout")(x)
    x = layers.Dense(units, activation="relu", name=f"{FREQUENCY_HEAD}_dense")(x)
    return layers.Dropout(dropout / 2, name=f"{FREQUENCY_HEAD}_dropout2")(x)
