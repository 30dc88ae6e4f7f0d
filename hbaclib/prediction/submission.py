"""From test recordings to ``submission.csv``: every row gets a valid prediction, in the time there is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from hbaclib.artefacts import (
    MANIFEST,
    atomic_path,
    is_current,
    read_manifest,
    stage_lock,
    write_manifest,
)
from hbaclib.conventions import CLASSES, MANY_VOTES, SUBMISSION_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.competition import open_competition
from hbaclib.digests import STORE, data_digest
from hbaclib.ensemble.store import open_members
from hbaclib.errors import ArtefactError, ConfigError, DataError, DataFileError, list_some
from hbaclib.evaluation.metric import apply_floor, share_faults
from hbaclib.evaluation.oof import OOF_FILE
from hbaclib.platform import peak_megabytes
from hbaclib.prediction.members import Clock, Loader, Member, TrainedNetwork, read_windows
from hbaclib.source import code_digest
from hbaclib.stages.names import SUBMIT

SUBMISSION_FILE, LOG_FILE = "submission.csv", "log.csv"
SOURCES = ("files", "from_eeg")

_BATCH = 64


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


def validate_submission(submission: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Check a submission against the test table.

    Args:
        submission: columns eeg_id and VOTE_COLUMNS.
        test: rows of ``test.csv``.

    Returns:
        The submission, unchanged.

    Raises:
        DataError: naming every fault: columns, missing, repeated and unknown rows, NaN, values outside [0, 1], rows
            that do not sum to 1.
    """
    faults = []
    columns = list(submission.columns)
    if missing := [name for name in SUBMISSION_COLUMNS if name not in columns]:
        faults.append(f"column missing: {list_some(missing)}")
    if unknown := [name for name in columns if name not in SUBMISSION_COLUMNS]:
        faults.append(f"column not expected: {list_some(unknown)}")
    if not missing and not unknown and columns != list(SUBMISSION_COLUMNS):
        faults.append(f"columns in the order {list_some(columns)}; expected {list_some(SUBMISSION_COLUMNS)}")
    if "eeg_id" in columns:
        ids, expected = submission["eeg_id"], set(test["eeg_id"])
        if twice := list(ids[ids.duplicated()].unique()):
            faults.append(f"{len(twice)} eeg_id in more than one row: {list_some(twice)}")
        if absent := sorted(expected - set(ids)):
            faults.append(f"{len(absent)} eeg_id of the test table have no row: {list_some(absent)}")
        if foreign := sorted(set(ids) - expected):
            faults.append(f"{len(foreign)} eeg_id are not in the test table: {list_some(foreign)}")
    present = [name for name in VOTE_COLUMNS if name in columns]
    values = submission[present].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if len(present) == len(VOTE_COLUMNS):
        faults += share_faults(values, "shares")
    elif not np.isfinite(values).all():
        faults.append("NaN or infinite values; expected numbers")
    if not len(submission):
        faults.append("no rows")
    if faults:
        raise DataError("submission: " + "; ".join(faults))
    return submission


def make_submission(
    source: str | Path,
    artefacts: str | Path,
    out_path: str | Path,
    time_budget_seconds: float | None = None,
    n_jobs: int | None = None,
    *,
    spectrograms: str = "files",
    search: Sequence[str | Path] = (),
    progress: bool = True,
    load: Loader | None = None,
) -> Submission:
    """Predict every row of ``test.csv`` and write the submission.

    A recording that cannot be read gets the class prior of the samples with at least 10 votes, and a line in the log.
    If its spectrogram alone cannot be read, it is computed from the EEG.

    Args:
        source: folder in the competition's format.
        artefacts: folder of an ensemble or of one trained model.
        out_path: file to write, atomically.
        time_budget_seconds: time for everything; where it is too short for all models, the least important ones are
            left out, at last all but the first. None: no limit.
        n_jobs: threads that read files; None: one.
        spectrograms: ``files``, or ``from_eeg`` to compute the ten-minute spectrograms.
        search: further folders below which the ensemble's models may lie.
        progress: show a progress bar.
        load: makes a model of a folder; None: the trained network.

    Returns:
        The submission with its log.

    Raises:
        DataFileError: there is no test table, it has no rows, or its spectrogram files are needed and absent.
        ArtefactError: no trained model is found, or the file cannot be written.
        ConfigError: ``spectrograms`` is none of the two.
    """
    started = time.monotonic()
    if spectrograms not in SOURCES:
        raise ConfigError(f"spectrograms = {spectrograms!r}; expected one of {', '.join(SOURCES)}")
    competition = open_competition(source)
    test = competition.test
    if test is None or not len(test):
        raise DataFileError(f"{Path(source) / 'test.csv'}: missing or without rows; there is nothing to predict")
    pooling = _pooling(Path(artefacts).resolve(), search)
    clock = Clock(started, time_budget_seconds, len(test))
    log: list[tuple[int, str]] = []
    members = _load_members(pooling, load or TrainedNetwork, clock, log)
    wanted = any(member.needs_spectrogram for member in members.values())
    if wanted and not any(competition.has_spectrograms(part) for part in ("train", "test")):
        spectrograms = "from_eeg"  # as stage 01 did
        log.append((-1, "the data set has no spectrogram files: all are computed from the EEG"))
    if wanted and spectrograms == "files" and not competition.has_spectrograms("test"):
        raise DataFileError(
            f"{competition.root / 'test_spectrograms'}: no files; give them, or compute them: "
            "spectrograms = 'from_eeg' (hbac run: -p spectrograms=from_eeg)"
        )
    shares = np.tile(pooling.prior, (len(test), 1))
    complete = list(members)
    bar = tqdm(total=len(test), desc="predicting", unit="recording", disable=not progress)
    with bar:
        for rows in _batches(len(test)):
            mark = time.monotonic()
            found, eeg, power = read_windows(competition, test.iloc[rows], spectrograms if wanted else "", n_jobs, log)
            clock.note_reading(time.monotonic() - mark, len(rows))
            if len(found):
                predicted = _predict_batch(members, eeg, power, clock, log)
                complete = [name for name in complete if name in predicted]
                shares[rows[found]] = pooling.pool(predicted)
            clock.advance(len(rows))
            bar.update(len(rows))
    table = pd.DataFrame(apply_floor(shares), columns=list(VOTE_COLUMNS))
    table.insert(0, "eeg_id", test["eeg_id"].to_numpy())
    validate_submission(table, test)
    with atomic_path(out_path) as partial:
        table.to_csv(partial, index=False)
    left_out = [name for name in pooling.order if name not in complete]
    for eeg_id, message in log:
        tqdm.write(f"{eeg_id}: {message}" if eeg_id >= 0 else message, file=sys.stderr)
    return Submission(
        table=table,
        log=pd.DataFrame(log, columns=["eeg_id", "message"]),
        members=tuple(complete),
        left_out=tuple(left_out),
        seconds=time.monotonic() - started,
        peak_megabytes=peak_megabytes(),
    )


