"""The wheel: what it holds, where the library finds its project, and its commands away from any checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from hbaclib import __version__, platform
from hbaclib.artefacts import write_text
from hbaclib.errors import ConfigError
from hbaclib.kaggle.wheels import installed_wheel, project_wheel
from hbaclib.source import code_digest

ROOT = Path(__file__).parents[1]
PROJECT = [ROOT / "kaggle" / "suite.toml", *sorted((ROOT / "notebooks").glob("*.[ip]*"))]
INSTALLED = """
import json
from pathlib import Path
import hbaclib
from hbaclib.source import code_digest
from hbaclib.cli.main import main
from hbaclib.platform import checkout_root, output_root
from hbaclib.suite.table import SuiteTable

main(["kaggle", "build", "smoke", "--user", "someone", "--out", "build"], standalone_mode=False)
table = SuiteTable()
for name in table.names():
    table.suite(name)
print(json.dumps({
    "package": str(Path(hbaclib.__file__).parent), "root": str(table.root), "checkout": checkout_root(),
    "output": str(output_root()), "notebooks": [str(notebook.path) for notebook in table.notebooks.values()],
    "digests": [code_digest("hbaclib.training.cross_validate"), code_digest("hbaclib.report.page", apparatus=True)],
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it, without what it requires."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True, capture_output=True)
    return folder


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_and_the_project(wheel: Path) -> None:
    files = content(wheel)
    assert {name.split("/")[0] for name in files} == {"hbaclib", f"hbaclib-{__version__}.dist-info"}
    assert len(PROJECT) == 19
    for path in PROJECT:
        assert files[f"hbaclib/_project/{path.relative_to(ROOT).as_posix()}"] == path.read_bytes()
    sources = [path for path in (ROOT / "hbaclib").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    carried = {name for name in files if name.startswith("hbaclib/") and "/_project/" not in name}
    assert carried == {path.relative_to(ROOT).as_posix() for path in sources}
    assert "hbaclib/py.typed" in files
    assert files[f"hbaclib-{__version__}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_metadata_are_of_today(wheel: Path) -> None:
    metadata = Parser().parsestr(content(wheel)[f"hbaclib-{__version__}.dist-info/METADATA"].decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["License"] is None
    classifiers = metadata.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers
    assert not [line for line in classifiers if line.startswith("License ::") or "Windows" in line]
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Source", "Issues", "Changelog", "Competition"} == set(urls)
    extras = {"dask", "dev", "edf", "formats", "kaggle", "pretrained", "score", "test", "tune"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    listed = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(required) == len(listed)
    # Relative links lead nowhere on a package index.
    assert not [line for line in str(metadata.get_payload()).splitlines() if "](" in line.replace("](http", "")]


def test_the_same_sources_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert project_wheel(ROOT, tmp_path).read_bytes() == wheel.read_bytes()


def test_away_from_a_checkout_the_wheel_has_its_own_project(site: Path, wheel: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    environment = {name: value for name, value in os.environ.items() if name != "HBAC_PROJECT"}
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    package = site / "hbaclib"
    assert told["package"] == str(package)
    assert told["root"] == str(package / "_project")
    assert told["checkout"] is None
    assert told["output"] == str(tmp_path / "runs" / "interactive")
    assert len(told["notebooks"]) == 9
    stages = code_digest("hbaclib.training.cross_validate"), code_digest("hbaclib.report.page", apparatus=True)
    assert told["digests"] == list(stages)
    assert before == {path: path.read_bytes() for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    # The wheel for Kaggle is packed from what is installed: the same files, digest by digest.
    packed = content(tmp_path / "build" / "datasets" / "wheels" / wheel.name)
    assert packed.keys() == content(wheel).keys()
    record = f"hbaclib-{__version__}.dist-info/RECORD"
    assert set(packed.pop(record).split()) == set(content(wheel)[record].split())
    assert packed.items() <= content(wheel).items()


def test_an_editable_installation_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "editable_thing-1.dist-info"
    write_text(info / "METADATA", "Metadata-Version: 2.1\nName: editable-thing\nVersion: 1\n")
    write_text(info / "WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    write_text(info / "RECORD", f"__editable__.editable_thing-1.pth,,\n{info.name}/METADATA,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="editable-thing: installed as editable, so its files lie elsewhere"):
        installed_wheel("editable-thing", tmp_path)
    assert not list(tmp_path.glob("*.whl"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with its copy of the project, and an empty working folder."""
    folder = tmp_path / "site" / "hbaclib"
    write_text(folder / "_project" / "kaggle" / "suite.toml", "")
    (tmp_path / "home" / "work").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home" / "work")
    monkeypatch.setattr(platform, "PACKAGE", folder)
    for name in ("HBAC_PROJECT", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_the_project_is_looked_for_in_this_order(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert platform.project_root() == package / "_project"
    # A folder above the working folder, the folder that the package lies in, the one that is named.
    for folder in (tmp_path / "home", package.parent, tmp_path / "named"):
        write_text(folder / "kaggle" / "suite.toml", "")
        if folder.name == "named":
            monkeypatch.setenv("HBAC_PROJECT", str(folder))
        assert platform.project_root() == platform.checkout_root() == folder
        assert platform.output_root() == folder / "runs" / "interactive"


def test_nothing_is_written_into_the_package(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert platform.output_root() == tmp_path / "home" / "work" / "runs" / "interactive"
    monkeypatch.setenv("HBAC_PROJECT", str(package / "_project"))
    assert platform.project_root() == package / "_project"
    assert platform.output_root() == tmp_path / "home" / "work" / "runs" / "interactive"
    monkeypatch.setenv("HBAC_PROJECT", str(tmp_path))
    assert platform.output_root() == tmp_path / "home" / "work" / "runs" / "interactive"
