"""What a process that trains tells whoever started it: a small file, written anew every other second.

A pipe would need somebody who reads it; a file is there for whoever looks, and costs a process that nobody looks at
nothing.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from hbaclib.artefacts import write_json
from hbaclib.errors import HbacError
from hbaclib.schema import closed, read_json

_EVERY = 2.0  # seconds between two reports
_WARNINGS = 20


@closed
@dataclass(frozen=True)
class Report:
    """How far a process is.

    Attributes:
        fit: what it works on, as messages call it.
        begin: Unix time at which that began.
        device: where, as `hbaclib.training.devices.take_devices` calls it; empty while it waits for one.
        epoch: the epoch under way, counted through all stages; 0 before the first step.
        epochs: of the whole fit.
        steps_per_second: mean over the fit; None where too few steps were made.
        seconds_left: of the fit; None where that is not known yet.
        warnings: what the library warned of, at most 20.
    """

    fit: str
    begin: float
    device: str = ""
    epoch: int = 0
    epochs: int = 0
    steps_per_second: float | None = None
    seconds_left: float | None = None
    warnings: tuple[str, ...] = ()


class Reporter(logging.Handler):
    """Writes a process' reports, and as a handler of the log collects its warnings.

    A report that cannot be written is let go: it must not cost the training.

    Args:
        path: the file.
        fit: what the process works on.
    """

    def __init__(self, path: Path, fit: str) -> None:
        super().__init__(logging.WARNING)
        self.path, self.report, self._next = path, Report(fit, time.time()), 0.0
        self.write()

    def on(self, device: str) -> None:
        """The fit has its device, and begins."""
        self.report = replace(self.report, device=device)
        self.write()

    def steps(self, epoch: int, epochs: int, steps_per_second: float | None, seconds_left: float | None) -> None:
        """A step has ended; written at most every other second."""
        if time.monotonic() >= self._next:
            self.report = replace(
                self.report,
                epoch=epoch,
                epochs=epochs,
                steps_per_second=steps_per_second,
                seconds_left=seconds_left,
            )
            self.write()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning, and tell it at once."""
        text = record.getMessage()
        if text not in self.report.warnings and len(self.report.warnings) < _WARNINGS:
            self.report = replace(self.report, warnings=(*self.report.warnings, text))
            self.write()

    def write(self) -> None:
        """Write the report now."""
        self._next = time.monotonic() + _EVERY
        try:
            write_json(self.path, vars(self.report) | {"warnings": list(self.report.warnings)})
        except (OSError, HbacError):
            self._next += 30 * _EVERY  # a full disk stays full for a while

    def __enter__(self) -> Reporter:
        """Take the warnings of the library from now on."""
        logging.getLogger("hbaclib").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        """Take no more."""
        logging.getLogger("hbaclib").removeHandler(self)


def read_report(path: Path) -> Report | None:
    """The last report in a file; None where there is none that can be read."""
    try:
        return read_json(path, Report, "report of a process", "it is written anew")
    except (OSError, HbacError):
        return None


def told(report: Report, now: float) -> str:
    """A report in words, for one line on a screen.

    Args:
        report: what is told.
        now: Unix time.
    """
    if not report.device:
        return f"{report.fit}: waits for a free device, {duration(now - report.begin)}"
    if not report.epoch:
        return f"{report.fit}: builds and traces the network, {duration(now - report.begin)}"
    parts = [f"epoch {report.epoch} of {report.epochs}"]
    if report.steps_per_second is not None:
        parts.append(f"{report.steps_per_second:.3g} steps/s")
    if report.seconds_left is not None:
        parts.append(f"{duration(report.seconds_left)} left")
    return f"{report.fit}: {', '.join(parts)}"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``40 s``, ``14 min``, ``2.5 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
