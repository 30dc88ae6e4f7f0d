"""Every test of a network starts from the same random weights, whatever ran before it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def same_weights() -> None:
    import keras

    keras.utils.set_random_seed(0)
