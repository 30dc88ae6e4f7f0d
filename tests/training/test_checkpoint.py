import json
from dataclasses import replace

import numpy as np
import pytest

from hbaclib.training.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture
def checkpoint():
    # More than ten arrays, so that their order is not the alphabet's.
    weights = [np.full((2, 3), i, np.float32) for i in range(12)]
    optimizer = [np.array(5, np.int64), np.arange(4, dtype=np.float32)]
    history = [{"epoch": 1, "val_kl": float("nan"), "loss": 0.1 + 0.2}]
    return Checkpoint("key", "float32", 1, 3, history, weights, optimizer)


def test_round_trip(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "c.npz")
    again = load_checkpoint(tmp_path / "c.npz", "key", "float32")
    assert (again.stage, again.epoch, again.history[0]["loss"]) == (1, 3, 0.1 + 0.2)
    assert np.isnan(again.history[0]["val_kl"])
    for stored, found in zip(checkpoint.weights + checkpoint.optimizer, again.weights + again.optimizer, strict=True):
        assert stored.dtype == found.dtype and (stored == found).all()
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_what_xla_does_and_why_are_kept_and_files_of_earlier_versions_read(checkpoint, tmp_path):
    replace(checkpoint, xla="apply", xla_note="a reason").save(tmp_path / "c.npz")
    again = load_checkpoint(tmp_path / "c.npz", "key", "float32")
    assert (again.xla, again.xla_note) == ("apply", "a reason")
    with np.load(tmp_path / "c.npz") as file:
        arrays = dict(file)
    facts = json.loads(str(arrays["facts"]))
    del facts["xla_note"]
    np.savez(tmp_path / "c.npz", **arrays | {"facts": np.array(json.dumps(facts))})
    again = load_checkpoint(tmp_path / "c.npz", "key", "float32")
    assert (again.xla, again.xla_note, again.epoch) == ("apply", "", 3)


def test_absent_foreign_or_broken_ones_are_none(checkpoint, tmp_path, caplog):
    assert load_checkpoint(tmp_path / "c.npz", "key", "float32") is None
    checkpoint.save(tmp_path / "c.npz")
    assert load_checkpoint(tmp_path / "c.npz", "another key", "float32") is None
    assert not caplog.text
    assert load_checkpoint(tmp_path / "c.npz", "key", "mixed_float16") is None
    assert "was made in float32, this device trains in mixed_float16" in caplog.text
    whole = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(whole[: len(whole) // 2])
    assert load_checkpoint(tmp_path / "c.npz", "key", "float32") is None
