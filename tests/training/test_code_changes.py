"""A change of the code trains again what it changes, and nothing else."""

from __future__ import annotations

import importlib.util
import linecache
from pathlib import Path

import numpy as np
import pytest

import hbaclib.training.cross_validate as module
from hbaclib import register_model
from hbaclib.conventions import PREDICTION_COLUMNS
from hbaclib.evaluation.oof import load_oof
from hbaclib.training.cross_validate import train
from tests.changed_source import changed_source
from tests.training.tiny import TinyArrays, tiny_recipe

NETWORK = """
import keras


def squash(x):
    return keras.layers.Activation("relu")(x)


def features(shape):
    given = keras.Input(shape)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(32)(given))
    return keras.Model(given, squash(keras.layers.Dense(6)(x)))
"""
RECIPE = {"backbone": "own", "stages": [{"epochs": 1}], "ema": 0.0, "batch_norm_batches": 0}


def register(folder: Path, text: str) -> None:
    """As a user's notebook or module does it, each time under the same names."""
    path = folder / "own.py"
    path.write_text(text)
    linecache.checkcache(str(path))
    spec = importlib.util.spec_from_file_location("own", path)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    exec(compile(text, str(path), "exec"), vars(loaded))
    register_model("own", loaded.features)


@pytest.mark.parametrize(("old", "new"), [('"relu"', '"tanh"'), ("Dense(6)", "Dense(6, use_bias=False)")])
def test_an_edited_network_of_the_same_name_is_trained_again(tmp_path: Path, old: str, new: str) -> None:
    arrays = TinyArrays()
    register(tmp_path, NETWORK)
    recipe = tiny_recipe(**RECIPE)
    folder = train(recipe, arrays, tmp_path / "trained", progress=False)
    first = load_oof([folder]).predictions
    register(tmp_path, NETWORK.replace(old, new))
    again = load_oof([train(recipe, arrays, folder, progress=False)]).predictions
    fresh = load_oof([train(recipe, arrays, tmp_path / "fresh" / "trained", progress=False)]).predictions
    assert np.abs(again - first).max() > 1e-4
    np.testing.assert_array_equal(again, fresh)
    assert first.shape[-1] == len(PREDICTION_COLUMNS)


@pytest.mark.parametrize(
    ("name", "old", "new", "trained_again"),
    [
        ("plots/scores.py", "ACCENT", "INK", False),
        ("plots/network_boxes.py", "LONGEST = 20", "LONGEST = 21  # a comment", False),
        ("training/losses.py", '"""What training minimises', '"""Another word on what training minimises', False),
        ("training/losses.py", "FULL_WEIGHT_VOTES = 20", "FULL_WEIGHT_VOTES = 21", True),
    ],
)
def test_a_picture_trains_nothing_again_and_the_loss_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str, trained_again: bool
) -> None:
    arrays, recipe, asked = TinyArrays(), tiny_recipe(), []

    def run_fit(fit, *further, **named):
        asked.append(fit.name)
        raise InterruptedError

    with changed_source(tmp_path) as changed:
        folder = train(recipe, arrays, tmp_path / "trained", progress=False)
        changed.change(name, old, new)
        monkeypatch.setattr(module, "run_fit", run_fit)
        if trained_again:
            with pytest.raises(InterruptedError):
                train(recipe, arrays, folder, progress=False)
        else:
            train(recipe, arrays, folder, progress=False)
    assert bool(asked) is trained_again
