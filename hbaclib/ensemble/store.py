"""Ensembles as stages of a run: fitted to out-of-fold tables, kept as one small file beside the models' folders."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hbaclib.artefacts import (
    MANIFEST,
    check_kind,
    is_current,
    read_manifest,
    write_json,
    write_manifest,
    write_table,
)
from hbaclib.conventions import CLASSES, MANY_VOTES, PREDICTION_COLUMNS
from hbaclib.dataset.csv_tables import read_typed_csv
from hbaclib.digests import verify_files
from hbaclib.ensemble.fit import Ensemble, EnsembleFit, fit_ensemble
from hbaclib.ensemble.pooling import KINDS, Pool
from hbaclib.ensemble.selection import FIXED
from hbaclib.errors import ArtefactError, ConfigError, list_some
from hbaclib.evaluation.doubt import Doubt, fit_doubt, member_spread
from hbaclib.evaluation.metric import share_faults
from hbaclib.evaluation.oof import OutOfFold, load_oof, oof_table
from hbaclib.outputs import stage_folder
from hbaclib.schema import PLAIN_NAME, closed, is_plain_name, read_json, shown
from hbaclib.source import code_digest
from hbaclib.stages.names import ENSEMBLE, FIRST_ROUND, OOF_FILE, TRAINED
from hbaclib.stages.places import SHIPPED, trained_folders
from hbaclib.stages.shipped import damage_told, folder_of, is_shipped, shipped_networks

log = logging.getLogger(__name__)

ENSEMBLE_FILE, TABLE_FILE, CANDIDATES_FILE = "ensemble.json", "members.csv", "candidates.csv"
DOUBT_FILE = "doubt.json"
SCHEMA = 1
_MEND = "fit the ensemble again"


@dataclass(frozen=True)
class _Member:
    """A model of an ensemble: its name, the folder of its network relative to the run's, its own score."""

    name: str
    folder: str
    kl: float

    def __post_init__(self) -> None:
        if not is_plain_name(self.name):
            raise ValueError(f"name is {shown(self.name)}, expected {PLAIN_NAME}")
        if not self.folder or not self.folder.isprintable():
            raise ValueError(f"folder is {shown(self.folder)}, expected a path")


@closed
@dataclass(frozen=True)
class _Content:
    """What ``ensemble.json`` holds, see `save_ensemble`."""

    schema: int
    kind: Literal[*KINDS, FIXED]  # type: ignore[valid-type]
    log_linear: bool
    members: tuple[_Member, ...]
    weights: tuple[float, ...]
    temperature: float
    biases: dict[str, float]
    score: float
    tier: str
    prior: dict[str, float]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        names, folders = [member.name for member in self.members], [member.folder for member in self.members]
        if not names or len(set(names)) < len(names) or len(set(folders)) < len(folders):
            raise ValueError(f"members is {shown(names)}, expected different ones, at least one")
        if len(self.weights) != len(names):
            raise ValueError(f"weights has {len(self.weights)} numbers, expected one for each of {len(names)} members")
        for key, values in (("biases", self.biases), ("prior", self.prior)):
            if set(values) != set(CLASSES):
                raise ValueError(f"{key} has {shown(sorted(values))}, expected {', '.join(CLASSES)}")
        if faults := share_faults(_by_class(self.prior)[None], "prior"):
            raise ValueError(faults[0])
        if self.log_linear != self.kind.startswith(("geometric", "log-linear")):
            raise ValueError(f"log_linear is {self.log_linear}, expected {not self.log_linear} of kind {self.kind!r}")

    def pool(self) -> Pool:
        """The rule."""
        return Pool(np.array(self.weights, np.float64), self.log_linear, self.temperature, _by_class(self.biases))


@dataclass(frozen=True)
class StoredEnsemble(Ensemble):
    """An ensemble read from disk.

    Attributes:
        folders: model name -> folder of its weights, of models with a weight, in the order in which they matter most
            (the order in which a short time budget takes them).
        score, tier: nested score at the time of the fit and the rows that it is for.
        prior: (6,) class means of these rows.
        notes: what the reader must know.
        folder: where it was read from.
    """

    folders: dict[str, Path]
    score: float
    tier: str
    prior: np.ndarray
    notes: tuple[str, ...]
    folder: Path

    @property
    def table(self) -> pd.DataFrame:
        """One row per model, as in `EnsembleFit`."""
        return read_typed_csv(self.folder / TABLE_FILE, ["name"], keep_default_na=False, na_values={"adds": [""]})

    @property
    def candidates(self) -> pd.DataFrame:
        """One row per kind, as in `EnsembleFit`."""
        return read_typed_csv(self.folder / CANDIDATES_FILE, ["kind"])

    @property
    def doubt(self) -> Doubt | None:
        """What tells how sure its shares are; None of an ensemble of before there was such a thing.

        Raises:
            ArtefactError: the file is damaged.
        """
        path = self.folder / DOUBT_FILE
        return read_json(path, Doubt, "calibration of doubt", _MEND) if path.is_file() else None

    @property
    def oof(self) -> np.ndarray:
        """(n, 6) nested predictions, in the order of `load_oof`."""
        table = pd.read_parquet(self.folder / OOF_FILE, columns=list(PREDICTION_COLUMNS))
        return table.to_numpy(np.float64)


