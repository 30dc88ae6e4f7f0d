"""Our own JSON and TOML files, read into a checked form: for whatever is wrong, one sentence with the file and the key.

A form is a dataclass; `closed` marks it as one of a file. Types are held to the letter (a number is no text, true is no
number), what the form does not name is refused, and so is everything that another program would read differently: a key
named twice, NaN, numbers that no float holds.
"""

from __future__ import annotations

import difflib
import json
import math
import stat
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hbaclib.errors import ArtefactError, ConfigError, HbacError

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

T = TypeVar("T")

PLAIN_NAME = "a file's name: printable, without / and \\, not beginning with . or -, of at most 200 bytes"
"""What `is_plain_name` asks for, in words."""
_LONGEST_NAME = 200  # bytes; file systems take 255, of which endings and temporary names need some
_LARGEST = 2**28  # bytes of a file
_DEEPEST = 64
_MOST_DIGITS = 20
_SHOWN = 80
_WORDS = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "dataclass": "a table",
}
"""Kind of a fault, to its first underscore -> what was expected."""


def is_plain_name(name: object) -> bool:
    """Whether a name can be that of a file or folder wherever it is put, and of nothing elsewhere."""
    return (
        isinstance(name, str)
        and bool(name)
        and name.isprintable()  # no NUL, no line break, no escape sequence, no half of a surrogate pair
        and name == name.strip()
        and not name.startswith((".", "-"))
        and not {"/", "\\"} & set(name)
        and len(name.encode("utf-8", "replace")) <= _LONGEST_NAME
    )


def shown(value: object) -> str:
    """A value as a message shows it: on one line, and not at any length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; what is nested without end
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def closed(form: type[T]) -> type[T]:
    """Mark a dataclass as the form of a file: it takes no other keys, and no numbers that are not finite."""
    form.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # type: ignore[attr-defined]
    return form


def read_json(
    path: str | Path,
    form: type[T],
    what: str,
    mend: str,
    *,
    missing: str = "",
    schema: int | None = None,
    error: type[HbacError] = ArtefactError,
) -> T:
    """Read a JSON file of a form.

    Args:
        path: the file.
        form: a `closed` dataclass, or any type that pydantic knows.
        what: what the file is, for messages.
        mend: what mends a faulty one.
        missing: what to say where there is none.
        schema: version of the form that the key ``schema`` must name; None for a file without versions.
        error: kind of the error.

    Raises:
        HbacError: of the kind ``error``: no such file, or it is not of this form.
    """
    path = Path(path)
    try:
        content = parse_json(_text(path))
    except FileNotFoundError:
        raise error(f"{path}: {missing or f'missing; expected a {what}; {mend}'}") from None
    except (OSError, ValueError) as fault:
        raise error(f"{path}: not a readable {what} ({_reason(fault)}); {mend}") from None
    if schema is not None:
        if not isinstance(content, dict):
            raise error(f"{path}: not a readable {what} (it holds no table); {mend}")
        found = content.get("schema")
        if type(found) is not int or found != schema:
            raise error(f"{path}: schema version {shown(found)}, this hbaclib reads version {schema}; {mend}")
    return as_form(content, form, lambda fault: error(f"{path}: {fault}; {mend}"))


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Content of a TOML file; ``what`` it is, for messages. Its keys are checked by whoever makes something of it.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    path = Path(path)
    try:
        content = tomllib.loads(_text(path))
        _check_values(content)
    except OSError as error:
        raise ConfigError(f"{path}: {what} cannot be read ({_reason(error)})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML, so not a readable {what} ({_reason(error)})") from None
    except RecursionError:
        raise ConfigError(f"{path}: not TOML, so not a readable {what} (nested too deeply)") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML, so not a readable {what} ({_reason(error)})") from None
    return content


def parse_json(text: str) -> Any:
    """JSON values of a text.

    Raises:
        ValueError: it is not JSON, or holds a key twice, NaN, a number that no float or 64-bit integer holds, half a
            character, or tables within tables without end.
    """
    try:
        content = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_values(content)
    return content


def as_form(content: Any, form: Any, refuse: Callable[[str], Exception]) -> Any:
    """JSON values as a form.

    Args:
        content: the values.
        form: as for `read_json`.
        refuse: makes the error from what is wrong, as ``key 'members.0.name' is 3, expected a text``.
    """
    from pydantic import ValidationError

    try:
        # As text, for JSON has no tuples: from it, strictness means the types of JSON. (TOML has dates, too.)
        return _adapter(form).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        fields = sorted(getattr(form, "__dataclass_fields__", {}))
        raise refuse(_told(faults[0], fields)) from None


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(form)


def _told(fault: ErrorDetails, fields: list[str]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    kind, found = fault["type"], fault["input"]
    if kind in ("missing", "missing_argument"):
        return f"key {shown(key)} is missing"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        close = difflib.get_close_matches(key, fields, 1) if len(fault["loc"]) == 1 else []
        return f"key {shown(key)} is unknown" + (f" (expected {close[0]}?)" if close else "")
    words = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return f"{key}: {words}" if key else words
    words = _WORDS.get(kind.partition("_")[0], words)
    where = f"key {shown(key)} is" if key else "it holds"
    return f"{where} {shown(found)}, expected {words}"


def _text(path: Path) -> str:
    """Text of a regular file; a pipe would be waited for, and a device never ends."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("it is a folder" if path.is_dir() else "it is no regular file")
    if facts.st_size > _LARGEST:
        raise ValueError(f"it has {facts.st_size:,} bytes, expected at most {_LARGEST:,}")
    with open(path, "rb") as file:
        return file.read().decode("utf-8")


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte {error.start + 1} is 0x{error.object[error.start]:02x}"
    if isinstance(error, OSError):
        return error.strerror or "no reason told"
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 2 * _SHOWN else f"{lines[0][: 2 * _SHOWN]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {shown(next(name for name in names if names.count(name) > 1))} is named twice")
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:_SHOWN]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"the number {text[:_SHOWN]} is too large")
    return int(text)


def _check_values(content: Any) -> None:
    """Refuse depth and text that later steps (a digest, a message, a file's name) could not take."""
    level = [content]
    for _ in range(_DEEPEST):
        texts = [name for value in level if isinstance(value, Mapping) for name in value]
        level = [
            inner
            for value in level
            if isinstance(value, Mapping | list)
            for inner in (value.values() if isinstance(value, Mapping) else value)
        ]
        for text in (*texts, *(value for value in level if isinstance(value, str))):
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError(f"the text {shown(text)} holds half a character")
        if not level:
            return
    raise ValueError("nested too deeply")
