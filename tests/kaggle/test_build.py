"""What `hbac kaggle build` makes, what it refuses, and the check by the client's own rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from hbaclib.artefacts import write_manifest, write_text
from hbaclib.cli.main import main
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.kaggle import build as building
from hbaclib.kaggle.build import build, cell
from hbaclib.kaggle.check import check
from hbaclib.kaggle.datasets import ARRAY_STAGES, slug_of
from hbaclib.kaggle.plan import Plan, read_plan
from hbaclib.kaggle.wheels import installed_wheel
from hbaclib.models.lite_weights import INSTALL, REPEATS, find_lite, package_of
from hbaclib.suite import sizes
from hbaclib.suite.table import SuiteTable
from tests.suite.tiny_project import TABLE, make_project

ROOT = Path(__file__).parents[2]
KEYS = {
    "id", "title", "code_file", "language", "kernel_type", "is_private", "enable_gpu", "enable_tpu", "enable_internet",
    "machine_shape", "dataset_sources", "competition_sources", "kernel_sources", "model_sources", "keywords",
    "docker_image", "docker_image_pinning_type",
}  # fmt: skip


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    folder = tmp_path_factory.mktemp("smoke")
    return folder, build("smoke", user="someone", out=folder)


def project(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """A project of two notebooks with a changed table, and just enough of a library to make a wheel of."""
    root = make_project(tmp_path / "project")
    assert old in TABLE
    (root / "kaggle" / "suite.toml").write_text(TABLE.replace(old, new))
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    write_text(root / "hbaclib" / "__init__.py", '"""Stands for the library."""\n__version__ = "0"\n')
    return root


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_one_first_cell(path: Path) -> None:
    first = next(each for each in nbformat.read(path, as_version=4).cells if each.cell_type == "code")
    assert first.metadata["tags"] == ["bootstrap"]
    assert first.source == cell()


def test_slugs_are_those_of_the_client() -> None:
    from slugify import slugify

    table = SuiteTable()
    for name in table.names():
        suite = table.suite(name)
        for stage in suite.stages:
            title = building.kernel_title(suite, stage)
            assert slug_of(title) == slugify(title)


def test_every_key_of_the_metadata_is_written(smoke: tuple[Path, Plan]) -> None:
    folder, plan = smoke
    for kernel in plan.kernels:
        metadata = json.loads((folder / "kernels" / kernel.name / "kernel-metadata.json").read_text())
        assert set(metadata) == KEYS
        assert metadata["enable_internet"] is False
        assert metadata["competition_sources"] == []  # suite smoke makes its data itself
        assert metadata["dataset_sources"] == ["someone/hbac-wheels"]
        assert metadata["id"] == f"someone/{slug_of(metadata['title'])}"
        assert metadata["title"].endswith("smoke")


@pytest.mark.parametrize("public", [True, False])
def test_kernels_are_public_where_that_is_asked_for(tmp_path: Path, public: bool) -> None:
    plan = build("tiny", user="someone", out=tmp_path / "out", public=public, root=project(tmp_path))
    for kernel in plan.kernels:
        metadata = json.loads((tmp_path / "out" / "kernels" / kernel.name / "kernel-metadata.json").read_text())
        assert metadata["is_private"] is not public
    assert [each.public for each in plan.datasets] == [public] and plan.datasets[0].name == "wheels"
    assert read_plan(tmp_path / "out") == plan
    check(tmp_path / "out")


def test_plans_of_earlier_versions_are_still_read(tmp_path: Path) -> None:
    plan = build("tiny", user="someone", out=tmp_path / "out", root=project(tmp_path))
    content = json.loads((tmp_path / "out" / "plan.json").read_text())
    for row in (*content["kernels"], *content["datasets"]):
        del row["hours" if "hours" in row else "public"]
    write_text(tmp_path / "out" / "plan.json", json.dumps(content))
    assert read_plan(tmp_path / "out") == plan  # nothing trains there


def test_the_self_test_is_built_alone_and_accepted(tmp_path: Path) -> None:
    command = ["kaggle", "selftest", "--user", "someone", "--out", str(tmp_path / "out"), "--build-only"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "Kaggle's client accepts it" in result.output
    (kernel,) = read_plan(tmp_path / "out").kernels
    assert kernel.gpu and 0 < kernel.hours <= 0.25 and kernel.stage == "09_selftest"


def test_parameters_are_in_the_notebook_and_it_is_valid(smoke: tuple[Path, Plan]) -> None:
    folder, _ = smoke
    path = folder / "kernels" / "01_port_data" / "01_port_data.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    tags = [each.metadata.get("tags", []) for each in notebook.cells]
    number = tags.index(["parameters"])
    assert tags[number + 1] == ["injected-parameters"]
    values: dict[str, object] = {}
    exec(notebook.cells[number].source, values)
    assert values["n_folds"] == 5
    exec(notebook.cells[number + 1].source, values)
    assert (values["n_folds"], values["synthetic_patients"], values["out"]) == (2, 8, "")


def test_same_input_gives_the_same_bytes(smoke: tuple[Path, Plan], tmp_path: Path, built_anew: None) -> None:
    assert build("smoke", user="someone", out=tmp_path / "again") == smoke[1]
    assert read_plan(tmp_path / "again") == smoke[1]


def test_wheels_hold_the_library_and_state_their_licences(smoke: tuple[Path, Plan]) -> None:
    folder = smoke[0] / "datasets" / "wheels"
    wheel = next(folder.glob("hbaclib-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hbaclib").rglob("*.py")}
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hbaclib").rglob("*.toml")}
    assert package | recipes <= names
    assert not [name for name in names if {"tests", "__pycache__"} & set(name.split("/"))]
    assert not [name for name in names if name.rsplit("/", 1)[-1].startswith(("test_", "conftest"))]
    licences = (folder / "LICENSES.md").read_text()
    assert "| efficientnet | 1.1.1 | Apache Software License |" in licences
    for name in SuiteTable().wheels():
        assert f"| {name} |".replace("-", "_") in licences.lower().replace("-", "_")
    metadata = json.loads((folder / "dataset-metadata.json").read_text())
    assert len(metadata["licenses"]) == 1
    assert 20 <= len(metadata["subtitle"]) <= 80


def test_packed_wheel_installs_what_was_installed(tmp_path: Path) -> None:
    wheel = installed_wheel("tomli-w", tmp_path)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    subprocess.run([*command, str(tmp_path / "there"), str(wheel)], check=True, capture_output=True)
    import tomli_w

    here = Path(tomli_w.__file__).parent
    for path in (tmp_path / "there" / "tomli_w").glob("*.py"):
        assert path.read_bytes() == (here / path.name).read_bytes()


def test_weights_that_come_by_pip_travel_as_wheels(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extra = INSTALL.partition("[")[2].partition("]")[0]
    packages = [package.partition("==")[0] for package in project[extra]]
    assert packages == [package_of(variant) for variant in REPEATS]
    assert set(packages) <= set(SuiteTable().wheels())
    # Whoever builds for Kaggle, tests, or types what the README says first has them.
    assert all(f"hbaclib[{extra}]" in project[other] for other in ("kaggle", "test"))
    assert re.search(rf"^EXTRAS \?= .*\b{extra}\b", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wheel = installed_wheel(packages[0], tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".pth")]
        here = find_lite("efficientnet-lite0", "lite")
        assert archive.read(name) == here.read_bytes() and name.rpartition("/")[2] == here.name
    # The first cell asks for the module by the wheel's name.
    assert find_spec(wheel.name.split("-")[0].lower()) is not None


def test_compiled_or_missing_packages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"numpy: wheel tags .*, expected a pure-Python package"):
        installed_wheel("numpy", tmp_path)
    with pytest.raises(ConfigError, match=r"no-such-package: not installed here.* pip install"):
        installed_wheel("no-such-package", tmp_path)


def test_client_accepts_the_build(smoke: tuple[Path, Plan]) -> None:
    check(smoke[0])


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("01_port_data", {"title": "HBA"}, "Title must be at least five characters"),
        ("07_ensemble", {"title": "HBAC 7"}, "does not resolve to the specified id"),
        ("08_submit", {"dataset_sources": ["hbac-wheels"]}, "Dataset must be specified in the form"),
        ("08_submit", {"kernel_sources": ["someone/x"]}, "Kernel slug must be at least five characters"),
        ("08_submit", {"code_file": "no.ipynb"}, "Source file not found"),
        ("08_submit", {"language": "fortran"}, "A valid language must be specified"),
    ],
)
def test_check_finds_what_the_client_would_refuse(
    tmp_path: Path, smoke: tuple[Path, Plan], stage: str, changes: dict[str, object], message: str
) -> None:
    import shutil

    folder = Path(shutil.copytree(smoke[0], tmp_path / "build"))
    path = folder / "kernels" / stage / "kernel-metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ConfigError, match=message):
        check(folder)


@pytest.mark.parametrize("user", ["Some One", "", "some--one", "-someone", "someone/else", "Someone", "ärzte"])
def test_user_names_that_kaggle_never_gave(tmp_path: Path, user: str) -> None:
    with pytest.raises(ConfigError, match=r"user name .* expected it as in your profile's address"):
        build("smoke", user=user, out=tmp_path / "build")
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Second"', 'title = "First"', "slug 'first-tiny' is also that of stage 11_first; change a title"),
        ('title = "Second"', 'title = "second!"', None),
        ('title = "First"', f'title = "{"long " * 12}"', "expected 5 to 50 ASCII letters"),
        ('title = "First"', 'title = "Überblick"', "expected 5 to 50 ASCII letters"),
        ("after = []", 'after = ["12_second"]', "notebooks wait for each other"),
        ('notebook = "11_first"\nparameters = { value = 3 }', 'notebook = "12_second"\nname = "13_third"',
         "stage 12_second reads 11_first, which no stage of the suite runs"),
        ('notebook = "12_second"', 'notebook = "11_first"', "two stages write the folder 11_first"),
        ("value = 3", "valeu = 3", "no parameter 'valeu'; did you mean value"),
    ],
)  # fmt: skip
def test_faulty_suites_are_refused_before_anything_is_written(
    tmp_path: Path, old: str, new: str, message: str | None
) -> None:
    root = project(tmp_path, old, new)
    if message is None:
        build("tiny", user="someone", out=tmp_path / "build", root=root)
        return
    with pytest.raises(ConfigError, match=message):
        build("tiny", user="someone", out=tmp_path / "build", root=root)
    assert not (tmp_path / "build").exists()


def test_too_short_title_in_the_full_suite(tmp_path: Path) -> None:
    root = project(tmp_path, 'title = "First"', 'title = "A"')
    table = (root / "kaggle" / "suite.toml").read_text().replace("suites.tiny", "suites.full")
    (root / "kaggle" / "suite.toml").write_text(table)
    with pytest.raises(ConfigError, match="title 'A' of the kernel; expected 5 to 50"):
        build("full", user="someone", out=tmp_path / "build", root=root)


def test_faulty_library_shows_the_builders_words(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "pyproject.toml").write_text("[project")
    result = CliRunner().invoke(main, ["kaggle", "build", "tiny", "--user", "x", "--out", str(tmp_path / "build")],
                                env={"HBAC_PROJECT": str(root)})  # fmt: skip
    assert result.exit_code == 1
    assert "hbaclib's wheel cannot be built from" in result.output
    assert not (tmp_path / "build" / "plan.json").exists()


def test_arrays_take_the_place_of_the_first_kernels(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for stage in ARRAY_STAGES:
        write_text(run / stage / "array.npy", stage)
        write_manifest(run / stage, stage, inputs={}, parameters={}, outputs=["array.npy"])
    arguments = ["kaggle", "build", "--user", "someone", "--out", str(tmp_path / "build"), "--check"]
    result = CliRunner().invoke(main, [*arguments, "--dataset", "arrays", "--from", str(run)])
    assert result.exit_code == 0, result.output
    plan = read_plan(tmp_path / "build")
    assert [dataset.ref for dataset in plan.datasets] == ["someone/hbac-wheels", "someone/hbac-arrays"]
    assert [kernel.name[:2] for kernel in plan.kernels] == ["04"] * 5 + ["05", "06", "06", "07", "08"]
    folder = tmp_path / "build"
    for stage in ARRAY_STAGES:
        assert (folder / "datasets" / "arrays" / stage / "manifest.json").is_file()
    metadata = json.loads((folder / "kernels" / "04_train_efficientnet-b0" / "kernel-metadata.json").read_text())
    assert metadata["kernel_sources"] == []
    assert metadata["dataset_sources"] == ["someone/hbac-wheels", "someone/hbac-arrays"]
    write_text(run / ARRAY_STAGES[1] / "array.npy", "changed")
    with pytest.raises(ArtefactError, match=r"missing or changed since its manifest was written: array\.npy"):
        build(user="someone", out=folder, arrays=run)
    assert read_plan(folder) == plan  # the build before is still whole


def test_sizes_are_shown_and_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(main, ["kaggle", "build", "--user", "someone", "--out", str(tmp_path / "build")])
    assert result.exit_code == 0, result.output
    kernel = next(each for each in read_plan(tmp_path / "build").kernels if each.name == "02_eeg_spectrograms")
    size = sizes.show_bytes(kernel.bytes)
    assert re.search(rf"someone/hbac-02-eeg-spectrograms +CPU +writes at most {re.escape(size)}\n", result.output)
    assert "a session keeps 20.0 GB" in result.output
    monkeypatch.setattr(sizes, "LIMIT", 5_500_000_000)
    result = CliRunner().invoke(main, ["kaggle", "build", "--user", "someone", "--out", str(tmp_path / "small")])
    assert result.exit_code == 1
    assert f"02_eeg_spectrograms {size} written, a Kaggle session keeps 5.5 GB" in result.output
    assert not (tmp_path / "small").exists()


def test_size_of_stage_02_by_hand() -> None:
    stage = next(stage for stage in SuiteTable().suite("full").stages if stage.name == "02_eeg_spectrograms")
    counts = sizes.COMPETITION["vote_groups"]
    for images in (["pair"], ["absolute"], ["absolute", "pair"]):
        by_hand = 20_180 * (len(images) * 128 * 256 * 4 * 2 + 2000 * 8 * 2)
        assert sizes.stage_bytes(replace(stage, parameters={"images": images}), counts) == by_hand + sizes.SMALL


def test_check_refuses_a_kernel_that_writes_too_much(smoke: tuple[Path, Plan], tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(smoke[0], tmp_path / "build"))
    plan = json.loads((folder / "plan.json").read_text())
    plan["kernels"][1]["bytes"] = 20_000_000_001
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigError, match=r"build: 02_eeg_spectrograms 20\.0 GB written, a Kaggle session keeps 20\."):
        check(folder)


def test_plan_of_another_version_or_none(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="make it with `hbac kaggle build`"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text(
        json.dumps({"suite": "a", "user": "b", "competition": "", "datasets": [], "kernels": [], "schema": 9})
    )
    with pytest.raises(ArtefactError, match="schema version 9, this hbaclib reads version 1"):
        read_plan(tmp_path)


def test_from_goes_with_dataset(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["kaggle", "build", "--user", "a", "--out", str(tmp_path), "--from", "x"])
    assert result.exit_code == 2
    assert "--dataset and --from go together" in result.output


def test_folds_split_over_kernels(tmp_path: Path) -> None:
    plan = build("full", user="someone", out=tmp_path, parts=2)
    by_name = {kernel.name: kernel for kernel in plan.kernels}
    assert len(plan.kernels) == 18
    first, last = by_name["04_train_efficientnet-b4-part1"], by_name["04_train_efficientnet-b4"]
    assert first.stage == last.stage == "04_train_efficientnet-b4"
    assert last.after == (*first.after, first.name)
    assert first.name not in by_name["07_ensemble"].after
    notebook = nbformat.read(tmp_path / "kernels" / first.name / f"{first.name}.ipynb", as_version=4)
    values: dict[str, object] = {}
    exec(next(each.source for each in notebook.cells if "injected-parameters" in each.metadata.get("tags", [])), values)
    assert (values["folds"], values["stage"]) == ([0, 2, 4], "04_train_efficientnet-b4")
    with pytest.raises(ConfigError, match="folds split over 6 kernels, expected 1 to 5"):
        build("full", user="someone", out=tmp_path, parts=6)


def test_models_of_the_table_are_attached_to_their_kernel(tmp_path: Path) -> None:
    presets = ["keras/efficientnetv2/keras/efficientnetv2_b2_imagenet/2", "keras/densenet/keras/densenet201_imagenet/2"]
    root = project(tmp_path, "parameters = { value = 3 }", f"parameters = {{ value = 3 }}\nmodels = {presets}")
    folder = tmp_path / "build"
    build("tiny", user="someone", out=folder, root=root)
    found = {
        name: json.loads((folder / "kernels" / name / "kernel-metadata.json").read_text())["model_sources"]
        for name in ("11_first", "12_second")
    }
    assert found == {"11_first": presets, "12_second": []}
    check(folder)
    path = folder / "kernels" / "11_first" / "kernel-metadata.json"
    path.write_text(path.read_text().replace("_imagenet/2", "_imagenet"))
    with pytest.raises(ConfigError, match="Model instance version must be specified in the form"):
        check(folder)


def test_attached_models_stay_with_every_part_of_a_split_stage() -> None:
    suite = SuiteTable().suite("full")
    models = ("someone/net/keras/b0/1",)
    suite = replace(suite, stages=tuple(replace(stage, models=models) for stage in suite.stages))
    parts = [stage for stage in building.split_folds(suite, 2, 5).stages if stage.name.startswith("04_")]
    assert len(parts) == 10 and {stage.models for stage in parts} == {models}


def test_presets_of_the_instructions_are_those_that_training_looks_for() -> None:
    from hbaclib.models.kerascv import IMAGENET
    from hbaclib.suite.table import MODEL

    text = (ROOT / "kaggle" / "README.md").read_text(encoding="utf-8")
    named = [word for word in re.findall(r"[\w./-]+", text) if MODEL.fullmatch(word)]
    assert len(named) >= 2 and {name.split("/")[3] for name in named} <= set(IMAGENET.values())


def test_internet_only_where_weights_are_downloaded(tmp_path: Path) -> None:
    def online() -> set[str]:
        found = [json.loads(path.read_text()) for path in (tmp_path / "build" / "kernels").glob("*/*.json")]
        return {metadata["id"] for metadata in found if metadata["enable_internet"]}

    build("full", user="someone", out=tmp_path / "build")
    assert online() == {f"someone/hbac-04-train-efficientnet-b{number}" for number in range(5)}
    with pytest.raises(ConfigError, match=r"no \*_notop\.h5 file"):
        build("full", user="someone", out=tmp_path / "build", weights=tmp_path)
    write_text(tmp_path / "published" / "efficientnet-b0_noisy-student_notop.h5", "stands for weights")
    plan = build("full", user="someone", out=tmp_path / "build", weights=tmp_path / "published")
    assert online() == set()
    assert [dataset.ref for dataset in plan.datasets] == ["someone/hbac-wheels", "someone/hbac-weights"]
    check(tmp_path / "build")
