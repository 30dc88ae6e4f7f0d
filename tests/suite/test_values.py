"""The table of the notebooks' parameters: it holds all of them, takes their defaults, and names what is wrong."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from hbaclib.errors import ConfigError
from hbaclib.suite.parameters import check_parameters, fill_parameters, known_parameters
from hbaclib.suite.table import SuiteTable
from hbaclib.suite.values import DOMAINS, check_values


def test_every_parameter_of_every_notebook_is_in_the_table_and_takes_its_default() -> None:
    table, seen = SuiteTable(), set()
    for stage in (stage for name in table.names() for stage in table.suite(name).stages):
        declared = known_parameters(stage)
        assert declared.keys() <= DOMAINS.keys()
        check_values({name: ast.literal_eval(row["default"]) for name, row in declared.items()})
        seen |= declared.keys()
        text = stage.notebook.path.with_suffix(".py").read_text()
        cell = text.partition('tags=["parameters"]')[2].partition("\n# %%\n")[2]
        assert "check_values(globals())" in cell.partition("# %%")[0], stage.notebook.name
    assert seen == DOMAINS.keys()


def test_what_suites_say_is_right() -> None:
    table = SuiteTable()
    for name in table.names():
        check_parameters(table.suite(name), fill_parameters(table.suite(name), {}, Path("out"), None))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n_folds", "abc", "n_folds is 'abc', expected a whole number from 2 to 100"),
        ("n_folds", 1, "n_folds is 1, "), ("n_folds", 2.0, "n_folds is 2.0, "), ("n_folds", True, "n_folds is True, "),
        ("seed", -1, "seed is -1, expected a whole number from 0 to 4294967295"), ("seed", None, "seed is None, "),
        ("batch", -1, "batch is -1, expected a whole number from 0 to 65536"), ("batch", "64", "batch is '64', "),
        ("xla", "on", "xla is 'on', expected empty or one of off, apply, full"), ("xla", True, "xla is True, "),
        ("xla", None, "xla is None, "), ("xla", ["apply"], "expected empty or one of"),
        ("sampling", "all", "expected one of vote_groups, non_overlapping"), ("sampling", [], r"sampling is \[\], "),
        ("spectrograms", "none", "expected one of files, from_eeg"),
        ("synthetic_recordings", float("nan"), "expected a number from 1 to 1000"),
        ("time_budget_hours", float("inf"), "expected a number from 0 to 1000"),
        ("folds", [0, "1"], "expected a list of numbers of folds"), ("folds", 0, "folds is 0, "),
        ("epochs", [0], "expected a list of whole numbers of at least 1"),
        ("bands", [0.5, 4.0], "expected a list of pairs"), ("bands", [[1, 2, 3]], "expected a list of pairs"),
        ("band_weights", [-1], "expected a list of numbers of at least 0"),
        ("mirrored", "yes", "expected True or False"), ("fusions", 1, "expected True or False"),
        ("stage", "../../x", "stage is '../../x', expected empty or a file's name"),
        ("stage", "-x", "expected empty or a file's name"), ("backbones", "wavenet", "expected a list of names"),
        ("weights", 3, "weights is 3, expected a path or a name that the library knows, or None"),
        ("recipe", None, "recipe is None, expected a path"), ("out", "a\0b", "expected a path"),
        ("crop_seconds", "long", "expected a number from 0 to 50"), ("downsample", 0, "expected a whole number from 1"),
    ],
)  # fmt: skip
def test_other_values_are_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        check_values({name: value})


def test_all_faults_are_told_and_other_names_passed_over() -> None:
    check_values({"np": 3, "stage": "", "out": Path("x"), "seed": 0})
    with pytest.raises(ConfigError, match=r"n_folds is 0, .*; seed is -1, "):
        check_values({"seed": -1, "n_folds": 0})


def test_a_stage_is_named(tmp_path: Path) -> None:
    suite = SuiteTable().suite("smoke")
    with pytest.raises(ConfigError, match="suite smoke: 01_port_data: seed is -1, expected"):
        check_parameters(suite, fill_parameters(suite, {"seed": -1}, tmp_path, None))
