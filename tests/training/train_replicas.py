"""Trains the tiny network over one or two logical CPU devices; run as a process of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib import build_model
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.inputs.pipeline import ahead_on, epoch_order, training_batches
from hbaclib.training import devices, xla
from hbaclib.training.checkpoint import values_of
from hbaclib.training.cross_validate import train
from hbaclib.training.fit import Fit
from hbaclib.training.replicas import make_strategy
from hbaclib.training.trainer import Trainer
from tests.training.tiny import TinyArrays, batch_norm_of, tiny_recipe

TWO = ("CPU:0", "CPU:1")


def run(folder, replicas, changes):
    recipe = tiny_recipe(**changes)
    # 13 rows to train on and 17 to predict: with batches of 4 a single row is left over from both, too few for two.
    arrays = TinyArrays(n=30, patients=9)
    devices = TWO if replicas > 1 else ()
    train(recipe, arrays, folder, folds=[0], devices=devices, mirrored=True, progress=False)
    model = build_model(recipe.backbone, **recipe.network_options())
    model.load_weights(folder / "fold-0.weights.h5")
    history = pd.read_csv(folder / "fold-0.history.csv")
    weights = {f"weight{i}": value for i, value in enumerate(values_of(model.weights))}
    np.savez(folder / "result.npz", loss=history["loss"], val_kl=history["val_kl"], **weights)


def estimate_batch_norm(folder):
    """The statistics that a fit over two devices estimates, beside those of the same batches computed directly."""
    recipe = tiny_recipe(batch_norm_batches=5)
    devices.configure(recipe)
    made = Trainer(Fit(recipe=recipe, fold=0, seed=0, folder=folder, data="x"), TinyArrays(), TWO)
    np.savez(folder / "result.npz", **batch_norm_of(made, 5))


def choose_xla(folder):
    """Whether XLA would compile the steps if these devices were GPUs: with no strategy, outside and inside of one."""
    real, xla._has_gpu = xla._has_gpu, lambda: True
    try:
        strategy = make_strategy(TWO, 4)
        outside = xla.uses_xla(strategy)
        with strategy.scope():
            inside = xla.uses_xla(strategy)
        np.savez(folder / "result.npz", alone=xla.uses_xla(make_strategy()), two=[outside, inside])
    finally:
        xla._has_gpu = real


def batches_ahead(folder):
    """Batches that lie on another device before the network asks for them, and as they are without."""
    recipe, arrays, key = tiny_recipe(augmentation={"mixup": {}}), TinyArrays(), (0, 0, 0, 2)
    order = epoch_order(np.arange(20), 5, 4, key)
    targets, weights = arrays.samples[list(VOTE_COLUMNS)].to_numpy(), np.ones(48, np.float32)

    def made():
        return training_batches(arrays, order, targets, weights, recipe, key, [(128, 256, 8)], half=True)

    found = {name: list(ahead_on(device, made())) for name, device in (("host", ""), ("ahead", TWO[1]))}
    devices = {name: sorted({part.device for parts in batches for part in parts}) for name, batches in found.items()}
    parts = {f"{name}{k}": np.stack([batch[k] for batch in found[name]]) for name in found for k in range(4)}
    np.savez(folder / "result.npz", **parts, **{f"{name} devices": where for name, where in devices.items()})


if __name__ == "__main__":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    checks = {"batch norm": estimate_batch_norm, "xla": choose_xla, "ahead": batches_ahead}
    for name, job in json.load(sys.stdin).items():
        (Path(sys.argv[1]) / name).mkdir()
        if name in checks:
            checks[name](Path(sys.argv[1]) / name)
        else:
            run(Path(sys.argv[1]) / name, *job)
