"""What is read or left is changed after a finished run: exactly what depends on it runs again, and is right again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hbaclib.artefacts import digest_json, read_manifest, write_manifest, write_text
from hbaclib.digests import _SETTLED_NS
from hbaclib.stages.names import TRAINED
from hbaclib.stages.places import trained_folders
from hbaclib.suite import freshness, runner
from hbaclib.suite.runner import run_suite
from hbaclib.suite.table import SuiteTable
from tests.suite.tiny_project import SECOND, make_project, write_notebook

pytestmark = pytest.mark.slow
REPORTED = ("report.html", "results.json", "model_card.md", "data_card.md")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made)
    # The recordings are no recordings: what reads them here counts their bytes.
    monkeypatch.setattr(runner, "check_prerequisites", lambda *arguments, **options: "")
    (made / "data" / "test_eegs").mkdir(parents=True)
    (made / "data" / "test_spectrograms").mkdir()
    (made / "data" / "test.csv").write_text("a\nb\n")
    (made / "data" / "test_eegs" / "1.parquet").write_bytes(b"x" * 737_000)
    for path in (made / "data").rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return made


def run(project: Path) -> list[str]:
    """Run the suite; the stages that ran since the last call."""
    log = project / "runs" / "whole" / "log.txt"
    log.unlink(missing_ok=True)
    run_suite("whole", data="data", root=project)
    return log.read_text().split() if log.is_file() else []


def content(project: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in (project / "runs").rglob("*") if path.is_file() and path.name not in (".lock", "log.txt")]
    return {path.relative_to(project).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_second_run_writes_nothing(project: Path) -> None:
    assert run(project) == ["first", "second", "last"]
    time.sleep(_SETTLED_NS / 1e9)  # from then on the data are old enough for their digests to be kept
    run(project)
    before = content(project)
    assert run(project) == []
    assert content(project) == before


def remove_row(project: Path) -> None:
    (project / "data" / "test.csv").write_text("a\n")


def truncate_recording(project: Path) -> None:
    path = project / "data" / "test_eegs" / "1.parquet"
    path.write_bytes(path.read_bytes()[:-1000])


def change_the_middle(project: Path) -> None:
    path = project / "data" / "test_eegs" / "1.parquet"
    facts, whole = path.stat(), path.read_bytes()
    with path.open("r+b") as file:  # same inode, same size, same time
        file.write(whole[:200_000] + b"y" * 199_000 + whole[399_000:])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def add_recording(project: Path) -> None:
    (project / "data" / "test_eegs" / "2.parquet").write_bytes(b"x")


def remove_recording(project: Path) -> None:
    (project / "data" / "test_eegs" / "1.parquet").unlink()


def rename_recording(project: Path) -> None:
    path = project / "data" / "test_eegs" / "1.parquet"
    path.rename(path.with_name("3.parquet"))


@pytest.mark.parametrize(
    "change",
    [remove_row, truncate_recording, change_the_middle, add_recording, remove_recording, rename_recording],
)
def test_changed_test_data_run_what_reads_them(project: Path, change: Callable[[Path], None]) -> None:
    run(project)
    run(project)
    change(project)
    assert run(project) == ["last"]
    rows = (project / "data" / "test.csv").read_text().split()
    size = sum(path.read_bytes().count(b"x") for path in (project / "data" / "test_eegs").iterdir())
    assert (project / "runs" / "whole" / "submission.csv").read_text() == " ".join([*rows, str(size), ""])
    assert run(project) == []


@pytest.mark.parametrize("file", ["submission.csv", "13_last/submission.csv", "13_last/manifest.json", *REPORTED])
@pytest.mark.parametrize("damage", ["removed", "written over", "emptied"])
def test_what_a_run_left_is_there_again(project: Path, file: str, damage: str) -> None:
    run(project)
    path = project / "runs" / "whole" / file
    before = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(b"another" if damage == "written over" else b"")
    assert run(project) == ([] if file in REPORTED else ["last"])
    assert path.read_bytes() == before


def test_an_executed_notebook_that_is_gone_is_made_again(project: Path) -> None:
    run(project)
    (project / "runs" / "whole" / "notebooks" / "12_second.ipynb").unlink()
    assert run(project) == ["second"]


def test_a_rewritten_stage_of_other_parameters_is_not_taken_for_the_old_one(project: Path) -> None:
    run(project)
    old = (project / "runs" / "whole" / "stages.json").read_text()
    out = project / "runs" / "whole"
    run_suite("whole", data="data", root=project, parameters={"value": 7})
    # As after a kill between the stage's end and its row: the rows are still the old ones, the folders are new.
    (out / "stages.json").write_text(old)
    assert run(project) == ["first", "second", "last"]
    assert (out / "12_second" / "square.txt").read_text() == "1"


def test_broken_records_recompute_and_mend(project: Path) -> None:
    run(project)
    for text in ("", "[{]", "{}", '[{"stage": "11_first"}]', "[1]"):
        (project / "runs" / "whole" / "stages.json").write_text(text)
        assert run(project) == ["first", "second", "last"]
        assert run(project) == []
    (project / "runs" / "whole" / ".digests.json").write_text("{")
    assert run(project) == []


NETWORKS = """
from pathlib import Path
from hbaclib.artefacts import digest_json, read_manifest, write_manifest, write_text
from hbaclib.stages.names import COMPARISON, TRAINED
digests = {}
for name in ("some_a", "some_b"):
    write_text(Path(out) / name / "weights", name)
    write_text(Path(out) / name / "history.csv", "fold,seed,stage,epoch,loss\\n0,0,1,1,2.0\\n0,0,1,2,1.0\\n")
    made = write_manifest(Path(out) / name, TRAINED, inputs={}, parameters={}, outputs=["weights", "history.csv"])
    digests[name] = made.digest
