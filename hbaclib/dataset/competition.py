"""A folder in the competition's format: find, open and check its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hbaclib.dataset.tables import read_test_csv, read_train_csv
from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.found import recording_files


@dataclass(frozen=True)
class Competition:
    """An opened data set.

    Attributes:
        root: the folder.
        train: rows of ``train.csv``.
        test: rows of ``test.csv``, None where there is no such file.
    """

    root: Path
    train: pd.DataFrame
    test: pd.DataFrame | None

    def eeg_path(self, eeg_id: int, split: str = "train") -> Path:
        """Path of an EEG file; ``split`` is ``train`` or ``test``."""
        return self.root / f"{split}_eegs" / f"{eeg_id}.parquet"

    def spectrogram_path(self, spectrogram_id: int, split: str = "train") -> Path:
        """Path of a spectrogram file; ``split`` is ``train`` or ``test``."""
        return self.root / f"{split}_spectrograms" / f"{spectrogram_id}.parquet"

    def has_spectrograms(self, split: str = "train") -> bool:
        """Whether the data set comes with spectrogram files."""
        return bool(recording_files(self.root / f"{split}_spectrograms"))


def open_competition(folder: str | Path) -> Competition:
    """Open a folder in the competition's format and validate its tables.

    Args:
        folder: holds ``train.csv``, ``train_eegs/`` and, where there are any, ``train_spectrograms/``, ``test.csv``,
            ``test_eegs/``, ``test_spectrograms/``.

    Raises:
        DataFileError: the folder or ``train.csv`` is missing, or a table has faults.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataFileError(f"{root}: no such folder; expected one in the competition's format with train.csv")
    if not (root / "train.csv").is_file():
        found = list_some(sorted(path.name for path in root.iterdir())) or "nothing"
        raise DataFileError(f"{root}: found {found}; expected train.csv")
    test = root / "test.csv"
    return Competition(root, read_train_csv(root / "train.csv"), read_test_csv(test) if test.is_file() else None)
