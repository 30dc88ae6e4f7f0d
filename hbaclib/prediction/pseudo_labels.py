"""Pseudo-labels: what trained networks say about samples with few votes, one set for every fold.

The labels with which the fit of fold K is trained come from the networks that left fold K out, and from no others. (The
usual out-of-fold predictions will not do: those of the other folds come from networks that were trained on fold K, and
carry its labels into the fit that is scored on it.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import is_current, write_manifest, write_table
from hbaclib.conventions import PREDICTION_COLUMNS, SAMPLE_ID
from hbaclib.errors import ArtefactError, ConfigError, DataError, list_some
from hbaclib.inputs.store import InputArrays
from hbaclib.outputs import refuse_foreign_folder, stage_folder
from hbaclib.prediction.predictor import Predictor
from hbaclib.source import code_digest
from hbaclib.stages.names import PSEUDO_LABELS
from hbaclib.training.devices import configure
from hbaclib.training.targets import HELD_OUT, LABELS
from hbaclib.training.trained_folder import TrainedFolder


def make_pseudo_labels(
    members: Iterable[str | Path],
    inputs: InputArrays,
    out_folder: str | Path,
    *,
    up_to: int = 9,
    cpu: bool = False,
) -> Path:
    """Predict the samples with few votes, for every fold by the networks that never saw that fold's patients.

    Args:
        members: trained folders; their predictions are averaged. The folds that all of them have are made.
        inputs: samples, folds and arrays.
        out_folder: gets ``pseudo_labels.parquet`` (fold, sample, six shares), ``held_out.parquet`` (fold, patient that
            none of the networks has seen) and the manifest.
        up_to: samples with at most so many votes are predicted.
        cpu: the CPU is asked for, whatever the machine has.

    Returns:
        The folder; one that is already made from this is returned at once.

    Raises:
        LeakError: a network was trained on a patient of the fold that it shall serve.
        ConfigError: no members, or no fold that all of them have.
        ArtefactError: a member is not a finished training run, or its weights give NaN.
        DataError: its answer to a sample is NaN.
        PlatformError: there is a GPU that TensorFlow does not see, and nobody has asked for the CPU.
    """
    made = _Making.of(members, inputs, up_to)
    folder, samples, numbers = Path(out_folder).resolve(), inputs.samples, made.folds
    unseen = {fold: [member.audit(fold, samples, inputs.folds) for member in made.trained] for fold in numbers}
    refuse_foreign_folder(folder, [PSEUDO_LABELS])
    if is_current(folder, **made.made_from):
        return folder
    fold_of = samples["patient_id"].map(inputs.folds).to_numpy()
    tables, held_out = [], []
    for fold in numbers:
        rows = np.flatnonzero((fold_of != fold) & (samples["n_votes"].to_numpy() <= up_to))
        table = samples.iloc[rows][list(SAMPLE_ID)].reset_index(drop=True)
        table.insert(0, "fold", fold)
        shares = [_predict(member, fold, inputs, rows, cpu) for member in made.trained]
        table[list(PREDICTION_COLUMNS)] = np.mean(shares, axis=0)
        tables.append(table)
        held_out.append(pd.DataFrame({"fold": fold, "patient_id": reduce(np.intersect1d, unseen[fold])}))
    with stage_folder(folder, PSEUDO_LABELS):
        for name, parts in {LABELS: tables, HELD_OUT: held_out}.items():
            write_table(folder / name, pd.concat(parts, ignore_index=True))
        write_manifest(
            folder,
            PSEUDO_LABELS,
            **made.made_from,
            outputs=[LABELS, HELD_OUT],
            facts={"folds": numbers, "labels": int(sum(len(table) for table in tables))},
        )
    return folder


def made_labels(
    members: Iterable[str | Path], inputs: InputArrays, out_folder: str | Path, *, up_to: int = 9
) -> Path | None:
    """The folder of `make_pseudo_labels`, where it holds what these arguments make; None where it does not (yet)."""
    try:
        made, folder = _Making.of(members, inputs, up_to), Path(out_folder).resolve()
    except (ArtefactError, ConfigError):
        return None
    return folder if is_current(folder, **made.made_from) else None


@dataclass(frozen=True)
class _Making:
    """What pseudo-labels are made from: opened folders, the folds that all have, and the facts for the manifest."""

    trained: list[TrainedFolder]
    folds: list[int]
    made_from: dict[str, Any]

    @classmethod
    def of(cls, members: Iterable[str | Path], inputs: InputArrays, up_to: int) -> _Making:
        trained = [TrainedFolder.open(Path(member).resolve()) for member in members]
        folds = sorted(set.intersection(*(set(member.folds) for member in trained))) if trained else []
        if not folds:
            raise ConfigError(f"pseudo-labels from {[str(member.path) for member in trained]}: no fold that all have")
        needed = {"arrays": inputs.digest} | {f"member {k}": member.manifest.digest for k, member in enumerate(trained)}
        code = code_digest(__name__)
        return cls(trained, folds, {"inputs": needed, "parameters": {"up_to": up_to}, "code": code})


def _predict(member: TrainedFolder, fold: int, inputs: InputArrays, rows: np.ndarray, cpu: bool) -> np.ndarray:
    # The fits may have run in processes of their own: here the networks would get this process's precision, and
    # TensorFlow all memory of all GPUs, which the next fits need.
    configure(member.recipe, cpu=cpu)
    predictor = Predictor.load(member.path, folds=[fold])
    shares = predictor.predict_rows(lambda chosen, kind: inputs.gather(rows[chosen], kind), len(rows))
    faulty = np.flatnonzero(~np.isfinite(shares).all(axis=1))
    if len(faulty):
        names = [str(inputs.samples["eeg_id"].iloc[row]) for row in rows[faulty]]
        raise DataError(
            f"{member.path}: fold {fold} answers NaN to {len(faulty)} samples (eeg_id {list_some(names)}); expected "
            "shares to train on"
        )
    return shares
