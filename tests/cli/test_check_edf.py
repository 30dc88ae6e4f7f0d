"""``hbac check`` of EDF files: what they are and what can be predicted, in words and as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hbaclib.cli.main import main
from hbaclib.conventions import EEG_COLUMNS
from tests.recordings.edf_files import LABELS, noise, write_edf
from tests.recordings.files import write as write_parquet

VALUES = noise(75 * 200)


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, words)])


def test_a_sound_recording(tmp_path: Path) -> None:
    onsets = [k + (700 if k > 59 else 0) for k in range(75)]
    path = write_edf(tmp_path / "a.edf", VALUES, onsets=onsets)
    answer = check(path)
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[:6] == [
        str(path),
        "  EDF+D, 775 s at 200 Hz; begins 2016-03-02 23:59:58",
        f"  montage: referential, against REF; 4 of 4 regions; 20 channels: {', '.join(LABELS)}",
        "  unit: µV",
        "  gaps: 1, 700 s in all; the longest, 700 s, from second 60 on",
        "     from s      to s  recorded   flat  amplitude  quality",
    ]
    assert lines[6].split()[:5] == ["0", "600", "10.0", "%", "0"] and "plausible as EEG" in lines[6]
    assert lines[7].split()[:4] == ["600", "775", "8.6", "%"]
    assert lines[8:] == [
        "  can be predicted: 2 windows of 50 s, one every 10 s, 4 of 4 regions", "1 recording: no fault found"
    ]  # fmt: skip


def test_json(tmp_path: Path) -> None:
    names = [*LABELS[:5], *LABELS[6:], "SpO2"]
    onsets = [k + (1.5 if k > 59 else 0) for k in range(75)]
    path = write_edf(tmp_path / "a.edf", VALUES, names, onsets=onsets)
    answer = check(path, "--json")
    assert answer.exit_code == 0
    facts = json.loads(answer.stdout)
    assert facts["format"] == "EDF+D" and facts["rate"] == 200 and facts["clock"] == "2016-03-02T23:59:58"
    assert facts["segments"] == [[0, 60], [61.5, 76.5]] and facts["gaps"] == [[60, 61.5]]
    assert facts["left_out"] == ["SpO2"] and facts["missing"] == facts["filled"] == ["T3"] and facts["neutral"] == []
    assert facts["windows"] == 2 and facts["fault"] == "" and facts["units"] == ["µV"]
    channel = {"label": "EEG Fp1-REF", "electrode": "Fp1", "reference": "REF", "unit": "uV", "rate": 200, "used": True}
    assert facts["channels"][0] == channel and len(facts["channels"]) == 21
    (row,) = facts["quality"]
    assert row["recorded"] == pytest.approx(75 / 76.5) and 50 < row["amplitude"] < 300 and row["reason"] == ""
    # A folder gives a list, whatever is in it, and faults are an exit code.
    write_parquet(tmp_path / "b.parquet", noise(10_000).astype(np.float32) / 10)
    (tmp_path / "c.edf").write_text("no EDF")
    answer = check(tmp_path, "--json")
    assert answer.exit_code == 1 and "1 of 3 recordings cannot be evaluated" in answer.stderr
    several = json.loads(answer.stdout)
    assert [Path(one["file"]).name for one in several] == ["a.edf", "b.parquet", "c.edf"]
    assert [bool(one["fault"]) for one in several] == [False, False, True] and several[0] == facts


def test_a_short_hole_is_bridged_and_a_longer_one_is_not(tmp_path: Path) -> None:
    for gap, windows in ((0.9, 3), (1.1, 0)):
        onsets = [k + (gap if k > 39 else 0) for k in range(75)]
        answer = check(write_edf(tmp_path / "a.edf", VALUES, onsets=onsets), "--json")
        assert json.loads(answer.stdout)["windows"] == windows and answer.exit_code == (windows == 0)
    assert check(tmp_path / "a.edf", "--ignore-gaps").exit_code == 0


def test_a_table_of_channels_is_written_edited_and_read(tmp_path: Path) -> None:
    names = [f"POL X{k}" for k in range(20)]
    names[0] = "EEG Fp1-REF"
    path, table = write_edf(tmp_path / "a.edf", VALUES, names), tmp_path / "names.csv"
    assert check(path).exit_code == 1
    answer = check(path, "--write-channels", table)
    assert "names.csv: 20 channels" in answer.stderr
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows[:3] == [["label", "electrode", "reference"], ["EEG Fp1-REF", "Fp1", "REF"], ["POL X1", "", ""]]
    for row, name in zip(rows[2:], EEG_COLUMNS[1:], strict=True):
        row[1:] = [name, "REF"]
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    answer = check(path, "--channels", table)
    assert answer.exit_code == 0 and "montage: referential, against REF" in answer.stdout, answer.output
    # A single channel counts before the table; it may be left out.
    answer = check(path, "--channels", table, "--channel", "POL X5=", "--channel", "POL X9=F4-REF", "--json")
    facts = json.loads(answer.stdout)
    assert facts["missing"] == ["T3", "Cz"] and "POL X5" in facts["left_out"]


def fif(path: Path, names: list[str]) -> Path:
    mne = pytest.importorskip("mne")
    info = mne.create_info(names, 200.0, "eeg")
    mne.io.RawArray(VALUES.T[: len(names)] * 1e-7, info, verbose="ERROR").save(path, verbose="ERROR")
    return path


@pytest.mark.parametrize("make", [fif, lambda path, names: write_edf(path.with_suffix(".edf"), VALUES, names)])
@pytest.mark.parametrize("rest", ["EEG", "POL X"])
def test_a_table_of_channels_of_any_format_heeds_what_is_given(tmp_path: Path, make: Callable, rest: str) -> None:
    """Also where no channel is an electrode's, so that no recording can be opened."""
    names = ["ONE-REF", *(f"{rest} {name if rest == 'EEG' else k}" for k, name in enumerate(EEG_COLUMNS[1:]))]
    path, table = make(tmp_path / "a_raw.fif", names), tmp_path / "names.csv"
    for option in (("--columns", "Fp1=ONE-REF"), ("--channel", "ONE-REF=Fp1-REF")):
        answer = check(path, "--write-channels", table, *option)
        assert "names.csv: 20 channels" in answer.stderr, answer.output
        rows = list(csv.reader(table.read_text().splitlines()))
        assert rows[1] == ["ONE-REF", "Fp1", "REF"]
        assert rows[2] == ([names[1], EEG_COLUMNS[1], ""] if rest == "EEG" else [names[1], "", ""])
    answer = check(path, "--write-channels", table)
    assert list(csv.reader(table.read_text().splitlines()))[1] == ["ONE-REF", "", ""]
    assert (answer.exit_code == 1) == (rest != "EEG") and ("no channel is an electrode's" in answer.output) == (
        rest != "EEG"
    )
    answer = check(path, "--write-channels", table, "--columns", "Fp1=TWO")
    assert answer.exit_code == 1 and "no channel TWO; found ONE-REF" in answer.stderr


def test_columns_name_channels_too(tmp_path: Path) -> None:
    names = ["ONE-REF", *LABELS[1:]]
    path = write_edf(tmp_path / "a.edf", VALUES, names)
    facts = json.loads(check(path, "--json", "--columns", "Fp1=ONE-REF").stdout)
    assert facts["missing"] == [] and facts["montage"] == "referential, against REF"


def test_polarity_and_unit(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, gain=1e-4)
    assert check(path).exit_code == 1
    answer = check(path, "--unit", "mV", "--invert")
    assert answer.exit_code == 0 and "polarity turned" in answer.stdout and "unit: mV" in answer.stdout


def test_options_of_one_file(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf", VALUES)
    answer = check(tmp_path, "--write-channels", tmp_path / "x.csv")
    assert answer.exit_code == 2 and "belongs to one EDF or BDF file" in answer.stderr
    write_parquet(tmp_path / "b.parquet")
    answer = check(tmp_path / "b.parquet", "--write-channels", tmp_path / "x.csv")
    assert answer.exit_code == 1 and "expected EDF or BDF" in answer.stderr
