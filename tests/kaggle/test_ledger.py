"""The list of files that hbac wrote into a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hbaclib.artefacts import write_text
from hbaclib.errors import ArtefactError
from hbaclib.kaggle import ledger as ledgers
from hbaclib.kaggle.ledger import LEDGER, Ledger


def new(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        write_text(folder / name.replace("__", "/"), text)
    folder.mkdir(exist_ok=True)
    return folder


def test_what_was_put_there_is_replaced_and_removed_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_text(out / "a" / "mine", "m")
    Ledger(out).publish("k", new(tmp_path / "1", a__x="1", a__y="1", b__z="1"))
    Ledger(out).publish("k", new(tmp_path / "2", a__x="2"))
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"a/mine", "a/x", LEDGER} and not (out / "b").exists()
    assert (out / "a" / "x").read_text() == "2"
    with pytest.raises(ArtefactError, match="a/mine: would be replaced"):
        Ledger(out).publish("k", new(tmp_path / "3", a__mine="3", a__x="3"))
    assert (out / "a" / "mine").read_text() == "m" and (out / "a" / "x").read_text() == "2"
    (out / "a" / "x").write_text("edited")
    with pytest.raises(ArtefactError, match="a/x: would be replaced"):
        Ledger(out).publish("k", new(tmp_path / "4", a__x="4"))
    Ledger(out).publish("k", new(tmp_path / "5"))
    assert (out / "a" / "x").read_text() == "edited"  # it is no longer what was put there


def test_a_kill_in_the_middle_leaves_what_the_next_can_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    Ledger(out).publish("k", new(tmp_path / "1", a="1", manifest="1"), last=["manifest"])
    made, replace = new(tmp_path / "2", a="2", b="2", manifest="2"), os.replace

    def killed(source: str | Path, target: str | Path) -> None:
        if Path(target).name == "b":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(ledgers.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Ledger(out).publish("k", made, last=["manifest"])
    monkeypatch.undo()
    assert (out / "a").read_text() == "2" and not (out / "manifest").exists()
    Ledger(out).publish("k", new(tmp_path / "3", a="3", manifest="3"), last=["manifest"])
    assert (out / "a").read_text() == (out / "manifest").read_text() == "3"


def test_links_lead_nowhere(tmp_path: Path) -> None:
    out, mine = tmp_path / "out", new(tmp_path / "mine", x="m")
    out.mkdir()
    (out / "a").symlink_to(mine)
    (out / "b").symlink_to(mine / "x")
    for name in ("a__y", "b"):
        with pytest.raises(ArtefactError, match="would be replaced"):
            Ledger(out).publish("k", new(tmp_path / name, **{name: "1"}))
    assert [path.name for path in mine.iterdir()] == ["x"] and (mine / "x").read_text() == "m"


def test_large_files_are_known_by_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_DIGESTED", 3)
    out = tmp_path / "out"
    Ledger(out).publish("k", new(tmp_path / "1", a="large"))
    Ledger(out).publish("k", new(tmp_path / "2", a="other"))
    os.utime(out / "a", (1, 1))
    with pytest.raises(ArtefactError, match="a: would be replaced"):
        Ledger(out).publish("k", new(tmp_path / "3", a="third"))


@pytest.mark.parametrize("text", ["", "[]", '{"made": []}', '{"made": {"k": 3}}', "\xff"])
def test_another_file_of_that_name_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / LEDGER).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtefactError, match="not hbac's list"):
        Ledger(tmp_path)
