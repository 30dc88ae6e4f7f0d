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


class _Inference:
    """A network's prediction as a function. Each is an object of its own, which `tf.function` counts calls by.

    Functions that share their code count as one: of an ensemble's networks, each traced once, TensorFlow would say that
    one function is traced over and over.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, *parts: Any) -> Any:
        return self.model(as_input(parts), training=False)


def inference(model: Any) -> Callable[..., Any]:
    """What the network predicts from a batch's inputs, as one graph."""
    import tensorflow as tf

    return tf.function(_Inference(model), jit_compile=False)


def note_on_gpus() -> str:
    """What is to be told where the driver lists GPUs and TensorFlow sees none; else empty. Starts TensorFlow."""
    import tensorflow as tf

    return "" if tf.config.list_physical_devices("GPU") else unseen_gpus()
