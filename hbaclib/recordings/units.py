"""Units of the EEG: what is asked for, what a file states, and the factor to µV."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.columns import Electrodes, find_label, shown
from hbaclib.recordings.metadata import Statement
from hbaclib.signal.plausibility import UNITS

MICROVOLTS: dict[str, float] = {"µV": 1.0, **UNITS}
"""Unit -> µV in one of it."""

_KEYS = frozenset(
    re.findall(
        r"\w+",
        """
    unit units uom eegunit eegunits signalunit signalunits voltageunit voltageunits amplitudeunit physicaldimension
    physicaldimensions physicaldim physdim scaleunit channelunit channelunits
    """,
    )
)
_WORDS = {
    **dict.fromkeys(("v", "volt", "volts"), "V"),
    **dict.fromkeys(("mv", "millivolt", "millivolts", "milliv"), "mV"),
    **dict.fromkeys(("uv", "µv", "mcv", "microvolt", "microvolts", "microv", "microvlt", "u"), "µV"),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts", "nanov"), "nV"),
}
_OF_NOTHING = frozenset(("", "-", "na", "n/a", "none", "unknown", "s", "sec", "second", "seconds", "ms", "us", "hz"))
"""Units of something else, and words for none."""


def unit_named(text: str) -> str | None:
    """The unit that a text means (``uV`` and ``microvolts`` are µV), None for other words."""
    return _WORDS.get(re.sub(r"[\s_-]", "", text).casefold().replace("\u03bc", "\u00b5"))


def find_units(
    stated: Iterable[Statement], columns: Electrodes, given: str | None, path: Path
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The unit of every electrode.

    Args:
        stated: the file's metadata.
        columns: the file's columns.
        given: the unit that the user says; None: what the file states, µV where it states none.
        path: the file, for messages.

    Returns:
        electrode -> unit, and notes.

    Raises:
        DataFileError: the file states another unit than the user, two units for one electrode, or one that is no unit
            of voltage.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in columns.sources}
    for name, text in columns.units.items():
        found[name][text] = f"column {shown(columns.sources[name])}"
    electrode_of = {column: name for name, column in columns.sources.items()}
    for statement in stated:
        if not isinstance(statement.value, str) or not statement.among(_KEYS):
            continue
        if statement.value.strip().casefold() in _OF_NOTHING or not set(columns.left_out).isdisjoint(statement.names):
            continue
        labels = [electrode_of.get(name) or find_label(name) for name in statement.names]
        for name in [label for label in labels if label] or found:
            if name in found:
                found[name][statement.value] = f"metadata: {statement}"
    units: dict[str, str] = {}
    for name, texts in found.items():
        unknown = [where for text, where in texts.items() if unit_named(text) is None]
        known = {unit_named(text): where for text, where in texts.items() if unit_named(text)}
        if unknown and given is None:
            raise DataFileError(
                f"{path}: states a unit that is none of {', '.join(MICROVOLTS)} ({unknown[0]}); --unit says which it is"
            )
        if given is not None and any(unit != given for unit in known):
            raise DataFileError(f"{path}: states another unit ({next(iter(known.values()))}); --unit says {given}")
        if len(known) > 1:
            raise DataFileError(f"{path}: states two units ({list_some(known.values())}); expected one")
        units[name] = given or next((unit for unit in known if unit), "µV")
    others = {unit for unit in units.values() if unit != "µV"}
    notes = () if given or not others else (f"values read in {list_some(sorted(others))}, as the file states",)
    return units, notes
