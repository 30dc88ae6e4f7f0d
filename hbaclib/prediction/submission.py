"""From test recordings to ``submission.csv``: every row gets a valid prediction, in the time there is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from hbaclib.artefacts import MANIFEST, atomic_path, is_current, write_manifest, write_table
from hbaclib.conventions import SUBMISSION_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.csv_tables import read_typed_csv
from hbaclib.digests import STORE, data_digest
from hbaclib.errors import ConfigError, DataFileError, HbacError, list_some, printable
from hbaclib.evaluation.metric import apply_floor
from hbaclib.outputs import refuse_foreign_table, refuse_inputs, stage_folder
from hbaclib.platform import peak_megabytes
from hbaclib.prediction.ensemble_predictor import NO_ANSWER, EnsemblePredictor
from hbaclib.prediction.submission_check import validate_submission
from hbaclib.prediction.windows import FROM_EEG, Recording, Window, competition_recordings, cut_windows
from hbaclib.recordings.found import recording_files
from hbaclib.signal.plausibility import eeg_doubt
from hbaclib.source import code_digest
from hbaclib.stages.names import SUBMIT
from hbaclib.stages.shipped import digest_of, folder_of, is_shipped

SUBMISSION_FILE, LOG_FILE = "submission.csv", "log.csv"
SOURCES = ("files", FROM_EEG)

_BATCH, _RESERVE = 64, 0.05


@dataclass
class Submission:
    """A submission and how it came about.

    Attributes:
        table: the rows of ``submission.csv``.
        log: one row per event: eeg_id (or -1), message.
        members: names of the models that predicted every row, in order of importance.
        left_out: names of models that the time budget left out of some rows or all.
        seconds: seconds taken.
        peak_megabytes: greatest resident memory of the process so far, NaN where the system does not tell.
    """

    table: pd.DataFrame
    log: pd.DataFrame
    members: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float
    peak_megabytes: float


def make_submission(
    source: str | Path,
    artefacts: str | Path,
    out_path: str | Path,
    time_budget_seconds: float | None = None,
    *,
    spectrograms: str = "files",
    search: Sequence[str | Path] = (),
    progress: bool = True,
) -> Submission:
    """Predict every row of ``test.csv`` and write the submission.

    A recording that cannot be read, or makes no sense (see `hbaclib.signal.plausibility`), gets the class prior of the
    samples with at least 10 votes, and a line in the log. If its spectrogram alone cannot be read, makes no sense or
    ends before the EEG does, it is computed from the EEG, which the log tells, too.

    Args:
        source: folder in the competition's format.
        artefacts: folder of an ensemble or of one trained model, or the name of a shipped one.
        out_path: file to write, atomically; one that is there is replaced where it is a submission.
        time_budget_seconds: time for everything; where it is too short for all models, the least important ones are
            left out, at last all but the first. None: no limit.
        spectrograms: ``files``, or ``from_eeg`` to compute the ten-minute spectrograms.
        search: further folders below which the ensemble's models may lie.
        progress: show a progress bar.

    Returns:
        The submission with its log.

    Raises:
        DataFileError: there is no test table, it has no rows, or its spectrogram files are needed and absent.
        ArtefactError: no trained model is found, or the file is an input, no submission, or cannot be written.
        ConfigError: ``spectrograms`` is none of the two.
    """
    refuse_inputs(out_path, [source, folder_of(artefacts)])
    refuse_foreign_table(out_path, [SUBMISSION_COLUMNS])
    if spectrograms not in SOURCES:
        raise ConfigError(f"spectrograms = {spectrograms!r}; expected one of {', '.join(SOURCES)}")
    recordings = competition_recordings(Path(source), FROM_EEG if spectrograms == FROM_EEG else None)
    clock = _Clock(math.inf if time_budget_seconds is None else time_budget_seconds, len(recordings))
    log: list[tuple[int, str]] = []
    place = artefacts if is_shipped(artefacts) else Path(artefacts).resolve()
    predictor = EnsemblePredictor.open(place, search, enough=clock.over)
    if left := [name for name in predictor.folders if name not in predictor.members]:
        log.append((-1, f"time budget spent while loading: left out for all rows: {list_some(left, 100)}"))
    wanted = predictor.sees_spectrograms
    if wanted and spectrograms == "files" and recordings[0].spectrogram is None:
        if recording_files(Path(source) / "train_spectrograms"):
            raise DataFileError(
                f"{Path(source) / 'test_spectrograms'}: no files; add them, or compute them: "
                "spectrograms = 'from_eeg' (hbac run: -p spectrograms=from_eeg)"
            )
        # As stage 01 did.
        log.append((-1, "the data set has no spectrogram files: all are computed from the EEG"))
    shares = np.tile(predictor.prior, (len(recordings), 1))
    with tqdm(total=len(recordings), desc="predicting", unit="recording", disable=not progress) as bar:
        for start in range(0, len(recordings), _BATCH):
            batch = recordings[start : start + _BATCH]
            with clock.noting("reading", len(batch)):
                read = [(row, _read(each, wanted, log)) for row, each in enumerate(batch, start)]
            windows = {row: window for row, window in read if window}
            if windows:
                _, eeg, power, _ = zip(*windows.values(), strict=True)
                found = _predict(predictor, np.stack(eeg), np.stack(power) if wanted else None, clock, log)
                _put(shares, list(windows), predictor.pool(found), batch, start, log)
            clock.rows_left -= len(batch)
            bar.update(len(batch))
    table = pd.DataFrame(apply_floor(shares), columns=list(VOTE_COLUMNS))
    table.insert(0, "eeg_id", [recording.eeg_id for recording in recordings])
    validate_submission(table, table)
    with atomic_path(out_path) as partial:
        table.to_csv(partial, index=False)
    for eeg_id, message in log:
        tqdm.write(printable(f"{eeg_id}: {message}" if eeg_id >= 0 else message), file=sys.stderr)
    return Submission(
        table=table,
        log=pd.DataFrame(log, columns=["eeg_id", "message"]),
        members=tuple(predictor.members),
        left_out=tuple(name for name in predictor.folders if name not in predictor.members),
        seconds=time.monotonic() - clock.started,
        peak_megabytes=peak_megabytes(),
    )


def submit_stage(source: str | Path, artefacts: str | Path, folder: str | Path, **options: Any) -> pd.DataFrame:
    """Run `make_submission` as a stage: ``<out>/08_submit/`` with its manifest, and ``<out>/submission.csv``.

    Args:
        source: folder in the competition's format.
        artefacts: folder of an ensemble or of one trained model, or the name of a shipped one.
        folder: the stage's folder.
        **options: as for `make_submission`.

    Returns:
        The rows of ``submission.csv``. If the stage is current already, nothing is computed.
    """
    folder, source = Path(folder).resolve(), Path(source).resolve()
    published = folder.parent / SUBMISSION_FILE
    refuse_inputs(published, [source, folder_of(artefacts)])
    refuse_foreign_table(published, [SUBMISSION_COLUMNS])
    with stage_folder(folder, SUBMIT):
        test = data_digest(source, "test", folder.parent / STORE)
        made_from: dict[str, Any] = {
            "inputs": {"artefacts": digest_of(artefacts), "test": test},
            "parameters": {key: options.get(key) for key in ("spectrograms", "time_budget_seconds")},
            "code": code_digest(__name__),
        }
        if not is_current(folder, **made_from):
            (folder / MANIFEST).unlink(missing_ok=True)
            made = make_submission(source, artefacts, folder / SUBMISSION_FILE, **options)
            write_table(folder / LOG_FILE, made.log)
            write_manifest(
                folder,
                SUBMIT,
                **made_from,
                outputs=[SUBMISSION_FILE, LOG_FILE],
                facts={
                    "rows": len(made.table),
                    "members": list(made.members),
                    "left_out": list(made.left_out),
                    "events": len(made.log),
                    "seconds": round(made.seconds, 1),
                    **({} if math.isnan(made.peak_megabytes) else {"peak_megabytes": round(made.peak_megabytes)}),
                },
            )
        with atomic_path(published) as partial:
            partial.write_bytes((folder / SUBMISSION_FILE).read_bytes())
    return read_typed_csv(folder / SUBMISSION_FILE, SUBMISSION_COLUMNS)


class _Clock:
    """Foresees whether the rows that are left fit into the time that is left.

    Args:
        budget: seconds from now for everything.
        rows: number of rows.
    """

    def __init__(self, budget: float, rows: int) -> None:
        self.started, self.budget = time.monotonic(), budget
        self.rows = self.rows_left = rows
        self._seconds_a_row: dict[str, float] = {}

    @contextmanager
    def noting(self, what: str, rows: int) -> Iterator[None]:
        """Note how long reading, or a member, takes for some rows."""
        mark = time.monotonic()
        yield
        self._seconds_a_row[what] = (time.monotonic() - mark) / rows

    def over(self, seconds_more: float = 0.0) -> bool:
        """Whether the budget is spent, or will be after some more seconds."""
        return time.monotonic() - self.started + seconds_more > (1 - _RESERVE) * self.budget

    def affordable(self, members: Sequence[str]) -> bool:
        """Whether these members can predict all rows that are left."""
        return not self.over(self.rows_left * sum(self._seconds_a_row.get(name, 0.0) for name in ("reading", *members)))


def _read(recording: Recording, wanted: bool, log: list[tuple[int, str]]) -> Window | None:
    """A row's window, None where its EEG cannot be read; what went wrong is logged."""

    def tell(message: str) -> None:
        log.append((-1 if recording.eeg_id is None else recording.eeg_id, message))

    fault = ""
    fault = ""
    try:
        window = next(cut_windows(recording, wanted, tell))
    except HbacError as error:
        fault = f"its file cannot be read ({error})"
        try:
            # The first reading told of the columns.
            window = next(cut_windows(replace(recording, spectrogram=None), wanted, lambda message: None))
        except HbacError as error:
            tell(f"class prior used, the EEG cannot be read ({error})")
            return None
    if reason := eeg_doubt(window[1]):
        tell(f"class prior used, the EEG is not evaluated ({recording.eeg}: {reason})")
        return None
    if fault:
        tell(f"spectrogram computed from the EEG, {fault}")
    return window


