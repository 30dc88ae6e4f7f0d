"""What is made of a predicted recording: states, segments, and the files that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES
from hbaclib.outputs import check_output, is_table, naming, output_file
from hbaclib.recordings.base import BaseRecording
from hbaclib.timeline.annotations import (
    DOUBT_COLUMNS,
    SEGMENT_COLUMNS,
    SZCORE_COLUMNS,
    is_annotation_file,
    segment_table,
    szcore_table,
    write_annotations,
)
from hbaclib.timeline.bins import Bin, Timeline, as_row
from hbaclib.timeline.doubt import SEPARATOR, Calibration, with_doubt
from hbaclib.timeline.page import Facts, is_page, render_page
from hbaclib.timeline.page_data import WHOLE_MINUTES, read_signals, stretches
from hbaclib.timeline.segments import Rules, Segment, estimated_prior, find_segments, reweighed

PRIORS: Final = ("trained", "icu", "recording")
"""How often the classes are expected: as in training, as in an ordinary night of intensive care, or as found."""
ICU_PRIOR: Final = dict(zip(CLASSES, (0.02, 0.04, 0.04, 0.03, 0.05, 0.82), strict=True))
"""A night in which nothing is to be seen for most of the time: round numbers, an assumption and no measurement."""
KINDS: Final = {"segments": "-segments.csv", "annotations": "-hbac.edf", "szcore": "-szcore.tsv", "page": ".html"}
"""Kind of file beside the timeline -> how its name ends behind the recording's."""
TIMELINE: Final = "-timeline.csv"


@dataclass(frozen=True)
class Reading:
    """How shares become states.

    Attributes:
        prior: one of PRIORS.
        rules: when a class begins, goes on, and is joined.
        detail: minutes up to which the page keeps all waves of a recording.
    """

    prior: str = PRIORS[0]
    rules: Rules = field(default_factory=Rules)
    detail: float = WHOLE_MINUTES

    @property
    def reweighs(self) -> bool:
        """Whether another prior than training's is asked for."""
        return self.prior != PRIORS[0]


@dataclass(frozen=True)
class Read:
    """A recording that was predicted and read.

    Attributes:
        line: of the recording.
        bins: all of it, with shares under the chosen prior.
        states: of the bins.
        segments: that tile it.
        notes: what is to be known of the prior, and of regions that may be missing.
        calibration: of the bins' doubt and sets.
        doubt_note: on what they were calibrated, or why there are none.
    """

    line: Timeline
    bins: list[Bin]
    states: list[str]
    segments: list[Segment]
    notes: tuple[str, ...]
    calibration: Calibration
    doubt_note: str

    @property
    def tells_doubt(self) -> bool:
        """Whether bins and segments have a doubt."""
        return self.calibration.doubt is not None

    @property
    def rows(self) -> pd.DataFrame:
        """The timeline's table, without the file's name; with ``set`` and ``doubt`` where there is a calibration."""
        rows: list[dict[str, Any]] = [as_row(self.line, each) for each in self.bins]
        table = pd.DataFrame(rows).assign(state=self.states)
        if self.tells_doubt:
            at = list(table).index("reason") + 1
            table.insert(at, "set", [SEPARATOR.join(each.classes) for each in self.bins])
            table.insert(at + 1, "doubt", [each.doubt for each in self.bins])
        return table


def read_bins(
    line: Timeline,
    bins: Sequence[Bin],
    trained: np.ndarray | None,
    reading: Reading,
    calibration: Calibration | None = None,
) -> Read:
    """Find states and segments.

    Args:
        line: of the recording.
        bins: all of it, as predicted.
        trained: (6,) class means of what the networks were trained on; None where the prior stays.
        reading: how shares become states.
        calibration: of doubt and sets; None: nothing is known of one.
    """
    calibration = calibration or Calibration(None, "no doubt and no sets: no calibration was asked for")
    shares = np.stack([each.shares for each in bins]).astype(np.float64)
    notes = ["prior: classes are expected as often as in training, where patterns are far more frequent than in a ward"]
    doubt_note = calibration.note
    if reading.reweighs and trained is not None:
        found = reading.prior == "recording"
        prior = estimated_prior(shares, trained) if found else np.array(list(ICU_PRIOR.values()))
        told = ", ".join(f"{name} {share:.2f}" for name, share in zip(CLASSES, prior, strict=True))
        notes = [f"prior: {'estimated from this recording' if found else 'of an ordinary night, assumed'}: {told}"]
        shares = reweighed(shares, trained, prior)
        bins = [replace(each, shares=own.astype(np.float32)) for each, own in zip(bins, shares, strict=True)]
        if calibration.doubt:
            doubt_note += "; they are of the shares under this prior, calibrated under that of training"
    rules = reading.rules
    if calibration.doubt:
        bins = with_doubt(bins, calibration.doubt)
        if not calibration.sets_tell:
            rules = replace(rules, widest=len(CLASSES) + 1)
    if line.warning:
        notes.insert(0, line.warning)
    states, segments = find_segments(bins, rules)
    return Read(line, list(bins), states, segments, tuple(notes), calibration, doubt_note)


