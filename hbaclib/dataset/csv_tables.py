"""The one reader of CSV files: what is not a table of as many fields in every row is refused, by name and row.

Readers that guess take a field too many for the rows' names and shift all columns, or drop what they cannot place.
Here every cell is read as text; who knows what a column must hold turns it into numbers (`hbaclib.dataset.cells`),
with the spelling at hand for the message.
"""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.columns import reorder

_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}
_SHOWN = 8
_OTHER_FILES = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a file compressed by gzip",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"BZh": "a file compressed by bzip2",
    b"\xfd7zXZ": "a file compressed by xz",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of the old form",
    b"%PDF": "a PDF document",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
    b"{": "JSON",
    b"[": "JSON",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}


@dataclass(frozen=True)
class TextTable:
    """A CSV file as text.

    Attributes:
        path: the file.
        cells: one column of strings per expected name, in the expected order; spaces around a cell are gone.
        note: that columns were reordered or left out; None where they are as expected.
    """

    path: Path
    cells: pa.Table
    note: str | None


def read_text_csv(path: str | Path, columns: Sequence[str]) -> TextTable:
    """Read a comma-separated file, every cell as text.

    Args:
        path: the file: UTF-8, with or without a byte-order mark; lines may end in any of the three ways; fields may be
            quoted. Lines without a character are no rows.
        columns: names that the header must hold.

    Returns:
        The cells of these columns.

    Raises:
        DataFileError: the file is missing, no regular file, of another format, encoding or separator, empty, without
            rows, lacks a column or has one twice, or rows have too many or too few fields (naming them; 1 is the first
            row below the header).
    """
    path = Path(path)
    expected = f"expected the columns {', '.join(columns)} and at least one row"
    content = _content(path, expected)
    _refuse_other_separators(path, content, columns)
    header, table = (_quoted_cells if b'"' in content else _plain_cells)(path, content)
    if not header:
        raise DataFileError(f"{path}: the file is empty (0 bytes or no header); {expected}")
    if not table.num_rows:
        raise DataFileError(f"{path}: a header and no rows; {expected}")
    note = reorder(header, columns, path)
    chosen = [table.column(header.index(name)) for name in columns]
    if b" " in content or b"\t" in content:
        chosen = [pc.utf8_trim_whitespace(column) for column in chosen]
    return TextTable(path, pa.table(chosen, names=list(columns)), note)


def csv_columns(path: str | Path) -> list[str]:
    """Names in the header of a CSV file; errors as of `read_text_csv`, but rows are not looked at."""
    content = _content(Path(path), "expected a header")
    return _column_names(next(_rows(Path(path), content), []))


