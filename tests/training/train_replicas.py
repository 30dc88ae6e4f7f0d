"""Trains the tiny network over one or two logical CPU devices; run as a process of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib import build_model
from hbaclib.training import devices, steps
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
    real, steps._has_gpu = steps._has_gpu, lambda: True
    try:
        strategy = make_strategy(TWO, 4)
        outside = steps.uses_xla(strategy)
        with strategy.scope():
            inside = steps.uses_xla(strategy)
        np.savez(folder / "result.npz", alone=steps.uses_xla(make_strategy()), two=[outside, inside])
    finally:
        steps._has_gpu = real


if __name__ == "__main__":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    checks = {"batch norm": estimate_batch_norm, "xla": choose_xla}
    for name, job in json.load(sys.stdin).items():
        (Path(sys.argv[1]) / name).mkdir()
        if name in checks:
            checks[name](Path(sys.argv[1]) / name)
        else:
            run(Path(sys.argv[1]) / name, *job)
