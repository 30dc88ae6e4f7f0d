"""Fits on a Dask cluster of two local worker processes, one of which is killed in the middle."""

import itertools
import json
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from hbaclib.inputs.store import InputArrays
from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe
from tests.training.train_tiny import SlowArrays

MODELS = {"small": {}, "large": {"model_options": {"filters": 12}}}


def fit_in_the_middle(devices):
    """(process, path without ending) of a fit whose first epoch is over; None where there is none (yet)."""
    for path in devices.glob("*.json"):
        try:
            note = json.loads(path.read_text())
        except ValueError:
            continue  # just being written
        curve, weights = (Path(f"{note['purpose']}.{ending}") for ending in ("history.csv", "weights.h5"))
        if curve.is_file() and not weights.is_file():
            return note["process"], Path(note["purpose"])
    return None


def test_arrays_travel_by_the_name_of_their_file(tmp_path):
    arrays = TinyArrays(n=8)
    np.save(tmp_path / "kaggle.npy", arrays.images[..., :4])
    kaggle = np.load(tmp_path / "kaggle.npy", mmap_mode="r")
    stored = InputArrays(arrays.samples, arrays.folds, "digest", kaggle, kaggle, kaggle)
    sent = pickle.dumps(stored)
    assert len(sent) < 20_000 < kaggle.nbytes
    received = pickle.loads(sent)
    assert isinstance(received.kaggle, np.memmap) and received.digest == "digest"
    np.testing.assert_array_equal(received.gather(np.array([5, 1])), stored.gather(np.array([5, 1])))


@pytest.mark.evidence
@pytest.mark.filterwarnings("ignore")  # distributed warns about sockets of the worker that the test kills
def test_a_cluster_that_loses_a_worker_gives_the_weights_of_a_sequential_run(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name, changes in MODELS.items():
        train(tiny_recipe(**changes), TinyArrays(), tmp_path / "alone" / name, progress=False)
    arrays = SlowArrays()
    arrays.delay = 0.15  # long enough to be killed in the middle
    killed = []
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path / "dask"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(os.environ.update, {"TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""})

        workers = set(client.run(os.getpid).values())

        def kill_one():
            while (found := fit_in_the_middle(tmp_path / f"hbac-devices-{os.getuid()}")) is None:
                time.sleep(0.05)
            process, path = found
            os.kill(process, signal.SIGKILL)
            killed.append((process, path, time.time()))

        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        with joblib.parallel_config("dask"):
            for name, changes in MODELS.items():
                out = tmp_path / "cluster" / name
                train(tiny_recipe(**changes), arrays, out, devices=("0", "1"), progress=False)
        killer.join(timeout=5)
        ((process, path, when),) = killed
        assert process in workers
    # Its fit was in the middle, and was begun once more, by another process.
    again = json.loads(Path(f"{path}.fit.json").read_text())["facts"]
    assert again["begin"] > when and again["process"] != process
    fits = []
    for name in MODELS:
        for fold in (0, 1):
            alone, there = (tmp_path / way / name for way in ("alone", "cluster"))
            one, other = ((part / f"fold-{fold}.weights.h5").read_bytes() for part in (alone, there))
            assert one == other
            fits.append(json.loads((there / f"fold-{fold}.fit.json").read_text())["facts"])
        assert (alone / "oof.parquet").read_bytes() == (there / "oof.parquet").read_bytes()
    assert {fit["device"] for fit in fits} == {"0", "1"}
    for device in ("0", "1"):
        times = sorted((fit["begin"], fit["end"]) for fit in fits if fit["device"] == device)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times))
