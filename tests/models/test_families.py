"""KerasCV's family, the networks on raw signals and the fusions: counts, the contract, learning, faults."""

import shutil

import keras
import numpy as np
import pytest

from hbaclib import build_model, model_names
from hbaclib.compat.keras import flat_layers
from hbaclib.errors import ConfigError
from hbaclib.models.efficientnet import quiet_import
from hbaclib.models.kerascv import BACKBONES, IMAGENET, find_preset
from hbaclib.models.registry import batch_norm_layers, input_shape
from hbaclib.training.losses import kl_loss
from tests.models.contract import check_contract

SIGNAL = (256, 8)
SHORT_SIGNAL = (48, 8)
"""For a recurrent layer, which is a call a sample where no graph is traced."""

# Backbone without a head: its parameters, and the width of its features. The counts are those that keras-cv 0.9.0
# states with its presets. It states none for DenseNet201: that count is of keras.applications' network without its top.
PUBLISHED = {
    "efficientnet_v2_b0": (5_919_312, 1280),
    "efficientnet_v2_b1": (6_931_124, 1280),
    "efficientnet_v2_b2": (8_769_374, 1408),
    "efficientnet_v2_b3": (12_930_622, 1536),
    "efficientnet_v2_s": (20_331_360, 1280),
    "resnet50_v2": (23_564_800, 2048),
    "densenet201": (18_321_984, 1920),
}

QUICK = [
    (*case, precision)
    for case in (
        ("wavenet", "raw", "raw"),
        ("resnet1d_gru", "raw", "raw"),
        ("convnet_raw", "raw", "raw"),
        ("mobilenet_v3_large", "starter", "kaggle"),
        ("mobilenet_v3_large_wavenet", "stem", "both"),
        ("convnet_small_wavenet", "stem", "both"),
    )
    for precision in ("float32", "mixed_float16")
]
QUICK_NAMES = {case[0] for case in QUICK}
SLOW_NAMES = [
    name
    for name in sorted(model_names())
    if name not in QUICK_NAMES and name != "tiny" and (name.endswith("_wavenet") or name in PUBLISHED)
]
SLOW = [
    (
        name,
        "stem" if number % 4 < 2 else "tiled",
        "both" if number % 3 else "eeg",
        "mixed_float16" if number % 2 else "float32",
    )
    for number, name in enumerate(SLOW_NAMES)
]


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def build(name, layout, inputs, side=64, **options):
    """The network on small inputs, and the shapes of these."""
    if layout == "raw":
        signal = SHORT_SIGNAL if "gru" in name else SIGNAL
        return build_model(name, layout, inputs, shape=signal, **options), [signal]
    shape = (side, side, input_shape(layout, inputs)[-1])
    fused = name.endswith("_wavenet")
    if fused:
        options["signal_shape"] = SIGNAL
    return build_model(name, layout, inputs, shape=shape, **options), [shape, SIGNAL] if fused else [shape]


def settled(model, shapes):
    """Statistics as on noise: from their initial 1, those of a deep network take many batches, and it answers alike."""
    rng = np.random.default_rng(7)
    momenta = [layer.momentum for layer in batch_norm_layers(model)]
    for layer in batch_norm_layers(model):
        layer.momentum = 0.0
    parts = [rng.standard_normal((8, *shape)).astype(np.float32) for shape in shapes]
    for part in parts:
        part *= np.linspace(0.2, 3, 8, dtype=np.float32).reshape(-1, *[1] * (part.ndim - 1))
    model(parts if len(parts) > 1 else parts[0], training=True)
    for layer, momentum in zip(batch_norm_layers(model), momenta, strict=True):
        layer.momentum = momentum
    # Logits of size 5 have no sixth decimal in single precision: a flatter head brings them below 1.
    head = model.get_layer("head")
    head.set_weights([head.get_weights()[0] / 10, head.get_weights()[1]])
    return model, shapes


