"""What the networks on raw signals see: receptive field, direction of time, the batch's other samples."""

import inspect

import keras
import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.conventions import CHAINS, RAW_PAIRS
from hbaclib.models import wavenet
from hbaclib.models.registry import all_layers
from hbaclib.models.wavenet import receptive_field, wavenet_sequence, wavenet_trunk


def reach(model, length, place, signal=0):
    """Places of the output that change when one sample of the input does, relative to that sample."""
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((1, length, 2))
    changed = signals.copy()
    changed[0, place, signal] += 1
    before, after = (np.asarray(model(given))[0] for given in (signals, changed))
    assert np.array_equal(before[:, 1 - signal], after[:, 1 - signal]), "the other signal must not notice"
    moved = np.flatnonzero((before[:, signal] != after[:, signal]).any(axis=-1)) - place
    return int(moved.min()), int(moved.max())


@pytest.fixture
def double_precision():
    """The farthest sample's share of an output is small: single precision would round it away."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def positive(model):
    """Weights of one sign, so that no path cancels another and no gate is shut."""
    for weight in model.weights:
        value = 1 / np.prod(weight.shape[:-1]) if "kernel" in weight.name else 0.1
        weight.assign(np.full(weight.shape, value))
    return model


@pytest.mark.parametrize(
    ("filters", "kernel", "dilations"), [((4,), 4, 1), ((4,), 4, 2), ((4,), 4, 6), ((4, 6), 3, 3), ((4, 4), 4, 4)]
)
def test_receptive_field_by_perturbing_one_sample(filters, kernel, dilations, double_precision):
    past, future = receptive_field(filters, kernel, dilations)
    model = positive(wavenet_sequence((601, 2), filters=filters, kernel=kernel, dilations=dilations))
    # An output that looks `past` samples back changes up to `past` samples after the perturbed one.
    assert reach(model, 601, 300) == (-future, past)


def test_receptive_field_of_the_whole_network():
    assert receptive_field() == (376, 380)
    assert "757 samples, 376 in the past and 380 in the future" in " ".join(inspect.getdoc(wavenet).split())


def test_dilations_double_and_the_network_looks_both_ways():
    model = wavenet_sequence((64, 2))
    rates = [
        layer.dilation_rate
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (4, 1)
    ]
    assert rates == [(2**power, 1) for _ in range(4) for power in range(6) for _ in ("tanh", "gate")]
    assert all(layer.padding == "same" for layer in model.layers if getattr(layer, "kernel_size", 0) == (4, 1))
    past, future = receptive_field()
    assert past > 0 and future > 0, "not causal"


def test_signals_share_weights_and_chains_are_averaged():
    trunk = wavenet_trunk((256, 8))
    signals = np.random.default_rng(0).standard_normal((2, 256, 8)).astype(np.float32)
    features = trunk(signals).numpy()
    assert features.shape == (2, 256)
    # The two signals of a chain may change places; those of two chains may not.
    within = trunk(signals[..., [1, 0, 3, 2, 5, 4, 7, 6]]).numpy()
    np.testing.assert_allclose(within, features, atol=1e-6)
    across = trunk(signals[..., [2, 3, 0, 1, 4, 5, 6, 7]]).numpy()
    np.testing.assert_allclose(across[:, :64], features[:, 64:128], atol=1e-6)
    assert np.abs(across - features).max() > 1e-3
    for k in range(0, 8, 2):
        (start, _), (_, end) = RAW_PAIRS[k : k + 2]
        assert any((chain[0], chain[-1]) == (start, end) for chain in CHAINS.values())


def test_the_recurrent_layer_runs_over_time_and_not_over_the_batch():
    keras.utils.set_random_seed(1)
    model = build_model("resnet1d_gru", "raw", "raw", shape=(128, 8))
    recurrent = keras.Model(
        model.get_layer("resnet1d_gru").input, model.get_layer("resnet1d_gru").get_layer("gru").output
    )
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((4, 128, 8)).astype(np.float32)
    features = recurrent(signals).numpy()
    assert features.shape == (4, 256) and features.std(axis=0).max() > 0.05
    for neighbours in (signals[::-1], np.concatenate([signals[1:2], 100 + signals[:3]])):
        place = 2 if len(neighbours) == 4 and np.array_equal(neighbours[2], signals[1]) else 0
        np.testing.assert_allclose(recurrent(np.ascontiguousarray(neighbours)).numpy()[place], features[1], atol=1e-6)
    # Order in time matters to it.
    assert np.abs(recurrent(np.ascontiguousarray(signals[:, ::-1])).numpy() - features).max() > 1e-2


def test_the_recurrent_layer_keeps_the_fused_kernel():
    model = build_model("resnet1d_gru", "raw", "raw", shape=(128, 8))
    layers = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.GRU)]
    assert len(layers) == 2
    for layer in layers:
        assert layer.activation is keras.activations.tanh
        assert layer.recurrent_activation is keras.activations.sigmoid
        assert layer.reset_after and layer.use_bias and not layer.unroll
        assert layer.recurrent_dropout == 0 and layer.dropout == 0
        assert layer.use_cudnn == "auto" and not layer.stateful


@pytest.mark.gpu
def test_the_fused_kernel_is_taken_on_a_gpu():
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("no GPU here")
    model = build_model("resnet1d_gru", "raw", "raw", shape=(128, 8))
    graph = tf.function(model).get_concrete_function(tf.zeros((4, 128, 8))).graph.as_graph_def()
    names = {node.op for node in graph.node} | {node.op for part in graph.library.function for node in part.node_def}
    assert any(name.startswith("CudnnRNN") for name in names)


def test_resnet1d_gru_is_as_described():
    network = build_model("resnet1d_gru", "raw", "raw").get_layer("resnet1d_gru")
    assert network.get_layer("parallel").output.shape == (None, 10_000, 24)
    assert network.get_layer("halve").output.shape == (None, 5_000, 24)
    assert [
        layer.kernel_size
        for layer in network.layers
        if layer.name.startswith("parallel") and hasattr(layer, "kernel_size")
    ] == [(k,) for k in (3, 5, 7, 9, 11)]
    assert network.get_layer("block9_sum").output.shape[1] == 10
    assert network.get_layer("flat").output.shape == (None, 48)
    assert network.get_layer("gru").output.shape == (None, 256)
    assert network.output_shape == (None, 304)
