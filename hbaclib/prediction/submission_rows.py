"""Rows of a submission: a row's window read, with a word for whatever is wrong with it, and shares put into rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hbaclib.errors import HbacError
from hbaclib.prediction.ensemble_predictor import NO_ANSWER
from hbaclib.prediction.windows import Recording, Window, cut_windows
from hbaclib.signal.plausibility import eeg_doubt


@dataclass
class Submission:
    """A submission and how it came about.

    Attributes:
        table: the rows of ``submission.csv``.
        log: one row per event: eeg_id (or -1), message.
        members: names of the models that predicted every row, in order of importance.
        left_out: names of models that the time budget left out of some rows or all.
        seconds: seconds taken.
        peak_megabytes: greatest resident memory of the process so far, NaN where the system does not tell.
        precision: numbers inside the networks.
        devices: processes that predicted beside each other, one a GPU.
    """

    table: pd.DataFrame
    log: pd.DataFrame
    members: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: float
    peak_megabytes: float
    precision: str = "float32"
    devices: int = 1


def read_window(recording: Recording, wanted: bool, log: list[tuple[int, str]]) -> Window | None:
    """A row's window, None where its EEG cannot be read; what went wrong is logged."""

    def tell(message: str) -> None:
        log.append((-1 if recording.eeg_id is None else recording.eeg_id, message))

    fault = ""
    try:
        window = next(cut_windows(recording, wanted, tell))
    except HbacError as error:
        fault = f"its file cannot be read ({error})"
        try:
            # The first reading told of the columns.
            window = next(cut_windows(replace(recording, spectrogram=None), wanted, lambda message: None))
        except HbacError as error:
            tell(f"class prior used, the EEG cannot be read ({error})")
            return None
    if reason := eeg_doubt(window[1]):
        tell(f"class prior used, the EEG is not evaluated ({recording.eeg}: {reason})")
        return None
    if fault:
        tell(f"spectrogram computed from the EEG, {fault}")
    return window


def put_shares(
    shares: np.ndarray,
    rows: list[int],
    found: np.ndarray,
    batch: Sequence[Recording],
    start: int,
    log: list[tuple[int, str]],
) -> None:
    """Put what was found into its rows; what is NaN leaves the prior there, which is logged."""
    known = np.isfinite(found).all(axis=1)
    shares[np.array(rows)[known]] = found[known]
    for row in np.array(rows)[~known]:
        recording = batch[row - start]
        log.append(
            (-1 if recording.eeg_id is None else recording.eeg_id, f"class prior used, {NO_ANSWER} ({recording.eeg})")
        )
