"""The header of EDF, EDF+, BDF and BDF+ files: parsed, repaired where that is safe, refused where it lies.

The fields of the patient and of the recording are never decoded: nothing of them can reach an output.

Source: Kemp et al., EDF (1992), EDF+ (2003), https://www.edfplus.info/specs/; BDF: BioSemi's format page.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from hbaclib.errors import DataFileError, printable

FIXED = 256
"""Bytes of the header's first part, and of each signal's part."""
EDF_MAGIC, BDF_MAGIC = b"0       ", b"\xffBIOSEMI"
ANNOTATION_LABELS = ("EDF Annotations", "BDF Annotations")
_PLAIN = {"", "24BIT", "BIOSEMI"}
_KINDS = {"EDF+C", "EDF+D", "BDF+C", "BDF+D"}
# Name, bytes for each signal, in the order of the file.
_FIELDS = (
    ("label", 16),
    ("transducer", 80),
    ("physical dimension", 8),
    ("physical minimum", 8),
    ("physical maximum", 8),
    ("digital minimum", 8),
    ("digital maximum", 8),
    ("prefilter", 80),
    ("samples per record", 8),
    ("reserved", 32),
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NO_NUMBER = re.compile(r"[^0-9+\-.,eE ]")
_MOST_SIGNALS = 9999
_LARGEST = 1e24
_DEEPEST = 1 << 24
_WHOLE = 1e-5
"""A rate this near to a whole number is that number."""


@dataclass(frozen=True)
class EdfSignal:
    """One signal of a file.

    Attributes:
        label: its name, as the file has it.
        dimension: its unit, as the file has it.
        prefilter: what the file says of its filters.
        samples: samples in a data record.
        offset: samples of a data record that stand before it.
        digital: smallest and greatest digital value.
        physical: the physical values that these mean.
        fault: why it counts as missing; empty where it does not.
        refusal: why the file is refused if this signal is of the EEG; empty where it is sound.
    """

    label: str
    dimension: str
    prefilter: str
    samples: int
    offset: int
    digital: tuple[int, int]
    physical: tuple[float, float]
    fault: str = ""
    refusal: str = ""

    @property
    def annotations(self) -> bool:
        """Whether it holds annotations and no samples."""
        return self.label in ANNOTATION_LABELS

    @property
    def gain(self) -> float:
        """Physical units in one digital one."""
        return (self.physical[1] - self.physical[0]) / (self.digital[1] - self.digital[0])

    @property
    def zero(self) -> float:
        """Physical value of the digital value 0."""
        return self.physical[0] - self.gain * self.digital[0]


@dataclass(frozen=True)
class EdfHeader:
    """What a header says, repaired.

    Attributes:
        bits: 16 (EDF) or 24 (BDF) of a sample.
        kind: ``EDF``, ``EDF+C``, ``EDF+D``, ``BDF``, ``BDF+C`` or ``BDF+D``.
        begin: date and time at which the file says that it begins.
        size: bytes of the header.
        record_seconds: length of a data record.
        n_records: whole data records that the file holds.
        signals: in the file's order.
        notes: what was repaired.
    """

    bits: int
    kind: str
    begin: datetime | None
    size: int
    record_seconds: float
    n_records: int
    signals: tuple[EdfSignal, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def record_bytes(self) -> int:
        """Bytes of a data record."""
        return sum(signal.samples for signal in self.signals) * self.bits // 8

    def rate(self, signal: EdfSignal) -> float:
        """Samples a second of a signal; a rate that is whole but for the header's digits is whole."""
        return _rate(signal.samples, self.record_seconds)