def submit_stage(source: str | Path, artefacts: str | Path, folder: str | Path, **options: Any) -> pd.DataFrame:
    """Run `make_submission` as a stage: ``<out>/08_submit/`` with its manifest, and ``<out>/submission.csv``.

    Args:
        source: folder in the competition's format.
        artefacts: folder of an ensemble or of one trained model.
        folder: the stage's folder.
        **options: as for `make_submission`.

    Returns:
        The rows of ``submission.csv``. If the stage is current already, nothing is computed.
    """
    folder, source = Path(folder).resolve(), Path(source).resolve()
    with stage_lock(folder):
        inputs = {
            "artefacts": read_manifest(artefacts).digest,
            "test": data_digest(source, "test", folder.parent / STORE),
        }
        parameters = {key: options.get(key) for key in ("spectrograms", "time_budget_seconds")}
        if not is_current(folder, inputs=inputs, parameters=parameters, code=code_digest(__name__)):
            (folder / MANIFEST).unlink(missing_ok=True)
            made = make_submission(source, artefacts, folder / SUBMISSION_FILE, **options)
            with atomic_path(folder / LOG_FILE) as partial:
                made.log.to_csv(partial, index=False)
            write_manifest(
                folder,
                SUBMIT,
                inputs=inputs,
                parameters=parameters,
                code=code_digest(__name__),
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
        with atomic_path(folder.parent / SUBMISSION_FILE) as partial:
            partial.write_bytes((folder / SUBMISSION_FILE).read_bytes())
    return pd.read_csv(folder / SUBMISSION_FILE)


@dataclass(frozen=True)
class _Pooling:
    """What becomes of the models' predictions."""

    folders: dict[str, Path]
    prior: np.ndarray
    pool: Callable[[dict[str, np.ndarray]], np.ndarray]

    @property
    def order(self) -> list[str]:
        return list(self.folders)


def _pooling(artefacts: Path, search: Sequence[str | Path]) -> _Pooling:
    ensemble, folders = open_members(artefacts, search)
    if ensemble is not None:
        return _Pooling(
            folders,
            ensemble.prior,
            lambda shares: ensemble.predict(np.stack(list(shares.values())), list(shares)),
        )
    return _Pooling(folders, _prior_of(artefacts), lambda shares: next(iter(shares.values())))


def _prior_of(folder: Path) -> np.ndarray:
    if not (folder / OOF_FILE).is_file():
        return np.full(len(CLASSES), 1 / len(CLASSES))
    table = pd.read_parquet(folder / OOF_FILE, columns=["n_votes", *VOTE_COLUMNS])
    many = table["n_votes"] >= MANY_VOTES
    votes = table.loc[many if many.any() else slice(None), list(VOTE_COLUMNS)].to_numpy(np.float64)
    prior = votes.mean(axis=0)
    return prior / prior.sum()


def _load_members(pooling: _Pooling, load: Loader, clock: Clock, log: list[tuple[int, str]]) -> dict[str, Member]:
    members: dict[str, Member] = {}
    for name, folder in pooling.folders.items():
        if members and clock.over():
            left = [other for other in pooling.order if other not in members]
            log.append((-1, f"time budget spent while loading: left out for all rows: {list_some(left, 100)}"))
            break
        members[name] = load(folder)
    if not members:
        raise ArtefactError("the ensemble names no model with a weight; fit it again")
    return members


def _predict_batch(
    members: dict[str, Member],
    eeg: np.ndarray,
    power: np.ndarray | None,
    clock: Clock,
    log: list[tuple[int, str]],
) -> dict[str, np.ndarray]:
    """Predictions of the members that there is time for; those that there is not are taken out of ``members``."""
    predicted: dict[str, np.ndarray] = {}
    shared: dict[str, Any] = {}
    for name in list(members):
        if predicted and not clock.affordable([*predicted, name]):
            left = [other for other in members if other not in predicted]
            for other in left:
                del members[other]
            log.append((-1, f"time budget too short: from row {clock.done} on left out: {list_some(left, 100)}"))
            break
        mark = time.monotonic()
        predicted[name] = members[name](eeg, power, shared)
        clock.note(name, time.monotonic() - mark, len(eeg))
    return predicted


def _batches(n: int) -> Iterator[np.ndarray]:
    for start in range(0, n, _BATCH):
        yield np.arange(start, min(start + _BATCH, n))
