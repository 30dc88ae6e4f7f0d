"""The windows of any recording: EEG files, the 50 s taken of each, the ten minutes around them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hbaclib.conventions import EEG_RATE, EEG_WINDOW, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP, SPECTROGRAM_WINDOW
from hbaclib.dataset.competition import Competition
from hbaclib.dataset.from_eeg import RowsOfEeg, place
from hbaclib.dataset.tables import read_test_csv
from hbaclib.errors import DataFileError, list_some, printable
from hbaclib.files import FOLDER, kind_of
from hbaclib.prediction.judged import JudgedRecording
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.derived import DerivedRecording
from hbaclib.recordings.found import check_file, recordings_and_notes, told_passed_over
from hbaclib.recordings.opened import KEPT, open_recording
from hbaclib.recordings.parquet import load_spectrogram
from hbaclib.recordings.parts import bridges, joined
from hbaclib.signal.plausibility import spectrogram_doubt
from hbaclib.signal.short import LEAST_SAMPLES, first_sample, place_short

log = logging.getLogger(__name__)

FROM_EEG, NONE = "from_eeg", "none"
_MARGIN = (SPECTROGRAM_WINDOW * SPECTROGRAM_STEP - EEG_WINDOW / EEG_RATE) / 2
"""Seconds by which the ten-minute window begins before the 50-s window: both have one centre."""

_SLACK = 2
"""Rows by which a spectrogram file may end before its EEG does."""


class Window(NamedTuple):
    """One window of a recording.

    Attributes:
        name: what names it in the table.
        eeg: (10000, 20) µV, or (10000, 24) differences.
        spectrogram: (300, 400) µV²/Hz, or None.
        recorded: samples in its middle that the recording has; all, unless a short recording was placed there.
        fault: why networks are not to be asked about it; "" where they can be.
        told: what is to be known of it where they are: electrodes that are not used, regions that stay empty.
    """

    name: tuple[Any, ...]
    eeg: np.ndarray
    spectrogram: np.ndarray | None
    recorded: int = EEG_WINDOW
    fault: str = ""
    told: str = ""

    @property
    def short(self) -> bool:
        """Whether the recording is shorter than the window."""
        return self.recorded < EEG_WINDOW


@dataclass(frozen=True)
class Recording:
    """One EEG file; its row of ``test.csv`` where it has one; its spectrogram file, or None to compute it."""

    eeg: Path
    eeg_id: int | None = None
    spectrogram: Path | None = None


def competition_recordings(root: Path, spectrogram: str | None = None) -> list[Recording]:
    """The recordings that ``test.csv`` in a folder of the competition's format names, in its order.

    Args:
        root: the folder; ``train.csv`` is not needed.
        spectrogram: None takes the spectrogram files where there are any, FROM_EEG does not.

    Raises:
        DataFileError: there is no table, or it has faults or no rows.
    """
    path = root / "test.csv"
    table = read_test_csv(path) if path.is_file() else None
    if table is None or not len(table):
        raise DataFileError(f"{path}: missing or without rows; there is nothing to predict")
    data = Competition(root, pd.DataFrame(), table)
    files = spectrogram is None and data.has_spectrograms("test")
    ids = table[["eeg_id", "spectrogram_id"]].to_numpy().tolist()
    return [
        Recording(data.eeg_path(eeg, "test"), eeg, data.spectrogram_path(power, "test") if files else None)
        for eeg, power in ids
    ]


def find_recordings(inputs: Sequence[Path], spectrogram: str | None) -> list[Recording]:
    """The recordings of files and folders, with their spectrogram files.

    Args:
        inputs: EEG files, and folders of them.
        spectrogram: a spectrogram file, a folder of files named as the EEG files, FROM_EEG, NONE, or None.

    Raises:
        DataFileError: a path does not exist, a folder holds no recording, or one spectrogram stands for several.
    """
    eegs: list[Path] = []
    for path in inputs:
        if kind_of(path) != FOLDER:
            check_file(path, "EEG files (EDF, BDF, Parquet) or a folder of them")
            eegs.append(path)
            continue
        found, notes = recordings_and_notes(path)
        if not found:
            names = list_some(notes or sorted(part.name for part in path.iterdir())) or "nothing"
            raise DataFileError(
                f"{path}: found {names}; expected *.parquet, *.edf or *.bdf, or (as the only input) test.csv"
            )
        if notes:
            log.warning("%s", told_passed_over(path, notes))
        eegs += found
    if spectrogram in (None, FROM_EEG, NONE):
        return [Recording(path) for path in eegs]
    place = Path(str(spectrogram))
    if kind_of(place) != FOLDER:
        check_file(place, f"spectrograms, {FROM_EEG} or {NONE}")
    if place.is_file() and len(eegs) > 1:
        raise DataFileError(f"{place}: one spectrogram for {len(eegs)} EEG files; expected a folder of as many")
    return [Recording(path, spectrogram=place / path.name if place.is_dir() else place) for path in eegs]


def cut_windows(
    recording: Recording,
    wanted: bool,
    tell: Callable[[str], object],
    window: tuple[str | float, int] = ("centre", 0),
    begins: float | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    short: str | None = None,
    form: Mapping[str, Any] | None = None,
) -> Iterator[Window]:
    """Read a recording and cut its windows, one by one: memory does not grow with its length.

    Of a recording that says its channels and times (EDF, BDF, what MNE reads) the windows are differences without what
    cannot be used, as `JudgedRecording` gives them; of Parquet electrodes as they are.

    A short recording is one window, all of it, whatever ``window`` says, but for a start behind its first sample. Its
    ten minutes are those around its own middle; computed, they hold what the recording has and nothing else.

    Args:
        recording: a row of ``test.csv`` gives its first 50 s and ten minutes, whatever ``window`` says.
        wanted: whether the networks see spectrograms.
        tell: gets notes: on columns and units, and on a spectrogram file that is of no use and is computed instead.
        window: ``centre``, ``sliding`` or the second at which the window starts; seconds between sliding windows.
        begins: second of the spectrogram file at which the EEG file begins; None: both have one centre.
        columns: electrode -> column of the EEG file, as `open_recording` takes it.
        unit: of the EEG file, as `open_recording` takes it.
        short: how recordings of 10 to 50 s are placed in the middle of 50 s, as `place_short` takes it; None: they are
            refused.
        form: further options of `open_recording`.

    Raises:
        DataFileError: a file cannot be read, the recording is too short or holds a gap there, or the spectrogram lies
            elsewhere.
        ConfigError: there is no such way of placing.
    """
    with ExitStack() as opened:
        eeg = opened.enter_context(open_recording(recording.eeg, columns, unit, **(form or {})))
        for note in eeg.notes:
            tell(f"{recording.eeg}: {note}")
        # A fault is told before the first window, wherever it lies.
        if eeg.montage_fault:
            raise DataFileError(f"{recording.eeg}: {eeg.montage_fault}")
        eeg.verify()
        wanted_window = (0.0, 0) if recording.eeg_id is not None else window
        starts = _without_gaps(eeg, _starts(recording.eeg, eeg.n_samples, wanted_window, short))
        shown = printable(recording.eeg, one_line=True)
        judged = JudgedRecording(eeg, short, wanted) if isinstance(eeg, DerivedRecording) else None
        computed = judged or Computed(eeg, opened)
        file = _File(recording, eeg, starts, begins) if wanted and recording.spectrogram else None
        for start in starts:
            power = None
            if wanted:
                power = file.take(start, computed, tell) if file else computed.take(start)
            begin = max(start, 0)
            name = (recording.eeg_id,) if recording.eeg_id is not None else (shown, begin / EEG_RATE)
            if judged:
                signals, recorded, fault, told = judged.signals(start)
                yield Window(name, signals, power, recorded, fault, told)
                continue
            samples = eeg.read(begin, min(begin + EEG_WINDOW, eeg.n_samples))
            placed = place_short(samples, short) if short and len(samples) < EEG_WINDOW else samples
            yield Window(name, np.ascontiguousarray(placed), power, len(samples))


def _starts(path: Path, n_samples: int, window: tuple[str | float, int], short: str | None) -> Sequence[int]:
    """First samples of the windows of a recording; that of a short one lies before the recording's own."""
    where, step = window
    start = round(where * EEG_RATE) if isinstance(where, float) else 0
    if n_samples < start + EEG_WINDOW:
        if short and n_samples >= LEAST_SAMPLES and not start:
            return [-first_sample(n_samples)]
        raise DataFileError(f"{path}: {_too_short(n_samples, start, short)}")
    if where == "sliding":
        return range(0, n_samples - EEG_WINDOW + 1, step * EEG_RATE)
    return [(n_samples - EEG_WINDOW) // 2 if where == "centre" else start]


def _without_gaps(eeg: BaseRecording, starts: Sequence[int]) -> Sequence[int]:
    """Those of the windows that bridge no gap of more than a second."""
    parts = joined(eeg.segments)
    if len(parts) == 1:
        return starts
    kept = [start for start in starts if not bridges(parts, max(start, 0), min(start + EEG_WINDOW, eeg.n_samples))]
    if not kept:
        begin = max(starts[0], 0) / EEG_RATE
        where = f"the window from second {begin:g} on holds" if len(starts) == 1 else "every window holds"
        raise DataFileError(
            f"{eeg.path}: {where} a gap; expected {EEG_WINDOW // EEG_RATE} s without one (hbac check tells where gaps "
            "are, --window timeline goes round them)"
        )
    return kept


def _too_short(n_samples: int, start: int, short: str | None) -> str:
    """Why a recording gives no window, and what would give it one."""
    expected = start + EEG_WINDOW
    words = f"{n_samples} samples; expected at least {expected} ({expected / EEG_RATE:g} s at {EEG_RATE} Hz)"
    if n_samples >= EEG_WINDOW:
        return words
    words += f", and these are {n_samples / EEG_RATE:g} s: "
    least, whole = LEAST_SAMPLES / EEG_RATE, EEG_WINDOW / EEG_RATE
    if n_samples < LEAST_SAMPLES:
        return words + f"below {least:g} s nothing is evaluated, whatever --short says"
    if short:  # so a start was asked for
        return words + f"a recording below {whole:g} s is one window, all of it, without --window START"
    return words + f"hbac predict --short nan or --short reflect evaluates recordings of {least:g} to {whole:g} s"


class Computed:
    """Spectrograms of windows, computed from the recording; they are asked for from its begin to its end."""

    def __init__(self, eeg: BaseRecording, opened: ExitStack) -> None:
        self._eeg, self._opened = eeg, opened
        self._rows: dict[float, RowsOfEeg] = {}

    def take(self, start: int) -> np.ndarray:
        """(300, 400) of the window that begins with this sample."""
        rows, first = self._of(start)
        return rows.take(first, first + SPECTROGRAM_WINDOW)

    def covered(self, start: int) -> range:
        """Which of the window's 300 rows lie in the recording."""
        rows, first = self._of(start)
        return range(max(rows.first - first, 0), min(rows.stop - first, SPECTROGRAM_WINDOW))

    def _of(self, start: int) -> tuple[RowsOfEeg, int]:
        # Rows are centred on every second second of a window: begin the spectrogram so that windows begin with a row.
        second = start / EEG_RATE
        late = -second % SPECTROGRAM_STEP
        if late not in self._rows:
            # Who computes is ahead of who cuts windows: in a long recording each reads for itself.
            far = self._eeg.n_samples > KEPT
            source = self._opened.enter_context(self._eeg.another()) if far else self._eeg
            self._rows[late] = RowsOfEeg(source, _MARGIN + late)
        return self._rows[late], round((second + late) / SPECTROGRAM_STEP)


class _File:
    """Spectrograms of windows, from a file."""

    def __init__(self, recording: Recording, eeg: BaseRecording, starts: Sequence[int], begins: float | None) -> None:
        assert recording.spectrogram is not None
        self.path = recording.spectrogram
        self._power, _ = load_spectrogram(self.path)
        self._whole = recording.eeg_id is not None
        if self._whole:
            begins = _MARGIN
        elif begins is None:
            begins = (SPECTROGRAM_STEP * len(self._power) - eeg.seconds) / 2
        seconds = [start / EEG_RATE for start in starts]
        numbers = [math.floor((begins + second - _MARGIN) / SPECTROGRAM_STEP + 0.5) for second in seconds]
        if numbers[0] <= -SPECTROGRAM_WINDOW or numbers[-1] >= len(self._power):
            raise DataFileError(
                f"{self.path}: {SPECTROGRAM_STEP * len(self._power)} s with the EEG beginning at second {begins:g}; "
                f"expected the ten minutes around every window ({seconds[0]:g} to {seconds[-1]:g} s of {recording.eeg})"
            )
        self._first = dict(zip(starts, numbers, strict=True))
        self._told = set[str]()

    def take(self, start: int, computed: Computed | JudgedRecording, tell: Callable[[str], object]) -> np.ndarray:
        """(300, 400) of the window that begins with this sample; computed where the file has nothing of use there."""
        first = self._first[start]
        there = self._power[max(0, first) : first + SPECTROGRAM_WINDOW]
        fault = ""
        if reason := spectrogram_doubt(there):
            fault = f"its file is not evaluated ({self.path}: {reason})"
        elif self._lacks(first, computed.covered(start)):
            fault = f"its file is too short ({self.path}: {len(there)} rows, expected {SPECTROGRAM_WINDOW})"
        if fault:
            self._tell_once("computed", f"spectrogram computed from the EEG, {fault}", tell)
            return computed.take(start)
        if self._whole and len(there) < SPECTROGRAM_WINDOW:
            words = f"{len(there)} rows, expected {SPECTROGRAM_WINDOW}; what is missing stays empty"
            self._tell_once("short", f"{self.path}: {words}", tell)
        power = np.full((SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), np.nan, np.float32)
        place(power, self._power, -first)
        return power

    def _lacks(self, first: int, covered: range) -> bool:
        """Whether the file lacks rows of a window that the EEG gives, more than a last second or so makes."""
        return first + covered.start < -_SLACK or first + covered.stop > len(self._power) + _SLACK

    def _tell_once(self, kind: str, words: str, tell: Callable[[str], object]) -> None:
        if kind not in self._told:
            self._told.add(kind)
            tell(words)