def test_the_family_is_complete():
    # By themselves these pass the contract in test_registry.py.
    elsewhere = {f"efficientnet_b{n}" for n in range(5)} | {"convnet_small"}
    images = elsewhere | {"mobilenet_v3_large", *PUBLISHED}
    expected = images | {f"{name}_wavenet" for name in images} | {"wavenet", "resnet1d_gru"}
    assert expected <= set(model_names())
    assert {case[0] for case in (*QUICK, *SLOW)} >= expected - elsewhere
    # The five EfficientNets are one family; a backbone of KerasCV runs by itself in one precision, fused in the other.
    for family in (*PUBLISHED, "mobilenet_v3_large", "efficientnet_b", "wavenet", "resnet1d_gru"):
        found = {precision for name, _, _, precision in (*QUICK, *SLOW) if name.startswith(family)}
        assert found == {"float32", "mixed_float16"}, family


def test_parameters_of_mobilenet_v3_large():
    model = build_model("mobilenet_v3_large", "starter", "kaggle")
    assert model.count_params() == 3_002_118
    assert sum(weight.shape.num_elements() for weight in map(_tensor, model.trainable_weights)) == 2_977_718
    assert model.input_shape == (None, 400, 300, 3) and model.output_shape == (None, 6)


def _tensor(weight):
    return keras.ops.convert_to_tensor(weight)


@pytest.mark.parametrize(
    "name", [name if name == "resnet50_v2" else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED]
)
def test_parameters_are_the_published_ones(name):
    backbone, width = PUBLISHED[name]
    model = build_model(name, "tiled", "both", shape=(64, 64, 3))
    assert model.get_layer(name).count_params() == backbone
    assert model.count_params() == backbone + 6 * width + 6


@pytest.mark.parametrize(("name", "layout", "inputs", "precision"), QUICK)
def test_contract(name, layout, inputs, precision, policy):
    policy(precision)
    check_contract(*settled(*build(name, layout, inputs)), precision)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_contract_notices_a_network_that_looks_at_its_batch(share, precision, policy):
    policy(precision)
    given = keras.Input((8,))
    hidden = keras.layers.Dense(16)(given)
    if share:
        hidden = hidden + share * keras.ops.mean(hidden, axis=0, keepdims=True)
    model = keras.Model(given, keras.layers.Dense(6, activation="softmax", dtype="float32", name="head")(hidden))
    if not share:
        check_contract(model, [(8,)], precision)
        return
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_contract(model, [(8,)], precision)


@pytest.mark.evidence
@pytest.mark.parametrize(("name", "layout", "inputs", "precision"), SLOW)
def test_contract_of_the_larger_networks(name, layout, inputs, precision, policy):
    policy(precision)
    check_contract(*settled(*build(name, layout, inputs)), precision)


