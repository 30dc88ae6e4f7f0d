"""A network and a data set so small that whole training runs take a second."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hbaclib import register_model
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.training.recipe import Recipe


def tiny_features(shape, *, batch_norm: bool = True, drop: float = 0.2, filters: int = 6):
    """Everything that makes training hard to repeat: convolution, batch norm, dropout."""
    import keras

    given = keras.Input(shape)
    x = keras.layers.AveragePooling2D(16)(given)
    x = keras.layers.Conv2D(filters, 3, use_bias=not batch_norm)(x)
    if batch_norm:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.Flatten()(x)
    if drop:
        x = keras.layers.Dropout(drop)(x)
    return keras.Model(given, x)


def register_tiny() -> None:
    register_model("tiny", tiny_features, layouts=("stem", "tiled"))


class TinyArrays:
    """Stands in for the stored arrays: the class of a sample is the height of a bright stripe."""

    sampling = ""

    def __init__(self, n: int = 48, patients: int = 12, folds: int = 2, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        classes = rng.integers(0, 6, n)
        self.images = rng.standard_normal((n, 128, 256, 8)).astype(np.float16)
        for image, k in zip(self.images, classes, strict=True):
            image[20 * k : 20 * k + 16] += 2
        patient = np.arange(n) % patients + 100
        self.samples = pd.DataFrame(
            {
                "eeg_id": np.arange(n) + 1000,
                "spectrogram_id": np.arange(n) + 2000,
                "patient_id": patient,
                "eeg_start": 0,
                "spectrogram_row": 0,
                "n_votes": np.where(np.arange(n) % 3 == 0, 14, 3),
            }
        )
        self.samples[list(VOTE_COLUMNS)] = np.eye(6)[classes] * 0.85 + 0.025
        numbers = np.arange(patients)
        self.folds = pd.Series(numbers % folds, index=pd.Index(numbers + 100, name="patient_id"), name="fold")
        self.digest = f"tiny-{n}-{patients}-{folds}-{seed}"

    def gather(self, rows, inputs="both", dtype=np.float32):
        halves = {"both": slice(0, 8), "kaggle": slice(0, 4), "eeg": slice(4, 8)}
        return self.images[rows][..., halves[inputs]].astype(dtype)


def tiny_recipe(**changes) -> Recipe:
    """Two stages, averaged weights, augmentation: everything at once, in seconds."""
    register_tiny()
    values = {
        "name": "tiny",
        "backbone": "tiny",
        "stages": [
            {"epochs": 2, "schedule": "cosine", "peak": 1e-2, "warmup": 0.5, "vote_weights": "votes"},
            {"epochs": 2, "least_votes": 10, "rates": [1e-3, 1e-4]},
        ],
        "batch": 4,
        "augmentation": {"left_right_swap": {"p": 0.5}, "time_shift": {"p": 0.5}},
        "ema": 0.9,
        "batch_norm_batches": 3,
        "folds": 2,
        "threads": 1,
        "label_smoothing": 0.02,
    }
    return Recipe.from_dict(values).override(changes)
