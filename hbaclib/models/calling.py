"""How a network is called: for training and prediction alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def as_input(parts: Any) -> Any:
    """What a network is called with: float32, and a list where it has several inputs."""
    import tensorflow as tf

    # Images come as they are stored, float16: the device widens them, not the process that reads them.
    wide = [tf.cast(part, tf.float32) for part in parts]
    return wide[0] if len(wide) == 1 else wide


def inference(model: Any) -> Callable[..., Any]:
    """What the network predicts from a batch's inputs, as one graph."""
    import tensorflow as tf

    def predict(*parts: Any) -> Any:
        return model(as_input(parts), training=False)

    return tf.function(predict, jit_compile=False)