def ensemble_stage(
    members: Iterable[str | Path], folder: str | Path, *, weights: Mapping[str, float] | None = None
) -> Path:
    """Fit the ensemble of trained stage folders and write it as a stage.

    Args:
        members: folders of trained networks with all their folds.
        folder: folder to write: ensemble.json, doubt.json, oof.parquet (the nested predictions), members.csv,
            candidates.csv.
        weights: fixed weights by model name; None: fitted.

    Returns:
        ``folder``. If it is current already, nothing is computed.
    """
    folder, places = Path(folder).resolve(), [Path(member).resolve() for member in members]
    with stage_folder(folder, ENSEMBLE):
        made_from: dict[str, Any] = {
            "inputs": {place.name: check_kind(place, TRAINED).digest for place in places},
            "parameters": {"weights": dict(weights) if weights else None},
            "code": code_digest(__name__),
        }
        if is_current(folder, **made_from):
            return folder
        oof = load_oof(places)
        fit = fit_ensemble(
            oof.predictions, oof.targets, oof.folds, oof.patients, oof.names, oof.n_votes, weights=weights
        )
        save_ensemble(fit, folder, dict(zip(oof.names, places, strict=True)))
        save_doubt(_doubt_of(fit, oof), folder)
        nested = oof_table(oof.ids, oof.patients, oof.n_votes, oof.folds, oof.targets, fit.oof)
        for name, table in ((OOF_FILE, nested), (TABLE_FILE, fit.table), (CANDIDATES_FILE, fit.candidates)):
            write_table(folder / name, table)
        write_manifest(
            folder,
            ENSEMBLE,
            **made_from,
            outputs=[ENSEMBLE_FILE, DOUBT_FILE, OOF_FILE, TABLE_FILE, CANDIDATES_FILE],
            facts={"score": fit.score, "tier": fit.tier, "kind": fit.kind, "members": len(oof.names)},
        )
        return folder


def _doubt_of(fit: EnsembleFit, oof: OutOfFold) -> Doubt:
    """Doubt fitted to the rows that the ensemble is for, by its nested predictions of them."""
    rows = oof.n_votes >= MANY_VOTES if fit.tier != "all" else np.ones(len(oof.targets), bool)
    used = np.array([fit.weights[name] > 0 for name in oof.names])
    return fit_doubt(
        fit.oof[rows],
        oof.targets[rows],
        oof.patients[rows],
        member_spread(oof.predictions[used][:, rows]),
        about=f"out-of-fold rows of the ensemble, {'all' if rows.all() else f'{MANY_VOTES} votes and more'}",
    )


def save_doubt(doubt: Doubt, folder: str | Path) -> Path:
    """Write ``doubt.json`` beside an ensemble; the file."""
    return write_json(Path(folder) / DOUBT_FILE, asdict(doubt))


def save_ensemble(ensemble: EnsembleFit, folder: str | Path, members: Mapping[str, str | Path]) -> Path:
    """Write ``ensemble.json``.

    Args:
        ensemble: the fit.
        folder: stage folder of the ensemble.
        members: model name -> folder of its trained weights; kept relative to the parent of ``folder``, so that the
            run can be moved as a whole.

    Returns:
        The file.

    Raises:
        ArtefactError: a model with a weight has no folder.
    """
    folder = Path(folder)
    used = [name for name in ensemble.table["name"] if ensemble.weights[name] > 0]
    if missing := [name for name in used if name not in members]:
        raise ArtefactError(f"{folder}: no folder named for the models {list_some(missing)}")
    parent = folder.resolve().parent
    alone = ensemble.table.set_index("name")["kl"]
    return write_json(
        folder / ENSEMBLE_FILE,
        {
            "schema": SCHEMA,
            "kind": ensemble.kind,
            "log_linear": ensemble.pool.log_linear,
            "members": [
                {
                    "name": name,
                    "folder": Path(os.path.relpath(Path(members[name]).resolve(), parent)).as_posix(),
                    "kl": float(alone[name]),
                }
                for name in used
            ],
            "weights": [ensemble.weights[name] for name in used],
            "temperature": ensemble.pool.temperature,
            "biases": dict(zip(CLASSES, map(float, ensemble.pool.biases), strict=True)),
            "score": ensemble.score,
            "tier": ensemble.tier,
            "prior": dict(zip(CLASSES, map(float, ensemble.prior), strict=True)),
            "notes": list(ensemble.notes),
        },
    )


