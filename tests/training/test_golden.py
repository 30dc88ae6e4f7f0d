"""The training loop against a judge of its own: the same fit in plain NumPy, with TensorFlow for the gradient alone.

The reference shares no code with the library but the rule by which random numbers are seeded: from (seed, fold, stage,
epoch, purpose). It trains one fold of a small network with dropout and batch norm through two stages, and every number
that a fit leaves must be the reference's: loss and validation of each epoch, final weights, out-of-fold predictions.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hbaclib import build_model, register_model
from hbaclib.compat.keras import flat_layers
from hbaclib.conventions import PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe

SEED, FOLD, BATCH, DROP, DECAY, MOMENTUM, EPSILON = 3, 1, 4, 0.3, 0.05, 0.7, 1e-3
SMOOTHED, FEW, SPREAD = 0.5, 5, 0.02
"""Pseudo-votes for rows of few votes, and the share of every label that is spread over the classes."""
FIRST = {"epochs": 3, "schedule": "cosine", "start": 1e-3, "peak": 2e-2, "floor": 1e-3, "warmup": 0.5}
SECOND = {"epochs": 3, "min_votes": 10, "rates": [4e-3, 1e-3], "vote_weights": "votes"}
WAYS = {
    "moving statistics, last weights": {
        "ema": 0.0,
        "batch_norm_batches": 0,
        "per_epoch": False,
        "steps": 0,
        "clip_norm": 0.0,
        "least_share": 0.0,
    },
    "statistics anew, averaged weights": {
        "ema": 0.8,
        "batch_norm_batches": 3,
        "per_epoch": True,
        "steps": 7,
        "clip_norm": 2.0,
        "least_share": 0.02,
    },
}


def golden_features(shape):
    import keras

    image = keras.Input(shape)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(16)(image))
    x = keras.layers.BatchNormalization(epsilon=EPSILON)(keras.layers.Dense(8, use_bias=False)(x))
    return keras.Model(image, keras.layers.Dropout(DROP, name="drop")(keras.layers.Activation("relu")(x)))


@pytest.fixture(scope="module")
def arrays() -> TinyArrays:
    made = TinyArrays(n=60, patients=12, folds=3)
    made.samples["n_votes"] = np.array([14, 3, 25, 6, 11])[np.arange(60) % 5]
    return made


def golden_recipe(ema: float, batch_norm_batches: int, per_epoch: bool, steps: int, **changes):
    register_model("golden", golden_features)
    return tiny_recipe(
        backbone="golden",
        stages=[{**FIRST, "vote_weights": "votes", "per_epoch": per_epoch, "steps": steps}, SECOND],
        seeds=[SEED],
        folds=3,
        batch=BATCH,
        augmentation={},
        weight_decay=DECAY,
        ema=ema,
        batch_norm_batches=batch_norm_batches,
        batch_norm_momentum=MOMENTUM,
        label_smoothing=SPREAD,
        label_smoothing_votes=SMOOTHED,
        label_smoothing_up_to=FEW,
        **changes,
    )


def weights_of(folder: Path) -> list[np.ndarray]:
    """Kernel, scale, shift, moving mean, moving variance, the head's kernel and bias."""
    model = build_model("golden")
    (file,) = folder.glob("*.weights.h5")
    model.load_weights(file)
    return [np.array(value) for value in model.get_weights()]


