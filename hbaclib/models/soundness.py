"""Whether a network's weights can be those that a training ended with."""

from __future__ import annotations

from typing import Any

import numpy as np


def weight_faults(network: Any) -> str:
    """What shows that a network's weights are none that a training can have ended with; empty for nothing.

    Args:
        network: a Keras model, or the part of one that weights were loaded into.
    """
    last, empty = "", False
    for weight in network.weights:
        values = weight.numpy()
        if not np.isfinite(values).all():
            return f"{weight.path} holds values that are not finite"
        if values.ndim > 1:
            last, empty = weight.path, not values.any()
    # The last kernel is the one that the output comes from. Behind zeros the shares are the same whatever is recorded.
    return f"{last} holds nothing but zeros" if empty else ""
