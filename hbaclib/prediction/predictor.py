"""Prediction from trained folders: the same call for one recording of a hospital and for the hidden test set.

The inputs are prepared once a chunk and pass through all folds, seeds and views of all members; every network computes
batches of one fixed size, so that a prediction does not depend on how many rows are asked for, nor on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hbaclib.conventions import (
    CLASSES,
    EEG_COLUMNS,
    EEG_WINDOW,
    RAW_PAIRS,
    SPECTROGRAM_COLUMNS,
    SPECTROGRAM_WINDOW,
)
from hbaclib.ensemble.store import open_members
from hbaclib.errors import DataError, list_some
from hbaclib.inputs.pipeline import input_kinds, mean_prediction
from hbaclib.models.registry import INPUT_SHAPES
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder

WITH_SPECTROGRAMS = {"both", "kaggle", "starter"}
"""Kinds of inputs that need the ten-minute spectrograms."""
SHAPES = {
    **{kind: INPUT_SHAPES["stem", kind] for kind in ("both", "kaggle", "eeg")},
    "starter": INPUT_SHAPES["starter", "kaggle"],
    "raw": INPUT_SHAPES["raw", "raw"],
    "signals_200hz": (EEG_WINDOW, len(RAW_PAIRS)),
}
"""Kind of prepared input -> shape of one sample."""
_CHUNK = 128


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
            ArtefactError: the folder holds no finished training run, or a weight file is missing.
        """
        trained = TrainedFolder.open(folder)
        paths = [path for fold in (trained.folds if folds is None else folds) for path in trained.weights(fold)]
        return cls(trained.recipe, [_compiled(trained.network(path)) for path in paths])

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
            (n, 6) float32, rows sum to 1.
        """
        given = arrays if isinstance(arrays, Mapping) else dict.fromkeys(self.kinds, arrays)
        for kind in self.kinds:
            if kind not in given or np.shape(given[kind])[1:] != SHAPES[kind]:
                found = "are missing" if kind not in given else f"have shape {np.shape(given[kind])}"
                raise DataError(f"{kind!r} inputs {found}, expected (n, {', '.join(map(str, SHAPES[kind]))})")
        size = len(given[self.kinds[0]])
        shares = mean_prediction(
            lambda rows, kind: np.asarray(given[kind][rows], np.float32), size, self.recipe, self.models
        )
        return (shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)


def predict(artefacts: str | Path, eeg: np.ndarray, spectrogram: np.ndarray | None = None) -> np.ndarray:
    """Predict from one trained folder or an ensemble's folder.

    Args:
        artefacts: a folder that `hbaclib.training.cross_validate.train` or the ensemble stage wrote.
        eeg: (n, 10000, 20) µV, columns as EEG_COLUMNS, NaN allowed.
        spectrogram: (n, 300, 400) µV²/Hz, columns as SPECTROGRAM_COLUMNS, NaN allowed; without it only members that see
            the EEG alone can serve.

    Returns:
        (n, 6) float32, columns as CLASSES, rows sum to 1.

    Raises:
        DataError: a shape is not as promised, or no member can serve without spectrograms.
        ArtefactError: the folder holds nothing that can predict.
    """
    eeg = _checked(eeg, (EEG_WINDOW, len(EEG_COLUMNS)), "eeg")
    if spectrogram is not None:
        spectrogram = _checked(spectrogram, (SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), "spectrogram")
        if len(spectrogram) != len(eeg):
            raise DataError(f"{len(eeg)} EEGs but {len(spectrogram)} spectrograms, expected as many")
    ensemble, folders = open_members(artefacts)
    members = predict_members(folders, eeg, spectrogram)
    if ensemble is None:
        return next(iter(members.values()))
    shares = np.stack([members[name] for name in members])
    return ensemble.predict(shares, list(members)).astype(np.float32)


def predict_members(
    folders: Mapping[str, str | Path], eeg: np.ndarray, spectrogram: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Predict from several trained folders in one pass over the recordings.

    Args:
        folders: name -> trained folder.
        eeg: (n, 10000, 20) µV.
        spectrogram: (n, 300, 400) µV²/Hz, or None.

    Returns:
        name -> (n, 6) float32 of the members that can serve with what is given.

    Raises:
        DataError: none of them can.
    """
    predictors = {}
    for name, folder in folders.items():
        if spectrogram is not None or not WITH_SPECTROGRAMS & set(input_kinds(TrainedFolder.open(folder).recipe)):
            predictors[name] = Predictor.load(folder)
    if not predictors:
        raise DataError(
            f"{list_some(folders)}: these networks see Kaggle spectrograms; give them, or train with inputs = 'eeg'"
        )
    return _predict_all(predictors, eeg, spectrogram)


def predict_arrays(artefacts: str | Path, images: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """Predict from one trained folder and prepared inputs.

    Args:
        artefacts: a trained folder.
        images: as `Predictor.predict` takes them.

    Returns:
        (n, 6) float32, rows sum to 1.
    """
    return Predictor.load(artefacts).predict(images)


def _predict_all(
    predictors: Mapping[str, Predictor], eeg: np.ndarray, spectrogram: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Predictions of several folders in one pass over the recordings."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in predictors}
    kinds: set[str] = {kind for predictor in predictors.values() for kind in predictor.kinds}
    for start in range(0, len(eeg), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        prepared = _prepare(kinds, eeg[chunk], None if spectrogram is None else spectrogram[chunk])
        for name, predictor in predictors.items():
            parts[name].append(predictor.predict(prepared))
    empty = np.zeros((0, len(CLASSES)), np.float32)
    return {name: np.concatenate(found) if found else empty for name, found in parts.items()}


def _prepare(kinds: set[str], eeg: np.ndarray, spectrogram: np.ndarray | None) -> dict[str, np.ndarray]:
    """Inputs of every kind that is asked for, from windows of EEG and spectrogram."""
    from hbaclib.signal.images import spectrogram_image, starter_layout
    from hbaclib.signal.mel import eeg_spectrogram
    from hbaclib.signal.raw import raw_signals, signals_200hz

    prepared: dict[str, np.ndarray] = {}
    if kinds & {"both", "eeg"}:
        prepared["eeg"] = np.asarray(eeg_spectrogram(eeg), np.float32)
    if kinds & {"both", "kaggle"}:
        assert spectrogram is not None
        prepared["kaggle"] = np.stack([spectrogram_image(rows) for rows in spectrogram])
    if "starter" in kinds:
        assert spectrogram is not None
        prepared["starter"] = np.stack([starter_layout(rows) for rows in spectrogram])
    for kind, function in {"raw": raw_signals, "signals_200hz": signals_200hz}.items():
        if kind in kinds:
            prepared[kind] = np.asarray(function(eeg), np.float32)
    if "both" in kinds:
        prepared["both"] = np.concatenate([prepared["kaggle"], prepared["eeg"]], axis=-1)
    return prepared


def _checked(values: np.ndarray, shape: tuple[int, int], what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 3 or values.shape[1:] != shape:
        raise DataError(f"{what} has shape {values.shape}, expected (n, {shape[0]}, {shape[1]})")
    return values


def _compiled(model: Any) -> Any:
    import tensorflow as tf

    return tf.function(
        lambda *parts: model(parts[0] if len(parts) == 1 else list(parts), training=False), jit_compile=False
    )
