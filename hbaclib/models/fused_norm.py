"""Batch norm in training by TensorFlow's fused kernel.

Keras 3 computes the moments, the update and the result as operations of their own, each of which reads all of the
layer's input. The kernel reads it once for the moments and once for the result, and so does its gradient.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from hbaclib.compat.keras import flat_layers

_LEAST_EPSILON = 1.001e-5
"""Below this cuDNN refuses, and TensorFlow would silently take this value."""


def fuse_batch_norm(model: Any) -> None:
    """Let all batch-norm layers of a model use the kernel in training, where it can do what they ask for.

    Names, variables, class and what the layers give in inference stay as they are.

    Args:
        model: a Keras model; its layers change in place.
    """
    import keras

    for layer in flat_layers(model):
        # A subclass has a way of its own.
        if type(layer) is keras.layers.BatchNormalization and _fits(layer):
            layer.call = MethodType(_call, layer)


def _fits(layer: Any) -> bool:
    spec = layer.input_spec
    last = bool(layer.built and spec is not None and layer.axis in (-1, spec.ndim - 1) and 2 <= spec.ndim <= 4)
    plain = not (layer.synchronized or getattr(layer, "renorm", False))  # renorm: from Keras 3.14 on
    known = layer.compute_dtype in ("float32", "float16", "bfloat16")
    return last and plain and known and layer.epsilon >= _LEAST_EPSILON


def _call(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """What `keras.layers.BatchNormalization.call` gives, in training by the kernel."""
    import tensorflow as tf

    if not (training and layer.trainable) or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    x = tf.cast(inputs, layer.compute_dtype)
    # The kernel takes (n, height, width, channels).
    single = list(range(1, 5 - x.shape.rank))
    for axis in single:
        x = tf.expand_dims(x, axis)
    channels = layer.moving_mean.shape
    scale = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones(channels)
    offset = tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros(channels)
    result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=layer.epsilon, is_training=True
    )
    # The kernel divides by n - 1, Keras by n.
    n = tf.cast(tf.size(x) // channels[0], tf.float32)
    variance *= (n - 1) / n
    for moving, seen in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + seen * (1.0 - layer.momentum))
    return tf.squeeze(result, single) if single else result
