"""What edfio, pyedflib and MNE read in an EDF or BDF file, in digital values."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbaclib.recordings.edf import EdfSource

Digital = dict[int, np.ndarray]
"""Number of a signal, annotations left out -> (n_samples,)."""
MNE_UNITS = {"uv": 1e-6, "µv": 1e-6, "mv": 1e-3}
"""Units that MNE knows -> volts; what has another one it takes as it is."""


def digital_of_edfio(path: Path, source: EdfSource) -> Digital:
    import edfio

    file = (edfio.read_bdf if source.exact == 24 else edfio.read_edf)(path)
    return dict(enumerate(np.asarray(signal.digital) for signal in file.signals))


def digital_of_pyedflib(path: Path, source: EdfSource) -> Digital:
    import pyedflib

    with pyedflib.EdfReader(str(path)) as file:
        return {k: file.readSignal(k, digital=True) for k in range(file.signals_in_file)}


def digital_of_mne(path: Path, source: EdfSource) -> Digital:
    """MNE's volts as digital values; of one rate at a time, as it resamples what has another rate than the highest."""
    import mne

    read, numbers = mne.io.read_raw_bdf if source.exact == 24 else mne.io.read_raw_edf, without_annotations(source)
    options: dict[str, Any] = {"stim_channel": None, "infer_types": False, "exclude_after_unique": True}
    names = read(path, verbose="ERROR", **options).ch_names
    assert len(names) == len(numbers)
    found = {}
    for rate in {source.channels[k].rate for k in numbers}:
        group = [place for place, k in enumerate(numbers) if source.channels[k].rate == rate]
        others = [name for place, name in enumerate(names) if place not in group]
        raw = read(path, verbose="ERROR", exclude=others, **options)
        assert raw.info["sfreq"] == pytest.approx(rate)
        for place, row in zip(group, raw.get_data(), strict=True):
            channel = source.channels[numbers[place]]
            exact = (row / MNE_UNITS.get(channel.unit.strip().lower(), 1.0) - channel.zero) / channel.gain
            found[place] = exact.round()
            np.testing.assert_allclose(exact, found[place], atol=1e-3)
    return found


READERS = {"edfio": digital_of_edfio, "pyedflib": digital_of_pyedflib, "MNE": digital_of_mne}


def without_annotations(source: EdfSource) -> list[int]:
    return [k for k, channel in enumerate(source.channels) if channel.fault != "annotations"]


def has_no_wheel(reader: str) -> bool:
    """Whether a reader is not built for this Python."""
    if reader != "pyedflib" or find_spec(reader):
        return False
    assert sys.version_info >= (3, 13), "there is a wheel for this Python"
    return True
