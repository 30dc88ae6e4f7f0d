"""Frozen tables of checked values: what recipes are made of."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from hbaclib.errors import ConfigError, unknown_name
from hbaclib.schema import shown

T = TypeVar("T")
_WHOLE = 2**53  # greater numbers are others as floats


class FrozenTable(Mapping[str, Any]):
    """A table that cannot be changed, equal to a dict of the same content; it can be hashed, pickled and copied.

    Args:
        values: its content; only what can be hashed makes a table that can.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


def make(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """Make a dataclass from a table.

    Args:
        cls: a dataclass whose ``__post_init__`` calls `check_types`.
        values: its fields; those with a default may be missing.
        source: how messages call the table.

    Raises:
        ConfigError: an unknown key (with the close ones), a missing one, or a value that is not allowed.
    """
    fields = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{source}: {unknown_name('key', key, fields)}")
    for name, item in fields.items():
        needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise ConfigError(f"{source}: key {name!r} is missing")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def expect(instance: Any, key: str, good: bool, expected: str) -> None:
    """Refuse a field's value.

    Raises:
        ConfigError: ``good`` is not so; names the field, its value and what was expected.
    """
    _check(good, key, getattr(instance, key), expected)


def expect_within(instance: Any, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Hold fields between their least and greatest values; errors as for `expect`."""
    for key, (least, greatest) in bounds.items():
        expect(instance, key, getattr(instance, key) >= least, f"at least {least}")
        expect(instance, key, getattr(instance, key) <= greatest, f"at most {greatest:,}")


def check_types(instance: Any) -> None:
    """Check each field of a dataclass against its annotation; lists become tuples, whole numbers floats where due.

    Raises:
        ConfigError: naming the field, its value and the type.
    """
    for name, hint in typing.get_type_hints(type(instance)).items():
        object.__setattr__(instance, name, _as_type(getattr(instance, name), hint, name))


def check_finite(instance: Any) -> None:
    """Refuse NaN and infinity in the fields of a dataclass, which no bound may have caught; errors as for `expect`."""
    for item in dataclasses.fields(instance):
        value = getattr(instance, item.name)
        numbers = [each for each in (value if isinstance(value, tuple) else [value]) if isinstance(each, float)]
        expect(instance, item.name, all(map(math.isfinite, numbers)), "finite numbers")


def plain(value: Any) -> Any:
    """A dataclass, a table or a value as JSON and TOML know it."""
    if dataclasses.is_dataclass(value):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _as_type(value: Any, hint: Any, key: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        _check(value in args, key, value, f"one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        _check(isinstance(value, list | tuple), key, value, "a list")
        return tuple(_as_type(entry, args[0], key) for entry in value)
    if origin is not None:
        _check(isinstance(value, Mapping), key, value, "a table")
        return _frozen(value, key)
    if hint is float and type(value) is int:
        _check(abs(value) <= _WHOLE, key, value, f"at most {_WHOLE:,}")
        return float(value)
    right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    _check(right, key, value, f"a value of type {hint.__name__}")
    if not dataclasses.is_dataclass(value) and hint is not float:
        _check_value(value, key)
    return value


def _check_value(value: Any, key: str) -> None:
    """Refuse what neither a computation nor a file can take: NaN and infinity, numbers that no float holds, dates."""
    if type(value) is float:
        _check(math.isfinite(value), key, value, "a finite number")
    elif type(value) is int:
        _check(abs(value) <= _WHOLE, key, value, f"a whole number of at most {_WHOLE:,}")
    elif type(value) is str:
        _check(value.isprintable(), key, value, "text on one line, without control characters")
    else:
        _check(isinstance(value, bool | Path), key, value, "a number, a text or true or false")


def _frozen(value: Any, key: str) -> Any:
    # Lists and tuples of equal content must make equal recipes; what lies inside must not change behind the digest.
    if isinstance(value, Mapping):
        return FrozenTable({str(name): _frozen(entry, f"{key}.{name}") for name, entry in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_frozen(entry, key) for entry in value)
    _check_value(value, key)
    return value


def _check(good: bool, key: str, found: object, expected: str) -> None:
    if not good:
        raise ConfigError(f"{key} is {shown(found)}, expected {expected}")
