"""The face of an opened recording, whatever its file: facts, electrodes and differences, read in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE
from hbaclib.errors import DataError, DataFileError
from hbaclib.recordings.stuck import CHAINED, Stuck, of_electrodes
from hbaclib.signal.montage import DIFFERENCES, pair_rows

WANTED = DIFFERENCES
"""The 24 differences of electrodes that the networks see: the double banana, then the eight raw signals."""

LONGEST_DAYS = 31
"""Days that a recording may be long: what says more is damaged."""


class BaseRecording(ABC):
    """A recording in an open file.

    Attributes:
        path: the file.
        kind: its format, as ``EDF+D`` or ``Parquet``.
        n_samples: its length in samples of 200 Hz, from time zero (the first sample) to its end, gaps included.
        segments: (start, stop) of what was recorded without a break, in samples of 200 Hz from time zero.
        notes: what a reader should know of its channels, units and times.
        labels: names of all its channels, in the file's order.
        montage: what its channels are differences of, in words.
        missing: electrodes that cannot be derived; `read` gives NaN for them.
        neutral: regions (chains) too much of which is missing to be filled from neighbours; `read_differences` gives
            NaN for them.
        montage_fault: why its channels give too little to predict from; empty where they suffice.
        clock: date and time of the first sample, where the file says it.
        rate: samples a second in the file.
        rate_stated_by: what in the file states its rate; empty where nothing does.
        units: electrode or channel -> unit in which the file has it.
    """

    path: Path
    kind: str = ""
    n_samples: int
    segments: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    montage: str = ""
    missing: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    montage_fault: str = ""
    clock: datetime | None = None
    rate: float = float(EEG_RATE)
    rate_stated_by: str = ""
    units: Mapping[str, str]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        """Its length, gaps included."""
        return self.n_samples / EEG_RATE

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    @abstractmethod
    def another(self) -> Self:
        """The same recording, opened once more: for a second reader, who is elsewhere in it."""

    @abstractmethod
    def verify(self) -> None:
        """Look whether the signal can be used.

        Raises:
            DataFileError: the file is torn, a value is infinite, or the amplitude is none of an EEG in the stated unit.
        """

    @abstractmethod
    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read the electrodes; quick where calls go forward through the recording.

        Args:
            start: first sample, at 200 Hz from time zero.
            stop: the sample behind the last one; None: to the end.

        Returns:
            (stop - start, 20) float32 in µV at 200 Hz, columns as EEG_COLUMNS, NaN where the recording has none. The
            electrodes of a hemisphere have one reference, whatever it is: their differences are those of the recording.

        Raises:
            DataError: there are no such samples.
            DataFileError: the file is torn, or a value is infinite.
        """

    def read_differences(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read the differences of electrodes that the networks see.

        Args:
            start: first sample, at 200 Hz from time zero.
            stop: the sample behind the last one; None: to the end.

        Returns:
            (stop - start, 24) float32 in µV at 200 Hz: the 16 pairs of the double banana, region by region, then the
            eight raw signals. NaN in gaps and in neutral regions; a missing electrode is filled from its neighbours.

        Raises:
            DataError: there are no such samples.
            DataFileError: the file is torn, or a value is infinite.
        """
        return pair_rows(np.ascontiguousarray(self.read(start, stop).T), WANTED).T

    def read_judged(self, start: int, stop: int, size: int) -> tuple[np.ndarray, list[Stuck]]:
        """Read the differences, and what of them cannot be used since a channel is flat or clipped.

        Args:
            start: first sample, at 200 Hz from time zero.
            stop: the sample behind the last one.
            size: samples that are judged together, from ``start`` on.

        Returns:
            As `read_differences`, with all that was recorded; and a judgement of each stretch of ``size`` samples.

        Raises:
            DataError: there are no such samples.
            DataFileError: the file is torn, or a value is infinite.
        """
        rows = np.ascontiguousarray(self.read(start, stop).T)
        found = []
        for at in range(0, stop - start, size):
            cut = rows[:, at : at + size]
            cut = cut[:, ~np.isnan(cut).all(axis=0)]
            named = {name: row for name, row in zip(EEG_COLUMNS, cut, strict=True) if name in CHAINED}
            found.append(of_electrodes(named, EEG_RATE, WANTED))
        return pair_rows(rows, WANTED).T, found

    def blocks(self, size: int | None = None, *, seconds: float | None = None) -> Iterator[np.ndarray]:
        """All samples of the electrodes, from the first on, as `read` gives them.

        Args:
            size: samples at a time.
            seconds: seconds at a time, instead.
        """
        step = size if size is not None else round((600 if seconds is None else seconds) * EEG_RATE)
        if step < 1:
            raise DataError(f"blocks of {step} samples; expected at least one")
        for start in range(0, self.n_samples, step):
            yield self.read(start, min(start + step, self.n_samples))

    def _span(self, start: int, stop: int | None) -> tuple[int, int]:
        """Check which samples are asked for."""
        stop = self.n_samples if stop is None else stop
        if not 0 <= start <= stop <= self.n_samples:
            raise DataError(f"{self.path}: samples {start} to {stop} asked for; it has {self.n_samples}")
        return start, stop


def check_memory(path: Path, n_samples: int, small: int, available: Callable[[], int]) -> None:
    """Refuse to read more at once than there is memory for: the samples, and what is made of them.

    Args:
        path: the file, for messages.
        n_samples: samples of all electrodes that are asked for.
        small: bytes that are read without asking.
        available: gives the free memory in bytes.

    Raises:
        DataFileError: there is not enough.
    """
    needed = n_samples * len(EEG_COLUMNS) * 4
    if needed > small and 2 * needed > (free := available()):
        raise DataFileError(
            f"{path}: {n_samples} samples ({n_samples / EEG_RATE / 3600:.1f} h) at once need "
            f"{2 * needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; read it in parts "
            "(hbaclib.open_recording)"
        )
