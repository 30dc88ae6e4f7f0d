"""One recipe's training as a stage on disk: what it needs, which fits it is made of, and what they leave together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import (
    MANIFEST,
    digest_bytes,
    digest_file,
    digest_folder,
    digest_json,
    is_current,
    read_manifest,
    write_manifest,
    write_table,
)
from hbaclib.conventions import OOF_COLUMNS, SAMPLE_COLUMNS
from hbaclib.dataset.folds import audit_folds
from hbaclib.errors import ArtefactError, ConfigError, DataError
from hbaclib.inputs.pipeline import input_kinds
from hbaclib.inputs.store import InputArrays
from hbaclib.outputs import stage_folder
from hbaclib.source import callable_digest, code_digest
from hbaclib.stages.names import OOF_FILE, TRAINED
from hbaclib.stages.shipped import digest_of, is_shipped
from hbaclib.training.fit import Fit
from hbaclib.training.history import HISTORY, read_history
from hbaclib.training.recipe import Recipe
from hbaclib.training.shipped_start import check_shipped_starts, start_files
from hbaclib.training.targets import load_pseudo_labels
from hbaclib.training.trained_folder import FITS, TrainedFolder, fit_name, read_oof
from hbaclib.training.warm_start import start_folders

RECIPE = "recipe.toml"


@dataclass(frozen=True)
class TrainingStage:
    """A recipe's fits on one set of inputs, in one folder.

    Attributes:
        recipe: what is trained, and how.
        inputs: samples, folds and arrays.
        folder: a whole path.
        kind: what the manifest says that the folder holds.
        chosen: the folds that are to be left out in turn.
        needed: name -> digest of all that it is made from.
        fits: one a fold and seed, those that nobody has chosen among them.
        current: whether the folder holds it, as far as it was trained.
    """

    recipe: Recipe
    inputs: InputArrays
    folder: Path
    kind: str
    chosen: tuple[int, ...]
    needed: dict[str, str]
    fits: tuple[Fit, ...]
    current: bool

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        inputs: InputArrays,
        out_folder: str | Path,
        folds: Iterable[int] | None = None,
        pseudo_labels: str | Path | None = None,
        kind: str = TRAINED,
    ) -> TrainingStage:
        """Check everything that can be checked before any training starts, and look at what is there already.

        Arguments and errors as for `hbaclib.training.cross_validate.train`.
        """
        # Whole paths from here on: processes that train need not have this working folder.
        folder = Path(out_folder).resolve()
        labels = None if pseudo_labels is None else Path(pseudo_labels).resolve()
        chosen = check_training(recipe, inputs, folds, pseudo_labels, folder)
        starts = start_folders(recipe, folder)
        needed = {"arrays": inputs.digest} | {f"from {name}": digest_of(place) for name, place in starts.items()}
        # A user's network keeps its name when it is edited.
        needed["network"] = callable_digest(recipe.family.features)
        if labels is not None:
            needed["pseudo_labels"] = read_manifest(labels).digest
        if weights := recipe.find_weights():
            needed["weights"] = digest_file(weights) if weights.is_file() else digest_folder(weights)
        fits = tuple(
            Fit(recipe, fold, seed, folder, data, recipe.family, labels, tuple(starts.values()))
            for fold in range(recipe.folds)
            if (data := _data_of(fold, starts, inputs, needed.get("weights", ""), labels))
            for seed in recipe.seeds
        )
        parameters = {"recipe": recipe.to_dict()}
        current = is_current(folder, inputs=needed, parameters=parameters, code=code_digest(__name__))
        return cls(recipe, inputs, folder, kind, chosen, needed, fits, current)

    @property
    def complete(self) -> bool:
        """Whether all chosen folds are trained, and the folder says so."""
        return self.current and set(self.chosen) <= set(read_manifest(self.folder).facts["folds"])

    @cached_property
    def left(self) -> list[Fit]:
        """The chosen fits that had not finished when this was asked first."""
        return [fit for fit in self.fits if fit.fold in self.chosen and not fit.finished()]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, and make it ready for the fits.

        Raises:
            ArtefactError: the folder holds another kind of stage.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with stage_folder(self.folder, self.kind, own=FITS):
            if not self.current:
                # Until the new run ends the folder is not a trained one: its files may come from two recipes.
                (self.folder / MANIFEST).unlink(missing_ok=True)
                (self.folder / OOF_FILE).unlink(missing_ok=True)
                _remove_others(self.recipe, self.folder)
            self.recipe.save(self.folder / RECIPE)
            yield

    def finish(self) -> bool:
        """Join what the finished fits left: one out-of-fold table (mean over the seeds), one learning curve.

        Returns:
            Whether any fold has finished; else nothing is written.
        """
        finished = {fit.name: fit.finished() for fit in self.fits}
        folds = sorted({fit.fold for fit in self.fits} - {fit.fold for fit in self.fits if not finished[fit.name]})
        if not folds:
            return False
        whole = [fit for fit in self.fits if fit.fold in folds]
        histories = [read_history(fit.path(HISTORY)).assign(fold=fit.fold, seed=fit.seed) for fit in whole]
        outputs = [self.folder / RECIPE, self.folder / HISTORY]
        if len(folds) == self.recipe.folds:
            # Only a whole table can be compared with other models' and enter an ensemble.
            outputs.append(
                write_table(self.folder / OOF_FILE, read_oof(self.folder, self.recipe, folds)[list(OOF_COLUMNS)])
            )
        write_table(self.folder / HISTORY, pd.concat(histories, ignore_index=True))
        outputs += [path for fit in whole for path in fit.outputs()]
        records = {fit.name: fit.read_record().facts for fit in self.fits if finished[fit.name]}
        facts = list(records.values())
        write_manifest(
            self.folder,
            self.kind,
            inputs=self.needed,
            parameters={"recipe": self.recipe.to_dict()},
            code=code_digest(__name__),
            outputs=outputs,
            facts={
                "folds": folds,
                "recipe_digest": self.recipe.digest,
                "seconds": round(sum(fact.end - fact.begin for fact in facts), 1),
                "threads": sorted({fact.threads for fact in facts}),
                "precision": sorted({fact.precision for fact in facts}),
                "fits": {name: asdict(fact) for name, fact in records.items()},
            },
        )
        return True


def check_training(
    recipe: Recipe,
    inputs: InputArrays,
    folds: Iterable[int] | None = None,
    pseudo_labels: str | Path | None = None,
    folder: str | Path = "",
) -> tuple[int, ...]:
    """Check everything that can be checked before any training starts.

    Args:
        recipe: what is to be trained.
        inputs: samples, folds and arrays.
        folds: folds to leave out, in turn; None is all.
        pseudo_labels: folder of pseudo-labels, or None.
        folder: the folder to be trained, or the run's; stages that ``start_from`` names lie in it or above it.

    Returns:
        The folds.

    Raises:
        ConfigError, DataError, LeakError: as `train` says.
    """
    recipe.find_weights()
    if (recipe.band or recipe.crop_seconds) and not recipe.reads_signals:
        raise ConfigError(f"recipe {recipe.name!r}: band and crop_seconds are for networks that read the raw signals")
    if recipe.reads_signals and recipe.augment_with == "albumentations":
        raise ConfigError(f"recipe {recipe.name!r}: albumentations changes images, not raw signals; use 'batched'")
    if bool(recipe.pseudo_weight) != (pseudo_labels is not None):
        passed = "no pseudo-labels" if pseudo_labels is None else f"the pseudo-labels {pseudo_labels}"
        raise ConfigError(
            f"recipe {recipe.name!r} has pseudo_weight = {recipe.pseudo_weight}, but {passed} were passed"
        )
    samples, table = inputs.samples, inputs.folds
    missing = [column for column in SAMPLE_COLUMNS if column not in samples.columns]
    if missing:
        raise DataError(f"samples table: columns {', '.join(missing)} are missing")
    again = samples.loc[samples["eeg_id"].duplicated(), "eeg_id"]
    if recipe.sampling == "non_overlapping" and len(again):
        raise ConfigError(
            f"recipe {recipe.name!r} is for sampling 'non_overlapping', but eeg_id {again.iloc[0]} has several "
            "samples; prepare the data that way, or set the recipe's sampling to 'any'"
        )
    if inputs.sampling and recipe.sampling not in ("any", inputs.sampling):
        raise ConfigError(
            f"recipe {recipe.name!r} is for sampling {recipe.sampling!r}, the data were prepared with "
            f"{inputs.sampling!r}; prepare them that way, or set the recipe's sampling to 'any'"
        )
    numbers = {int(number) for number in table}
    if numbers != set(range(recipe.folds)):
        raise ConfigError(f"recipe {recipe.name!r} has {recipe.folds} folds, the fold table {sorted(numbers)}")
    chosen = tuple(range(recipe.folds)) if folds is None else tuple(dict.fromkeys(folds))
    outside = [fold for fold in chosen if fold not in range(recipe.folds)]
    if outside or not chosen:
        raise ConfigError(f"folds {list(chosen)}, expected some of 0 to {recipe.folds - 1}")
    audit_folds(samples, table, {})  # the table itself: a patient in two folds, or in none
    fold_of = samples["patient_id"].map(table).to_numpy()
    audit_folds(samples, table, {fold: fold_of != fold for fold in chosen})
    for kind in input_kinds(recipe):
        inputs.gather(np.zeros(1, int), kind)  # raises where the recipe reads what is not stored
    starts = start_folders(recipe, folder)
    if Path(folder).resolve() in starts.values():
        raise ConfigError(f"recipe {recipe.name!r} starts from {folder}, the folder it trains; name another folder")
    check_shipped_starts(recipe)
    for fold in chosen:
        for place in starts.values():
            if not is_shipped(place):  # which has seen no patient
                TrainedFolder.open(place).audit(fold, samples, table)
        if pseudo_labels is not None:
            load_pseudo_labels(pseudo_labels, samples, table, fold)
        if not (fold_of == fold).any():
            raise DataError(f"fold {fold} has no samples")
        for number, stage in enumerate(recipe.stages, 1):
            if not ((fold_of != fold) & (samples["n_votes"] >= stage.min_votes)).any():
                raise DataError(
                    f"stage {number} of recipe {recipe.name!r} trains on samples with at least {stage.min_votes} "
                    f"votes; there are none outside fold {fold}"
                )
    return chosen


def _data_of(
    fold: int,
    starts: Mapping[str, str | Path],
    inputs: InputArrays,
    weights: str,
    pseudo_labels: str | Path | None,
) -> str:
    """Digest of what the fits of a fold are made from; empty where it is not there (yet).

    Of pseudo-labels and trained folders only the fold's own part counts: other folds may follow later. A shipped
    model serves all folds alike.
    """
    used: dict[str, object] = {"arrays": inputs.digest}
    if weights:
        used["weights"] = weights
    try:
        for name, place in starts.items():
            files = start_files(place) if is_shipped(place) else TrainedFolder.open(place).weights(fold)
            used[f"from {name}"] = [digest_file(file) for file in files]
        if pseudo_labels is not None:
            labels = load_pseudo_labels(pseudo_labels, inputs.samples, inputs.folds, fold)
            used["pseudo_labels"] = digest_bytes(labels.tobytes())
    except ArtefactError:
        return ""
    return inputs.digest if len(used) == 1 else digest_json(used)


def _remove_others(recipe: Recipe, folder: Path) -> None:
    """Remove what fits of an earlier recipe have left, which would otherwise lie beside the new ones for good."""
    names = {fit_name(recipe, fold, seed) for fold in range(recipe.folds) for seed in recipe.seeds}
    for path in folder.glob("fold-*"):
        if path.is_file() and path.name.split(".")[0] not in names:
            path.unlink()
