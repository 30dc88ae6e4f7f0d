"""What can be seen of a training run while it runs, in whatever processes its fits are.

A fit writes its learning curve after every epoch, and a process of its own tells how far it is after every other second
(see `hbaclib.training.reports`); whoever waits for it reads the files, on this host or from the folder that a cluster
shares.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from hbaclib.training.fit import Fit
from hbaclib.training.history import read_history

log = logging.getLogger(__name__)

_EVERY = 2.0  # seconds between two looks
_LOG_AFTER, _LOG_EVERY = 60.0, 900.0  # seconds between lines where they stay, as in a file: at first, and at most


@contextmanager
def watch(
    fits: Sequence[Fit],
    *,
    bar: bool = False,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    lines: Callable[[], Sequence[str]] | None = None,
) -> Iterator[None]:
    """Follow fits through their learning curves, in a thread of its own, as long as the block lasts.

    Args:
        fits: that are about to run.
        bar: show one bar over the epochs of all fits, with the time left; a single process has a bar of its steps.
        lines: asked every other second for what is to be shown below the bar, one line a device.
        on_epoch: called whenever epochs have ended, with one table of the curves so far: columns ``fold``, ``stage``,
            ``epoch``, ``learning_rate``, ``loss``, ``val_kl``, ``val_kl_many_votes``. If it fails, training continues
            without it. Fits of several folders are called by their folders, too.
    """
    if on_epoch is None and not bar and lines is None:
        yield
        return
    several = len({fit.folder for fit in fits}) > 1
    files = {fit.title if several else fit.name: fit.path("history.csv") for fit in fits}
    # Curves of an earlier run in the same folder do not count: they stay until the first epoch ends.
    before = {name: _changed(path) for name, path in files.items()}
    ended = threading.Event()

    def follow() -> None:
        seen, show, last = 0, on_epoch, False
        while not last:
            last = ended.wait(_EVERY)
            if lines is not None:
                live.show(lines())
            curves = _curves(files, before)
            epochs = sum(map(len, curves))
            if epochs <= seen:
                continue
            shown.update(epochs - seen)
            seen = epochs
            if show is not None:
                try:
                    show(pd.concat(curves, ignore_index=True))
                except Exception:  # whatever a notebook draws must not cost hours of training
                    log.warning("the learning curves cannot be shown; training continues without", exc_info=True)
                    show = None

    total = sum(stage.epochs for fit in fits for stage in fit.recipe.stages)
    with (
        tqdm(total=total, desc=f"{len(fits)} fits", unit="epoch", disable=not bar) as shown,
        LiveLines(disable=not bar) as live,
    ):
        if lines is not None:
            live.show(lines())
        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _curves(files: Mapping[str, Path], before: Mapping[str, int]) -> list[pd.DataFrame]:
    """Learning curves of the files that have changed, with their fit's name as ``fold``."""
    curves = []
    for name, path in files.items():
        if _changed(path) != before[name]:
            try:
                curves.append(read_history(path).assign(fold=name))
            except (OSError, ValueError):
                log.debug("%s cannot be read at this moment", path)
    return curves


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


class LiveLines:
    """A few lines that are written over: in a notebook one output, in a terminal bars below each other.

    Where lines stay, as in a file, they are written after a minute, and then less and less often.

    Args:
        disable: show nothing.
    """

    def __init__(self, *, disable: bool = False) -> None:
        self._disable, self._stack, self._bars = disable, ExitStack(), list[Any]()
        self._handle = _display_handle()
        self._say, self._every = 0.0, _LOG_AFTER
        self._last: tuple[str, ...] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines in place of the last ones."""
        if self._disable or tuple(lines) == self._last:
            return
        if self._handle is not None:
            text = {"text/plain": "\n".join(lines)}
            self._handle.display(text, raw=True) if not self._last else self._handle.update(text, raw=True)
        elif sys.stderr is not None and sys.stderr.isatty():
            for number, line in enumerate(lines):
                if number == len(self._bars):
                    self._bars.append(self._stack.enter_context(tqdm(bar_format="{desc}", position=number + 1)))
                self._bars[number].set_description_str(line)
        elif time.monotonic() >= self._say:
            self._say, self._every = time.monotonic() + self._every, min(2 * self._every, _LOG_EVERY)
            for line in lines:
                tqdm.write(line, file=sys.stderr)
        self._last = tuple(lines)

    def __enter__(self) -> LiveLines:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the bars."""
        self._stack.close()


def _display_handle() -> Any:
    """What shows an output that can be replaced, in a notebook; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import DisplayHandle

    shell = get_ipython()
    return DisplayHandle() if getattr(shell, "kernel", None) is not None else None
