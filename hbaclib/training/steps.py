"""The graphs that a fit runs beside the forward pass: a training step, a look at the batch statistics.

XLA compiles the steps on a single GPU and nowhere else: it fails under `MirroredStrategy`, and on a CPU it makes an
EfficientNet ten times slower.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from hbaclib.models.calling import Own, as_input
from hbaclib.training.devices import current_precision
from hbaclib.training.losses import kl_loss
from hbaclib.training.recipe import Recipe
from hbaclib.training.replicas import Replicas

log = logging.getLogger(__name__)


def make_optimizer(recipe: Recipe, model: Any) -> Any:
    """Adam as the recipe has it; of float16 gradients it scales the loss."""
    averaging = {"use_ema": True, "ema_momentum": recipe.ema, "ema_overwrite_frequency": None} if recipe.ema else {}
    optimizer: Any = keras.optimizers.Adam(weight_decay=recipe.weight_decay or None, **averaging)
    if current_precision() == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def training_step(recipe: Recipe, model: Any, optimizer: Any, replicas: Replicas) -> Callable[..., Any]:
    """A step of training: from a batch's shares (inputs ..., targets, weights) to its loss."""

    def replica(*share: Any) -> Any:
        *parts, targets, weights = share
        with tf.GradientTape() as tape:
            # Over the global batch, because the devices' gradients are summed.
            loss = tf.reduce_sum(weights * kl_loss(targets, model(as_input(parts), training=True))) / recipe.batch
            scaled = optimizer.scale_loss(loss)
        gradients = replicas.overflow_together(tape.gradient(scaled, model.trainable_variables))
        if recipe.clip_norm:
            # Of float16 the gradients are still as much too long as the loss is too great.
            gradients = replicas.clip_together(gradients, optimizer.scale_loss(tf.constant(recipe.clip_norm)))
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return compile_step(replicas.summed(replica), xla=recipe.xla and uses_xla(replicas.strategy))


def statistics_pass(model: Any, replicas: Replicas) -> Callable[..., Any]:
    """A forward pass as in training, for what it does to the batch-norm statistics."""

    def look(*parts: Any) -> Any:
        return model(as_input(parts), training=True)

    return tf.function(Own(replicas.whole(look)), jit_compile=False)


def uses_xla(strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA may compile the steps of a fit: on one GPU that no strategy spreads."""
    return not tf.distribute.has_strategy() and strategy is tf.distribute.get_strategy() and _has_gpu()


def _has_gpu() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))


def compile_step(function: Callable[..., Any], *, xla: bool) -> Callable[..., Any]:
    """A graph of a training step; one that XLA cannot compile runs without it, and the log says so.

    Args:
        function: takes and returns tensors, may change variables.
        xla: try XLA first.

    Returns:
        The compiled function.
    """
    plain = tf.function(Own(function), jit_compile=False)
    if not xla:
        return plain
    chosen: list[Callable[..., Any]] = []

    def step(*tensors: Any) -> Any:
        if not chosen:
            fused = tf.function(Own(function), jit_compile=True)
            try:
                # XLA writes the variables when all else is done: a step that fails has changed nothing.
                result = fused(*tensors)
            except tf.errors.ResourceExhaustedError:
                raise  # no word of XLA's
            except tf.errors.OpError as error:
                log.warning("XLA cannot compile this network, which runs without it: %s", str(error).partition("\n")[0])
                chosen.append(plain)
            else:
                chosen.append(fused)
                return result
        return chosen[0](*tensors)

    return step
