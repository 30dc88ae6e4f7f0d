"""The state of a fit at the end of an epoch: weights, optimizer, place in the recipe, learning curve so far."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hbaclib.artefacts import atomic_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A finished epoch.

    Attributes:
        key: digest of everything that the fit depends on, apart from the device.
        precision: numbers inside the network. ``auto`` of a recipe gives others on a GPU than on a CPU, and the
            optimizer of one has variables that the other's has not.
        stage: number of the stage.
        epoch: finished epochs of that stage.
        history: rows of the learning curve so far.
        weights: values of all variables of the model.
        optimizer: values of all variables of the optimizer.
        xla: what of a step XLA compiles, which the last bits depend on.
        xla_note: why that is less than the recipe asks for; empty where it is not, or an earlier version wrote this.
    """

    key: str
    precision: str
    stage: int
    epoch: int
    history: list[dict[str, Any]]
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    xla: str = "off"
    xla_note: str = ""

    def save(self, path: str | Path) -> None:
        """Write the checkpoint in place of the previous one, atomically."""
        names = ("key", "precision", "stage", "epoch", "history", "xla", "xla_note")
        facts = {name: getattr(self, name) for name in names}
        arrays = {f"weight{i}": value for i, value in enumerate(self.weights)}
        arrays |= {f"optimizer{i}": value for i, value in enumerate(self.optimizer)}
        arrays["facts"] = np.array(json.dumps(facts))
        with atomic_path(path) as partial:
            np.savez(partial, allow_pickle=False, **arrays)


def load_checkpoint(path: str | Path, key: str, precision: str) -> Checkpoint | None:
    """The checkpoint of a fit, where there is one that the fit can resume.

    Args:
        path: the file.
        key: digest of the fit.
        precision: numbers inside the network as it is now.

    Returns:
        None where there is none of this key (another recipe, data or code made it), or it was made in another
        precision, which the log says.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            if facts["key"] != key:
                return None
            if facts["precision"] != precision:
                log.warning(
                    "%s was made in %s, this device trains in %s: the fit starts anew; to resume it, use the same "
                    "kind of device, or set the recipe's precision",
                    path,
                    facts["precision"],
                    precision,
                )
                return None
            weights, optimizer = (
                [file[f"{kind}{i}"] for i in range(sum(name.startswith(kind) for name in file.files))]
                for kind in ("weight", "optimizer")
            )
            return Checkpoint(**facts, weights=weights, optimizer=optimizer)
    # What NumPy and its archive say of a file that was cut or spoilt; the fit starts anew.
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError, NotImplementedError, RecursionError):
        return None


def values_of(variables: list[Any]) -> list[np.ndarray]:
    """Copies of the variables' values."""
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assign_values(variables: Iterable[Any], values: Iterable[np.ndarray]) -> None:
    """Give variables their stored values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
