"""``hbac predict`` where it cannot write, or cannot read: which of both ends the command, and what is left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import pandas as pd
import pytest

from hbaclib.recordings.derived import DerivedRecording
from hbaclib.timeline.outputs import KINDS, TIMELINE
from tests.cli.predicting import call
from tests.recordings.edf_files import noise, write_edf


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 60 s, and one that is none."""
    folder = tmp_path_factory.mktemp("nights")
    for name in ("a", "b"):
        write_edf(folder / f"{name}.edf", noise(12_000))
    (folder / "c.edf").write_bytes(b"")
    return folder


def full_disk(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, fails: Callable[..., bool]) -> None:
    """Let a function raise what a full disk does where its arguments say so."""
    writes = getattr(owner, name)

    def refuse(*arguments: Any, **named: Any) -> Any:
        if fails(*arguments, **named):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return writes(*arguments, **named)

    monkeypatch.setattr(owner, name, refuse)


def second(count: list[int]) -> Callable[..., bool]:
    """Whether it is called for the second time."""

    def later(*arguments: Any, **named: Any) -> bool:
        count.append(1)
        return len(count) == 2

    return later


@pytest.mark.parametrize("name", ["lines.csv", "lines.parquet"])
def test_a_full_disk_ends_the_command_and_leaves_no_table(
    model: Path, nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / name
    if name.endswith("csv"):
        full_disk(monkeypatch, pd.DataFrame, "to_csv", second([]))
    else:
        full_disk(monkeypatch, pd.DataFrame, "to_parquet", lambda *_, **__: True)
    answer = call(model, nights, "--out", out)
    assert answer.exit_code == 1 and not list(tmp_path.iterdir()), answer.output
    assert f"hbac: {out}: cannot be written (No space left on device)" in answer.stderr.splitlines()
    assert "b.edf: No space" not in answer.stderr and "recordings could not be predicted" not in answer.stderr


@pytest.mark.parametrize("kind", [*KINDS, "timeline"])
def test_a_full_disk_at_the_second_recording_of_a_folder(
    model: Path, nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Whatever file it is: those of the first recording stay, of the second there is none."""
    if kind == "page":
        full_disk(monkeypatch, Path, "write_text", lambda path, *_, **__: "partial.b" in path.name)
    elif kind == "annotations":
        full_disk(monkeypatch, edfio.Edf, "write", lambda _, path: "partial.b" in path.name)
    else:
        part = {"segments": "-segments", "szcore": "-szcore", "timeline": "-timeline"}[kind]
        full_disk(monkeypatch, pd.DataFrame, "to_csv", lambda _, path, **__: f"partial.b{part}" in path.name)
    answer = call(model, nights, "--out-dir", tmp_path / "lines")
    assert answer.exit_code == 1 and "/c.edf" not in answer.stderr, answer.output
    place = {"timeline": TIMELINE, **KINDS}[kind]
    told = f"hbac: {tmp_path / 'lines' / f'b{place}'}: cannot be written (No space left on device)"
    assert told in answer.stderr.splitlines()
    assert {path.name[0] for path in (tmp_path / "lines").iterdir()} == {"a"}
    assert len(list((tmp_path / "lines").iterdir())) == 5


def test_what_cannot_be_read_is_a_fault_of_the_recording_still(
    model: Path, nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(recording: object, start: int, *_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "a.edf")

    monkeypatch.setattr(DerivedRecording, "read_judged", broken)
    answer = call(model, nights / "a.edf", nights / "b.edf", "--out", tmp_path / "lines.csv")
    assert answer.exit_code == 1 and answer.stderr.count("a.edf: Input/output error") == 2
    assert "none of 2 recordings could be predicted" in answer.stderr
    answer = call(model, nights / "a.edf", "--out", tmp_path / "lines.csv")
    assert answer.exit_code == 1 and "a.edf: Input/output error" in answer.stderr
    assert "cannot be written" not in answer.stderr and not list(tmp_path.iterdir())


def test_a_foreign_file_in_the_folder_is_told_before_anything_is_predicted(
    model: Path, nights: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.html").write_text("mine")
    answer = call(model, nights, "--out-dir", tmp_path)
    assert answer.exit_code == 1 and "b.html: exists and was not written by hbac" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b.html"] and "windows of 50 s" not in answer.stderr
