"""Training in two rounds: the networks of the first make the pseudo-labels that the second trains on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from hbaclib.inputs.store import InputArrays
from hbaclib.platform import session_hours_left
from hbaclib.prediction.pseudo_labels import make_pseudo_labels
from hbaclib.stages.names import FIRST_ROUND
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe


def train_in_rounds(
    recipe: Recipe,
    inputs: InputArrays,
    folder: str | Path,
    *,
    folds: Iterable[int] | None = None,
    pseudo_labels: bool = True,
    progress: bool = True,
    mirrored: bool = False,
    devices: tuple[str, ...] | None = None,
    session_hours: float | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> Path:
    """Train a recipe, first without and then with pseudo-labels where it mixes them in.

    For every fold the pseudo-labels come from the networks of the first round that left this fold out.

    Args:
        recipe: with a ``pseudo_weight`` it is trained twice.
        inputs: samples, folds and arrays.
        folder: of the networks that count; beside it lie the first round's and the labels (see `round_folders`).
        folds: as for `hbaclib.training.cross_validate.train`.
        pseudo_labels: False trains once, without them, whatever the recipe says.
        progress: as for `train`.
        mirrored: as for `train`.
        devices: as for `train`.
        session_hours: what the session has left now; None for what Kaggle grants, and no end elsewhere.
        on_epoch: as for `train`; called in both rounds.

    Returns:
        ``folder``.

    Raises:
        HbacError: as `train` and `make_pseudo_labels` say.
    """
    folder, chosen = Path(folder).resolve(), None if folds is None else tuple(folds)
    begin = time.monotonic()

    def fit(recipe: Recipe, folder: Path, **options: Any) -> Path:
        # What is left of a session is asked anew for each round: the first one used a part of it.
        used = (time.monotonic() - begin) / 3600
        hours = session_hours_left() if session_hours is None else session_hours - used
        common: dict[str, Any] = {"progress": progress, "mirrored": mirrored, "on_epoch": on_epoch, "devices": devices}
        return train(recipe, inputs, folder, folds=chosen, session_hours=hours, **common, **options)

    first = recipe.override({"pseudo_weight": 0.0})
    if not (recipe.pseudo_weight and pseudo_labels):
        return fit(first, folder)
    before, labels = round_folders(folder)
    trained = fit(first, before, kind=FIRST_ROUND)
    made = make_pseudo_labels([trained], inputs, labels, up_to=recipe.pseudo_up_to)
    return fit(recipe, folder, pseudo_labels=made)


def round_folders(folder: str | Path) -> tuple[Path, Path]:
    """Folders of the first round and of the pseudo-labels that belong to a trained folder.

    Args:
        folder: as ``06_train_wavenet``; its like are ``06_first_round_wavenet`` and ``06_pseudo_labels_wavenet``,
            which their manifests say are none that an ensemble takes for members.
    """
    folder = Path(folder).resolve()
    number, _, name = folder.name.rpartition("_train_")
    first, labels = (
        f"{number}_{kind}_{name}" if number else f"{kind}_{name}" for kind in ("first_round", "pseudo_labels")
    )
    return folder.with_name(first), folder.with_name(labels)
