"""Segments as files: read back by edfio, MNE and pyedflib; nothing of the patient in them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from hbaclib.errors import PlatformError
from hbaclib.timeline.annotations import (
    SEGMENT_COLUMNS,
    SZCORE_COLUMNS,
    annotation_text,
    is_annotation_file,
    segment_table,
    szcore_table,
    write_annotations,
)
from hbaclib.timeline.segments import Segment

BEGUN = datetime(2026, 1, 31, 23, 59, 50, 500_000)
SEGMENTS = [
    Segment(0.0, 20.0, "not evaluated", float("nan"), 2, "edge"),
    Segment(20.0, 100.5, "Seizure", 0.9123, 10, ""),
    Segment(120.5, 30.0, "doubtful", 0.4, 3, "LPD|GPD"),
    Segment(150.5, 49.5, "Other", 0.8, 5, "short context"),
    Segment(200.0, 10.0, "not evaluated", float("nan"), 1, "segment too short (31 s)"),
]
TEXTS = ["hbac not evaluated (edge)", "hbac Seizure 0.91", "hbac doubtful LPD|GPD", "hbac Other 0.80",
         "hbac not evaluated (segment too short)"]  # fmt: skip


def expected() -> list[tuple[float, float, str]]:
    return [(each.onset, each.duration, text) for each, text in zip(SEGMENTS, TEXTS, strict=True)]


def test_texts() -> None:
    assert [annotation_text(each) for each in SEGMENTS] == TEXTS


def test_three_readers_give_back_the_annotations(tmp_path: Path) -> None:
    path = write_annotations(tmp_path / "night-hbac.edf", SEGMENTS, BEGUN)
    assert is_annotation_file(path)
    file = edfio.read_edf(path)
    assert [(each.onset, each.duration, each.text) for each in file.annotations] == expected()
    assert file.startdate == BEGUN.date() and file.starttime == BEGUN.time() and not file.signals
    notes = mne.read_annotations(path)
    assert list(zip(notes.onset, notes.duration, notes.description, strict=True)) == expected()
    pyedflib = pytest.importorskip("pyedflib")
    with pyedflib.EdfReader(str(path)) as reader:
        assert list(zip(*reader.readAnnotations(), strict=True)) == expected()
        assert reader.getStartdatetime().replace(microsecond=0) == BEGUN.replace(microsecond=0)


def test_a_night_of_one_segment_a_bin_stays_small(tmp_path: Path) -> None:
    many = [Segment(10.0 * k, 10.0, "LPD" if k % 2 else "Other", 0.9, 1, "") for k in range(8640)]
    path = write_annotations(tmp_path / "many.edf", many)
    assert path.stat().st_size < 500_000
    found = edfio.read_edf(path).annotations
    assert len(found) == 8640 and found[-1].onset == 86_390


@pytest.mark.parametrize("begun", [None, datetime(1970, 1, 1), datetime(2090, 5, 5)])
def test_a_start_that_edf_cannot_tell(tmp_path: Path, begun: datetime | None) -> None:
    path = write_annotations(tmp_path / "a.edf", SEGMENTS, begun)
    assert edfio.read_edf(path).startdate.year == 1985 and is_annotation_file(path)


@pytest.mark.parametrize("content", [b"", b"onset,duration\n", b"0       X X X X" + b" " * 241, b"0       Jane Doe"])
def test_other_files_are_not_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.edf").write_bytes(content)
    assert not is_annotation_file(tmp_path / "x.edf")
    assert not is_annotation_file(tmp_path / "none.edf")


def test_a_recording_is_not_taken_for_annotations(tmp_path: Path) -> None:
    signal = edfio.EdfSignal(np.arange(256.0), 256, label="EEG T3")
    edfio.Edf([signal], recording=edfio.Recording(equipment_code="other")).write(tmp_path / "night.edf")
    assert not is_annotation_file(tmp_path / "night.edf")


def test_annotations_without_edfio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbaclib.timeline.annotations.find_spec", lambda name: None)
    with pytest.raises(PlatformError, match=r"pip install 'hbaclib\[edf\]'"):
        write_annotations(tmp_path / "a.edf", SEGMENTS)


def test_the_table_of_segments() -> None:
    table = segment_table(SEGMENTS, BEGUN)
    assert tuple(table.columns) == SEGMENT_COLUMNS
    assert table["clock"].tolist() == [(BEGUN + timedelta(seconds=each.onset)).isoformat() for each in SEGMENTS]
    assert (segment_table(SEGMENTS)["clock"] == "").all()
    assert table["duration"].sum() == 210 and table["share"].isna().tolist() == [True, False, False, False, True]


def test_events_in_the_form_of_szcore() -> None:
    table = szcore_table(SEGMENTS, BEGUN)
    assert tuple(table.columns) == SZCORE_COLUMNS
    assert table.iloc[0].tolist() == ["20.00", "100.50", "sz", "0.9123", "n/a", "2026-02-01 00:00:10", "210.00"]
    assert len(table) == 1
    none = szcore_table([each for each in SEGMENTS if each.state != "Seizure"], BEGUN)
    assert none.iloc[0].tolist() == ["0.00", "109.50", "bckg", "n/a", "n/a", "2026-01-31 23:59:50", "109.50"]
