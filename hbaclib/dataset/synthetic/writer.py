"""Makes a whole set: tables, files, truth and summary, in as many processes as wanted."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from hbaclib.artefacts import atomic_path, write_json
from hbaclib.conventions import SUBMISSION_COLUMNS, TEST_COLUMNS, TRAIN_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.synthetic.files import write_patient
from hbaclib.dataset.synthetic.plan import plan_dataset
from hbaclib.dataset.synthetic.summary import EXPECTED, summarise
from hbaclib.errors import ArtefactError, ConfigError, list_some
from hbaclib.outputs import claim, refuse_inside_stage, without_new_folders, working_folder
from hbaclib.schema import read_json

GENERATOR = 1
"""Version of the recipe: raised whenever the same arguments would give other files."""


_BOUNDS = {
    **dict.fromkeys(("n_patients", "n_test", "recordings_per_patient", "eegs_per_recording"), (1, inf)),
    "difficulty": (0, 1),
    "seed": (0, inf),
}
"""Argument -> least and greatest value."""


def truth_path(folder: str | Path) -> Path:
    """Where the truth of a set lies: beside its folder, never in it."""
    return Path(f"{os.path.abspath(folder)}-truth.parquet")


def summary_path(folder: str | Path) -> Path:
    """Where the summary of a set lies: beside its folder."""
    return Path(f"{os.path.abspath(folder)}-summary.json")


def is_set_of(folder: str | Path, **arguments: Any) -> bool:
    """Whether a folder holds a whole set that was made with these arguments, among others."""
    made = _arguments_of(Path(folder))
    whole = truth_path(folder).is_file() and (Path(folder) / "train.csv").is_file()
    return whole and made is not None and all(made.get(name) == value for name, value in arguments.items())


def remove_set(folder: str | Path) -> None:
    """Remove a synthetic set with its truth and summary; what is none stays.

    Raises:
        ArtefactError: something else lies in the set's folder.
    """
    folder = Path(folder)
    if _arguments_of(folder) is None:
        return
    if folder.is_dir() and (foreign := _foreign_files(folder)):
        raise ArtefactError(f"{folder}: holds {list_some(foreign)} besides the synthetic set; move that away")
    shutil.rmtree(folder, ignore_errors=True)
    if _is_truth(truth_path(folder)):
        truth_path(folder).unlink()
    summary_path(folder).unlink(missing_ok=True)


def _arguments_of(folder: Path) -> dict[str, Any] | None:
    """Arguments that the set of a folder was made with, None where its summary is missing or not readable."""
    try:
        return read_json(summary_path(folder), _Summary, "summary", "make the set again").arguments
    except ArtefactError:
        return None


@dataclass(frozen=True)
class _Summary:
    """The part of a set's summary that tells it from others."""

    arguments: dict[str, Any]


def make_synthetic_dataset(
    folder: str | Path,
    n_patients: int = 60,
    seed: int = 0,
    *,
    n_jobs: int | None = None,
    n_test: int = 20,
    recordings_per_patient: float = 2.5,
    eegs_per_recording: float = 4.0,
    difficulty: float = 1.0,
    progress: bool = True,
    train_spectrograms: bool = True,
    test_spectrograms: bool = True,
) -> Path:
    """Make a data set in the competition's format whose truth is known.

    Every 10-minute spectrogram is computed from the recording that its EEGs are cut from. Beside the folder lie
    ``<folder>-truth.parquet`` (expected votes of each row's annotator group, parameters of its pattern) and
    ``<folder>-summary.json`` (arguments, counts, the score of the truth by vote tier). The same arguments give the same
    bytes with any number of processes; the parts appear under a temporary name and are renamed when all is written.

    Args:
        folder: the set's folder; must be new or empty, or hold the finished set of the same arguments.
        n_patients: patients in train.csv.
        seed: seed of everything.
        n_jobs: processes; None for one per core, or what ``joblib.parallel_config`` says.
        n_test: rows of test.csv, each an EEG and a patient of its own.
        recordings_per_patient: mean number of 10-minute spectrograms per training patient, at least 1.
        eegs_per_recording: mean number of labelled EEGs per spectrogram, at least 1.
        difficulty: 1 as in real recordings, 0 without doubtful cases.
        progress: show a bar.
        train_spectrograms: write train_spectrograms.
        test_spectrograms: write test_spectrograms.

    Returns:
        The folder, as an absolute path.

    Raises:
        ConfigError: an argument is out of range.
        ArtefactError: the folder, or what lies beside it under the names of truth and summary, is something else; or it
            cannot be written; or another process makes a set there.
    """
    folder = Path(os.path.abspath(folder))
    arguments: dict[str, Any] = {
        "generator": GENERATOR,
        "n_patients": int(n_patients),
        "seed": int(seed),
        "n_test": int(n_test),
        "recordings_per_patient": float(recordings_per_patient),
        "eegs_per_recording": float(eegs_per_recording),
        "difficulty": float(difficulty),
        "train_spectrograms": bool(train_spectrograms),
        "test_spectrograms": bool(test_spectrograms),
    }
    for name, (low, high) in _BOUNDS.items():
        if not low <= arguments[name] <= high:
            expected = f"at least {low}" if high == inf else f"{low} to {high}"
            raise ConfigError(f"make_synthetic_dataset: {name} is {arguments[name]}, expected {expected}")
    if _is_finished(folder, arguments):
        return folder
    refuse_inside_stage(folder)
    try:
        with without_new_folders(folder.parent), claim(folder):
            # Who held the place until now may have made this very set.
            if not _is_finished(folder, arguments):
                with working_folder(folder) as partial:
                    _make(folder, partial, arguments, n_jobs, progress)
    except OSError as error:
        raise ArtefactError(f"{folder}: the synthetic set cannot be written there ({error})") from error
    return folder


