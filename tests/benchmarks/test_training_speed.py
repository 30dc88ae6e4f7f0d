"""The input pipeline against the public starters' generator, the stem layout against the tiled one, fused batch norm
against Keras' own.

Processor time of one process counts, which is fair on a busy machine.
"""

from __future__ import annotations

import time
from statistics import median

import keras
import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.conventions import CLASSES
from hbaclib.inputs.pipeline import epoch_order, training_batches
from hbaclib.inputs.store import InputArrays
from hbaclib.models.registry import batch_norm_layers
from hbaclib.training.losses import kl_loss
from hbaclib.training.recipe import load_recipe
from tests.training.tiny import TinyArrays

N, BATCH, STEPS, ROUNDS = 256, 32, 100, 3
AUGMENTATION = {"horizontal_flip": {"p": 0.5}, "coarse_dropout": {"p": 0.5, "holes": 8, "height": 32, "width": 32}}


class StarterGenerator(keras.utils.PyDataset):
    """Rival: assembles and augments image by image, as the public EfficientNet starters do.

    It follows their steps, from dictionaries of whole spectrograms and of finished EEG spectrograms in memory.
    """

    def __init__(self, spectrograms, eegs):
        super().__init__(workers=1)
        import albumentations

        self.spectrograms, self.eegs = spectrograms, eegs
        self.transform = albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=0.5),
                albumentations.CoarseDropout(
                    num_holes_range=(8, 8), hole_height_range=(32, 32), hole_width_range=(32, 32), fill=0, p=0.5
                ),
            ]
        )

    def __len__(self):
        return len(self.eegs) // BATCH

    def __getitem__(self, index):
        images = np.zeros((BATCH, 128, 256, 8), np.float32)
        for j, number in enumerate(range(index * BATCH, (index + 1) * BATCH)):
            rows = self.spectrograms[number]
            for k in range(4):
                region = rows[:300, 100 * k : 100 * (k + 1)].T
                region = np.log(np.clip(region, np.exp(-4), np.exp(8)))
                mean, deviation = np.nanmean(region), np.nanstd(region)
                region = np.nan_to_num((region - mean) / (deviation + 1e-6), nan=0.0)
                images[j, 14:-14, :, k] = region[:, 22:-22] / 2
            images[j, :, :, 4:] = self.eegs[number]
        for j in range(BATCH):
            images[j] = self.transform(image=images[j])["image"]
        return images, np.zeros((BATCH, len(CLASSES)), np.float32)


def rate(function, n: int) -> float:
    """Best number per second of processor time, over some rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        begin = time.process_time()
        function()
        best = max(best, n / (time.process_time() - begin))
    return best


@pytest.mark.benchmark(group="pipeline")
def test_batched_pipeline_against_the_starters_generator(benchmark, tmp_path):
    tiny = TinyArrays(n=N, patients=32)
    for name, part in (("kaggle", tiny.images[..., :4]), ("eeg", tiny.images[..., 4:])):
        np.save(tmp_path / f"{name}.npy", part)
    kaggle, eeg = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("kaggle", "eeg"))
    stored = InputArrays(tiny.samples, tiny.folds, "digest", kaggle, eeg, eeg)
    # As many steps as an epoch has, over the same few samples: what tf.data needs to begin is spread over them.
    order = epoch_order(np.arange(N), STEPS, BATCH, (0, 0, 0, 0))
    targets, weights = np.full((N, len(CLASSES)), 1 / len(CLASSES)), np.ones(N)

    def run(library, order=order):
        # What a fit iterates over: tf.data, its copies and its reading ahead counted.
        recipe = load_recipe("s1", weights="", layout="stem", augmentation=AUGMENTATION, augment_with=library)
        steps = 0
        for _ in training_batches(stored, order, targets, weights, recipe, (0, 0, 0, 0), [(128, 256, 8)]):
            steps += 1
        assert steps == len(order)

    rng = np.random.default_rng(1)
    spectrograms = {i: rng.gamma(0.5, 5, (320, 400)).astype(np.float32) for i in range(N)}
    rival = StarterGenerator(spectrograms, {i: tiny.images[i, :, :, 4:].astype(np.float32) for i in range(N)})

    def run_rival():
        for index in range(len(rival)):
            rival[index]

    batched = rate(lambda: run("batched"), STEPS * BATCH)
    one_by_one = rate(lambda: run("albumentations", order[: N // BATCH]), N)
    starter = rate(run_rival, N)
    print(
        f"\nsamples/s: batched {batched:.0f}, albumentations path {one_by_one:.0f}, starters' generator {starter:.0f}; "
        f"{batched / starter:.1f} and {one_by_one / starter:.1f} times"
    )
    benchmark.pedantic(run, args=("batched",), rounds=1)
    assert batched >= 10 * starter


def training(model, batch: int, steps: int):
    """A function that trains a network for some steps on one batch; it is traced here."""
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    images = np.random.default_rng(0).standard_normal((batch, *model.input_shape[1:])).astype(np.float32)
    targets = np.full((batch, len(CLASSES)), 1 / len(CLASSES), np.float32)

    @tf.function(jit_compile=False)
    def step(images, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(kl_loss(targets, model(images, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    step(images, targets)

    def run():
        for _ in range(steps):
            step(images, targets).numpy()

    return run


@pytest.mark.benchmark(group="network")
def test_stem_layout_against_the_tiled_one(benchmark):
    batch, rates = 4, {}
    for layout in ("stem", "tiled"):
        run = training(build_model("efficientnet_b0", layout), batch, 3)
        rates[layout] = rate(run, 3 * batch)
        if layout == "stem":
            benchmark.pedantic(run, rounds=1)
    ratio = rates["stem"] / rates["tiled"]
    print(f"\nimages/s in training: stem {rates['stem']:.1f}, tiled {rates['tiled']:.1f}, {ratio:.1f} times")
    assert ratio >= 6


@pytest.mark.benchmark(group="batch norm")
@pytest.mark.parametrize(("name", "batch", "steps"), [("efficientnet_b0", 16, 2), ("convnet_small", 16, 10)])
def test_fused_batch_norm_against_keras_own(benchmark, name, batch, steps):
    """As recipe `demo` has it: frequencies averaged in fours. Turns of both, one after the other, by the clock."""

    def built():
        return build_model(name, inputs="eeg", downsample=(4, 1))

    ours = training(built(), batch, steps)
    plain = built()
    for layer in batch_norm_layers(plain):
        assert vars(layer).pop("call"), "not fused: nothing to compare"
    rival, ratios = training(plain, batch, steps), []
    for _ in range(15):
        seconds = []
        for run in (ours, rival):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        ratios.append(seconds[1] / seconds[0])
    print(
        f"\n{name}: {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} pairs)"
    )
    benchmark.pedantic(ours, rounds=1)
    assert median(ratios) >= 1.2
