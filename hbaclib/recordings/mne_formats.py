"""What MNE reads as a source of samples (extra ``formats``): BrainVision, EEGLAB, Nihon Kohden, Persyst, CNT, GDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from hbaclib.errors import DataFileError, PlatformError
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.derived import DerivedRecording, Reading
from hbaclib.recordings.source import Channel, Source, Stretch

_SKIPPED = "BAD_ACQ_SKIP"
_PIECE_SECONDS = 60


class MneSource(Source):
    """An `mne.io.Raw`, read in blocks.

    Args:
        raw: the object; its channels are in volts, as MNE has them.
        path: the file; None: what the object says.
    """

    def __init__(self, raw: Any, path: str | Path | None = None) -> None:
        self._raw = raw
        names = [str(name) for name in getattr(raw, "filenames", ()) if name]
        self.path = Path(path) if path is not None else Path(names[0] if names else "raw")
        self.kind, self.exact = f"{type(raw).__name__} (MNE)", 53
        rate = float(raw.info["sfreq"])
        edges = f"HP:{float(raw.info['highpass']):g}Hz LP:{float(raw.info['lowpass']):g}Hz"
        self.channels = tuple(Channel(str(name), "V", rate, prefilter=edges) for name in raw.ch_names)
        self.stretches = tuple(_stretches(raw, rate))
        begin = raw.info.get("meas_date")
        self.clock = begin.replace(tzinfo=None) if begin is not None else None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a file.

        Raises:
            PlatformError: MNE is not installed.
            DataFileError: MNE cannot read it.
        """
        try:
            import mne
        except ImportError as error:
            raise PlatformError(f'{path}: needs MNE; pip install "hbaclib[formats]"') from error
        try:
            raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
        except Exception as error:
            # Whatever a damaged file makes another package raise; its words may quote the file and stay out.
            raise DataFileError(
                f"{path}: MNE cannot read it ({type(error).__name__}); expected a whole recording"
            ) from error
        return cls(raw, path)

    def length(self, stretch: Stretch, channel: int) -> int:
        """Samples that a channel has in a stretch."""
        return stretch.n_records

    def piece(self, channel: int) -> int:
        """Samples of a minute."""
        return max(1, round(_PIECE_SECONDS * self.channels[channel].rate))

    def rows(self, stretch: Stretch, channels: Sequence[int], first: int, last: int, dtype: DTypeLike) -> np.ndarray:
        """Volts (n_channels, last - first)."""
        begin = stretch.first + first
        try:
            values = self._raw.get_data(picks=list(channels), start=begin, stop=stretch.first + last, verbose="ERROR")
        except Exception as error:
            raise DataFileError(
                f"{self.path}: MNE cannot read it ({type(error).__name__}); expected it as it was opened"
            ) from error
        # Volts in float32 keep their digits: it is a matter of exponents.
        return np.array(values, dtype)

    def another(self) -> Self:
        """The same object: MNE keeps no place in a file."""
        return type(self)(self._raw, self.path)

    def close(self) -> None:
        """Nothing: whoever made the object has it still."""


def recording_of(raw: Any) -> BaseRecording:
    """An `mne.io.Raw` as an opened recording.

    Args:
        raw: the object, of any montage and rate; its channels' names say the electrodes.

    Raises:
        DataFileError: it holds no electrode.
    """
    return DerivedRecording(MneSource(raw), Reading())


def _stretches(raw: Any, rate: float) -> list[Stretch]:
    """What lies between the annotations of skipped time, which MNE fills with zeros."""
    n_samples, first_sample = int(raw.n_times), int(getattr(raw, "first_samp", 0))
    lost = list[tuple[int, int]]()
    for note in raw.annotations:
        if str(note["description"]) == _SKIPPED:
            begin = round(float(note["onset"]) * rate) - first_sample
            end = begin + round(float(note["duration"]) * rate)
            lost.append((min(max(begin, 0), n_samples), min(max(end, 0), n_samples)))
    found, at = list[Stretch](), 0
    for begin, end in [*sorted(one for one in lost if one[0] < one[1]), (n_samples, n_samples)]:
        if begin > at:
            found.append(Stretch(at / rate, at, begin - at))
        at = max(at, end)
    return found or [Stretch(0.0, 0, n_samples)]