def _make(folder: Path, partial: Path, arguments: dict[str, Any], n_jobs: int | None, progress: bool) -> None:
    """Make a set in an empty folder beside its place, then put truth, summary and folder in theirs."""
    spectrograms = [split for split in ("train", "test") if arguments[f"{split}_spectrograms"]]
    for name in ("train_eegs", "test_eegs", *(f"{split}_spectrograms" for split in spectrograms)):
        (partial / name).mkdir()
    drawn = ("n_patients", "n_test", "recordings_per_patient", "eegs_per_recording", "seed")
    patients = plan_dataset(**{name: arguments[name] for name in drawn})
    made = Parallel(n_jobs=-1 if n_jobs is None else n_jobs, return_as="generator")(
        delayed(write_patient)(patient, partial, arguments["difficulty"], spectrograms) for patient in patients
    )
    rows = list(tqdm(made, total=len(patients), desc="synthetic patients", unit="patient", disable=not progress))
    train, test, truth = (
        pd.DataFrame([row for patient in rows for row in patient[name]]) for name in ("train", "test", "truth")
    )
    _write_tables(partial, train, test)
    _refuse_foreign(folder)  # what has come into being meanwhile
    with atomic_path(truth_path(folder)) as path:
        truth.to_parquet(path, index=False)
    write_json(summary_path(folder), summarise(truth, arguments))
    if folder.exists():
        folder.rmdir()
    os.replace(partial, folder)


def _is_finished(folder: Path, arguments: dict[str, Any]) -> bool:
    """Whether the folder already holds this very set; raises if it holds anything else."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise ArtefactError(f"{folder}: is a file; expected a new or empty folder for the synthetic set")
    if not folder.exists() or not any(folder.iterdir()):
        if folder.is_symlink():
            raise ArtefactError(f"{folder}: is a link; expected a new or empty folder for the synthetic set")
        _refuse_foreign(folder)
        return False
    if is_set_of(folder, **arguments):
        return True
    what = "a synthetic set of other arguments" if _arguments_of(folder) else "something else than a synthetic set"
    raise ArtefactError(
        f"{folder}: not empty, it holds {what}; expected a new or empty folder. Name another or empty it"
    )


def _refuse_foreign(folder: Path) -> None:
    """Refuse to replace files beside the folder that bear the names of its truth and summary and are none."""
    truth, summary = truth_path(folder), summary_path(folder)
    found = [summary] if os.path.lexists(summary) and _arguments_of(folder) is None else []
    found += [truth] if os.path.lexists(truth) and not _is_truth(truth) else []
    if found:
        raise ArtefactError(
            f"{list_some(found)}: the set writes there, and what exists is of no synthetic set; move it away, or name "
            f"another folder than {folder}"
        )


def _is_truth(path: Path) -> bool:
    try:
        return path.is_file() and {"split", "eeg_id", *EXPECTED} <= set(pq.read_schema(path).names)
    except (OSError, ValueError, pa.ArrowException):
        return False


def _foreign_files(folder: Path) -> list[str]:
    """What is in a set's folder and of no set."""
    parts = [f"{split}_{kind}" for split in ("train", "test") for kind in ("eegs", "spectrograms")]
    tables = ("train.csv", "test.csv", "sample_submission.csv")
    inside = [path for part in parts if (folder / part).is_dir() for path in (folder / part).iterdir()]
    found = [path for path in folder.iterdir() if path.name not in (*tables, *parts)]
    found += [path for path in inside if not (path.suffix == ".parquet" and path.stem.isdigit())]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _write_tables(folder: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    train[list(TRAIN_COLUMNS)].to_csv(folder / "train.csv", index=False)
    test[list(TEST_COLUMNS)].to_csv(folder / "test.csv", index=False)
    submission = test[["eeg_id"]].assign(**dict.fromkeys(VOTE_COLUMNS, 1 / len(VOTE_COLUMNS)))
    submission[list(SUBMISSION_COLUMNS)].to_csv(folder / "sample_submission.csv", index=False)
