"""A folder in the competition's format: find, open and check its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hbaclib.dataset.tables import id_faults, read_submission_ids, read_test_csv, read_train_csv
from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.found import recording_files

SAMPLE = "sample_submission.csv"


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
    if not os.path.lexists(root / "train.csv"):
        found = list_some(sorted(path.name for path in root.iterdir())) or "nothing"
        raise DataFileError(f"{root}: found {found}; expected train.csv")
    test = root / "test.csv"
    # What lies there and is no file is named by the reader.
    there = os.path.lexists(test)
    return Competition(root, read_train_csv(root / "train.csv"), read_test_csv(test) if there else None)


def table_faults(competition: Competition) -> pd.DataFrame:
    """Tables of a data set that do not fit each other.

    Args:
        competition: the data set.

    Returns:
        One row per faulty file: ``file`` (relative to the folder), ``problem``. Empty where all is well.
    """
    found: dict[str, list[str]] = {"test.csv": [], SAMPLE: []}
    if competition.test is not None:
        found["test.csv"] = _moved(competition.train, competition.test)
        path = competition.root / SAMPLE
        try:
            if os.path.lexists(path):
                found[SAMPLE] = id_faults(read_submission_ids(path).tolist(), competition.test["eeg_id"].tolist())
        except DataFileError as error:
            found[SAMPLE] = [str(error).removeprefix(f"{path}: ")]
    rows = [(name, "; ".join(problems)) for name, problems in found.items() if problems]
    return pd.DataFrame(rows, columns=["file", "problem"], dtype="str")


def _moved(train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """Recordings and spectrograms that the two tables give to different patients."""
    problems = []
    for name in ("eeg_id", "spectrogram_id"):
        both = test.merge(train[[name, "patient_id"]].drop_duplicates(), on=name, suffixes=("", "_train"))
        both = both[both["patient_id"] != both["patient_id_train"]]
        named = zip(both[name], both["patient_id"], both["patient_id_train"], strict=True)
        if told := [f"{each} of patient {here}, in train.csv of {there}" for each, here, there in named]:
            problems.append(f"{name}: {list_some(told, 3)}; expected the same patient")
    return problems
