"""What may be written where, with several processes at a time and after kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hbaclib.artefacts import stage_lock, write_manifest, write_text
from hbaclib.dataset.synthetic import summary_path, truth_path
from hbaclib.errors import ArtefactError
from hbaclib.locks import BusyError
from hbaclib.outputs import (
    claim,
    refuse_foreign_folder,
    refuse_inputs,
    remove_left,
    remove_unfinished,
    stage_folder,
    table_file,
    without_new_folders,
    working_folder,
)

ROOT = Path(__file__).parents[1]
HEADERS = [("a", "b")]


def hbac(*words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hbaclib.cli.main", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_two_sets_into_one_folder_are_one_set_and_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    both = [
        hbac("synth", folder, "--patients", "2", "--test-rows", "2", "--jobs", "1", "--seed", seed) for seed in "12"
    ]
    said = [process.communicate(timeout=200) for process in both]
    codes = [process.returncode for process in both]
    # Who comes while the other is at work is told so; who comes later, that another set is there.
    assert sorted(codes) == [0, 1], said
    refused = said[codes.index(1)][1]
    assert "another hbac writes there" in refused or "a synthetic set of other arguments" in refused
    assert "Traceback" not in refused
    assert names(tmp_path) == {"set", truth_path(folder).name, summary_path(folder).name}
    import pandas as pd

    made = json.loads(summary_path(folder).read_text())
    assert str(made["arguments"]["seed"]) == "12"[codes.index(0)]
    train = pd.read_csv(folder / "train.csv")
    assert len(list((folder / "train_eegs").iterdir())) == train["eeg_id"].nunique() == made["counts"]["train_eegs"]


def test_two_builds_into_one_folder_are_one_build_and_one_sentence(tmp_path: Path) -> None:
    both = [hbac("kaggle", "build", "smoke", "--user", name, "--out", tmp_path / "D") for name in ("one", "two")]
    said = [process.communicate(timeout=300) for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes and all("Traceback" not in error for _, error in said)
    assert all("another hbac writes there" in said[n][1] for n in range(2) if codes[n])
    plan = json.loads((tmp_path / "D" / "plan.json").read_text())
    owners = {path.read_text().split('"id": "')[1].split("/")[0] for path in (tmp_path / "D").rglob("*-metadata.json")}
    assert owners == {plan["user"]}
    assert names(tmp_path / "D") == {"plan.json", "hbac-files.json", "datasets", "kernels"}


def test_a_table_is_written_by_one_at_a_time_and_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "t.csv"
    with table_file(out, [], HEADERS) as file:
        assert file is not None and not out.exists()
        with pytest.raises(BusyError, match="another hbac writes there"), table_file(out, [], HEADERS):
            pass
        file.write_text("a,b\n1,2\n")
    assert out.read_text() == "a,b\n1,2\n" and names(out.parent) == {"t.csv"}
    with pytest.raises(ZeroDivisionError), table_file(out, [], HEADERS):
        raise ZeroDivisionError
    assert out.read_text() == "a,b\n1,2\n" and names(out.parent) == {"t.csv"}
    with pytest.raises(ZeroDivisionError), table_file(tmp_path / "x" / "y" / "t.csv", [], HEADERS):
        raise ZeroDivisionError
    assert not (tmp_path / "x").exists()
    with pytest.raises(ArtefactError, match="was not written by hbac"), table_file(out, [], [("a", "c")]):
        pass


def test_a_table_with_windows_lines_is_still_ours(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\r\n1,2\r\n")
    with table_file(tmp_path / "t.csv", [], HEADERS) as file:
        assert file is not None


def test_open_streams_and_devices_are_written_to_as_they_are(tmp_path: Path) -> None:
    for name in ("/dev/null", f"/dev/fd/{os.open(tmp_path / 'log', os.O_CREAT | os.O_WRONLY)}"):
        with table_file(name, [], HEADERS) as file:
            assert str(file) == name
    with table_file("/dev/stdout", [], HEADERS) as file:
        assert file is None
    with table_file(None, [], HEADERS) as file:
        assert file is None


def test_inputs_are_known_by_every_name(tmp_path: Path) -> None:
    source = write_text(tmp_path / "data" / "eegs" / "a.parquet", "x")
    (tmp_path / "link").symlink_to(source)
    os.link(source, tmp_path / "hard")
    (tmp_path / "there").symlink_to(source.parent)
    for name in ("link", "hard", "there/a.parquet", "data/../data/eegs/a.parquet"):
        with pytest.raises(ArtefactError, match="is an input"):
            refuse_inputs(tmp_path / name, [source])
    with pytest.raises(ArtefactError, match="would count as a recording"):
        refuse_inputs(tmp_path / "there" / "b.PARQUET", [source.parent])
    refuse_inputs(tmp_path / "there" / "b.csv", [source.parent, tmp_path / "none"])
    write_text(tmp_path / "data" / "test.csv", "")
    with pytest.raises(ArtefactError, match="lies inside the input"):
        refuse_inputs(tmp_path / "there" / "b.csv", [tmp_path / "data"])


def test_a_stage_goes_into_its_own_folder_or_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "07"
    with stage_folder(folder, "seven"):
        write_text(folder / "half", "x")
    with stage_folder(folder, "seven"):  # begun before: its lock lies beside it
        write_manifest(folder, "seven", inputs={}, parameters={}, outputs=["half"])
    with stage_folder(folder, "seven"):
        pass
    with pytest.raises(ArtefactError, match="holds a stage 'seven'"), stage_folder(folder, "eight"):
        pass
    with pytest.raises(ArtefactError, match="holds a finished stage"), stage_folder(folder / "inner", "seven"):
        pass
    mine = write_text(tmp_path / "mine" / "notes", "x").parent
    with pytest.raises(ArtefactError, match="holds files that hbac did not write"), stage_folder(mine, "seven"):
        pass
    (tmp_path / "run" / "08").symlink_to(mine)
    with pytest.raises(ArtefactError, match="did not write"), stage_folder(tmp_path / "run" / "08", "eight"):
        pass
    assert names(tmp_path) == {"run", "mine"}
    write_text(mine / "study.log", "")
    refuse_foreign_folder(mine, (), own=["study.*"])
    with stage_lock(tmp_path / "empty"):
        refuse_foreign_folder(tmp_path / "empty", ("seven",))


def test_what_a_kill_left_is_known_by_its_marker(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt), working_folder(target) as inner:
        assert list(inner.iterdir()) == []
        kept = inner.parent.with_name(".01234567.partial.set")
        os.rename(inner.parent, kept)  # as after a kill
        raise KeyboardInterrupt
    mine = [tmp_path / name for name in (".set.partial", ".89abcdef.partial.set", ".89abcdef.partial.set2")]
    for path in mine:
        write_text(path / "thesis", "x")
    (tmp_path / ".abcdefab.partial.set").mkdir()  # killed before the marker was written
    remove_left(target)
    assert {path.name for path in mine} == names(tmp_path)
    assert all((path / "thesis").is_file() for path in mine)


def test_only_temporary_files_of_ours_are_removed(tmp_path: Path) -> None:
    ours = [write_text(tmp_path / "a" / name, "half") for name in (".0123abcd.partial.x.npy", ".0123abcd.partial.y")]
    theirs = [write_text(tmp_path / "a" / name, "x") for name in (".my.partial", ".my.partial.npy", "b.partial.npy")]
    remove_unfinished(tmp_path)
    assert not any(path.exists() for path in ours) and all(path.exists() for path in theirs)


def test_a_claim_leaves_nothing(tmp_path: Path) -> None:
    with claim(tmp_path / "a"), claim(tmp_path / "b", folder=True):
        with pytest.raises(BusyError), claim(tmp_path / "a"):
            pass
        with pytest.raises(BusyError), claim(tmp_path / "b", folder=True):
            pass
    assert names(tmp_path) == {"b"} and names(tmp_path / "b") == set()
    with pytest.raises(ZeroDivisionError), without_new_folders(tmp_path / "c" / "d"), claim(tmp_path / "c" / "d" / "e"):
        raise ZeroDivisionError
    assert not (tmp_path / "c").exists()
