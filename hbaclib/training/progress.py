"""What can be seen of a training run while it runs, in whatever processes its fits are.

A fit writes its learning curve after every epoch; whoever waits for it reads the files, on this host or from the folder
that a cluster shares.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pandas as pd
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from hbaclib.training.fit import Fit

log = logging.getLogger(__name__)


class Watch:
    """Follows fits through their learning curves, in a thread of its own, as long as the block lasts.

    Args:
        fits: that are about to run.
        bar: show one bar over the epochs of all fits, with the time left; a single process has a bar of its steps.
        on_epoch: called whenever epochs have ended, with one table of the curves so far: columns ``fold``, ``stage``,
            ``epoch``, ``learning_rate``, ``loss``, ``val_kl``, ``val_kl_many_votes``. If it fails, training goes on
            without it.
        every: seconds between two looks.
    """

    def __init__(
        self,
        fits: Sequence[Fit],
        *,
        bar: bool = False,
        on_epoch: Callable[[pd.DataFrame], None] | None = None,
        every: float = 2.0,
    ) -> None:
        self._files = {fit.name: fit.path("history.csv") for fit in fits}
        self._on_epoch = on_epoch
        self._every = every
        self._seen = 0
        total = sum(stage.epochs for fit in fits for stage in fit.recipe.stages)
        self._bar = tqdm(total=total, desc=f"{len(fits)} fits", unit="epoch", disable=not bar)
        # Curves of an earlier run in the same folder do not count: they stay until the first epoch ends.
        self._before = {name: _changed(path) for name, path in self._files.items()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        if self._on_epoch is not None or not self._bar.disable:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look for the last time."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._bar.close()

    def _follow(self) -> None:
        while not self._ended.wait(self._every):
            self._look()
        self._look()

    def _look(self) -> None:
        tables = {}
        for name, path in self._files.items():
            if _changed(path) != self._before[name]:
                try:
                    tables[name] = pd.read_csv(path).assign(fold=name)
                except (OSError, ValueError):
                    log.debug("%s cannot be read at this moment", path)
        epochs = sum(map(len, tables.values()))
        if epochs <= self._seen:
            return
        self._bar.update(epochs - self._seen)
        self._seen = epochs
        if self._on_epoch is not None:
            try:
                self._on_epoch(pd.concat(tables.values(), ignore_index=True))
            except Exception:  # whatever a notebook draws must not cost hours of training
                log.warning("the learning curves cannot be shown; training goes on without", exc_info=True)
                self._on_epoch = None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
