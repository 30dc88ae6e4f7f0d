"""The README's ten lines that add a network: run as they stand there, built, trained, held to the contract."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import build_model, model_names
from hbaclib.artefacts import read_manifest
from hbaclib.conventions import PREDICTION_COLUMNS
from hbaclib.errors import ConfigError
from hbaclib.models import registry
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import load_recipe
from tests.models.contract import check_contract
from tests.training.tiny import TinyArrays

README = Path(__file__).parents[2] / "README.md"
NAME = "two_convolutions"


def readme_block() -> str:
    """The README's one Python block that registers a network."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "register_model(" in block]
    return block


@pytest.fixture
def registered(monkeypatch):
    """The registry as the block leaves it, for one test."""
    before = model_names()
    # Its own dict: what the block adds is gone behind the test.
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    exec(compile(readme_block(), str(README), "exec"), {"__name__": "readme"})
    assert set(model_names()) - set(before) == {NAME}


def test_the_block_is_as_short_as_promised():
    lines = [line for line in readme_block().splitlines() if line.strip()]
    # The last of all is how the network is used.
    assert f'register_model("{NAME}"' in lines[-2] and len(lines) <= 10


def test_contract(registered):
    check_contract(build_model(NAME, shape=(64, 96, 8)), [(64, 96, 8)])
    assert build_model(NAME, filters=4).get_layer("head").input.shape == (None, 8)


def test_it_trains_with_a_shipped_recipe(registered, tmp_path):
    # As the block's last line says it.
    assert f'load_recipe("demo", backbone="{NAME}")' in readme_block()
    recipe = load_recipe("demo", backbone=NAME)
    stages = range(len(recipe.stages))
    short = {f"stages.{k}.{key}": value for k in stages for key, value in (("epochs", 1), ("steps", 1), ("warmup", 0))}
    recipe = recipe.override({**short, "batch": 4, "batch_norm_batches": 1, "model_options": {"filters": 4}})
    arrays = TinyArrays(n=24, patients=8, folds=2)
    folder = train(recipe, arrays, tmp_path, progress=False)
    assert read_manifest(folder).facts["folds"] == [0, 1]
    history = pd.read_csv(folder / "history.csv")
    assert len(history) == 2 * len(stages) and np.isfinite(history["loss"]).all()
    oof = pd.read_parquet(folder / "oof.parquet")
    assert len(oof) == 24
    np.testing.assert_allclose(oof[list(PREDICTION_COLUMNS)].sum(axis=1), 1, atol=1e-5)


def test_it_is_gone_behind_the_tests():
    assert NAME not in model_names()
    with pytest.raises(ConfigError, match=f"model '{NAME}' is unknown"):
        build_model(NAME)
