"""A shipped recipe that refines: it starts from a stage by its name, wherever that lies, and keeps averaged weights."""

import shutil

import h5py
import numpy as np
import pytest

from hbaclib import load_recipe, register_model, train
from hbaclib.artefacts import MANIFEST
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.training.cross_validate import check_training
from hbaclib.training.warm_start import start_folders
from tests.training.tiny import TinyArrays, tiny_features, tiny_recipe

FIRST = "04_train_efficientnet-b0"
SMALL = {"backbone": "refined_tiny", "sampling": "any", "folds": 2, "batch": 8, "stages.0.epochs": 2, "threads": 1}


def named_features(shape):
    import keras

    whole = tiny_features(shape)
    return keras.Model(whole.input, whole.output, name="part")


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays()


@pytest.fixture(scope="module")
def first(arrays, tmp_path_factory):
    """A run's output folder with what is refined."""
    register_model("refined_tiny", named_features, layouts=("stem",))
    out = tmp_path_factory.mktemp("run")
    stages = [{"epochs": 2, "rates": [1e-2]}]
    train(
        tiny_recipe(backbone="refined_tiny", seeds=[0, 1], stages=stages, ema=0.0),
        arrays,
        out / FIRST,
        progress=False,
    )
    return out


@pytest.fixture
def recipe():
    return load_recipe("refined").override(SMALL)


def values(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def distance(one, other):
    one, other = values(one), values(other)
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def test_it_refines_the_networks_beside_it(first, arrays, recipe, tmp_path):
    assert recipe.ema and recipe.start_from == (FIRST,) and not recipe.weights
    out = tmp_path / "run"
    shutil.copytree(first, out)
    # So low a rate that only the weights that it started from can be so near.
    still = recipe.override({"stages.0.rates": [1e-9]})
    train(still, arrays, out / "04_train_still", progress=False)
    refined = train(recipe, arrays, out / "04_train_refined", progress=False)
    for name in (f"fold-{fold}-seed-{seed}.weights.h5" for fold in (0, 1) for seed in (0, 1)):
        kernels = {key: value for key, value in values(out / FIRST / name).items() if value.ndim == 4}
        after = values(out / "04_train_still" / name)
        assert kernels and max(float(np.abs(after[key] - kernel).max()) for key, kernel in kernels.items()) < 1e-6
        assert distance(refined / name, out / FIRST / name) > 1e-3


def test_attached_or_beside_it_is_the_same_training(first, arrays, recipe, tmp_path, monkeypatch):
    mounts = tmp_path / "input"
    shutil.copytree(first / FIRST, mounts / "notebooks" / "someone" / "first" / FIRST)
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(mounts))
    folder = train(recipe, arrays, tmp_path / "run" / "04_train_refined", progress=False)
    before = (folder / MANIFEST).stat().st_mtime_ns
    shutil.move(mounts / "notebooks" / "someone" / "first" / FIRST, tmp_path / "run" / FIRST)
    assert train(recipe, arrays, folder, progress=False) == folder
    assert (folder / MANIFEST).stat().st_mtime_ns == before


@pytest.mark.parametrize("below", ["04_train_refined", "tune/trial-0003", "rounds/first/x"])
def test_a_stage_is_found_in_any_folder_above(first, recipe, below):
    assert start_folders(recipe, first / below) == {FIRST: first / FIRST}
    assert start_folders(recipe.override({"start_from": [str(first / FIRST)]}), "/") == {
        str(first / FIRST): first / FIRST
    }


def test_what_is_not_there_and_what_is_itself_are_refused(first, arrays, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match=FIRST):
        check_training(recipe, arrays, folder=tmp_path)
    shutil.copytree(first / FIRST, tmp_path / FIRST)
    before = {path.name: path.read_bytes() for path in (tmp_path / FIRST).iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match="the folder it trains; name another folder"):
        train(recipe, arrays, tmp_path / FIRST, progress=False)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / FIRST).iterdir() if path.is_file()}
