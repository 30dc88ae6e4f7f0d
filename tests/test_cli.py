"""The command line: help everywhere, messages without tracebacks, exit codes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hbaclib.cli import main


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


@pytest.mark.parametrize("arguments", [["run"], ["run", "smoke", "-p", "n_folds"], ["synth", "x", "--real", "y"]])
def test_wrong_usage(arguments: list[str]) -> None:
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 2 and "Usage:" in answer.output
