"""An `mne.io.Raw` in the place of files: MNE is not needed for what is none of its objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hbaclib.conventions import EEG_RATE, EEG_WINDOW
from hbaclib.errors import DataError, DataFileError
from hbaclib.prediction.judged import JudgedRecording
from hbaclib.prediction.windows import Window
from hbaclib.recordings.base import BaseRecording
from hbaclib.signal.short import LEAST_SAMPLES, first_sample

STEP = 10
"""Seconds from one window of a Raw to the next."""


def is_raw(found: object) -> bool:
    """Whether something is an `mne.io.Raw`, of whatever format."""
    return any(kind.__module__.startswith("mne.") and kind.__name__ == "BaseRaw" for kind in type(found).__mro__)


def from_mne(raw: Any) -> np.ndarray:
    """Give an `mne.io.Raw` as the networks take it.

    Args:
        raw: of any montage that determines the differences that the networks see, and any rate from 100 to 20,000 Hz;
            its channels' names say the electrodes, as ``EEG Fp1-Ref`` or ``F7-T3``. Skipped time (``BAD_ACQ_SKIP``) is
            a gap.

    Returns:
        (n_samples, 20) float32 in µV at 200 Hz, columns as EEG_COLUMNS, NaN where it has none. What a bipolar montage
        leaves open, the reference, is chosen: the differences of electrodes are its own.

    Raises:
        DataError: it is no `mne.io.Raw`.
        DataFileError: it holds no electrode, or has another rate.
    """
    with open_raw(raw) as recording:
        return np.ascontiguousarray(recording.read())


def open_raw(raw: Any) -> BaseRecording:
    """An `mne.io.Raw` as an opened recording; errors as for `from_mne`."""
    if not is_raw(raw):
        raise DataError(f"{type(raw).__name__} given; expected an mne.io.Raw")
    from hbaclib.recordings.mne_formats import recording_of

    return recording_of(raw)


def raw_windows(recording: BaseRecording, wanted: bool, short: str | None) -> Iterator[Window | None]:
    """Windows that begin every 10 s, from the first sample on; None for one that bridges a gap of more than a second.

    They are differences without what cannot be used, as `JudgedRecording` gives them.

    Args:
        recording: a Raw, as `open_raw` gives it.
        wanted: whether the networks see spectrograms, which are then computed.
        short: how a recording of 10 to 50 s is placed, as `place_short` takes it.

    Raises:
        DataFileError: it is too short, its amplitude is none of an EEG, or its montage gives too little.
    """
    if recording.montage_fault:
        raise DataFileError(f"{recording.path}: {recording.montage_fault}")
    recording.verify()
    n_samples = recording.n_samples
    starts = range(0, n_samples - EEG_WINDOW + 1, STEP * EEG_RATE)
    if n_samples < EEG_WINDOW:
        if short is None or n_samples < LEAST_SAMPLES:
            hint = "" if n_samples < LEAST_SAMPLES else "; short = 'nan' or 'reflect' evaluates 10 s and more"
            raise DataFileError(
                f"{recording.path}: {n_samples / EEG_RATE:g} s; expected at least {EEG_WINDOW // EEG_RATE} s{hint}"
            )
        starts = range(-first_sample(n_samples), -first_sample(n_samples) + 1)
    judged = JudgedRecording(recording, short, wanted)
    for start in starts:
        if judged.holds_gap(start):
            yield None
            continue
        power = judged.take(start) if wanted else None
        signals, recorded, fault, told = judged.signals(start)
        yield Window((max(start, 0) / EEG_RATE,), signals, power, recorded, fault, told)
