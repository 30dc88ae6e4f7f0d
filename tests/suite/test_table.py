"""The suite table: the project's own, and every fault it may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbaclib.errors import ConfigError
from hbaclib.suite.table import SuiteTable
from tests.suite.tiny_project import TABLE, make_project


def edited(tmp_path: Path, old: str, new: str) -> Path:
    project = make_project(tmp_path / "project")
    assert old in TABLE
    (project / "kaggle" / "suite.toml").write_text(TABLE.replace(old, new))
    return project


def test_own_table_holds_three_suites_in_runnable_order() -> None:
    table = SuiteTable()
    assert table.names() == ["smoke", "demo", "full"]
    for name in table.names():
        stages = table.suite(name).stages
        seen: set[str] = set()
        for stage in stages:
            assert set(stage.after) <= seen
            seen.add(stage.name)
    full = table.suite("full")
    assert full.competition == "hms-harmful-brain-activity-classification"
    assert [stage.name.rpartition("-")[2] for stage in full.stages if stage.notebook.name.startswith("04")] == [
        "b0", "b1", "b2", "b3", "b4"
    ]  # fmt: skip
    assert [stage.notebook.accelerator for stage in full.stages if stage.notebook.name.startswith("04")] == [
        "NvidiaTeslaT4"
    ] * 5
    assert "efficientnet" in table.wheels()


def test_order_follows_the_edges_not_the_table(tmp_path: Path) -> None:
    suite = SuiteTable(make_project(tmp_path / "project")).suite("tiny")
    assert [stage.name for stage in suite.stages] == ["11_first", "12_second"]
    assert suite.stages[1].after == ("11_first",)
    assert suite.competition == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("after = []", 'after = ["12_second"]', "notebooks wait for each other: 1"),
        ('after = ["11_first"]', 'after = ["11_frist"]', "no notebook '11_frist'; did you mean 11_first"),
        ('accelerator = "none"', 'accelerator = "A100"', "accelerator 'A100', expected one of none, NvidiaTeslaT4"),
        ('title = "First"', 'name = "First"', "missing title, unknown name"),
        ("schema = 1", "schema = 2", "schema 2, expected 1"),
        ("schema = 1", "schema = ", "not a readable suite table"),
    ],
)
def test_faulty_table_is_refused_when_it_is_read(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SuiteTable(edited(tmp_path, old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('notebook = "12_second"', 'notebook = "11_first"', "two stages write the folder 11_first"),
        ('notebook = "12_second"', 'notebook = "12_secnod"', "suite tiny: no notebook '12_secnod'; did you mean"),
        ("parameters = { value = 3 }", "parameter = { value = 3 }", "unknown parameter"),
        (
            "parameters = { value = 3 }",
            'models = "keras/a/keras/b/2"',
            "models is 'keras/a/keras/b/2', expected a list",
        ),
        (
            "parameters = { value = 3 }",
            'models = ["keras/mobilenetv3"]',
            "stage 11_first: model 'keras/mobilenetv3', exp",
        ),
        ("parameters = { value = 3 }", 'models = ["keras/a/keras/b/new"]', "owner/model/framework/variation/version"),
        ("parameters = { value = 3 }", "models = [3]", "model 3, expected"),
    ],
)
def test_faulty_suite_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    table = SuiteTable(edited(tmp_path, old, new))
    with pytest.raises(ConfigError, match=message):
        table.suite("tiny")


def test_unknown_suite_lists_close_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no suite 'tin'; did you mean tiny"):
        SuiteTable(make_project(tmp_path / "project")).suite("tin")


def test_missing_notebook_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    (project / "notebooks" / "12_second.ipynb").unlink()
    with pytest.raises(ConfigError, match=r"12_second\.ipynb does not exist"):
        SuiteTable(project)
