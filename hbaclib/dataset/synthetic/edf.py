"""Writes EDF+ record by record: what a synthetic night needs, gaps included, with memory for one record.

Format: B. Kemp, J. Olivan, "European data format 'plus' (EDF+)", Clin Neurophysiol 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO

import numpy as np

LIMIT = 3276.7
"""µV that the file's integers reach to: 16 bits in steps of 0.1 µV."""
STEP = 0.1
_TIMES = 30
"""Bytes of a record that say when it begins."""


class EdfWriter:
    """A file of records of one second, in microvolts; each says when it begins."""

    def __init__(
        self, file: BinaryIO, labels: Sequence[str], rate: int, begin: datetime, n_records: int, *, gaps: bool
    ) -> None:
        """Write the header.

        Args:
            file: open for writing bytes.
            labels: names of the channels.
            rate: samples a second.
            begin: of the first record; its fraction of a second is not kept.
            n_records: records that will be written.
            gaps: whether time passes between some of them.
        """
        self._file, self._n_channels, self._rate = file, len(labels), rate
        n = len(labels) + 1
        kind = "EDF+D" if gaps else "EDF+C"
        # Nobody was recorded: the fields that name a patient say so in the way of the format.
        fixed = [("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), (begin.strftime("%d.%m.%y"), 8),
                 (begin.strftime("%H.%M.%S"), 8), (256 * (n + 1), 8), (kind, 44), (n_records, 8), (1, 8),
                 (n, 4)]  # fmt: skip
        of_channels = [
            (labels, "EDF Annotations", 16),
            ([""] * len(labels), "", 80),
            (["uV"] * len(labels), "", 8),
            ([-LIMIT] * len(labels), -1, 8),
            ([LIMIT] * len(labels), 1, 8),
            ([-round(LIMIT / STEP)] * len(labels), -32768, 8),
            ([round(LIMIT / STEP)] * len(labels), 32767, 8),
            ([""] * len(labels), "", 80),
            ([rate] * len(labels), _TIMES // 2, 8),
            ([""] * len(labels), "", 32),
        ]
        cells = fixed + [(cell, width) for own, times, width in of_channels for cell in (*own, times)]
        file.write(b"".join(str(cell).encode("ascii").ljust(width) for cell, width in cells))

    def write(self, onset: float, values: np.ndarray) -> None:
        """Write a record.

        Args:
            onset: seconds from the first record's begin.
            values: (rate, n_channels) µV; what lies beyond LIMIT is cut off.
        """
        assert values.shape == (self._rate, self._n_channels)
        digital = np.round(np.clip(values, -LIMIT, LIMIT) / STEP).astype("<i2")
        self._file.write(np.ascontiguousarray(digital.T).tobytes())
        self._file.write(f"+{onset:.15g}\x14\x14\x00".encode("ascii").ljust(_TIMES, b"\x00"))
