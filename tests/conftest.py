"""Shared by all tests: the environment of the library and the real recordings, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def no_modules_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``--module`` tells other processes ends with the test."""
    monkeypatch.setenv("HBAC_MODULES", "")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings, named by HBAC_REAL_DATA; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HBAC_REAL_DATA", "") or "no such folder")
    if not (folder / "train_eegs").is_dir():
        pytest.skip("HBAC_REAL_DATA does not name a folder with train_eegs/ and train_spectrograms/")
    return folder