def _put(
    shares: np.ndarray,
    rows: list[int],
    found: np.ndarray,
    batch: Sequence[Recording],
    start: int,
    log: list[tuple[int, str]],
) -> None:
    """Put what was found into its rows; what is NaN leaves the prior there, which is logged."""
    known = np.isfinite(found).all(axis=1)
    shares[np.array(rows)[known]] = found[known]
    for row in np.array(rows)[~known]:
        recording = batch[row - start]
        log.append(
            (-1 if recording.eeg_id is None else recording.eeg_id, f"class prior used, {NO_ANSWER} ({recording.eeg})")
        )


def _predict(
    predictor: EnsemblePredictor,
    eeg: np.ndarray,
    power: np.ndarray | None,
    clock: _Clock,
    log: list[tuple[int, str]],
) -> dict[str, np.ndarray]:
    """Shares of the members that there is time for; those that there is not leave the predictor."""
    predicted: dict[str, np.ndarray] = {}
    shares, names = predictor.shares(eeg, power), list(predictor.members)
    for name in names:
        if predicted and not clock.affordable([*predicted, name]):
            left = names[len(predicted) :]
            predictor.members = {kept: predictor.members[kept] for kept in predicted}
            row = clock.rows - clock.rows_left
            log.append((-1, f"time budget too short: from row {row} on left out: {list_some(left, 100)}"))
            break
        with clock.noting(name, len(eeg)):
            _, predicted[name] = next(shares)
    return predicted