def parse_header(data: bytes, file_bytes: int, path: Path) -> EdfHeader:
    """Read a header.

    Args:
        data: the file's first bytes: all of its header, or all of the file where that is shorter.
        file_bytes: size of the file.
        path: the file, for messages.

    Raises:
        DataFileError: naming field, signal, value found and expected: the header is cut, a number is none, lengths
            contradict each other, there is no record, or there are annotations alone.
    """
    bits = 24 if data.startswith(BDF_MAGIC) else 16
    if len(data) < FIXED:
        raise DataFileError(f"{path}: {len(data)} bytes; expected a header of at least {FIXED}")
    n_signals = _whole(data[252:256], "number of signals", path)
    if not 1 <= n_signals <= _MOST_SIGNALS:
        raise DataFileError(f"{path}: number of signals: found {n_signals}; expected 1 to {_MOST_SIGNALS}")
    size, expected = _whole(data[184:192], "header length", path), FIXED * (n_signals + 1)
    if size != expected:
        raise DataFileError(
            f"{path}: header length: found {size}; expected {expected} (256 bytes for the file and for each of "
            f"{n_signals} signals)"
        )
    if len(data) < size:
        raise DataFileError(f"{path}: {len(data)} bytes; expected a header of {size} ({n_signals} signals)")
    notes = list[str]()
    seconds = _number(data[244:252], "record duration", path)
    if not 0 <= seconds < math.inf:
        raise DataFileError(f"{path}: record duration: found {seconds:g} s; expected more than 0")
    signals = _signals(data[FIXED:size], n_signals, path, notes)
    if all(signal.annotations for signal in signals):
        raise DataFileError(f"{path}: holds annotations and no signals; expected EEG")
    if not seconds:
        raise DataFileError(f"{path}: record duration: found 0 s; expected more than 0, as the file has signals")
    record_bytes = sum(signal.samples for signal in signals) * bits // 8
    if not record_bytes:
        raise DataFileError(f"{path}: samples per record: found 0 for every signal; expected samples")
    n_records = _records(data[236:244], file_bytes - size, record_bytes, seconds, path, notes)
    kind = data[192:197].decode("ascii", "replace").strip("\0 ")
    if kind not in _KINDS:
        reserved = data[192:236].decode("ascii", "replace").strip("\0 ")
        if reserved not in _PLAIN:
            notes.append(
                f"reserved field of the header holds other text than {', '.join(sorted(_KINDS))}; read as "
                f"plain {'EDF' if bits == 16 else 'BDF'}"
            )
        kind = "EDF" if bits == 16 else "BDF"
    return EdfHeader(bits, kind, _begin(data[168:184], notes), size, seconds, n_records, signals, tuple(notes))


def _signals(data: bytes, n_signals: int, path: Path, notes: list[str]) -> tuple[EdfSignal, ...]:
    cells, at = dict[str, list[bytes]](), 0
    for name, width in _FIELDS:
        cells[name] = [data[at + k * width : at + (k + 1) * width] for k in range(n_signals)]
        at += n_signals * width
    signals, offset = list[EdfSignal](), 0
    for k in range(n_signals):
        label = _text(cells["label"][k])
        samples = _whole(cells["samples per record"][k], "samples per record", path, label)
        if samples < 0:
            raise DataFileError(
                f"{path}: samples per record of signal {_shown(label)}: found {samples}; expected 0 or more"
            )
        ends = {
            name: cells[name][k]
            for name in ("digital minimum", "digital maximum", "physical minimum", "physical maximum")
        }
        read = _Range((0, 1), (0.0, 1.0)) if label in ANNOTATION_LABELS else _range(ends, samples, label, path, notes)
        signals.append(
            EdfSignal(
                label,
                _text(cells["physical dimension"][k]),
                _text(cells["prefilter"][k]),
                samples,
                offset,
                read.digital,
                read.physical,
                read.fault,
                read.refusal,
            )
        )
        offset += samples
    return tuple(signals)


@dataclass(frozen=True)
class _Range:
    digital: tuple[int, int]
    physical: tuple[float, float]
    fault: str = ""
    refusal: str = ""


