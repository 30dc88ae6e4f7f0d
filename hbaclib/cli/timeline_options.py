"""Options of ``hbac predict`` for timelines: what is written beside the table, and how shares become states."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from hbaclib.cli.paths import NamedPath
from hbaclib.errors import ConfigError

if TYPE_CHECKING:
    from hbaclib.timeline.doubt import Calibration
    from hbaclib.timeline.outputs import Reading

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILES = {
    "page": "one page (HTML) of the whole recording: shares, states, spectrograms, EEG. It opens from disk.",
    "segments": "table (CSV) of segments: onset, duration, state, share, doubt, clock, bins, reason.",
    "annotations": "the segments as annotations in EDF+, which viewers of EEG import.",
    "szcore": "the seizures as events in SzCORE's form (TSV).",
}


class LineOptions:
    """What was asked for of timelines.

    Attributes:
        files: kind of file -> its place, of those named one by one.
        folder: where every recording gets all of its files; None: nowhere.
        given: names of the options that were given.
    """

    def __init__(self, **options: Any) -> None:
        self.files: dict[str, Path] = {kind: options[kind] for kind in _FILES if options[kind] is not None}
        self.folder: Path | None = options["out_dir"]
        self._prior, self._seizure, self._detail, self._doubt = (
            options["prior"],
            options["seizure_threshold"],
            options["page_detail"],
            options["doubt"],
        )
        self.given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]

    def check(self, n_recordings: int, out: Path | None) -> None:
        """Refuse what does not go together."""
        if self.files and n_recordings != 1:
            raise click.UsageError(
                f"--{next(iter(self.files))} is of one recording, and there are {n_recordings}; --out-dir FOLDER gives "
                "each its own files"
            )
        if "annotations" in self.files or self.folder:
            from hbaclib.timeline.annotations import check_writer

            check_writer()
        if self.folder and (self.files or out):
            raise click.UsageError("--out-dir names all files itself; --out, --page and the like do not go with it")

    def check_doubt(self, calibration: Calibration) -> None:
        """Refuse a limit of doubt where a model tells none."""
        if self._doubt is not None and calibration.doubt is None:
            raise ConfigError(f"--doubt does not apply: {calibration.note}")

    def reading(self) -> Reading:
        """How shares become states."""
        from hbaclib.timeline.outputs import PRIORS, WHOLE_MINUTES, Reading
        from hbaclib.timeline.segments import Rules

        return Reading(
            self._prior or PRIORS[0],
            Rules(seizure=self._seizure) if self._doubt is None else Rules(seizure=self._seizure, doubt=self._doubt),
            WHOLE_MINUTES if self._detail is None else self._detail,
        )

    def places(self, recording: Path) -> dict[str, Path]:
        """Kind of file -> where it is written, of one recording; in a folder for all the ``timeline`` is among them."""
        from hbaclib.timeline.outputs import KINDS, TIMELINE

        if self.folder is None:
            return self.files
        return {kind: self.folder / f"{recording.stem}{end}" for kind, end in {"timeline": TIMELINE, **KINDS}.items()}


def line_options(command: _Command) -> _Command:
    """Add the options to a command, which gets them as ``line``."""
    names = [*_FILES, "out_dir", "prior", "seizure_threshold", "doubt", "page_detail"]

    @wraps(command)
    def bundled(*arguments: Any, **options: Any) -> Any:
        return command(*arguments, line=LineOptions(**{name: options.pop(name) for name in names}), **options)

    added = [
        click.option(f"--{kind}", type=NamedPath(dir_okay=False), default=None, help=f"Of a timeline: {text}")
        for kind, text in _FILES.items()
    ]
    added += [
        click.option("--out-dir", type=NamedPath(file_okay=False), default=None,
                     help="Of timelines: a folder in which every recording gets its table and all of these files, "
                          "under its own name."),
        click.option("--prior", type=click.Choice(["trained", "icu", "recording"]), default=None,
                     help="Of a timeline: how often the classes are expected. trained: as in training, where patterns "
                          "are frequent (without this option); icu: mostly Other, as in an ordinary night; recording: "
                          "as often as this very recording suggests."),
        click.option("--seizure-threshold", type=click.FloatRange(0, 1, min_open=True), default=None,
                     help="Of a timeline: share at which a seizure begins, whatever else leads; without it, as every "
                          "class, at 0.5 and where it leads."),
        click.option("--doubt", type=click.FloatRange(0, 1), default=None,
                     help="Of a timeline: a row with more doubt is doubtful, 0.5 without; so is one in whose set are "
                          "four classes or more. A seizure by --seizure-threshold stays one."),
        click.option("--page-detail", type=click.FloatRange(min=0), default=None, metavar="MINUTES",
                     help="Of a page: up to this length all waves of a recording are kept, 30 without; of longer ones "
                          "those around the clearest segments and the most doubtful bins."),
    ]  # fmt: skip
    for option in reversed(added):
        bundled = option(bundled)
    return cast(_Command, bundled)
