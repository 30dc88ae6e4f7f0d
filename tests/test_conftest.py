"""Where the real EDF files are, a skip of a test that asks for them is a failure; the list of what is evidence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

TESTS = """
import pytest

def test_that_skips(real_edf):
    pytest.skip("for a reason")

@pytest.mark.skip(reason="left out")
def test_that_is_left_out(real_edf):
    pass

@pytest.fixture
def lacking(real_edf):
    pytest.skip("not built")

def test_of_a_fixture(lacking):
    pass

def test_that_passes(real_edf):
    assert real_edf.name == "edf"

def test_of_other_things():
    pytest.skip("its own matter")
"""
KINDS = {"failure": "failed", "error": "failed", "skipped": "skipped", "": "passed"}
"""Part of a report -> outcome; a skip in the making of a fixture becomes an error."""
OF_REAL_FILES = ("test_that_skips", "test_that_is_left_out", "test_of_a_fixture")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tests that has the project's conftest, and leaves none to the evidence."""
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "wider.txt").write_text("# none\n")
    return tmp_path


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HBAC_", "PYTEST_"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_tests_of_the_list_are_evidence(folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_long():\n    assert False\n\ndef test_quick():\n    pass\n")
    assert run(folder, "-m", "not evidence").returncode == 1
    (folder / "evidence" / "wider.txt").write_text("test_it.py::test_long\ntest_other.py::test_elsewhere\n")
    done = run(folder, "-m", "not evidence")
    assert done.returncode == 0 and "1 passed, 1 deselected" in done.stdout
    done = run(folder, "-m", "evidence")
    assert done.returncode == 1 and "test_it.py::test_long: call failed: assert False" in done.stdout


def test_a_line_that_names_no_test_is_an_error(folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_quick():\n    pass\n")
    (folder / "evidence" / "wider.txt").write_text("test_it.py::test_gone\n")
    done = run(folder)
    assert done.returncode == 4 and "no such tests: ['test_it.py::test_gone']" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("said", "there", "expected"),
    [
        ("1", True, {"failed": OF_REAL_FILES, "passed": ("test_that_passes",), "skipped": ("test_of_other_things",)}),
        ("", True, {"skipped": (*OF_REAL_FILES, "test_of_other_things"), "passed": ("test_that_passes",)}),
        ("1", False, {"failed": (*OF_REAL_FILES, "test_that_passes"), "skipped": ("test_of_other_things",)}),
    ],
    ids=["said and there", "there, and nothing said", "said, and not there"],
)
def test_a_skip_is_a_failure_where_the_files_are(
    folder: Path, said: str, there: bool, expected: dict[str, tuple[str, ...]]
) -> None:
    (folder / "test_it.py").write_text(TESTS)
    (folder / "real" / "iiic").mkdir(parents=True)
    if there:
        (folder / "real" / "edf").mkdir()
    variables = {"HBAC_REAL_EDF": said, "HBAC_REAL_DATA": str(folder / "real" / "iiic")}
    done = run(folder, "--junitxml", "told.xml", "test_it.py", **variables)
    found: dict[str, tuple[str, ...]] = {}
    for case in ElementTree.parse(folder / "told.xml").iter("testcase"):
        outcome = KINDS[next((part.tag for part in case if part.tag in KINDS), "")]
        found[outcome] = (*found.get(outcome, ()), case.attrib["name"])
    assert found == expected, done.stdout
    assert done.returncode == ("failed" in expected)
    assert ("skipped, though the files are there" in done.stdout) == ("failed" in expected)
