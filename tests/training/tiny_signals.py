"""Networks and arrays of every kind of input, so small that whole training runs take a second or two."""

from __future__ import annotations

import numpy as np

from hbaclib import register_model
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.models.fusion import fused_features
from hbaclib.models.wavenet import wavenet_trunk
from tests.training.tiny import TinyArrays, tiny_recipe

RAW = {"backbone": "tiny_wave", "layout": "raw", "inputs": "raw"}
STARTER = {"layout": "starter", "inputs": "kaggle"}
SWAPPED = {"augmentation": {"left_right_swap": {"p": 0.5}}}


def tiny_wave(shape, *, filters=(4,)):
    return wavenet_trunk(shape, filters=filters, dilations=2)


def tiny_image(shape, *, filters=5):
    import keras

    given = keras.Input(shape)
    x = keras.layers.Conv2D(filters, 3, name="convolution")(keras.layers.AveragePooling2D(16)(given))
    return keras.Model(given, keras.layers.Flatten()(x), name="tiny_image")


def tiny_fused(shape, signal_shape, *, filters=(4,)):
    return fused_features(shape, signal_shape, image=tiny_image, wavenet={"filters": filters, "dilations": 2})


def register_signal_networks() -> None:
    register_model("tiny_wave", tiny_wave, layouts=("raw",))
    register_model("tiny_image", tiny_image, layouts=("stem", "tiled", "starter"))
    register_model("tiny_fused", tiny_fused, layouts=("stem", "starter"), with_signal=True)


class SignalArrays(TinyArrays):
    """The tiny arrays with signals beside the images: the class is the amplitude of the first signals."""

    def __init__(self, n: int = 48) -> None:
        super().__init__(n)
        rng = np.random.default_rng(9)
        level = self.samples[list(VOTE_COLUMNS)].to_numpy().argmax(axis=1)[:, None, None]
        self.signals_200hz = (rng.standard_normal((n, 10_000, 8)) * (0.2 + level / 6)).astype(np.float32)
        self.starter = rng.standard_normal((n, 400, 300, 3)).astype(np.float32)

    def gather(self, rows, inputs="both", dtype=np.float32):
        if inputs == "starter":
            return self.starter[rows].astype(dtype)
        if inputs in ("raw", "signals_200hz"):
            return self.signals_200hz[rows][:, : {"raw": 2000, "signals_200hz": 10_000}[inputs]].astype(dtype)
        return super().gather(rows, inputs, dtype)


def quick(**changes):
    """Two steps of training."""
    register_signal_networks()
    return tiny_recipe(stages=[{"epochs": 1, "steps": 2}], ema=0.0, batch_norm_batches=0, **changes)
