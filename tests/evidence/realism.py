"""Two questions to the generator: is what a network learns from it true of real EEG, and what gives it away?"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from hbaclib import kl_divergence, load_recipe, predict, read_eeg, train
from hbaclib.artefacts import digest_bytes
from hbaclib.conventions import CLASSES, EEG_COLUMNS, EEG_WINDOW, PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.dataset.synthetic.votes import expected_votes
from hbaclib.inputs.store import InputArrays
from hbaclib.plots.statistics import describe
from hbaclib.signal.mel import absolute_spectrogram
from hbaclib.training.recipe import Recipe

REAL = "HBAC_REAL_DATA"
HELD_OUT = 7
"""One segment in so many is held out."""


def real_recordings(folder: str | Path) -> dict[str, np.ndarray]:
    """Class -> EEG (10000, 20) of the labelled real recordings, one per class."""
    folder = Path(folder)
    labels = pd.read_csv(folder / "eeg_labels.csv")
    return {
        row.expert_consensus: read_eeg(folder / "train_eegs" / f"{row.eeg_id}.parquet") for row in labels.itertuples()
    }


def real_segments(folder: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Ten-second real recordings, each mirrored to the 50 s that networks take, and their experts' votes as shares.

    Returns:
        (n, 10000, 20) µV and (n, 6).
    """
    folder = Path(folder)
    votes = pd.read_csv(folder / "eeg_10s_votes.csv")
    eegs = [pd.read_parquet(folder / "eeg_10s" / f"{number}.parquet")[list(EEG_COLUMNS)] for number in votes["id"]]
    around = (EEG_WINDOW - len(eegs[0])) // 2
    mirrored = [np.pad(eeg.to_numpy(np.float32), ((around, around), (0, 0)), mode="reflect") for eeg in eegs]
    counts = votes[[f"{name.lower()}_vote" for name in CLASSES]].to_numpy(float)
    return np.stack(mirrored), counts / counts.sum(axis=1, keepdims=True)


