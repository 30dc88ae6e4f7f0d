"""From test recordings to ``submission.csv``: every row gets a valid prediction, in the time there is."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from hbaclib.artefacts import MANIFEST, atomic_path, is_current, write_manifest, write_table
from hbaclib.compat.joblib import end_idle_workers
from hbaclib.conventions import SUBMISSION_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.csv_tables import read_typed_csv
from hbaclib.digests import STORE, data_digest
from hbaclib.errors import ConfigError, DataFileError, list_some, printable
from hbaclib.evaluation.metric import apply_floor
from hbaclib.outputs import is_table, refuse_foreign, refuse_inputs, stage_folder
from hbaclib.platform import accelerators, cpu_is_asked_for, is_rerun, peak_megabytes, submission_hours_left
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.prediction.submission_check import validate_submission
from hbaclib.prediction.submission_rows import Submission, put_shares, read_window
from hbaclib.prediction.windows import FROM_EEG, Recording, competition_recordings
from hbaclib.recordings.found import recording_files
from hbaclib.source import code_digest
from hbaclib.stages.names import SUBMIT
from hbaclib.stages.shipped import digest_of, folder_of, is_shipped
from hbaclib.training.devices import (
    choose_precision,
    claim_device,
    current_precision,
    names_cpu,
    see_only,
    visible_gpus,
)
from hbaclib.training.gpus import check_gpus_seen, keep_off_gpus

SUBMISSION_FILE, LOG_FILE = "submission.csv", "log.csv"
SOURCES = ("files", FROM_EEG)

_BATCH, _RESERVE = 64, 0.05


def make_submission(
    source: str | Path,
    artefacts: str | Path,
    out_path: str | Path,
    time_budget_seconds: float | None = None,
    *,
    spectrograms: str = "files",
    search: Sequence[str | Path] = (),
    progress: bool = True,
    devices: Sequence[str] | None = None,
) -> Submission:
    """Predict every row of ``test.csv`` and write the submission.

    A recording that cannot be read, or makes no sense (see `hbaclib.signal.plausibility`), gets the class prior of the
    samples with at least 10 votes, and a line in the log. If its spectrogram alone cannot be read, makes no sense or
    ends before the EEG does, it is computed from the EEG, which the log tells, too.

    Args:
        source: folder in the competition's format.
        artefacts: folder of an ensemble or of one trained model, or the name of a shipped one.
        out_path: file to write, atomically; one that is there is replaced where it is a submission.
        time_budget_seconds: time for everything, on Kaggle at most what a submission's session has left. Where the
            first rows show that it is too short, the further views of all models are left out first, then models, the
            least important first; where it is spent, rows get the class prior. None: no limit elsewhere.
        spectrograms: ``files``, or ``from_eeg`` to compute the ten-minute spectrograms.
        search: further folders below which the ensemble's models may lie.
        progress: show a progress bar.
        devices: GPUs, one process each where there are rows enough for all, else one; None takes those that are
            visible. This process never starts TensorFlow on one. A CPU that is named alone serves in this process.

    Returns:
        The submission with its log.

    Raises:
        DataFileError: there is no test table, it has no rows, or its spectrogram files are needed and absent.
        ArtefactError: no trained model is found, or the file is an input, no submission, or cannot be written.
        ConfigError: ``spectrograms`` is none of the two.
    """
    refuse_inputs(out_path, [source, folder_of(artefacts)])
    refuse_foreign(out_path, _is_submission)
    if spectrograms not in SOURCES:
        raise ConfigError(f"spectrograms = {spectrograms!r}; expected one of {', '.join(SOURCES)}")
    recordings = competition_recordings(Path(source), FROM_EEG if spectrograms == FROM_EEG else None)
    place = artefacts if is_shipped(artefacts) else Path(artefacts).resolve()
    job = _Job(Path(source), place, tuple(search), spectrograms)
    clock = _Clock(_budget(time_budget_seconds), len(recordings))
    gpus = visible_gpus() if devices is None else devices
    n = min(len(gpus), max(1, len(recordings) // _BATCH))
    if n > 1 or (n and not names_cpu(tuple(gpus))):
        part = _predict_on_devices(recordings, job, clock, gpus, n, progress)
    else:
        keep_off_gpus()  # a CPU that was named
        part = _predict_rows(recordings, job, clock, progress)
    shares, log = part.shares, part.log
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
        members=part.members,
        left_out=part.left_out,
        seconds=time.monotonic() - clock.started,
        peak_megabytes=peak_megabytes(),
        precision=part.precision,
        devices=part.devices,
    )


def _budget(seconds: float | None) -> float:
    """Seconds for everything: as asked for, but no more than the session of a submission has left."""
    hours = submission_hours_left()
    session = math.inf if hours is None else max(3600 * hours, 0.0)
    return min(math.inf if seconds is None else seconds, session)


@dataclass(frozen=True)
class _Job:
    """What rows are predicted from; arguments of `make_submission`."""

    source: Path
    artefacts: str | Path
    search: tuple[str | Path, ...]
    spectrograms: str


@dataclass
class _Part:
    """Shares of some rows, and how they came about."""

    shares: np.ndarray
    log: list[tuple[int, str]]
    members: tuple[str, ...]
    left_out: tuple[str, ...]
    precision: str
    devices: int = 1


def _predict_rows(recordings: Sequence[Recording], job: _Job, clock: _Clock, progress: bool) -> _Part:
    """Predict rows in this process, on the first GPU that TensorFlow may take, or the CPU."""
    log: list[tuple[int, str]] = []
    precision = _set_precision()
    predictor = EnsemblePredictor.open(job.artefacts, job.search, enough=clock.over)
    if left := [name for name in predictor.folders if name not in predictor.members]:
        log.append((-1, f"time budget spent while loading: left out for all rows: {list_some(left, 100)}"))
    wanted = predictor.sees_spectrograms
    if wanted and job.spectrograms == "files" and recordings[0].spectrogram is None:
        if recording_files(job.source / "train_spectrograms"):
            raise DataFileError(
                f"{job.source / 'test_spectrograms'}: no files; add them, or compute them: "
                "spectrograms = 'from_eeg' (hbac run: -p spectrograms=from_eeg)"
            )
        # As stage 01 did.
        log.append((-1, "the data set has no spectrogram files: all are computed from the EEG"))
    shares = np.tile(predictor.prior, (len(recordings), 1))
    with tqdm(total=len(recordings), desc="predicting", unit="recording", disable=not progress) as bar:
        for start in range(0, len(recordings), _BATCH):
            if start and not _go_on(predictor, clock, start, log):
                break
            batch = recordings[start : start + _BATCH]
            with clock.noting("reading", len(batch)):
                read = [(row, read_window(each, wanted, log)) for row, each in enumerate(batch, start)]
            windows = {row: window for row, window in read if window}
            if windows:
                _, eeg, power, *_ = zip(*windows.values(), strict=True)
                found = _predict(predictor, np.stack(eeg), np.stack(power) if wanted else None, clock, log)
                put_shares(shares, list(windows), predictor.pool(found), batch, start, log)
            clock.rows_left -= len(batch)
            bar.update(len(batch))
    left_out = tuple(name for name in predictor.folders if name not in predictor.members)
    return _Part(shares, log, tuple(predictor.members), left_out, precision)


def _go_on(predictor: EnsemblePredictor, clock: _Clock, row: int, log: list[tuple[int, str]]) -> bool:
    """Look at the time before a further batch: without enough of it the views go first; without any, the rows do."""
    if clock.over():
        log.append((-1, f"time budget spent: class prior used from row {row} on"))
        return False
    if not clock.affordable(list(predictor.members)):
        _leave_out_views(predictor, clock, log)
    return True


def _leave_out_views(predictor: EnsemblePredictor, clock: _Clock, log: list[tuple[int, str]]) -> None:
    """Let all members look at each row once; the clock knows how much quicker they are then."""
    if dropped := predictor.without_views():
        for name, views in dropped.items():
            clock.quicker(name, 1 / (1 + views))
        row = clock.rows - clock.rows_left
        log.append((-1, f"time budget too short: from row {row} on left out: the further views of all members"))


def _predict_on_devices(
    recordings: Sequence[Recording], job: _Job, clock: _Clock, devices: Sequence[str], n: int, progress: bool
) -> _Part:
    """Predict rows in n processes, each on a device of its own, which get every n-th row.

    Where one of them dies, one other process predicts all rows; where that dies too, this one does, on the CPU.
    """
    shared = [recordings[number::n] for number in range(n)]
    end_idle_workers()  # each keeps the device that it has trained on
    try:
        # Of one process joblib would make none: it would compute here.
        parts: list[_Part] = joblib.Parallel(n_jobs=max(n, 2), backend="loky", batch_size=1)(
            joblib.delayed(_predict_on)(tuple(devices), part, job, clock.left(), progress and number == 0)
            for number, part in enumerate(shared)
        )
    except DataFileError:
        raise
    except Exception as error:  # a process that dies must not cost the submission
        end_idle_workers()
        if n > 1:
            part, then = _predict_on_devices(recordings, job, clock, devices, 1, progress), "one"
        else:
            keep_off_gpus()
            part, then = _predict_rows(recordings, job, clock, progress), "the CPU"
        reason = (str(error) or type(error).__name__).splitlines()[0]
        part.log.insert(0, (-1, f"one process a device failed ({reason}): all rows are predicted by {then}"))
        return part
    finally:
        end_idle_workers()
    shares = np.empty((len(recordings), len(VOTE_COLUMNS)))
    for number, part in enumerate(parts):
        shares[number::n] = part.shares
    log = [(eeg_id, f"device {number}: {told}" if eeg_id < 0 else told)
           for number, part in enumerate(parts) for eeg_id, told in part.log]  # fmt: skip
    least = min((part.members for part in parts), key=len)  # they are left out in one order
    left_out = max((part.left_out for part in parts), key=len)
    return _Part(shares, log, least, left_out, parts[0].precision, n)


def _predict_on(
    devices: tuple[str, ...], recordings: Sequence[Recording], job: _Job, seconds: float, progress: bool
) -> _Part:
    """Predict rows in a worker process, on a device that no other has."""
    see_only(claim_device(devices, purpose="a submission"))
    return _predict_rows(recordings, job, _Clock(seconds, len(recordings)), progress)


def _set_precision() -> str:
    """Let networks compute in mixed float16 where there is a GPU; what is in force."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if cpu_is_asked_for() or not accelerators():
        return "float32"
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy(choose_precision("auto", on_gpu=bool(tf.config.get_visible_devices("GPU"))))
    return current_precision()


