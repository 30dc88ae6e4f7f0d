"""An opened recording: what its file holds and states, and its samples, read in blocks whatever its length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE
from hbaclib.errors import ConfigError, DataFileError, list_some
from hbaclib.platform import available_memory
from hbaclib.recordings.base import LONGEST_DAYS, BaseRecording, check_memory
from hbaclib.recordings.channels import Row, channel_rows, given_channels, given_columns
from hbaclib.recordings.columns import Electrodes, find_electrodes, shown
from hbaclib.recordings.derived import DerivedRecording, Reading
from hbaclib.recordings.edf import EdfSource
from hbaclib.recordings.formats import EDF, PARQUET, format_of
from hbaclib.recordings.found import arrow_source
from hbaclib.recordings.metadata import statements
from hbaclib.recordings.rate import check_times, stated_rate, time_columns
from hbaclib.recordings.source import Source
from hbaclib.recordings.units import MICROVOLTS, find_units, unit_named
from hbaclib.signal.differences import to_differences

BATCH = 1 << 16
"""Samples that are decoded at a time (5 MB as float32)."""
KEPT = 3 * BATCH
"""Samples behind the last one read that need not be decoded again; all of a recording that is no longer."""
_BUFFER = 1 << 20
_SMALL = 1 << 28


@contextmanager
def parquet_errors(path: Path, what: str) -> Iterator[None]:
    """Say of a Parquet file that cannot be read what was expected of it."""
    try:
        yield
    except FileNotFoundError:
        raise DataFileError(f"{path}: no such file, though the table names it") from None
    except MemoryError as error:
        raise DataFileError(f"{path}: does not fit into memory, or is not a whole Parquet file ({error})") from error
    except (OSError, UnicodeError, pa.ArrowException) as error:
        reason = shown((str(error) or type(error).__name__).splitlines()[0])
        raise DataFileError(f"{path}: not a whole Parquet file ({reason}); expected {what}") from error


def open_parquet(path: Path, buffer_size: int) -> pq.ParquetFile:
    """Open a Parquet file for reading in pieces; what is no regular file (a pipe would wait forever) is an OSError.

    Args:
        path: the file.
        buffer_size: bytes that are read ahead of every column.
    """
    # Neither mapped nor fetched ahead: either would hold all of a long file in memory.
    return pq.ParquetFile(
        arrow_source(path), buffer_size=buffer_size, pre_buffer=False, page_checksum_verification=True
    )


class OpenedRecording(BaseRecording):
    """A recording in an open Parquet file; `rate_stated_by` says what in the file states 200 Hz.

    Attributes:
        sources: electrode -> the column that it is read from.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, str] | None = None,
        unit: str | None = None,
        invert: bool = False,
    ) -> None:
        self.path, self._given = Path(path), (columns, unit, invert)
        self._sign = -1 if invert else 1
        given = None if unit is None else unit_named(unit)
        if unit is not None and given is None:
            raise ConfigError(f"unit {unit!r} is unknown; expected {', '.join(MICROVOLTS)}")
        with parquet_errors(self.path, f"{len(EEG_COLUMNS)} columns"):
            self._file = open_parquet(self.path, _BUFFER)
            schema, footer = self._file.schema_arrow, self._file.metadata
            names, self.n_samples = list(schema.names), footer.num_rows
            self._begins = np.cumsum([0, *(footer.row_group(k).num_rows for k in range(footer.num_row_groups))])
        try:
            self._check_length()
            found = find_electrodes(names, self.path, columns)
            _check_types(schema, found, self.path)
            with parquet_errors(self.path, f"{len(EEG_COLUMNS)} columns"):
                stated = statements(schema)
            self.units, notes = find_units(stated, found, given, self.path)
            self.rate_stated_by = self._rate(stated, schema, found)
            self._check_pages(found)
        except BaseException:
            self.close()
            raise
        self.notes = (*found.notes, *notes)
        self.missing = tuple(name for name in EEG_COLUMNS if name not in found.sources)
        self.kind, self.labels, self.montage = "Parquet", tuple(names), "referential, reference not named"
        self.segments = ((0, self.n_samples),)
        self.sources: Mapping[str, str] = found.sources
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._kept: deque[tuple[int, np.ndarray]] = deque(maxlen=KEPT // BATCH)
        self._next = self.n_samples

    def close(self) -> None:
        """Close the file."""
        self._batches = iter(())
        self._file.close()

    def another(self) -> OpenedRecording:
        """The same recording, opened once more: for a second reader, who is elsewhere in it."""
        return OpenedRecording(self.path, *self._given)

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read the electrodes, see `BaseRecording.read`."""
        start, stop = self._span(start, stop)
        check_memory(self.path, stop - start, _SMALL, available_memory)
        values = np.empty((len(EEG_COLUMNS), stop - start), np.float32)
        first = self._kept[0][0] if self._kept else self._next
        group = int(np.searchsorted(self._begins, start, side="right")) - 1
        if start < stop and (start < first or self._begins[group] > self._next):
            self._seek(group)
        for begin, batch in self._kept:
            _put(values, start, begin, batch)
        try:
            while self._next < stop:
                _put(values, start, *self._advance())
        except DataFileError:
            # Whoever reads on begins anew, and is told the same.
            self._kept.clear()
            self._next = self.n_samples
            raise
        return values.T

    def verify(self) -> None:
        """Read the file to its end.

        Raises:
            DataFileError: it is torn, or a value is infinite.
        """
        for _ in self.blocks(BATCH):
            pass

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """Stretches of samples in which any difference is there, by reading all of the recording, once."""
        edges: list[int] = []
        before = False
        for begin, block in zip(range(0, self.n_samples, BATCH), self.blocks(BATCH), strict=True):
            there = ~np.isnan(to_differences(block)).all(axis=1)
            edges += (begin + np.flatnonzero(np.diff(there, prepend=before))).tolist()
            before = bool(there[-1])
        edges += [self.n_samples] * before
        return list(pairwise(edges))[::2]

    def _seek(self, group: int) -> None:
        self._kept.clear()
        self._next = int(self._begins[group])
        names = list(dict.fromkeys(self.sources.values()))
        groups = range(group, len(self._begins) - 1)
        with parquet_errors(self.path, f"{self.n_samples} rows"):
            self._batches = self._file.iter_batches(BATCH, row_groups=groups, columns=names, use_threads=False)

    def _advance(self) -> tuple[int, np.ndarray]:
        """Decode the next batch: its first sample, and (20, n) float32."""
        with parquet_errors(self.path, f"{self.n_samples} rows"):
            # An empty row group may give an empty batch.
            batch = next((batch for batch in self._batches if batch.num_rows), None)
            if batch is None:
                raise DataFileError(f"{self.path}: ends after {self._next} rows; its footer says {self.n_samples}")
            values = np.empty((len(EEG_COLUMNS), batch.num_rows), np.float32)
            values[[EEG_COLUMNS.index(name) for name in self.missing]] = np.nan
            for name, column in self.sources.items():
                factor = self._sign * MICROVOLTS[self.units[name]]
                with np.errstate(over="ignore"):
                    numbers = _numbers(batch.column(column))
                    values[EEG_COLUMNS.index(name)] = numbers if factor == 1 else numbers * np.float64(factor)
        infinite = np.isinf(values)
        if infinite.any():
            row, electrode = np.argwhere(infinite.T)[0]
            raise DataFileError(
                f"{self.path}: column {shown(self.sources[EEG_COLUMNS[electrode]])}, row {self._next + row + 1} "
                f"({int(infinite.sum())} values in {batch.num_rows} rows) is infinite; expected µV or NaN"
            )
        piece = self._next, values
        self._kept.append(piece)
        self._next += batch.num_rows
        return piece

    def _rate(self, stated: Sequence, schema: pa.Schema, found: Electrodes) -> str:
        said = [stated_rate(stated, self.path)]
        with parquet_errors(self.path, f"{self.n_samples} rows"):
            for column in time_columns(schema, found.left_out):
                batches = self._file.iter_batches(BATCH, columns=[column.name], use_threads=False)
                said.append(check_times(column, (batch.column(column.name) for batch in batches), self.path))
        return "; ".join(filter(None, said))

    def _check_length(self) -> None:
        if self.n_samples != self._begins[-1] or (np.diff(self._begins) < 0).any():
            raise DataFileError(f"{self.path}: not a whole Parquet file (its footer contradicts itself on the rows)")
        if not self.n_samples:
            raise DataFileError(f"{self.path}: no rows; expected at least one")
        days = self.seconds / 86_400
        if days > LONGEST_DAYS:
            raise DataFileError(
                f"{self.path}: {self.n_samples} rows, {days:.3g} days at {EEG_RATE} Hz, in a file of "
                f"{self.path.stat().st_size / 1e6:.1f} MB; expected at most {LONGEST_DAYS} days"
            )

    def _check_pages(self, found: Electrodes) -> None:
        """Refuse a file whose columns each are one huge page: a page is decoded as a whole."""
        footer, needed = self._file.metadata, 0
        if 8 * self.n_samples * len(found.sources) <= _SMALL:
            return
        for k in range(footer.num_row_groups):
            chunks = [footer.row_group(k).column(i) for i in range(footer.num_columns)]
            whole = [chunk for chunk in chunks if chunk.path_in_schema in found.sources.values()]
            if sum(chunk.total_uncompressed_size for chunk in whole) > _SMALL:
                needed = max(needed, sum(_page_bytes(self.path, chunk) for chunk in whole))
        if needed > _SMALL and 2 * needed > (free := available_memory()):
            raise DataFileError(
                f"{self.path}: its pages need {2 * needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; "
                "write it anew in row groups of at most 1,000,000 rows"
            )


def open_recording(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    *,
    channels: str | Path | Mapping[str, str] | Sequence[Row] | None = None,
    invert: bool = False,
    ignore_gaps: bool = False,
) -> BaseRecording:
    """Open an EEG file; its samples are read in blocks, so that memory does not grow with its length.

    Args:
        path: EDF, EDF+, BDF or BDF+ in any montage and any rate from 100 to 20,000 Hz; Parquet with a column for each
            electrode, at 200 Hz; with the extra ``formats`` what MNE reads (``.vhdr``, ``.set``, ``.lay``, ...).
        columns: electrode -> column or channel of the file, for names that do not tell.
        unit: ``V``, ``mV``, ``µV`` or ``nV``; None: what the file states, µV where it states none.
        channels: of a file with channels: label -> ``T3-REF``, ``F7-T3`` or "" to leave it out; or the path of such a
            table in CSV (label,electrode,reference). It counts before what the labels say.
        invert: turn the polarity of the electrodes.
        ignore_gaps: read the records of an EDF+ file as if no time lay between them.

    Returns:
        The recording, to be closed or used in ``with``: ``labels``, ``montage``, ``segments``, ``notes``,
        ``read(start, stop)``, ``read_differences(start, stop)``, ``blocks(seconds=600)``; see `BaseRecording`.

    Raises:
        DataFileError: the file is missing or damaged, its header lies, it holds no electrode, or it states a rate or a
            unit that is not read.
        ConfigError: there is no such unit or electrode.
    """
    kind = format_of(path)
    if kind == PARQUET:
        if channels is not None:
            raise ConfigError(f"{path}: channels are of EDF and BDF files; a Parquet file takes columns")
        return OpenedRecording(path, columns, unit, invert)
    if unit is not None and unit_named(unit) is None:
        raise ConfigError(f"unit {unit!r} is unknown; expected {', '.join(MICROVOLTS)}")
    rows = (*given_channels(channels), *given_columns(columns or {}))
    source = open_source(path, kind, ignore_gaps)
    try:
        return DerivedRecording(source, Reading(unit and unit_named(unit), rows, invert))
    except BaseException:
        source.close()
        raise


def open_source(path: str | Path, kind: str, ignore_gaps: bool = False) -> Source:
    """Open the channels of a file, whatever they are named.

    Args:
        path: the file.
        kind: its format, EDF or MNE.
        ignore_gaps: as `open_recording` takes it.

    Raises:
        DataFileError: the file is damaged or its header lies.
    """
    if kind == EDF:
        return EdfSource(path, ignore_gaps)
    from hbaclib.recordings.mne_formats import MneSource

    return MneSource.open(path)


def channel_table(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    channels: str | Path | Mapping[str, str] | Sequence[Row] | None = None,
) -> list[list[str]]:
    """Which channel of a file is read as which electrode against what; of a file without any electrode, too.

    Args:
        path: EDF, BDF, or what MNE reads.
        columns: electrode -> channel, as `open_recording` takes it.
        channels: as `open_recording` takes them.

    Returns:
        A row of label, electrode and reference for each channel, as `hbac check --write-channels` writes them.

    Raises:
        DataFileError: it is a Parquet file, damaged, or lacks a channel that is named.
        ConfigError: there is no such electrode.
    """
    kind = format_of(path)
    if kind == PARQUET:
        raise DataFileError(
            f"{path}: Parquet has columns and no channels, which --columns names; expected EDF or BDF, or a file that "
            "MNE reads"
        )
    rows = (*given_channels(channels), *given_columns(columns or {}))
    with closing(open_source(path, kind)) as source:
        return channel_rows([channel.label for channel in source.channels], rows, Path(path))


def _put(values: np.ndarray, start: int, begin: int, batch: np.ndarray) -> None:
    """Copy what a batch that begins at a sample has of the samples from ``start`` on."""
    first, last = max(start, begin), min(start + values.shape[1], begin + batch.shape[1])
    if first < last:
        values[:, first - start : last - start] = batch[:, first - begin : last - begin]


def _check_types(schema: pa.Schema, found: Electrodes, path: Path) -> None:
    wrong = [
        f"{shown(column)} ({schema.field(column).type})"
        for column in found.sources.values()
        if not _holds_numbers(schema.field(column).type)
    ]
    if wrong:
        raise DataFileError(f"{path}: column {list_some(wrong)} holds no numbers; expected float32")


def _holds_numbers(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )


def _numbers(column: pa.Array) -> np.ndarray:
    """The numbers of a column, NaN where there is none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)


def _page_bytes(path: Path, chunk: pq.ColumnChunkMetaData) -> int:
    """Bytes of the first data page of a column when it is unpacked, as its header says."""
    with open(path, "rb") as file:
        file.seek(chunk.data_page_offset)
        header = file.read(16)
    # Thrift's compact form: field 1 (kind of the page), field 2 (bytes unpacked), each a zigzag number behind 0x15.
    numbers, at = [], 0
    for _ in range(2):
        if at >= len(header) or header[at] != 0x15:
            return 0
        number, shift, at = 0, 0, at + 1
        while at < len(header):
            byte = header[at]
            number, shift, at = number | (byte & 0x7F) << shift, shift + 7, at + 1
            if not byte & 0x80:
                break
        numbers.append(number >> 1)
    return min(numbers[1], chunk.total_uncompressed_size)