def reference(
    start: list[np.ndarray],
    arrays: TinyArrays,
    ema: float,
    anew: int,
    per_epoch: bool,
    steps: int,
    clip: float,
    least: float,
):
    """The fit, step by step: history (one row an epoch), the final weights, predictions of the fold left out."""
    import tensorflow as tf

    kernel, scale, shift, mean, variance, head, bias = start
    weights = [kernel, scale, shift, head, bias]
    pooled = arrays.images.astype(np.float32).reshape(60, 8, 16, 16, 16, 8).mean(axis=(2, 4)).reshape(60, -1)
    samples = arrays.samples
    votes, fold = samples["n_votes"].to_numpy(), samples["patient_id"].map(arrays.folds).to_numpy()
    truth = samples[list(VOTE_COLUMNS)].to_numpy()
    few = (truth * votes[:, None] + SMOOTHED) / (votes[:, None] + 6 * SMOOTHED)
    labels = (np.where(votes[:, None] <= FEW, few, truth) * (1 - SPREAD) + SPREAD / 6).astype(np.float32)
    held = np.flatnonzero(fold == FOLD)
    (drop,) = [k for k, layer in enumerate(flat_layers(build_model("golden"))) if layer.name == "drop"]
    history, lengths = [], []

    def shares(x, values, mean, variance, mask=1.0):
        kernel, scale, shift, head, bias = values
        x = tf.nn.relu((x @ kernel - mean) / tf.sqrt(variance + EPSILON) * scale + shift)
        return least + (1 - 6 * least) * tf.nn.softmax((x * mask) @ head + bias)

    def order_of(rows, n, *key):
        rng = np.random.default_rng([SEED, FOLD, *key, 0])
        rounds = -(-n * BATCH // len(rows))
        return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[: n * BATCH].reshape(n, BATCH)

    def kl(rows, predictions):
        return (truth[rows] * np.log(truth[rows] / predictions)).sum(axis=1).mean()

    for stage, fewest in enumerate((1, 10)):
        rows = np.flatnonzero((fold != FOLD) & (votes >= fewest))
        importance = np.minimum(votes, 20) / np.minimum(votes[rows], 20).mean()
        n = (steps if stage == 0 else 0) or len(rows) // BATCH
        moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
        average, t = [w.copy() for w in weights], 0
        for epoch in range(3):
            seed = np.random.SeedSequence([SEED, FOLD, stage, epoch, 1_000_000, drop]).generate_state(1)[0] % 2**31
            losses = []
            for step, batch in enumerate(order_of(rows, n, stage, epoch)):
                at, end = (epoch, 2) if per_epoch else (epoch + step / n, 3)
                falling = 1e-3 + (2e-2 - 1e-3) * (1 + np.cos(np.pi * max(at - 0.5, 0) / (end - 0.5))) / 2
                cosine = 1e-3 + (2e-2 - 1e-3) * at / 0.5 if at < 0.5 else falling
                rate = cosine if stage == 0 else (4e-3, 1e-3, 1e-3)[epoch]
                mask = tf.nn.experimental.stateless_dropout(tf.ones((BATCH, 8)), DROP, seed=[seed, step])
                values = [tf.Variable(w) for w in weights]
                with tf.GradientTape() as tape:
                    before = pooled[batch] @ values[0]
                    now, spread = tf.nn.moments(before, axes=[0])
                    predicted = tf.clip_by_value(shares(pooled[batch], values, now, spread, mask), 1e-7, 1)
                    each = tf.reduce_sum(labels[batch] * tf.math.log(labels[batch] / predicted), axis=1)
                    loss = tf.reduce_sum(importance[batch].astype(np.float32) * each) / BATCH
                losses.append(float(loss))
                mean = MOMENTUM * mean + (1 - MOMENTUM) * now.numpy()
                variance = MOMENTUM * variance + (1 - MOMENTUM) * spread.numpy()
                t += 1
                gradients = [np.asarray(g) for g in tape.gradient(loss, values)]
                length = np.sqrt(sum((g**2).sum() for g in gradients))
                lengths.append(length)
                for k, g in enumerate(gradients):
                    g = g * (clip / length if clip and length > clip else 1.0)
                    first, second = (0.9 * moments[k][0] + 0.1 * g, 0.999 * moments[k][1] + 0.001 * g**2)
                    moments[k] = (np.asarray(first), np.asarray(second))
                    move = np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * moments[k][0] / (np.sqrt(moments[k][1]) + 1e-7)
                    weights[k] = (weights[k] * (1 - rate * DECAY) - rate * move).astype(np.float32)
                    average[k] = weights[k] if t == 1 else ema * average[k] + (1 - ema) * weights[k]
            # What is judged and kept: averaged weights, statistics over batches of their own. The next epoch goes from
            # the weights as they were, the next stage from those that were kept.
            kept = (average if ema else weights), mean, variance
            if anew:
                batches = order_of(rows, anew, stage, epoch, 1_000_001)
                inside = np.stack([pooled[batch] @ kept[0][0] for batch in batches])
                kept = kept[0], inside.mean(axis=(0, 1)), inside.var(axis=(0, 1))
            predictions = shares(pooled[held], *kept).numpy().astype(np.float64)
            many = held[votes[held] >= 10]
            history.append((rate, np.mean(losses), kl(held, predictions), kl(many, predictions[votes[held] >= 10])))
        weights, mean, variance = [np.asarray(w) for w in kept[0]], *kept[1:]
    assert not clip or min(lengths) < clip < max(lengths), "some steps are clipped, some are not"
    return np.array(history), [*weights[:3], mean, variance, *weights[3:]], predictions


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_is_the_reference_step_by_step(way: str, arrays: TinyArrays, tmp_path: Path) -> None:
    facts = SimpleNamespace(**WAYS[way])
    # Initial weights: what a fit at a rate of nothing ends with.
    still = {"epochs": 1, "steps": 1, "rates": [1e-30]}
    recipe = golden_recipe(**WAYS[way]).override({"stages": [still], "ema": 0.0, "batch_norm_batches": 0})
    start = weights_of(train(recipe, arrays, tmp_path / "start", folds=[FOLD], progress=False))
    start[3:5] = np.zeros(8, np.float32), np.ones(8, np.float32)

    folder = train(golden_recipe(**WAYS[way]), arrays, tmp_path / "fit", folds=[FOLD], progress=False)
    history, weights, predictions = reference(
        start,
        arrays,
        facts.ema,
        facts.batch_norm_batches,
        facts.per_epoch,
        facts.steps,
        facts.clip_norm,
        facts.least_share,
    )
    (file,) = folder.glob("*.history.csv")
    found = pd.read_csv(file)[["learning_rate", "loss", "val_kl", "val_kl_many_votes"]].to_numpy()
    np.testing.assert_allclose(found, history, rtol=1e-4)
    for one, other in zip(weights_of(folder), weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=5e-4, atol=5e-4)
    (file,) = folder.glob("*.oof.parquet")
    oof = pd.read_parquet(file)
    np.testing.assert_allclose(oof[list(PREDICTION_COLUMNS)].to_numpy(), predictions, atol=1e-4)
