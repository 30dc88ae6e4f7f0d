"""The built kernels run as on Kaggle: a fresh offline environment each, read-only mounts, outputs handed on by mounts.

Needs an environment with the versions of Kaggle's image: the running one, or the one that HBAC_IMAGE_PYTHON names (a
Python whose packages serve, except those that the image lacks).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hbaclib.artefacts import digest_file, finished_stages, verify
from hbaclib.kaggle.build import build
from hbaclib.kaggle.plan import Plan
from hbaclib.report.page import write_report
from hbaclib.suite.table import SuiteTable
from tests.report.page import check_whole_report

ROOT = Path(__file__).parents[2]
OFFLINE = """
import socket

_connect = socket.socket.connect


def connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
        raise OSError(f"no network here: {address}")
    return _connect(self, address)


socket.socket.connect = connect

import time

import psutil

_begin, _created = time.time(), psutil.Process.create_time
psutil.Process.create_time = lambda self: _begin if self.pid == 1 else _created(self)
"""
"""Put into the environment as ``sitecustomize``: any connection beyond this machine is an error, as on Kaggle, and the
session is young, however long this machine has been up."""


def pinned() -> dict[str, str]:
    """Versions of Kaggle's image."""
    lines = (ROOT / "kaggle" / "image-constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


ASK = """
import importlib.metadata, json, sys, sysconfig
found = {each.metadata["Name"].lower().replace("_", "-"): each.version for each in importlib.metadata.distributions()}
print(json.dumps([sys.version_info[:2], sysconfig.get_path("purelib"), found]))
"""


def packages_of(python: str) -> Path:
    """Folder of an interpreter's packages, if they are those of the image."""
    version, folder, found = json.loads(subprocess.run([python, "-c", ASK], capture_output=True, check=True).stdout)
    other = [name for name, wanted in pinned().items() if found.get(name.replace("_", "-"), wanted) != wanted]
    if version != [3, 12] or other or "tensorflow" not in found:
        pytest.skip(
            f"Python {version}, {len(other)} packages of other versions than Kaggle's image has; CI runs it there"
        )
    return Path(folder)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Interpreter, and a folder with the image's packages alone: without hbaclib and what the image lacks."""
    python = os.environ.get("HBAC_IMAGE_PYTHON", sys.executable)
    packages = packages_of(python)
    lacking = ["hbaclib", *(name.replace("-", "_") for name in SuiteTable(ROOT).wheels())]
    hidden = re.compile(rf"(?i)(__editable__|({'|'.join(lacking)})(\W|$)|.*\.pth$|sitecustomize)")
    folder = tmp_path_factory.mktemp("image")
    for entry in packages.iterdir():
        if not hidden.match(entry.name):
            (folder / entry.name).symlink_to(entry)
    return python, folder


@pytest.fixture(scope="module", params=["smoke", pytest.param("ci", marks=pytest.mark.evidence)])
def plan(
    request: pytest.FixtureRequest, image: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Plan]:
    root, folder = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("build")
    unwanted = shutil.ignore_patterns(".git", ".venv*", "runs", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, root, ignore=unwanted, dirs_exist_ok=True)
    # Two folds over two kernels, so that the join of parts is run too.
    return folder, build(request.param, user="someone", out=folder, root=root, parts=2)


def make_session(python: str, packages: Path, folder: Path) -> Path:
    """A fresh environment as a session starts with: the image's packages, no more."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    (site / "image.pth").write_text(f"{packages}\n")
    (site / "sitecustomize.py").write_text(OFFLINE)
    return folder / "bin" / "python"


def seal(folder: Path) -> dict[str, str]:
    """Make a mount read-only, and note its content (root could write all the same)."""
    noted = {}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            noted[str(path)] = digest_file(path)
            path.chmod(stat.S_IREAD)
        else:
            path.chmod(stat.S_IREAD | stat.S_IEXEC)
    return noted


@pytest.mark.slow
def test_first_cell_installs_the_wheels_and_then_does_nothing(
    image: tuple[str, Path], plan: tuple[Path, Plan], tmp_path: Path
) -> None:
    from hbaclib.kaggle.build import cell

    python = make_session(*image, tmp_path / "session")
    environment = {"HOME": str(tmp_path), "PATH": os.defpath, "HBAC_INPUT_ROOT": str(tmp_path / "input")}
    script = tmp_path / "cell.py"
    script.write_text(cell())
    done = subprocess.run([python, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "no data set with its wheel is attached below" in done.stderr
    # The old layout serves as well as the new.
    shutil.copytree(plan[0] / "datasets" / "wheels", tmp_path / "input" / "hbac-wheels")
    environment["KAGGLE_KERNEL_RUN_TYPE"] = "Batch"
    done = subprocess.run([python, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "mounted: hbac-wheels" in done.stdout
    assert "Kaggle image" in done.stdout
    shutil.rmtree(tmp_path / "input")
    done = subprocess.run([python, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "hbaclib 0" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_built_kernels_run_from_first_to_submission(
    image: tuple[str, Path], plan: tuple[Path, Plan], tmp_path: Path
) -> None:
    folder, planned = plan
    worked: dict[str, Path] = {}
    for kernel in planned.kernels:
        session = tmp_path / kernel.name
        inputs, working, home = session / "input", session / "working", session / "home"
        for made in (inputs, working, home):
            made.mkdir(parents=True)
        source = folder / "kernels" / kernel.name
        metadata = json.loads((source / "kernel-metadata.json").read_text())
        for ref in metadata["dataset_sources"]:
            dataset = next(each for each in planned.datasets if each.ref == ref)
            keep_out = shutil.ignore_patterns("dataset-metadata.json")
            shutil.copytree(folder / "datasets" / dataset.name, inputs / "datasets" / ref, ignore=keep_out)
        for ref in metadata["kernel_sources"]:
            shutil.copytree(worked[ref], inputs / "notebooks" / ref)
        before = seal(inputs)
        python = make_session(*image, session / "environment")
        environment = {
            "HOME": str(home),
            "PATH": f"{python.parent}:{os.defpath}",
            "PIP_NO_INDEX": "1",
            "KAGGLE_KERNEL_RUN_TYPE": "Batch",
            "HBAC_INPUT_ROOT": str(inputs),
            "HBAC_WORKING_ROOT": str(working),
            "MPLBACKEND": "agg",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        command = [python, "-m", "papermill", "--no-progress-bar", "--cwd", working, "--kernel", "python3"]
        done = subprocess.run(
            [*command, source / metadata["code_file"], working / "__notebook__.ipynb"],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, f"{kernel.name}:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        assert verify(working / kernel.stage).stage
        after = {str(path): digest_file(path) for path in inputs.rglob("*") if path.is_file()}
        assert after == before
        if kernel.name != kernel.stage:
            assert not list((working / kernel.stage).glob("fold-1*"))  # a part trains its own folds alone
        written = sum(path.stat().st_size for path in working.rglob("*") if path.is_file())
        assert written <= kernel.bytes, f"{kernel.name} wrote {written} bytes, computed beforehand: {kernel.bytes}"
        worked[kernel.ref] = working
        shutil.rmtree(session / "environment")
    assert {kernel.stage for kernel in planned.kernels} == {
        stage.name for stage in SuiteTable(ROOT).suite(planned.suite).stages
    }
    first, last = (worked[planned.kernels[number].ref] for number in (0, -1))
    submission = pd.read_csv(last / "submission.csv")
    test = pd.read_csv(first / "synthetic-hms" / "test.csv")
    assert submission["eeg_id"].tolist() == test["eeg_id"].tolist()
    assert submission.drop(columns="eeg_id").sum(axis=1).between(1 - 1e-6, 1 + 1e-6).all()
    # What `hbac kaggle output` lays side by side has a report as a run here has.
    together = tmp_path / "together"
    for kernel in planned.kernels:
        for folder in finished_stages(worked[kernel.ref]):
            shutil.copytree(folder, together / folder.name, dirs_exist_ok=True)
    write_report(together, data=first / "synthetic-hms", truth=first / "synthetic-hms-truth.parquet")
    results = check_whole_report(together)
    assert len(results["training"]) == (4 if planned.suite == "ci" else 1)
    notebook = json.loads((last / "__notebook__.ipynb").read_text())
    stream = "".join(str(cell.get("outputs", "")) for cell in notebook["cells"])
    assert "has not run: computing it now" not in stream
