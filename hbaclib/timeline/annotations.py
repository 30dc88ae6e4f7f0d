"""Segments as files for other programs: a table, annotations in EDF+ for a viewer of EEG, events in SzCORE's form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pandas as pd

from hbaclib.conventions import CLASSES
from hbaclib.errors import PlatformError
from hbaclib.timeline.bins import NOT_EVALUATED
from hbaclib.timeline.segments import DOUBTFUL, SEIZURE, Segment

DOUBT_COLUMNS: Final = ("onset", "duration", "state", "share", "doubt", "clock", "bins", "reason")
SEGMENT_COLUMNS: Final = tuple(name for name in DOUBT_COLUMNS if name != "doubt")
"""Columns of the table of segments, with doubt and without it."""
SZCORE_COLUMNS: Final = (
    "onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration"
)  # fmt: skip
"""Columns of an event file. Source: SzCORE, J. Dan et al., Epilepsia 2024, doi 10.1111/epi.18113."""
_EQUIPMENT = "hbac"
_HEAD = 256
_YEARS = range(1985, 2085)
"""Years that the two digits of an EDF header can tell."""


def segment_table(
    segments: Sequence[Segment], begun: datetime | None = None, *, with_doubt: bool = False
) -> pd.DataFrame:
    """The table of segments: seconds with two decimals; ``clock`` is empty where the start is not known.

    Args:
        segments: of one recording.
        begun: date and time of the recording's first sample.
        with_doubt: whether the column ``doubt`` is there.
    """
    rows = [
        (round(each.onset, 2), round(each.duration, 2), each.state, round(each.share, 4), round(each.doubt, 4),
         "" if begun is None else (begun + timedelta(seconds=each.onset)).isoformat(), each.bins, each.reason)
        for each in segments
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(DOUBT_COLUMNS))[list(DOUBT_COLUMNS if with_doubt else SEGMENT_COLUMNS)]


def annotation_text(segment: Segment) -> str:
    """What the annotation of a segment says: ``hbac Seizure 0.91``, ``hbac doubtful LPD|GPD``."""
    if segment.state == NOT_EVALUATED:
        # Of a reason only its kind: what follows is of our own words, but long.
        return f"hbac {NOT_EVALUATED} ({segment.reason.split(':')[0].split(' (')[0]})"
    if segment.state == DOUBTFUL:
        return f"hbac {DOUBTFUL} {segment.reason}"
    return f"hbac {segment.state} {segment.share:.2f}"


def check_writer() -> None:
    """Look whether annotations can be written, before hours of work.

    Raises:
        PlatformError: edfio is not installed.
    """
    if find_spec("edfio") is None:
        raise PlatformError("annotations are written by edfio: pip install 'hbaclib[edf]'")


def write_annotations(path: str | Path, segments: Sequence[Segment], begun: datetime | None = None) -> Path:
    """Write segments as an EDF+ file of annotations alone, which viewers of EEG import beside the recording.

    Args:
        path: the file.
        segments: of one recording.
        begun: date and time of the recording's first sample, of which the fraction of a second stays; without it the
            file begins when EDF's time does.

    Returns:
        ``path``.

    Raises:
        PlatformError: edfio, which writes it, is not installed.
    """
    check_writer()
    from edfio import Edf, EdfAnnotation, Patient, Recording

    known = begun is not None and begun.year in _YEARS
    start = begun.replace(tzinfo=None) if begun is not None and known else datetime(1985, 1, 1)
    file = Edf(
        [],
        # No name, no number, no date of birth: these fields are never copied.
        patient=Patient(),
        recording=Recording(startdate=start.date(), equipment_code=_EQUIPMENT),
        starttime=start.time(),
        annotations=[EdfAnnotation(round(each.onset, 4), round(each.duration, 4), annotation_text(each))
                     for each in segments],
    )  # fmt: skip
    file.write(Path(path))
    return Path(path)


def is_annotation_file(path: str | Path) -> bool:
    """Whether a file is one that `write_annotations` made."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    # Patient, then recording: startdate, hospital's code, technician, equipment.
    return bool(
        head[:8] == b"0       "
        and head[8:88].rstrip() == b"X X X X"
        and re.match(rb"Startdate \S+ X X " + _EQUIPMENT.encode() + rb"\s*$", head[88:168])
    )


def szcore_table(segments: Sequence[Segment], begun: datetime | None = None) -> pd.DataFrame:
    """Seizures as events in SzCORE's form, or one row of background where there is none.

    Its vocabulary has seizures alone: the other patterns are in the table of segments.

    Args:
        segments: of one recording, which they tile.
        begun: date and time of the recording's first sample.
    """
    seconds = sum(each.duration for each in segments)
    events = [
        (each.onset, each.duration, "sz", f"{each.share:.4f}") for each in segments if each.state == CLASSES[SEIZURE]
    ]
    # The form wants a time; where the recording has none, that of Unix' first day tells that it is none.
    start = datetime(1970, 1, 1) if begun is None else begun
    rows = [
        (f"{onset:.2f}", f"{duration:.2f}", kind, share, "n/a",
         (start + timedelta(seconds=onset if kind == "sz" else 0)).strftime("%Y-%m-%d %H:%M:%S"), f"{seconds:.2f}")
        for onset, duration, kind, share in events or [(0.0, seconds, "bckg", "n/a")]
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(SZCORE_COLUMNS))