def losses_on_one_batch(model, shapes, steps=20):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((6, *shape)).astype(np.float32) for shape in shapes]
    targets = np.eye(6, dtype=np.float32) * 0.88 + 0.02
    optimizer = keras.optimizers.Adam(1e-4)

    @tf.function(jit_compile=False)
    def step():
        with tf.GradientTape() as tape:
            given = parts if len(parts) > 1 else parts[0]
            loss = tf.reduce_mean(kl_loss(targets, model(given, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    optimizer.build(model.trainable_variables)
    return [float(step()) for _ in range(steps)]


LEARNERS = [
    ("wavenet", "raw", "raw"),
    ("resnet1d_gru", "raw", "raw"),
    ("mobilenet_v3_large_wavenet", "stem", "both"),
    ("convnet_small_wavenet", "stem", "both"),
]


def check_loss_falls(name, layout, inputs):
    keras.utils.set_random_seed(5)
    options = {"block_dropout": 0.0} if name.startswith("efficientnet_v2") else {}
    model, shapes = build(name, layout, inputs, **options)
    for layer in flat_layers(model):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    losses = losses_on_one_batch(model, shapes)
    # Single steps go up and down where the batch is nearly known by heart; five of them together do not.
    assert losses[-1] < 0.97 * losses[0] and np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout", "inputs"), LEARNERS)
def test_loss_falls_on_one_batch(name, layout, inputs):
    check_loss_falls(name, layout, inputs)


@pytest.mark.evidence
@pytest.mark.parametrize("name", sorted(set(model_names()) - {case[0] for case in LEARNERS} - {"tiny"}))
def test_loss_of_the_larger_networks_falls_on_one_batch(name):
    check_loss_falls(name, "stem", "both")


def test_statistics_inside_composite_blocks_are_found():
    model = build_model("efficientnet_v2_b0", shape=(64, 64, 8), bn_momentum=0.7)
    layers = batch_norm_layers(model)
    assert len(layers) == sum(weight.name == "moving_mean" for weight in model.weights) > 40
    assert {layer.momentum for layer in layers} == {0.7}


def test_inputs_are_brought_to_the_scale_of_the_pretrained_weights():
    rescale = (
        build_model("mobilenet_v3_large", shape=(64, 64, 8)).get_layer("mobilenet_v3_large").get_layer("to_unit_range")
    )
    np.testing.assert_allclose(rescale(np.array([-3.0, 0.0, 3.0], np.float32)), [0, 0.5, 1], atol=1e-6)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A preset folder written by keras-cv itself, on colour images, with statistics that are not the initial ones."""
    from keras_cv.src.utils.preset_utils import save_to_preset

    keras.utils.set_random_seed(11)
    config = BACKBONES["mobilenet_v3_large"].config
    backbone = quiet_import("keras_cv").models.MobileNetV3Backbone(
        **config, include_rescaling=True, input_shape=(None, None, 3)
    )
    for layer in batch_norm_layers(backbone):
        layer.momentum = 0.5
    images = np.random.default_rng(1).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    backbone(images, training=True)
    folder = tmp_path_factory.mktemp("presets") / "mobilenet"
    save_to_preset(backbone, str(folder))
    return folder, images, backbone(images).numpy()


def test_a_preset_folder_of_keras_cv_loads(preset):
    folder, images, expected = preset
    ours = images / 255 * 6 - 3  # the network itself goes back to 0..1
    model = build_model("mobilenet_v3_large", "tiled", weights=folder, shape=(64, 64, 3))
    features = model.get_layer("mobilenet_v3_large")(ours).numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(features, expected.mean(axis=(1, 2)), atol=1e-4, rtol=1e-3)
    # Found from a folder above too; eight equal planes answer as a grey image does.
    grey = np.repeat(ours[..., :1], 8, axis=-1)
    stem = build_model("mobilenet_v3_large", weights=folder.parent, shape=(64, 64, 8)).get_layer("mobilenet_v3_large")
    tiled = model.get_layer("mobilenet_v3_large")
    np.testing.assert_allclose(stem(grey), tiled(grey[..., :3]), atol=1e-4, rtol=1e-3)
    fused = build_model("mobilenet_v3_large_wavenet", weights=folder, shape=(64, 64, 8), signal_shape=SIGNAL)
    part = fused.get_layer("mobilenet_v3_large_wavenet").get_layer("mobilenet_v3_large")
    np.testing.assert_array_equal(part(grey), stem(grey))


def test_a_preset_is_found_among_attached_models(preset, tmp_path, monkeypatch):
    folder, _, _ = preset
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    place = tmp_path / "models" / "keras" / "mobilenetv3" / "keras" / "mobilenet_v3_large_imagenet" / "2"
    shutil.copytree(folder, place)
    shutil.copytree(folder, place.parents[1] / "mobilenet_v3_small_imagenet" / "1")
    assert find_preset("mobilenet_v3_large", "imagenet") == place


MOBILENET_V3_SMALL = {
    "stackwise_expansion": [1, 72 / 16, 88 / 24, 4, 6, 6, 3, 3, 6, 6, 6],
    "stackwise_filters": [16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96],
    "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5],
    "stackwise_stride": [2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1],
    "stackwise_se_ratio": [0.25, None, None, *[0.25] * 8],
    "stackwise_activation": ["relu"] * 3 + ["hard_swish"] * 8,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "changes", "asked", "message"),
    [
        ("efficientnet_v2_b0", {}, "efficientnet_v2_b1", r"it has \d+ arrays of weights, expected \d+"),
        ("mobilenet_v3_large", MOBILENET_V3_SMALL, "mobilenet_v3_large", r"it has \d+ arrays of weights, expected 262"),
        ("mobilenet_v3_large", {"alpha": 0.75}, "mobilenet_v3_large", r"kernel has shape \(.*\), expected \(.*\)"),
    ],
    ids=["B0 for B1", "Small for Large", "narrower"],
)
def test_presets_of_the_same_class_but_another_network_are_refused(written, changes, asked, message, tmp_path):
    from keras_cv.src.utils.preset_utils import save_to_preset

    entry, folder = BACKBONES[written], tmp_path / "preset"
    builder = getattr(quiet_import("keras_cv").models, entry.cls)
    save_to_preset(builder(**{**entry.config, **changes, "include_rescaling": True}), str(folder))
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(asked, weights=folder, shape=(64, 64, 8))
    assert str(caught.value).startswith(f"{folder}: preset of another network than {asked}; ")


def test_a_preset_without_its_weight_file_is_refused(preset, tmp_path):
    folder, _, _ = preset
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "config.json", alone)
    with pytest.raises(ConfigError, match="not a preset with weights of mobilenet_v3_large") as caught:
        build_model("mobilenet_v3_large", weights=alone, shape=(64, 64, 8))
    assert str(alone) in str(caught.value) and "model.weights.h5" in str(caught.value)


def test_imagenet_names_are_presets_that_keras_cv_publishes():
    published = {
        name: getattr(quiet_import("keras_cv").models, entry.cls).presets_with_weights
        for name, entry in BACKBONES.items()
    }
    for name, preset_name in IMAGENET.items():
        assert preset_name in published[name]
    assert set(BACKBONES) - set(IMAGENET) == {"efficientnet_v2_b3"}
    assert not any("_b3" in preset_name for preset_name in published["efficientnet_v2_b3"])


def test_a_preset_that_is_not_published_is_not_looked_for_but_may_be_given(tmp_path):
    with pytest.raises(ConfigError, match=r"publishes no ImageNet preset of efficientnet_v2_b3, only of .*_b2, "):
        find_preset("efficientnet_v2_b3", "imagenet")
    text = '{"registered_name": "keras_cv.models>EfficientNetV2Backbone"}'
    (tmp_path / "config.json").write_text(text)
    assert find_preset("efficientnet_v2_b3", tmp_path) == tmp_path


def test_wrong_presets_are_refused(preset, tmp_path):
    folder, _, _ = preset
    for name, weights, message in (
        ("resnet50_v2", folder, "no KerasCV preset folder .* of ResNetV2Backbone there; found MobileNetV3Backbone"),
        ("resnet50_v2", tmp_path, "no KerasCV preset folder"),
        ("mobilenet_v3_large", "imagenet", "'imagenet': no KerasCV preset folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_model(name, weights=weights, shape=(64, 64, 8))
    wider = tmp_path / "wider"
    wider.mkdir()
    text = (folder / "config.json").read_text()
    (wider / "config.json").write_text(text)
    (wider / "model.weights.h5").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="not a preset with weights of mobilenet_v3_large"):
        build_model("mobilenet_v3_large", weights=wider, shape=(64, 64, 8))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["wavenett", "raw", "raw"], {}, "did you mean wavenet"),
        (["wavenet", "stem", "both"], {}, "takes the layouts raw, found 'stem'"),
        (["wavenet", "raw", "raw"], {"shape": (256, 7)}, "takes pairs of signals"),
        (["mobilenet_v3_large_wavenet", "raw", "raw"], {}, "takes the layouts stem, tiled, starter, found 'raw'"),
        (["mobilenet_v3_large_wavenet"], {"shape": (64, 64, 8), "signal_shape": (256,)}, "a fusion joins an image"),
        (["mobilenet_v3_large_wavenet", "starter", "both"], {}, "layout 'starter' with inputs 'both' does not exist"),
        (["resnet50_v2"], {"shape": (64, 64, 8), "block_dropout": 0.1}, "drops no residual paths"),
    ],
)
def test_faults_are_named(arguments, options, message):
    with pytest.raises(ConfigError) as caught:
        build_model(*arguments, **options)
    assert message in str(caught.value)
