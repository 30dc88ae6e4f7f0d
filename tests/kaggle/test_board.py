"""The table of a push: redrawn in place in a terminal, one line per change elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from hbaclib.kaggle.board import Board


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_is_redrawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    board = Board(["first", "the second"])
    board.show("first", "running")
    board.show("first", "running")
    # Up two lines, then each line cleared and written anew; the repeated state draws nothing.
    lines = "\x1b[2Kfirst       {}\n\x1b[2Kthe second  waiting\n"
    assert screen.getvalue() == lines.format("waiting") + "\x1b[2F" + lines.format("running")


def test_elsewhere_every_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    board = Board(["first", "the second"])
    board.show("first", "running")
    board.show("first", "running")
    board.show("the second", "complete")
    assert [line.split(" s  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "first       running",
        "the second  complete",
    ]
