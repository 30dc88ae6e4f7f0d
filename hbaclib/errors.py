"""The family of errors. Every message names the file, the column or row, what was found and what was expected."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

from hbaclib.secrecy import hide


class HbacError(Exception):
    """A mistake in what hbac was asked or fed; the command line prints its message without a traceback.

    Credentials that reach a message, in addresses mostly, are cut from it.
    """

    def __str__(self) -> str:
        return hide(super().__str__())


class DataError(HbacError, ValueError):
    """An array, table or file does not have the promised form."""


class DataFileError(DataError):
    """A file is missing, unreadable, or its content breaks the competition's format."""


class LeakError(HbacError, ValueError):
    """A patient would be scored by a model that was trained on that patient."""


class ArtefactError(HbacError):
    """A stored artefact is missing, incomplete, changed, or of another version."""


class TrainingError(HbacError):
    """A fit cannot go on; what it was working on is saved beside its files."""


class ConfigError(HbacError, ValueError):
    """A recipe, suite, parameter or model name is not valid."""


class PlatformError(HbacError):
    """A mount, service or device that the run depends on is not as needed."""


class MemoryShortage(PlatformError):
    """What was asked for does not fit into the memory of the host or of a device."""


class TimeShortage(PlatformError):
    """What was asked for would not end within the session."""


def list_some(names: Iterable[object], limit: int = 8) -> str:
    """Join names for a message, cutting a long list and saying how many were cut."""
    items = [str(name) for name in names]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def unknown_name(kind: str, name: str, known: Iterable[object]) -> ConfigError:
    """An error for a name that nobody knows, listing the close ones (or all, when none is close)."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names)}"
    return ConfigError(f"{kind} {name!r} is unknown; {hint}")


def printable(text: object, *, one_line: bool = False) -> str:
    """Text as a terminal or a table can take it: what would steer the terminal, or is no character, is escaped.

    File names, column names and ids come from anywhere; an escape code in one could colour, move or hide what else is
    printed, and a name that is not UTF-8 cannot be written at all.

    Args:
        text: what is to be printed.
        one_line: escape ends of lines and tabs too, as for a name in a table.
    """
    kept = "" if one_line else "\n\t"
    return "".join(
        character
        if character.isprintable() or character in kept or unicodedata.category(character) == "Zs"
        else _escaped(character)
        for character in str(text)
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte of a name that is not UTF-8
    return character.encode("unicode_escape").decode("ascii")
