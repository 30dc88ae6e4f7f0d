"""EDF, EDF+, BDF and BDF+ files as a source of samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike

from hbaclib.errors import DataFileError
from hbaclib.recordings.edf_header import FIXED, EdfHeader, EdfSignal, parse_header
from hbaclib.recordings.edf_records import RecordReader, decode, find_onsets, find_stretches
from hbaclib.recordings.source import Channel, Source, Stretch

_PIECE = 1 << 20
"""Bytes of records that are decoded at a time."""
_LARGE = 1 << 24
"""Bytes of a record that is not read as a whole."""


class EdfSource(Source):
    """An open EDF or BDF file.

    Args:
        path: the file.
        ignore_gaps: read its records as if no time lay between them.

    Raises:
        DataFileError: the file cannot be read, or its header or its records contradict themselves.
    """

    def __init__(self, path: str | Path, ignore_gaps: bool = False) -> None:
        self.path, self._ignore_gaps = Path(path), ignore_gaps
        try:
            self._file: BinaryIO = open(self.path, "rb", buffering=0)  # type: ignore[assignment]  # noqa: SIM115
        except OSError as error:
            raise DataFileError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        try:
            self.header = self._parse()
            self._reader = RecordReader(self._file, self.header, self.path)
            self.kind, self.exact = self.header.kind, self.header.bits
            self.channels = tuple(_channel(self.header, signal) for signal in self.header.signals)
            self._find_stretches()
        except BaseException:
            self._file.close()
            raise

    def _parse(self) -> EdfHeader:
        try:
            size = os.fstat(self._file.fileno()).st_size
            data = self._file.read(FIXED)
            # As long as the header says that it is, or less: what it says is compared there.
            n_signals = data[252:256].strip(b"\0 ")
            more = FIXED * int(n_signals) if n_signals.isdigit() else 0
            data += self._file.read(min(more, size)) if more else b""
        except OSError as error:
            raise DataFileError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        return parse_header(data, size, self.path)

    def _find_stretches(self) -> None:
        header = self.header
        notes = list(header.notes)
        onsets, told = find_onsets(self._reader, header)
        notes += told
        whole = (Stretch(0.0, 0, header.n_records),)
        begin = header.begin
        if onsets is None:
            self.stretches = whole
        else:
            begin = begin and begin + timedelta(seconds=float(onsets[0]))
            found = whole if self._ignore_gaps else tuple(find_stretches(onsets, header.record_seconds, self.path))
            self.stretches = found
            if self._ignore_gaps:
                notes.append("gaps ignored: records read as if no time lay between them")
            elif header.kind.endswith("+D") and len(found) == 1:
                notes.append(f"declared {header.kind}, but without gaps")
        self.clock, self.notes = begin, tuple(notes)

    def length(self, stretch: Stretch, channel: int) -> int:
        """Samples that a channel has in a stretch."""
        return stretch.n_records * self.header.signals[channel].samples

    def piece(self, channel: int) -> int:
        """Samples of a channel in about a megabyte of records; of records, unless one is far longer than that."""
        samples = self.header.signals[channel].samples
        if self.header.record_bytes > _LARGE:
            return min(samples, _PIECE // 16)
        return max(1, _PIECE // self.header.record_bytes) * samples

    def rows(self, stretch: Stretch, channels: Sequence[int], first: int, last: int, dtype: DTypeLike) -> np.ndarray:
        """Digital values (n_channels, last - first) of channels of one rate."""
        signals = [self.header.signals[channel] for channel in channels]
        samples = signals[0].samples
        begin, end = first // samples, -(-last // samples)
        if self.header.record_bytes > _LARGE:
            return self._parts(stretch.first, signals, first, last, dtype)
        records = self._reader.read(stretch.first + begin, end - begin)
        values = np.empty((len(signals), end - begin, samples), dtype)
        for row, signal in zip(values, signals, strict=True):
            row[...] = decode(records[:, self._bytes(signal)], self.exact)
        return values.reshape(len(signals), -1)[:, first - begin * samples : last - begin * samples]

    def _parts(self, record: int, signals: Sequence[EdfSignal], first: int, last: int, dtype: DTypeLike) -> np.ndarray:
        """As `rows`, without reading whole records."""
        samples, width = signals[0].samples, self.exact // 8
        values = np.empty((len(signals), last - first), dtype)
        for row, signal in zip(values, signals, strict=True):
            at = first
            while at < last:
                number, inside = divmod(at, samples)
                count = min(samples - inside, last - at)
                cells = self._reader.part(record + number, (signal.offset + inside) * width, count * width)
                row[at - first : at - first + count] = decode(cells, self.exact)[0]
                at += count
        return values

    def digital(self, channel: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Digital values of a channel as the file has them, gaps left out: int16, or int32 of 24 bits.

        Args:
            channel: its number.
            start: first record.
            stop: the record behind the last one; None: to the end.
        """
        stop = self.header.n_records if stop is None else stop
        records = self._reader.read(start, stop - start)
        return decode(records[:, self._bytes(self.header.signals[channel])], self.exact).reshape(-1).copy()

    def _bytes(self, signal: EdfSignal) -> slice:
        width = self.exact // 8
        return slice(width * signal.offset, width * (signal.offset + signal.samples))

    def another(self) -> Self:
        """The file, opened once more."""
        return type(self)(self.path, self._ignore_gaps)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _channel(header: EdfHeader, signal: EdfSignal) -> Channel:
    channel = Channel(signal.label, signal.dimension, header.rate(signal), prefilter=signal.prefilter)
    if signal.annotations:
        return replace(channel, fault="annotations")
    if signal.fault or signal.refusal:
        return replace(channel, fault=signal.fault, refusal=signal.refusal)
    return replace(channel, gain=signal.gain, zero=signal.zero)
