"""How a network is called: for training and prediction alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hbaclib.platform import unseen_gpus


def as_input(parts: Any) -> Any:
    """What a network is called with: float32, and a list where it has several inputs."""
    import tensorflow as tf

    # Images come as they are stored, float16: the device widens them, not the process that reads them.
    wide = [tf.cast(part, tf.float32) for part in parts]
    return wide[0] if len(wide) == 1 else wide


class Own:
    """A function as an object of its own, by which `tf.function` counts how often it is traced.

    Functions that share their code count as one: of many networks, each traced once, TensorFlow would say that one
    function is traced over and over.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *parts: Any) -> Any:
        """Call the function."""
        return self.function(*parts)


def inference(model: Any) -> Callable[..., Any]:
    """What the network predicts from a batch's inputs, as one graph."""
    import tensorflow as tf

    def predict(*parts: Any) -> Any:
        return model(as_input(parts), training=False)

    return tf.function(Own(predict), jit_compile=False)


def note_on_gpus() -> str:
    """What is to be told where the driver lists GPUs and TensorFlow sees none; else empty. Starts TensorFlow."""
    import tensorflow as tf

    return "" if tf.config.list_physical_devices("GPU") else unseen_gpus()
