"""Hostile EDF and BDF files: what is no EDF, headers that lie, montages that do not suffice, fields with names."""

from __future__ import annotations

import bz2
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hbaclib import open_recording
from hbaclib.cli.main import main
from hbaclib.conventions import SCALP_ELECTRODES
from hbaclib.errors import HbacError
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case
from tests.recordings.edf_files import noise, write_edf
from tests.timeline.made import Answers

MINUTE = noise(60 * 200)
Make = Callable[[Path], Words]


def checked(*options: str, values: np.ndarray = MINUTE, **form: object) -> Make:
    """``hbac check`` of an EDF file of some form."""
    return lambda folder: ["check", write_edf(folder / "a.edf", values, **form), *options]


def content(data: bytes, name: str = "a.edf") -> Make:
    def make(folder: Path) -> Words:
        (folder / name).write_bytes(data)
        return ["check", folder / name]

    return make


def parquet_named_edf(folder: Path) -> Words:
    return ["check", stock.recording(folder, "a.edf")]


def cut(size: int) -> Make:
    def make(folder: Path) -> Words:
        path = write_edf(folder / "a.edf", MINUTE)
        path.write_bytes(path.read_bytes()[:size])
        return ["check", path]

    return make


def of(names: list[str], *options: str) -> Make:
    return lambda folder: ["check", write_edf(folder / "a.edf", noise(12_000, len(names)), names), *options]


def table_of(text: str) -> Make:
    def make(folder: Path) -> Words:
        (folder / "names.csv").write_text(text)
        path = write_edf(folder / "a.edf", MINUTE, [f"X{k}" for k in range(20)])
        return ["check", path, "--channels", folder / "names.csv"]

    return make


def folder_named(folder: Path) -> Words:
    (folder / "a.edf").mkdir()
    return ["check", folder / "a.edf"]


def read_from(make: Callable[[Path], Path]) -> Callable[[Path], Callable[[], object]]:
    return lambda folder: lambda: open_recording(make(folder))


def closed(folder: Path) -> Path:
    path = write_edf(folder / "a.edf", MINUTE)
    path.chmod(0)
    return path


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.edf")
    return folder / "a.edf"


def over_the_input(folder: Path) -> Words:
    return ["check", write_edf(folder / "a.edf", MINUTE), "--write-channels", folder / "a.edf"]


def over_a_foreign_file(folder: Path) -> Words:
    (folder / "notes.csv").write_text("mine\n")
    return ["check", write_edf(folder / "a.edf", MINUTE), "--write-channels", folder / "notes.csv"]


def several(folder: Path) -> Words:
    write_edf(folder / "eegs" / "a.edf", MINUTE)
    write_edf(folder / "eegs" / "b.bdf", MINUTE, bits=24)
    (folder / "eegs" / "c.edf").write_text("text")
    stock.recording(folder / "eegs", "d.parquet")
    return ["check", folder / "eegs"]