write_text(Path(out) / stage / "comparison.csv", "table")
with open(Path(out) / "log.txt", "a") as log:
    log.write("second ")
write_manifest(Path(out) / stage, COMPARISON, inputs=digests, parameters={}, outputs=["comparison.csv"]).digest
"""


@pytest.mark.parametrize("damage", ["written over", "removed", "folder removed"])
def test_networks_behind_a_comparison_are_looked_after(project: Path, damage: str) -> None:
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', NETWORKS)
    run(project)
    assert run(project) == []
    weights = project / "runs" / "whole" / "some_b" / "weights"
    if damage == "written over":
        weights.write_text("other")
    elif damage == "removed":
        weights.unlink()
    else:
        shutil.rmtree(weights.parent)
    assert run(project) == ["second"]
    assert weights.read_text() == "some_b"


@pytest.mark.parametrize("change", ["recipe", "weights"])
def test_files_that_parameters_name_are_read_anew(project: Path, change: str) -> None:
    parameters = f'out = ""\nstage = ""\n{change} = ""'
    write_notebook(project / "notebooks" / "12_second.ipynb", parameters, SECOND)
    named = project / ("mine.toml" if change == "recipe" else "weights")
    if change == "weights":
        named.mkdir()
    content = named if change == "recipe" else named / "b0_notop.h5"
    content.write_text("one")
    log = project / "runs" / "whole" / "log.txt"

    def again() -> list[str]:
        log.unlink(missing_ok=True)
        run_suite("whole", data="data", root=project, parameters={f"12_second.{change}": named.name})
        return log.read_text().split() if log.is_file() else []

    assert again() == ["first", "second", "last"]
    assert again() == []
    content.write_text("two")
    assert again() == ["second"]


def test_networks_of_other_parameters_are_set_aside(project: Path) -> None:
    some = NETWORKS.replace('("some_a", "some_b")', "names")
    parameters = 'out = ""\nstage = ""\nnames = ["some_a", "some_b"]'
    write_notebook(project / "notebooks" / "12_second.ipynb", parameters, some)
    out = run_suite("whole", data="data", root=project)
    run_suite("whole", data="data", root=project, parameters={"names": ["some_b", "some_c"]})
    assert [folder.name for folder in trained_folders(out)] == ["some_b", "some_c"]
    assert (out / "earlier" / "some_a" / "weights").read_text() == "some_a"
    assert "some_a" not in (out / "report.html").read_text()


def test_another_network_in_the_folder_runs_what_joins_networks(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "TRAINING_PREFIXES", ("12_",))
    assert run(project) == ["first", "second", "last"]
    other = project / "runs" / "whole" / "mine"
    write_text(other / "history.csv", "fold,seed,stage,epoch,loss\n0,0,1,1,2.0\n")
    write_manifest(other, TRAINED, inputs={}, parameters={}, outputs=["history.csv"])
    assert run(project) == ["last"]
    assert run(project) == []


def test_a_notebook_changed_while_it_ran_runs_again(project: Path) -> None:
    path = project / "notebooks" / "12_second.ipynb"
    later = project / "later.ipynb"
    write_notebook(later, 'out = ""\nstage = ""', SECOND)
    body = SECOND + f"\nimport shutil\nshutil.copy({str(later)!r}, {str(path)!r})"
    write_notebook(path, 'out = ""\nstage = ""', body)
    assert run(project) == ["first", "second", "last"]
    assert run(project) == ["second"]


def test_equal_results_of_an_earlier_stage_run_nothing_behind_it(project: Path) -> None:
    run(project)
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', SECOND + "\n1 + 1")
    assert run(project) == ["second"]


def test_a_run_that_was_moved_is_still_up_to_date(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project)
    (project / "elsewhere").mkdir()
    shutil.move(project / "runs", project / "elsewhere" / "runs")
    shutil.move(project / "data", project / "elsewhere" / "data")
    monkeypatch.chdir(project / "elsewhere")
    (project / "elsewhere" / "runs" / "whole" / "log.txt").unlink()
    run_suite("whole", data="data", root=project)
    assert not (project / "elsewhere" / "runs" / "whole" / "log.txt").exists()
    assert read_manifest(project / "elsewhere" / "runs" / "whole").stage == "report"


@pytest.mark.parametrize("stage", ["04_train_efficientnet-b0", "06_raw_eeg", "07_ensemble", "02_eeg_spectrograms"])
def test_an_edited_network_of_the_users_own_puts_the_stages_that_train_out_of_date(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = [each for each in SuiteTable().suite("full").stages if each.name == stage]

    def key_with(network: Callable[..., object]) -> str:
        monkeypatch.setattr(freshness, "own_networks", lambda: {"mine": network})
        monkeypatch.setattr(freshness, "made_folders", lambda folder: [])
        return digest_json(freshness.stage_key(row, {}, tmp_path, None))

    first, same, edited = (key_with(network) for network in (lambda x: x + 1, lambda x: x + 1, lambda x: x + 2))
    assert first == same and (first != edited) is (stage[:2] in ("04", "06"))
