"""What the READMEs presume to lie in the working folder: data, recordings, published weights, a small recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from hbaclib import load_recipe, make_synthetic_dataset
from hbaclib.artefacts import write_json, write_manifest, write_text
from hbaclib.dataset.synthetic.night import make_night
from hbaclib.models.efficientnet import efficientnet_features
from hbaclib.selftest.form import RESULTS
from tests.dataset.tiny import random_eeg, random_spectrogram, write_eeg, write_spectrogram
from tests.kaggle.recording_server import Service
from tests.selftest.made import made

RECORDINGS = 3
NIGHT_SECONDS = 240


def make_data(folder: Path) -> None:
    """A data set, EEG files of 50 s, longer ones (EDF; Parquet with its spectrogram), the first Python block's file."""
    data = make_synthetic_dataset(folder / "DATA", n_patients=6, seed=7, n_test=RECORDINGS, n_jobs=2, progress=False)
    shutil.copytree(data / "test_eegs", folder / "EEGS")
    rng = np.random.default_rng(0)
    write_eeg(folder / "night.parquet", random_eeg(rng, 200 * NIGHT_SECONDS))
    write_spectrogram(folder / "night-spectrogram.parquet", random_spectrogram(rng, 420))
    make_night(folder / "night.edf", hours=0.1, n_gaps=0, progress=False)
    write_eeg(folder / "train_eegs" / "1000913311.parquet", random_eeg(rng, 12_000))


def write_weights(path: Path) -> None:
    """A file of EfficientNet-B0's weights in the published layout."""
    features = efficientnet_features((32, 32, 3), variant="B0")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        layers = [layer for layer in features.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name.decode(), data=np.asarray(weight))


def write_small_recipe(path: Path, backbone: str, folds: int) -> None:
    """A recipe that takes the keys that the READMEs search over, and trains in seconds where its network is small."""
    short = {"epochs": 1, "steps": 1, "schedule": "cosine"}
    changes = {"name": "small", "backbone": backbone, "folds": folds, "downsample": (4,), "batch": 4}
    load_recipe("smoke", **changes, stages=[short]).save(path)


def give_outputs(service: Service, build: Path, scratch: Path) -> None:
    """Let every kernel of a build have written its stage, and the submission be scored."""
    for kernel in json.loads((build / "plan.json").read_text(encoding="utf-8"))["kernels"]:
        stage = kernel["stage"]
        write_text(scratch / stage / "value.txt", kernel["name"])
        write_json(scratch / stage / RESULTS, asdict(made()))  # what a self-test leaves, and others do not mind
        write_manifest(scratch / stage, stage, inputs={}, parameters={}, outputs=["value.txt", RESULTS])
        files = {f"{stage}/{path.name}": path.read_bytes() for path in (scratch / stage).iterdir()}
        service.files[kernel["ref"]] = {**files, "submission.csv": b"eeg_id\n"}
    service.submissions = [[{"ref": 77, "status": "COMPLETE", "publicScore": "0.41", "privateScore": "0.45"}]]
