"""Out-of-fold predictions of several models, aligned by sample."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import MANIFEST, read_manifest
from hbaclib.conventions import MANY_VOTES, OOF_COLUMNS, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.cells import COUNTS, IDS, at_rows, shares, whole_numbers
from hbaclib.dataset.csv_tables import csv_columns
from hbaclib.dataset.folds import audit_held_out
from hbaclib.digests import verify_files
from hbaclib.errors import ArtefactError, DataError, DataFileError, LeakError, list_some
from hbaclib.evaluation.metric import share_faults
from hbaclib.stages.names import OOF_FILE

_FORM = f"a Parquet file with the columns {', '.join(OOF_COLUMNS)}, or the folder of a trained network"
_OF_TRAINING = ("recipe.toml", "manifest.json")


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of m models for the same n samples, none of them seen in training.

    Attributes:
        names: m model names.
        predictions: (m, n, 6) float64 shares.
        targets: (n, 6) float64 vote shares.
        ids: n rows of eeg_id and eeg_start.
        patients: (n,) patient ids.
        n_votes: (n,) votes of each sample.
        folds: (n,) fold in which each sample was held out.
    """

    names: tuple[str, ...]
    predictions: np.ndarray
    targets: np.ndarray
    ids: pd.DataFrame
    patients: np.ndarray
    n_votes: np.ndarray
    folds: np.ndarray

    @property
    def many_votes(self) -> np.ndarray:
        """Samples of the test set's kind, (n,) bool."""
        return self.n_votes >= MANY_VOTES


def load_oof(paths: str | Path | Iterable[str | Path] | Mapping[str, str | Path]) -> OutOfFold:
    """Read out-of-fold tables and align them by sample.

    Args:
        paths: files, or stage folders that hold an ``oof.parquet``; a mapping gives the models' names, otherwise a
            model is called after its folder (a file with another name: after the file).

    Returns:
        The aligned predictions, in the order of ``paths``; samples sorted by eeg_id and eeg_start.

    Raises:
        DataFileError: naming every file that is missing, unreadable, no Parquet file, or not the one that its stage
            wrote, and what it is instead.
        DataError: naming every fault: missing columns, ids, votes and folds that are no whole numbers, repeated
            samples, NaN, rows that do not sum to 1, samples that another model lacks, targets that differ.
        LeakError: a sample lies in different folds in two tables, so no nested score could be trusted.
    """
    named = _named(paths)
    tables: dict[str, pd.DataFrame] = {}
    unreadable, faults = [], []
    for name, path in named.items():
        try:
            if (path.parent / MANIFEST).is_file():
                verify_files(path.parent, read_manifest(path.parent), [path.name])
            table, found = checked_table(_read(path))
        except (DataFileError, ArtefactError) as error:
            unreadable.append(str(error))
            continue
        faults += [f"{path}: {fault}" for fault in found]
        if not found:
            tables[name] = table
    if unreadable:
        raise DataFileError("; ".join(unreadable + faults))
    if faults:
        raise DataError("; ".join(faults + _alignment_faults(tables, named)))
    return align_oof(tables, named)


def align_oof(tables: Mapping[str, pd.DataFrame], places: Mapping[str, object]) -> OutOfFold:
    """Align out-of-fold tables by sample.

    Args:
        tables: model name -> table as `checked_table` gives it, sorted by eeg_id and eeg_start.
        places: model name -> how messages call where its table is from.

    Raises:
        DataError, LeakError: as `load_oof` says of tables that do not fit each other.
    """
    if faults := _alignment_faults(tables, places):
        raise DataError("; ".join(faults))
    refuse_moved_folds(tables, places)
    first = next(iter(tables.values()))
    return OutOfFold(
        names=tuple(tables),
        predictions=np.stack([table[list(PREDICTION_COLUMNS)].to_numpy(np.float64) for table in tables.values()]),
        targets=first[list(VOTE_COLUMNS)].to_numpy(np.float64),
        ids=first[list(SAMPLE_ID)].copy(),
        patients=first["patient_id"].to_numpy(),
        n_votes=first["n_votes"].to_numpy(),
        folds=first["fold"].to_numpy(),
    )


