"""A few lines of what is going on now: in a notebook, a terminal, or a log."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from hbaclib.artefacts import write_text
from hbaclib.errors import HbacError

EVERY = 2.0
"""Seconds between two looks at what is going on."""
LIVE_FILE = "HBAC_LIVE_FILE"
"""Environment variable: the file in which whoever runs a notebook in another process looks for its lines."""
_LOG_AFTER, _LOG_EVERY = 60.0, 900.0  # seconds between lines where they stay, as in a file: at first, and at most


class LiveLines:
    """A few lines that are written over: in a notebook one output, in a terminal bars below each other.

    Where lines stay, as in a file, they are written at once, after a minute, and then less and less often; so they are
    in a Kaggle session that nobody looks into ("Save & Run All", or a push), whose log takes no display output. Where
    `LIVE_FILE` names a file, the lines stand in it as well.

    Args:
        disable: show nothing.
        on_stay: called before the first lines that stay are written.
    """

    def __init__(self, *, disable: bool = False, on_stay: Callable[[], None] = lambda: None) -> None:
        self._disable, self._stack, self._bars = disable, ExitStack(), list[Any]()
        self._handle = None if disable else _display_handle()
        self._unattended = os.environ.get("KAGGLE_KERNEL_RUN_TYPE", "").lower() == "batch"
        self._file = os.environ.get(LIVE_FILE, "")
        self._say, self._every, self._on_stay = 0.0, _LOG_AFTER, on_stay
        self._last: tuple[str, ...] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines in place of the last ones."""
        if self._disable or tuple(lines) == self._last:
            return
        self._note(lines)
        if self._handle is not None:
            text = {"text/plain": "\n".join(lines)}
            self._handle.display(text, raw=True) if not self._last else self._handle.update(text, raw=True)
            if self._unattended:
                self._stay(lines)
        elif sys.stderr is not None and sys.stderr.isatty():
            for number, line in enumerate([*lines, *[""] * (len(self._bars) - len(lines))]):
                if number == len(self._bars):
                    bar = tqdm(bar_format="{desc}", position=number + 1, leave=False)
                    self._bars.append(self._stack.enter_context(bar))
                self._bars[number].set_description_str(line)
        else:
            self._stay(lines)
        self._last = tuple(lines)

    def _stay(self, lines: Sequence[str]) -> None:
        """Write lines that stay, where it is time for them."""
        if not lines or sys.stderr is None or time.monotonic() < self._say:
            return
        if not self._say:
            self._on_stay()
        self._say, self._every = time.monotonic() + self._every, min(2 * self._every, _LOG_EVERY)
        for line in lines:
            tqdm.write(line, file=sys.stderr)

    def _note(self, lines: Sequence[str]) -> None:
        """Leave the lines for whoever runs this notebook; that they cannot be left costs nothing else."""
        if self._file:
            with contextlib.suppress(OSError, HbacError):
                write_text(self._file, "\n".join(lines))

    def __enter__(self) -> LiveLines:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the bars; nothing goes on any more."""
        if not self._disable:
            self._note([])
        self._stack.close()


def noted_lines(path: Path) -> list[str]:
    """The lines that a notebook shows now, from the file that `LIVE_FILE` names for it; none where there are none."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _display_handle() -> Any:
    """What shows an output that can be replaced, in a notebook; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import DisplayHandle

    shell = get_ipython()
    return DisplayHandle() if getattr(shell, "kernel", None) is not None else None
