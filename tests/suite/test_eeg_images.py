"""Which images stage 02 of a suite stores follows from the recipes; what lacks is told before the first stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hbaclib import load_recipe
from hbaclib.artefacts import write_manifest, write_text
from hbaclib.errors import ConfigError
from hbaclib.stages.names import EEG, EEG_IMAGES
from hbaclib.suite.eeg_images import check_images, seen_images
from hbaclib.suite.parameters import fill_parameters
from hbaclib.suite.plans import efficientnet_plans, kerascv_plans, raw_plans
from hbaclib.suite.runner import run_suite
from hbaclib.suite.table import Stage, Suite, SuiteTable

E04, E05, E06 = "04_train_efficientnet", "05_train_kerascv", "06_train_raw_eeg"


@pytest.fixture
def recipes(tmp_path: Path) -> dict[str, str]:
    """Recipes of either image, of the ten minutes alone, and on signals."""
    made = {
        "pair": load_recipe("smoke", name="pair", image="pair"),
        "absolute": load_recipe("smoke", name="absolute", image="absolute"),
        "eeg": load_recipe("smoke", name="eeg", inputs="eeg", image="absolute"),
        "kaggle": load_recipe("smoke", name="kaggle", inputs="kaggle", image="absolute"),
    }
    return {name: str(recipe.save(tmp_path / f"{name}.toml")) for name, recipe in made.items()}


def suite_of(**recipes: str) -> Suite:
    """Suite ``ci`` with recipes for its 04, 05 and 06, and without those that are not named."""
    suite = SuiteTable().suite("ci")
    stages = []
    for stage in suite.stages:
        number = f"of_{stage.notebook.name[:2]}"
        if number in recipes:
            stage = replace(stage, parameters={**stage.parameters, "recipe": recipes[number]})
        elif number in ("of_04", "of_05", "of_06"):
            continue
        stages.append(stage)
    return replace(suite, stages=tuple(stages))


def filled(suite: Suite, **given: Any) -> dict[str, dict[str, Any]]:
    return fill_parameters(suite, given, Path("/nowhere"), None)


def stored(suite: Suite, **given: Any) -> Any:
    return filled(suite, **given)[EEG].get("images")


def test_what_the_recipes_see_is_stored(recipes: dict[str, str]) -> None:
    assert stored(suite_of(of_04=recipes["pair"])) == ["pair"]
    assert stored(suite_of(of_04=recipes["absolute"])) == ["absolute"]
    assert stored(suite_of(of_04=recipes["eeg"], of_05=recipes["absolute"])) == ["absolute"]
    assert stored(suite_of(of_04=recipes["absolute"], of_05=recipes["pair"])) == ["pair", "absolute"]
    assert stored(suite_of(of_04=recipes["absolute"]), recipe=recipes["pair"]) == ["pair"]


def test_networks_without_an_image_of_the_eeg_need_the_least(recipes: dict[str, str]) -> None:
    assert stored(suite_of(of_06=recipes["absolute"])) == ["pair"]
    assert stored(suite_of(of_04=recipes["kaggle"], of_06=recipes["pair"])) == ["pair"]
    assert stored(suite_of(of_06=recipes["pair"]), image_half=recipes["absolute"]) == ["absolute"]


def test_every_suite_says_nothing_and_stores_what_is_seen() -> None:
    table = SuiteTable()
    for name in table.names():
        suite = table.suite(name)
        stage = next(stage for stage in suite.stages if stage.name == EEG)
        assert "images" not in stage.parameters
        values = filled(suite)
        assert values[EEG]["images"] == list(seen_images(suite, values) or ())
        assert set(values[EEG]["images"]) <= set(EEG_IMAGES)
        check_images(suite, values)


def test_who_names_images_gets_them(recipes: dict[str, str]) -> None:
    suite = suite_of(of_04=recipes["pair"])
    assert stored(suite, images=["absolute", "pair"]) == ["absolute", "pair"]
    own = [replace(each, parameters={"images": ["absolute"]}) if each.name == EEG else each for each in suite.stages]
    assert stored(replace(suite, stages=tuple(own))) == ["absolute"]
    assert stored(replace(suite, stages=tuple(own)), images=["pair"]) == ["pair"]


def test_where_nobody_can_know_the_notebooks_default_holds(recipes: dict[str, str]) -> None:
    assert stored(suite_of()) is None
    suite = suite_of(of_04=recipes["pair"])
    training = next(stage for stage in suite.stages if stage.notebook.name == E04)
    foreign = Stage("09_mine", replace(training.notebook, name="09_mine"), {}, training.after)
    assert stored(replace(suite, stages=(*suite.stages, foreign))) is None
    check_images(replace(suite, stages=(*suite.stages, foreign)), filled(suite) | {"09_mine": {}, EEG: {}})


def test_an_unnamed_recipe_may_be_either(monkeypatch: pytest.MonkeyPatch, recipes: dict[str, str]) -> None:
    """On a CPU the demo's, on a GPU the notebook's own: the build and the run may be on different machines."""
    monkeypatch.setattr("hbaclib.suite.eeg_images.GOLD", {E04: recipes["absolute"], E05: "", E06: ""})
    suite = suite_of(of_04="")
    of_demo = load_recipe("demo").image
    assert stored(suite) == [image for image in EEG_IMAGES if image in ("absolute", of_demo)]


@pytest.mark.parametrize("fault", [{"recipe": "glod"}, {"weights": 3}, {"05_kerascv.backbones": 7}])
def test_recipes_that_cannot_be_made_are_told_elsewhere(fault: dict[str, Any], recipes: dict[str, str]) -> None:
    suite = suite_of(of_04=recipes["pair"], of_05=recipes["pair"])
    values = filled(suite, **fault)
    assert values[EEG]["images"] == ["pair"]
    check_images(suite, values)


def test_what_lacks_is_told_for_every_stage(recipes: dict[str, str]) -> None:
    suite = suite_of(of_04=recipes["absolute"], of_05=recipes["pair"], of_06=recipes["absolute"])
    values = filled(suite, images=["pair"])
    with pytest.raises(ConfigError) as told:
        check_images(suite, values)
    (line,) = str(told.value).splitlines()
    assert line == (
        "suite ci: 04_train_convnet-small: recipe 'absolute' sees image 'absolute', and 02_eeg_spectrograms holds pair "
        'alone; say -p \'02_eeg_spectrograms.images=["pair", "absolute"]\', or name no images: then those are stored '
        "that the recipes see"
    )
    values[EEG]["images"] = ["absolute"]
    with pytest.raises(ConfigError, match="05_kerascv: recipe 'pair' sees image 'pair'"):
        check_images(suite, values)
    values[EEG]["images"] = ["absolute", "pair"]
    check_images(suite, values)


def test_nothing_is_left_of_a_refused_run(tmp_path: Path, recipes: dict[str, str]) -> None:
    given = {f"{EEG}.images": ["pair"], f"{E04}.recipe": recipes["absolute"]}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="sees image 'absolute'"):
        run_suite("smoke", out=tmp_path / "out", parameters=given)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_finished_stage_in_place_of_the_suites_own(tmp_path: Path, recipes: dict[str, str]) -> None:
    suite = suite_of(of_04=recipes["absolute"])
    values = filled(suite)
    write_text(tmp_path / EEG / "eeg_spectrograms.npy", "pair")
    write_manifest(tmp_path / EEG, EEG, inputs={}, parameters={}, outputs=["eeg_spectrograms.npy"])
    with pytest.raises(ConfigError, match=r"recipe 'absolute' sees image 'absolute', and .*/02_eeg_spectrograms holds"):
        check_images(suite, values, tmp_path)
    write_text(tmp_path / EEG / "eeg_absolute.npy", "absolute")
    files = ["eeg_spectrograms.npy", "eeg_absolute.npy"]
    write_manifest(tmp_path / EEG, EEG, inputs={}, parameters={}, outputs=files)
    check_images(suite, values, tmp_path)


def test_what_plans_see(recipes: dict[str, str]) -> None:
    assert efficientnet_plans(recipes["eeg"]).eeg_images == {"absolute": "eeg"}
    assert efficientnet_plans(recipes["kaggle"]).eeg_images == {}
    assert efficientnet_plans("s0").eeg_images == {}  # the starter's image is of the ten minutes
    assert kerascv_plans(recipes["absolute"], ["mobilenet_v3_large"]).eeg_images == {"absolute": "absolute"}
    assert raw_plans(recipes["absolute"]).eeg_images == {}
    half = raw_plans("smoke", image_half=recipes["absolute"])
    assert half.eeg_images == {"absolute": "absolute"}
    assert half.lacking_images(["pair"]) == "recipe 'absolute' sees image 'absolute'"
    assert half.lacking_images(["pair", "absolute"]) == ""
