"""Stage 01: check every file, draw samples and folds, port the ten-minute spectrograms to one array."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_json, is_current, write_manifest, write_table
from hbaclib.conventions import SPECTROGRAM_COLUMNS
from hbaclib.dataset.competition import Competition, open_competition
from hbaclib.dataset.folds import patient_folds
from hbaclib.dataset.from_eeg import eeg_places, rows_from_eeg
from hbaclib.dataset.samples import SAMPLINGS
from hbaclib.digests import STORE, data_digest
from hbaclib.errors import ConfigError, DataFileError
from hbaclib.outputs import refuse_inputs, stage_folder
from hbaclib.recordings.parquet import load_spectrogram
from hbaclib.source import code_digest
from hbaclib.stages.blocks import Block, StoredArray, run_blocks, spans
from hbaclib.stages.examine import examine, faults_table, needed_recordings
from hbaclib.stages.names import FAULTS, FOLDS, PORT, QUALITY, SAMPLES, SPECTROGRAM_INDEX, SPECTROGRAM_ROWS

_PER_BLOCK = 16

MOST_DOUBTED = 0.02
"""Share of the files that may make no sense before something is wrong with all of them, as their unit."""


def port_data(
    source: str | Path,
    out: str | Path,
    *,
    sampling: str = "vote_groups",
    n_folds: int = 5,
    seed: int = 0,
    spectrograms: Literal["files", "from_eeg"] = "files",
    on_bad_file: Literal["error", "skip"] = "error",
    n_jobs: int | None = None,
) -> Path:
    """Stage 01: check every training file, draw samples and folds, port the ten-minute spectrograms to one array.

    Args:
        source: folder in the competition's format.
        out: the run's output folder; the stage writes ``01_port_data/`` in it.
        sampling: ``vote_groups`` or ``non_overlapping``, see `hbaclib.dataset.samples`.
        n_folds: folds of patients.
        seed: of the folds.
        spectrograms: ``files`` reads them; ``from_eeg`` computes them from the EEG, as is always done where the data
            set has none.
        on_bad_file: ``error`` raises after all files were checked; ``skip`` leaves out the samples that need a faulty
            file. Faulty is also what makes no sense, a recording in volts or without a signal; of whole files of that
            sort a few (MOST_DOUBTED) are left out with a warning in either case, as large collections hold some. Either
            way ``faults.parquet`` lists all.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The stage's folder: ``samples.parquet``, ``folds.parquet`` (of all patients of ``train.csv``),
        ``quality.parquet``, ``faults.parquet``, ``spectrogram_rows.npy`` (n_rows, 400) float16 natural logarithm of the
        power (-inf for 0, NaN for missing) and ``spectrogram_index.parquet`` (spectrogram_id, start, n_rows). A folder
        that is already made from this is returned at once.

    Raises:
        DataFileError: a table has faults, or files have (all are named), or all recordings are faulty.
        ConfigError: a parameter has no such value.
        ArtefactError: the folder cannot be written.
    """
    for name, value, allowed in (
        ("sampling", sampling, tuple(SAMPLINGS)),
        ("spectrograms", spectrograms, ("files", "from_eeg")),
        ("on_bad_file", on_bad_file, ("error", "skip")),
    ):
        if value not in allowed:
            raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
    # Whole paths: the processes that read and write need not have this working folder.
    source, folder, code = Path(source).resolve(), Path(out).resolve() / PORT, code_digest(__name__)
    competition = open_competition(source)
    refuse_inputs(folder, [source])
    with stage_folder(folder, PORT):
        inputs = {"source": data_digest(source, "train", Path(out) / STORE)}
        parameters = {
            "sampling": sampling,
            "n_folds": n_folds,
            "seed": seed,
            "spectrograms": spectrograms,
            "on_bad_file": on_bad_file,
        }
        if is_current(folder, inputs=inputs, parameters=parameters, code=code):
            return folder
        from_files = spectrograms == "files" and competition.has_spectrograms()
        folds = patient_folds(competition.train, n_folds, seed)
        examined = examine(
            competition,
            needed_recordings(competition, spectrograms=from_files),
            n_jobs=n_jobs,
            journal=folder / ".checked",
            key=digest_json([inputs, from_files]),
        )
        _warn_of_notes(examined)
        faults = faults_table(examined)
        write_table(folder / FAULTS, faults)
        if len(faults) and on_bad_file == "error":
            _accept_few(source, examined, faults)
        train = _without(competition.train, examined)
        if train.empty:
            raise DataFileError(_list_faults(source, faults, "no sample is left without them"))
        index = _store_spectrograms(competition, train, examined, from_files, folder, digest_json(inputs), n_jobs)
        tables = {
            SAMPLES: SAMPLINGS[sampling](train),
            FOLDS: folds.reset_index(),
            QUALITY: pd.DataFrame([{"eeg_id": row["id"]} | row["quality"] for row in examined if "quality" in row]),
            SPECTROGRAM_INDEX: index,
        }
        for name, table in tables.items():
            write_table(folder / name, table)
        facts = {
            "samples": len(tables[SAMPLES]),
            "recordings": len(tables[QUALITY]),
            "faulty_files": len(faults),
            "spectrograms": "files" if from_files else "from_eeg",
        }
        outputs = [*tables, FAULTS, SPECTROGRAM_ROWS]
        write_manifest(folder, PORT, inputs=inputs, parameters=parameters, code=code, outputs=outputs, facts=facts)
        shutil.rmtree(folder / ".checked", ignore_errors=True)
        return folder


def _file_block(paths: list[str]) -> tuple[dict[str, np.ndarray], None]:
    return {SPECTROGRAM_ROWS: np.concatenate([_to_log(load_spectrogram(path)[0]) for path in paths])}, None


def _computed_block(work: list[tuple[int, list[tuple[str, float]]]]) -> tuple[dict[str, np.ndarray], None]:
    return {SPECTROGRAM_ROWS: np.concatenate([_to_log(rows_from_eeg(n_rows, eegs)) for n_rows, eegs in work])}, None


def _to_log(power: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(power).astype(np.float16)


def _store_spectrograms(
    competition: Competition,
    train: pd.DataFrame,
    examined: list[dict[str, Any]],
    from_files: bool,
    folder: Path,
    key: str,
    n_jobs: int | None,
) -> pd.DataFrame:
    """Write ``spectrogram_rows.npy``; returns its index."""
    work: list[Any]
    if from_files:
        needed = set(train["spectrogram_id"])
        good = {row["id"]: row["rows"] for row in examined if row["kind"] == "spectrogram" and row["id"] in needed}
        work = [str(competition.spectrogram_path(name)) for name in good]
    else:
        places = eeg_places(train)
        good = {name: n_rows for name, (n_rows, _) in places.items()}
        work = [
            (n_rows, [(str(competition.eeg_path(eeg)), begin) for eeg, begin in eegs])
            for n_rows, eegs in places.values()
        ]
    bounds = np.cumsum([0, *good.values()]).tolist()
    run_blocks(
        _file_block if from_files else _computed_block,
        [Block(bounds[begin], bounds[end], work[begin:end]) for begin, end in spans(len(work), _PER_BLOCK)],
        arrays=[StoredArray(SPECTROGRAM_ROWS, (bounds[-1], len(SPECTROGRAM_COLUMNS)), "float16")],
        folder=folder,
        key=digest_json([key, from_files, list(map(int, good))]),
        n_jobs=n_jobs,
        description="spectrogram rows",
    )
    return pd.DataFrame({"spectrogram_id": list(good), "start": bounds[:-1], "n_rows": list(good.values())})


def _without(train: pd.DataFrame, examined: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows that need no faulty file."""
    for kind in ("eeg", "spectrogram"):
        bad = [row["id"] for row in examined if row["kind"] == kind and "problem" in row]
        train = train[~train[f"{kind}_id"].isin(bad)]
    return train


