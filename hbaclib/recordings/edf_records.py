"""The data records of EDF and BDF files: when each began, what was recorded without a break, and its samples.

Whole records are read into memory of our own, and never the file mapped: mapped pages count as memory in use, and a
file that is cut while it is read would end the process and not the reading.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hbaclib.errors import DataFileError
from hbaclib.recordings.edf_header import EdfHeader
from hbaclib.recordings.source import Stretch

LEAST_GAP = 0.02
"""Seconds by which a record may begin late or early without a break."""
MOST_DRIFT = 0.1
"""Seconds to which such differences may add up before the clock is set anew."""
_ONSET_BYTES = 40
_MOST_BYTES = 1 << 16


def find_onsets(reader: RecordReader, header: EdfHeader) -> tuple[np.ndarray | None, list[str]]:
    """When each record began, as the first annotation of its first annotation signal says.

    Args:
        reader: of the file.
        header: its header.

    Returns:
        (n_records,) seconds from the header's start, None where the file has no annotation signal or no readable onset;
        and notes.

    Raises:
        DataFileError: the file was cut since it was opened.
    """
    signals = [one for one in header.signals if one.annotations and one.samples]
    if not signals:
        return None, []
    width = header.bits // 8
    onsets, foreign = np.full(header.n_records, np.nan), set[int]()
    for signal in signals:
        cells = reader.cells(signal.offset * width, min(_MOST_BYTES, signal.samples * width))
        for record, cell in enumerate(cells):
            if signal is signals[0]:
                onsets[record] = _onset(cell[:_ONSET_BYTES])
            if not cell.isascii() and not _is_text(cell):
                foreign.add(record)
    notes = []
    if foreign:
        notes.append(f"note texts not decodable in {len(foreign)} records; expected UTF-8 (they are not used)")
    unknown = np.isnan(onsets)
    if unknown.all():
        return None, [*notes, "no record says when it began; read without gaps"]
    if unknown.any():
        notes.append(f"{int(unknown.sum())} records do not say when they began; each taken to follow the one before")
        known = np.flatnonzero(~unknown)
        before = np.searchsorted(known, np.arange(header.n_records), side="right") - 1
        source = known[np.maximum(before, 0)]
        onsets = onsets[source] + header.record_seconds * (np.arange(header.n_records) - source)
    return onsets, notes


def find_stretches(onsets: np.ndarray, record_seconds: float, path: Path) -> list[Stretch]:
    """Which records were recorded without a break.

    Args:
        onsets: (n_records,) seconds.
        record_seconds: length of a record.
        path: the file, for messages.

    Raises:
        DataFileError: a record begins before the one before it has ended.
    """
    late = np.diff(onsets) - record_seconds
    wrong = np.flatnonzero(late < -LEAST_GAP)
    if len(wrong):
        record = int(wrong[0])
        raise DataFileError(
            f"{path}: record {record + 2} begins at {onsets[record + 1]:.6g} s and record {record + 1} at "
            f"{onsets[record]:.6g} s; expected {record_seconds:g} s or more between them"
        )
    found, first, drift = list[Stretch](), 0, 0.0
    notable = np.flatnonzero(np.abs(late) > 1e-9)
    for record in notable.tolist():
        drift += late[record]
        if late[record] > LEAST_GAP or abs(drift) > MOST_DRIFT:
            found.append(Stretch(float(onsets[first] - onsets[0]), first, record + 1 - first))
            first, drift = record + 1, 0.0
    found.append(Stretch(float(onsets[first] - onsets[0]), first, len(onsets) - first))
    return found


def _is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8, of which the end may be cut off."""
    try:
        getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _onset(data: bytes) -> float:
    """Of an annotation list: ``+12.5``, then bytes 20 or 21."""
    end = min((at for at in (data.find(b"\x14"), data.find(b"\x15")) if at >= 0), default=-1)
    text = data[:end] if end > 0 else b""
    if text[:1] not in (b"+", b"-") or text.strip(b"+-0123456789.") or len(text) > 24:
        return np.nan
    try:
        return float(text)
    except ValueError:
        return np.nan


class RecordReader:
    """Reads digital values of signals; a second reader opens the file again.

    Args:
        file: the open file, unbuffered.
        header: its header.
        path: the file, for messages.
    """

    def __init__(self, file: BinaryIO, header: EdfHeader, path: Path) -> None:
        self._file, self._header, self._path = file, header, path
        self._buffer = bytearray()

    def read(self, first: int, n_records: int) -> np.ndarray:
        """Bytes of whole records: (n_records, bytes of a record), valid until the next call.

        Raises:
            DataFileError: the file was cut since it was opened, or cannot be read.
        """
        size = self._header.record_bytes
        if len(self._buffer) < n_records * size:
            self._buffer = bytearray(n_records * size)
        view = memoryview(self._buffer)[: n_records * size]
        self._fill(view, self._header.size + first * size)
        return np.frombuffer(view, np.uint8).reshape(n_records, size)

    def cells(self, offset: int, width: int) -> Iterator[bytes]:
        """So many bytes of every record, from an offset in it on."""
        cell = memoryview(bytearray(width))
        for record in range(self._header.n_records):
            self._fill(cell, self._header.size + record * self._header.record_bytes + offset)
            yield bytes(cell)

    def _fill(self, view: memoryview, at: int) -> None:
        try:
            self._file.seek(at)
            done = 0
            while done < len(view):
                count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
                if not count:
                    record = (at + done - self._header.size) // self._header.record_bytes + 1
                    raise DataFileError(
                        f"{self._path}: ends in record {record}; it had {self._header.n_records} when it was opened "
                        "(changed while it was read)"
                    )
                done += count
        except OSError as error:
            raise DataFileError(
                f"{self._path}: cannot be read ({error.strerror or error}); expected {self._header.n_records} records"
            ) from error

    def part(self, record: int, offset: int, size: int) -> np.ndarray:
        """So many bytes of one record, from an offset in it on: (1, size)."""
        data = bytearray(size)
        self._fill(memoryview(data), self._header.size + record * self._header.record_bytes + offset)
        return np.frombuffer(data, np.uint8)[None]


def decode(cells: np.ndarray, bits: int) -> np.ndarray:
    """Digital values of bytes: (n, bits / 8 x samples) uint8 to (n, samples) int16, or int32 of 24 bits."""
    if bits == 16:
        return cells.view("<i2")
    n_records, size = cells.shape
    wide = np.zeros((n_records, size // 3, 4), np.uint8)
    wide[:, :, 1:] = cells.reshape(n_records, size // 3, 3)
    # Shifted down again, the sign comes with it.
    return wide.view("<i4")[:, :, 0] >> 8
