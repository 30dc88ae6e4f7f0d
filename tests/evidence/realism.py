"""What gives the generator away: real recordings against segments, by figures of amplitude, spectrum and waveform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from hbaclib import read_eeg
from hbaclib.conventions import CLASSES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.plots.statistics import describe

REAL = "HBAC_REAL_DATA"


def real_recordings(folder: str | Path) -> dict[str, np.ndarray]:
    """Class -> EEG (10000, 20) of the labelled real recordings, one per class."""
    folder = Path(folder)
    labels = pd.read_csv(folder / "eeg_labels.csv")
    return {
        row.expert_consensus: read_eeg(folder / "train_eegs" / f"{row.eeg_id}.parquet") for row in labels.itertuples()
    }


def describe_segments(n: int, seed: int, n_jobs: int, *, varied: bool) -> pd.DataFrame:
    """Figures of segments (`describe`), equally many of each class, and their class (``kind``)."""
    kinds = [CLASSES[i % 6] for i in range(n)]
    made = Parallel(n_jobs=n_jobs)(
        delayed(_one)(kind, 10_000_000 * (seed + 1) + i, varied) for i, kind in enumerate(kinds)
    )
    return pd.DataFrame(made).assign(kind=kinds)


def _one(kind: str, seed: int, varied: bool) -> dict[str, float]:
    return describe(make_segment(kind, seed, varied=varied).eeg[3000:7000])


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
