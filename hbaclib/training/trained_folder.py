"""A trained folder, opened: its recipe, its networks' weights, whom they never saw, and what they predicted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import MANIFEST, Manifest, check_kind
from hbaclib.conventions import PREDICTION_COLUMNS, SAMPLE_ID
from hbaclib.dataset.folds import audit_folds
from hbaclib.digests import verify_files
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.models.soundness import weight_faults
from hbaclib.schema import shown
from hbaclib.stages.names import FIRST_ROUND, TRAINED
from hbaclib.training.recipe import Recipe

FITS = ("fold-*.fit.json", "fold-*.checkpoint.npz")
"""By these a folder is known in which networks are being trained."""


def fit_name(recipe: Recipe, fold: int, seed: int) -> str:
    """``fold-K``, with the seed behind it where the recipe has several."""
    return f"fold-{fold}" if len(recipe.seeds) == 1 else f"fold-{fold}-seed-{seed}"


@dataclass(frozen=True)
class TrainedFolder:
    """A finished training run.

    Attributes:
        path: its folder.
        manifest: the folder's manifest.
        recipe: what was trained, and how.
    """

    path: Path
    manifest: Manifest
    recipe: Recipe

    @classmethod
    def open(cls, path: str | Path) -> TrainedFolder:
        """Open a folder that `hbaclib.training.cross_validate.train` wrote.

        Raises:
            ArtefactError: the folder does not hold a finished training run.
            ConfigError: the manifest's recipe is none.
        """
        manifest = check_kind(path, TRAINED, FIRST_ROUND)
        values = manifest.parameters.get("recipe", {})
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: the manifest's recipe is {shown(values)}, expected a table; train again")
        return cls(Path(path), manifest, Recipe.from_dict(values, str(path)))

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that were left out in turn; not all of the recipe's where others are still to be trained.

        Raises:
            ArtefactError: the manifest names none, one twice, or others than the recipe has.
        """
        folds, number = self.manifest.facts.get("folds"), self.recipe.folds
        known = isinstance(folds, list) and all(type(fold) is int and fold in range(number) for fold in folds)
        if not known or not folds or len(set(folds)) < len(folds):
            raise ArtefactError(
                f"{self.path / MANIFEST}: key 'facts.folds' is {shown(folds)}, expected different folds from 0 to "
                f"{number - 1}, at least one; train again"
            )
        return tuple(folds)

    def weights(self, fold: int) -> list[Path]:
        """Weight files of a fold's networks, one for each of the recipe's seeds, as they were trained.

        Raises:
            ArtefactError: a file is missing, or is not what the manifest says.
        """
        files = [self.path / f"{fit_name(self.recipe, fold, seed)}.weights.h5" for seed in self.recipe.seeds]
        for path in files:
            if not path.is_file():
                raise ArtefactError(f"{path}: missing; train fold {fold} again")
        try:
            verify_files(self.path, self.manifest, (path.name for path in files))
        except ArtefactError as error:
            raise ArtefactError(f"weights cannot be loaded: {error}") from None
        return files

    def network(self, weights: Path) -> Any:
        """The uncompiled network with one of its `weights`.

        Raises:
            ArtefactError: the file is another network's, or holds no weights that a training can have ended with.
        """
        network = self.recipe.build_network()
        try:
            network.load_weights(weights)
        except MemoryError:
            raise
        # Keras raises what HDF5 and its own parts do: of a damaged file KeyError and RuntimeError, too.
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ArtefactError(f"{weights}: weights cannot be loaded ({reason})") from error
        if fault := weight_faults(network):
            raise ArtefactError(f"{weights}: {fault}; train again")
        return network

    def oof(self, folds: Iterable[int] | None = None) -> pd.DataFrame:
        """Out-of-fold rows of some folds, the mean over the seeds, sorted by id.

        Args:
            folds: which ones; None takes all that are trained.

        Raises:
            ArtefactError: a table is missing, or is not what the manifest says.
        """
        chosen = self.folds if folds is None else tuple(folds)
        self._verify_oof(chosen)
        return read_oof(self.path, self.recipe, chosen)

    def oof_by_seed(self, fold: int) -> dict[int, pd.DataFrame]:
        """A fold's out-of-fold tables, seed -> rows as they were written.

        Raises:
            ArtefactError: a table is missing, or is not what the manifest says.
        """
        self._verify_oof([fold])
        return dict(zip(self.recipe.seeds, _seed_tables(self.path, self.recipe, fold), strict=True))

    def _verify_oof(self, folds: Iterable[int]) -> None:
        names = [f"{fit_name(self.recipe, fold, seed)}.oof.parquet" for fold in folds for seed in self.recipe.seeds]
        verify_files(self.path, self.manifest, names)

    def held_out(self, fold: int) -> np.ndarray:
        """Patients that no network of a fold has seen, sorted, from the fold's own out-of-fold tables.

        Raises:
            ArtefactError: a table is missing, or is not what the manifest says.
            ConfigError: the fold was not trained there.
        """
        if fold not in self.folds:
            raise ConfigError(f"{self.path}: fold {fold} was not trained there; it has {list(self.folds)}")
        self._verify_oof([fold])
        patients = [table["patient_id"].to_numpy() for table in _seed_tables(self.path, self.recipe, fold)]
        return reduce(np.intersect1d, patients, patients[0])

    def audit(self, fold: int, samples: pd.DataFrame, folds: pd.Series) -> np.ndarray:
        """Check that the networks of a fold never saw the patients that this fold has now.

        Args:
            fold: one of the folds.
            samples: the samples table.
            folds: fold of every patient.

        Returns:
            The patients that they never saw, as `held_out` gives them.

        Raises:
            LeakError: naming a patient that they were trained on.
            ArtefactError, ConfigError: as `held_out` says.
        """
        unseen = self.held_out(fold)
        audit_folds(samples, folds, {fold: np.setdiff1d(samples["patient_id"].unique(), unseen)})
        return unseen


def read_oof(folder: Path, recipe: Recipe, folds: Iterable[int]) -> pd.DataFrame:
    """`TrainedFolder.oof` of a folder whose run has not ended.

    Raises:
        ArtefactError: a table is missing.
    """
    means = []
    for fold in folds:
        tables = _seed_tables(folder, recipe, fold)
        mean = tables[0].copy()
        mean[list(PREDICTION_COLUMNS)] = np.mean([t[list(PREDICTION_COLUMNS)].to_numpy() for t in tables], axis=0)
        means.append(mean)
    return pd.concat(means, ignore_index=True).sort_values(list(SAMPLE_ID), ignore_index=True)


def _seed_tables(folder: Path, recipe: Recipe, fold: int) -> list[pd.DataFrame]:
    """A fold's out-of-fold tables, one for each seed."""
    try:
        return [pd.read_parquet(folder / f"{fit_name(recipe, fold, seed)}.oof.parquet") for seed in recipe.seeds]
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise ArtefactError(f"{folder}: fold {fold} cannot be read ({error}); train it again") from error
