"""EDF+ files of hours, written as fast as the disk takes them, and a stand-in for networks that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from hbaclib.conventions import CLASSES, EEG_COLUMNS, EEG_RATE
from hbaclib.dataset.synthetic.edf import EdfWriter
from hbaclib.dataset.synthetic.night import BEGIN, LABELS
from hbaclib.prediction.ensemble_predictor import prepare, window_doubt

GAP = 70.25
"""Seconds of the gap at half of a file's time."""
_MINUTES = 7
_TIMES = 30


class AtOnce:
    """Stands in for networks of every kind: their inputs are made, and the answer is there at once; nothing is kept."""

    sees_spectrograms = True

    def __init__(self) -> None:
        self.windows = 0

    def evaluate(
        self, eeg: np.ndarray, spectrogram: np.ndarray | None, recorded: Sequence[int]
    ) -> tuple[np.ndarray, list[str]]:
        assert spectrogram is not None and len(recorded) == len(eeg)
        reasons = [window_doubt(one, rows) for one, rows in zip(eeg, spectrogram, strict=True)]
        made = prepare({"both_absolute", "raw"}, eeg, spectrogram)
        assert all(len(inputs) == len(eeg) for inputs in made.values())
        self.windows += len(eeg)
        return np.full((len(eeg), len(CLASSES)), 1 / len(CLASSES), np.float32), reasons


def write_hours(path: Path, hours: float) -> Path:
    """An EDF+ file of noise, the same minutes again and again, with a gap at half of its time."""
    seconds = round(3600 * hours)
    noise = np.random.default_rng(0).normal(0, 30, (60 * _MINUTES, EEG_RATE, len(EEG_COLUMNS)))
    made = BytesIO()
    writer = EdfWriter(made, LABELS, EEG_RATE, BEGIN, seconds, gaps=True)
    size = made.tell()
    for piece in noise:
        writer.write(0, piece)
    records = np.frombuffer(made.getvalue()[size:], np.uint8).reshape(len(noise), -1).copy()
    with open(path, "wb") as file:
        file.write(made.getvalue()[:size])
        for first in range(0, seconds, len(records)):
            onsets = [k + GAP * (k >= seconds // 2) for k in range(first, min(first + len(records), seconds))]
            for row, onset in zip(records, onsets, strict=False):
                said = f"+{onset:.15g}\x14\x14\0".encode().ljust(_TIMES, b"\0")
                row[-_TIMES:] = np.frombuffer(said, np.uint8)
            file.write(records[: len(onsets)].tobytes())
    return path
