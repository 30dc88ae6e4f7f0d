"""The runner: order, skipping by content, failures, parameters, one run at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import nbformat
import pytest

from hbaclib import locks
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.locks import hold
from hbaclib.suite.runner import StageFailedError, run_suite
from tests.suite.tiny_project import SECOND, make_project, write_notebook


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made)
    return made


def log(project: Path) -> list[str]:
    return (project / "runs" / "tiny" / "log.txt").read_text().split()


def test_runs_in_order_and_skips_what_is_up_to_date(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run_suite("tiny", root=project)
    assert log(project) == ["first", "second"]
    assert (out / "12_second" / "square.txt").read_text() == "9"
    assert (out / "notebooks" / "11_first.ipynb").is_file()
    assert (out / "report.html").is_file()
    assert "done in" in capsys.readouterr().out
    notebook = project / "notebooks" / "11_first.ipynb"
    os.utime(notebook, (1, 1))  # another time is not another content
    run_suite("tiny", root=project)
    assert log(project) == ["first", "second"]
    assert capsys.readouterr().out.count("up to date") == 2


def test_changed_parameter_recomputes_what_depends_on_it(project: Path) -> None:
    run_suite("tiny", root=project)
    out = run_suite("tiny", root=project, parameters={"value": 5})
    assert log(project) == ["first", "second"] * 2
    assert (out / "12_second" / "square.txt").read_text() == "25"


def test_changed_notebook_or_output_recomputes_that_stage_alone(project: Path) -> None:
    out = run_suite("tiny", root=project)
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', SECOND + "\n1 + 1")
    run_suite("tiny", root=project)
    assert log(project) == ["first", "second", "second"]
    (out / "12_second" / "square.txt").write_text("10")
    run_suite("tiny", root=project)
    assert log(project) == ["first", "second", "second", "second"]
    assert (out / "12_second" / "square.txt").read_text() == "9"


def test_failing_cell_is_shown_and_what_was_finished_stays(project: Path) -> None:
    with pytest.raises(StageFailedError) as caught:
        run_suite("tiny", root=project, parameters={"value": -1})
    message = str(caught.value)
    assert "12_second failed in cell" in message and "value.txt: found -1, expected 0 or more" in message
    assert "Traceback" not in message
    failed = project / "runs" / "tiny" / "notebooks" / "12_second-failed.ipynb"
    assert failed.is_file()
    run_suite("tiny", root=project, parameters={"value": 2})
    assert not failed.exists()
    assert log(project) == ["first", "first", "second"]


def test_a_progress_bar_leaves_its_last_state(project: Path) -> None:
    bar = "import sys, time\nfor n in range(4):\n    print(f'\\r{n} of 3', end='', file=sys.stderr, flush=True)\n"
    bar += "    time.sleep(0.2)\nprint(file=sys.stderr, flush=True)\nprint('first')\nprint('second')"
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', SECOND + "\n" + bar)
    out = run_suite("tiny", root=project)
    cells = nbformat.read(out / "notebooks" / "12_second.ipynb", nbformat.NO_CONVERT).cells
    streams = [(part.name, part.text) for cell in cells for part in cell.get("outputs", [])]
    assert streams == [("stderr", "3 of 3\n"), ("stdout", "first\nsecond\n")]


@pytest.mark.parametrize("ends", [True, False])
def test_what_a_notebook_shows_of_its_fits_is_shown_while_it_runs(
    project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr("hbaclib.suite.execute.EVERY", 0.02)
    body = "from hbaclib.training.live import LiveLines\nimport time\nlive = LiveLines()\n"
    body += "live.show(['GPU 0: 05_train_x fold-1: epoch 2 of 15', 'GPU 1: idle'])\n"
    if ends:
        body += "time.sleep(1.0)\nlive.__exit__()\n"
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', SECOND + "\n" + body)
    run_suite("tiny", root=project)
    said = capfd.readouterr()
    assert said.err.splitlines() == ["GPU 0: 05_train_x fold-1: epoch 2 of 15", "GPU 1: idle"]
    lines = [line for line in said.out.splitlines() if line.startswith("[")]
    assert lines[0].startswith("[1/2] 11_first done in ") and lines[1] == "[2/2] 12_second"
    assert lines[2].startswith("[2/2] 12_second done in ")


def test_a_kernel_that_dies_is_told_with_its_last_words(project: Path) -> None:
    dies = "import os, sys\nprint('no memory left', file=sys.__stderr__, flush=True)\nos.kill(os.getpid(), 9)"
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', dies)
    with pytest.raises(StageFailedError, match=r"12_second: the notebook's kernel died(.|\n)*no memory left"):
        run_suite("tiny", root=project)


def test_unknown_names_are_refused_before_anything_runs(project: Path) -> None:
    with pytest.raises(ConfigError, match="no suite 'tine'; did you mean tiny"):
        run_suite("tine", root=project)
    with pytest.raises(ConfigError, match="no parameter 'valu'; did you mean value"):
        run_suite("tiny", root=project, parameters={"valu": 1})
    table = project / "kaggle" / "suite.toml"
    table.write_text(table.read_text().replace("{ value = 3 }", "{ valeu = 3 }"))
    with pytest.raises(ConfigError, match="stage 11_first: no parameter 'valeu'; did you mean value"):
        run_suite("tiny", root=project)
    assert not (project / "runs" / "tiny" / "log.txt").exists()


def test_two_runs_do_not_share_a_folder(project: Path) -> None:
    out = project / "runs" / "tiny"
    with hold(out / ".lock"), pytest.raises(ArtefactError, match="another run is writing there"):
        run_suite("tiny", root=project)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_told_and_used(
    project: Path, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(locks, "_said", set())
    out = run_suite("tiny", root=project)
    assert "no locks on this file system; continuing without" in caplog.text
    assert (out / "12_second" / "square.txt").read_text() == "9"


def test_unusable_output_folder(project: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ArtefactError, match="expected a writable folder"):
        run_suite("tiny", root=project, out=blocked / "run")
