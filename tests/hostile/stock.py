"""What hostile cases are made from: sound data, networks and ensembles, made once in a process and copied for each."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np

from tests.dataset.tiny import random_eeg, random_spectrogram, write_eeg, write_spectrogram, write_tiny

_root: Path | None = None
_run: Path | None = None


def keep_at(root: Path, trained: Path) -> None:
    """Where the stock lies, and tiny trained networks; said once by the session."""
    global _root, _run
    _root, _run = root, trained


def _place(name: str) -> Path:
    assert _root is not None, "the session says where"
    return _root / name


@cache
def _data() -> Path:
    """A data set in the competition's format: eight recordings, two rows of test.csv."""
    root = _place("data")
    write_tiny(root)
    return root


@cache
def _recording() -> Path:
    root = _place("recording")
    rng = np.random.default_rng(1)
    write_eeg(root / "a.parquet", random_eeg(rng))
    write_spectrogram(root / "a-spectrogram.parquet", random_spectrogram(rng))
    return root


def run(folder: Path) -> Path:
    """Copy the trained networks: ``folder/run/both``, ``folder/run/eeg``, ``folder/run/07_ensemble``."""
    assert _run is not None, "the session says where"
    return Path(shutil.copytree(_run, folder / "run"))


def data(folder: Path) -> Path:
    """Copy the data set: ``folder/data``."""
    return Path(shutil.copytree(_data(), folder / "data"))


def recording(folder: Path, name: str = "a.parquet") -> Path:
    """Copy a sound EEG file of 50 s: ``folder/NAME``."""
    return Path(shutil.copy(_recording() / "a.parquet", folder / name))


def spectrogram(folder: Path, name: str = "a-spectrogram.parquet") -> Path:
    """Copy a sound spectrogram of ten minutes: ``folder/NAME``."""
    return Path(shutil.copy(_recording() / "a-spectrogram.parquet", folder / name))
