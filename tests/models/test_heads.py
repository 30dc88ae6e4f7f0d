"""A head that keeps frequency: what it is blind to, and what it is not."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.models.heads import is_head

KEEP = {"keep_frequency": True}
NETWORKS: dict[str, dict] = {"convnet_frequency": {}, "efficientnet_b0": KEEP, "efficientnet_lite0": KEEP}


def features_of(network):
    return next(layer for layer in network.layers if hasattr(layer, "layers"))


@pytest.mark.parametrize("name", NETWORKS)
def test_time_is_pooled_and_frequency_kept(name) -> None:
    import keras

    features = features_of(build_model(name, shape=(128, 128, 4), **NETWORKS[name]))
    flat = next(layer for layer in features.layers if layer.name == "frequency_head_flat")
    mean = next(layer for layer in features.layers if layer.name == "frequency_head_mean")
    _, bins, times, maps = mean.input.shape
    assert bins > 1 and times > 1 and flat.output.shape[1] == bins * 2 * maps
    values = np.random.default_rng(0).standard_normal((1, bins, times, maps)).astype(np.float32)
    head = keras.Model(mean.input, flat.output)
    there = head(values).numpy()
    np.testing.assert_allclose(head(values[:, :, ::-1]), there, atol=1e-6)
    assert np.abs(head(values[:, ::-1]).numpy() - there).max() > 0.1


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0"])
def test_pretrained_weights_fill_all_but_the_head(name) -> None:
    kept, pooled = (
        features_of(build_model(name, weights="lite", shape=(64, 64, 4), keep_frequency=keep)) for keep in (True, False)
    )
    for layer in pooled.layers:
        for a, b in zip(layer.weights, kept.get_layer(layer.name).weights if layer.weights else (), strict=True):
            if not layer.name.endswith(("se_reduce", "se_expand")):
                np.testing.assert_array_equal(a, b)
    own = [layer for layer in kept.layers if layer.weights and is_head(layer)]
    assert [layer.name for layer in own] == ["frequency_head_dense"]