def load_ensemble(folder: str | Path, search: Iterable[str | Path] = ()) -> StoredEnsemble:
    """Read an ensemble.

    Args:
        folder: stage folder that holds ``ensemble.json``.
        search: further folders whose sub-folders may hold the models (on Kaggle every stage has its own mount).

    Raises:
        ArtefactError: the file is missing, not readable, of another schema version, no rule by which shares can be
            pooled, or not the one that the stage wrote; a model's folder is found nowhere (naming all such models and
            the places looked at), or holds another network than the one that the ensemble was fitted to.
    """
    path = Path(folder) / ENSEMBLE_FILE
    missing = "missing; run the ensemble stage first"
    content = read_json(path, _Content, "ensemble", _MEND, missing=missing, schema=SCHEMA)
    try:
        pool = content.pool()
    except ConfigError as error:
        raise ArtefactError(f"{path}: {error}; {_MEND}") from None
    fitted_to = {}
    if (path.parent / MANIFEST).is_file():
        manifest = check_kind(folder, ENSEMBLE)
        verify_files(folder, manifest, manifest.outputs)
        fitted_to = manifest.inputs
    roots = [Path(folder).resolve().parent, *(Path(root).resolve() for root in search)]
    places = {member.name: member.folder for member in content.members}
    found = {name: _find(place, roots) for name, place in places.items()}
    if lacking := [f"{name} ({places[name]})" for name, place in found.items() if place is None]:
        raise ArtefactError(f"{path}: folders of the models {list_some(lacking)} not found below {list_some(roots)}")
    folders = {name: place for name, place in found.items() if place is not None}
    for name, place in folders.items():
        expected, now = fitted_to.get(Path(places[name]).name), read_manifest(place).digest
        if expected and expected != now:
            raise ArtefactError(
                f"{path}: fitted to another network {name} (digest {expected}) than {place} holds ({now}); {_MEND}"
            )
    return StoredEnsemble(
        names=tuple(places),
        pool=pool,
        kind=content.kind,
        folders=folders,
        score=content.score,
        tier=content.tier,
        prior=_by_class(content.prior),
        notes=tuple(content.notes),
        folder=Path(folder).resolve(),
    )


def open_members(
    artefacts: str | Path, search: Iterable[str | Path] = ()
) -> tuple[StoredEnsemble | None, dict[str, Path]]:
    """What predicts in a folder: the one way in for predictions, submissions and the command line.

    Args:
        artefacts: folder of an ensemble or of one trained network; or, as a text, the name of a model that the package
            ships (`SHIPPED`). A folder of such a name is ``./NAME``, its whole path, or a `Path`.
        search: further folders whose sub-folders may hold the ensemble's networks; not looked at for a shipped model.

    Returns:
        The ensemble, or None for a trained network; and name -> trained folder of what predicts.

    Raises:
        ArtefactError: there is no such folder, or it holds something else; names the trained networks beside it, and
            the shipped models.
        PackageError: the package lacks a shipped model's files, or they are damaged.
    """
    folder = folder_of(artefacts)
    if is_shipped(artefacts):
        if any((Path(artefacts) / name).is_file() for name in (ENSEMBLE_FILE, MANIFEST)):
            log.warning("%s is the built-in model; the folder of that name is ./%s", artefacts, artefacts)
        with damage_told(artefacts):
            shipped_networks(artefacts)
            ensemble = load_ensemble(folder)
        return ensemble, ensemble.folders
    if (folder / ENSEMBLE_FILE).is_file():
        ensemble = load_ensemble(folder, search)
        return ensemble, ensemble.folders
    if not (folder / MANIFEST).is_file():
        found = "no finished stage" if folder.is_dir() else "no such folder"
        given = f"./{folder}" if str(folder) in SHIPPED else folder
        raise ArtefactError(
            f"{given}: {found}; expected {MANIFEST} (of a trained network) or {ENSEMBLE_FILE}, or the name of a "
            f"built-in model ({', '.join(SHIPPED)})"
        )
    try:
        check_kind(folder, TRAINED, FIRST_ROUND)
    except ArtefactError as error:
        near = trained_folders(folder) or trained_folders(folder.resolve().parent)
        hint = f"; trained networks: {list_some(near)}" if near else ""
        raise ArtefactError(f"{error}{hint}") from None
    return None, {folder.resolve().name: folder}


def _by_class(values: Mapping[str, float]) -> np.ndarray:
    return np.array([values[name] for name in CLASSES], dtype=np.float64)


def _find(place: str, roots: Iterable[Path]) -> Path | None:
    name = Path(place).name
    patterns = [f"{above}/{glob.escape(name)}" for above in ("*", "*/*")]
    for root in roots:
        below = [folder for pattern in patterns for folder in sorted(root.glob(pattern))]
        for folder in (root / place, root / name, *below):
            # A network whose manifest cannot be read is no reason to take another one of its name.
            if (folder / MANIFEST).is_file() and read_manifest(folder).stage == TRAINED:
                return folder
    return None
