"""Atomic files, digests and manifests."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path

import pytest

from hbaclib.artefacts import (
    MANIFEST,
    atomic_path,
    changed_outputs,
    digest_file,
    digest_json,
    finished_stages,
    is_current,
    read_manifest,
    verify,
    write_json,
    write_manifest,
    write_text,
)
from hbaclib.errors import ArtefactError


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    write_text(tmp_path / "a.csv", "1,2\n")
    write_text(tmp_path / "deep" / "b.txt", "b")
    write_manifest(
        tmp_path,
        "stage",
        inputs={"data": "d1"},
        parameters={"n": 3, "names": ("x", "y")},
        outputs=["a.csv", tmp_path / "deep" / "b.txt"],
        facts={"seconds": 1.5},
    )
    return tmp_path


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.txt"
    with pytest.raises(RuntimeError), atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(path.parent.iterdir())) == 1
    write_text(path, "new")
    assert path.read_text() == "new" and len(list(path.parent.iterdir())) == 1


def test_the_partial_file_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "weights.h5") as partial:
        assert partial.suffix == ".h5" and partial.parent == tmp_path
        partial.touch()


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        mode = write_text(tmp_path / "x.txt", "x").stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_IMODE(mode) == 0o644


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtefactError, match=r"file.*cannot"):
        write_text(tmp_path / "file" / "x.txt", "x")


def test_a_disk_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    expected = pytest.raises(ArtefactError, match=r"x\.txt: cannot be written \(No space left on device\)")
    with expected, atomic_path(tmp_path / "x.txt") as partial:
        partial.write_text("half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_json_digests_ignore_the_order_of_keys_only() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": [1, 2]}) != digest_json({"a": [2, 1]})
    assert len(digest_json(None)) == 32


def test_json_files_have_sorted_keys(tmp_path: Path) -> None:
    text = write_json(tmp_path / "x.json", {"b": 1, "a": 2}).read_text()
    assert text.index('"a"') < text.index('"b"') and json.loads(text) == {"a": 2, "b": 1}


def test_json_files_hold_what_json_knows(tmp_path: Path) -> None:
    text = write_json(tmp_path / "x.json", {"rows": [{"auc": math.nan}, math.inf], "n": 1.5}).read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"rows": [{"auc": None}, None], "n": 1.5}


def test_a_finished_stage_is_current_for_its_inputs_and_parameters_only(stage: Path) -> None:
    inputs, parameters = {"data": "d1"}, {"names": ["x", "y"], "n": 3}
    assert is_current(stage, inputs=inputs, parameters=parameters)
    assert not is_current(stage, inputs={"data": "d2"}, parameters=parameters)
    assert not is_current(stage, inputs=inputs | {"more": "d"}, parameters=parameters)
    assert not is_current(stage, inputs=inputs, parameters=parameters | {"n": 4})


def test_other_code_makes_it_out_of_date(stage: Path) -> None:
    assert not is_current(stage, inputs={"data": "d1"}, parameters={"n": 3, "names": ["x", "y"]}, code="another")


def test_times_do_not_count_but_content_does(stage: Path) -> None:
    os.utime(stage / "a.csv", (0, 0))
    assert verify(stage).outputs["a.csv"] == digest_file(stage / "a.csv")
    (stage / "a.csv").write_text("1,3\n")
    (stage / "deep" / "b.txt").unlink()
    assert changed_outputs(stage, read_manifest(stage)) == ["a.csv", "deep/b.txt"]
    assert not is_current(stage, inputs={"data": "d1"}, parameters={"n": 3, "names": ["x", "y"]})
    with pytest.raises(ArtefactError, match=r"missing or changed since its manifest was written: a\.csv, deep/b\.txt"):
        verify(stage)


def test_the_stage_digest_is_that_of_what_it_made(stage: Path) -> None:
    first = read_manifest(stage).digest
    again = write_manifest(stage, "stage", inputs={"data": "d9"}, parameters={}, outputs=["a.csv", "deep/b.txt"])
    assert again.digest == first
    (stage / "a.csv").write_text("other")
    changed = write_manifest(stage, "stage", inputs={"data": "d1"}, parameters={}, outputs=["a.csv", "deep/b.txt"])
    assert changed.digest != first


def test_unreadable_manifests_are_refused_with_the_reason(stage: Path) -> None:
    content = json.loads((stage / MANIFEST).read_text())
    (stage / MANIFEST).write_text(json.dumps(content | {"schema": 99}))
    with pytest.raises(ArtefactError, match="schema version 99, this hbaclib reads version 2"):
        read_manifest(stage)
    (stage / MANIFEST).write_text("{ half")
    with pytest.raises(ArtefactError, match="not a readable manifest"):
        read_manifest(stage)
    (stage / MANIFEST).unlink()
    with pytest.raises(ArtefactError, match="has not finished"):
        read_manifest(stage)
    assert not is_current(stage, inputs={}, parameters={})


def test_every_piece_of_a_large_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = bytearray(33_000_001)
    path.write_bytes(content)
    seen = {digest_file(path)}
    assert digest_file(path) in seen
    for place in (0, 16_777_216, 33_000_000):
        content[place] ^= 1
        path.write_bytes(content)
        seen.add(digest_file(path))
    path.write_bytes(content[:-1])
    assert len(seen | {digest_file(path)}) == 5


@pytest.mark.parametrize("key", ["stage", "inputs", "parameters", "outputs", "code", "facts", "seal"])
def test_a_manifest_that_was_edited_is_told_by_its_seal(stage: Path, key: str) -> None:
    content = json.loads((stage / MANIFEST).read_text())
    content[key] = content[key] | {"more": "x"} if isinstance(content[key], dict) else "other"
    (stage / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArtefactError, match="changed since it was written: it is not what its seal says"):
        read_manifest(stage)


def test_numbers_that_json_has_not_are_kept_as_text(stage: Path) -> None:
    made = {"inputs": {}, "parameters": {"hours": float("inf")}}
    write_manifest(stage, "stage", **made, outputs=[], facts={"megabytes": float("nan")})
    assert read_manifest(stage).facts == {"megabytes": "NaN"}
    assert is_current(stage, **made) and not is_current(stage, inputs={}, parameters={"hours": 8.0})


def test_manifests_that_cannot_be_used_are_passed_over_and_told(stage: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one", "two"):
        write_manifest(stage / name, name, inputs={}, parameters={}, outputs=[])
    (stage / "two" / MANIFEST).write_text("[]")
    assert list(finished_stages(stage)) == [stage / "one"]
    assert "passed over" in caplog.text and "two" in caplog.text
