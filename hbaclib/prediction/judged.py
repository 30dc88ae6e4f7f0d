"""Windows of recordings that say their channels and times, as the timeline sees them: what cannot be used is left out.

Files of the competition's format, whose samples are what its networks were trained on, are cut by
`hbaclib.prediction.windows` as they are.
"""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_RATE, EEG_WINDOW, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.parts import bridges, joined
from hbaclib.recordings.ring import LEAST_INSIDE, SIZE, Ring, first_row
from hbaclib.signal.short import place_short

_ROW = SPECTROGRAM_STEP * EEG_RATE


class JudgedRecording:
    """A recording whose windows are asked for from its begin to its end.

    Attributes:
        parts: (first sample, the one behind the last) between gaps of more than a second.
    """

    def __init__(self, recording: BaseRecording, short: str | None, spectrograms: bool) -> None:
        """Read nothing yet.

        Args:
            recording: the recording, verified, which nobody else reads.
            short: how one of 10 to 50 s is placed, as `place_short` takes it.
            spectrograms: whether ten minutes may be asked for.
        """
        self.parts = joined(recording.segments)
        self._n_samples, self._short = recording.n_samples, short
        self._ring = Ring(recording, self.parts)
        # A spectrogram file may serve for some windows before a later one's ten minutes are computed.
        self._begin_at = self._ring.begin_at if spectrograms else self._ring.forget

    def holds_gap(self, start: int) -> bool:
        """Whether the window that begins with a sample bridges a gap of more than a second."""
        return bridges(self.parts, *self._span(start))

    def signals(self, start: int) -> tuple[np.ndarray, int, str, str]:
        """The 50 s that begin with a sample, which lies before the first one of a recording that is placed.

        Electrodes that are flat, clipped or off are left out in every ten seconds for themselves; regions that are
        empty in the middle ten seconds, on which experts judge, are dark as a whole.

        Returns:
            (10000, 24) differences; samples in its middle that were recorded; why it is not evaluated, if so; what is
            to be known of it otherwise.
        """
        begin, stop = self._span(start)
        self._begin_at(begin)
        usable = self._ring.usable((begin + stop) // 2 // SIZE)
        signals = self._ring.differences_by(usable, begin, stop)
        if self._short and len(signals) < EEG_WINDOW:
            signals = place_short(signals, self._short)
        return np.ascontiguousarray(signals), stop - begin, usable.refusal(), "; ".join(usable.told())

    def take(self, start: int) -> np.ndarray:
        """(300, 400) µV²/Hz, the ten minutes around the window that begins with a sample; NaN where there is none."""
        self._begin_at(start)
        return self._ring.ten_minutes(start)

    def covered(self, start: int) -> range:
        """Which of the window's 300 rows lie in the recording."""
        first = first_row(start)
        inside = -(-LEAST_INSIDE // _ROW), (self._n_samples - LEAST_INSIDE) // _ROW + 1
        return range(max(inside[0] - first, 0), min(inside[1] - first, SPECTROGRAM_WINDOW))

    def _span(self, start: int) -> tuple[int, int]:
        return max(start, 0), min(start + EEG_WINDOW, self._n_samples)
