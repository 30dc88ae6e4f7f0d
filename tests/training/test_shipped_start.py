"""``start_from = "synthetic"``: which of the shipped networks a recipe starts from, and what is said if none fits."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from hbaclib import build_model, load_recipe, register_model, train
from hbaclib.artefacts import read_manifest
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.stages.names import EFFICIENTNET
from hbaclib.stages.places import SHIPPED
from hbaclib.stages.shipped import PackageError
from hbaclib.suite.freshness import _named_files
from hbaclib.suite.plans import plans_of
from hbaclib.training.adapt import start_fusions
from hbaclib.training.cross_validate import check_training
from hbaclib.training.recipe import Recipe
from hbaclib.training.shipped_start import check_shipped_starts
from hbaclib.training.trained_folder import TrainedFolder
from hbaclib.training.warm_start import start_folders, start_from
from tests.made_shipped import IMAGE, IMAGE_FOLDER, WAVES, WAVES_FOLDER, make_shipped
from tests.training.tiny import TinyArrays
from tests.training.tiny_signals import SignalArrays

NAMED = {"start_from": "synthetic"}
FUSED = {**IMAGE, "name": "fused", "backbone": "own_wavenet"}


@pytest.fixture(scope="module")
def arrays():
    return SignalArrays()


def recipe_of(values, **changes):
    return Recipe.from_dict({**values, **NAMED, **changes})


def part(model, name):
    inner = [each for layer in model.layers for each in (layer, *getattr(layer, "layers", []))]
    found = next(layer for layer in inner if layer.name == name)
    return [np.asarray(weight) for weight in found.get_weights()]


def started(recipe, *, fold=0, seed=0, arrays=None):
    samples = arrays or TinyArrays(n=4, patients=2)
    model = recipe.build_network()
    start_from(model, recipe.start_from, fold, seed, samples.samples, samples.folds, recipe=recipe)
    return model


def weights_of(folder, seed=0):
    trained = TrainedFolder.open(folder)
    return trained.network(trained.weights(0)[seed])


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", ["synthetic", ["synthetic"], ("synthetic",)])
def test_one_name_is_a_list_of_one(value):
    recipe = Recipe.from_dict({**IMAGE, "start_from": value})
    assert recipe.start_from == ("synthetic",)
    assert recipe.digest == recipe_of(IMAGE).digest and Recipe.from_dict(recipe.to_dict()) == recipe
    assert Recipe.from_dict({**IMAGE, "start_from": ""}).start_from == ()
    assert Recipe.from_dict(IMAGE).override({"start_from": "04_train_x"}).start_from == ("04_train_x",)
    with pytest.raises(ConfigError, match="start_from is 3, expected a list"):
        Recipe.from_dict({**IMAGE, "start_from": 3})


def test_a_recipe_file_names_the_model_or_a_folder_beside_it(tmp_path):
    (tmp_path / "synthetic").mkdir()
    for given, expected in {"synthetic": "synthetic", "./synthetic": str(tmp_path / "synthetic")}.items():
        Recipe.from_dict({**IMAGE, "start_from": given}).save(tmp_path / "own.toml")
        assert load_recipe(tmp_path / "own.toml").start_from == (expected,)
    (tmp_path / "own.toml").write_text('name = "a"\nstart_from = "synthetic"\n[[stages]]\nepochs = 1\n')
    assert load_recipe(tmp_path / "own.toml").start_from == ("synthetic",)


def test_the_name_stays_a_name_whatever_lies_about(shipped, tmp_path, monkeypatch):
    own = make_shipped(tmp_path / "run", {"synthetic": IMAGE})
    monkeypatch.chdir(own)
    assert start_folders(recipe_of(IMAGE), own) == {"synthetic": "synthetic"}
    assert start_folders(recipe_of(IMAGE, start_from="./synthetic"), "/") == {"./synthetic": own / "synthetic"}


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(("seed", "taken"), [(0, 0), (1, 1), (7, 0)])
def test_the_fitting_network_serves_every_fold_by_seed(shipped, fold, seed, taken, caplog):
    with caplog.at_level("INFO", "hbaclib.training.warm_start"):
        model = started(recipe_of(IMAGE), fold=fold, seed=seed)
    source = weights_of(shipped / IMAGE_FOLDER, taken)
    assert_same(part(model, "convnet_small"), part(source, "convnet_small"))
    assert np.abs(part(model, "head")[0] - part(source, "head")[0]).max() > 1e-3, "the last layer is the recipe's own"
    file = shipped / IMAGE_FOLDER / f"fold-0-seed-{taken}.weights.h5"
    assert caplog.messages == [f"convnet_small: fold {fold} starts with convnet_small from {file}"]


def test_signals_start_from_the_network_of_signals(shipped):
    model = started(recipe_of(WAVES))
    assert_same(part(model, "wavenet_trunk"), part(weights_of(shipped / WAVES_FOLDER), "wavenet_trunk"))


def test_another_scale_or_option_that_keeps_the_shapes_fits(shipped):
    model = started(recipe_of(IMAGE, downsample=[2, 4], seeds=[0], dropout=0.5, augmentation={}))
    assert_same(part(model, "convnet_small"), part(weights_of(shipped / IMAGE_FOLDER), "convnet_small"))


def test_a_fusion_takes_both_halves_from_two_networks(shipped):
    from hbaclib.models.convnet import convnet_features
    from hbaclib.models.fusion import fused_features

    def own(shape, signal_shape):
        return fused_features(
            shape,
            signal_shape,
            image=lambda each: convnet_features(each, filters=(2, 3)),
            wavenet={"filters": (4,), "dilations": 2},
        )

    register_model("own_wavenet", own, with_signal=True)
    model = started(recipe_of({**FUSED, "model_options": {}}))
    fused = next(layer for layer in model.layers if layer.name == "convnet_small_wavenet")
    for name, folder in {"convnet_small": IMAGE_FOLDER, "wavenet_trunk": WAVES_FOLDER}.items():
        assert_same(part(fused, name), part(weights_of(shipped / folder), name))


MISFITS = [
    (IMAGE, {"backbone": "convnet_frequency", "model_options": {}}, "no part of 'convnet_small' is one of"),
    (IMAGE, {"image": "pair"}, "trained with image = 'absolute', expected 'pair'"),
    (IMAGE, {"inputs": "both"}, "trained with inputs = 'eeg', expected 'both'"),
    (IMAGE, {"inputs": "kaggle"}, "trained with inputs = 'eeg', expected 'kaggle'"),
    (IMAGE, {"model_options": {"filters": [2, 4]}}, None),
    (IMAGE, {"model_options": {"filters": [2]}}, None),
    (WAVES, {"band": [0.5, 10.0]}, r"band \(or low_pass\) = \[0.0, 16.0\], expected \[0.5, 10.0\]"),
    (WAVES, {"crop_seconds": 10.0}, r"= '40 Hz', expected '200 Hz'"),
    (WAVES, {"downsample": 2}, r"downsample \(of the signals\) = 1, expected 2"),
    (WAVES, {"backbone": "resnet1d_gru", "model_options": {}}, "no part of 'wavenet' is one of 'resnet1d_gru'"),
]


@pytest.mark.parametrize(("base", "changes", "message"), MISFITS)
def test_where_none_fits_it_is_said_what_there_is(shipped, arrays, tmp_path, base, changes, message):
    recipe = recipe_of(base, **changes)
    if message:  # told by the recipes alone, before anything is computed
        with pytest.raises(ConfigError, match=message):
            check_training(recipe, arrays, folder=tmp_path / "trained")
        with pytest.raises(ConfigError, match=message):
            check_shipped_starts(recipe)
    with pytest.raises(ConfigError, match=message or "shape|arrays of weights") as caught:
        started(recipe)
    told = str(caught.value)
    assert told.startswith("start_from = 'synthetic': no network of the built-in model fits recipe")
    for words in (
        f"(backbone {recipe.backbone!r}, inputs {recipe.inputs!r}, layout {recipe.layout!r}",
        f"{IMAGE_FOLDER} (backbone 'convnet_small', inputs 'eeg', layout 'stem', image 'absolute', downsample 4 x 4): ",
        f"{WAVES_FOLDER} (backbone 'wavenet', inputs 'raw', layout 'raw', downsample 1): ",
    ):
        assert words in told
    model = recipe.build_network()
    before = model.get_weights()
    with pytest.raises(ConfigError):
        start_from(model, recipe.start_from, 0, 0, arrays.samples, arrays.folds, recipe=recipe)
    assert_same(model.get_weights(), before)


def test_no_audit_is_asked_for_and_nothing_by_patient(shipped, arrays, tmp_path):
    recipe = recipe_of(IMAGE, seeds=[0])
    assert check_training(recipe, arrays, folder=tmp_path / "trained") == (0, 1)
    # The same folder, named as one, has nothing by which it could be audited.
    named = recipe.override({"start_from": [str(shipped / IMAGE_FOLDER)]})
    with pytest.raises(ArtefactError, match=r"oof\.parquet"):
        train(named, arrays, tmp_path / "trained", progress=False)


def test_training_starts_there_and_again_where_the_model_is_another(shipped, arrays, tmp_path, monkeypatch):
    folder = tmp_path / "run" / "trained"
    recipe = recipe_of(IMAGE, seeds=[0], stages=[{"epochs": 1, "steps": 1, "rates": [1e-9]}], batch=4)
    train(recipe, arrays, folder, progress=False)
    manifest = read_manifest(folder)
    assert "from synthetic" in manifest.inputs
    trained, source = TrainedFolder.open(folder), weights_of(shipped / IMAGE_FOLDER)
    for fold in (0, 1):
        ours = part(trained.network(trained.weights(fold)[0]), "convnet_small")
        kernels = [weight for weight in ours if weight.ndim == 4]
        theirs = [weight for weight in part(source, "convnet_small") if weight.ndim == 4]
        for one, other in zip(kernels, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    train(recipe, arrays, folder, progress=False)
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp, "nothing is done twice"
    monkeypatch.setitem(SHIPPED, "synthetic", make_shipped(tmp_path / "newer", seed=3))
    train(recipe, arrays, folder, progress=False)
    assert read_manifest(folder).inputs["from synthetic"] != manifest.inputs["from synthetic"]
    assert read_manifest(folder).outputs["fold-0.weights.h5"] != manifest.outputs["fold-0.weights.h5"]


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        lambda root: shutil.rmtree(root / IMAGE_FOLDER),
        lambda root: (root / IMAGE_FOLDER / "fold-0-seed-0.weights.h5").write_bytes(b"torn"),
        lambda root: (root / WAVES_FOLDER / "fold-0.weights.h5").unlink(),
    ],
)
def test_a_damaged_package_is_told_before_anything_is_trained(shipped, arrays, tmp_path, spoil):
    spoil(shipped)
    with pytest.raises(PackageError, match="built-in model 'synthetic' is "):
        train(recipe_of(IMAGE), arrays, tmp_path / "trained", progress=False)
    assert not (tmp_path / "trained").exists()


def test_plans_of_a_notebook_keep_the_name_where_something_fits(shipped, tmp_path):
    image = recipe_of(IMAGE)
    other = image.override({"backbone": "convnet_frequency", "model_options": {}})
    plans = start_fusions({"image": image, "other": other})
    assert plans["image"].start_from == ("synthetic",) and plans["other"].start_from == ()
    with pytest.raises(ConfigError, match="no network of the built-in model fits"):
        start_fusions({"other": other})


def test_what_a_stage_read_holds_the_models_files(shipped, tmp_path):
    recipe_of(IMAGE).save(tmp_path / "own.toml")
    parameters = {"recipe": str(tmp_path / "own.toml")}
    stage = SimpleNamespace(notebook=SimpleNamespace(name=EFFICIENTNET))
    assert plans_of(EFFICIENTNET, parameters).first.start_from == ("synthetic",)
    before = _named_files(stage, parameters, tmp_path)
    key = next(name for name in before if name.endswith(": synthetic"))
    (shipped / IMAGE_FOLDER / "fold-0-seed-1.weights.h5").write_bytes(b"another")
    assert _named_files(stage, parameters, tmp_path)[key] != before[key]


def test_a_network_of_ones_own_with_the_parts_name_is_judged_by_its_shapes(shipped):
    def namesake(shape):
        return build_model("convnet_small", inputs="eeg", downsample=1, shape=shape, filters=(2, 3)).layers[1]

    register_model("own_namesake", namesake)
    model = started(recipe_of({**IMAGE, "backbone": "own_namesake", "model_options": {}}))
    assert_same(part(model, "convnet_small"), part(weights_of(shipped / IMAGE_FOLDER), "convnet_small"))
