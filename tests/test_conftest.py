"""Where the real EDF files are, a skip of a test that asks for them is a failure."""

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
    tmp_path: Path, said: str, there: bool, expected: dict[str, tuple[str, ...]]
) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "real" / "iiic").mkdir(parents=True)
    if there:
        (tmp_path / "real" / "edf").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HBAC_", "PYTEST_"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HBAC_REAL_EDF": said}
    environment["HBAC_REAL_DATA"] = str(tmp_path / "real" / "iiic")
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml", "told.xml", "test_it.py"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    found: dict[str, tuple[str, ...]] = {}
    for case in ElementTree.parse(tmp_path / "told.xml").iter("testcase"):
        outcome = KINDS[next((part.tag for part in case if part.tag in KINDS), "")]
        found[outcome] = (*found.get(outcome, ()), case.attrib["name"])
    assert found == expected, done.stdout
    assert done.returncode == ("failed" in expected)
    assert ("skipped, though the files are there" in done.stdout) == ("failed" in expected)
