"""Private parts of Keras that decide how networks are built and trained."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def layer_seeds_from(generator: random.Random) -> Iterator[None]:
    """Within the block, Keras seeds new layers from this generator.

    Keras draws those seeds from Python's global generator, from which other threads of the process may draw as well
    (those of a Dask worker do), and takes no other one.

    Replaces ``keras.src.random.seed_generator.python_random``; seen with Keras 3.13 to 3.15.
    """
    from keras.src.random import seed_generator

    before = seed_generator.python_random
    seed_generator.python_random = generator
    try:
        yield
    finally:
        seed_generator.python_random = before


def flat_layers(model: Any) -> list[Any]:
    """All layers of a model in a fixed order: those of nested models, and those that other layers are made of.

    The public ``model.layers`` holds the outermost ones only.

    Calls ``Layer._flatten_layers``; seen with Keras 3.13 to 3.15.
    """
    return list(model._flatten_layers(include_self=False))