ALL = list(SCALP_ELECTRODES)
NOT = r"not EDF, BDF or Parquet \("
CASES = [
    # What is none of the formats.
    Case("empty", 21, content(b""), 1, (NOT + "begins with nothing",)),
    Case("text", 21, content(b"Fp1,F3\n1,2\n"), 1, (NOT + "begins with 'Fp1,F3",)),
    Case("html", 21, content(b"<!DOCTYPE html>"), 1, (NOT + "begins with '<!DOCTYP",)),
    Case("escape codes", 21, content(b"\x1b[31mred"), 1, (NOT,), never=("\x1b",)),
    Case("gzip", 21, content(gzip.compress(b"0       ")), 1, (NOT + "gzip.*: compressed; unpack it first",)),
    Case("gzip by its own name", 21, content(gzip.compress(b"0       "), "a.edf.gz"), 1, ("compressed; unpack",)),
    Case("bzip2", 21, content(bz2.compress(b"0       ")), 1, ("compressed; unpack it first",)),
    Case("zip", 21, content(b"PK\x03\x04" + b"\0" * 40, "a.bdf"), 1, ("compressed; unpack it first",)),
    Case("Parquet under the name of EDF", 21, parquet_named_edf, 1, (NOT + "begins with 'PAR1", "ends in .parquet")),
    Case("eight bytes alone", 21, content(b"0       "), 1, ("8 bytes; expected a header of at least 256",)),
    Case("blanks alone", 21, content(b"0" + b" " * 6000), 1, ("number of signals: found ''",)),
    # Headers.
    Case("cut header", 21, cut(2000), 1, ("2000 bytes; expected a header of 5376",)),
    Case("signals in letters", 21, checked(fields={"n_signals": "31 E"}), 1, ("number of signals: found '31 E'",)),
    Case("wrong header length", 21, checked(fields={"size": 5000}), 1, ("header length: found 5000; expected 5376",)),
    Case("a range of letters", 21, checked(signal_fields={(0, "pmax"): "8e+003.5"}), 1,
         ("physical maximum of signal EEG Fp1-REF: found '8e.003.5'; expected a number",)),
    Case("no duration", 21, checked(fields={"record": "0"}), 1, ("record duration: found 0 s",)),
    Case("a duration below 0", 21, checked(fields={"record": "-1"}), 1, ("record duration: found -1 s",)),
    Case("a duration of letters", 21, checked(fields={"record": "1s"}), 1, (r"record duration: found '1\?'",)),
    Case("no record", 21, cut(5376), 1, ("0 records",)),
    Case("annotations alone", 21, checked(values=[np.zeros(60)], labels=["EDF Annotations"], rate=60), 1,
         ("holds annotations and no signals",)),
    # Channels.
    Case("no electrode", 21, of([f"POL X{k}" for k in range(20)]), 1,
         ("no channel is an electrode's: found POL X0, .* and 12 more", "--channels")),
    Case("positions of a cap", 21, of([f"{bank}{k}" for bank in "AB" for k in range(1, 33)]), 1,
         ("no channel is an electrode's: found A1", "--channels")),
    Case("depth electrodes", 21, of([f"F{k}" for k in range(1, 17)]), 1,
         ("no channel is an electrode's", "--channels")),
    Case("two regions without", 21, of([name for name in ALL if name not in ("T3", "T5", "T4", "T6")]), 1,
         (r"2 of 4 regions cannot be derived: LL \(T3, T5 missing\); RL \(T4, T6 missing\)", "--channels FILE.csv")),
    Case("spare channels named as a cap's", 21, of([*ALL, "A1", "A2", "A3", "B1", "B2"]), 0,
         ("4 of 4 regions", "channels left out: A3, B1, B2")),
    Case("one cap of sixteen", 21, of([f"A{k}" for k in range(1, 17)] + ["F3", "C3"]), 1,
         ("no channel is an electrode's: found A1", "--channels")),
    Case("one region without", 21, of([name for name in ALL if name not in ("T3", "T5")]), 0,
         ("regions that stay empty: LL", "3 of 4 regions")),
    Case("records that go back", 21, checked(onsets=[k if k < 30 else k - 10 for k in range(60)]), 1,
         ("record 31 begins at 20 s and record 30 at 29 s",)),
    Case("slow channels", 21, checked(rate=64), 1, ("rate of EEG Fp1-REF: found 64 Hz; expected 100 to 20,000 Hz",)),
    Case("channels of the annotations' rate", 21, checked(values=noise(1800), rate=30, onsets=list(range(60))), 1,
         ("rate of EEG Fp1-REF: found 30 Hz; expected 100 to 20,000 Hz",)),
    Case("volts that are said to be µV", 21, checked(gain=1e-7), 1, ("FAULT: amplitudes of .*--unit V would explain",)),
    Case("volts, said so", 21, checked("--unit", "V", gain=1e-7), 0, ("no fault found",)),
    Case("too large", 21, checked(gain=100.0), 1, ("FAULT: amplitudes of .*expected 1 to 1500 µV.*--unit",)),
    Case("short everywhere", 21, checked(onsets=[k + (20 if k > 29 else 0) for k in range(60)]), 1,
         ("the longest segment without a gap is 30 s; expected at least 50",)),
    Case("gaps", 21, checked(onsets=[k + (20 if k > 52 else 0) for k in range(60)]), 0,
         ("gaps: 1, 20 s in all; the longest, 20 s, from second 53 on", "can be predicted: 1 windows of 50 s")),
    Case("flat", 21, checked(values=np.zeros_like(MINUTE)), 1, ("FAULT: no signal",)),
    # Tables of channels.
    Case("table without electrodes", 21, table_of("label,what\nX0,Fp1\n"), 2,
         ("found columns label, what; expected label",)),
    Case("table of what is none", 21, table_of("label,electrode\nX0,Fp9\n"), 2, ("'Fp9' is no electrode",)),
    Case("table of other channels", 21, table_of("label,electrode\nY0,Fp1\n"), 1, ("no channel Y0; found X0, X1",)),
    Case("an empty table", 21, table_of(""), 2, ("found columns none",)),
    Case("a table of bytes", 21, lambda folder: [
        "check", write_edf(folder / "a.edf", MINUTE), "--channels", write_edf(folder / "b.edf", MINUTE, bits=24)
    ], 2, ("expected (a table )?label",)),
    Case("a channel without a sign", 21, checked("--channel", "X1"), 2, ("'X1'; expected LABEL=ELECTRODE",)),
    Case("a channel twice", 21, checked("--channel", "A=T3", "--channel", "A=T4"), 2, ("A is given twice",)),
    Case("a table over the input", 21, over_the_input, 1, ("is an input, which no output replaces",)),
    Case("a table over another file", 21, over_a_foreign_file, 1, ("was not written by hbac",)),
    Case("channels of Parquet", 21, lambda folder: ["check", stock.recording(folder), "--channel", "Fp1=Fp1"], 1,
         ("a Parquet file takes columns",)),
    Case("channels of a data set", 21, lambda folder: ["check", stock.data(folder), "--invert"], 2,
         ("belong to recordings",)),
    # The system.
    Case("a folder of that name", 21, folder_named, 1, ("expected",)),
    Case("nothing there", 21, read_from(lambda folder: folder / "a.edf"), 1,
         ("no such file or folder; expected an EEG",)),
    Case("a pipe", 21, read_from(pipe), 1, ("a pipe",), writes=("a.edf",)),
    Case("several in a folder", 21, several, 1, ("c.edf", NOT + "begins with 'text'", "1 of 4 recordings")),
]  # fmt: skip
if os.getuid():
    CASES.append(Case("a file that nobody may read", 21, read_from(closed), 1, ("cannot be read",)))


