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
        predictor = EnsemblePredictor.open(artefacts, spectrograms=with_spectrograms)
        if predictor.sees_spectrograms:
            _tell("spectrograms are computed from the EEG; what of their ten minutes lies outside it stays empty")
        header = True
        for recording in recordings:
            try:
                with closing(opening(recording.eeg)) as eeg:
                    for note in eeg.notes:
                        _tell(f"{recording.eeg}: {note}")
                    reason = _write(predictor, eeg, cutting(eeg), file, header, len(recordings) == 1)
            except (HbacError, OSError, UnicodeError) as error:
                if len(recordings) == 1:
                    raise
                faults.append(sentence(error) or str(error))
                click.echo(f"hbac: {printable(faults[-1])}", err=True)
                continue
            header = False
            if reason:
                silent[printable(recording.eeg, one_line=True)] = reason
        if header:
            raise DataError(f"none of {len(recordings)} recordings could be predicted")
    return silent


def _write(
    predictor: EnsemblePredictor, eeg: BaseRecording, line: Timeline, file: Path | None, header: bool, alone: bool
) -> str:
    """Write the bins of one recording as they come; give the reason where none has shares."""
    import pandas as pd
    from tqdm import tqdm

    from hbaclib.timeline.bins import NOT_EVALUATED, as_row

    name = printable(eeg.path, one_line=True)
    told = f"{eeg.seconds / 3600:.1f} h" if eeg.seconds >= 3600 else f"{eeg.seconds:g} s"
    _tell(f"{eeg.path}: {told}, {line.n_windows} windows of 50 s")
    bar = tqdm(line.bins(predictor), "predicting", line.n_bins, unit="bin", disable=None if file else True)
    reason, evaluated = "", False
    while chunk := list(islice(bar, _ROWS)):
        for each in chunk:
            evaluated = evaluated or each.state != NOT_EVALUATED
            reason = reason or each.reason
        table = pd.DataFrame([as_row(line, each) for each in chunk])
        table.insert(0, "file", name)
        table = table[list(COLUMNS)].astype(dict.fromkeys(VOTE_COLUMNS, "float32"))
        if file:
            table.to_csv(file, mode="a", header=header, index=False)
        else:
            click.echo(table.to_csv(header=header, index=False), nl=False)
        header = False
    return "" if evaluated else reason
