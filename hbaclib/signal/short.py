"""Recordings shorter than the networks' window, placed in the middle of one."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_RATE, EEG_WINDOW
from hbaclib.errors import ConfigError, DataError
from hbaclib.signal.montage import as_eeg

WAYS = ("nan", "reflect")
"""What lies around a short recording: nothing, or its own reflection."""
LEAST_SAMPLES = 10 * EEG_RATE
"""The shortest recording that is evaluated, 10 s: what experts vote on is the 10 s in the middle of every window."""


def place_short(eeg: np.ndarray, how: str) -> np.ndarray:
    """Place a recording of 10 to 50 s in the middle of 50 s.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) floating point, µV at 200 Hz, columns as EEG_COLUMNS, or 24
            differences; 2,000 to 10,000 samples. NaN allowed.
        how: ``nan`` = around it nothing is recorded; ``reflect`` = around it lies its own reflection, again and again
            (as of ``numpy.pad`` with mode "reflect"), so that there is no seam and what is rhythmic stays so.

    Returns:
        (10000, 20) or (n, 10000, 20) float32, or 24 columns; it begins at sample ``(10000 - n_samples) // 2``.

    Raises:
        DataError: malformed EEG, fewer than 2,000 samples or more than 10,000.
        ConfigError: there is no such way.
    """
    check_how(how)
    eeg = as_eeg(eeg, differences=True)
    n_samples = eeg.shape[-2]
    if not LEAST_SAMPLES <= n_samples <= EEG_WINDOW:
        raise DataError(
            f"EEG of {n_samples} samples ({n_samples / EEG_RATE:g} s); expected {LEAST_SAMPLES} to {EEG_WINDOW} "
            f"({LEAST_SAMPLES // EEG_RATE} to {EEG_WINDOW // EEG_RATE} s)"
        )
    first = first_sample(n_samples)
    if how == "nan":
        placed = np.full((*eeg.shape[:-2], EEG_WINDOW, eeg.shape[-1]), np.nan, eeg.dtype)
        placed[..., first : first + n_samples, :] = eeg
        return placed
    # Forth and back through the recording, whose ends are not repeated.
    way = np.mod(np.arange(EEG_WINDOW) - first, 2 * (n_samples - 1))
    return eeg[..., np.minimum(way, 2 * (n_samples - 1) - way), :]


def check_how(how: object) -> None:
    """Check a way of placing.

    Raises:
        ConfigError: it is none of WAYS.
    """
    if how not in WAYS:
        raise ConfigError(f"short = {how!r}; expected one of {', '.join(WAYS)}")


def first_sample(n_samples: int) -> int:
    """Sample of the window at which a recording of so many samples begins."""
    return (EEG_WINDOW - n_samples) // 2


def recorded_part(window: np.ndarray, n_samples: int) -> np.ndarray:
    """The recording of so many samples in a window (10000, 20) that it was placed in."""
    first = first_sample(n_samples)
    return window[first : first + n_samples]
