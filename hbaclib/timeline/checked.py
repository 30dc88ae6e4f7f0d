"""What a timeline of a recording would leave out, found without networks: which rows, and which electrodes in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hbaclib.conventions import CLASSES
from hbaclib.errors import DataFileError
from hbaclib.prediction.ensemble_predictor import window_doubt
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.derivation import MOST_NEUTRAL
from hbaclib.recordings.parts import joined, recorded_segments
from hbaclib.recordings.ring import SIZE, Ring
from hbaclib.recordings.usable import MONTAGE, SIGNAL, Usable
from hbaclib.timeline.bins import BIN, NOT_EVALUATED, Timeline


class _NoNetworks:
    """Stands in for a predictor: says which windows networks are asked about, and asks none."""

    sees_spectrograms = False

    def evaluate(
        self, eeg: np.ndarray, spectrogram: np.ndarray | None, recorded: Sequence[int]
    ) -> tuple[np.ndarray, list[str]]:
        """As `EnsemblePredictor.evaluate`, with equal shares."""
        reasons = [window_doubt(window) for window in eeg]
        shares = np.full((len(eeg), len(CLASSES)), 1 / len(CLASSES), np.float32)
        shares[[bool(reason) for reason in reasons]] = np.nan
        return shares, reasons


def judged_rows(recording: BaseRecording) -> dict[str, Any]:
    """Judge a recording as its timeline does, row by row of ten seconds, in bounded memory.

    Args:
        recording: the recording, open, which nobody else reads.

    Returns:
        Values of JSON. ``rows``: ``recorded`` (how many lie in no gap), ``evaluated`` (how many networks are asked
        about), ``unusable`` (how many lack too many regions), ``reasons`` (why those are not evaluated around which
        there are 50 s -> how many). ``unusable``: of every electrode or channel that is flat, clipped or off in some
        rows: ``name``, ``fault``, ``first`` (second at which the first of the rows begins), ``rows`` (how many),
        ``share`` (of the recorded rows).

    Raises:
        DataFileError: the file is torn.
    """
    recorded = evaluated = unusable = 0
    reasons, counts, firsts = Counter[str](), Counter[str](), dict[str, int]()
    for number, (usable, reason) in enumerate(_rows(recording)):
        if usable is None:
            continue
        recorded += 1
        unusable += len(usable.neutral) > MOST_NEUTRAL
        evaluated += not reason
        if reason and reason.startswith((MONTAGE, SIGNAL)):
            reasons[reason] += 1
        for fault in usable.faults:
            counts[fault] += 1
            firsts.setdefault(fault, number * BIN)
    found = []
    for fault, count in counts.most_common():
        name, _, why = fault.removesuffix(")").rpartition(" (")
        found.append({"name": name, "fault": why, "first": firsts[fault], "rows": count, "share": count / recorded})
    rows = {"recorded": recorded, "evaluated": evaluated, "unusable": unusable, "reasons": dict(reasons.most_common())}
    return {"rows": rows, "unusable": found}


def _rows(recording: BaseRecording) -> Iterator[tuple[Usable | None, str]]:
    """Of every row what can be used of it, None in a gap, and why it is not evaluated; "" where it is."""
    try:
        line = Timeline(recording)
    except DataFileError as error:
        # Too short, or of too few regions: no row is evaluated, and the electrodes are told all the same.
        ring = Ring(recording, joined(recorded_segments(recording)))
        for number in range(-(-recording.n_samples // SIZE)):
            ring.forget(number * SIZE)
            usable = ring.usable(number)
            yield (usable if ring.part_of(number) >= 0 else None), str(error)
        return
    for each in line.bins(_NoNetworks()):  # type: ignore[arg-type]
        yield (each.usable if each.part >= 0 else None), each.reason if each.state == NOT_EVALUATED else ""
