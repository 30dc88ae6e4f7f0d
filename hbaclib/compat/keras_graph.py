"""Private parts of Keras that pictures of networks are made from; apart, because they change no result."""

from __future__ import annotations

from typing import Any


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model made of layers that are called on each other's outputs.

    Asks for ``Function._nodes_by_depth``, and for ``Sequential._functional``; seen with Keras 3.13 to 3.15.
    """
    return bool(getattr(layer, "_nodes_by_depth", None) or getattr(layer, "_functional", None))


def calls_of(model: Any) -> list[Any]:
    """The calls that make up a model's graph, from its inputs to its outputs.

    A layer can be called more than once and in other models too, so its own list of calls does not tell. Each has
    ``operation`` (the layer), ``is_input``, ``input_tensors`` and ``output_tensors``.

    Reads ``Function._nodes_by_depth``, for a ``Sequential`` that of its ``_functional``; seen with Keras 3.13 to 3.15.
    """
    nodes = (getattr(model, "_functional", None) or model)._nodes_by_depth
    return [call for depth in sorted(nodes, reverse=True) for call in nodes[depth]]
