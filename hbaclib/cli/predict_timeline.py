"""``hbac predict --window timeline``: a recording of hours as a table with a row for every ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hbaclib.cli.messages import sentence
from hbaclib.cli.messages import tell as _tell
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import ConfigError, DataError, DataFileError, HbacError, printable
from hbaclib.outputs import naming, output_file, table_file
from hbaclib.recordings.found import ENDING
from hbaclib.stages.shipped import damage_told

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hbaclib.cli.timeline_options import LineOptions
    from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
    from hbaclib.prediction.windows import Recording
    from hbaclib.recordings.base import BaseRecording
    from hbaclib.timeline.bins import Timeline
    from hbaclib.timeline.doubt import Calibration
    from hbaclib.timeline.outputs import Read, Reading

COLUMNS = ("file", "start", "stop", "clock", *VOTE_COLUMNS, "state", "reason", "context", "missing", "quality")
"""Columns of the table; seconds count from the recording's first sample."""
DOUBT_COLUMNS = (*COLUMNS[: COLUMNS.index("reason") + 1], "set", "doubt", *COLUMNS[COLUMNS.index("reason") + 1 :])
"""Those of the table where the model has a calibration of its doubt."""


def has_times(path: Path) -> bool | None:
    """Whether a file is one of a recording of hours, EDF, BDF and the like, and not of windows as the competition's.

    Returns:
        None for what is neither: opening it says why.
    """
    from hbaclib.recordings.formats import PARQUET, format_of

    try:
        return format_of(path) != PARQUET
    except HbacError:
        return None


