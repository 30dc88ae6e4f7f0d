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

from hbaclib import read_eeg
from hbaclib.conventions import CLASSES, REGION_SWAP
from hbaclib.dataset.synthetic.votes import expected_votes
from hbaclib.signal.mel import eeg_spectrogram
from tests.dataset.segments import make_segment
from tests.evidence.statistics import describe

REAL = "HBAC_REAL_DATA"
CENTRE = slice(64, 192)
"""Frames of the mel image that the network sees: 25 s about the labelled moment."""
REFERENCE = 1e6
"""Fixed reference power of the image: relative to each pair's own maximum, the louder side could not be seen."""


def network_image(eeg: np.ndarray) -> np.ndarray:
    """The network's input (128, 128, 4): decibels, the recording's mean removed."""
    image = eeg_spectrogram(eeg, reference=REFERENCE)[:, CENTRE]
    return (image - image.mean()).astype(np.float16)


def real_recordings(folder: str | Path) -> dict[str, np.ndarray]:
    """Class -> EEG (10000, 20) of the labelled real recordings, one per class."""
    folder = Path(folder)
    labels = pd.read_csv(folder / "eeg_labels.csv")
    return {
        row.expert_consensus: read_eeg(folder / "train_eegs" / f"{row.eeg_id}.parquet") for row in labels.itertuples()
    }


def _one(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    segment = make_segment(kind, seed)
    truth = expected_votes(segment.probability, "expert")
    return (
        network_image(segment.eeg),
        truth.astype(np.float32),
        describe(segment.eeg[3000:7000]),
    )


def synthetic_segments(n: int, seed: int, n_jobs: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Mel images (n, 128, 128, 4), expected votes (n, 6) and descriptions of segments, equally many of each class."""
    made = Parallel(n_jobs=n_jobs)(delayed(_one)(CLASSES[i % 6], 10_000_000 * (seed + 1) + i) for i in range(n))
    table = pd.DataFrame([row[2] for row in made]).assign(kind=[CLASSES[i % 6] for i in range(n)])
    return np.array([row[0] for row in made]), np.array([row[1] for row in made]), table


def small_network():
    """A convolutional network of about 140,000 parameters on the mel image: far below an EfficientNet-B0.

    Time is pooled away, frequency is not: where in the spectrum something happens matters to a reader.
    """
    import keras
    from keras import layers

    image = keras.Input((128, 128, 4))
    x = layers.AveragePooling2D((2, 1))(image)
    for index, filters in enumerate((24, 40, 64, 96)):
        x = layers.Conv2D(filters, 5 if index == 0 else 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
    mean, peak = layers.AveragePooling2D((1, 8))(x), layers.MaxPooling2D((1, 8))(x)
    x = layers.Dropout(0.4)(layers.Flatten()(layers.concatenate([mean, peak])))
    x = layers.Dropout(0.2)(layers.Dense(64, activation="relu")(x))
    return keras.Model(image, layers.Dense(6, activation="softmax")(x))


def _augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left-right swap, a small shift in time, contrast, noise."""
    out = images.astype(np.float32)
    swapped = rng.random(len(out)) < 0.5
    out[swapped] = out[swapped][..., list(REGION_SWAP)]
    for image in out:
        image[:] = np.roll(image, int(rng.integers(-5, 6)), axis=1) * np.float32(rng.uniform(0.85, 1.15))
    out += np.float32(0.05) * rng.standard_normal(out.shape, dtype=np.float32)
    return out


def train_network(images: np.ndarray, truth: np.ndarray, epochs: int, seed: int):
    """Train on synthetic segments alone; returns the network and its KL on a held-out fifth of them."""
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    n_train = int(0.85 * len(images))
    network = small_network()
    steps = epochs * (n_train // 32)
    network.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(2e-3, steps), weight_decay=0.01),
        loss=keras.losses.KLDivergence(),
        jit_compile=False,
    )
    for _ in range(epochs):
        order = rng.permutation(n_train)
        network.fit(_augment(images[order], rng), truth[order], batch_size=32, epochs=1, verbose=0, shuffle=False)
    held_out = network.evaluate(images[n_train:].astype(np.float32), truth[n_train:], verbose=0)
    return network, float(held_out)


def predict_real(networks: list, real: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean prediction of the networks for each real recording: rows = label, columns = classes."""
    images = np.array([network_image(eeg) for eeg in real.values()], dtype=np.float32)
    mean = np.mean([network.predict(images, verbose=0) for network in networks], axis=0)
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
    parser.add_argument("--segments", type=int, default=2400)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    real = real_recordings(os.environ[REAL])
    images, truth, table = synthetic_segments(options.segments, options.seed, options.jobs)
    area, features = tell_apart(real, table)
    print(f"real against synthetic: AUC {area:.3f}")
    print(features.round(2).to_string())
    networks, losses = [], []
    for number in range(options.networks):
        network, loss = train_network(images, truth, options.epochs, number)
        networks.append(network)
        losses.append(loss)
        one = predict_real([network], real)
        right = sum(one.loc[kind].idxmax() == kind for kind in CLASSES)
        print(f"network {number}: {network.count_params()} parameters, held-out KL {loss:.3f}, {right} of 6 real right")
    print(predict_real(networks, real).round(3).to_string())


if __name__ == "__main__":
    main()