def oof_table(
    ids: pd.DataFrame, patients: Any, n_votes: Any, folds: Any, targets: np.ndarray, predictions: np.ndarray
) -> pd.DataFrame:
    """Put arrays into the form of an out-of-fold table (OOF_COLUMNS)."""
    table = ids[list(SAMPLE_ID)].reset_index(drop=True)
    table = table.assign(patient_id=np.asarray(patients), n_votes=np.asarray(n_votes), fold=np.asarray(folds))
    table[list(VOTE_COLUMNS)] = targets
    table[list(PREDICTION_COLUMNS)] = predictions
    return table[list(OOF_COLUMNS)]


def _named(paths: str | Path | Iterable[str | Path] | Mapping[str, str | Path]) -> dict[str, Path]:
    if isinstance(paths, Mapping):
        pairs = [(str(name), _file(path)) for name, path in paths.items()]
    else:
        several = isinstance(paths, Iterable) and not isinstance(paths, str | Path)
        given: list[Any] = list(paths) if several else [paths]  # type: ignore[arg-type]
        files = [_file(path) for path in given]
        pairs = [(file.parent.name if file.name == OOF_FILE else file.stem, file) for file in files]
    if not pairs:
        raise DataError("no out-of-fold tables; expected at least one file or stage folder")
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"two models are called {list_some(twice)}; give names by a mapping name -> path")
    return dict(pairs)


def _file(path: str | Path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"out-of-fold tables: {path!r} is no path; expected files or stage folders")
    path = Path(path)
    # What is no folder is read as it is, so that the message is about this file.
    named = path.suffix == ".parquet" and not path.is_dir()
    return path if named or path.is_file() else path / OOF_FILE


def _read(path: Path) -> pd.DataFrame:
    """The table of a Parquet file.

    Raises:
        DataFileError: there is none, or what is there is something else.
    """
    if not os.path.lexists(path):
        raise DataFileError(f"{path}: missing; {_instead(path)}")
    if path.suffix != ".parquet":
        raise DataFileError(f"{path}: {_kind(path)}; expected {_FORM}")
    if not path.is_file():
        raise DataFileError(f"{path}: no regular file; expected {_FORM}")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # what a spoilt footer makes pyarrow and pandas raise has nothing in common
        raise DataFileError(f"{path}: not a readable parquet file ({error}); expected {_FORM}") from error


def _instead(path: Path) -> str:
    """What there is where a table is missing."""
    folder = path.parent
    if path.name != OOF_FILE or not folder.is_dir():
        return f"no such {'folder' if path.name == OOF_FILE else 'file'}; expected {_FORM}"
    found = sorted(part.name for part in folder.iterdir())
    if any(name in _OF_TRAINING or name.startswith("fold-") for name in found):
        return "the training stage has not finished"
    return f"found {list_some(found) or 'nothing'}; expected {_FORM}"


def _kind(path: Path) -> str:
    if path.suffix.lower() != ".csv":
        return "no Parquet file by its name"
    try:
        columns = csv_columns(path)
    except DataFileError as error:
        return f"a CSV file ({str(error).removeprefix(f'{path}: ')})"
    return f"a CSV table with the columns {list_some(columns, 20)}"