def write_timeline(
    artefacts: str | Path,
    recordings: Sequence[Recording],
    out: Path | None,
    read: list[str | Path],
    headers: Sequence[Sequence[str]],
    with_spectrograms: bool,
    opening: Callable[[Path], BaseRecording],
    cutting: Callable[[BaseRecording], Timeline],
    options: LineOptions,
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
        options: what is written beside the table, and how shares become states.
        faults: gets a sentence on each recording that was left out.

    Returns:
        Recording -> reason, of those of which nothing could be evaluated.

    Raises:
        ArtefactError: something cannot be written; of the table nothing stays, and of the files of that recording.
    """
    from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
    from hbaclib.timeline.doubt import calibration_of
    from hbaclib.timeline.outputs import check_places, files_of, page_of, write_files

    silent: dict[str, str] = {}
    apart = options.folder is not None
    _refuse_same_names(recordings, options)
    for recording in recordings:
        check_places(options.places(recording.eeg), read, headers)
    with nullcontext() if apart else _place(out, read, headers) as file:
        table = _Table(file, out)
        predictor = EnsemblePredictor.open(artefacts, spectrograms=with_spectrograms)
        with damage_told(artefacts):
            calibration = calibration_of(predictor)
        options.check_doubt(calibration)
        _tell(calibration.note)
        reading = options.reading()
        # Asked for before hours of work, and not at all where nobody needs it: a folder of networks may lack it.
        trained = predictor.prior if reading.reweighs else None
        if predictor.sees_spectrograms:
            _tell("spectrograms are computed from the EEG; what of their ten minutes lies outside it stays empty")
        for recording in recordings:
            places, fault = options.places(recording.eeg), None
            try:
                with files_of(places, read, headers) as files:
                    try:
                        with closing(opening(recording.eeg)) as eeg:
                            for note in eeg.notes:
                                _tell(f"{recording.eeg}: {note}")
                            quiet = None if apart or files or file else True
                            found = _predict(predictor, eeg, cutting(eeg), reading, trained, calibration, quiet)
                            page = page_of(found, eeg, str(artefacts), reading) if "page" in files else ""
                    except (HbacError, OSError, UnicodeError) as error:
                        raise _LeftOut from error
                    # What cannot be written is no fault of this recording: the next one could not be, either.
                    own = _Table(files["timeline"], places["timeline"]) if apart else table
                    own.append(_rows(found, eeg.path))
                    write_files(files, found, eeg.clock, page, places)
                table.begun = True
            except _LeftOut as left_out:
                fault = _fault(left_out.__cause__)
            # Not raised above: it would be its own context.
            if fault is not None:
                if len(recordings) == 1:
                    raise fault
                faults.append(str(fault))
                _tell(faults[-1])
                continue
            if reason := _silent(found):
                silent[printable(recording.eeg, one_line=True)] = reason
        if not table.begun:
            raise DataError(f"none of {len(recordings)} recordings could be predicted")
        table.close()
    return silent


def _place(
    out: Path | None, read: list[str | Path], headers: Sequence[Sequence[str]]
) -> AbstractContextManager[Path | None]:
    """The file that the table of all recordings is written to, CSV or Parquet; None: standard output."""
    if out is None or out.suffix.lower() != ENDING:
        return table_file(out, read, headers)
    return output_file(out, read, _is_parquet_timeline)


def _is_parquet_timeline(path: Path) -> bool:
    """Whether a file is a timeline in Parquet, which may be replaced."""
    import pyarrow
    import pyarrow.parquet

    try:
        return tuple(pyarrow.parquet.read_schema(path).names) in (COLUMNS, DOUBT_COLUMNS)
    except (OSError, pyarrow.ArrowInvalid):
        return False


def _refuse_same_names(recordings: Sequence[Recording], options: LineOptions) -> None:
    """Refuse recordings whose files in one folder would have one name."""
    if options.folder is None:
        return
    seen: dict[str, Path] = {}
    for recording in recordings:
        other = seen.setdefault(recording.eeg.stem, recording.eeg)
        if other != recording.eeg:
            raise ConfigError(
                f"{other} and {recording.eeg} would have files of one name in {options.folder}; predict them one by one"
            )


class _LeftOut(Exception):
    """A recording cannot be read or predicted; its cause says why."""


class _Table:
    """The table, to which rows are added at its end: a file, or None for standard output."""

    def __init__(self, file: Path | None, place: Path | None) -> None:
        self.file, self.place, self.begun = file, place, False
        self._held: list[pd.DataFrame] = []

    def append(self, rows: pd.DataFrame) -> None:
        """Add rows; the first ones come behind the names of the columns. Those of Parquet wait for the end."""
        if self.file and self.file.suffix.lower() == ENDING:
            self._held.append(rows)
        elif self.file:
            with naming(self.place or self.file):
                rows.to_csv(self.file, mode="a", header=not self.begun, index=False)
        else:
            click.echo(rows.to_csv(header=not self.begun, index=False), nl=False)
        self.begun = True

    def close(self) -> None:
        """Write what waited."""
        import pandas as pd

        if self._held and self.file:
            with naming(self.place or self.file):
                pd.concat(self._held, ignore_index=True).to_parquet(self.file, index=False)


def _predict(
    predictor: EnsemblePredictor,
    eeg: BaseRecording,
    line: Timeline,
    reading: Reading,
    trained: np.ndarray | None,
    calibration: Calibration,
    quiet: bool | None,
) -> Read:
    """Predict the bins of one recording, and find states and segments; nothing is written."""
    from tqdm import tqdm

    from hbaclib.timeline.outputs import read_bins

    length = f"{eeg.seconds / 3600:.1f} h" if eeg.seconds >= 3600 else f"{eeg.seconds:g} s"
    networks = sum(len(member.models) for member in predictor.members.values())
    if line.warning:
        _tell(f"{eeg.path}: {line.warning}")
    _tell(f"{eeg.path}: {length}, {line.n_windows} windows of 50 s for {networks} networks")
    found = line.bins(predictor, spread=calibration.doubt is not None)
    bins = list(tqdm(found, "predicting", line.n_bins, unit="bin", disable=quiet))
    return read_bins(line, bins, trained, reading, calibration)


def _rows(read: Read, path: Path) -> pd.DataFrame:
    """The rows of the table of one recording."""
    rows = read.rows
    rows.insert(0, "file", printable(path, one_line=True))
    return rows[list(DOUBT_COLUMNS if read.tells_doubt else COLUMNS)].astype(dict.fromkeys(VOTE_COLUMNS, "float32"))


def _silent(read: Read) -> str:
    """The reason where no bin has shares; else empty."""
    from hbaclib.timeline.bins import EDGE, NOT_EVALUATED

    if any(state != NOT_EVALUATED for state in read.states):
        return ""
    # What lies in the middle tells more than an edge does.
    return next((each.reason for each in read.bins if each.reason not in ("", EDGE)), EDGE)


def _fault(error: BaseException | None) -> HbacError:
    """What is wrong with a recording, as an error of ours: one of the system would count as one of writing."""
    if isinstance(error, HbacError):
        return error
    assert isinstance(error, Exception)
    return DataFileError(sentence(error) or str(error))
