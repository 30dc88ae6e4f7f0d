"""Two rounds of training: the second's labels come from the first, and only where the recipe asks for them."""

import os

import pandas as pd
import pytest

from hbaclib.artefacts import read_manifest
from hbaclib.prediction.networks import train_networks
from hbaclib.prediction.pseudo_labels import make_pseudo_labels
from hbaclib.prediction.rounds import round_folders
from hbaclib.training.cross_validate import train
from hbaclib.training.targets import LABELS
from hbaclib.training.trained_folder import TrainedFolder
from tests.training.tiny import TinyArrays, tiny_recipe


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays()


def quick(**changes):
    return tiny_recipe(stages=[{"epochs": 1, "steps": 2}], ema=0.0, batch_norm_batches=0, **changes)


def in_rounds(recipe, arrays, folder, **options):
    """One network, in this process."""
    found = train_networks({"tiny": recipe}, arrays, {"tiny": folder}, progress=False, **options)
    found.raise_errors()
    assert {*found.table["state"]} == {"finished"}
    return found.table


def test_two_rounds_are_those_made_by_hand(arrays, tmp_path):
    recipe = quick(pseudo_weight=0.5, pseudo_up_to=5)
    folder = tmp_path / "06_train_tiny"
    table = in_rounds(recipe, arrays, folder)
    before, labels = round_folders(folder)
    assert (before.name, labels.name) == ("06_first_round_tiny", "06_pseudo_labels_tiny")
    assert list(table["network"]) == [before.name] * 2 + [labels.name] + [folder.name] * 2
    assert TrainedFolder.open(folder).recipe == recipe
    assert TrainedFolder.open(before).recipe == recipe.override({"pseudo_weight": 0.0})
    fits = read_manifest(before).facts["fits"] | read_manifest(folder).facts["fits"]
    assert {fit["process"] for fit in fits.values()} == {os.getpid()}

    first = train(quick(), arrays, tmp_path / "first", progress=False)
    made = make_pseudo_labels([first], arrays, tmp_path / "labels", up_to=5)
    second = train(recipe, arrays, tmp_path / "second", pseudo_labels=made, progress=False)
    for ours, theirs, name in [
        (before, first, "oof.parquet"),
        (labels, made, LABELS),
        (folder, second, "oof.parquet"),
    ]:
        pd.testing.assert_frame_equal(pd.read_parquet(ours / name), pd.read_parquet(theirs / name))
    assert not pd.read_parquet(folder / "oof.parquet").equals(pd.read_parquet(before / "oof.parquet"))


@pytest.mark.parametrize(("weight", "wanted"), [(0.0, True), (0.5, False)])
def test_one_round_where_no_pseudo_labels_are_wanted(arrays, tmp_path, weight, wanted):
    folder = tmp_path / "06_train_tiny"
    in_rounds(quick(pseudo_weight=weight), arrays, folder, folds=[1], pseudo_labels=wanted)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["06_train_tiny"]
    assert read_manifest(folder).facts["folds"] == [1]
    assert TrainedFolder.open(folder).recipe.pseudo_weight == 0


def test_names_of_any_folder(tmp_path):
    assert [path.name for path in round_folders(tmp_path / "mine")] == ["first_round_mine", "pseudo_labels_mine"]
