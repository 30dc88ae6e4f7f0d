"""Ensembles of models, with a score that no row contributed to both as teacher and as judge."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import atomic_path, is_current, read_manifest, stage_lock, write_json, write_manifest
from hbaclib.conventions import CLASSES, PREDICTION_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, DataError, list_some
from hbaclib.evaluation.ensemble_data import EnsembleData, ensemble_data, implausible, without_duplicates
from hbaclib.evaluation.metric import divergence, share_faults
from hbaclib.evaluation.nested import Search, given_weights
from hbaclib.evaluation.oof import OOF_FILE, load_oof, oof_table
from hbaclib.evaluation.pooling import KINDS, Pool
from hbaclib.evaluation.tiers import mean_interval

ENSEMBLE_FILE, TABLE_FILE, CANDIDATES_FILE = "ensemble.json", "members.csv", "candidates.csv"
SCHEMA = 1


@dataclass(frozen=True)
class Ensemble:
    """A rule that pools the predictions of named models.

    Attributes:
        names: m model names, as given to the fit.
        kind: one of pooling.KINDS, or "given weights".
        pool: weights (m,), 0 for a dropped model; temperature and biases.
    """

    names: tuple[str, ...]
    kind: str
    pool: Pool

    @property
    def weights(self) -> dict[str, float]:
        """Model name -> weight."""
        return dict(zip(self.names, map(float, self.pool.weights), strict=True))

    def predict(self, predictions: np.ndarray, names: Sequence[str] | None = None) -> np.ndarray:
        """Pool the models' predictions.

        Args:
            predictions: (m, n, 6) shares.
            names: the models that they come from, in their order; some of the ensemble's, whose weights are then
                rescaled to sum to 1. None: all, in the ensemble's order.

        Returns:
            (n, 6) float64 shares.

        Raises:
            DataError: naming every model whose shares are faulty.
            ConfigError: a name is not in the ensemble, or the models given have no weight.
        """
        names = self.names if names is None else tuple(names)
        if unknown := [name for name in names if name not in self.names]:
            raise ConfigError(f"not in the ensemble: {list_some(unknown)}; it has {list_some(self.names)}")
        shares = _checked_predictions(predictions, names)
        weights = self.pool.weights[[self.names.index(name) for name in names]]
        if weights.sum() <= 0:
            raise ConfigError(f"the models {list_some(names)} have no weight in the ensemble {self.weights}")
        return replace(self.pool, weights=weights / weights.sum()).apply(shares)


@dataclass(frozen=True)
class EnsembleFit(Ensemble):
    """An ensemble with the evidence for it.

    Attributes:
        oof: (n, 6) nested predictions: a fold's come from a rule chosen and fitted without that fold.
        score: mean divergence of ``oof`` on the rows that the fit is for (see ``tier``).
        tier: ">=10" if votes were given and every fold has such rows, else "all".
        table: one row per model: name, weight, kl (alone), low, high, adds (how much the score rises without it),
            note.
        candidates: one row per kind: kind, kl (cross-fitted), behind (the best), standard_error (paired), chosen.
        fold_kinds: fold -> the kind chosen without it.
        prior: (6,) class means of the rows that the fit is for: the guess where nothing can be predicted.
        notes: what the reader must know: dropped, implausible, tier.
    """

    oof: np.ndarray
    score: float
    tier: str
    table: pd.DataFrame
    candidates: pd.DataFrame
    fold_kinds: dict[int, str]
    prior: np.ndarray
    notes: tuple[str, ...]


def fit_ensemble(
    predictions: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    groups: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    n_votes: np.ndarray | None = None,
    *,
    kinds: Sequence[str] | None = None,
    weights: Mapping[str, float] | Sequence[float] | None = None,
    leave_one_out: bool = True,
) -> EnsembleFit:
    """Choose and fit an ensemble of out-of-fold predictions, and score it nested.

    For every fold, kind and weights are decided on the other folds alone: each kind is cross-fitted over them, and the
    simplest within one paired standard error (over patients) of the best is fitted to all of them. The final rule is
    made the same way from all folds.

    Args:
        predictions: (m, n, 6) out-of-fold shares.
        targets: (n, 6) vote shares.
        folds: (n,) fold of each row, 0 .. K-1.
        groups: (n,) patients; none may lie in two folds. None: every row is its own group.
        names: m model names. None: "model 0", ...
        n_votes: (n,) votes. If given, the ensemble is fitted and scored on rows with at least 10, as in the test set.
        kinds: kinds to choose from. None: all of pooling.KINDS.
        weights: fixed weights by name or in order; nothing is then fitted.
        leave_one_out: also compute what each model adds.

    Returns:
        The ensemble, its nested predictions, score and tables.

    Raises:
        DataError: naming every fault: shapes, NaN or rows not summing to 1 (by model), a fold without rows.
        LeakError: a group lies in two folds.
        ConfigError: an unknown kind, or impossible weights.
    """
    data = ensemble_data(predictions, targets, folds, groups, names, n_votes)
    if unknown := [kind for kind in kinds or () if kind not in KINDS]:
        raise ConfigError(f"no ensemble of kind {list_some(unknown)}; expected some of: {'; '.join(KINDS)}")
    chosen_kinds = [kind for kind in KINDS if kinds is None or kind in kinds]
    notes = list(data.notes)

    kept = without_duplicates(data)
    if dropped := [name for index, name in enumerate(data.names) if index not in kept]:
        notes.append(f"dropped as duplicates of another model: {list_some(dropped)}")
    notes += implausible(data, kept)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)

    small = replace(data, shares=data.shares[kept], names=tuple(data.names[index] for index in kept))
    if weights is not None:
        search = given_weights(data, small, weights)
    else:
        if len(kept) == 1:
            # Of one model every pool is that model: only the calibration is open.
            chosen_kinds = [k for k in chosen_kinds if k in KINDS[::2][:2]] or [KINDS[0]]
        search = Search(small, chosen_kinds)
    kind, candidates = search.choose(search.all_folds)
    pool = search.fit(kind, frozenset())

    oof = np.empty_like(data.targets)
    fold_kinds = {}
    for fold in search.all_folds:
        fold_kinds[fold], _ = search.choose([other for other in search.all_folds if other != fold])
        rows = data.folds == fold
        oof[rows] = search.fit(fold_kinds[fold], frozenset({fold})).apply(small.shares[:, rows])
    score = float(divergence(data.targets, oof)[data.fitted].mean())
    adds = search.leave_one_out(kind) if leave_one_out and len(kept) > 1 else np.full(len(kept), np.nan)
    return EnsembleFit(
        names=data.names,
        kind=kind,
        pool=replace(pool, weights=_spread(pool.weights, kept, len(data.names))),
        oof=oof,
        score=score,
        tier=data.tier,
        table=_table(data, kept, pool.weights, adds, notes),
        candidates=candidates,
        fold_kinds=fold_kinds,
        prior=data.targets[data.fitted].mean(axis=0),
        notes=tuple(notes),
    )


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
        return pd.read_csv(self.folder / TABLE_FILE, keep_default_na=False, na_values={"adds": [""]})

    @property
    def candidates(self) -> pd.DataFrame:
        """One row per kind, as in `EnsembleFit`."""
        return pd.read_csv(self.folder / CANDIDATES_FILE)

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
        members: stage folders with an ``oof.parquet`` and a manifest.
        folder: folder to write: ensemble.json, oof.parquet (the nested predictions), members.csv, candidates.csv.
        weights: fixed weights by model name; None: fitted.

    Returns:
        ``folder``. If it is current already, nothing is computed.
    """
    folder, places = Path(folder), [Path(member) for member in members]
    with stage_lock(folder):
        inputs = {place.name: read_manifest(place).digest for place in places}
        parameters = {"weights": dict(weights) if weights else None}
        if is_current(folder, inputs=inputs, parameters=parameters):
            return folder
        oof = load_oof(places)
        fit = fit_ensemble(
            oof.predictions, oof.targets, oof.folds, oof.patients, oof.names, oof.n_votes, weights=weights
        )
        save_ensemble(fit, folder, dict(zip(oof.names, places, strict=True)))
        nested = oof_table(oof.ids, oof.patients, oof.n_votes, oof.folds, oof.targets, fit.oof)
        with atomic_path(folder / OOF_FILE) as partial:
            nested.to_parquet(partial, index=False)
        for name, table in ((TABLE_FILE, fit.table), (CANDIDATES_FILE, fit.candidates)):
            with atomic_path(folder / name) as partial:
                table.to_csv(partial, index=False)
        write_manifest(
            folder,
            folder.name,
            inputs=inputs,
            parameters=parameters,
            outputs=[ENSEMBLE_FILE, OOF_FILE, TABLE_FILE, CANDIDATES_FILE],
            facts={"score": fit.score, "tier": fit.tier, "kind": fit.kind, "members": len(oof.names)},
        )
        return folder


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
        raise ArtefactError(f"{folder}: no folder given for the models {list_some(missing)}")
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
        ArtefactError: the file is missing, not readable, or of another schema version; a model's folder is found
            nowhere (naming all such models and the places looked at).
    """
    path = Path(folder) / ENSEMBLE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content.get("schema")
    except FileNotFoundError:
        raise ArtefactError(f"{path}: missing; run the ensemble stage first") from None
    except (OSError, ValueError, AttributeError) as error:
        raise ArtefactError(f"{path}: not a readable ensemble ({error})") from error
    if found != SCHEMA:
        raise ArtefactError(f"{path}: schema version {found}, this hbaclib reads version {SCHEMA}; fit it again")
    try:
        names = tuple(member["name"] for member in content["members"])
        pool = Pool(
            np.array(content["weights"], dtype=np.float64),
            bool(content["log_linear"]),
            float(content["temperature"]),
            np.array([content["biases"][name] for name in CLASSES], dtype=np.float64),
        )
        places = {member["name"]: member["folder"] for member in content["members"]}
        score, tier, kind = float(content["score"]), str(content["tier"]), str(content["kind"])
        prior, notes = np.array([float(content["prior"][name]) for name in CLASSES]), tuple(content["notes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: incomplete, {type(error).__name__} {error}; fit the ensemble again") from error
    roots = [Path(folder).resolve().parent, *(Path(root) for root in search)]
    folders = {name: _find(place, roots) for name, place in places.items()}
    if missing := [f"{name} ({places[name]})" for name, place in folders.items() if place is None]:
        looked = list_some(roots)
        raise ArtefactError(f"{path}: folders of the models {list_some(missing)} not found below {looked}")
    return StoredEnsemble(
        names=names,
        kind=kind,
        pool=pool,
        folders={name: place for name, place in folders.items() if place is not None},
        score=score,
        tier=tier,
        prior=prior,
        notes=notes,
        folder=Path(folder),
    )


def _find(place: str, roots: Iterable[Path]) -> Path | None:
    name = Path(place).name
    for root in roots:
        found = [root / place, root / name, *sorted(root.glob(f"*/{name}")), *sorted(root.glob(f"*/*/{name}"))]
        if folder := next((candidate for candidate in found if candidate.is_dir()), None):
            return folder
    return None


def _table(
    data: EnsembleData, kept: Sequence[int], weights: np.ndarray, adds: np.ndarray, notes: Sequence[str]
) -> pd.DataFrame:
    spread, added = _spread(weights, kept, len(data.names)), _spread(adds, kept, len(data.names), np.nan)
    groups, rows = data.groups[data.fitted], []
    for index, name in enumerate(data.names):
        loss = divergence(data.targets, data.shares[index])[data.fitted]
        low, high = mean_interval(loss, groups)
        note = "" if index in kept else "duplicate"
        if any(text.startswith(f"{name}: ") and "implausible" in text for text in notes):
            note = "implausible"
        rows.append(
            {
                "name": name,
                "weight": spread[index],
                "kl": float(loss.mean()),
                "low": low,
                "high": high,
                "adds": added[index],
                "note": note,
            }
        )
    return pd.DataFrame(rows).sort_values(["weight", "kl"], ascending=[False, True], ignore_index=True)


def _spread(values: np.ndarray, kept: Sequence[int], total: int, empty: float = 0.0) -> np.ndarray:
    full = np.full(total, empty)
    full[list(kept)] = values
    return full


def _checked_predictions(predictions: np.ndarray, names: Sequence[str]) -> np.ndarray:
    shares = np.asarray(predictions, dtype=np.float64)
    if shares.ndim != 3 or shares.shape[0] != len(names) or shares.shape[2] != len(CLASSES) or not shares.shape[1]:
        raise DataError(f"predictions: shape {shares.shape}; expected ({len(names)}, n, {len(CLASSES)})")
    faults = [fault for name, values in zip(names, shares, strict=True) for fault in share_faults(values, name)]
    if faults:
        raise DataError("; ".join(faults))
    return shares
