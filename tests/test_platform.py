"""Mounts in the new and the old layout, stages across mounts, data folders, messages."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hbaclib import platform
from hbaclib.artefacts import write_manifest, write_text
from hbaclib.errors import ConfigError, PlatformError
from hbaclib.stages import places
from hbaclib.stages.names import COMPARISON, FIRST_ROUND, PORT, TRAINED


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path / "input"))
    monkeypatch.setenv("HBAC_SCRIPT_ROOT", str(tmp_path / "lib"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    (tmp_path / "input").mkdir()
    return tmp_path / "input"


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def finish(folder: Path, kind: str = "") -> Path:
    write_text(folder / "file.txt", "x")
    write_manifest(folder, kind or folder.name, inputs={}, parameters={}, outputs=["file.txt"])
    return folder


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("competitions", "hms", "competitions/hms"),
        ("competitions", "hms", "hms"),
        ("datasets", "wheels", "datasets/someone/wheels"),
        ("datasets", "someone/wheels", "datasets/someone/wheels"),
        ("datasets", "someone/wheels", "wheels"),
    ],
)
def test_every_kind_in_both_layouts(inputs: Path, kind: str, name: str, path: str) -> None:
    assert platform.find_mount(kind, name) is None
    folder = make(inputs / path)
    assert platform.find_mount(kind, name) == folder
    assert platform.find_input(kind, name) == folder


def test_new_layout_comes_before_the_old_and_owners_are_told_apart(inputs: Path) -> None:
    make(inputs / "wheels")
    other = make(inputs / "datasets" / "another" / "wheels")
    assert platform.find_mount("datasets", "wheels") == other
    mine = make(inputs / "datasets" / "someone" / "wheels")
    assert platform.find_mount("datasets", "someone/wheels") == mine


def test_files_of_a_name_in_data_sets_and_models_only(inputs: Path) -> None:
    places = ("datasets/a/net", "models/k/net/keras/b0/1", "old-set/deep/er", "competitions/hms", "old-competition")
    for place in places:
        (make(inputs / place) / "net.h5").touch()
    (inputs / "old-competition" / "train.csv").touch()
    assert platform.mounted_files("net.h5") == [inputs / place / "net.h5" for place in places[:3]]
    assert platform.mounted_files("other.h5") == []


def test_local_folder_is_the_same_call(inputs: Path, tmp_path: Path) -> None:
    local = make(tmp_path / "mine")
    assert platform.find_input("datasets", local) == local


def test_nothing_found_lists_what_is_mounted(inputs: Path, tmp_path: Path) -> None:
    make(inputs / "competitions" / "hms")
    make(inputs / "datasets" / "someone" / "wheels")
    make(inputs / "old-style")
    make(tmp_path / "lib" / "my_tools")
    assert platform.mounted() == [
        "competitions/hms",
        "datasets/someone/wheels",
        "old-style",
        f"{tmp_path}/lib/my_tools",
    ]
    with pytest.raises(
        PlatformError, match=r"hm: no such folder.*competitions/hms, datasets/someone/wheels, old-style"
    ):
        platform.find_input("competitions", "hm")


@pytest.mark.parametrize(("kind", "slug"), [("data", "x"), ("datasets", ""), ("datasets", "../x"), ("datasets", "a*")])
def test_names_that_are_none(inputs: Path, kind: str, slug: str) -> None:
    with pytest.raises(ConfigError, match="expected one of competitions"):
        platform.find_mount(kind, slug)


def test_stage_of_this_run_comes_before_mounted_ones(inputs: Path, tmp_path: Path) -> None:
    published = finish(inputs / "datasets" / "someone" / "hbac-arrays" / "01_port_data")
    assert places.find_stage("01_port_data", tmp_path / "out") == published
    notebook = finish(inputs / "notebooks" / "someone" / "hbac-01" / "01_port_data")
    assert places.find_stage("01_port_data", tmp_path / "out") == notebook
    (tmp_path / "out" / "01_port_data").mkdir(parents=True)  # unfinished: without a manifest
    assert places.find_stage("01_port_data", tmp_path / "out") == notebook
    own = finish(tmp_path / "out" / "01_port_data")
    assert places.find_stage("01_port_data", tmp_path / "out") == own


def test_trained_networks_of_all_mounts_once_each_by_name(inputs: Path, tmp_path: Path) -> None:
    b1 = finish(inputs / "notebooks" / "someone" / "hbac-04-b1" / "04_train_b1", TRAINED)
    b0 = finish(inputs / "old-kernel" / "of any name", TRAINED)
    finish(inputs / "datasets" / "someone" / "models" / "04_train_b1", TRAINED)
    for name, kind in {"05_kerascv": COMPARISON, "06_first_round_b0": FIRST_ROUND, "04_train_none": PORT}.items():
        finish(inputs / "old-kernel" / name, kind)
    assert places.find_trained(tmp_path / "out") == [b1, b0]


def test_data_is_found_at_each_place(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert platform.find_data("", out) is None
    in_notebook = inputs / "notebooks" / "someone" / "hbac-01" / platform.SYNTHETIC
    write_text(in_notebook / "train.csv", "")
    assert platform.find_data("", out) == in_notebook
    write_text(out / platform.SYNTHETIC / "train.csv", "")
    assert platform.find_data("", out) == out / platform.SYNTHETIC
    competition = inputs / "competitions" / platform.COMPETITION
    write_text(competition / "train.csv", "")
    assert platform.find_data("", out) == competition
    data_set = make(inputs / "datasets" / "someone" / "other-eeg")
    assert platform.find_data("someone/other-eeg", out) == data_set
    with pytest.raises(PlatformError, match=r"/no/such/folder: no such folder, and no such input is mounted"):
        platform.find_data("/no/such/folder", out)


def test_output_goes_to_the_working_folder_on_kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert platform.output_root(tmp_path) == tmp_path
    assert platform.output_root().parts[-2:] == ("runs", "interactive")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.delenv("HBAC_WORKING_ROOT", raising=False)
    assert platform.output_root() == Path("/kaggle/working")
    assert platform.output_root(tmp_path) == tmp_path


def test_project_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HBAC_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert (platform.project_root() / "kaggle" / "suite.toml").is_file()
    monkeypatch.setenv("HBAC_PROJECT", str(tmp_path))
    with pytest.raises(ConfigError, match=r"suite\.toml not found"):
        platform.project_root()


def test_description_names_versions_machine_and_mounts(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = platform.describe()
    assert "python 3." in text
    assert "hbaclib 0" in text
    assert "CPU cores; " in text
    assert "mounted" not in text
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    make(inputs / "competitions" / "hms")
    text = platform.describe()
    assert "Kaggle image " in text
    assert "mounted: competitions/hms" in text


def test_hours_of_a_session_count_from_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert platform.session_hours_left() is None
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    # A host that runs for 30 hours; the container's first process began in its 28th.
    began = {1: time.time() - 2 * 3600, os.getpid(): time.time()}
    monkeypatch.setattr(psutil, "boot_time", lambda: time.time() - 30 * 3600)
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(create_time=lambda: began[pid]))
    assert platform._hours_since_start() == pytest.approx(2, abs=1e-3)

    def hidden(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", hidden)
    assert platform._hours_since_start() == 0
    monkeypatch.setattr(platform, "_hours_since_start", lambda: 2.0)
    assert platform.session_hours_left() == pytest.approx(9.5)


def test_memory_of_the_host_or_of_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert platform.available_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000 * 1024))
    groups = make(tmp_path / "groups")
    assert platform.available_memory(groups) == 1000 * 1024
    (groups / "memory.max").write_text("max\n")
    (groups / "memory.current").write_text("400000\n")
    (groups / "memory.stat").write_text("anon 5\ninactive_file 1000\n")
    assert platform.available_memory(groups) == 1000 * 1024
    (groups / "memory.max").write_text("500000\n")
    assert platform.available_memory(groups) == 101_000


def test_gpus_of_a_driver_whose_program_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    devices, driver = tmp_path / "dev", tmp_path / "gpus"
    devices.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "null"):
        (devices / name).touch()
    assert platform.accelerators(devices, driver) == []  # the devices of nothing
    driver.mkdir()
    assert len(platform.accelerators(devices, driver)) == 2
    assert platform.accelerators(tmp_path / "nothing", driver) == []  # a container that was given none
