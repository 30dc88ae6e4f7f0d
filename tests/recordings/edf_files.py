"""EDF and BDF files of every kind, byte by byte: for what no package writes, gaps, other ends and lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hbaclib.conventions import EEG_COLUMNS

LABELS = tuple(f"EEG {name}-REF" for name in EEG_COLUMNS)
MARK = "X X X X"
FIELDS = {"label": 16, "transducer": 80, "unit": 8, "pmin": 8, "pmax": 8, "dmin": 8, "dmax": 8, "prefilter": 80,
          "samples": 8, "reserved": 32}  # fmt: skip
RANGE16, RANGE24 = (-32768, 32767), (-8388608, 8388608)
"""Digital ends; that of 24 bits is one off, which makes numbers of eight digits that give a round gain."""


def noise(n_samples: int, n_channels: int = len(EEG_COLUMNS), seed: int = 0, size: float = 300.0) -> np.ndarray:
    """Digital values (n_samples, n_channels): 0.1 µV each, so 30 µV."""
    return np.random.default_rng(seed).normal(0, size, (n_samples, n_channels)).round().astype(np.int32)


def write_edf(
    path: Path,
    values: np.ndarray | Sequence[np.ndarray] | None = None,
    labels: Sequence[str] = LABELS,
    *,
    rate: float | Sequence[float] = 200,
    record: float = 1.0,
    bits: int = 16,
    gain: float | Sequence[float] = 0.1,
    unit: str | Sequence[str] | bytes = "uV",
    onsets: Sequence[float | None] | None = None,
    kind: str | None = None,
    start: tuple[str, str] = ("02.03.16", "23.59.58"),
    n_records: int | None = None,
    fields: Mapping[str, str | bytes] | None = None,
    signal_fields: Mapping[tuple[int, str], str | bytes] | None = None,
    patient: str = MARK,
    recording: str = f"Startdate {MARK}",
    annotations: Mapping[int, str] | None = None,
    tail: bytes = b"",
) -> Path:
    """Write a file.

    Args:
        path: the file.
        values: digital values (n_samples, n_channels), or an array for each channel; 60 s of noise without.
        labels: of the channels.
        rate: of all channels or of each.
        record: seconds of a record.
        bits: 16 or 24.
        gain: units in a digital step, of all channels or of each; physical minimum and maximum follow.
        unit: of all channels or of each.
        onsets: of the records, which makes it EDF+D and adds an annotation signal; None of one: no readable onset.
        kind: the reserved field, in the place of what follows from the rest.
        start: date and time.
        n_records: what the header says of them.
        fields: fields of the fixed part, by name, in the place of what is right.
        signal_fields: (channel, name) -> field of a signal.
        patient: field of the patient.
        recording: field of the recording.
        annotations: record -> text in it.
        tail: bytes behind the last record.
    """
    n = len(labels)
    rates = [rate] * n if isinstance(rate, int | float) else list(rate)
    samples = [round(one * record) for one in rates]
    if values is None:
        values = noise(60 * samples[0] if record == 1 else round(60 * rates[0]), n)
    columns = list(values.T) if isinstance(values, np.ndarray) else list(values)
    count = len(columns[0]) // samples[0]
    low, high = RANGE16 if bits == 16 else RANGE24
    gains = [gain] * n if isinstance(gain, int | float) else list(gain)
    units = [unit] * n if isinstance(unit, str | bytes) else list(unit)
    rows = [
        {"label": label, "transducer": "", "unit": units[k], "pmin": _number(low * gains[k]),
         "pmax": _number(high * gains[k]), "dmin": low, "dmax": high, "prefilter": "", "samples": samples[k],
         "reserved": ""}
        for k, label in enumerate(labels)
    ]  # fmt: skip
    width = bits // 8
    note_bytes = 60 if onsets is not None else 0
    if onsets is not None:
        rows.append({"label": f"{'EDF' if bits == 16 else 'BDF'} Annotations", "transducer": "", "unit": "",
                     "pmin": -1, "pmax": 1, "dmin": low, "dmax": high, "prefilter": "",
                     "samples": note_bytes // width, "reserved": ""})  # fmt: skip
    for (channel, name), cell in (signal_fields or {}).items():
        rows[channel][name] = cell
    default = ("EDF+D" if bits == 16 else "BDF+D") if onsets is not None else "" if bits == 16 else "24BIT"
    fixed = {
        "version": "0" if bits == 16 else b"\xffBIOSEMI", "patient": patient, "recording": recording, "date": start[0],
        "time": start[1], "size": 256 * (len(rows) + 1), "kind": default if kind is None else kind,
        "n_records": count if n_records is None else n_records, "record": f"{record:.8g}"[:8], "n_signals": len(rows),
    } | dict(fields or {})  # fmt: skip
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
    header = b"".join(_cell(cell, size) for cell, size in zip(fixed.values(), widths, strict=True))
    for name, size in FIELDS.items():
        header += b"".join(_cell(row[name], size) for row in rows)
    parts = [header]
    for k in range(count):
        for column, size in zip(columns, samples, strict=True):
            piece = np.asarray(column[k * size : (k + 1) * size]).astype("<i4")
            parts.append(piece.astype("<i2").tobytes() if width == 2 else
                         piece.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())  # fmt: skip
        if onsets is not None:
            said = b"" if onsets[k] is None else f"+{onsets[k]:.9g}\x14\x14\0".encode()
            if annotations and k in annotations:
                said += f"+{onsets[k]:.9g}\x14{annotations[k]}\x14\0".encode("utf-8", "surrogateescape")
            parts.append(said.ljust(note_bytes, b"\0"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts) + tail)
    return path


def _number(value: float) -> str:
    """As many digits as eight characters hold."""
    texts = [f"{value:.{digits}{form}}".replace("e-0", "e-").replace("e+0", "e") for digits in range(8, 0, -1)
             for form in "ge"]  # fmt: skip
    return min((text for text in texts if len(text) <= 8), key=lambda text: abs(float(text) - value))


def _cell(value: object, size: int) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode("latin-1")
    assert len(data) <= size, (value, size)
    return data.ljust(size, b" ")
