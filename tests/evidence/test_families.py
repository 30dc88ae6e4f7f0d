"""Every family alone, the fusions, the band ensemble, and the mean of three kinds of input against its best member.

On a synthetic set, from random weights, all with one recipe for the same number of steps. The images are the EEG half
(times averaged in pairs, frequencies in fours; one network sees the Kaggle half in its place), WaveNet has its first
two blocks alone, and ResNet1D-GRU gets the signals averaged in pairs: nineteen networks in an hour on two cores. Scored
is the first of four folds; the networks on frequency bands are trained on two, so that the weights of their ensemble
come from rows that are not scored. Two fusions are trained once more from trained parts, as one would for real use,
beside their image networks with as many steps again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import audit_folds
from hbaclib.conventions import SAMPLE_ID
from hbaclib.ensemble.fit import fit_ensemble
from hbaclib.training.recipe import Recipe, load_recipe
from tests.evidence.side_by_side import (
    COMMON,
    gain_over,
    of_fold,
    predictions,
    scores_of,
    targets,
    train_all,
    trained_folder,
    with_predictions,
)

RAW = {"layout": "raw", "inputs": "raw"}
SMALL_WAVENET = {"filters": [8, 16]}
AT_20_HZ = {**RAW, "downsample": 2}
BANDS = ([0.5, 4.0], [4.0, 8.0])
"""Below 10 Hz, which is as far as signals at 20 Hz reach."""
IMAGE = ("efficientnet_b0", "efficientnet_v2_b2", "mobilenet_v3_large", "resnet50_v2", "densenet201")
CONTINUED = ("efficientnet_b0", "mobilenet_v3_large")
AGAIN = " again"
"""Behind the name of a network that starts from trained ones."""

# name -> changes to the recipe `demo`
NETWORKS: dict[str, dict] = {
    **{name: {"backbone": name} for name in IMAGE},
    "kaggle half": {"backbone": IMAGE[0], "inputs": "kaggle"},
    "wavenet": {"backbone": "wavenet", **RAW, "downsample": 1, "model_options": SMALL_WAVENET},
    "resnet1d_gru": {"backbone": "resnet1d_gru", **AT_20_HZ},
    **{
        f"resnet1d_gru {low:g}-{high:g} Hz": {"backbone": "resnet1d_gru", "band": [low, high], **AT_20_HZ}
        for low, high in BANDS
    },
    **{
        f"{name}_wavenet": {"backbone": f"{name}_wavenet", "model_options": {"wavenet": SMALL_WAVENET}}
        for name in IMAGE
    },
}


def recipe_of(changes: dict) -> Recipe:
    """Recipe demo, shortened, for one of the networks."""
    recipe = load_recipe("demo", **COMMON, downsample=[4, 2]).override(changes)
    return recipe.override({"stages.0.epochs": 1, "stages.0.steps": 300, "stages.0.warmup": 0.1})


@pytest.mark.evidence
def test_families_fusions_bands_and_the_mean_of_three_kinds(networks_folder: Path, arrays) -> None:
    audit_folds(arrays.samples, arrays.folds, {})
    bands = [name for name in NETWORKS if name.startswith("resnet1d_gru")]
    chosen = {name: (recipe_of(changes), [0, 1] if name in bands else [0]) for name, changes in NETWORKS.items()}
    trained = train_all(chosen, arrays, networks_folder)
    parts = {name: [name] for name in CONTINUED} | {f"{name}_wavenet": [name, "wavenet"] for name in CONTINUED}
    started = {
        name + AGAIN: chosen[name][0].override({"start_from": [str(trained_folder(networks_folder, o)) for o in own]})
        for name, own in parts.items()
    }
    trained |= train_all({name: (recipe, [0]) for name, recipe in started.items()}, arrays, networks_folder)
    both = [trained[name] for name in bands]
    assert all(part[list(SAMPLE_ID)].equals(both[0][list(SAMPLE_ID)]) for part in both)
    fitted = fit_ensemble(
        np.stack([predictions(part) for part in both]),
        targets(both[0]),
        both[0]["fold"].to_numpy(),
        both[0]["patient_id"].to_numpy(),
        bands,
        both[0]["n_votes"].to_numpy(),
    )
    rows = {name: of_fold(part, [0]) for name, part in trained.items()}
    rows["ensemble of the bands"] = of_fold(with_predictions(both[0], fitted.oof), [0])
    kinds = ["kaggle half", IMAGE[0], "resnet1d_gru"]
    rows["mean of kaggle, eeg and raw"] = with_predictions(
        rows[kinds[0]], np.mean([predictions(rows[name]) for name in kinds], axis=0)
    )
    scores = pd.concat([scores_of(part, network=name) for name, part in rows.items()])

    def kl(name: str) -> float:
        return float(scores[(scores["network"] == name) & (scores["tier"] == ">=10")]["kl"].iloc[0])

    wholes = {f"{name}_wavenet": [name, "wavenet"] for name in IMAGE}
    wholes |= {f"{name}_wavenet{AGAIN}": [name + AGAIN, "wavenet"] for name in CONTINUED}
    wholes |= {"ensemble of the bands": bands, "mean of kaggle, eeg and raw": kinds}
    best = {whole: min(parts, key=kl) for whole, parts in wholes.items()}
    gains = pd.concat([gain_over(rows[whole], rows[part], whole=whole, part=part) for whole, part in best.items()])
    scores.to_csv(networks_folder / "families-scores.csv", index=False)
    gains.to_csv(networks_folder / "families-gains.csv", index=False)
    print("\n" + scores.to_string(index=False))
    print("gain of the whole over its best part (positive: the whole is better)\n" + gains.to_string(index=False))
    assert np.isfinite(scores["kl"]).all()
    # Which whole beats its parts is for the table to say; that joining kinds of input does no harm is not.
    means = gains[(gains["whole"] == "mean of kaggle, eeg and raw") & (gains["tier"] == ">=10")]
    assert means["high"].iloc[0] > 0
