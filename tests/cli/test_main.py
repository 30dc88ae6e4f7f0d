"""The command line: help everywhere, messages without tracebacks, exit codes."""

from __future__ import annotations

import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.processes import Stopped
from tests.dataset.tiny import write_tiny


def commands(group: click.Group, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [words]
    for name, command in group.commands.items():
        found += commands(command, (*words, name)) if isinstance(command, click.Group) else [(*words, name)]
    return found


@pytest.mark.parametrize("words", commands(main), ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(main, [*words, "--help"])
    assert answer.exit_code == 0
    assert "Usage:" in answer.output and len(answer.output.splitlines()) > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "dmeo"], "no suite 'dmeo'; did you mean demo"),
        (["run", "smoke", "--data", "no/such/folder"], "no such folder"),
        (["run", "smoke", "-p", "n_fold=3"], "no parameter 'n_fold'; did you mean n_folds"),
        (["check", "no/such/folder"], "no such folder"),
    ],
)
def test_a_users_mistake_is_one_message(arguments: list[str], message: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")] if arguments[0] == "run" else []
    answer = CliRunner().invoke(main, [*arguments, *out])
    assert answer.exit_code == 1
    assert message in answer.output and answer.output.startswith("hbac: ")
    assert "Traceback" not in answer.output
    assert not (tmp_path / "out").exists()


def test_a_faulty_file_is_named_and_the_check_fails(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_tiny(root)
    whole = CliRunner().invoke(main, ["check", str(root), "--jobs", "1"])
    assert (whole.exit_code, "no fault found" in whole.output) == (0, True), whole.output
    file = sorted((root / "train_eegs").glob("*.parquet"))[0]
    file.write_bytes(file.read_bytes()[:100])
    result = CliRunner().invoke(main, ["check", str(root), "--jobs", "1"])
    assert result.exit_code == 1 and "1 faulty files" in result.output
    assert file.name in result.output and "Traceback" not in result.output


@pytest.mark.parametrize("arguments", [["run"], ["run", "smoke", "-p", "n_folds"], ["synth", "x", "--real", "y"]])
def test_wrong_usage(arguments: list[str]) -> None:
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 2 and "Usage:" in answer.output


@pytest.mark.parametrize("masked", [False, True], ids=["as it is", "behind a failure of a library"])
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "hbac: interrupted; the same command continues"),
        (Stopped(signal.SIGTERM), 143, "hbac: stopped by SIGTERM; the same command continues"),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interruption_is_told_whatever_it_became(
    error: KeyboardInterrupt, code: int, words: str, masked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        try:
            raise error
        except KeyboardInterrupt:
            if masked:  # as joblib does where its workers are just being started
                raise RuntimeError("cannot join thread before it is started")  # noqa: B904
            raise

    monkeypatch.setattr("hbaclib.dataset.synthetic.make_synthetic_dataset", interrupted)
    monkeypatch.setattr("hbaclib.cli.main.end_children", lambda: None)
    answer = CliRunner().invoke(main, ["synth", str(tmp_path / "set")])
    assert answer.exit_code == code and answer.output.startswith(words)
