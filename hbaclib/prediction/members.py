"""What a submission is made with: trained networks ready to predict, test recordings, a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from hbaclib.conventions import EEG_COLUMNS, EEG_WINDOW, SPECTROGRAM_COLUMNS, SPECTROGRAM_WINDOW
from hbaclib.dataset.competition import Competition
from hbaclib.errors import DataFileError, HbacError
from hbaclib.recordings.parquet import read_eeg, read_spectrogram

_RESERVE = 0.05


class Member(Protocol):
    """A trained model that is ready to predict."""

    @property
    def needs_spectrogram(self) -> bool:
        """Whether it sees the ten-minute spectrogram."""

    def __call__(self, eeg: np.ndarray, spectrogram: np.ndarray | None, shared: dict[str, Any]) -> np.ndarray:
        """Shares (n, 6); ``shared`` keeps prepared inputs for the next member of the same batch."""


Loader = Callable[[Path], Member]


class TrainedNetwork:
    """All folds of one trained folder."""

    def __init__(self, folder: Path):
        from hbaclib.prediction.predictor import Predictor

        self._predictor = Predictor.load(folder)
        # The first prediction traces the network; done here, it does not count as a recording's time.
        self(
            np.zeros((1, EEG_WINDOW, len(EEG_COLUMNS)), np.float32),
            np.ones((1, SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), np.float32),
            {},
        )

    @property
    def needs_spectrogram(self) -> bool:
        """Whether one of its inputs is made of the ten-minute spectrogram."""
        from hbaclib.prediction.predictor import WITH_SPECTROGRAMS

        return bool(WITH_SPECTROGRAMS & set(self._predictor.kinds))

    def __call__(self, eeg: np.ndarray, spectrogram: np.ndarray | None, shared: dict[str, Any]) -> np.ndarray:
        """Mean of the folds' shares, (n, 6)."""
        from hbaclib.prediction.predictor import _prepare

        missing = set(self._predictor.kinds) - set(shared)
        if missing:
            shared |= _prepare(missing, eeg, spectrogram)
        return self._predictor.predict(shared)


@dataclass
class Clock:
    """Foresees whether the rows that are left fit into the time that is left.

    Attributes:
        started: when the work began, by `time.monotonic`.
        budget: seconds for everything, None for no limit.
        rows: number of rows.
        done: rows that are finished.
        reading: seconds that reading a row takes.
        cost: member -> seconds that it takes for a row.
    """

    started: float
    budget: float | None
    rows: int
    done: int = 0
    reading: float = 0.0
    cost: dict[str, float] = field(default_factory=dict)

    def note_reading(self, seconds: float, rows: int) -> None:
        """Note how long it took to read some rows."""
        self.reading = seconds / rows

    def note(self, member: str, seconds: float, rows: int) -> None:
        """Note how long a member took for some rows."""
        self.cost[member] = seconds / rows

    def advance(self, rows: int) -> None:
        """Count rows as done."""
        self.done += rows

    def over(self, seconds_more: float = 0.0) -> bool:
        """Whether the budget is spent, or will be after some more seconds."""
        if self.budget is None:
            return False
        return time.monotonic() - self.started + seconds_more > (1 - _RESERVE) * self.budget

    def affordable(self, members: Sequence[str]) -> bool:
        """Whether these members can predict all rows that are left."""
        cost = self.reading + sum(self.cost.get(name, 0.0) for name in members)
        return not self.over((self.rows - self.done) * cost)


def read_windows(
    competition: Competition,
    rows: pd.DataFrame,
    spectrograms: str,
    n_jobs: int | None,
    log: list[tuple[int, str]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Read the windows of some test rows: which could be read, their EEGs, their spectrograms."""
    # Threads: reading Parquet releases the interpreter, and nothing large has to travel between processes.
    pairs = zip(rows["eeg_id"], rows["spectrogram_id"], strict=True)
    read = Parallel(n_jobs=n_jobs or 1, prefer="threads")(
        delayed(_read_one)(competition, int(eeg_id), int(spectrogram_id), spectrograms)
        for eeg_id, spectrogram_id in pairs
    )
    for (_, _, message), eeg_id in zip(read, rows["eeg_id"], strict=True):
        if message:
            log.append((int(eeg_id), message))
    found = np.array([index for index, (eeg, _, _) in enumerate(read) if eeg is not None], dtype=int)
    if not len(found):
        return found, np.empty((0, EEG_WINDOW, len(EEG_COLUMNS)), np.float32), None
    eegs = np.stack([read[index][0] for index in found])
    return found, eegs, np.stack([read[index][1] for index in found]) if spectrograms else None


def _read_one(
    competition: Competition, eeg_id: int, spectrogram_id: int, spectrograms: str
) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    try:
        path = competition.eeg_path(eeg_id, "test")
        eeg = read_eeg(path)
        if len(eeg) < EEG_WINDOW:
            raise DataFileError(f"{path}: {len(eeg)} samples; expected {EEG_WINDOW}")
    except HbacError as error:
        return None, None, f"class prior used, the EEG cannot be read ({error})"
    eeg, message = eeg[:EEG_WINDOW], ""
    if not spectrograms:
        return eeg, None, message
    if spectrograms == "files":
        try:
            return eeg, _ten_minutes(read_spectrogram(competition.spectrogram_path(spectrogram_id, "test"))), message
        except HbacError as error:
            message = f"spectrogram computed from the EEG, its file cannot be read ({error})"
    from hbaclib.dataset.from_eeg import window_from_eeg

    return eeg, window_from_eeg(eeg), message


def _ten_minutes(rows: np.ndarray) -> np.ndarray:
    """The first 300 rows of a spectrogram, NaN where it is shorter."""
    window = np.full((SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), np.nan, np.float32)
    window[: len(rows)] = rows[:SPECTROGRAM_WINDOW]
    return window
