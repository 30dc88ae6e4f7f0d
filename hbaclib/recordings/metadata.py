"""What a Parquet file says of itself beside its columns: names and values, however deep they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_LONGEST, _DEEPEST = 1 << 20, 6


@dataclass(frozen=True)
class Statement:
    """One value of a file's metadata.

    Attributes:
        names: the names that lead to it, from the outermost: of a column where it is the column's, of keys.
        value: the value.
    """

    names: tuple[str, ...]
    value: str | float

    def __str__(self) -> str:
        return f"{'.'.join(self.names)} = {self.value}"

    def among(self, keys: frozenset[str]) -> bool:
        """Whether one of its names is one of these keys (small letters, without blanks and punctuation)."""
        return any(re.sub(r"[^a-z0-9]", "", name.casefold()) in keys for name in self.names)


def statements(schema: pa.Schema) -> list[Statement]:
    """All values of a schema's metadata and of its columns', also those inside of JSON texts."""
    found = list(_of(schema.metadata, ()))
    for field in schema:
        found += _of(field.metadata, (field.name,))
    return found


def _of(metadata: Mapping[bytes, bytes] | None, names: tuple[str, ...]) -> Iterator[Statement]:
    for raw, value in (metadata or {}).items():
        name = raw.decode("utf-8", "replace")
        if len(value) > _LONGEST or name.startswith("ARROW:"):
            continue
        text = value.decode("utf-8", "replace")
        content = _json(text)
        if name == "pandas":
            # Types of columns and the index say nothing of the signal.
            content = content.get("attributes") if isinstance(content, dict) else None
            yield from _walk((), content, _DEEPEST)
        else:
            yield from _walk((*names, name), text if content is None else content, _DEEPEST)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _walk(names: tuple[str, ...], value: Any, depth: int) -> Iterator[Statement]:
    if isinstance(value, dict) and depth:
        for name, content in value.items():
            yield from _walk((*names, str(name)), content, depth - 1)
    elif isinstance(value, list) and depth:
        for content in value:
            yield from _walk(names, content, depth - 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield Statement(names, value)
