"""What the networks on raw signals see: receptive field, direction of time, the batch's other samples."""

import inspect

import keras
import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.compat.keras import flat_layers
from hbaclib.conventions import CHAINS, RAW_PAIRS
from hbaclib.errors import ConfigError
from hbaclib.models import wavenet
from hbaclib.models.resnet1d_gru import resnet1d_gru_features
from hbaclib.models.wavenet import DILATIONS, FILTERS, KERNEL, wavenet_sequence, wavenet_trunk


def receptive_field(filters=FILTERS, kernel=KERNEL, dilations=DILATIONS):
    """Samples before and after a place that its output depends on, the place itself not counted."""
    reaches = [(kernel - 1) * 2**power for power in range(dilations)]
    past = sum(reach // 2 for reach in reaches)
    return len(filters) * past, len(filters) * (sum(reaches) - past)


def reach(model, length, place, signal=0, loudness=1.0):
    """Places of the output that change when one sample of the input does, relative to that sample."""
    rng = np.random.default_rng(0)
    signals = loudness * rng.standard_normal((1, length, 2))
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


def positive(model, bias=0.1):
    """Weights of one sign, so that no path cancels another and no gate is shut."""
    for weight in model.weights:
        value = 1 / np.prod(weight.shape[:-1]) if "kernel" in weight.name else bias
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


def test_receptive_field_of_the_whole_network(double_precision):
    assert receptive_field() == (376, 380)
    # Through 24 layers the farthest sample's share is below double precision: it shows where all else is exactly 0.
    model = positive(wavenet_sequence((901, 2)), bias=0)
    assert reach(model, 901, 450, loudness=0) == (-380, 376)
    assert reach(model, 901, 400, signal=1, loudness=0) == (-380, 376)
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
    layers = [layer for layer in flat_layers(model) if isinstance(layer, keras.layers.GRU)]
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


def sources(layer):
    """The layers whose outputs a layer takes, in order."""
    given = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in given]


def path_to(layer, first):
    """The layers from one to another, both named, where each takes one output."""
    path = [layer]
    while path[0].name != first:
        (before,) = sources(path[0])
        path.insert(0, before)
    return path


@pytest.mark.parametrize(("rate", "dropped"), [(0.0, []), (0.2, ["Dropout"])])
def test_the_blocks_of_resnet1d_gru_are_as_described(rate, dropped):
    network = build_model("resnet1d_gru", "raw", "raw", block_dropout=rate).get_layer("resnet1d_gru")
    layers, activate = keras.layers, ["BatchNormalization", "Activation"]

    def kinds(path):
        return [type(layer).__name__ for layer in path]

    parallel = network.get_layer("parallel")
    assert parallel.axis == 1, "joined along time"
    for branch in sources(parallel):
        assert isinstance(branch, layers.Conv1D) and (branch.filters, branch.strides) == (24, (1,))
        assert kinds(sources(branch)) == ["InputLayer"]
    halve = network.get_layer("halve")
    assert (halve.filters, halve.kernel_size, halve.strides) == (24, (5,), (2,))
    assert kinds(path_to(halve, "parallel")) == ["Concatenate", *activate, "Conv1D"]

    before, length = halve, 5000
    for number in range(1, 10):
        joined = network.get_layer(f"block{number}_sum")
        assert isinstance(joined, layers.Add)
        pooled, identity = sources(joined)
        main = path_to(pooled, before.name)[1:]
        assert kinds(main) == [*activate, "Conv1D", *activate, *dropped, "Conv1D", "MaxPooling1D"]
        for layer in main:
            if isinstance(layer, layers.Conv1D):
                assert (layer.filters, layer.kernel_size, layer.strides) == (24, (5,), (1,))
        for pool in (pooled, identity):
            assert isinstance(pool, layers.MaxPooling1D) and (pool.pool_size, pool.strides) == ((2,), (2,))
        assert sources(identity) == [before], "the identity path is pooled and nothing else"
        length = -(-length // 2)
        assert joined.output.shape == (None, length, 24)
        before = joined

    features = network.get_layer("features")
    flat, recurrent = sources(features)
    assert kinds(path_to(flat, before.name)) == ["Add", *activate, "AveragePooling1D", "Flatten"]
    mean = network.get_layer("mean")
    assert (mean.pool_size, mean.strides, mean.output.shape) == ((6,), (6,), (None, 2, 24))
    assert isinstance(recurrent, layers.Bidirectional) and recurrent.merge_mode == "concat"
    assert recurrent.forward_layer.units == recurrent.backward_layer.units == 128
    assert kinds(sources(recurrent)) == ["InputLayer"], "beside the convolutions, on the raw signal"
    activations = [layer for layer in network.layers if isinstance(layer, layers.Activation)]
    assert len(activations) == 2 * 9 + 2
    assert all(layer.activation is keras.activations.silu for layer in activations)


KERNELS_MESSAGE = "expected different whole numbers of at least 1"
COUNT_MESSAGE = "expected a whole number of at least 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": []}, rf"kernels of resnet1d_gru are \[\]; {KERNELS_MESSAGE}"),
        ({"kernels": [5, 5]}, rf"\[5, 5\]; {KERNELS_MESSAGE}"),
        ({"kernels": [3, 0]}, KERNELS_MESSAGE),
        ({"kernels": [3, -5]}, KERNELS_MESSAGE),
        ({"kernels": [3, 5.0]}, KERNELS_MESSAGE),
        ({"kernels": [True, 5]}, KERNELS_MESSAGE),
        ({"kernels": 5}, f"are 5; {KERNELS_MESSAGE}"),
        ({"kernels": "35"}, KERNELS_MESSAGE),
        ({"planes": 0}, f"planes of resnet1d_gru is 0; {COUNT_MESSAGE}"),
        ({"blocks": 0}, f"blocks of resnet1d_gru is 0; {COUNT_MESSAGE}"),
        ({"blocks": -1}, f"blocks of resnet1d_gru is -1; {COUNT_MESSAGE}"),
        ({"kernel": 0}, f"kernel of resnet1d_gru is 0; {COUNT_MESSAGE}"),
        ({"units": -128}, f"units of resnet1d_gru is -128; {COUNT_MESSAGE}"),
        ({"units": 12.5}, f"units of resnet1d_gru is 12.5; {COUNT_MESSAGE}"),
        ({"block_dropout": 1.0}, "block_dropout of resnet1d_gru is 1.0; expected a rate from 0 to below 1"),
        ({"block_dropout": -0.1}, "block_dropout of resnet1d_gru is -0.1"),
        ({"block_dropout": float("nan")}, "block_dropout of resnet1d_gru is nan"),
    ],
)
def test_options_that_make_no_resnet1d_gru(options, message):
    with pytest.raises(ConfigError, match=message):
        build_model("resnet1d_gru", "raw", "raw", shape=(128, 8), **options)


def test_one_kernel_and_one_block_are_a_resnet1d_gru():
    smallest = resnet1d_gru_features((128, 8), kernels=[3], planes=1, blocks=1, kernel=1, units=1)
    assert smallest.output_shape == (None, 6 + 2)
