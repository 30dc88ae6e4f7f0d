"""A recording of channels in any montage, unit and rate: what is asked of it is derived from them, block by block."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE
from hbaclib.errors import DataFileError, list_some
from hbaclib.platform import available_memory
from hbaclib.recordings.amplitude import amplitude_fault
from hbaclib.recordings.base import LONGEST_DAYS, BaseRecording, check_memory
from hbaclib.recordings.channel_facts import channel_notes, channel_units, sound_channels
from hbaclib.recordings.channels import OPTION, Row, channel_rows, name_channels
from hbaclib.recordings.columns import shown
from hbaclib.recordings.derivation import Derivation, Edge, Terms, derive
from hbaclib.recordings.labels import EKG
from hbaclib.recordings.resampling import Resampler
from hbaclib.recordings.source import Source, Stretch
from hbaclib.recordings.stuck import Stuck, of_channels, stuck_rows

_SMALL = 1 << 28


@dataclass(frozen=True)
class Reading:
    """How a caller wants a file read.

    Attributes:
        unit: of the EEG channels, whatever the file says; None: what it says.
        channels: which channel is which, whatever their names say.
        invert: whether the polarity is turned.
    """

    unit: str | None = None
    channels: tuple[Row, ...] = ()
    invert: bool = False


class DerivedRecording(BaseRecording):
    """A recording whose electrodes and differences are combinations of a file's channels.

    Args:
        source: the open file; it is closed with the recording.
        reading: how it is read.

    Raises:
        DataFileError: no channel is an electrode's, one that is cannot be read, or all have rates beyond 100 to
            20,000 Hz.
    """

    def __init__(self, source: Source, reading: Reading) -> None:
        self.source, self._reading, self.path = source, reading, source.path
        self.kind, self.clock = source.kind, source.clock
        self.labels = tuple(shown(channel.label) for channel in source.channels)
        self._names = name_channels([channel.label for channel in source.channels], reading.channels, self.path)
        edges, slow = sound_channels(source, self._names, self.path)
        hearts = [edge for edge in edges if edge.anode == EKG]
        scalp = _with_flat([edge for edge in edges if edge.anode != EKG], source)
        if not any(name in EEG_COLUMNS for edge in scalp for name in (edge.anode, edge.cathode)):
            raise DataFileError(
                f"{self.path}: no channel is an electrode's: found {list_some(self.labels, 8)}; expected names as "
                f"Fp1, T7-P7, EEG C3-Ref; {OPTION}"
            )
        self.derivation: Derivation = derive(scalp, hearts)
        self._edges = [edge for edge in scalp if edge.channel not in self.derivation.unused]
        self.missing, self.neutral = self.derivation.missing, self.derivation.neutral
        self.montage, self.montage_fault = self.derivation.montage, self.derivation.fault
        self._factors, self.units, unit_notes = channel_units(source, edges, reading.unit)
        if reading.invert:
            self._factors = {channel: -factor for channel, factor in self._factors.items()}
        rates = [source.channels[edge.channel].rate for edge in scalp]
        self.rate = max(set(rates), key=lambda rate: (rates.count(rate), rate))
        self.rate_stated_by = "header"
        self._place_stretches(next(edge.channel for edge in scalp if source.channels[edge.channel].rate == self.rate))
        more = channel_notes(source, self._names, self.derivation, slow)
        self.notes = (*source.notes, *more, *unit_notes, *(["polarity turned"] if reading.invert else []))

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def another(self) -> Self:
        """The same recording, opened once more: for a second reader, who is elsewhere in it."""
        source = self.source.another()
        try:
            return type(self)(source, self._reading)
        except BaseException:
            source.close()
            raise

    def verify(self) -> None:
        """Look whether the amplitude of the first ten minutes is one of an EEG in the stated unit."""
        if fault := amplitude_fault(self):
            raise DataFileError(f"{self.path}: {fault}")

    def channel_table(self) -> list[list[str]]:
        """Rows of a table of channels, as `hbac check --write-channels` writes it."""
        names = [channel.label for channel in self.source.channels]
        return channel_rows(names, self._reading.channels, self.path)

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read the electrodes, see `BaseRecording.read`."""
        return self._read(self._electrodes, start, stop)

    def read_differences(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Read the differences of electrodes that the networks see, see `BaseRecording.read_differences`."""
        return self._read(self._differences, start, stop)

    def read_judged(self, start: int, stop: int, size: int) -> tuple[np.ndarray, list[Stuck]]:
        """Read the differences, and which channels are stuck, see `BaseRecording.read_judged`."""
        values = self.read_differences(start, stop)
        return values, [self._stuck(at, min(at + size, stop)) for at in range(start, stop, size)]

    def _stuck(self, start: int, stop: int) -> Stuck:
        """Judge the channels by what the file holds of them, at their own rates."""
        faults = dict[int, str]()
        groups: dict[float, list[int]] = {}
        for edge in self._edges:
            groups.setdefault(self.source.channels[edge.channel].rate, []).append(edge.channel)
        near = range(
            bisect_right(self.segments, start, key=lambda segment: segment[1]),
            bisect_left(self.segments, stop, key=lambda segment: segment[0]),
        )
        for number in near:
            stretch, (begin, end) = self.source.stretches[number], self.segments[number]
            for rate, group in groups.items():
                length = self.source.length(stretch, group[0])
                first, last = (round((at - begin) * rate / EEG_RATE) for at in (max(start, begin), min(stop, end)))
                first, last = min(first, length), min(last, length)
                if first < last:
                    rows = self.source.rows(stretch, group, first, last, np.float32)
                    found = zip(group, stuck_rows(rows, rate), strict=True)
                    faults.update({channel: fault for channel, fault in found if fault})
        return of_channels(faults, self._edges, self.derivation.absent, self.derivation.differences)

    @cached_property
    def _electrodes(self) -> _Combinations:
        # An electrode's offset may be a thousand times its EEG.
        return self._combinations(self.derivation.electrodes, np.float64)

    @cached_property
    def _differences(self) -> _Combinations:
        return self._combinations(self.derivation.differences, np.float32)

    def _combinations(self, terms: Sequence[Terms], dtype: DTypeLike) -> _Combinations:
        channels = self.source.channels
        scales = {channel: factor * channels[channel].gain for channel, factor in self._factors.items()}
        zeros = {channel: factor * channels[channel].zero for channel, factor in self._factors.items()}
        rates = {channel: channels[channel].rate for channel in self._factors}
        return _Combinations(terms, scales, zeros, rates, dtype, self.source.exact)

    def _place_stretches(self, channel: int) -> None:
        """Give every stretch its place on the grid of 200 Hz."""
        resampler = Resampler(self.rate)
        found = list[tuple[int, int]]()
        for stretch in self.source.stretches:
            start = round(stretch.onset * EEG_RATE)
            length = resampler.length(self.source.length(stretch, channel))
            if found and start < found[-1][1]:
                # A clock that was set back, or rounding: the later stretch says the time.
                found[-1] = found[-1][0], max(start, found[-1][0])
                start = max(start, found[-1][1])
            found.append((start, start + length))
        self.segments, self.n_samples = tuple(found), found[-1][1]
        if self.seconds > LONGEST_DAYS * 86_400:
            raise DataFileError(
                f"{self.path}: {self.seconds / 86_400:.3g} days from its first record to its last; expected at most "
                f"{LONGEST_DAYS} days"
            )

    def _read(self, wanted: _Combinations, start: int, stop: int | None) -> np.ndarray:
        start, stop = self._span(start, stop)
        check_memory(self.path, stop - start, _SMALL, available_memory)
        values = np.full((len(wanted.terms), stop - start), np.nan, np.float32)
        for stretch, (begin, end) in zip(self.source.stretches, self.segments, strict=True):
            first, last = max(start, begin), min(stop, end)
            if first < last:
                part = values[:, first - start : last - start]
                wanted.put(part, self.source, stretch, first - begin)
        return values.T


class _Combinations:
    """Combinations of channels at 200 Hz, for one stretch after the other."""

    def __init__(
        self,
        terms: Sequence[Terms],
        scales: Mapping[int, float],
        zeros: Mapping[int, float],
        rates: Mapping[int, float],
        dtype: DTypeLike,
        bits: int,
    ) -> None:
        self.terms = terms
        used = sorted({channel for row in terms for channel, _ in row})
        self._of_rate = {rate: [one for one in used if rates[one] == rate] for rate in {rates[one] for one in used}}
        place = {channel: k for k, channel in enumerate(one for rate in self._of_rate for one in self._of_rate[rate])}
        self._live = [k for k, row in enumerate(terms) if row]
        self._rows = [[(place[channel], weight) for channel, weight in terms[k]] for k in self._live]
        self._sums = _sums(terms)
        self._made = [number for number, k in enumerate(self._live) if k not in self._sums]
        self._channels = [channel for group in self._of_rate.values() for channel in group]
        self._scales = np.array([scales[channel] for channel in self._channels])
        self._zeros = [sum(weight * zeros[channel] for channel, weight in terms[k]) for k in self._live]
        # Of one scale, whole numbers are combined, which is exact, and scaled at the end.
        self._common = float(self._scales[0]) if len(set(self._scales.tolist())) == 1 else None
        fine = bits > 16 and self._common is None
        self._dtype = np.float64 if fine or len(self._of_rate) > 1 else dtype

    def put(self, values: np.ndarray, source: Source, stretch: Stretch, start: int) -> None:
        """Write the combinations of a stretch, from a sample at 200 Hz on, into (n_rows, n_samples) float32."""
        if not self._channels:
            return
        resamplers = {rate: Resampler(rate) for rate in self._of_rate}
        rate = max(resamplers)
        piece = max(1, source.piece(self._of_rate[rate][0]) * resamplers[rate].up // resamplers[rate].down)
        tile = resamplers[rate].tile
        piece = max(tile, piece // tile * tile)
        at = 0
        while at < values.shape[1]:
            # Pieces end where a product of the resampling does, and none is made twice.
            end = min(values.shape[1], (start + at) // piece * piece + piece - start)
            part, span = values[:, at:end], (start + at, start + end)
            at = end
            if len(resamplers) == 1:
                self._one_rate(part, source, stretch, resamplers[rate], span)
            else:
                self._several_rates(part, source, stretch, resamplers, span)

    def _one_rate(
        self, values: np.ndarray, source: Source, stretch: Stretch, resampler: Resampler, span: tuple[int, int]
    ) -> None:
        """Combine, then resample."""
        # Where nothing is resampled and every row is wanted, no row is written twice.
        straight = values if resampler.up == resampler.down and len(self._live) == len(values) else None

        def read(first: int, last: int) -> np.ndarray:
            rows = source.rows(stretch, self._channels, first, last, self._dtype)
            if straight is not None:
                return self._combine(straight, rows, range(len(self._live)))
            return self._combine(np.empty((len(self._made), last - first), self._dtype), rows, self._made)

        found = resampler.take(read, source.length(stretch, self._channels[0]), *span)
        if straight is None:
            for row, number in zip(found, self._made, strict=True):
                values[self._live[number]] = row
            for row, (one, other) in self._sums.items():
                np.add(values[one], values[other], out=values[row])

    def _several_rates(
        self,
        values: np.ndarray,
        source: Source,
        stretch: Stretch,
        resamplers: Mapping[float, Resampler],
        span: tuple[int, int],
    ) -> None:
        """Resample, then combine."""

        def reader(group: list[int]) -> Callable[[int, int], np.ndarray]:
            return lambda first, last: source.rows(stretch, group, first, last, self._dtype)

        parts = [
            resamplers[rate].take(reader(group), source.length(stretch, group[0]), *span)
            for rate, group in self._of_rate.items()
        ]
        into = np.empty((len(self._live), values.shape[1]), self._dtype)
        values[self._live] = self._combine(into, np.concatenate(parts), range(len(self._live)))

    def _combine(self, into: np.ndarray, rows: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
        """Stored values of the channels to the combinations of these numbers in µV."""
        if self._common is None:
            rows *= self._scales[:, None].astype(rows.dtype)
        scale = 1.0 if self._common is None else self._common
        for out, number in zip(into, wanted, strict=True):
            row, zero = self._rows[number], self._zeros[number]
            _sum(out, rows, row)
            if scale != 1:
                out *= out.dtype.type(scale)
            if zero:
                out += out.dtype.type(zero)
        return into


def _sums(terms: Sequence[Terms]) -> dict[int, tuple[int, int]]:
    """Combinations that are the sum of two others, as a raw signal is of two pairs: these need not be resampled."""
    found = dict[int, tuple[int, int]]()
    for row, wanted in enumerate(terms):
        for one, other in combinations(range(row), 2):
            if not wanted or one in found or other in found or not (terms[one] and terms[other]):
                continue
            total = Counter(dict(terms[one]))
            total.update(dict(terms[other]))
            if {channel: weight for channel, weight in total.items() if weight} == dict(wanted):
                found[row] = one, other
                break
    return found


def _sum(out: np.ndarray, rows: np.ndarray, terms: Sequence[tuple[int, float]]) -> None:
    """A weighted sum of rows, term by term: of the same bits in pieces and in the whole."""
    (first, weight), rest = terms[0], terms[1:]
    if weight == 1 and rest and rest[0][1] == -1:
        np.subtract(rows[first], rows[rest[0][0]], out=out, casting="same_kind")
        rest = rest[1:]
    elif weight == -1 and rest and rest[0][1] == 1:
        np.subtract(rows[rest[0][0]], rows[first], out=out, casting="same_kind")
        rest = rest[1:]
    else:
        np.multiply(rows[first], rows.dtype.type(weight), out=out, casting="same_kind")
    for number, weight in rest:
        if weight in (1, -1):
            (np.add if weight > 0 else np.subtract)(out, rows[number], out=out, casting="same_kind")
        else:
            out += (rows[number] * rows.dtype.type(weight)).astype(out.dtype, copy=False)


def _with_flat(edges: list[Edge], source: Source) -> list[Edge]:
    """Say of channels that repeat another one whether they are flat."""
    nodes = [frozenset((edge.anode, edge.cathode)) for edge in edges]
    repeated = {pair for pair in nodes if nodes.count(pair) > 1}
    return [
        Edge(edge.channel, edge.anode, edge.cathode, source.is_flat(edge.channel)) if pair in repeated else edge
        for edge, pair in zip(edges, nodes, strict=True)
    ]