def checked_table(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """An out-of-fold table with numbers in its columns, sorted by sample, and what is wrong with it."""
    found = list(map(str, table.columns))
    if missing := [name for name in OOF_COLUMNS if name not in found]:
        index = [name for name in table.index.names if name in missing]
        hint = f" ({list_some(index)} is the index; expected a column)" if index else ""
        foreign = [name for name in found if name not in OOF_COLUMNS]
        hint += f"; not expected: {list_some(foreign)}" if foreign else ""
        return table, [f"column missing: {list_some(missing)}{hint}; expected {list_some(OOF_COLUMNS, 20)}"]
    if several := [name for name in OOF_COLUMNS if found.count(name) > 1]:
        return table, [f"column {list_some(several)} occurs more than once"]
    if not len(table):
        return table, ["no rows; expected at least one sample"]
    table, faults = table[list(OOF_COLUMNS)].copy(), []
    for name, kind in {"eeg_id": IDS, "eeg_start": COUNTS, "n_votes": COUNTS, "fold": COUNTS}.items():
        values, more = whole_numbers(table[name], name, kind)
        faults += more
        if values is not None:
            table[name] = values
    # Patients may have names; they only tell one from another.
    faults += at_rows(table["patient_id"].isna(), "patient_id: missing values")
    if not faults:
        faults += at_rows(table["n_votes"] < 1, "n_votes: no votes, expected at least one")
        if (twice := table.duplicated(list(SAMPLE_ID))).any():
            row = table.loc[twice, list(SAMPLE_ID)].iloc[0]
            faults.append(
                f"{int(twice.sum())} repeated samples (first: eeg_id {row.eeg_id}, eeg_start {row.eeg_start})"
            )
    for columns, what in ((VOTE_COLUMNS, "votes"), (PREDICTION_COLUMNS, "predictions")):
        values, more = shares(table[list(columns)], what)
        table[list(columns)] = values
        faults += more or share_faults(values, what)
    return table if faults else table.sort_values(list(SAMPLE_ID), kind="stable", ignore_index=True), faults


def _alignment_faults(tables: Mapping[str, pd.DataFrame], named: Mapping[str, object]) -> list[str]:
    if not tables:
        return []
    keys = {name: pd.MultiIndex.from_frame(table[list(SAMPLE_ID)]) for name, table in tables.items()}
    everything = reduce(pd.MultiIndex.union, keys.values())
    faults = []
    for name, index in keys.items():
        if len(lacking := everything.difference(index)):
            ids = list_some((f"{eeg}/{start}" for eeg, start in lacking), 3)
            faults.append(
                f"{named[name]}: no prediction for {len(lacking)} of {len(everything)} samples (eeg_id/eeg_start {ids})"
            )
    if faults:
        return faults
    first_name, first = next(iter(tables.items()))
    for name, table in tables.items():
        differing = {what: table[what].to_numpy() != first[what].to_numpy() for what in ("patient_id", "n_votes")}
        votes, expected = (one[list(VOTE_COLUMNS)].to_numpy(np.float64) for one in (table, first))
        differing["votes"] = np.abs(votes - expected).max(axis=1) > 1e-5
        faults += [
            f"{named[name]}: {what} of {int(rows.sum())} samples differ from {first_name}'s"
            for what, rows in differing.items()
            if rows.any()
        ]
    return faults


def refuse_moved_folds(tables: Mapping[str, pd.DataFrame], places: Mapping[str, object]) -> None:
    """Refuse tables that have a sample in different folds, or a patient in two; arguments as for `align_oof`.

    The tables need not have the same samples.

    Raises:
        LeakError: naming the table, how many samples and some of their patients.
    """
    known: pd.DataFrame | None = None
    first_name = next(iter(tables), "")
    for name, table in tables.items():
        placed = table.set_index(list(SAMPLE_ID))[["fold", "patient_id"]]
        if known is None:
            known = placed
            continue
        at = known.index.get_indexer(placed.index)
        moved = (at >= 0) & (placed["fold"].to_numpy() != known["fold"].to_numpy()[at])
        if moved.any():
            patients = list_some(pd.unique(placed.loc[moved, "patient_id"]), 3)
            raise LeakError(
                f"{places[name]}: {int(moved.sum())} samples (patients {patients}) lie in other folds than in "
                f"{first_name}; train all models with the one fold table"
            )
        if (at < 0).any():
            known = pd.concat([known, placed[at < 0]])
    if known is not None:
        audit_held_out(known["patient_id"].to_numpy(), known["fold"].to_numpy(), str(places[first_name]))
