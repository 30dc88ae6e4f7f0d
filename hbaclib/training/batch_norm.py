"""Batch-norm statistics, estimated anew for weights that are kept.

Averaged weights have no statistics of their own, and those that move along in training lag behind the last weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hbaclib.models.registry import batch_norm_layers
from hbaclib.training.checkpoint import assign_values, values_of


def estimate_batch_norm(model: Any, look: Callable[..., Any], batches: Iterable[Any]) -> None:
    """Set every layer's statistics: the mean over batches of the batch mean, and the pooled variance.

    Args:
        model: its batch-norm layers are changed.
        look: a forward pass as in training, which moves the statistics.
        batches: at least one, each the inputs that ``look`` takes.
    """
    layers = batch_norm_layers(model)
    if not layers:
        return
    seen = []
    for parts in batches:
        # From zero, the moving value after one batch is (1 - momentum) times the batch's own.
        for layer in layers:
            assign_values(_statistics(layer), [np.zeros(layer.moving_mean.shape, np.float32)] * 2)
        look(*parts)
        seen.append([np.array(values_of(_statistics(layer)), np.float64) / (1 - layer.momentum) for layer in layers])
    for layer, moments in zip(layers, zip(*seen, strict=True), strict=True):
        # Batch after batch, in the order in which they came: a sum in pairs would round otherwise.
        mean, variance = sum(moments) / len(seen)
        spread = np.maximum(sum(one[0] ** 2 for one in moments) / len(seen) - mean**2, 0)
        assign_values(_statistics(layer), [mean.astype(np.float32), (variance + spread).astype(np.float32)])


def _statistics(layer: Any) -> list[Any]:
    return [layer.moving_mean, layer.moving_variance]
