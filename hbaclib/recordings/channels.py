"""Which channel is which electrode: what its name says, or a user's table; and that table as a file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hbaclib.errors import ConfigError, DataFileError, list_some
from hbaclib.recordings.columns import shown
from hbaclib.recordings.labels import NONE, REFERENCES, UNNAMED, Label, electrode_node, read_labels, reference_node

HEADER = ("label", "electrode", "reference")
"""Columns of a table of channels."""
OPTION = "--channels FILE.csv or --channel LABEL=T3-REF says which channel is which (hbac check --write-channels)"
_LONGEST = 1 << 22


@dataclass(frozen=True)
class Row:
    """What a user says of a channel; an empty electrode leaves it out."""

    label: str
    electrode: str
    reference: str = ""


def read_channel_table(path: str | Path) -> list[Row]:
    """Read a table of channels, as `write_channel_table` makes it.

    Args:
        path: CSV file with the columns label, electrode and reference (which may be lacking).

    Raises:
        ConfigError: it cannot be read, lacks a column, has no rows, or names something that is no electrode.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read(_LONGEST)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{path}: cannot be read ({reason}); expected a table {','.join(HEADER)}") from error
    try:
        table = list(csv.DictReader(text.splitlines(), restval=""))
    except csv.Error as error:
        raise ConfigError(f"{path}: no table in CSV ({error}); expected {','.join(HEADER)}") from error
    names = [name.strip().casefold() for name in (table[0] if table else {}) if isinstance(name, str)]
    if not {"label", "electrode"} <= set(names):
        raise ConfigError(
            f"{path}: found columns {list_some(map(shown, names)) or 'none'}; expected {','.join(HEADER)}"
        )
    rows = []
    for number, cells in enumerate(table):
        row = {str(key).strip().casefold(): value.strip() for key, value in cells.items() if isinstance(value, str)}
        rows.append(
            _checked(Row(row["label"], row["electrode"], row.get("reference", "")), f"{path}, row {number + 1}")
        )
    return rows


def given_channels(channels: str | Path | Mapping[str, str] | Iterable[Row] | None) -> list[Row]:
    """What a caller gives: a table's path, rows, or label -> ``T3-REF``, ``T3``, ``F7-T3``, "" to leave it out.

    Raises:
        ConfigError: as `read_channel_table`.
    """
    if channels is None:
        return []
    if isinstance(channels, str | Path):
        return read_channel_table(channels)
    if isinstance(channels, Mapping):
        rows = []
        for label, meaning in channels.items():
            electrode, _, reference = str(meaning).partition("-")
            rows.append(Row(str(label), electrode.strip(), reference.strip()))
        channels = rows
    return [_checked(row, f"channel {shown(row.label)}") for row in channels]


def given_columns(columns: Mapping[str, str]) -> list[Row]:
    """Electrode -> channel, as a Parquet file takes it, as rows; the reference is what the channel's name ends with.

    Raises:
        ConfigError: something is no electrode.
    """
    rows = []
    for electrode, label in columns.items():
        reference = label.rpartition("-")[2] if "-" in label else ""
        known = reference_node(reference)
        rows.append(_checked(Row(label, electrode, reference if known in REFERENCES.values() else ""), "columns"))
    return rows


def _checked(row: Row, where: str) -> Row:
    if row.electrode and electrode_node(row.electrode) is None:
        raise ConfigError(f"{where}: {shown(row.electrode)!r} is no electrode; expected Fp1, T3, Cz, ..., EKG")
    return row


def name_channels(names: Sequence[str], given: Sequence[Row], path: Path) -> list[Label]:
    """What every channel is: by the user's rows, else by its name.

    Args:
        names: labels of the channels, in the file's order.
        given: rows of the user; the second row of a label is of its second channel.
        path: the file, for messages.

    Raises:
        DataFileError: a row's label is none of the file.
    """
    of_label: dict[str, list[Row]] = {}
    for row in given:
        of_label.setdefault(row.label.strip(), []).append(row)
    if unknown := [label for label in of_label if label not in {name.strip() for name in names}]:
        raise DataFileError(
            f"{path}: no channel {list_some(map(shown, unknown))}; found {list_some(map(shown, names), 40)}"
        )
    labels, seen = read_labels(names), Counter[str]()
    for k, name in enumerate(names):
        rows = of_label.get(name.strip())
        if rows:
            row = rows[min(seen[name], len(rows) - 1)]
            seen[name] += 1
            electrode = electrode_node(row.electrode)
            labels[k] = Label(electrode, reference_node(row.reference)) if electrode else NONE
    return labels


def channel_rows(names: Sequence[str], given: Sequence[Row], path: Path) -> list[list[str]]:
    """The rows of a table of channels, with what was found; whoever edits it says the rest.

    Args:
        names: labels of the channels, in the file's order.
        given: rows of the user.
        path: the file, for messages.
    """
    labels = name_channels(names, given, path)
    return [
        [name, label.anode, "" if label.cathode == UNNAMED or not label.anode else label.cathode.strip("()")]
        for name, label in zip(names, labels, strict=True)
    ]
