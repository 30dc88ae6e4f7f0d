"""The networks of one trained folder, ready to predict.

Every network computes batches of one fixed size, so that a prediction does not depend on how many rows are asked for,
nor on its neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hbaclib.compat.keras_settings import check_keras
from hbaclib.conventions import EEG_WINDOW, RAW_PAIRS
from hbaclib.errors import ArtefactError, ConfigError, DataError, HbacError, list_some, unknown_name
from hbaclib.inputs.pipeline import input_kinds, mean_prediction
from hbaclib.inputs.store import IMAGE_KINDS
from hbaclib.models.calling import inference, note_on_gpus
from hbaclib.models.registry import INPUT_SHAPES, model_names
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder

log = logging.getLogger(__name__)

SHAPES = {
    **{kind: INPUT_SHAPES["stem", half] for kind, (half, _) in IMAGE_KINDS.items()},
    "starter": INPUT_SHAPES["starter", "kaggle"],
    "raw": INPUT_SHAPES["raw", "raw"],
    "signals_200hz": (EEG_WINDOW, len(RAW_PAIRS)),
}
"""Kind of prepared input -> shape of one sample."""


def sees_spectrograms(recipe: Recipe) -> bool:
    """Whether one of a network's inputs is made of the ten-minute spectrogram."""
    return any(kind == "starter" or IMAGE_KINDS.get(kind, ("eeg",))[0] != "eeg" for kind in input_kinds(recipe))


@cache
def _tell_once(note: str) -> None:
    log.warning("%s; predicting on the CPU", note)


@dataclass
class Predictor:
    """All networks of one trained folder, ready to predict.

    Attributes:
        recipe: the folder's recipe.
        models: one network a fit.
    """

    recipe: Recipe
    models: list[Any]

    @classmethod
    def load(cls, folder: str | Path, folds: Sequence[int] | None = None) -> Predictor:
        """Load the networks of a trained folder.

        Args:
            folder: the folder.
            folds: take only the networks that left these folds out; None takes all.

        Raises:
            ArtefactError: the folder holds no finished training run, or weights are missing, changed, not to be loaded,
                or give NaN.
            ConfigError: nobody has registered its network.
            PlatformError: Keras is set up for other networks.
        """
        trained = TrainedFolder.open(folder)
        check_keras()
        if trained.recipe.backbone not in model_names():
            raise ConfigError(
                f"{folder}: {unknown_name('model', trained.recipe.backbone, model_names())}; a network of your own is "
                "known once its module has been imported (hbac predict: --module FILE.py)"
            )
        paths = [path for fold in (trained.folds if folds is None else folds) for path in trained.weights(fold)]
        try:
            predictor = cls(trained.recipe, [inference(trained.network(path)) for path in paths])
        except HbacError:
            raise
        except (OSError, ValueError) as error:
            reason = (str(error) or "no reason told").splitlines()[0]
            raise ArtefactError(f"{folder}: weights cannot be loaded ({reason})") from error
        if note := note_on_gpus():
            _tell_once(note)
        # The first prediction traces the networks; done here, it does not count as a recording's time.
        nothing = {kind: np.zeros((1, *SHAPES[kind]), np.float32) for kind in predictor.kinds}
        if not np.isfinite(predictor.predict(nothing)).all():
            faulty = [
                path.name
                for path, model in zip(paths, predictor.models, strict=True)
                if not np.isfinite(cls(trained.recipe, [model]).predict(nothing)).all()
            ]
            raise ArtefactError(
                f"{folder}: weights give no shares, but NaN or infinite values: {list_some(faulty)}; train them again"
            )
        return predictor

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of arrays that the networks read, as `InputArrays.gather` knows them."""
        return input_kinds(self.recipe)

    def predict(self, arrays: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """Mean over folds, seeds and views.

        Args:
            arrays: kind -> (n, ...) inputs as `InputArrays.gather` gives them, of all ``kinds``; or the array alone
                where the networks read one.

        Returns:
            (n, 6) float32, rows sum to 1; NaN are those that a network answers by what are no shares.
        """
        inputs = arrays if isinstance(arrays, Mapping) else dict.fromkeys(self.kinds, arrays)
        for kind in self.kinds:
            if kind not in inputs or np.shape(inputs[kind])[1:] != SHAPES[kind]:
                found = "are missing" if kind not in inputs else f"have shape {np.shape(inputs[kind])}"
                raise DataError(f"{kind!r} inputs {found}, expected (n, {', '.join(map(str, SHAPES[kind]))})")
        return self.predict_rows(
            lambda rows, kind: np.asarray(inputs[kind][rows], np.float32), len(inputs[self.kinds[0]])
        )

    def predict_rows(self, gather: Callable[[np.ndarray, str], np.ndarray], size: int) -> np.ndarray:
        """`predict` of so many rows, whose inputs are asked for batch by batch.

        Args:
            gather: from row numbers and a kind of input to these rows of it.
            size: number of rows.
        """
        shares = mean_prediction(gather, size, self.recipe, self.models)
        total = shares.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            known = np.isfinite(shares).all(axis=1) & (shares >= 0).all(axis=1) & (total[:, 0] > 0)
        shares[~known], total[~known] = np.nan, 1.0
        return (shares / total).astype(np.float32)
