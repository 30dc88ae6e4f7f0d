"""How networks are called."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from hbaclib.models.calling import inference, note_on_gpus


def test_many_networks_are_no_function_that_is_traced_over_and_over(caplog: pytest.LogCaptureFixture) -> None:
    import keras
    import tensorflow as tf

    level = tf.get_logger().level
    tf.get_logger().setLevel(logging.INFO)
    try:
        with caplog.at_level(logging.WARNING):
            for width in range(3, 13):
                model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(2)])
                rows = np.ones((1, width), np.float32)
                np.testing.assert_allclose(inference(model)(tf.constant(rows)), model(rows), rtol=1e-5)
    finally:
        tf.get_logger().setLevel(level)
    assert not [record for record in caplog.records if "retracing" in record.getMessage()]


def test_gpus_that_are_not_seen_are_told_and_hidden_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("hbaclib.platform.accelerators", lambda: [])
    assert note_on_gpus() == ""
    monkeypatch.setattr("hbaclib.platform.accelerators", lambda: ["NVIDIA T4", "NVIDIA T4", "NVIDIA T4"])
    assert note_on_gpus().startswith("the driver lists NVIDIA T4, NVIDIA T4 and 1 more, but TensorFlow sees no GPU;")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert note_on_gpus() == ""
