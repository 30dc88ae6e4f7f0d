"""What commands say of the library's log and warnings, and what they leave to Python."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.cli.messages import plain_streams, sentence
from hbaclib.cli.paths import NamedPath


def test_the_log_and_warnings_are_messages_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(*arguments: object, **options: object) -> str:
        logging.getLogger("hbaclib.somewhere").warning("a note on %s", "\x1b[31mred")
        logging.getLogger("hbaclib.somewhere").info("nothing of interest")
        return "done"

    monkeypatch.setattr("hbaclib.dataset.synthetic.make_synthetic_dataset", made)
    answer = CliRunner().invoke(main, ["synth", str(tmp_path / "set")])
    assert answer.output == "hbac: a note on \\x1b[31mred\ndone\n"
    assert not logging.getLogger("hbaclib").handlers
    form = warnings.formatwarning
    with plain_streams():
        assert warnings.formatwarning(UserWarning("\x07"), UserWarning, "a.py", 1) == "hbac: \\x07\n"
    assert warnings.formatwarning is form


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_no_stream_fails_for_want_of_a_character(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "cp932", errors)
    monkeypatch.setattr(sys, "stdout", stream)
    with plain_streams():
        click.echo("µ\udcff")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\xb5\\udcff\n"  # type: ignore[attr-defined]


def test_a_fault_of_the_program_stays_one() -> None:
    assert sentence(ZeroDivisionError("division by zero")) is None
    assert sentence(ValueError("nothing of a path")) is None and sentence(RuntimeError("whatever")) is None


def test_paths_are_converted_as_click_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert NamedPath().convert("~/a", None, None) == tmp_path / "a"
    (tmp_path / "file").touch()
    with pytest.raises(click.BadParameter, match="is a file"):
        NamedPath(file_okay=False).convert(str(tmp_path / "file"), None, None)
    with pytest.raises(click.BadParameter, match="does not exist"):
        NamedPath(exists=True).convert("nothing", None, None)
