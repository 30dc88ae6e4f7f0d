"""Dropout whose masks depend on the epoch alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from hbaclib.compat.keras import flat_layers


def seed_dropout(model: Any, key: tuple[int, ...]) -> None:
    """Start every dropout layer's generator anew, so that a resumed epoch draws the same masks.

    Args:
        model: whose layers' generators are set.
        key: numbers that the masks are to depend on.
    """
    for number, layer in enumerate(flat_layers(model)):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            seed = np.random.SeedSequence([*key, number]).generate_state(1)[0] % 2**31
            generator.state.assign(np.array([seed, 0], dtype=generator.state.dtype))
