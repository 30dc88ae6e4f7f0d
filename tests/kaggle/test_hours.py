"""The plan of hours: what is added up, from which speeds, and that the text says what the function does."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hbaclib.artefacts import write_json
from hbaclib.cli.main import main
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.kaggle.hours import LONGEST, NetworkHours, fit_images, pooled_hours, suite_hours, total_hours
from hbaclib.kaggle.speeds import AS_CODED, FROM_B0, LEVERS, Speed, Speeds
from hbaclib.suite.sizes import PARAMETERS
from hbaclib.suite.table import SuiteTable
from hbaclib.training.recipe import load_recipe
from tests.readme import hours
from tests.readme.hours import TEXTS, shown, stages
from tests.selftest.made import made, without

FULL = replace(SuiteTable().suite("full"), stages=stages())


def network(name: str, fits: int, hours: float, rounds: int = 1) -> NetworkHours:
    return NetworkHours(name, Speed(100.0, "made up"), 1000, fits, rounds, hours)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ([network("a", 5, 1.0)], 3.0),  # whole rounds: not two and a half
        ([network("a", 10, 0.5)], 2.5),
        ([network("a", 5, 1.0), network("b", 5, 1.0)], 5.0),  # pooled: one's half-empty round takes the other's first
        ([network("a", 1, 1.0)], 1.0),
        ([network("a", 5, 2.0), network("b", 4, 0.5)], 6.0),  # short ones fill what the long ones leave
        ([network("a", 2, 1.0, rounds=2)], 2.0),
        ([network("a", 1, 1.0, rounds=2)], 2.0),  # the second round waits for the first, though a device is free
        ([network("a", 1, 1.0, rounds=2), network("b", 1, 1.0)], 2.0),
        ([], 0.0),
    ],
)
def test_fits_share_two_devices_in_whole_rounds(networks, expected: float) -> None:
    assert pooled_hours(networks) == pytest.approx(expected)
    assert pooled_hours(networks, together=1.25) == pytest.approx(1.25 * expected)


def test_a_fit_computes_its_steps_and_what_lies_beside_them() -> None:
    recipe = load_recipe("gold")
    trained, beside = fit_images(recipe)
    # Four fifths of 20,180 and of 6,350, whole batches: 8 and 6 epochs.
    assert trained == (8 * (16_144 // 32) + 6 * (5_080 // 32)) * 32
    assert beside == (14 * (127 + 32) + 127 * 2) * 32  # validation, batch norm; both views at the end
    longer = recipe.override({"stages.0.epochs": 16})
    assert fit_images(longer)[0] - trained == 8 * (16_144 // 32) * 32


def test_fewer_samples_take_less() -> None:
    half = total_hours(suite_hours(FULL, samples=10_090))
    assert 0.4 * total_hours(suite_hours(FULL)) < half < 0.65 * total_hours(suite_hours(FULL))  # starts stay


def test_suite_full_fits_its_sessions_and_twenty_hours() -> None:
    kernels = suite_hours(FULL)
    assert total_hours(kernels) <= 20
    assert max(kernel.hours for kernel in kernels) <= LONGEST == 11.5
    assert [kernel.name for kernel in kernels if kernel.name.startswith("06")] == ["06_wavenet", "06_raw_eeg"]
    assert all(kernel.hours == 0 for kernel in kernels if not kernel.gpu)
    assert {kernel.fits for kernel in kernels if kernel.name.startswith("04")} == {10}


def test_every_network_has_a_speed_with_its_source_and_gains_at_their_lower_ends() -> None:
    assert set(PARAMETERS) <= {*FROM_B0, *AS_CODED, "resnet1d_gru"}
    speeds = Speeds()
    for kernel in suite_hours(FULL):
        for each in kernel.networks:
            assert each.speed.source and each.speed.images_per_second > 0
    assert all(1 < lever.gain < lever.most for lever in LEVERS)
    gold = load_recipe("gold")
    assert speeds.of(gold).images_per_second == pytest.approx(250 * 1.5 * 1.05)
    assert speeds.of(gold.override({"backbone": "efficientnet_b4"})).images_per_second == pytest.approx(90 * 1.5 * 1.05)
    assert speeds.of(gold.override({"batch": 64})).images_per_second == pytest.approx(250 * 1.5 * 1.05 * 1.2)
    mixed = gold.override({"augmentation.mixup": {"p": 1.0}})
    assert speeds.of(mixed).images_per_second == pytest.approx(250 * 1.5 * 1.05 * 1.1)
    gru = load_recipe("s3", batch=32)
    assert speeds.of(gru).images_per_second == pytest.approx(32 / 0.34)
    assert speeds.of(gru.override({"batch": 128})).images_per_second == pytest.approx(3 * 32 / 0.34)
    fused = load_recipe("s2")
    image = speeds.of(gold.override({"backbone": "efficientnet_v2_b2"})).images_per_second
    wave = speeds.of(gru.override({"backbone": "wavenet", "model_options": {}})).images_per_second
    assert speeds.of(fused).images_per_second == pytest.approx(1 / (1 / image + 1 / wave))


def test_a_network_of_the_users_own_is_planned_as_slow() -> None:
    from tests.training.tiny import tiny_recipe

    assert "user's own" in Speeds().of(tiny_recipe()).source


def test_a_self_test_takes_the_place_of_the_estimates() -> None:
    speeds, gold = Speeds(made()), load_recipe("gold")
    assert gold.xla == "off"

    def rate(name: str, **changes) -> float:
        return speeds.of(gold.override({"backbone": name, **changes})).images_per_second

    assert (rate("efficientnet_b0"), rate("efficientnet_b4")) == (400, 100)
    assert 100 < rate("efficientnet_b3") < rate("efficientnet_b2") < rate("efficientnet_b1") < 400
    assert rate("densenet201") == pytest.approx(400 / 3.4)
    assert "measured" in speeds.of(gold).source
    assert speeds.of(load_recipe("s2")).images_per_second == 50
    halves = Speeds(without(made(), "efficientnet_v2_b2_wavenet"))  # that failed: its two networks in turn
    assert halves.of(load_recipe("s2")).images_per_second == pytest.approx(1 / (1 / 200 + 1 / 80))
    assert speeds.together == pytest.approx(2 / 1.6) and speeds.start_seconds == 60
    fewer = Speeds(without(made(), "resnet1d_gru"))
    assert "estimate" in fewer.of(load_recipe("s3")).source  # a row that failed has its estimate
    assert total_hours(suite_hours(FULL, speeds)) != total_hours(suite_hours(FULL))


def test_what_xla_gains_counts_where_a_recipe_asks_for_it() -> None:
    apply, full = load_recipe("gold", xla="apply"), load_recipe("gold", xla="full")
    assert Speeds(made()).of(apply).images_per_second == 500
    assert Speeds(made()).of(full).images_per_second == 400  # the library keeps the faster one
    assert Speeds(without(made(), "efficientnet_b0", "apply")).of(apply).images_per_second == 400
    assert Speeds().of(apply).images_per_second == pytest.approx(250 * 1.5 * 1.05 * 1.2)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            made(device="cpu", machine=replace(made().machine, gpus=())),
            "measured on a CPU, in small, expected on the T4s",
        ),
        (made(machine=replace(made().machine, gpus=("NVIDIA H200, 143771 MiB",))), "measured on NVIDIA H200"),
    ],
)
def test_another_machines_self_test_plans_nothing(found, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Speeds(found)


def test_files_that_are_no_self_test_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="make it with notebook 09_selftest"):
        Speeds.read(tmp_path / "none.json")
    write_json(tmp_path / "other.json", {**asdict(made()), "colour": "blue"})
    with pytest.raises(ArtefactError, match=r"other\.json.*colour"):
        Speeds.read(tmp_path / "other.json")
    write_json(tmp_path / "good.json", asdict(made()))
    assert Speeds.read(tmp_path / "good.json").measured == made()
    assert Speeds.read(None).measured is None


def test_split_folds_are_planned_for_themselves() -> None:
    from hbaclib.kaggle.build import split_folds

    whole = {kernel.name: kernel for kernel in suite_hours(FULL)}
    parts = {kernel.name: kernel for kernel in suite_hours(split_folds(FULL, 2, 5))}
    name = "04_train_efficientnet-b4"
    assert (parts[f"{name}-part1"].fits, parts[name].fits) == (6, 4)
    assert parts[f"{name}-part1"].hours < whole[name].hours


@pytest.mark.parametrize("path", list(TEXTS), ids=lambda path: str(path.name))
def test_the_text_says_what_the_function_does(path: Path) -> None:
    assert shown(path) == TEXTS[path](), "run python -m tests.readme.hours"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SAMPLES", {1: 10_000, 10: 5_000}, "8 x 8,000 images in its first stage and 6 x 4,000 in its second"),
        ("SAMPLES", {1: 10_000, 10: 5_000}, "four fifths of 10,000 samples, and of the 5,000 with"),
        ("START_SECONDS", 60.0, "60 s for a process that starts"),
        ("SESSION_START", 0.25, "15 minutes a session"),
        ("FROM_B0", {**FROM_B0, "resnet50_v2": (7.5, "")}, "ResNet50V2 (7.5 times B0's step) and DenseNet201 (3.4)"),
        ("FROM_B0", {**FROM_B0, "densenet201": (2.0, "")}, "DenseNet201 (2)"),
        ("fit_images", lambda recipe: (1_234_567, 0), "in whole batches 1,234,567"),
    ],
)
def test_the_words_around_the_tables_follow_the_plans_assumptions(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, words: str
) -> None:
    before = hours.text()
    monkeypatch.setattr(hours, name, value)
    after = " ".join(hours.text().split())
    assert words in after and words not in " ".join(before.split())


@pytest.mark.parametrize(
    ("stage", "parameters", "words"),
    [
        ("04_train_efficientnet-b2", {"batch": 0}, "B0 and B1 take steps of 64 rows"),
        ("04_train_efficientnet-b3", {"batch": 64}, "recipe `gold` has 32, as B4 keep them"),
        ("06_wavenet", {"epochs": [8]}, "in one round and eight epochs"),
        ("05_kerascv", {"backbones": ["efficientnet_v2_b2", "mobilenet_v3_large"]}, "joined with none"),
    ],
)
def test_the_words_follow_the_suite(
    monkeypatch: pytest.MonkeyPatch, stage: str, parameters: dict[str, object], words: str
) -> None:
    changed = [
        replace(each, parameters={**each.parameters, **parameters}) if each.name == stage else each for each in stages()
    ]
    monkeypatch.setattr(hours, "stages", lambda: tuple(changed))
    assert words in " ".join(hours.text().split())


def test_what_is_left_out_for_the_hours_is_told_with_the_hours_of_the_former_set() -> None:
    kernels = {kernel.name: kernel for kernel in hours.former()}
    assert set(kernels) == {stage.name for stage in stages()} - {"06_wavenet"}
    assert {network.name for network in kernels["05_kerascv"].networks} == {
        "efficientnet_v2_b2", "mobilenet_v3_large", "efficientnet_v2_b2_wavenet", "mobilenet_v3_large_wavenet"
    }  # fmt: skip
    assert {network.rounds for network in kernels["06_raw_eeg"].networks} == {2}
    assert kernels["06_raw_eeg"].networks[0].name == "wavenet" and kernels["06_raw_eeg"].fits == 30
    assert total_hours(kernels.values()) > 20 >= total_hours(suite_hours(FULL))
    said = " ".join(hours.text().split())
    assert f"adds up {total_hours(kernels.values()):.1f} h in place of {total_hours(suite_hours(FULL)):.1f}" in said


def test_the_command_refuses_a_self_test_of_a_cpu_and_changes_nothing(tmp_path: Path) -> None:
    cpu = made(device="cpu", machine=replace(made().machine, gpus=()))
    write_json(tmp_path / "selftest.json", asdict(cpu))
    command = ["kaggle", "build", "--user", "someone", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*command, "--selftest", str(tmp_path / "selftest.json")])
    assert result.exit_code == 1 and "measured on a CPU" in result.output and not (tmp_path / "out").exists()
