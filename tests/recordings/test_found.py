"""Which entries of a folder are recordings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hbaclib.errors import DataFileError
from hbaclib.recordings import found
from hbaclib.recordings.found import (
    arrow_source,
    check_file,
    recording_files,
    recordings_and_notes,
    told_passed_over,
)
from tests.dataset.tiny import random_eeg, write_eeg


def test_what_is_a_recording_and_what_only_looks_so(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "C.PARQUET", "d.csv", "._a.parquet", ".hidden.parquet"):
        (tmp_path / name).touch()
    (tmp_path / "folder.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "link.parquet").symlink_to("a.parquet")
    (tmp_path / "lost.parquet").symlink_to("nowhere")
    (tmp_path / "circle.parquet").symlink_to("circle.parquet")
    (tmp_path / "to-pipe.parquet").symlink_to("pipe.parquet")
    files, notes = recordings_and_notes(tmp_path)
    # What purports to be a recording and cannot be opened stays: it is named by who opens it, and counts as a fault.
    names = ["C.PARQUET", "a.parquet", "b.parquet", "circle.parquet", "link.parquet", "lost.parquet"]
    assert [path.name for path in files] == names and recording_files(tmp_path) == files
    assert notes == [
        "._a.parquet: a companion file of macOS",
        ".hidden.parquet: hidden",
        "folder.parquet: a folder",
        "pipe.parquet: a pipe (FIFO)",
        "to-pipe.parquet: a pipe (FIFO)",
    ]
    assert (
        told_passed_over("d", notes[:1]) == "d: passed over, as no recordings: ._a.parquet: a companion file of macOS"
    )


HEADS = ("b.vhdr", "c.SET", "d.lay", "e.cnt", "f.gdf", "g_raw.fif", "h.eeg")
REST = (
    "b.eeg",
    "b.vmrk",
    "c.fdt",
    "d.dat",
    "g_raw-1.fif",
    "h.pnt",
    "truth.csv",
    "truth.json",
    "notes.txt",
    "i.eeg",
    "x.tsv",
)


@pytest.mark.parametrize("extra", [True, False])
def test_what_mne_reads_is_a_recording_by_the_file_that_heads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: bool
) -> None:
    """Companions and tables of truth are none; without the extra each is named with what reads it."""
    for name in (*HEADS, *REST, "a.edf", "z.parquet", "k-2.fif"):
        (tmp_path / name).touch()
    monkeypatch.setattr(found, "find_spec", lambda name: object() if extra else None)
    files, notes = recordings_and_notes(tmp_path)
    heads = [*HEADS, "k-2.fif"]
    assert [path.name for path in files] == (["a.edf", *heads, "z.parquet"] if extra else ["a.edf", "z.parquet"])
    assert notes == ([] if extra else [f'{name}: is read by MNE: pip install "hbaclib[formats]"' for name in heads])
    assert recording_files(tmp_path) == [tmp_path / "z.parquet"]


def test_a_folder_that_is_not_there_holds_none_and_one_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    assert recording_files(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    with pytest.raises(DataFileError, match=r"file: cannot be listed .*expected a folder"):
        recording_files(tmp_path / "file")


def test_a_file_is_checked_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    check_file(tmp_path / "file", "x")
    for name, words in (("pipe", "is a pipe"), ("none", "no such file or folder"), (".", "is a folder")):
        with pytest.raises(DataFileError, match=f"{words}.*; expected x"):
            check_file(tmp_path / name, "x")


@pytest.mark.parametrize("name", ["a.parquet", os.fsdecode(b"\xff\xfe.parquet"), "µ\n.parquet"])
def test_pyarrow_opens_files_of_any_name(name: str, tmp_path: Path) -> None:
    values = random_eeg(np.random.default_rng(0), 100)
    write_eeg(tmp_path / "a.parquet", values)
    os.replace(tmp_path / "a.parquet", tmp_path / name)
    with pq.ParquetFile(arrow_source(tmp_path / name)) as file:
        assert file.metadata.num_rows == 100
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe"):
        arrow_source(tmp_path / "pipe")
