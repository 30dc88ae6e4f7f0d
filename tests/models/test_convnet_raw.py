"""The small network on raw signals: it reads the labelled seconds, at any loudness, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.errors import ConfigError

SMALL = {"filters": (4, 6), "kernel": 3}
RNG = np.random.default_rng(0)
SIGNALS = RNG.standard_normal((3, 2000, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return build_model("convnet_raw", "raw", "raw", **SMALL)


def answer(network, signals: np.ndarray) -> np.ndarray:
    return network(np.ascontiguousarray(signals, np.float32)).numpy()


def test_what_lies_outside_of_the_labelled_ten_seconds_is_not_looked_at(network):
    outside = SIGNALS.copy()
    outside[:, :800], outside[:, 1200:] = 30, 0
    np.testing.assert_array_equal(answer(network, outside), answer(network, SIGNALS))
    inside = SIGNALS.copy()
    inside[:, 900:1100] *= 3
    assert np.abs(answer(network, inside) - answer(network, SIGNALS)).max() > 1e-4


def test_loudness_does_not_matter_unless_there_is_hardly_any(network):
    np.testing.assert_allclose(answer(network, 4 * SIGNALS), answer(network, SIGNALS), atol=1e-3)
    # Noise of a tenth of a microvolt stays small: it is no pattern.
    quiet, flat = answer(network, SIGNALS * 0.1 / 32), answer(network, 0 * SIGNALS)
    assert np.abs(quiet - flat).max() < np.abs(answer(network, SIGNALS) - flat).max()


def test_which_side_is_louder_is_seen(network):
    left = SIGNALS.copy()
    left[..., 4:] *= 0.2
    assert np.abs(answer(network, left) - answer(network, SIGNALS)).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"middle": 0}, "middle of convnet_raw is 0; expected a share above 0, at most 1"),
        ({"middle": 1.5}, r"middle of convnet_raw is 1\.5; expected"),
        ({"middle": "half"}, "middle of convnet_raw is 'half'; expected"),
        ({"middle": 0.001}, "reads 2 samples, fewer than the 16 that 4 maxima need"),
    ],
)
def test_a_middle_that_is_none(options, message):
    with pytest.raises(ConfigError, match=message):
        build_model("convnet_raw", "raw", "raw", **options)


def test_it_takes_lower_rates_and_other_stretches():
    network = build_model("convnet_raw", "raw", "raw", shape=(2000, 8), downsample=5, middle=1.0, **SMALL)
    assert network.output_shape == (None, 6)
    assert build_model("convnet_raw", "raw", "raw").count_params() < 160_000
