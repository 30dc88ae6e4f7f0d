"""Which part of a training step XLA compiles: decided once, before a fit's first step.

XLA is for a single GPU: it fails under `MirroredStrategy`, and on a CPU it makes an EfficientNet ten times slower. What
it refuses it may refuse in the middle of a step, when batch norm has moved already; so it is tried on steps whose
effect is undone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from hbaclib.training.steps import TrainingStep

log = logging.getLogger(__name__)

_WARM_UP, _TIMED = 2, 10


def choose_xla(step: TrainingStep, wish: str, batch: Callable[[], tuple[Any, ...]], *, timed: bool = True) -> str:
    """Set a training step's ``xla`` to what was wished for, or to ``off`` where that does not serve.

    Network and optimizer are left as they were.

    Args:
        step: has made no step yet.
        wish: ``off``, ``apply`` or ``full``. The latter must be faster than without, in ten timed steps each.
        batch: gives a batch (inputs ..., targets, weights) to try it on; called where that is needed.
        timed: False where the wish is known to serve, because the fit has begun with it.

    Returns:
        Why it is not as wished for, in a sentence that the log has as well; empty where it is.
    """
    step.xla = "off"
    if wish == "off":
        return ""
    if not uses_xla(step.replicas.strategy):
        note = "XLA is for a single GPU; this fit runs without it"
        log.info(note)
        return note
    tensors, state = batch(), step.state()
    try:
        note = _refusal(step, wish, tensors, timed)
    finally:
        step.restore(state)
    if note:
        step.drop(wish)
        log.warning(note)
    step.xla = "off" if note else wish
    return note


def _refusal(step: TrainingStep, wish: str, tensors: tuple[Any, ...], timed: bool) -> str:
    """Why XLA does not serve; empty where it does."""
    without = 0.0
    if timed and wish == "full":
        # What the plain step refuses is no word of XLA's, and passes.
        without = seconds_a_step(step, tensors)
        if pooled(step.graph("off").get_concrete_function(*tensors).graph):
            return "XLA cannot compile max pooling repeatably; this fit runs without it"
    step.xla = wish
    try:
        if not without:
            float(step(*tensors))
            return ""
        within = seconds_a_step(step, tensors)
    except MemoryError:
        raise
    # Refusals come as any of TensorFlow's errors, and in tracing as Python's; a fault of the network's own comes again.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        return f"XLA cannot compile this network, which runs without it: {reason}"
    if within >= without:
        return f"XLA makes no step faster ({within:.3f} s with it, {without:.3f} s without); this fit runs without it"
    log.info("XLA: %.3f s a step, %.3f s without it", within, without)
    return ""


def seconds_a_step(step: TrainingStep, tensors: tuple[Any, ...]) -> float:
    """Mean time of ten steps on one batch, behind two that trace and warm up."""
    for _ in range(_WARM_UP):
        float(step(*tensors))
    begin = time.perf_counter()
    for _ in range(_TIMED):
        loss = step(*tensors)
    float(loss)  # a GPU has computed all of them then
    return (time.perf_counter() - begin) / _TIMED


def pooled(graph: Any) -> bool:
    """Whether a graph holds the gradient of max pooling, which XLA has in no form that repeats its results.

    XLA finds out itself, but only after minutes of compiling.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return any(node.op.startswith("MaxPool") and "Grad" in node.op for node in nodes)


def uses_xla(strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA may compile the steps of a fit: on one GPU that no strategy spreads."""
    return not tf.distribute.has_strategy() and strategy is tf.distribute.get_strategy() and _has_gpu()


def _has_gpu() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))
