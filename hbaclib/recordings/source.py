"""Where samples come from: a file's channels, its stretches without a break, and values of some channels of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Channel:
    """One channel of a file.

    Attributes:
        label: its name.
        unit: the file's word for its unit.
        rate: samples a second.
        gain: units in one step of the stored values.
        zero: value of the stored 0 in the unit.
        prefilter: what the file says of its filters.
        fault: why it counts as missing; empty where it does not.
        refusal: why the file is refused where this channel is of the EEG; empty where it is sound.
    """

    label: str
    unit: str
    rate: float
    gain: float = 1.0
    zero: float = 0.0
    prefilter: str = ""
    fault: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class Stretch:
    """What was recorded without a break.

    Attributes:
        onset: seconds from time zero at which it begins.
        first: number of its first record, or sample.
        n_records: how many records, or samples, it has.
    """

    onset: float
    first: int
    n_records: int


class Source(ABC):
    """An open file.

    Attributes:
        path: the file.
        kind: the format, as ``EDF+D``.
        channels: in the file's order.
        stretches: in the order of time.
        clock: date and time of the first sample, where the file says it.
        notes: what was repaired.
        exact: bits of a stored value; float32 holds those of 16 bits, scaled, with more digits than they have.
    """

    path: Path
    kind: str
    channels: tuple[Channel, ...]
    stretches: tuple[Stretch, ...]
    clock: datetime | None = None
    notes: tuple[str, ...] = ()
    exact: int = 16

    @abstractmethod
    def length(self, stretch: Stretch, channel: int) -> int:
        """Samples that a channel has in a stretch."""

    @abstractmethod
    def rows(self, stretch: Stretch, channels: Sequence[int], first: int, last: int, dtype: DTypeLike) -> np.ndarray:
        """Stored values (n_channels, last - first) of channels of one rate, counted from the stretch's first sample.

        Raises:
            DataFileError: the file was cut since it was opened, or cannot be read.
        """

    @abstractmethod
    def piece(self, channel: int) -> int:
        """Samples of a channel that are best read at a time."""

    @abstractmethod
    def another(self) -> Self:
        """The file, opened once more."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def is_flat(self, channel: int) -> bool:
        """Whether a channel holds one value in all that is looked at: sixteen places of its longest stretch."""
        stretch = max(self.stretches, key=lambda one: one.n_records)
        n_samples = self.length(stretch, channel)
        looked = max(1, min(n_samples, round(self.channels[channel].rate)))
        seen = set[float]()
        for start in np.linspace(0, n_samples - looked, 16).astype(int).tolist():
            row = self.rows(stretch, [channel], start, start + looked, np.float64)[0]
            seen |= {float(row.min()), float(row.max())}
        return len(seen) < 2
