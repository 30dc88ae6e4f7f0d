"""Several trained networks side by side: one table, kept as a stage of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import atomic_path, read_manifest, write_manifest
from hbaclib.ensemble.fit import EnsembleFit
from hbaclib.errors import ConfigError
from hbaclib.evaluation.oof import load_oof
from hbaclib.evaluation.tiers import score_by_tier
from hbaclib.outputs import stage_folder
from hbaclib.source import code_digest
from hbaclib.stages.names import COMPARISON

TABLE = "comparison.csv"


def compare_predictions(
    predictions: Mapping[str, np.ndarray], targets: np.ndarray, n_votes: np.ndarray, patients: np.ndarray
) -> pd.DataFrame:
    """Score several networks' predictions of the same samples.

    Args:
        predictions: name -> (n, 6) shares.
        targets: (n, 6) shares.
        n_votes: (n,).
        patients: (n,).

    Returns:
        One row a network: ``accuracy`` (share of samples whose most-voted class has the greatest predicted share), then
        ``kl`` of all samples and of those with many votes, the latter with its 95 % interval over patients.
    """
    rows = {}
    for name, shares in predictions.items():
        tiers = score_by_tier(targets, shares, n_votes, patients).set_index("tier")
        accuracy = (shares.argmax(axis=1) == targets.argmax(axis=1)).mean()
        kl, low, high = tiers.loc[">=10", ["kl", "low", "high"]]
        rows[name] = {"accuracy": accuracy, "kl all": tiers.loc["all", "kl"], "kl >=10": kl, "low": low, "high": high}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def store_comparison(
    folders: Sequence[str | Path], folder: str | Path, ensembles: Mapping[str, EnsembleFit] | None = None
) -> pd.DataFrame:
    """Write the table of trained networks, ensembles of them below, and a manifest that names what it is from.

    Args:
        folders: trained folders with all folds.
        folder: gets ``comparison.csv``.
        ensembles: name -> fit to the rows of `hbaclib.load_oof` of these folders; scored by its nested predictions. The
            manifest keeps the weights.

    Returns:
        The table.

    Raises:
        ConfigError: there is nothing to compare.
        ArtefactError: the folder holds another kind of stage.
    """
    if not folders:
        raise ConfigError("no trained networks to compare")
    fits, folder = dict(ensembles or {}), Path(folder).resolve()
    oof = load_oof([Path(member) for member in folders])
    shares = dict(zip(oof.names, oof.predictions, strict=True)) | {name: fit.oof for name, fit in fits.items()}
    table = compare_predictions(shares, oof.targets, oof.n_votes, oof.patients)
    with stage_folder(folder, COMPARISON):
        with atomic_path(folder / TABLE) as partial:
            table.to_csv(partial)
        write_manifest(
            folder,
            COMPARISON,
            inputs={Path(path).name: read_manifest(path).digest for path in folders},
            parameters={},
            code=code_digest(__name__),
            outputs=[TABLE],
            facts={name: {"kind": fit.kind, "weights": fit.weights} for name, fit in fits.items()},
        )
    return table
