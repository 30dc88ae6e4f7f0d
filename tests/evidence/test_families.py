"""Every family alone, the fusions, the band ensemble, and the mean of three kinds of input against its best member.

On a synthetic set, from random weights, all with one recipe and one fold table. Everything that is trained lies in
HBAC_EVIDENCE_FOLDER (or a temporary folder), and a second run goes on where the first stopped.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import audit_folds, make_synthetic_dataset, score_by_tier
from hbaclib.dataset.port import port_data, store_eeg_products, store_kaggle_images
from hbaclib.evaluation.ensemble import fit_ensemble
from hbaclib.evaluation.oof import load_oof
from hbaclib.evaluation.tiers import class_mean_predictions, compare_by_tier
from hbaclib.inputs.store import open_inputs
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import load_recipe

PATIENTS, FOLDS = 150, 2
COMMON = {"weights": "", "folds": FOLDS, "seeds": [0], "batch": 16, "downsample": 2, "batch_norm_momentum": 0.9}
RAW = {"layout": "raw", "inputs": "raw"}
BANDS = ([0.5, 4.0], [4.0, 8.0], [8.0, 13.0])
IMAGE = ("efficientnet_b0", "efficientnet_v2_b2", "mobilenet_v3_large", "resnet50_v2", "densenet201")

# name -> changes to the recipe `demo`
NETWORKS: dict[str, dict] = {
    **{name: {"backbone": name} for name in IMAGE},
    **{f"{name}_wavenet": {"backbone": f"{name}_wavenet"} for name in IMAGE},
    "wavenet": {"backbone": "wavenet", **RAW},
    "resnet1d_gru": {"backbone": "resnet1d_gru", **RAW},
    **{
        f"resnet1d_gru-{low:g}-{high:g}Hz": {"backbone": "resnet1d_gru", "band": [low, high], **RAW}
        for low, high in BANDS
    },
    "kaggle": {"backbone": "efficientnet_b0", "inputs": "kaggle"},
    "eeg": {"backbone": "efficientnet_b0", "inputs": "eeg"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("HBAC_EVIDENCE_FOLDER")
    return Path(named) if named else tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def arrays(folder: Path):
    source = folder / "set"
    if not (source / "train.csv").is_file():
        make_synthetic_dataset(source, n_patients=PATIENTS, seed=3)
    port = port_data(source, folder, sampling="vote_groups", n_folds=FOLDS)
    return open_inputs(port, store_eeg_products(source, port, folder), store_kaggle_images(port, folder))


@pytest.mark.evidence
def test_families_fusions_bands_and_the_mean_of_three_kinds(folder: Path, arrays) -> None:
    audit_folds(arrays.samples, arrays.folds, {})
    demo = load_recipe("demo", **COMMON)
    folders = {name: train(demo.override(values), arrays, folder / name) for name, values in NETWORKS.items()}
    oof = load_oof(list(folders.values()))
    given = (oof.n_votes, oof.patients)
    shares = dict(zip(folders, oof.predictions, strict=True))
    bands = [name for name in folders if name.startswith("resnet1d_gru")]
    fitted = fit_ensemble(
        np.stack([shares[name] for name in bands]), oof.targets, oof.folds, oof.patients, bands, oof.n_votes
    )
    shares["ensemble of the bands"] = fitted.oof
    kinds = ["kaggle", "eeg", "resnet1d_gru"]
    shares["mean of kaggle, eeg and raw"] = np.mean([shares[name] for name in kinds], axis=0)
    table = pd.concat([score_by_tier(oof.targets, part, *given).assign(network=name) for name, part in shares.items()])
    print("\n" + table.to_string(index=False))

    def kl(name: str) -> float:
        rows = table[(table["network"] == name) & (table["tier"] == ">=10")]
        return float(rows["kl"].iloc[0])

    pairs = [(f"{name}_wavenet", [name, "wavenet"]) for name in IMAGE]
    pairs += [("ensemble of the bands", bands), ("mean of kaggle, eeg and raw", kinds)]
    print("whole against its best part (positive: the whole is better), rows of 10 votes and more")
    for whole, parts in pairs:
        best = min(parts, key=kl)
        difference = compare_by_tier(oof.targets, shares[best], shares[whole], *given)
        print(f"{whole} against {best}\n{difference.to_string(index=False)}")
    # Every network has learnt something; which whole beats its parts is for the table to say.
    means = class_mean_predictions(oof.targets, oof.folds, oof.n_votes)
    base = score_by_tier(oof.targets, means, *given).set_index("tier")["kl"][">=10"]
    learnt = {name: kl(name) for name in shares}
    assert all(np.isfinite(value) for value in learnt.values())
    assert sum(value < base for value in learnt.values()) > len(learnt) / 2, (base, learnt)
