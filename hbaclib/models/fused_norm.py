"""Batch norm in training by TensorFlow's fused kernel.

Keras 3 computes the moments, the update and the result as operations of their own, each of which reads all of the
layer's input. The kernel reads it once for the moments and once for the result, and so does its gradient.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hbaclib.compat.keras import flat_layers

_LEAST_EPSILON = 1.001e-5
"""Below this cuDNN refuses, and TensorFlow would silently take this value."""


def fuse_batch_norm(model: Any) -> None:
    """Let all batch-norm layers of a model use the kernel in training, where it can do what they ask for.

    Names, variables, configuration and what the layers give in inference stay as they are.

    Args:
        model: a Keras model; its layers change in place.
    """
    import keras

    for layer in flat_layers(model):
        # A subclass has a way of its own.
        if type(layer) is keras.layers.BatchNormalization and _fits(layer):
            layer.__class__ = _fused_class()


def _fits(layer: Any) -> bool:
    spec = layer.input_spec
    last = bool(layer.built and spec is not None and layer.axis in (-1, spec.ndim - 1) and 2 <= spec.ndim <= 4)
    plain = not (layer.synchronized or getattr(layer, "renorm", False))  # renorm: from Keras 3.14 on
    return last and plain and layer.epsilon >= _LEAST_EPSILON


@cache
def _fused_class() -> type:
    """The layer's class, made when Keras is there."""
    import keras
    import tensorflow as tf

    class BatchNormalization(keras.layers.BatchNormalization):
        """`keras.layers.BatchNormalization`, in training by the fused kernel; of the same name, as files go by it."""

        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            known = self.compute_dtype in ("float32", "float16", "bfloat16")
            if not (training and self.trainable and known) or mask is not None:
                return super().call(inputs, training=training, mask=mask)
            x = tf.cast(inputs, self.compute_dtype)
            # The kernel takes (n, height, width, channels).
            single = list(range(1, 1 + 4 - x.shape.rank))
            for axis in single:
                x = tf.expand_dims(x, axis)
            channels = self.moving_mean.shape
            scale = tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(channels)
            offset = tf.cast(self.beta, tf.float32) if self.center else tf.zeros(channels)
            result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=self.epsilon, is_training=True
            )
            # The kernel divides by n - 1, Keras by n.
            n = tf.cast(tf.size(x) // channels[0], tf.float32)
            variance *= (n - 1) / n
            for moving, seen in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + seen * (1.0 - self.momentum))
            return tf.squeeze(result, single) if single else result

    BatchNormalization.__module__ = __name__
    return BatchNormalization