def read_typed_csv(path: str | Path, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a table that the program wrote: the form is held as by `read_text_csv`, the types are as pandas finds them.

    Args:
        path: the file.
        columns: names that the header must hold; further ones are kept.
        **options: of `pandas.read_csv`.

    Raises:
        DataFileError: as for `read_text_csv`.
    """
    path = Path(path)
    read_text_csv(path, columns)
    return pd.read_csv(path, index_col=False, **options)


def _content(path: Path, expected: str) -> bytes:
    """The bytes of a file that may be CSV, without its byte-order mark."""
    try:
        mode = path.stat().st_mode  # before it is opened: a pipe would be waited for
        if stat.S_ISDIR(mode):
            raise DataFileError(f"{path}: a folder; {expected}, in a file")
        if not stat.S_ISREG(mode):
            raise DataFileError(f"{path}: no regular file; {expected}")
        with open(path, "rb") as file:
            _refuse_other_files(path, file.read(64), expected)
            file.seek(0)
            content = file.read()
    except DataFileError:
        raise
    except FileNotFoundError:
        raise DataFileError(f"{path}: no such file; {expected}") from None
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise DataFileError(f"{path}: cannot be read ({reason}); {expected}") from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    if (place := content.find(b"\0")) >= 0:
        kind = "text in UTF-16 without a mark" if content[:64].count(b"\0") > 8 else "a NUL byte"
        raise DataFileError(f"{path}: {kind} in {_row_at(content, place)}; expected text in UTF-8")
    try:
        if not content.isascii():
            content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataFileError(
            f"{path}: byte 0x{content[error.start]:02x} in {_row_at(content, error.start)} is not UTF-8 (Latin-1 or "
            "Windows-1252?); save the table as UTF-8"
        ) from None
    return content


def _refuse_other_files(path: Path, head: bytes, expected: str) -> None:
    lowered = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for begin, what in _OTHER_FILES.items():
        if head.startswith(begin) or (begin.isascii() and begin[:1] in b"<{[v" and lowered.startswith(begin)):
            raise DataFileError(f"{path}: {what}, not a CSV file in UTF-8; {expected}")


def _row_at(content: bytes, place: int) -> str:
    rows = len(re.findall(rb"\r\n|\r|\n", content[:place]))
    return f"row {rows}" if rows else "the header"


def _lines(content: bytes) -> list[bytes]:
    """The lines that hold anything, of a file without quoted fields."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [line for line in content.split(b"\n") if line.strip()]


def _rows(path: Path, content: bytes) -> Iterator[list[str]]:
    """Header and rows of a file with quoted fields."""
    reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    number = -1
    try:
        for row in reader:
            if len(row) > 1 or any(field.strip() for field in row):
                number += 1
                yield row
    except csv.Error as error:
        what = "a quotation mark that is never closed" if "unexpected end" in str(error) else str(error)
        where = f"row {number + 1}" if number >= 0 else "the header"
        raise DataFileError(f"{path}: {where}: {what}; expected comma-separated fields") from None


def _column_names(header: Sequence[str]) -> list[str]:
    """Names that a message can show."""
    names = map(str.strip, header)
    return [(name if name.isprintable() else ascii(name)) or f"Unnamed: {place}" for place, name in enumerate(names)]


def _refuse_other_separators(path: Path, content: bytes, columns: Sequence[str]) -> None:
    head = content.lstrip().partition(b"\n")[0].partition(b"\r")[0].decode("utf-8")

    def held(separator: str) -> int:
        return len({part.strip(" \"'") for part in head.split(separator)} & set(columns))

    for separator, name in _SEPARATORS.items():
        if separator in head and held(separator) > held(","):
            raise DataFileError(f"{path}: separated by {name}, expected ','")


def _refuse_other_lengths(path: Path, lengths: list[int], texts: Sequence[str], header: list[str]) -> None:
    wrong = [number for number, length in enumerate(lengths) if length != len(header)]
    if not wrong:
        return
    faults = []
    for number in wrong[:_SHOWN]:
        signs = [name for sign, name in _SEPARATORS.items() if texts[number].count(sign) == len(header) - 1 > 0]
        hint = f" (separated by {signs[0]}?)" if signs else ""
        plural = "" if lengths[number] == 1 else "s"
        faults.append(f"row {number + 1}: {lengths[number]} field{plural}, expected {len(header)}{hint}")
    more = [f"and {len(wrong) - _SHOWN} more such rows of {len(lengths)}"] if len(wrong) > _SHOWN else []
    names = list_some(header, 20)
    raise DataFileError(
        f"{path}: (rows are counted from 1 below the header {names})\n  " + "\n  ".join([*faults, *more])
    )


def _quoted_cells(path: Path, content: bytes) -> tuple[list[str], pa.Table]:
    """Header and cells of a file with quoted fields; columns are named by their place."""
    rows = list(_rows(path, content))
    if not rows:
        return [], pa.table([], [])
    header, rows = _column_names(rows[0]), rows[1:]
    _refuse_other_lengths(path, [len(row) for row in rows], [",".join(row) for row in rows], header)
    places = range(len(header))
    return header, pa.table(
        [pa.array([row[place] for row in rows], pa.string()) for place in places], [*map(str, places)]
    )


def _plain_cells(path: Path, content: bytes) -> tuple[list[str], pa.Table]:
    """Header and cells of a file without quoted fields; columns are named by their place."""
    lines = _lines(content)
    if not lines:
        return [], pa.table([], [])
    header, lines = _column_names(lines[0].decode("utf-8").split(",")), lines[1:]
    lengths = [line.count(b",") + 1 for line in lines]
    if set(lengths) - {len(header)}:
        _refuse_other_lengths(path, lengths, [line.decode("utf-8") for line in lines], header)
    places = [str(place) for place in range(len(header))]
    if not lines:
        return header, pa.table([pa.array([], pa.string()) for _ in places], places)
    return header, pa.csv.read_csv(
        pa.BufferReader(b"\n".join(lines)),
        # A row must fit into a block.
        pa.csv.ReadOptions(column_names=places, block_size=max(1 << 22, 2 * max(map(len, lines)))),
        pa.csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False),
    )
