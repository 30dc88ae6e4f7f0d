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


def test_own_table_holds_four_suites_in_runnable_order() -> None:
    table = SuiteTable()
    assert table.names() == ["smoke", "ci", "demo", "full"]
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
    assert {stage.notebook.name for stage in table.suite("ci").stages} == set(table.notebooks)


def test_own_table_says_what_suites_need_and_what_notebooks_read() -> None:
    table = SuiteTable()
    assert [table.suite(name).needs_gpu for name in table.names()] == [False, False, False, True]
    memory = [table.suite(name).memory_gb for name in table.names()]
    assert memory == sorted(memory) and memory[0] >= 1
    reads = {name[:2]: notebook.reads for name, notebook in table.notebooks.items() if notebook.reads}
    assert reads == {"01": ("train",), "02": ("train",), "06": ("train",), "08": ("test",)}
    published = {name: notebook.publishes for name, notebook in table.notebooks.items() if notebook.publishes}
    assert published == {"08_submit": ("submission.csv",)}


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
        ('accelerator = "none"', 'accelerator = "A100"', "accelerator is 'A100', expected one of none, NvidiaTeslaT4"),
        ('accelerator = "none"', 'accelerator = "NvidiaTeslaP100"', r"NvidiaTeslaT4 \(Kaggle has retired it"),
        (
            'accelerator = "none"',
            'accelerator = "nvidiateslap100"',
            "Kaggle has retired it, and runs such kernels on two",
        ),
        ('accelerator = "none"', "accelerator = 2", "accelerator is 2, expected"),
        ('title = "First"', 'name = "First"', "notebook 11_first: key 'name' is unknown; known are .*title"),
        ('title = "First"', "", "notebook 11_first: key 'title' is missing"),
        ('title = "First"', 'title = "First"\nname = "11"', "notebook 11_first: key 'name' is unknown"),
        (
            'title = "First"',
            'title = "First"\nread = []',
            "notebook 11_first: key 'read' is unknown; did you mean reads",
        ),
        ('title = "First"', 'title = "First"\nreads = "train"', "reads is 'train', expected a list"),
        (
            'title = "First"',
            'title = "First"\nreads = ["train", "tset"]',
            "reads is 'tset', expected one of train, test",
        ),
        ('title = "First"', 'title = "First"\nreads = [1]', "reads is 1, expected one of train, test"),
        ('title = "First"', 'title = "First"\npublishes = "a.csv"', "publishes is 'a.csv', expected a list"),
        ('title = "First"', 'title = "First"\npublishes = [""]', "publishes is .*, expected a list of files' names"),
        (
            'title = "First"',
            'title = "First"\npublishes = ["../a.csv"]',
            r"publishes is \('../a.csv',\), expected a list of files' names",
        ),
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
        (
            "parameters = { value = 3 }",
            "parameter = { value = 3 }",
            "suite tiny: stage 11_first: key 'parameter' is unknown; did you mean parameters",
        ),
        ('about = "two cells"', 'abuot = "two cells"', "suite tiny: key 'abuot' is unknown; did you mean about"),
        ('about = "two cells"', "needs_gpu = 1", "needs_gpu is 1, expected a value of type bool"),
        ('about = "two cells"', 'needs_gpu = "yes"', "needs_gpu is 'yes', expected a value of type bool"),
        ('about = "two cells"', 'memory_gb = "3"', "memory_gb is '3', expected a value of type float"),
        ('about = "two cells"', "memory_gb = -1", "memory_gb is -1.0, expected GB, 0 or more"),
        ('about = "two cells"', "memory_gb = true", "memory_gb is True, expected a value of type float"),
        ('about = "two cells"', "memory_gb = nan", "memory_gb is nan, expected GB"),
        ('about = "two cells"', "about = 3", "about is 3, expected a value of type str"),
        ('about = "two cells"', "competition = []", r"competition is \[\], expected a value of type str"),
        ('about = "two cells"', 'downloads = "11_first"', "downloads is '11_first', expected a list"),
        ('about = "two cells"', 'downloads = ["11_frist"]', "downloads: no notebook '11_frist'; did you mean"),
        (
            "parameters = { value = 3 }",
            'models = "keras/a/keras/b/2"',
            "models is 'keras/a/keras/b/2', expected a list",
        ),
        (
            "parameters = { value = 3 }",
            'models = ["keras/mobilenetv3"]',
            r"stage 11_first: models is \('keras/mobilenetv3',\), expected owner/model",
        ),
        ("parameters = { value = 3 }", 'models = ["keras/a/keras/b/new"]', "owner/model/framework/variation/version"),
        ("parameters = { value = 3 }", "models = [3]", "stage 11_first: models is 3, expected a value of type str"),
    ],
)
def test_faulty_suite_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    table = SuiteTable(edited(tmp_path, old, new))
    with pytest.raises(ConfigError, match=message):
        table.suite("tiny")


@pytest.mark.parametrize("rows", ["", "stages = []", "stages = 3", 'stages = ["11_first"]'])
def test_suite_without_stages_is_refused(tmp_path: Path, rows: str) -> None:
    old = TABLE[TABLE.index("[[suites.tiny.stages]]") :]
    table = SuiteTable(edited(tmp_path, old, rows))
    with pytest.raises(ConfigError, match=r"suite tiny: stages is .*, expected tables"):
        table.suite("tiny")


def test_what_a_suite_needs_and_a_notebook_reads_is_read(tmp_path: Path) -> None:
    project = edited(tmp_path, 'about = "two cells"', 'about = "two cells"\nmemory_gb = 2.5\nneeds_gpu = true')
    path = project / "kaggle" / "suite.toml"
    more = 'title = "Second"\nreads = ["train", "test"]\npublishes = ["a.csv", "b.csv"]'
    path.write_text(path.read_text().replace('title = "Second"', more))
    suite = SuiteTable(project).suite("tiny")
    assert (suite.memory_gb, suite.needs_gpu) == (2.5, True)
    first, second = (stage.notebook for stage in suite.stages)
    assert (second.reads, second.publishes) == (("train", "test"), ("a.csv", "b.csv"))
    assert (first.reads, first.publishes) == ((), ())
    plain = SuiteTable(make_project(tmp_path / "plain")).suite("tiny")
    assert (plain.memory_gb, plain.needs_gpu) == (0.0, False)


def test_unknown_suite_lists_close_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no suite 'tin'; did you mean tiny"):
        SuiteTable(make_project(tmp_path / "project")).suite("tin")


def test_missing_notebook_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    (project / "notebooks" / "12_second.ipynb").unlink()
    with pytest.raises(ConfigError, match=r"12_second\.ipynb does not exist"):
        SuiteTable(project)
