import copy
import pickle
from dataclasses import FrozenInstanceError

import joblib
import pytest

from hbaclib.errors import ConfigError
from hbaclib.training.recipe import load_recipe, recipe_names
from tests.training.tiny import tiny_recipe


def test_every_shipped_recipe_loads_and_survives_toml(tmp_path):
    assert {"demo", "gold", "s1", "smoke"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        again = load_recipe(recipe.save(tmp_path / f"{name}.toml"))
        assert again == recipe and again.digest == recipe.digest
        assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_s1_is_the_seed_system():
    recipe = load_recipe("s1")
    (stage,) = recipe.stages
    assert (stage.epochs, stage.schedule, stage.rates) == (4, "step", (1e-3, 1e-3, 1e-4, 1e-5))
    assert (recipe.batch, recipe.sampling, recipe.layout) == (32, "non_overlapping", "tiled")
    assert set(recipe.augmentation) == {"horizontal_flip", "coarse_dropout"}
    assert recipe.augment_with == "albumentations"


def test_gold_follows_the_evidence():
    recipe = load_recipe("gold")
    assert [stage.min_votes for stage in recipe.stages] == [1, 10]
    assert {stage.vote_weights for stage in recipe.stages} == {"votes"}
    assert {stage.schedule for stage in recipe.stages} == {"cosine"} and all(s.warmup for s in recipe.stages)
    assert recipe.tta and not recipe.ema and recipe.sampling == "vote_groups" and len(recipe.seeds) > 1
    loudness = {"amplitude", "electrode_gain", "noise"}
    assert set(recipe.augmentation) == loudness | {
        "left_right_swap",
        "time_flip",
        "xy_masking",
        "band_shift",
        "time_shift",
    }
    assert recipe.image == "absolute" and recipe.clip_norm and recipe.least_share
    assert load_recipe("demo").image == "absolute"
    assert {load_recipe(name).image for name in ("s0", "s1", "s2", "s3", "s3_image", "s4")} == {"pair"}


def test_digest_names_what_decides_and_nothing_else():
    recipe = tiny_recipe()
    assert tiny_recipe(name="another name").digest == recipe.digest
    assert tiny_recipe(**{"stages.1.epochs": 3}).digest != recipe.digest
    assert tiny_recipe(seeds=[1]).digest != recipe.digest


def test_recipe_is_frozen():
    recipe = load_recipe("s1", model_options={"wavenet": {"filters": [8, 16]}})
    before = recipe.digest
    with pytest.raises(FrozenInstanceError):
        recipe.batch = 3
    tables = (recipe.augmentation, recipe.augmentation["horizontal_flip"], recipe.model_options["wavenet"])
    for table in tables:
        with pytest.raises(TypeError, match="item assignment"):
            table["p"] = 0.9
        with pytest.raises(TypeError, match="item deletion"):
            del table["p"]
        assert not hasattr(table, "update") and not hasattr(table, "pop")
    with pytest.raises(TypeError, match="item assignment"):
        recipe.model_options["wavenet"]["filters"][0] = 4
    assert recipe.digest == before
    # What the recipe was made from, and what it gives away, are other tables.
    settings = {"horizontal_flip": {"p": 0.5}}
    own = load_recipe("s1", augmentation=settings)
    settings["horizontal_flip"]["p"] = own.to_dict()["augmentation"]["horizontal_flip"]["p"] = 0.9
    assert own.augmentation == {"horizontal_flip": {"p": 0.5}}


def test_equal_recipes_are_one_key_of_a_dict():
    for name in recipe_names():
        recipe = load_recipe(name)
        assert hash(recipe) == hash(load_recipe(name)) and {recipe: name}[load_recipe(name)] == name
    assert len({load_recipe(name) for name in recipe_names()}) == len(recipe_names())
    turned = {"horizontal_flip": {"p": 0.5}, "coarse_dropout": {"p": 0.5, "width": 8, "holes": 2}}
    one = load_recipe("s1", augmentation=turned)
    other = load_recipe("s1", augmentation={name: dict(reversed(turned[name].items())) for name in reversed(turned)})
    assert one == other and hash(one) == hash(other)


def test_recipe_travels_to_other_processes():
    recipe = load_recipe("s2")
    (far,) = joblib.Parallel(n_jobs=2)(joblib.delayed(copy.copy)(recipe) for _ in range(1))
    for again in (far, copy.deepcopy(recipe), pickle.loads(pickle.dumps(recipe))):
        assert again == recipe and hash(again) == hash(recipe) and again.digest == recipe.digest
        assert again.model_options["wavenet"] == recipe.model_options["wavenet"]
        with pytest.raises(TypeError, match="item assignment"):
            again.model_options["wavenet"]["kernel"] = 8


def test_tables_leave_a_recipe_as_plain_values():
    def kinds(value):
        yield type(value)
        for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from kinds(inside)

    for name in recipe_names():
        assert set(kinds(load_recipe(name).to_dict())) <= {dict, list, str, int, float, bool}


def test_file_and_overrides(tmp_path):
    path = load_recipe("demo").save(tmp_path / "mine.toml")
    assert load_recipe(path, batch=4, backbone="efficientnet_b2").batch == 4
    assert load_recipe(path).override({"stages.0.epochs": 1}).stages[0].epochs == 1
    assert load_recipe(path).override({"augmentation.time_flip": {"p": 1.0}}).augmentation["time_flip"] == {"p": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bacth": 3}, "'bacth' is unknown; did you mean batch"),
        ({"stages.0.epoch": 3}, "stage 1: key 'epoch' is unknown; did you mean epochs"),
        ({"stages.7.epochs": 3}, "leads nowhere"),
        ({"stages.0": {"epochs": 1}}, "leads into no table"),
        ({"batch.x": 1}, "leads into no table"),
        ({"batch": 0}, "batch is 0, expected at least 1"),
        ({"batch": "8"}, "batch is '8', expected a value of type int"),
        ({"batch": True}, "batch is True"),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"stages": []}, "at least one stage"),
        ({"stages": 3}, "expected a list of tables"),
        ({"stages": [{}]}, "'epochs' is missing"),
        ({"layout": "round"}, "one of stem, tiled"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"seeds": []}, "different numbers"),
        ({"tta": ["up"]}, "one of left_right_swap"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0"),
        ({"least_share": 0.2}, "least_share is 0.2, expected 0 <= value < 1/6"),
        ({"ema": 0.9, "batch_norm_batches": 0}, "averaged weights have no batch-norm statistics"),
        ({"augmentation": {"cutmix": {}}}, "augmentation 'cutmix' is unknown"),
        ({"augmentation": {"time_flip": {"q": 1}}}, "augmentation.time_flip.q is unknown"),
        ({"augmentation": {"time_flip": {"p": 2}}}, "expected a probability"),
        ({"augmentation": {"time_shift": {"most": 0.5}}}, "whole number"),
        ({"augment_with": "albumentations"}, "only coarse_dropout, horizontal_flip"),
        ({"stages.0.warmup": 3}, "0 to the 2 epochs"),
        ({"stages.0.rates": [0]}, "positive numbers"),
        ({"filter_order": 0}, "filter_order is 0, expected 1 to 10"),
        ({"filter_order": 11}, "filter_order is 11, expected 1 to 10"),
        ({"filter_order": 2.5}, "filter_order is 2.5, expected a value of type int"),
        ({"low_pass": 100, "crop_seconds": 10}, "0 < value < 100 Hz, the Nyquist frequency of the signals at 200 Hz"),
        ({"low_pass": 0, "crop_seconds": 10}, "low_pass is 0.0, expected 0 < value"),
        ({"low_pass": 20}, "low_pass is 20.0, expected 16 without crop_seconds"),
    ],
)
def test_faults_are_named(changes, message):
    with pytest.raises(ConfigError) as caught:
        tiny_recipe(**changes)
    assert message in str(caught.value)


def test_filters_are_keys_of_the_recipe():
    recipe = load_recipe("s3")
    assert (recipe.band, recipe.low_pass, recipe.filter_order) == ((), 16.0, 4)
    other = load_recipe("s3", crop_seconds=10, low_pass=20, filter_order=6)
    assert (other.low_pass, other.filter_order) == (20.0, 6)
    assert other.digest != load_recipe("s3", crop_seconds=10).digest


def test_unknown_recipes(tmp_path):
    with pytest.raises(ConfigError, match="recipe 'gild' is unknown; did you mean gold"):
        load_recipe("gild")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"bad\.toml: not TOML"):
        load_recipe(tmp_path / "bad.toml")
