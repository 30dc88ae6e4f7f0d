"""Columns are found by name, whatever their order in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hbaclib.conventions import CHAINS, EEG_COLUMNS
from hbaclib.errors import DataFileError, list_some, printable
from hbaclib.recordings.labels import EKG, EKG_NAMES, ELECTRODES, REFERENCES, UNNAMED, reference_node

NEEDED = frozenset(name for chain in CHAINS.values() for name in chain)
"""Electrodes that the networks see; without the others a recording can be read."""

_ELECTRODE: dict[str, str] = {
    **{name: node for name, node in ELECTRODES.items() if node in EEG_COLUMNS},
    **dict.fromkeys(EKG_NAMES, EKG),
}
_LABEL = re.compile(
    rf"(?:(?:eeg|pol)[\s_.:\-]*)?(?P<electrode>{'|'.join(sorted(_ELECTRODE, key=len, reverse=True))})"
    r"(?:[\s_.:/\-–—]+(?P<reference>[^\[(]*?))?[\s_.]*(?:[\[(]\s*(?P<unit>[^\])]*?)\s*[\])])?",
    re.IGNORECASE,
)
"""``Fp1``, ``EEG FP1-REF``, ``fp1_le``, ``T7 [µV]``: which electrode, against what, in which unit."""

OPTION = '--columns "Fp1=NAME,F3=NAME,..." (or a TOML file of such lines) says which column is which'


@dataclass(frozen=True)
class Electrodes:
    """Where a file has the electrodes.

    Attributes:
        sources: electrode -> column of the file, in the order of EEG_COLUMNS; without those that the file lacks.
        units: electrode -> unit that its column's name states (``Fp1 [mV]``), where one does.
        left_out: columns of the file that are no electrode's.
        notes: what a reader should know: other names, another order, columns that are missing or left out.
    """

    sources: dict[str, str]
    units: dict[str, str]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def reorder(found: Sequence[str], expected: Sequence[str], path: Path) -> str | None:
    """Compare column names with the expected ones.

    Returns:
        None where they are the same, else a note that they have another order or that further ones are left out.

    Raises:
        DataFileError: columns are missing or repeated.
    """
    if list(found) == list(expected):
        return None
    missing = [name for name in expected if name not in found]
    unknown = [shown(name) for name in found if name not in expected]
    if missing:
        hint = f"; not expected: {list_some(unknown)}" if unknown else ""
        raise DataFileError(
            f"{path}: column {list_some(missing)} missing{hint}; "
            f"expected {len(expected)} columns: {list_some(expected, 20)}"
        )
    repeated = [name for name in expected if list(found).count(name) > 1]
    if repeated:
        raise DataFileError(f"{path}: column {list_some(repeated)} occurs more than once")
    if unknown:
        return f"{path}: columns not expected and left out: {list_some(unknown)}"
    return f"{path}: {_another_order(found)}"


def find_electrodes(found: Sequence[str], path: Path, given: Mapping[str, str] | None = None) -> Electrodes:
    """Find the columns of the electrodes.

    Other names of an electrode are read: T7 T8 P7 P8 for T3 T4 T5 T6, any case, with ``EEG`` before and a reference
    behind. An electrode that no network sees (Fz, Cz, Pz, EKG) may be missing.

    Args:
        found: names of the file's columns.
        path: the file, for messages.
        given: electrode -> column, for columns whose names do not tell.

    Raises:
        DataFileError: an electrode has no column or several, or a chain has electrodes against different references.
    """
    if tuple(found) == EEG_COLUMNS and not given:
        return Electrodes({name: name for name in EEG_COLUMNS}, {}, (), ())
    columns: dict[str, list[str]] = {name: [column] for name, column in _given(found, path, given or {}).items()}
    taken = {column for several in columns.values() for column in several}
    units, references = dict[str, str](), dict[str, str]()
    fixed = frozenset(columns)
    for column in found:
        label = _matched(column)
        if label is None or column in taken or (electrode := _ELECTRODE[label["electrode"].casefold()]) in fixed:
            continue
        columns.setdefault(electrode, []).append(column)
        references[electrode] = reference_node(label["reference"] or "")
        if label["unit"]:
            units[electrode] = label["unit"]
    several = {name: columns[name] for name in EEG_COLUMNS if len(columns.get(name, ())) > 1}
    if several:
        electrode, names = next(iter(several.items()))
        if len(set(names)) < len(names):
            raise DataFileError(f"{path}: column {shown(names[0])} occurs more than once")
        more = f" (and so for {list_some(list(several)[1:])})" if len(several) > 1 else ""
        raise DataFileError(
            f"{path}: columns {' and '.join(map(shown, names))} would both become {electrode}{more}; expected one; "
            f"{OPTION}"
        )
    sources: dict[str, str] = {name: columns[name][0] for name in EEG_COLUMNS if name in columns}
    used = set(sources.values())
    left_out = tuple(column for column in found if column not in used)
    missing = [name for name in EEG_COLUMNS if name not in sources]
    if needed := [name for name in missing if name in NEEDED]:
        hint = f"; not expected: {list_some(map(shown, left_out))}" if left_out else ""
        raise DataFileError(
            f"{path}: column {list_some(needed)} missing{hint}; "
            f"expected {len(EEG_COLUMNS)} columns: {list_some(EEG_COLUMNS, 20)}; {OPTION}"
        )
    for region, chain in CHAINS.items():
        against = {references[name] for name in chain if name in references}
        if len(against) > 1:
            names = [shown(sources[name]) for name in chain]
            raise DataFileError(
                f"{path}: the electrodes of the chain {region} stand against different references "
                f"({list_some(names)}); expected one, so that their differences are those of the electrodes"
            )
    return Electrodes(sources, units, left_out, tuple(_notes(found, sources, left_out, missing)))


def shown(name: object) -> str:
    """A name from a file as it is written in messages."""
    return printable(name, one_line=True)


def electrode_named(name: str) -> str | None:
    """The electrode that a name alone says (``t7`` is T3), None for other words."""
    return _ELECTRODE.get(name.strip().casefold())


def find_label(name: str) -> str | None:
    """The electrode that a column's name means (``EEG T7-Ref`` is T3), None where it means none."""
    label = _matched(name)
    return _ELECTRODE[label["electrode"].casefold()] if label else None


