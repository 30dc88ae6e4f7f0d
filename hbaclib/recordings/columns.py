"""Columns are found by name, whatever their order in the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hbaclib.errors import DataFileError, list_some


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
    unknown = [name for name in found if name not in expected]
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
    return f"{path}: columns in another order than the competition's ({list_some(found, 3)}, ...); reordered by name"
