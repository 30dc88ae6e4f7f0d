"""Recipes fitted to an occasion: every shipped one takes fewer epochs, weights that lack are told, starts fit parts."""

import numpy as np
import pytest

from hbaclib.artefacts import write_manifest
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.training.adapt import missing_weights, on_folds_of, start_fusions, with_epochs
from hbaclib.training.recipe import load_recipe, recipe_names
from hbaclib.training.schedules import learning_rates
from tests.training.tiny import TinyArrays


@pytest.mark.parametrize("epochs", [[1], [4, 1], [1, 1, 1]])
@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_takes_other_epochs(name, epochs):
    recipe = load_recipe(name)
    changed = with_epochs(recipe, epochs)
    assert len(changed.stages) == len(recipe.stages)
    for number, stage in enumerate(changed.stages):
        before = recipe.stages[number]
        assert stage.epochs == (epochs[number] if number < len(epochs) else before.epochs)
        assert stage.warmup == pytest.approx(before.warmup * stage.epochs / before.epochs)
        rates = learning_rates(stage, 5)
        assert rates.shape == (stage.epochs, 5) and np.isfinite(rates).all() and rates.max() > 0
        assert rates.max() <= max(before.peak, *before.rates)
    assert with_epochs(recipe, []) == recipe
    assert with_epochs(recipe, [stage.epochs for stage in recipe.stages]) == recipe


@pytest.mark.parametrize("count", [2, 4, 7, 26])
@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).stages[0].schedule == "cosine"])
def test_a_schedule_of_other_length_ends_at_its_floor(name, count):
    """Whatever the number of epochs: a climb, and a fall down to the lowest rate, not a stop at the peak."""
    recipe = load_recipe(name)
    for place, stage in enumerate(with_epochs(recipe, [count] * len(recipe.stages)).stages):
        rates, whole = (learning_rates(one, 200).ravel() for one in (stage, recipe.stages[place]))
        # Within an epoch the rate falls step by step: the last step is a step from the floor, as in the whole schedule.
        assert rates[-1] == pytest.approx(stage.floor, abs=1e-3 * stage.peak)
        assert whole[-1] == pytest.approx(stage.floor, abs=1e-3 * stage.peak)
        if count >= 4:
            assert rates.max() > 0.95 * stage.peak and rates.argmax() < len(rates) / 2


def test_four_epochs_of_the_ramped_schedule():
    (stage,) = with_epochs(load_recipe("s4"), [4]).stages
    rates = learning_rates(stage, 5)[:, 0]
    assert rates[0] == 5e-5 and rates[1] > 0.95 * stage.peak and rates[-1] == pytest.approx(stage.floor)
    assert (np.diff(rates[1:]) < 0).all()


@pytest.mark.parametrize("count", [0, -2])
def test_no_stage_without_epochs(count):
    with pytest.raises(ConfigError, match="at least 1"):
        with_epochs(load_recipe("s4"), [count])


def test_folds_are_those_of_the_data(capsys):
    recipe, inputs = load_recipe("demo"), TinyArrays()
    number = inputs.folds.nunique()
    for given in (number, number + 3):
        assert on_folds_of(recipe.override({"folds": given}), inputs) == recipe.override({"folds": number})
        assert (f"recipe demo: {number} folds, as the data have, in place of" in capsys.readouterr().out) == (
            given != number
        )


def test_missing_weights_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert "MobileNetV3Backbone" in missing_weights(load_recipe("s4"))
    assert "efficientnet-b0" in missing_weights(load_recipe("s3_image"))
    assert missing_weights(load_recipe("s4", weights="")) == ""
    assert missing_weights(load_recipe("s3")) == ""  # a family without published weights
    own = tmp_path / "efficientnet-b0_notop.h5"
    own.write_bytes(b"")
    assert "not a legacy Keras weight file" in missing_weights(load_recipe("s3_image", weights=str(own)))


def trained(folder, recipe):
    """What a trained folder tells of itself, without its networks."""
    recipe.save(folder / "recipe.toml")
    write_manifest(folder, "train", inputs={}, parameters={"recipe": recipe.to_dict()}, outputs=["recipe.toml"])
    return str(folder)


def test_only_fusions_start_from_their_parts(tmp_path):
    base = load_recipe("s2", model_options={}, weights="")
    image = trained(tmp_path / "image", base.override({"backbone": "mobilenet_v3_large"}))
    waves = trained(tmp_path / "waves", load_recipe("s3", backbone="wavenet", model_options={}))
    names = ("mobilenet_v3_large", "resnet50_v2", "mobilenet_v3_large_wavenet", "resnet50_v2_wavenet")
    plans = {name: base.override({"backbone": name, "start_from": [image, waves]}) for name in names}
    starts = {name: plan.start_from for name, plan in start_fusions(plans).items()}
    assert starts == {
        "mobilenet_v3_large": (),
        "resnet50_v2": (),
        "mobilenet_v3_large_wavenet": (image, waves),
        "resnet50_v2_wavenet": (waves,),
    }
    other = {name: plan for name, plan in plans.items() if not name.startswith("mobilenet")}
    with pytest.raises(ConfigError, match="'mobilenet_v3_large', which is a part of none of resnet50_v2_wavenet"):
        start_fusions(other)
    alone = {"resnet50_v2": plans["resnet50_v2"]}
    assert start_fusions(alone)["resnet50_v2"].start_from == ()
    with pytest.raises(ArtefactError):
        start_fusions({name: plan.override({"start_from": [str(tmp_path / "none")]}) for name, plan in plans.items()})
