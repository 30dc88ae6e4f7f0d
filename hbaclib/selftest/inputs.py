"""Synthetic inputs of any number of samples, in place of stored arrays, that note when each batch was asked for.

What reads ahead waits for the network as soon as it is a few batches ahead. So the time between two requests is, from
then on, the time of a training step with all that belongs to it, whatever the loop looks like that trains.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_json
from hbaclib.conventions import CLASSES, EEG_RATE, IMAGE_SHAPE, RAW_PAIRS, VOTE_COLUMNS

_RAW_SAMPLES, _RAW_RATE = 2000, EEG_RATE / 5
_MANY, _FEW = 14, 3
_STRIPE = 16
_PLANES = {"both": slice(0, 8), "kaggle": slice(0, 4), "eeg": slice(4, 8)}


class EnoughError(Exception):
    """All batches of training have been given; what follows is not measured."""


@dataclass(frozen=True)
class Request:
    """A batch that was asked for.

    Attributes:
        process: number of the process that asked.
        time: seconds of the host's monotonic clock.
        rows: rows asked for.
    """

    process: int
    time: float
    rows: int


class SyntheticInputs:
    """Stands in for `hbaclib.inputs.store.InputArrays`: a bright stripe or a rhythm tells a sample's class.

    Args:
        n: number of samples.
        log: file that gets a line for each batch that is asked for; None for none.
        enough: requests that this process grants; the next one raises `EnoughError`. None grants all.
        seed: of the noise.
        folds: number of folds; patients are spread evenly over them.
    """

    sampling = ""
    image = "pair"

    def __init__(
        self, n: int, log: str | Path | None = None, enough: int | None = None, seed: int = 0, folds: int = 2
    ) -> None:
        self.n, self.seed, self.enough = n, seed, enough
        self.log = None if log is None else Path(log)
        self.digest = digest_json(["selftest", n, seed, folds])
        self.granted, self._made = 0, dict[str, np.ndarray]()
        rows, patients = np.arange(n), 4 * folds
        self.classes = np.random.default_rng(seed).integers(0, len(CLASSES), n)
        self.samples = pd.DataFrame(
            {
                "eeg_id": rows + 1,
                "spectrogram_id": rows + 1,
                "patient_id": rows % patients + 1,
                "eeg_start": 0,
                "spectrogram_row": 0,
                "n_votes": np.where(rows // patients % 2, _MANY, _FEW),
            }
        )
        self.samples[list(VOTE_COLUMNS)] = np.eye(len(CLASSES))[self.classes] * 0.85 + 0.15 / len(CLASSES)
        numbers = np.arange(patients)
        self.folds = pd.Series(numbers % folds, index=pd.Index(numbers + 1, name="patient_id"), name="fold")

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_made": {}}  # quicker made than sent

    def __len__(self) -> int:
        return self.n

    def gather(self, rows: np.ndarray, inputs: str = "both", dtype: Any = np.float32) -> np.ndarray:
        """As `hbaclib.inputs.store.InputArrays.gather`, of images and of the signals at 40 Hz.

        Raises:
            EnoughError: as many batches were given as were asked for at first.
        """
        if self.enough is not None and self.granted >= self.enough:
            raise EnoughError
        self.granted += 1
        if self.log is not None:
            with open(self.log, "ab", buffering=0) as file:  # one write a line: processes share the file
                file.write(f"{os.getpid()} {time.monotonic()!r} {len(rows)}\n".encode())
        name = inputs.removesuffix("_absolute")
        if name == "raw":
            return self._all("raw")[rows].astype(dtype)
        return self._all("both")[rows][..., _PLANES[name]].astype(dtype)

    def _all(self, name: str) -> np.ndarray:
        if name not in self._made:
            rng = np.random.default_rng([self.seed, name == "raw"])
            if name == "raw":
                noise = rng.standard_normal((self.n, _RAW_SAMPLES, len(RAW_PAIRS)), np.float32)
                seconds = np.arange(_RAW_SAMPLES)[:, None] / _RAW_RATE
                rhythms = np.stack([np.sin(2 * np.pi * (1 + k) * seconds) for k in range(len(CLASSES))])
                made = (noise + rhythms[self.classes]).astype(np.float16)
            else:
                made = rng.standard_normal((self.n, *IMAGE_SHAPE, 8), np.float32).astype(np.float16)
                for image, k in zip(made, self.classes, strict=True):
                    image[_STRIPE * k : _STRIPE * (k + 1)] += 2
            self._made[name] = made
        return self._made[name]


def requests(log: str | Path) -> list[Request]:
    """What `SyntheticInputs` has noted, in order of time."""
    lines = Path(log).read_text(encoding="utf-8").splitlines()
    found = [Request(int(process), float(at), int(rows)) for process, at, rows in map(str.split, lines)]
    return sorted(found, key=lambda request: request.time)


def step_times(asked: list[Request]) -> tuple[float, float]:
    """Seconds of a step, and of what came before the first, from the requests of one process's training.

    Args:
        asked: one for each batch, in order.

    Returns:
        Median seconds of a step of the second half, and seconds from the first request to the end of the longest gap:
        what reads ahead waits there for the first step to be traced and compiled.
    """
    gaps = np.diff([request.time for request in asked])
    longest = int(gaps.argmax())
    return float(np.median(gaps[len(gaps) // 2 :])), float(gaps[: longest + 1].sum())
