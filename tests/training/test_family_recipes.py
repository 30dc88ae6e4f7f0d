"""The recipes of the systems S0, S2, S3 and S4 hold the values that their sources state."""

import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.errors import ConfigError
from hbaclib.inputs.pipeline import input_kinds
from hbaclib.training.recipe import load_recipe
from hbaclib.training.schedules import learning_rates


@pytest.mark.parametrize("name", ["s0", "s4"])
def test_schedule_of_the_kerascv_starter(name):
    recipe = load_recipe(name)
    (stage,) = recipe.stages
    assert (stage.epochs, recipe.batch, stage.start, stage.floor, stage.warmup) == (13, 64, 5e-5, 1e-5, 3)
    assert stage.peak == pytest.approx(6e-6 * recipe.batch) and stage.schedule == "cosine"
    rates = learning_rates(stage, 4)
    assert rates.shape == (13, 4) and (rates == rates[:, :1]).all(), "one rate an epoch"
    # The ramp as its source writes it, epoch by epoch, and the cosine behind it.
    for epoch in range(13):
        if epoch < 3:
            expected = (3.84e-4 - 5e-5) / 3 * epoch + 5e-5
        else:
            expected = (3.84e-4 - 1e-5) * 0.5 * (1 + np.cos(np.pi * (epoch - 3) / (13 - 3 - 1))) + 1e-5
        assert rates[epoch, 0] == pytest.approx(expected), epoch
    assert rates[3, 0] == rates.max() and rates[-1, 0] == pytest.approx(1e-5)


def test_s0():
    recipe = load_recipe("s0")
    assert (recipe.backbone, recipe.layout, recipe.inputs) == ("efficientnet_v2_b2", "starter", "kaggle")
    assert recipe.weights == "imagenet" and set(recipe.augmentation) == {"mixup", "random_cutout"}
    assert input_kinds(recipe) == ("starter",)
    assert load_recipe("s0", layout="stem", inputs="both").layout == "stem"  # "or the 8-channel input"


def test_s2():
    recipe = load_recipe("s2")
    assert recipe.backbone == "efficientnet_v2_b2_wavenet" and input_kinds(recipe) == ("both", "raw")
    wavenet = recipe.model_options["wavenet"]
    assert (tuple(wavenet["filters"]), wavenet["kernel"], wavenet["dilations"]) == ((8, 16, 32, 64), 4, 6)
    for backbone in ("efficientnet_v2_b2", "resnet50_v2", "mobilenet_v3_large", "densenet201"):
        assert load_recipe("s2", backbone=backbone, model_options={}).reads_signals is False


def test_s3():
    recipe = load_recipe("s3")
    assert (recipe.backbone, recipe.inputs, input_kinds(recipe)) == ("resnet1d_gru", "raw", ("raw",))
    assert tuple(recipe.model_options["kernels"]) == (3, 5, 7, 9, 11)
    assert (recipe.model_options["planes"], recipe.model_options["blocks"], recipe.model_options["units"]) == (
        24,
        9,
        128,
    )
    assert recipe.label_smoothing_votes > 0 and recipe.label_smoothing_up_to == 3
    assert 0 < recipe.pseudo_weight < 1 and recipe.precision == "auto" and len(recipe.seeds) == 1
    (stage,) = recipe.stages
    assert recipe.batch == 128 and stage.peak == pytest.approx(1e-3 * np.sqrt(recipe.batch / 32))
    assert recipe.batch * recipe.batch_norm_batches == 1024
    assert load_recipe("s3", band=[0.5, 4.0]).band == (0.5, 4.0)
    assert load_recipe("s3", **{"crop_seconds": 10}).network_options()["shape"] == (2000, 8)


def test_image_half_of_s3():
    image, signals = load_recipe("s3_image"), load_recipe("s3")
    assert (image.backbone, image.layout, image.inputs) == ("efficientnet_b0", "stem", "both")
    assert not image.reads_signals and input_kinds(image) == ("both",) and not image.model_options
    assert image.weights == "imagenet"
    # Smoothed labels, pseudo-labels, mixed precision, fixed seeds and folds are stated for the system as a whole.
    shared = ("label_smoothing_votes", "label_smoothing_up_to", "pseudo_weight", "pseudo_up_to")
    for key in (*shared, "precision", "seeds", "folds", "sampling", "augmentation"):
        assert getattr(image, key) == getattr(signals, key), key


def test_s4():
    recipe = load_recipe("s4")
    assert recipe.backbone == "mobilenet_v3_large"
    assert set(recipe.augmentation) == {"mixup", "frequency_masking", "time_masking"}
    # Published is the size on an image of three planes; five more planes have 5 x 3 x 3 x 16 weights more.
    sizes = {}
    for layout, inputs in ((recipe.layout, recipe.inputs), ("starter", "kaggle")):
        network = build_model(recipe.backbone, layout, inputs, **recipe.network_options())
        trainable = sum(int(weight.shape.num_elements()) for weight in network.trainable_weights)
        sizes[inputs] = network.count_params(), trainable
    assert sizes == {"both": (3_002_118 + 720, 2_977_718 + 720), "kaggle": (3_002_118, 2_977_718)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"band": [4, 20]}, "0 <= low < high < 20 Hz, the Nyquist frequency"),
        ({"band": [4, 100], "crop_seconds": 10}, "0 <= low < high < 100 Hz, the Nyquist frequency"),
        ({"band": [8, 4]}, "band is"),
        ({"band": [8]}, "band is"),
        ({"band": [8, 13], "downsample": 4}, "high < 5 Hz, the Nyquist frequency of the signals behind downsample = 4"),
        ({"band": [8, 60], "downsample": 2, "crop_seconds": 10}, "high < 50 Hz, the Nyquist frequency of the signals"),
        ({"band": [17, 19.9]}, "low below 16 Hz without crop_seconds, because the signals at 40 Hz end there"),
        ({"band": [16, 18]}, "low below 16 Hz"),
        ({"crop_seconds": 51}, "at most the 50 s window"),
        ({"crop_seconds": 0.002}, "0 (the whole window) or at least 1 s"),
        ({"crop_seconds": -10}, "crop_seconds is -10.0, expected 0 (the whole window)"),
        ({"pseudo_weight": 1.5}, "0 to 1"),
        (
            {"augmentation": {"coarse_dropout": {"height": 200}}, "layout": "stem", "inputs": "both"},
            "augmentation.coarse_dropout.height is 200, expected at most 128",
        ),
        ({"augmentation": {"mixup": {"alpha": 0}}}, "expected a positive number"),
        ({"augmentation": {"mixup": {"beta": 1}}}, "augmentation.mixup.beta is unknown; known are p, alpha"),
    ],
)
def test_faults_are_named(changes, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe("s3", **changes)
    assert message in str(caught.value)


def test_bands_that_the_networks_can_see():
    for changes in (
        {"band": [0.5, 4.0], "downsample": 4},
        {"band": [8, 19]},
        {"band": [17, 40], "crop_seconds": 10},
        {"crop_seconds": 1},
    ):
        load_recipe("s3", **changes)
    # A fusion averages its image and leaves the signals at their rate.
    assert load_recipe("s2", band=[8, 13], downsample=4).downsample == (4,)
