"""A tiny set in the competition's format: noise in files of the real schema, for tests that need no patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hbaclib.conventions import (
    CLASSES,
    EEG_COLUMNS,
    EEG_WINDOW,
    SPECTROGRAM_COLUMNS,
    SPECTROGRAM_WINDOW,
    TEST_COLUMNS,
    TRAIN_COLUMNS,
    VOTE_COLUMNS,
)


def write_eeg(path: Path, values: np.ndarray, columns: tuple[str, ...] = EEG_COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [pa.array(column.astype(np.float32), from_pandas=False) for column in values.T]
    pq.write_table(pa.table(dict(zip(columns, arrays, strict=True))), path)


def write_spectrogram(path: Path, values: np.ndarray, columns: tuple[str, ...] = SPECTROGRAM_COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = {"time": pa.array(1 + 2 * np.arange(len(values)), pa.int64())}
    power = {name: pa.array(column.astype(np.float32)) for name, column in zip(columns, values.T, strict=True)}
    pq.write_table(pa.table(time | power), path)


def random_eeg(rng: np.random.Generator, n_samples: int = EEG_WINDOW) -> np.ndarray:
    return np.round(rng.normal(0, 30, (n_samples, len(EEG_COLUMNS))), 2).astype(np.float32)


def random_spectrogram(rng: np.random.Generator, n_rows: int = SPECTROGRAM_WINDOW) -> np.ndarray:
    return np.round(np.exp(rng.normal(1, 2, (n_rows, len(SPECTROGRAM_COLUMNS)))), 2).astype(np.float32)


def train_rows(n_eegs: int = 6, rows_per_eeg: int = 3, seed: int = 0) -> pd.DataFrame:
    """Label rows: one spectrogram for every two EEGs, one patient for every two spectrograms."""
    rng = np.random.default_rng(seed)
    rows = []
    for eeg in range(n_eegs):
        for sub in range(rows_per_eeg):
            many = (eeg + sub) % 2 == 0
            votes = rng.multinomial(14 if many else 3, rng.dirichlet(np.ones(6)))
            rows.append(
                (
                    1000 + eeg,
                    sub,
                    2.0 * sub,
                    500 + eeg // 2,
                    sub,
                    2.0 * sub + 60.0 * (eeg % 2),
                    7_000 + 100 * eeg + sub,
                    10 + eeg // 4,
                    CLASSES[int(votes.argmax())],
                    *votes,
                )
            )
    return pd.DataFrame(rows, columns=list(TRAIN_COLUMNS))


def write_tiny(
    root: Path, n_eegs: int = 8, rows_per_eeg: int = 3, seed: int = 0, spectrograms: bool = True, n_test: int = 2
) -> pd.DataFrame:
    """Write a whole set; returns its label rows."""
    rng = np.random.default_rng(seed)
    train = train_rows(n_eegs, rows_per_eeg, seed)
    root.mkdir(parents=True, exist_ok=True)
    train.to_csv(root / "train.csv", index=False)
    for name, offset in train.groupby("eeg_id")["eeg_label_offset_seconds"].max().items():
        write_eeg(root / "train_eegs" / f"{name}.parquet", random_eeg(rng, EEG_WINDOW + int(200 * offset)))
    if spectrograms:
        for name, offset in train.groupby("spectrogram_id")["spectrogram_label_offset_seconds"].max().items():
            rows = random_spectrogram(rng, SPECTROGRAM_WINDOW + int(offset) // 2)
            rows[5:9, :100] = np.nan
            rows[20, 300:] = 0
            write_spectrogram(root / "train_spectrograms" / f"{name}.parquet", rows)
    test = pd.DataFrame(
        [(90 + i, 80 + i, 70 + i) for i in range(n_test)],
        columns=list(TEST_COLUMNS),
    )
    test.to_csv(root / "test.csv", index=False)
    for row in test.itertuples():
        write_eeg(root / "test_eegs" / f"{row.eeg_id}.parquet", random_eeg(rng))
        write_spectrogram(root / "test_spectrograms" / f"{row.spectrogram_id}.parquet", random_spectrogram(rng))
    sample = test[["eeg_id"]].assign(**dict.fromkeys(VOTE_COLUMNS, 1 / 6))
    sample.to_csv(root / "sample_submission.csv", index=False)
    return train


def link_copies(source: Path, target: Path, copies: int) -> None:
    """A set of ``copies`` times as many recordings and patients, its files hard links to the source's."""
    train = pd.read_csv(source / "train.csv")
    tables = []
    for kind in ("train_eegs", "train_spectrograms"):
        (target / kind).mkdir(parents=True)
    for copy in range(copies):
        shift = 100_000 * (copy + 1)
        ids = ["eeg_id", "spectrogram_id", "label_id", "patient_id"]
        tables.append(train.assign(**{name: train[name] + shift for name in ids}))
        for kind in ("train_eegs", "train_spectrograms"):
            for path in (source / kind).iterdir():
                (target / kind / f"{int(path.stem) + shift}.parquet").hardlink_to(path)
    pd.concat(tables).to_csv(target / "train.csv", index=False)
