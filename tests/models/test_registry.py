"""One contract for every registered network."""

import keras
import numpy as np
import pytest

from hbaclib import build_model, model_names, register_model
from hbaclib.errors import ConfigError
from hbaclib.models.registry import INPUT_SHAPES, batch_norm_layers, check_model, input_shape
from tests.models.contract import check_contract
from tests.training.tiny import register_tiny, tiny_features

register_tiny()

# Pairs of network, layout and inputs in which every value occurs; small images, as all these are fully convolutional.
CASES = [
    ("efficientnet_b0", "stem", "both", "float32"),
    ("efficientnet_b0", "stem", "kaggle", "mixed_float16"),
    ("convnet_small", "stem", "both", "float32"),
    ("efficientnet_b1", "tiled", "both", "float32"),
    ("efficientnet_b2", "stem", "eeg", "float32"),
    ("efficientnet_b3", "tiled", "kaggle", "float32"),
    ("efficientnet_b4", "tiled", "eeg", "float32"),
    ("efficientnet_b1", "starter", "kaggle", "float32"),
    ("tiny", "stem", "both", "float32"),
    ("tiny", "tiled", "both", "mixed_float16"),
]


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def test_every_layout_and_precision_has_a_case():
    names, layouts, inputs, policies = (set(column) for column in zip(*CASES, strict=True))
    assert {f"efficientnet_b{n}" for n in range(5)} <= names <= set(model_names())
    assert layouts == {layout for layout, _ in INPUT_SHAPES} - {"raw"}
    assert inputs == {"both", "kaggle", "eeg"} and policies == {"float32", "mixed_float16"}


@pytest.mark.parametrize(("name", "layout", "inputs", "precision"), CASES)
def test_contract(name, layout, inputs, precision, policy):
    policy(precision)
    shape = (64, 96, input_shape(layout, inputs)[-1])
    check_contract(build_model(name, layout, inputs, shape=shape), [shape], precision)


def test_options():
    model = build_model("tiny", downsample=2, bn_momentum=0.7, dropout=0.3, classes=4, filters=5)
    assert model.output_shape == (None, 4) and model.get_layer("head_dropout").rate == 0.3
    assert [layer.momentum for layer in batch_norm_layers(model)] == [0.7]
    assert model.get_layer("downsample").output.shape[1:] == (64, 128, 8)


def test_no_class_gets_less_than_the_least_share():
    rng = np.random.default_rng(0)
    images = 1e4 * rng.standard_normal((8, 128, 256, 8)).astype(np.float32)  # which a network is very sure of
    free, bound = build_model("tiny", drop=0.0), build_model("tiny", drop=0.0, least_share=0.01)
    bound.set_weights(free.get_weights())
    before, after = (np.asarray(model(images)) for model in (free, bound))
    assert before.min() < 1e-6 and after.min() >= 0.01 * (1 - 1e-6)
    np.testing.assert_allclose(after, 0.01 + 0.94 * before, atol=1e-6)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)


def test_input_shapes_are_those_of_the_table():
    assert input_shape("stem", "both") == (128, 256, 8) and input_shape("stem", "eeg") == (128, 256, 4)
    assert input_shape("tiled", "both") == (512, 512, 3) and input_shape("tiled", "kaggle") == (512, 256, 3)
    assert input_shape("starter", "kaggle") == (400, 300, 3) and input_shape("raw", "raw") == (2000, 8)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["efficientnet_b9"], {}, "is unknown; did you mean efficientnet_b"),
        (["zzz"], {}, "known are "),
        (["efficientnet_b0", "raw"], {}, "takes the layouts stem, tiled, starter, found 'raw'"),
        (["efficientnet_b0", "starter", "eeg"], {}, "layout 'starter' with inputs 'eeg' does not exist"),
        (["efficientnet_b0"], {"kernel": 3}, "does not take the options ['kernel']"),
        (["tiny", "stem", "both", "file.h5"], {}, "has no pretrained weights"),
        (["tiny"], {"least_share": 1 / 6}, "expected 0 <= value < 1/6"),
        (["tiny"], {"least_share": -0.1}, "least_share is -0.1"),
    ],
)
def test_faults_are_named(arguments, options, message):
    with pytest.raises(ConfigError) as caught:
        build_model(*arguments, **options)
    assert message in str(caught.value)


def test_registering():
    register_model("tiny", tiny_features, layouts=("stem", "tiled"))  # a notebook's cell that runs twice
    assert check_model("tiny", "stem", "both").features is tiny_features
    with pytest.raises(ConfigError, match="belongs to the library"):
        register_model("efficientnet_b0", tiny_features)
    with pytest.raises(ConfigError, match="known are stem, tiled"):
        register_model("other", tiny_features, layouts=("square",))