def submit_stage(source: str | Path, artefacts: str | Path, folder: str | Path, **options: Any) -> pd.DataFrame:
    """Run `make_submission` as a stage: ``<out>/08_submit/`` with its manifest, and ``<out>/submission.csv``.

    Args:
        source: folder in the competition's format.
        artefacts: folder of an ensemble or of one trained model, or the name of a shipped one.
        folder: the stage's folder.
        **options: as for `make_submission`.

    Returns:
        The rows of ``submission.csv``. If the stage is current already, nothing is computed.

    Raises:
        PlatformError: as `check_gpus_seen`, but for the competition's own run, which the CPU serves as far as it gets.
    """
    folder, source = Path(folder).resolve(), Path(source).resolve()
    published = folder.parent / SUBMISSION_FILE
    refuse_inputs(published, [source, folder_of(artefacts)])
    refuse_foreign(published, _is_submission)
    with stage_folder(folder, SUBMIT):
        test = data_digest(source, "test", folder.parent / STORE)
        made_from: dict[str, Any] = {
            "inputs": {"artefacts": digest_of(artefacts), "test": test},
            "parameters": {key: options.get(key) for key in ("spectrograms", "time_budget_seconds")},
            "code": code_digest(__name__),
        }
        if not is_current(folder, **made_from):
            (folder / MANIFEST).unlink(missing_ok=True)
            if not (is_rerun() or names_cpu(tuple(options.get("devices") or ()))):
                check_gpus_seen()
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
                    "precision": made.precision,
                    "devices": made.devices,
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

    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget - (time.monotonic() - self.started)

    def quicker(self, what: str, factor: float) -> None:
        """Note that reading, or a member, takes another time from now on."""
        if what in self._seconds_a_row:
            self._seconds_a_row[what] *= factor

    def affordable(self, members: Sequence[str]) -> bool:
        """Whether these members can predict all rows that are left."""
        return not self.over(self.rows_left * sum(self._seconds_a_row.get(name, 0.0) for name in ("reading", *members)))


def _is_submission(path: Path) -> bool:
    return is_table(path, [SUBMISSION_COLUMNS])


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
            _leave_out_views(predictor, clock, log)
        if predicted and not clock.affordable([*predicted, name]):
            left = names[len(predicted) :]
            predictor.members = {kept: predictor.members[kept] for kept in predicted}
            row = clock.rows - clock.rows_left
            log.append((-1, f"time budget too short: from row {row} on left out: {list_some(left, 100)}"))
            break
        with clock.noting(name, len(eeg)):
            _, predicted[name] = next(shares)
    return predicted