def _matched(name: str) -> re.Match[str] | None:
    """The parts of a name that means an electrode against a reference which is none of the scalp's."""
    label = _LABEL.fullmatch(name.strip())
    node = reference_node(label["reference"] or "") if label else ""
    return label if node in (UNNAMED, "A1", "A2") or node in REFERENCES.values() else None


def _given(found: Sequence[str], path: Path, given: Mapping[str, str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for name, column in given.items():
        electrode = electrode_named(name)
        if electrode is None:
            raise DataFileError(f"columns: {shown(name)!r} is no electrode; expected {', '.join(EEG_COLUMNS)}")
        if column not in found:
            raise DataFileError(
                f"{path}: column {shown(column)!r}, given for {electrode}, is missing; "
                f"found {list_some(map(shown, found), 24)}"
            )
        if list(found).count(column) > 1:
            raise DataFileError(f"{path}: column {shown(column)} occurs more than once")
        if electrode in columns or column in columns.values():
            raise DataFileError(f"columns: {electrode} or {shown(column)!r} is given twice; expected one column each")
        columns[electrode] = column
    return columns


def _notes(
    found: Sequence[str], sources: Mapping[str, str], left_out: Sequence[str], missing: Sequence[str]
) -> list[str]:
    notes = []
    if renamed := [(column, name) for name, column in sources.items() if column != name]:
        old, new = (list_some([shown(pair[part]) for pair in renamed], 4) for part in (0, 1))
        notes.append(f"columns {old} read as {new}")
    if missing:
        notes.append(f"column {list_some(missing)} missing, read as NaN (no network sees it)")
    if left_out:
        notes.append(f"columns not expected and left out: {list_some(map(shown, left_out))}")
    elif list(sources.values()) != list(found):
        notes.append(_another_order(found))
    return notes


def _another_order(found: Sequence[str]) -> str:
    names = list_some(map(shown, found), 3)
    return f"columns in another order than the competition's ({names}, ...); reordered by name"
