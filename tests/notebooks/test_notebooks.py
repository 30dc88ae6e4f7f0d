"""The notebooks as files: in step with their sources, without outputs, with a parameters cell and prose."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from hbaclib.suite.parameters import known_parameters
from hbaclib.suite.table import SuiteTable
from tests.notebooks.check_pairs import NOTEBOOKS, faults

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def test_pairs_agree_and_hold_no_outputs() -> None:
    assert faults() == []


def test_the_table_names_every_notebook() -> None:
    assert sorted(SuiteTable().notebooks) == [path.stem for path in PATHS]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_form(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    tags = [cell.metadata.get("tags", []) for cell in book.cells]
    assert tags.count(["bootstrap"]) == 1 and tags.count(["parameters"]) == 1
    code = [index for index, cell in enumerate(book.cells) if cell.cell_type == "code"]
    assert tags[code[0]] == ["bootstrap"]
    for index in code[2:]:
        before = book.cells[index - 1]
        assert before.cell_type == "markdown" or "parameters" in before.metadata.get("tags", []), "a cell without words"


@pytest.mark.parametrize("suite", SuiteTable().names())
def test_suites_set_only_declared_parameters(suite: str) -> None:
    for stage in SuiteTable().suite(suite).stages:
        assert set(stage.parameters) <= set(known_parameters(stage))
