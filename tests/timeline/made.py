"""Recordings in memory and a predictor that answers at once, for tests of timelines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from hbaclib.conventions import CLASSES
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor, Judged
from hbaclib.prediction.windows import Window
from hbaclib.recordings.base import BaseRecording


class MadeRecording(BaseRecording):
    """Electrodes (n_samples, 20) that are recorded in some segments; elsewhere NaN, whatever the array has."""

    def __init__(
        self, eeg: np.ndarray, segments: Sequence[tuple[int, int]] | None = None, clock: datetime | None = None
    ) -> None:
        self.path, self.n_samples, self.clock, self.units = Path("made"), len(eeg), clock, {}
        self.segments = tuple(segments) if segments is not None else ((0, len(eeg)),)
        self.eeg = np.full(eeg.shape, np.nan, np.float32)
        for start, stop in self.segments:
            self.eeg[start:stop] = eeg[start:stop]
        self.asked: list[tuple[int, int]] = []

    def close(self) -> None:
        pass

    def another(self) -> MadeRecording:
        return MadeRecording(self.eeg, self.segments, self.clock)

    def verify(self) -> None:
        pass

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        start, stop = self._span(start, stop)
        self.asked.append((start, stop))
        return self.eeg[start:stop]


class Answers:
    """Stands in for networks: keeps what it is asked, and answers by a function of it."""

    def __init__(self, sees_spectrograms: bool = False, silent: Sequence[int] = ()) -> None:
        self.sees_spectrograms = sees_spectrograms
        self.silent = set(silent)
        self.prior = np.full(len(CLASSES), 1 / len(CLASSES))
        self.ensemble = None
        self.eegs: list[np.ndarray] = []
        self.rows: list[np.ndarray] = []
        self.recorded: list[int] = []

    def evaluate(
        self, eeg: np.ndarray, spectrogram: np.ndarray | None, recorded: Sequence[int]
    ) -> tuple[np.ndarray, list[str]]:
        assert (spectrogram is not None) == self.sees_spectrograms
        shares, reasons = [], []
        for number, window in enumerate(eeg):
            silent = len(self.eegs) in self.silent
            reasons.append("too quiet" if silent else "")
            shares.append(np.full(6, np.nan) if silent else answer(window))
            self.eegs.append(window)
            self.rows.append(None if spectrogram is None else spectrogram[number])
        self.recorded += recorded
        return np.array(shares, np.float32), reasons

    def judge(self, eeg: np.ndarray, spectrogram: np.ndarray | None, recorded: Sequence[int]) -> Judged:
        """The members of what stands in disagree the more the later they are asked."""
        begun = len(self.eegs)
        shares, reasons = self.evaluate(eeg, spectrogram, recorded)
        spread = np.where(np.isfinite(shares).all(axis=1), np.arange(begun, begun + len(eeg)), np.nan)
        return Judged(shares, reasons, spread)

    def evaluate_windows(self, windows: Sequence[Window]) -> tuple[np.ndarray, list[str]]:
        return EnsemblePredictor.evaluate_windows(self, windows)  # type: ignore[arg-type]


def answer(window: np.ndarray) -> np.ndarray:
    """Six shares that tell windows apart."""
    sizes = np.nan_to_num(window[2000:-2000, : len(CLASSES)].astype(np.float64)).std(axis=0) + 1e-3
    return sizes / sizes.sum()