def _range(cells: dict[str, bytes], samples: int, label: str, path: Path, notes: list[str]) -> _Range:
    """Digital and physical range of a signal; one that cannot be used is no fault of the other signals."""
    none = _Range((0, 1), (0.0, 1.0))
    try:
        low, high = (_whole(cells[name], name, path, label) for name in list(cells)[:2])
        bottom, top = (_number(cells[name], name, path, label) for name in list(cells)[2:])
    except DataFileError as error:
        return replace(none, refusal=str(error))
    fault = ""
    if not samples:
        fault = "0 samples per record"
    elif low == high:
        fault = f"digital minimum and maximum are both {low}"
    elif bottom == top:
        fault = f"physical minimum and maximum are both {bottom:g}"
    if fault:
        notes.append(f"signal {_shown(label)} is missing: {fault}")
        return replace(none, fault=fault)
    if max(abs(bottom), abs(top)) > _LARGEST or abs(top - bottom) / abs(high - low) * _DEEPEST > _LARGEST:
        return replace(
            none,
            refusal=f"{path}: physical range of signal {_shown(label)}: found {bottom:g} to {top:g} "
            f"for digital {low} to {high}; expected values below {_LARGEST:g}",
        )
    if low > high:
        notes.append(f"signal {_shown(label)}: digital minimum {low} above maximum {high}; taken as written")
    return _Range((low, high), (bottom, top))


def _records(cell: bytes, available: int, record_bytes: int, seconds: float, path: Path, notes: list[str]) -> int:
    """Whole records that the file holds; its size counts, whatever the header says."""
    stated = _whole(cell, "number of records", path)
    n_records, rest = divmod(max(available, 0), record_bytes)
    if not n_records:
        raise DataFileError(
            f"{path}: 0 records ({available} bytes behind the header; a record takes {record_bytes}); expected at "
            "least one"
        )
    if stated != n_records:
        said = "unknown (-1)" if stated == -1 else str(stated)
        notes.append(f"number of records: the header says {said}, the file holds {n_records}")
    if rest:
        notes.append(f"the last record is incomplete and left out ({seconds * rest / record_bytes:.3g} s)")
    return n_records


def _begin(cell: bytes, notes: list[str]) -> datetime | None:
    """Start of the file, ``dd.mm.yyhh.mm.ss``; years 85 to 99 are of the last century."""
    text = cell.decode("ascii", "replace")
    found = re.fullmatch(r"(\d\d)\D(\d\d)\D(\d\d)(\d\d)\D(\d\d)\D(\d\d)", text)
    if found:
        day, month, year, hour, minute, second = map(int, found.groups())
        try:
            return datetime(year + (1900 if year >= 85 else 2000), month, day, hour, minute, second)
        except ValueError:
            pass
    notes.append("start date or time of the header is unreadable; elapsed time only")
    return None


def _text(cell: bytes) -> str:
    try:
        text = cell.decode("utf-8")
    except UnicodeDecodeError:
        text = cell.decode("latin-1")
    return text.replace("\0", " ").strip()


def _number(cell: bytes, name: str, path: Path, label: str | None = None) -> float:
    text, value = _read_number(cell)
    if not math.isfinite(value):
        raise _fault(path, name, text, "a number", label)
    return value


def _whole(cell: bytes, name: str, path: Path, label: str | None = None) -> int:
    text, value = _read_number(cell)
    if not math.isfinite(value) or value != int(value):
        raise _fault(path, name, text, "a whole number", label)
    return int(value)


def _read_number(cell: bytes) -> tuple[str, float]:
    """The text of a field and its number, NaN where it is none."""
    # Blanks and line ends alone: the other bytes that Python strips may be a sign of which a bit has changed.
    text = cell.decode("latin-1").strip("\0 \t\r\n")
    number = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    return text, float(number) if _NUMBER.fullmatch(number) else math.nan


def _fault(path: Path, name: str, text: str, expected: str, label: str | None) -> DataFileError:
    if label is None:
        # Where a field before it is too long or too short, it holds what is of the patient.
        return DataFileError(f"{path}: {name}: found {masked(text)!r}; expected {expected}")
    return DataFileError(f"{path}: {name} of signal {_shown(label)}: found {_shown(text)!r}; expected {expected}")


def masked(text: str) -> str:
    """A text of which only what numbers are made of is shown, and ``?`` for every other character."""
    return _NO_NUMBER.sub("?", text)


def _shown(text: str) -> str:
    return printable(text, one_line=True)


def _rate(samples: int, seconds: float) -> float:
    rate = samples / seconds
    if not math.isfinite(rate):
        return math.inf
    whole = round(rate)
    return float(whole) if whole and abs(rate - whole) <= _WHOLE * whole else rate
