"""What can be seen of a training run while it runs, in whatever processes its fits are.

A fit writes its learning curve after every epoch, and a process of its own tells how far it is after every other second
(see `hbaclib.training.reports`); whoever waits for it reads the files, on this host or from the folder that a cluster
shares.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from hbaclib.training.fit import Fit
from hbaclib.training.history import read_history
from hbaclib.training.live import EVERY, LiveLines

log = logging.getLogger(__name__)


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
            last = ended.wait(EVERY)
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