def _own(headers: Iterable[Sequence[str]]) -> dict[str, Callable[[Path], bool]]:
    """Kind of file -> whether an existing one is hbac's."""
    return {
        "timeline": lambda path: is_table(path, headers),
        "segments": lambda path: is_table(path, [SEGMENT_COLUMNS, DOUBT_COLUMNS]),
        "annotations": is_annotation_file,
        "szcore": lambda path: is_table(path, [["\t".join(SZCORE_COLUMNS)]]),
        "page": is_page,
    }


@contextmanager
def files_of(
    places: Mapping[str, Path], inputs: Sequence[str | Path], headers: Iterable[Sequence[str]]
) -> Iterator[dict[str, Path]]:
    """Kind -> file to write, all of which appear when the block ends well.

    Args:
        places: kind, one of KINDS or ``timeline`` -> where it is to be.
        inputs: what is read, which no output may replace.
        headers: of timelines that may be replaced.

    Raises:
        ArtefactError: a place is an input, holds a file that hbac did not write, or cannot be written.
    """
    own = _own(headers)
    with ExitStack() as stack:
        yield {kind: stack.enter_context(output_file(place, inputs, own[kind])) for kind, place in places.items()}


def check_places(places: Mapping[str, Path], inputs: Sequence[str | Path], headers: Iterable[Sequence[str]]) -> None:
    """Refuse places that `files_of` would refuse, before hours of work.

    Raises:
        ArtefactError: as there.
    """
    for kind, place in places.items():
        check_output(place, inputs, _own(headers)[kind])


def page_of(read: Read, recording: BaseRecording, model: str, reading: Reading) -> str:
    """The page of a recording.

    Args:
        read: the recording, read.
        recording: the same, open; it is read once more.
        model: what predicted.
        reading: how shares became states.

    Raises:
        DataFileError: the recording cannot be read any more.
    """
    with recording.another() as again:
        kept = stretches(read.bins, read.segments, again.seconds, reading.detail)
        signals = read_signals(again, read.line.parts, kept)
    limit = reading.rules.doubt if read.tells_doubt else None
    facts = Facts(recording.path.name, recording.seconds, recording.clock, recording.montage, model,
                  (*recording.notes, *read.notes), read.doubt_note, limit)  # fmt: skip
    return render_page(facts, read.bins, read.states, read.segments, signals)


def write_files(
    files: Mapping[str, Path], read: Read, begun: datetime | None, page: str, places: Mapping[str, Path]
) -> None:
    """Write what is made of a recording; nothing is read any more.

    Args:
        files: kind, one of KINDS -> the file.
        read: the recording, read.
        begun: date and time of its first sample.
        page: see `page_of`; not looked at where none is wanted.
        places: kind -> where the file will be, for messages.

    Raises:
        ArtefactError: one cannot be written.
    """
    writers: dict[str, Callable[[Path], object]] = {
        "segments": lambda file: segment_table(read.segments, begun, with_doubt=read.tells_doubt).to_csv(
            file, index=False
        ),
        "annotations": lambda file: write_annotations(file, read.segments, begun),
        "szcore": lambda file: szcore_table(read.segments, begun).to_csv(file, index=False, sep="\t"),
        "page": lambda file: file.write_text(page, encoding="utf-8"),
    }
    for kind, write in writers.items():
        if kind in files:
            with naming(places[kind]):
                write(files[kind])
