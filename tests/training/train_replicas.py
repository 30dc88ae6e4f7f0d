"""Trains the tiny network over one or two logical CPU devices; run as a process of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib import build_model
from hbaclib.training.checkpoint import values_of
from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe


def run(folder, replicas, changes):
    recipe = tiny_recipe(**changes)
    # 27 samples: neither the training rows nor the fold's rows are a multiple of the batch.
    arrays = TinyArrays(n=27, patients=9)
    devices = tuple(f"CPU:{k}" for k in range(replicas)) if replicas > 1 else ()
    train(recipe, arrays, folder, folds=[0], devices=devices, mirrored=True, progress=False)
    model = build_model(recipe.backbone, **recipe.network_options())
    model.load_weights(folder / "fold-0.weights.h5")
    history = pd.read_csv(folder / "fold-0.history.csv")
    weights = {f"weight{i}": value for i, value in enumerate(values_of(model.weights))}
    np.savez(folder / "result.npz", loss=history["loss"], val_kl=history["val_kl"], **weights)


if __name__ == "__main__":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for name, (replicas, changes) in json.load(sys.stdin).items():
        (Path(sys.argv[1]) / name).mkdir()
        run(Path(sys.argv[1]) / name, replicas, changes)
