"""Fused batch norm against Keras' own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hbaclib.models.fused_norm import fuse_batch_norm
from hbaclib.models.registry import batch_norm_layers, build_model
from tests.training.tiny import register_tiny

SHAPES = {"vectors": (32, 5), "signals": (8, 40, 5), "images": (4, 6, 10, 5)}


def pair(shape, fused: bool = True, **options):
    """The same layer twice, of the same random variables: Keras' and the fused one."""
    models = []
    for _ in range(2):
        given = keras.Input(shape[1:])
        model = keras.Model(given, keras.layers.BatchNormalization(name="norm", **options)(given))
        rng = np.random.default_rng(0)
        for variable in model.variables:
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        models.append(model)
    fuse_batch_norm(models[1])
    (layer,) = [layer for layer in models[1].layers if layer.name == "norm"]
    assert ("call" in vars(layer)) is fused
    return models


def values(shape) -> np.ndarray:
    return np.random.default_rng(1).normal(3, 2, shape).astype(np.float32)


def gradients(model, x):
    import tensorflow as tf

    weigh = tf.constant(np.random.default_rng(2).normal(size=x.shape).astype(np.float32))
    with tf.GradientTape() as tape:
        x = tf.constant(x)
        tape.watch(x)
        loss = tf.reduce_sum(weigh * tf.cast(model(x, training=True), tf.float32))
    return tape.gradient(loss, [x, *(variable.value for variable in model.trainable_variables)])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"momentum": 0.5, "epsilon": 1e-5 * 2}])
def test_it_is_keras_own_to_rounding(shape, options) -> None:
    ours, keras_own = pair(shape, **options)[::-1]
    x = values(shape)
    for training in (True, True, False):
        np.testing.assert_allclose(ours(x, training=training), keras_own(x, training=training), atol=2e-5)
    for a, b in zip(ours.variables, keras_own.variables, strict=True):
        assert a.path == b.path
        np.testing.assert_allclose(a, b, rtol=1e-5, err_msg=a.path)
    for a, b in zip(gradients(ours, x), gradients(keras_own, x), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_the_variance_is_that_of_all_values() -> None:
    """Keras keeps the biased variance; the kernel gives n/(n-1) of it, a tenth more for ten values."""
    _, ours = pair((10, 5), momentum=0.0)
    x = values((10, 5))
    ours(x, training=True)
    np.testing.assert_allclose(ours.get_layer("norm").moving_variance, x.var(axis=0), rtol=1e-5)


def test_one_row_alone() -> None:
    keras_own, ours = pair((1, 5))
    x = values((1, 5))
    np.testing.assert_allclose(ours(x, training=True), keras_own(x, training=True), atol=1e-5)
    np.testing.assert_allclose(ours.get_layer("norm").moving_variance, keras_own.get_layer("norm").moving_variance)


def test_half_precision_keeps_its_statistics_in_float32() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        keras_own, ours = pair((8, 16, 16, 5))
    finally:
        keras.config.set_dtype_policy("float32")
    x = 100 * values((8, 16, 16, 5))
    answer = ours(x, training=True)
    assert answer.dtype == "float16"
    np.testing.assert_allclose(answer, keras_own(x, training=True), atol=5e-3)
    for a, b in zip(ours.variables, keras_own.variables, strict=True):
        assert str(a.dtype) == "float32"
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_a_frozen_layer_keeps_its_statistics() -> None:
    _, ours = pair((8, 40, 5))
    layer = ours.get_layer("norm")
    layer.trainable = False
    before = np.array(layer.moving_mean)
    ours(values((8, 40, 5)), training=True)
    np.testing.assert_array_equal(layer.moving_mean, before)


@pytest.mark.parametrize(("shape", "options"), [
    ((4, 6, 10, 5), {"axis": 1}),
    ((4, 6, 10, 5), {"epsilon": 1e-6}),
    ((4, 6, 10, 5), {"synchronized": True}),
    ((2, 3, 4, 5, 6), {}),
])  # fmt: skip
def test_what_the_kernel_cannot_do_is_left_to_keras(shape, options) -> None:
    pair(shape, fused=False, **options)


def test_weights_go_from_one_to_the_other(tmp_path) -> None:
    first, second = pair((8, 40, 5))
    second(values((8, 40, 5)), training=True)
    second.save_weights(tmp_path / "fused.weights.h5")
    first.load_weights(tmp_path / "fused.weights.h5")
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    first.save_weights(tmp_path / "keras.weights.h5")
    second.load_weights(tmp_path / "keras.weights.h5")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("convnet_small", {}),
        ("resnet1d_gru", {"layout": "raw", "inputs": "raw", "planes": 4, "blocks": 2, "units": 4}),
        ("tiny", {}),  # as a user registers one
    ],
)
def test_every_network_is_built_with_it(name, options) -> None:
    import tensorflow as tf

    register_tiny()
    model = build_model(name, **options)
    graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(tf.zeros((2, *model.input_shape[1:])))
    definition = graph.graph.as_graph_def()
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
    assert [node.op for node in nodes].count("FusedBatchNormV3") == len(batch_norm_layers(model)) > 0
