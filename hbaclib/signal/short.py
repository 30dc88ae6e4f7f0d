"""Recordings shorter than the window that networks see: placed in its middle."""

from __future__ import annotations

from typing import Final

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE, EEG_WINDOW
from hbaclib.errors import ConfigError, DataError

WAYS: Final = ("nan", "reflect")
"""What lies around a short recording: nothing, or its own reflection."""

SHORTEST: Final = 10 * EEG_RATE
"""Samples of the shortest recording that can be placed: the ten seconds that experts judge."""


def place_short(eeg: np.ndarray, how: str) -> np.ndarray:
    """Place a recording of 10 to 50 s in the middle of the 50 s that networks see.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) µV at 200 Hz, columns as EEG_COLUMNS.
        how: ``nan`` leaves what lies around it empty, ``reflect`` puts its own reflection there, as often as needed.

    Returns:
        (10000, 20) or (n, 10000, 20) of the same precision.

    Raises:
        ConfigError: another ``how``.
        DataError: another shape, fewer samples than 10 s or more than 50 s.
    """
    if how not in WAYS:
        raise ConfigError(f"short is {how!r}, expected {' or '.join(map(repr, WAYS))}")
    eeg = np.asarray(eeg)
    if eeg.ndim not in (2, 3) or eeg.shape[-1] != len(EEG_COLUMNS):
        raise DataError(f"eeg has shape {eeg.shape}, expected ([n,] n_samples, {len(EEG_COLUMNS)})")
    n = eeg.shape[-2]
    if not SHORTEST <= n <= EEG_WINDOW:
        raise DataError(f"eeg has {n} samples, expected {SHORTEST} to {EEG_WINDOW} (10 to 50 s at {EEG_RATE} Hz)")
    before = (EEG_WINDOW - n) // 2
    around = [(0, 0)] * (eeg.ndim - 2) + [(before, EEG_WINDOW - n - before), (0, 0)]
    if how == "reflect":
        return np.pad(eeg, around, mode="reflect")
    return np.pad(eeg, around, constant_values=np.nan)