@table(CASES)
def test_hostile_edf(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)


MARKER = "DoeJane19700101"


@pytest.mark.parametrize("spoilt", ["", "header", "records", "range", "kind", "duration"])
def test_fields_of_the_patient_reach_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str) -> None:
    monkeypatch.chdir(tmp_path)
    networks = Answers()
    networks.members = {}
    monkeypatch.setattr(EnsemblePredictor, "open", lambda *_, **__: networks)
    forms: dict[str, dict] = {
        "header": {"fields": {"size": 1}}, "records": {"n_records": -1}, "kind": {"kind": MARKER},
        "range": {"signal_fields": {(0, "pmax"): "x"}}, "duration": {"fields": {"record": "x"}},
    }  # fmt: skip
    transducers = {(k, name): MARKER for k in range(20) for name in ("transducer", "reserved")}
    form = {"signal_fields": transducers, **forms.get(spoilt, {})}
    if spoilt == "range":
        form["signal_fields"] = {**transducers, **forms["range"]["signal_fields"]}
    path = write_edf(tmp_path / "a.edf", MINUTE, patient=f"{MARKER} F 01-JAN-1970 {MARKER}",
                     recording=f"Startdate 02-MAR-2016 {MARKER} {MARKER} {MARKER}", onsets=list(range(60)),
                     annotations={3: MARKER}, **form)  # fmt: skip
    for words in (
        ["check", str(path)],
        ["check", str(path), "--json"],
        ["check", str(path), "--write-channels", "table.csv"],
        ["predict", "synthetic", str(path), "--out", "night.csv"],
        ["predict", "synthetic", str(path), "--edges", "nearest"],
        ["predict", "synthetic", str(path), "--out-dir", "lines"],
    ):
        answer = CliRunner().invoke(main, words)
        assert answer.exit_code in (0, 1) and "Traceback" not in answer.output
        assert MARKER not in answer.output and MARKER not in repr(answer.exception)
    written = [each for each in tmp_path.rglob("*") if each.is_file() and each != path]
    assert (len(list(tmp_path.glob("lines/*"))) == 5) == (spoilt in ("", "records", "kind"))
    assert ("night.csv" in {each.name for each in written}) == (spoilt in ("", "records", "kind"))
    assert all(MARKER.encode() not in each.read_bytes() for each in written)
    try:
        with open_recording(path) as recording:
            facts = {name: value for name, value in vars(recording).items() if name != "source"}
            assert not re.search(MARKER, repr(facts))
    except HbacError as error:
        assert MARKER not in str(error)


PATIENTS = {
    "letters": b"ZQXJ",
    "words": b"4711 ZQXJ F 45 ",
    "UTF-8": "ÄÖÜ".encode(),
    "NUL": b"Z\0Q\0X\0",
    "NUL and blanks": b" Z\0 ",
}
"""What a field of the patient is filled with; none of its letters stands in a message."""


@pytest.mark.parametrize("number", range(len(PATIENTS)), ids=PATIENTS)
def test_no_letter_of_a_patient_is_told_where_the_header_is_shifted(tmp_path: Path, number: int) -> None:
    """Up to 120 bytes too many push the patient's field into those of numbers; too few before it pull it forward."""
    path = write_edf(tmp_path / "a.edf", noise(400), bits=16 + number % 2 * 8, onsets=[0, 1])
    sound, told = path.read_bytes(), set[str]()
    filled = [*PATIENTS.values()][number] * 80
    hidden = {*"ZQXJÄÖÜÃ\x84\x96\x9c\0"}
    for shift in range(-7, 121):
        for data in (
            sound[:8] + filled[: 80 + shift] + sound[88:],
            sound[:8] + filled[:80] + filled[: 80 + shift] + sound[168:],
            sound[: 8 + min(shift, 0)] + filled[: 80 + shift] + sound[88:],
        ):
            path.write_bytes(data)
            try:
                with open_recording(path) as recording:
                    words = " ".join((*recording.notes, *recording.labels, recording.montage, recording.montage_fault))
            except HbacError as error:
                words = str(error).replace(str(path), "")
            assert not hidden & set(words), (shift, words)
            told.add(words)
    assert len(told) > 5 and any("?" in words for words in told)
