"""The graphs that a fit runs beside the forward pass: a training step, a look at the batch statistics.

To trace a step takes as long as hundreds of steps, so a fit traces one, with one optimizer: at the beginning of a stage
the optimizer's variables are set to what those of a new one are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hbaclib.models.calling import Own, as_input
from hbaclib.training.checkpoint import assign_values, values_of
from hbaclib.training.devices import current_precision
from hbaclib.training.losses import kl_loss
from hbaclib.training.recipe import Recipe
from hbaclib.training.replicas import Replicas


def make_optimizer(recipe: Recipe, model: Any) -> Any:
    """Adam as the recipe has it; of float16 gradients it scales the loss."""
    averaging = {"use_ema": True, "ema_momentum": recipe.ema, "ema_overwrite_frequency": None} if recipe.ema else {}
    optimizer: Any = keras.optimizers.Adam(weight_decay=recipe.weight_decay or None, **averaging)
    if current_precision() == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


class TrainingStep:
    """The training step of one fit, with the optimizer that all its stages share.

    It is called with a batch's shares (inputs ..., targets, weights), changes the network and the optimizer, and gives
    the loss as a tensor, which a GPU may not have computed yet.

    Args:
        recipe: says how the weights change.
        model: the network.
        replicas: the devices of the fit.

    Attributes:
        optimizer: its learning rate is the caller's to set before every step.
        xla: what of the step XLA compiles: ``off``, ``apply`` or ``full`` (see `Recipe`); set it before the first step.
    """

    def __init__(self, recipe: Recipe, model: Any, replicas: Replicas) -> None:
        self.recipe, self.model, self.replicas, self.xla = recipe, model, replicas, "off"
        with replicas.strategy.scope():
            self.optimizer = make_optimizer(recipe, model)
        # Most are zeros, of which two or three for each of the network's weights need not be kept.
        self._fresh = [value if value.any() else None for value in values_of(self.optimizer.variables)]
        self._graphs: dict[str, Any] = {}

    def __call__(self, *shares: Any) -> Any:
        """Make a step."""
        return self.graph(self.xla)(*shares)

    @property
    def traces(self) -> int:
        """How many graphs have been traced so far."""
        return sum(graph.experimental_get_tracing_count() for graph in self._graphs.values())

    def reset(self) -> None:
        """Give the optimizer the state of a new one, as a new stage begins with."""
        variables = self.optimizer.variables
        fresh = zip(variables, self._fresh, strict=True)
        assign_values(variables, (np.zeros(old.shape, old.dtype) if value is None else value for old, value in fresh))

    def state(self) -> list[np.ndarray]:
        """Copies of all that a step changes."""
        return values_of([*self.model.variables, *self.optimizer.variables])

    def restore(self, state: list[np.ndarray]) -> None:
        """Undo steps that were made since `state`."""
        assign_values([*self.model.variables, *self.optimizer.variables], state)

    def graph(self, xla: str) -> Any:
        """The step as a `tf.function`, made once for each way in which XLA may compile it."""
        if xla not in self._graphs:
            function = Own(self.replicas.summed(self._replica(xla)))
            self._graphs[xla] = tf.function(function, jit_compile=xla == "full")
        return self._graphs[xla]

    def drop(self, xla: str) -> None:
        """Forget a graph that does not serve."""
        self._graphs.pop(xla, None)

    def _replica(self, xla: str) -> Callable[..., Any]:
        recipe, model, optimizer, replicas = self.recipe, self.model, self.optimizer, self.replicas

        def update(gradients: list[Any]) -> None:
            if recipe.clip_norm:
                # Of float16 the gradients are still as much too long as the loss is too great.
                gradients = replicas.clip_together(gradients, optimizer.scale_loss(tf.constant(recipe.clip_norm)))
            optimizer.apply(gradients, model.trainable_variables)

        change = tf.function(Own(update), jit_compile=True) if xla == "apply" else update

        def replica(*share: Any) -> Any:
            *parts, targets, weights = share
            with tf.GradientTape() as tape:
                # Over the global batch, because the devices' gradients are summed.
                loss = tf.reduce_sum(weights * kl_loss(targets, model(as_input(parts), training=True))) / recipe.batch
                scaled = optimizer.scale_loss(loss)
            change(replicas.overflow_together(tape.gradient(scaled, model.trainable_variables)))
            return loss

        return replica


def statistics_pass(model: Any, replicas: Replicas) -> Callable[..., Any]:
    """A forward pass as in training, for what it does to the batch-norm statistics."""

    def look(*parts: Any) -> Any:
        return model(as_input(parts), training=True)

    return tf.function(Own(replicas.whole(look)), jit_compile=False)
