"""``hbac predict --window timeline``: a recording of hours as a table with a row for every ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hbaclib.cli.messages import sentence
from hbaclib.cli.messages import tell as _tell
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import DataError, HbacError, printable
from hbaclib.outputs import table_file

if TYPE_CHECKING:
    import pandas as pd

    from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
    from hbaclib.prediction.windows import Recording
    from hbaclib.recordings.base import BaseRecording
    from hbaclib.timeline.bins import Timeline

COLUMNS = ("file", "start", "stop", "clock", *VOTE_COLUMNS, "state", "reason", "context", "missing", "quality")
"""Columns of the table; seconds count from the recording's first sample."""
_ROWS = 512


def has_times(path: Path) -> bool:
    """Whether a file is one of a recording of hours, EDF, BDF and the like, and not of windows as the competition's."""
    from hbaclib.recordings.formats import PARQUET, format_of

    try:
        return format_of(path) != PARQUET
    except HbacError:
        return True  # opening it says why it is none


def write_timeline(
    artefacts: str | Path,
    recordings: Sequence[Recording],
    out: Path | None,
    read: list[str | Path],
    headers: Sequence[Sequence[str]],
    with_spectrograms: bool,
    opening: Callable[[Path], BaseRecording],
    cutting: Callable[[BaseRecording], Timeline],
    faults: list[str],
) -> dict[str, str]:
    """Predict the bins of all recordings, one after the other; those with a fault are named and left out.

    Args:
        artefacts: what predicts.
        recordings: what is predicted.
        out: the table; None: standard output.
        read: files and folders that no output may replace.
        headers: tables that may be replaced.
        with_spectrograms: whether networks that see ten minutes may serve.
        opening: opens a recording.
        cutting: makes the timeline of an open one.
        faults: gets a sentence on each recording that was left out.

    Returns:
        Recording -> reason, of those of which nothing could be evaluated.
    """
    from hbaclib.prediction.ensemble_predictor import EnsemblePredictor

    silent: dict[str, str] = {}
    with table_file(out, read, headers) as file:
        table = _Table(file)
        predictor = EnsemblePredictor.open(artefacts, spectrograms=with_spectrograms)
        if predictor.sees_spectrograms:
            _tell("spectrograms are computed from the EEG; what of their ten minutes lies outside it stays empty")
        for recording in recordings:
            try:
                with closing(opening(recording.eeg)) as eeg:
                    for note in eeg.notes:
                        _tell(f"{recording.eeg}: {note}")
                    reason = _write(predictor, eeg, cutting(eeg), table)
            except (HbacError, OSError, UnicodeError) as error:
                if len(recordings) == 1:
                    raise
                faults.append(sentence(error) or str(error))
                _tell(faults[-1])
                continue
            if reason:
                silent[printable(recording.eeg, one_line=True)] = reason
        if not table.begun:
            raise DataError(f"none of {len(recordings)} recordings could be predicted")
    return silent


class _Table:
    """The table, to which rows are added at its end: a file, or None for standard output."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.begun = file, False

    def append(self, rows: pd.DataFrame) -> None:
        """Add rows; the first ones come behind the names of the columns."""
        if self.file:
            rows.to_csv(self.file, mode="a", header=not self.begun, index=False)
        else:
            click.echo(rows.to_csv(header=not self.begun, index=False), nl=False)
        self.begun = True


def _write(predictor: EnsemblePredictor, eeg: BaseRecording, line: Timeline, table: _Table) -> str:
    """Write the bins of one recording as they come; give the reason where none has shares."""
    import pandas as pd
    from tqdm import tqdm

    from hbaclib.timeline.bins import EDGE, NOT_EVALUATED, as_row

    name = printable(eeg.path, one_line=True)
    length = f"{eeg.seconds / 3600:.1f} h" if eeg.seconds >= 3600 else f"{eeg.seconds:g} s"
    networks = sum(len(member.models) for member in predictor.members.values())
    if line.allow_missing:
        lacks = eeg.montage_fault or "rows with less than three of the four regions"
        _tell(f"{eeg.path}: warning: {lacks}; predicted all the same (--allow-missing), the networks know no such EEG")
    _tell(f"{eeg.path}: {length}, {line.n_windows} windows of 50 s for {networks} networks")
    bar = tqdm(line.bins(predictor), "predicting", line.n_bins, unit="bin", disable=None if table.file else True)
    reason, evaluated = "", False
    while chunk := list(islice(bar, _ROWS)):
        evaluated = evaluated or any(each.state != NOT_EVALUATED for each in chunk)
        # What lies in the middle tells more than an edge does.
        reason = next((each.reason for each in chunk if each.reason not in ("", EDGE)), reason)
        rows = pd.DataFrame([as_row(line, each) for each in chunk])
        rows.insert(0, "file", name)
        table.append(rows[list(COLUMNS)].astype(dict.fromkeys(VOTE_COLUMNS, "float32")))
    return "" if evaluated else reason or EDGE
