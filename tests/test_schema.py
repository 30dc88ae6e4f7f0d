"""Forms of files: what is right is read, and whatever is wrong is one sentence with the file and the key."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hbaclib.errors import ArtefactError, ConfigError, PlatformError
from hbaclib.schema import closed, is_plain_name, parse_json, read_json, read_toml, shown


@closed
@dataclass(frozen=True)
class Row:
    name: str
    share: float


@closed
@dataclass(frozen=True)
class Form:
    count: int
    rows: tuple[Row, ...]
    more: dict[str, Any] = field(default_factory=dict)
    schema: int = 3

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count is {self.count}, expected 0 or more")


RIGHT = {"count": 1, "rows": [{"name": "a", "share": 1}], "more": {"x": [1, None, 2.5, "µ"]}, "schema": 3}


def read(path: Path, content: Any) -> Form:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_json(path, Form, "form", "make it again", schema=3)


def test_what_is_right_is_read(tmp_path: Path) -> None:
    form = read(tmp_path / "a.json", RIGHT)
    assert form == Form(1, (Row("a", 1.0),), {"x": [1, None, 2.5, "µ"]})
    assert read(tmp_path / "a.json", {"count": 1, "rows": [], "schema": 3}).more == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RIGHT | {"count": "1"}, "key 'count' is '1', expected a whole number; make it again"),
        (RIGHT | {"count": True}, "key 'count' is True, expected a whole number"),
        (RIGHT | {"count": 1.5}, "key 'count' is 1.5, expected"),
        (RIGHT | {"count": -1}, "count is -1, expected 0 or more"),
        (RIGHT | {"rows": {}}, "key 'rows' is {}, expected a list"),
        (RIGHT | {"rows": [3]}, r"key 'rows\.0' is 3, expected a table"),
        (RIGHT | {"rows": [{"name": "a"}]}, r"key 'rows\.0\.share' is missing"),
        (RIGHT | {"rows": [{"name": None, "share": 1}]}, r"key 'rows\.0\.name' is None, expected a text"),
        (RIGHT | {"conut": 1}, r"key 'conut' is unknown \(expected count\?\)"),
        (RIGHT | {"schema": 4}, "schema version 4, this hbaclib reads version 3"),
        (RIGHT | {"schema": 3.0}, "schema version 3.0, this"),
        (RIGHT | {"schema": True}, "schema version True, this"),
        ([RIGHT], "it holds no table"),
        (b"", r"not a readable form \(Expecting value"),
        (b"\xef\xbb\xbf{}", "not a readable form"),
        (b'{"a": "\xe9"}', "not UTF-8: byte 8 is 0xe9"),
        (b'{"a": "\x00"}', "not a readable form"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"a": 1, "a": 2}', "key 'a' is named twice"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": -Infinity}', "-Infinity is no number of JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 6000 + b"}", "too large"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ArtefactError, match=message) as caught:
        read(tmp_path / "a.json", content)
    told = str(caught.value)
    assert told.startswith(str(tmp_path / "a.json")) and told.isprintable() and len(told) < 500


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="nothing made it"):
        read_json(tmp_path / "none", Form, "form", "make it", missing="nothing made it")
    with pytest.raises(PlatformError, match="missing; expected a form; make it"):
        read_json(tmp_path / "none", Form, "form", "make it", error=PlatformError)
    with pytest.raises(ArtefactError, match="it is a folder"):
        read_json(tmp_path, Form, "form", "make it")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtefactError, match="it is no regular file"):
        read_json(tmp_path / "pipe", Form, "form", "make it")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ArtefactError, match="not a readable form"):
        read_json(tmp_path / "loop", Form, "form", "make it")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a = ", "not TOML"), (b"a = 1\na = 2", "not TOML"), (b'a = "\xff"', "not UTF-8: byte 6"),
     (b"a = " + b"[" * 90_000, "not TOML"), (b"a = " + b"9" * 9000, "not TOML")],
)  # fmt: skip
def test_toml(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text('a = 1\n[b]\nc = "d"\n')
    assert read_toml(path, "recipe") == {"a": 1, "b": {"c": "d"}}
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{re.escape(str(path))}: .*{message}"):
        read_toml(path, "recipe")
    with pytest.raises(ConfigError, match="recipe cannot be read"):
        read_toml(tmp_path / "none.toml", "recipe")


def test_values_of_json() -> None:
    assert parse_json('{"a": [1, 2.5, true, null, "x"], "b": 18446744073709551615}')["b"] == 2**64 - 1


@pytest.mark.parametrize("name", ["a", "04_train_b0", "another name", "µV", "x" * 200, "a.b", "é" * 100])
def test_names_that_may_be_a_files(name: str, tmp_path: Path) -> None:
    assert is_plain_name(name)
    (tmp_path / name).touch()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-x", "a/b", "../a", "/a", "a\\b", "a\0b", "a\nb", "\x1b[31m", " a", "a ", "x" * 201,
     "é" * 101, "\ud800", "\u202ea", None, 3, ["a"]],
)  # fmt: skip
def test_names_that_may_not(name: Any) -> None:
    assert not is_plain_name(name)


def test_values_are_shown_at_no_length() -> None:
    assert shown("a") == "'a'" and len(shown("x" * 1000)) == 80
    assert shown(10**5000) == "a int"