def _accept_few(source: Path, examined: list[dict[str, Any]], faults: pd.DataFrame) -> None:
    """Take whole files that make no sense for left out, where they are few and nothing else is faulty.

    Raises:
        DataFileError: naming all faulty files.
    """
    if not all(row.get("whole") for row in examined if "problem" in row) or len(faults) > MOST_DOUBTED * len(examined):
        raise DataFileError(_list_faults(source, faults))
    warnings.warn(_list_faults(source, faults, "the samples that need them are left out"), stacklevel=3)


def _warn_of_notes(examined: list[dict[str, Any]]) -> None:
    for kind in ("note", "windows"):
        notes = [row[kind] for row in examined if row.get(kind)]
        if notes:
            warnings.warn(f"{notes[0]} ({len(notes)} such files in all)", stacklevel=3)


def _list_faults(source: Path, faults: pd.DataFrame, ending: str = "") -> str:
    lines = [f"{fault.file}: {fault.problem}" for fault in faults.itertuples()]
    shown = "\n  ".join(lines[:50]) + (f"\n  and {len(lines) - 50} more" if len(lines) > 50 else "")
    ending = ending or 'repair them, or leave them out by on_bad_file="skip"'
    return f"{source}: {len(lines)} faulty files, all in {FAULTS}; {ending}\n  {shown}"
