"""Read every file that the tables name, to its end, and tell what is wrong with it and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, EEG_WINDOW, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.dataset.competition import Competition
from hbaclib.errors import DataFileError, HbacError
from hbaclib.recordings.parquet import load_eeg, load_spectrogram
from hbaclib.signal.plausibility import eeg_doubt, judge, spectrogram_doubt
from hbaclib.signal.quality import recording_quality
from hbaclib.stages.blocks import Block, run_blocks, spans

_PER_BLOCK = 32


@dataclass(frozen=True)
class Recording:
    """One file that the tables need.

    Attributes:
        file: its relative path.
        kind: ``eeg`` or ``spectrogram``.
        id: its number.
        rows: fewest rows.
        starts: first rows of the windows that the tables name.
    """

    file: str
    kind: str
    id: int
    rows: int
    starts: tuple[int, ...] = (0,)


def needed_recordings(competition: Competition, *, spectrograms: bool = True, test: bool = False) -> list[Recording]:
    """Every file that the tables name, with the rows that its windows need.

    Args:
        competition: the data set.
        spectrograms: include spectrogram files, where the data set has any.
        test: include the files that ``test.csv`` names.
    """
    train, files = competition.train, list[Recording]()

    def add(kind: str, split: str, first_rows: pd.Series, window: int) -> None:
        path_of = competition.eeg_path if kind == "eeg" else competition.spectrogram_path
        windows: dict[int, set[int]] = {}
        for name, row in zip(first_rows.index.tolist(), first_rows.tolist(), strict=True):
            windows.setdefault(name, set()).add(int(row))
        for name, rows in windows.items():
            starts = tuple(sorted(rows))
            path = path_of(name, split).relative_to(competition.root)
            files.append(Recording(path.as_posix(), kind, name, starts[-1] + window, starts))

    offsets = train.set_index("eeg_id")["eeg_label_offset_seconds"].sort_index()
    add("eeg", "train", offsets * EEG_RATE, EEG_WINDOW)
    if spectrograms and competition.has_spectrograms():
        offsets = train.set_index("spectrogram_id")["spectrogram_label_offset_seconds"].sort_index()
        add("spectrogram", "train", offsets // SPECTROGRAM_STEP, SPECTROGRAM_WINDOW)
    if test and competition.test is not None:
        add("eeg", "test", pd.Series(0, competition.test["eeg_id"]), EEG_WINDOW)
        if spectrograms and competition.has_spectrograms("test"):
            add("spectrogram", "test", pd.Series(0, competition.test["spectrogram_id"].unique()), SPECTROGRAM_WINDOW)
    return files


def check_recordings(competition: Competition, n_jobs: int | None = None) -> pd.DataFrame:
    """Read every file that the tables name, to its end, and list the faulty ones.

    Args:
        competition: the data set; files of ``test.csv`` are checked too.
        n_jobs: processes; None: all cores, or as `joblib.parallel_config` says.

    Returns:
        One row per faulty file: ``file`` (relative to the folder), ``problem``. Empty where all is well.
    """
    return faults_table(examine(competition, needed_recordings(competition, test=True), n_jobs=n_jobs))


def examine(
    competition: Competition,
    recordings: list[Recording],
    *,
    n_jobs: int | None = None,
    journal: Path | None = None,
    key: str = "",
) -> list[dict[str, Any]]:
    """Read recordings in parallel.

    Args:
        competition: the data set.
        recordings: its files.
        n_jobs: as in `check_recordings`.
        journal: folder in which finished blocks are noted, so that a killed run continues.
        key: digest of the recordings, which the notes belong to.

    Returns:
        Per file, in the same order: ``file``, ``kind``, ``id``; ``problem`` where it is faulty, with ``whole`` where it
        can be read and makes no sense (see `hbaclib.signal.plausibility`); else ``rows``, ``note`` (columns that were
        reordered) and, for EEGs, ``quality`` and ``windows``, a note on those of its windows that make no sense.
    """
    root, size = competition.root, len(recordings)
    blocks = [Block(begin, end, (root, recordings[begin:end])) for begin, end in spans(size, _PER_BLOCK)]
    found = run_blocks(_examine_block, blocks, folder=journal, key=key, n_jobs=n_jobs, description="checking files")
    return [row for block in found for row in block]


def faults_table(examined: list[dict[str, Any]]) -> pd.DataFrame:
    """The faulty ones of examined files."""
    rows = [(row["file"], row["problem"]) for row in examined if "problem" in row]
    return pd.DataFrame(rows, columns=["file", "problem"], dtype="str")


def notes_table(examined: list[dict[str, Any]]) -> pd.DataFrame:
    """What is to be said of examined files that are not faulty: ``file``, ``note``."""
    rows = [
        (row["file"], row[kind].partition(f"{Path(row['file']).name}: ")[2] or row[kind])
        for row in examined
        for kind in ("note", "windows")
        if row.get(kind)
    ]
    return pd.DataFrame(rows, columns=["file", "note"], dtype="str")


def _examine_block(work: tuple[Path, list[Recording]]) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    root, recordings = work
    return {}, [_examine_file(root, recording) for recording in recordings]


def _examine_file(root: Path, recording: Recording) -> dict[str, Any]:
    row: dict[str, Any] = {"file": recording.file, "kind": recording.kind, "id": recording.id}
    path, load = root / recording.file, load_eeg if recording.kind == "eeg" else load_spectrogram
    try:
        values, note = load(path)
        if len(values) < recording.rows:
            raise DataFileError(f"{path}: {len(values)} rows; the offsets in the table need {recording.rows}")
    except HbacError as error:
        return row | {"problem": str(error).removeprefix(f"{path}: ")}
    if recording.kind == "spectrogram":
        doubt = spectrogram_doubt(values)
        return row | ({"problem": doubt, "whole": True} if doubt else {"rows": len(values), "note": note})
    verdict = judge(values)
    if verdict.doubt:
        return row | {"problem": verdict.doubt, "whole": True}
    row["quality"] = {name: float(value) for name, value in recording_quality(values).items()}
    return row | {
        "rows": len(values),
        "note": note,
        "windows": _windows_note(path, values, verdict.silent, recording.starts),
    }


def _windows_note(path: Path, eeg: np.ndarray, silent: np.ndarray, starts: tuple[int, ...]) -> str | None:
    """Which windows make no sense though their recording does."""
    doubts = {}
    for start in starts:
        # Only silence can be of a window alone: the rest holds for the whole recording, or is an artefact.
        if silent[start // EEG_RATE : (start + EEG_WINDOW) // EEG_RATE].any():
            doubts[start] = eeg_doubt(eeg[start : start + EEG_WINDOW])
    found = [(start, doubt) for start, doubt in doubts.items() if doubt]
    if not found:
        return None
    start, doubt = found[0]
    first = f"the first at second {start / EEG_RATE:g}: {doubt}"
    return f"{path}: {len(found)} of {len(starts)} windows make no sense, {first}"
