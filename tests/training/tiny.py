"""A network and a data set so small that whole training runs take a second."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hbaclib import register_model
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.inputs.pipeline import epoch_order, training_batch
from hbaclib.models.registry import batch_norm_layers
from hbaclib.training.checkpoint import values_of
from hbaclib.training.recipe import Recipe


def tiny_features(shape, *, batch_norm: bool = True, drop: float = 0.2, filters: int = 6):
    """Everything that makes training hard to repeat: convolution (none with 0 filters), batch norm, dropout."""
    import keras

    given = keras.Input(shape)
    x = keras.layers.AveragePooling2D(16)(given)
    if filters:
        x = keras.layers.Conv2D(filters, 3, use_bias=not batch_norm)(x)
    else:
        x = keras.layers.Dense(6)(keras.layers.Flatten()(x))
    if batch_norm:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.Flatten()(x)
    if drop:
        x = keras.layers.Dropout(drop)(x)
    return keras.Model(given, x)


def batch_norm_of(trainer, batches: int) -> dict[str, np.ndarray]:
    """Batch-norm statistics as a trainer estimates them, and as computed directly from what the layer sees.

    Args:
        trainer: of the tiny network.
        batches: number of batches, as the trainer's recipe has it.

    Returns:
        ``mean``, ``variance``, ``direct_mean`` and ``direct_variance``, each (channels,).
    """
    import keras

    rows, key = trainer.rows_of(trainer.recipe.stages[0]), (0, 0, 0, 0)
    trainer.estimate_batch_norm(rows, key)
    (layer,) = batch_norm_layers(trainer.model)
    order = epoch_order(rows, batches, trainer.recipe.batch, (*key, 1_000_001))
    seen = [training_batch(trainer.inputs, order[i], trainer.recipe, (*key, 1_000_001, i))[0] for i in range(batches)]
    features = next(part for part in trainer.model.layers if hasattr(part, "layers"))
    inside = keras.Model(features.input, layer.input)(np.concatenate(seen)).numpy()
    values = inside.astype(np.float64).reshape(-1, layer.moving_mean.shape[0])
    mean, variance = values_of([layer.moving_mean, layer.moving_variance])
    return {
        "mean": mean,
        "variance": variance,
        "direct_mean": values.mean(axis=0),
        "direct_variance": values.var(axis=0),
    }


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
        # One image for both that recipes ask for.
        return self.images[rows][..., halves[inputs.removesuffix("_absolute")]].astype(dtype)


def tiny_recipe(**changes) -> Recipe:
    """Two stages, averaged weights, augmentation: everything at once, in seconds."""
    register_tiny()
    values = {
        "name": "tiny",
        "backbone": "tiny",
        "stages": [
            {"epochs": 2, "schedule": "cosine", "peak": 1e-2, "warmup": 0.5, "vote_weights": "votes"},
            {"epochs": 2, "min_votes": 10, "rates": [1e-3, 1e-4]},
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
