"""Shared by all tests: the environment of the library and the real recordings, where there are any."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MPLBACKEND", "agg")


WIDER = Path(__file__).parent / "evidence" / "wider.txt"
"""Tests that show once more, at length, what a quicker one shows too: CI leaves them to the evidence."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what belongs to the evidence; put the longest file first, as processes that share files end together then.

    Its tests run in processes of their own, so that nothing of theirs stays for the tests behind it.

    Raises:
        pytest.UsageError: a line of the list names no test.
    """
    wider = {line for line in WIDER.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}
    for item in items:
        if item.nodeid in wider:
            item.add_marker(pytest.mark.evidence)
    whole = {item.nodeid.partition("::")[0] for item in items}
    unknown = {each for each in wider if each.partition("::")[0] in whole} - {item.nodeid for item in items}
    if unknown and not any("::" in word for word in config.args):
        raise pytest.UsageError(f"{WIDER}: no such tests: {sorted(unknown)}")
    items.sort(key=lambda item: item.path.name != "test_readme.py")


class ToldAtOnce:
    """Names a test that fails where it fails, and why: what ends a run early also ends its summary."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            lines = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr)).splitlines()
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid}: {report.when} failed: {' | '.join(lines[:3])[:400]}")


def pytest_configure(config: pytest.Config) -> None:
    """Where several processes share the tests, the first one alone tells."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ToldAtOnce(config))


@pytest.fixture(autouse=True)
def no_modules_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``--module`` tells other processes ends with the test."""
    monkeypatch.setenv("HBAC_MODULES", "")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings, named by HBAC_REAL_DATA; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HBAC_REAL_DATA", "") or "no such folder")
    if not (folder / "train_eegs").is_dir():
        pytest.skip("HBAC_REAL_DATA does not name a folder with train_eegs/ and train_spectrograms/")
    return folder


@pytest.fixture(scope="session")
def real_edf() -> Path:
    """Folder of real EDF and BDF files: ``edf`` beside the folder that HBAC_REAL_DATA names.

    Where HBAC_REAL_EDF says that it is there, as CI does, a test that asks for it and is skipped has failed.
    """
    named = os.environ.get("HBAC_REAL_DATA", "")
    folder = Path(named).resolve().parent / "edf"
    if not named or not folder.is_dir():
        pytest.skip("no folder edf beside the one that HBAC_REAL_DATA names")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator:
    """Make a skip of a test on real EDF files a failure where the files are there."""
    report = yield
    if report.skipped and "real_edf" in getattr(item, "fixturenames", ()) and os.environ.get("HBAC_REAL_EDF"):
        report.outcome, report.longrepr = "failed", f"skipped, though the files are there: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``both``, ``eeg`` and ``07_ensemble`` of tiny trained networks; to be read, not written."""
    from tests.trained import make_tiny_run

    base = tmp_path_factory.getbasetemp()
    # Processes that share the tests have folders of their own in one.
    return make_tiny_run((base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "tiny-run")


@pytest.fixture(scope="session")
def packed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in the form of those that the package ships."""
    from tests.made_shipped import make_shipped  # networks take seconds to import

    return make_shipped(tmp_path_factory.mktemp("package") / "synthetic")


@pytest.fixture
def shipped(packed_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny model, in the place of ``synthetic``; a test may spoil it."""
    from hbaclib.stages.places import SHIPPED

    folder = Path(shutil.copytree(packed_model, tmp_path / "builtin" / "synthetic"))
    monkeypatch.setitem(SHIPPED, "synthetic", folder)
    return folder
