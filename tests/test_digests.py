"""Digests of a run's inputs: what changed is seen, what did not is not read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hbaclib import digests
from hbaclib.artefacts import write_manifest
from hbaclib.digests import data_digest, digest_files, verify_files
from hbaclib.errors import ArtefactError

LONG_AGO = 1_500_000_000


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "set" / f"{number}.parquet" for number in range(3)]
    made[0].parent.mkdir()
    for path in made:
        path.write_bytes(path.name.encode() * 1000)
    return made


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were just written count as long settled."""
    monkeypatch.setattr(digests, "_SETTLED_NS", -(10**12))


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    true = digests.digest_file
    monkeypatch.setattr(digests, "digest_file", lambda path: seen.append(Path(path).name) or true(path))
    return seen


def test_every_file_is_read_once(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    seen, store = reads(monkeypatch), tmp_path / "store.json"
    first = digest_files(tmp_path / "set", files, store)
    assert sorted(seen) == ["0.parquet", "1.parquet", "2.parquet"]
    assert digest_files(tmp_path / "set", reversed(files), store) == first
    assert len(seen) == 3
    assert digest_files(tmp_path / "set", files) == first  # without a store all are read
    assert len(seen) == 6


@pytest.mark.parametrize("change", ["middle", "same size and time", "longer", "replaced", "removed", "renamed"])
def test_a_change_is_seen(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    settle(monkeypatch)
    store = tmp_path / "store.json"
    os.utime(files[1], (LONG_AGO, LONG_AGO))
    before = digest_files(tmp_path / "set", files, store)
    content = bytearray(files[1].read_bytes())
    if change in ("middle", "same size and time"):
        content[4000:4010] = b"0123456789"
        with files[1].open("r+b") as file:
            file.write(content)
        if change != "middle":
            os.utime(files[1], (LONG_AGO, LONG_AGO))
    elif change == "longer":
        files[1].write_bytes(content + b"x")
    elif change == "replaced":
        files[0].write_bytes(content[::-1])
        os.replace(files[0], files[1])
        files[0].write_bytes(files[0].name.encode() * 1000)
    elif change == "removed":
        files[1].unlink()
    else:
        files[1] = files[1].rename(files[1].with_name("9.parquet"))
    after = digest_files(tmp_path / "set", files, store)
    assert after != before
    assert digest_files(tmp_path / "set", files) == after


def test_files_that_were_just_written_are_not_trusted(files: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "store.json"
    digest_files(tmp_path / "set", files, store)
    assert not store.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": [1, 2]}', "\x00"])
def test_a_broken_store_costs_time_alone(
    files: list[Path], tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    store = tmp_path / "store.json"
    store.write_text(text)
    assert digest_files(tmp_path / "set", files, store) == digest_files(tmp_path / "set", files)
    assert len(json.loads(store.read_text())) >= 3


def test_a_store_that_cannot_be_written_costs_time_alone(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    (tmp_path / "file").write_text("")
    store = tmp_path / "file" / "store.json"
    assert digest_files(tmp_path / "set", files, store) == digest_files(tmp_path / "set", files)


def test_the_place_of_a_data_set_does_not_count(tmp_path: Path) -> None:
    for root in ("one", "two"):
        (tmp_path / root / "train_eegs").mkdir(parents=True)
        (tmp_path / root / "train.csv").write_text("a\n1\n")
        (tmp_path / root / "train_eegs" / "1.parquet").write_text("content")
    one, two = (data_digest(tmp_path / root, "train") for root in ("one", "two"))
    assert one == two != data_digest(tmp_path / "one", "test")
    (tmp_path / "two" / "test.csv").write_text("b\n")
    assert data_digest(tmp_path / "two", "train") == two


def test_files_of_a_stage_are_verified_once_a_content(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    folder = tmp_path / "set"
    manifest = write_manifest(folder, "stage", inputs={}, parameters={}, outputs=files)
    names, seen = [path.name for path in files], reads(monkeypatch)
    for _ in range(3):
        verify_files(folder, manifest, names)
    assert sorted(seen) == names
    content = bytearray(files[1].read_bytes())
    content[500] ^= 1
    files[1].write_bytes(content)
    verify_files(folder, manifest, names[:1])
    for _ in range(2):
        with pytest.raises(ArtefactError, match=r"1\.parquet: changed since its manifest was written \(digest "):
            verify_files(folder, manifest, names)
    files[1].unlink()
    verify_files(folder, manifest, [*names, "other.csv"])  # what is missing is told by who reads it
