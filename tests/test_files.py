"""What a path is, found without opening it; and folders that are nobody else's."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from hbaclib import files
from hbaclib.errors import ConfigError, PlatformError, printable
from hbaclib.files import (
    expanded,
    kind_of,
    listed,
    no_files,
    private_file,
    private_folder,
    regular_file,
    whole_path,
    write_private,
)


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one entry of every kind."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    for name, target in (("link", "file"), ("lost", "nowhere"), ("circle", "circle"), ("to-pipe", "pipe")):
        Path(name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", "a file"), ("link", "a file"), ("folder", "a folder"), ("pipe", "a pipe (FIFO)"),
        ("to-pipe", "a pipe (FIFO)"), ("socket", "a socket"), ("/dev/null", "a device"), ("nothing", "nothing"),
        ("file/below", "nothing"), ("lost", "a link to nothing (nowhere)"),
        ("circle", "a link that leads back to itself"),
        ("circle/below", "a link that leads back to itself"), ("x" * 256, "not to be had (File name too long)"),
        ("a\0b", "no name that the system takes"),
    ],
)  # fmt: skip
def test_kinds(name: str, kind: str, entries: Path) -> None:
    assert kind_of(name) == kind
    if kind == "a file":
        assert regular_file(name) == Path(name)
        return
    with pytest.raises(FileNotFoundError if kind == "nothing" else OSError) as raised:
        regular_file(name)
    assert raised.value.filename == name and (kind == "nothing" or kind in str(raised.value))


def test_a_folder_is_listed_without_what_is_no_file(entries: Path) -> None:
    found, notes = listed(entries, "")
    assert [path.name for path in found] == ["circle", "file", "link", "lost"]
    assert notes == [
        "folder: a folder", "pipe: a pipe (FIFO)", "socket: a socket", "to-pipe: a pipe (FIFO)",
    ]  # fmt: skip
    assert listed(entries / "nothing", "") == ([], [])
    Path("._x").touch()
    left_out = no_files(str(entries), sorted(os.listdir(entries)))
    assert left_out == {"._x", "pipe", "socket", "to-pipe", "lost", "circle"}


def test_paths_are_made_whole(entries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(entries))
    assert expanded("~/file") == entries / "file" and whole_path("~/link") == (entries / "file").resolve()
    with pytest.raises(ConfigError, match=r"^~nosuchuser/a: ~nosuchuser has no home here"):
        expanded("~nosuchuser/a")


def test_a_private_folder_is_this_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0)
    try:
        folder = private_folder("devices")
        write_private(private_file(folder, "note"), "one")
    finally:
        os.umask(before)
    assert folder == tmp_path / f"hbac-{os.getuid()}" / "devices" and private_folder("devices") == folder
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "note")]
    assert modes == [0o700, 0o700, 0o600]
    write_private(private_file(folder, "note"), "two")
    assert (folder / "note").read_text() == "two"
    folder.chmod(0o750)  # others could look into it, but not write: closed again
    assert stat.S_IMODE(private_folder("devices").stat().st_mode) == 0o700
    folder.chmod(0o770)
    with pytest.raises(PlatformError, match=r"devices: can be written by others, .*remove it, or set TMPDIR"):
        private_folder("devices")


def test_a_private_folder_is_no_link_and_no_other_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "theirs").mkdir(0o700)
    place = tmp_path / f"hbac-{os.getuid()}"
    place.symlink_to("theirs")
    with pytest.raises(PlatformError, match="is a link"):
        private_folder("devices")
    place.unlink()
    monkeypatch.setattr(files, "_user", lambda: os.getuid() + 1)
    (tmp_path / f"hbac-{os.getuid() + 1}").mkdir(0o700)
    with pytest.raises(PlatformError, match=f"belongs to user {os.getuid()}"):
        private_folder("devices")
    assert not list((tmp_path / "theirs").iterdir())


def test_no_private_file_is_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "note").symlink_to("victim")
    with pytest.raises(PlatformError, match="note: is a link"):
        private_file(tmp_path, "note")
    with pytest.raises(OSError, match="note"):
        write_private(tmp_path / "note", "x")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize(
    ("text", "lines", "line"),
    [
        ("µV 日本 a\u3000b", "µV 日本 a\u3000b", "µV 日本 a\u3000b"),
        ("a\n\tb", "a\n\tb", "a\\n\\tb"),
        ("\x1b[31m\x07\x7f\x9b\r", "\\x1b[31m\\x07\\x7f\\x9b\\r", "\\x1b[31m\\x07\\x7f\\x9b\\r"),
        ("\u202egpj\u2028\u200b", "\\u202egpj\\u2028\\u200b", "\\u202egpj\\u2028\\u200b"),
        (os.fsdecode(b"a\xff"), "a\\xff", "a\\xff"),
        ("\ud83d", "\\ud83d", "\\ud83d"),
    ],
)
def test_what_is_printed_steers_no_terminal(text: str, lines: str, line: str) -> None:
    assert printable(text) == lines and printable(text, one_line=True) == line
