"""The table of what is being done on Kaggle: redrawn in a terminal, one line per change elsewhere."""

from __future__ import annotations

import sys
import time

import click


class Board:
    """Rows of name and state.

    Args:
        names: the rows, in order.
    """

    def __init__(self, names: list[str]) -> None:
        self._states = dict.fromkeys(names, "waiting")
        self._live = sys.stdout.isatty()
        self._width = max((len(name) for name in names), default=0)
        self._began = time.monotonic()
        if self._live:
            self._draw()

    def _line(self, name: str) -> str:
        return f"{name:<{self._width}}  {self._states[name]}"

    def _draw(self) -> None:
        for name in self._states:
            click.echo(f"\x1b[2K{self._line(name)}")

    def show(self, name: str, state: str) -> None:
        """Set a row's state."""
        if self._states[name] == state:
            return
        self._states[name] = state
        if self._live:
            click.echo(f"\x1b[{len(self._states)}F", nl=False)
            self._draw()
        else:
            click.echo(f"{time.monotonic() - self._began:6.0f} s  {self._line(name)}")