def _one(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    segment = make_segment(kind, seed)
    truth = expected_votes(segment.probability, "expert")
    return (
        absolute_spectrogram(segment.eeg).astype(np.float16),
        truth.astype(np.float32),
        describe(segment.eeg[3000:7000]),
    )


def synthetic_segments(n: int, seed: int, n_jobs: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Images (n, 128, 256, 4), expected votes (n, 6) and descriptions of segments, equally many of each class."""
    made = Parallel(n_jobs=n_jobs)(delayed(_one)(CLASSES[i % 6], 10_000_000 * (seed + 1) + i) for i in range(n))
    table = pd.DataFrame([row[2] for row in made]).assign(kind=[CLASSES[i % 6] for i in range(n)])
    return np.array([row[0] for row in made]), np.array([row[1] for row in made]), table


def as_inputs(images: np.ndarray, truth: np.ndarray) -> InputArrays:
    """Segments as stages 01 to 03 would leave them, each a patient of its own, one in HELD_OUT of fold 0."""
    number = np.arange(len(images))
    samples = pd.DataFrame({"eeg_id": number, "spectrogram_id": number, "patient_id": number})
    samples = samples.assign(eeg_start=0, spectrogram_row=0, n_votes=20)
    samples[list(VOTE_COLUMNS)] = truth
    folds = pd.Series((number % HELD_OUT > 0).astype(int), index=pd.Index(number, name="patient_id"), name="fold")
    none = np.zeros((0, 0), np.float16)
    return InputArrays(samples, folds, digest_bytes(images.tobytes()), none, None, none, eeg_absolute=images)


def train_network(images: np.ndarray, truth: np.ndarray, recipe: Recipe, folder: Path) -> float:
    """Train by the library's loop on synthetic segments alone; returns the KL on those held out."""
    train(recipe, as_inputs(images, truth), folder, folds=[0], progress=False)
    oof = pd.read_parquet(next(folder.glob("fold-0*.oof.parquet")))
    return float(kl_divergence(oof[list(VOTE_COLUMNS)].to_numpy(), oof[list(PREDICTION_COLUMNS)].to_numpy()))


def predict_real(folders: list[Path], real: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean prediction of trained folders for each real recording: rows = label, columns = classes."""
    recordings = np.stack(list(real.values()))
    mean = np.mean([predict(folder, recordings) for folder in folders], axis=0)
    return pd.DataFrame(mean, index=list(real), columns=list(CLASSES)).loc[list(CLASSES)]


def tell_apart(real: dict[str, np.ndarray], synthetic: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    """Classify real against synthetic by ``describe``; real recordings are left out one at a time.

    Returns:
        Area under the ROC curve, and per feature: the real values' rank among synthetic ones of the same class (mean
        over the six, 0.5 = typical; ``outside`` = how many lie beyond 5-95 %), and its importance.
    """
    names = [name for name in synthetic.columns if name != "kind"]
    windows = []
    for kind, eeg in real.items():
        for start in range(0, 6001, 1500):
            windows.append({**describe(eeg[start : start + 4000]), "kind": kind})
    table = pd.DataFrame(windows)
    scores, labels, importance = [], [], np.zeros(len(names))
    folds = np.arange(len(synthetic)) // 6 % 6
    for number, kind in enumerate(CLASSES):
        inside = folds != number
        features = pd.concat([table[table["kind"] != kind], synthetic[inside]])[names]
        target = np.r_[np.ones((table["kind"] != kind).sum()), np.zeros(inside.sum())]
        forest = ExtraTreesClassifier(400, class_weight="balanced", min_samples_leaf=3, random_state=0).fit(
            features, target
        )
        importance += forest.feature_importances_ / 6
        real_part = table[table["kind"] == kind]
        synthetic_part = synthetic[~inside & (synthetic["kind"] == kind).to_numpy()]
        held_out = pd.concat([real_part, synthetic_part])
        scores += forest.predict_proba(held_out[names])[:, 1].tolist()
        labels += [1] * len(real_part) + [0] * len(synthetic_part)
    ranks = {}
    for kind, eeg in real.items():
        own = describe(eeg[3000:7000])
        same = synthetic[synthetic["kind"] == kind]
        ranks[kind] = {name: float((same[name] < own[name]).mean()) for name in names}
    result = pd.DataFrame(ranks).loc[names]
    result["mean"] = result.mean(axis=1)
    result["outside"] = ((result[list(real)] < 0.05) | (result[list(real)] > 0.95)).sum(axis=1)
    result["importance"] = importance
    return roc_auc_score(labels, scores), result.sort_values("importance", ascending=False)


def main() -> None:
    """Run one round and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the networks are left")
    parser.add_argument("--segments", type=int, default=2400)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--backbone", default="")
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    real, (short, votes) = real_recordings(os.environ[REAL]), real_segments(os.environ[REAL])
    images, truth, table = synthetic_segments(options.segments, options.seed, options.jobs)
    area, features = tell_apart(real, table)
    print(f"real against synthetic: AUC {area:.3f}")
    print(features.round(2).to_string())
    chosen, folders = {"backbone": options.backbone} if options.backbone else {}, []
    for number in range(options.networks):
        folders.append(options.folder / f"network-{number}")
        recipe = load_recipe(options.recipe, **chosen, seeds=[number])
        loss = train_network(images, truth, recipe, folders[-1])
        one = predict_real(folders[-1:], real)
        right = sum(one.loc[kind].idxmax() == kind for kind in CLASSES)
        judged = kl_divergence(votes, predict(folders[-1], short))
        print(f"network {number}: held-out KL {loss:.3f}, {right} of 6 real right, KL to experts {judged:.3f}")
    print(predict_real(folders, real).round(3).to_string())
    together = np.mean([predict(folder, short) for folder in folders], axis=0)
    print(
        f"all networks: KL to the experts of {len(votes)} real recordings of 10 s {kl_divergence(votes, together):.3f}"
    )


if __name__ == "__main__":
    main()
