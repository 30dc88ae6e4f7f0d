"""Which format a file has, told by its first bytes."""

from __future__ import annotations

from pathlib import Path

from hbaclib.errors import DataFileError, printable
from hbaclib.files import FILE, kind_of
from hbaclib.recordings.edf_header import BDF_MAGIC, EDF_MAGIC, masked
from hbaclib.recordings.found import EDF_ENDINGS, ENDING, MNE_HEADS, NIHON_KOHDEN, check_file

EDF, PARQUET, MNE = "edf", "parquet", "mne"
MNE_ENDINGS = (*MNE_HEADS, NIHON_KOHDEN)
"""Endings of what MNE reads."""
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf": "7-zip",
           b"\x28\xb5\x2f\xfd": "zstd"}  # fmt: skip
_EXPECTED = "an EEG file: EDF, BDF or Parquet"


def format_of(path: str | Path) -> str:
    """The format of a recording's file: EDF (also BDF), PARQUET, or MNE for what MNE reads.

    An EDF or BDF file is one by its first eight bytes, whatever its name.

    Raises:
        DataFileError: it is none of them, compressed, or cannot be read; of what is named as Parquet, whoever opens it
            says so.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if kind_of(path) != FILE:
        if ending in EDF_ENDINGS or ending in MNE_ENDINGS:
            check_file(path, _EXPECTED)
        return PARQUET
    try:
        with open(path, "rb") as file:
            first = file.read(8)
    except OSError as error:
        if ending == ENDING:
            return PARQUET
        raise DataFileError(f"{path}: cannot be read ({error.strerror or error}); expected {_EXPECTED}") from error
    if first in (EDF_MAGIC, BDF_MAGIC):
        return EDF
    if ending == ENDING or (first.startswith(b"PAR1") and ending not in EDF_ENDINGS):
        return PARQUET
    if packed := next((name for magic, name in _PACKED.items() if first.startswith(magic)), ""):
        raise DataFileError(f"{path}: not EDF, BDF or Parquet ({packed}): compressed; unpack it first")
    if ending in MNE_ENDINGS:
        return MNE
    text = first.decode("latin-1")
    # What begins as an EDF file may be one whose first field is too short: the patient's comes next.
    text = masked(text) if first[:1] in (EDF_MAGIC[:1], BDF_MAGIC[:1]) else printable(text, one_line=True)
    begins = f"begins with {text!r}" if first else "begins with nothing: empty"
    hint = " (Parquet, which is read under a name that ends in .parquet)" if first.startswith(b"PAR1") else ""
    raise DataFileError(f"{path}: not EDF, BDF or Parquet ({begins}){hint}; expected {_EXPECTED}")
