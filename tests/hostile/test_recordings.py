"""Hostile recordings: columns, rates, units, lengths, damaged files, and spectrograms of no use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hbaclib import open_recording, read_eeg
from hbaclib.conventions import EEG_COLUMNS
from tests.dataset.tiny import random_eeg, random_spectrogram, write_spectrogram
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case
from tests.recordings.files import ROWS, write

NOISE = random_eeg(np.random.default_rng(0))
Make = Callable[[Path], Words]


def checked(*options: str, **form: object) -> Make:
    """``hbac check`` of a recording of some form."""
    return lambda folder: ["check", write(folder / "a.parquet", **form), *options]


def predicted(*options: str, **form: object) -> Make:
    """``hbac predict`` of a recording of some form, with the network that sees the EEG alone."""
    return lambda folder: ["predict", stock.run(folder) / "eeg", write(folder / "a.parquet", **form), *options]


def with_spectrogram(rows: np.ndarray, **form: object) -> Make:
    """``hbac predict`` of a sound recording beside a spectrogram file, with the network that sees both."""

    def make(folder: Path) -> Words:
        write_spectrogram(folder / "s.parquet", rows)
        eeg = write(folder / "a.parquet", **form)
        return ["predict", stock.run(folder) / "both", eeg, "--spectrogram", folder / "s.parquet"]

    return make


def late_spectrogram(folder: Path) -> Words:
    path = stock.spectrogram(folder)
    content = pd.read_parquet(path)
    content.assign(time=content["time"] + 1).to_parquet(path, index=False)
    return ["predict", stock.run(folder) / "both", stock.recording(folder), "--spectrogram", path]


def spoilt(change: Callable[[bytes], bytes], **form: object) -> Make:
    """``hbac check`` of a recording whose bytes were changed."""

    def make(folder: Path) -> Words:
        path = write(folder / "a.parquet", **form)
        path.write_bytes(change(path.read_bytes()))
        return ["check", path]

    return make


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


def columns_of(kind: pa.DataType, values: list) -> Make:
    def make(folder: Path) -> Words:
        columns = [pa.array(values * 5000, kind) for _ in EEG_COLUMNS]
        pq.write_table(pa.table(columns, names=list(EEG_COLUMNS)), folder / "a.parquet")
        return ["check", folder / "a.parquet"]

    return make


def many_rows(n_rows: int, row_group_size: int) -> Make:
    """So many rows of one value, a few kB a column."""

    def make(folder: Path) -> Words:
        column = pa.array(np.full(row_group_size, 3, np.int8))
        piece = pa.table([column] * 20, names=list(EEG_COLUMNS))
        with pq.ParquetWriter(folder / "a.parquet", piece.schema) as writer:
            for _ in range(n_rows // row_group_size):
                writer.write_table(piece, row_group_size=row_group_size)
        return ["check", folder / "a.parquet"]

    return make


def text(folder: Path) -> Words:
    (folder / "a.parquet").write_text(",".join(EEG_COLUMNS) + "\n" + "1," * 19 + "1\n")
    return ["check", folder / "a.parquet"]


def mapped(lines: str) -> Make:
    def make(folder: Path) -> Words:
        (folder / "names.toml").write_text(lines)
        return ["check", write(folder / "a.parquet", names={"Fp1": "X1"}), "--columns", folder / "names.toml"]

    return make


def beyond(folder: Path) -> Callable[[], np.ndarray]:
    path = write(folder / "a.parquet")
    return lambda: read_eeg(path, start=30, seconds=50)


def many_in_a_folder(folder: Path) -> Words:
    write(folder / "eegs" / "a.parquet")
    write(folder / "eegs" / "b.parquet", values=NOISE / np.float32(1e6))
    write(folder / "eegs" / "c.parquet", metadata={"fs": "256"})
    return ["predict", stock.run(folder) / "eeg", folder / "eegs"]


VOLTS, NANOVOLTS = NOISE / np.float32(1e6), NOISE * np.float32(1e3)
LEFT_EAR = {name: f"{name}-A1" for name in EEG_COLUMNS}

CASES = [
    # What cannot be EEG.
    Case("volts", 3, predicted(values=VOLTS), 1,
         ("a.parquet,0.0,,,,,,,\"?amplitude of the pairs", "--unit V", "no window could be evaluated")),
    Case("millivolts", 3, checked(values=NOISE / np.float32(1e3)), 1, ("FAULT: .*--unit mV",)),
    Case("nanovolts", 3, checked(values=NANOVOLTS), 1, ("FAULT: .*--unit nV",)),
    Case("volts, said so", 3, checked("--unit", "V", values=VOLTS), 0, ("unit: V", "no fault found")),
    Case("millivolts, said in the metadata", 3, checked(values=NOISE / np.float32(1e3), metadata={"unit": "mV"}), 0,
         ("values read in mV, as the file states", "no fault found")),
    Case("millivolts in the metadata, volts by the user", 3, checked("--unit", "V", metadata={"unit": "mV"}), 1,
         ("states another unit .*unit = mV.*--unit says V",)),
    Case("a unit that is none", 3, checked(metadata={"units": "ADC counts"}), 1, ("ADC counts.*--unit says which",)),
    Case("an unknown unit of the user's", 3, checked("--unit", "kV"), 2, ("'kV'; expected µV, V, mV, nV",)),
    Case("all missing", 3, predicted(values=np.full_like(NOISE, np.nan)), 1, ("a.parquet,0.0,,,,,,,no signal",)),
    Case("all zero", 3, predicted(values=np.zeros_like(NOISE)), 1, ("a.parquet,0.0,,,,,,,no signal",)),
    Case("one sound window among others", 3,
         predicted("--window", "sliding", "--step", "50",
                   values=np.concatenate([NOISE, np.zeros_like(NOISE), NOISE * np.float32(1e-6)])), 0,
         (r"parquet,0\.0,0\.\d.*,\n", r"parquet,50\.0,,,,,,,no signal", r"parquet,100\.0,,,,,,,\"?amplitude")),
    Case("a folder with faults of several kinds", 3, many_in_a_folder, 1,
         (r"a.parquet,0\.0,0\.\d", r"b.parquet,0\.0,,,,,,", "states 256 Hz", "b.parquet: no window could be evaluated",
          "1 of 3 recordings could not be predicted")),
    # Rates.
    Case("256 Hz in the metadata", 3, predicted(metadata={"sampling_rate": "256"}), 1,
         ("states 256 Hz.*expected 200",)),
    Case("100 Hz deep in the metadata", 3, checked(metadata={"recording": {"info": {"sfreq": 100.0}}}), 1,
         ("states 100 Hz .*recording.info.sfreq",)),
    Case("500 Hz by seconds", 3, predicted(more={"time": ROWS / 500}), 1, (r"states 500 Hz \(column time\)",)),
    Case("256 Hz by milliseconds", 3, checked(more={"t": ROWS * 3.90625}), 1, (r"states 256 Hz \(column t\)",)),
    Case("100 Hz by timestamps", 3,
         checked(more={"when": np.datetime64("2024-01-01", "ms") + 10 * ROWS.astype("timedelta64[ms]")}), 1,
         (r"states 100 Hz \(column when\)",)),
    Case("times with a gap", 3, checked(more={"time": ROWS / 200 + 30 * (ROWS > 4000)}), 1,
         ("column time jumps between",)),
    Case("times that go back", 3, checked(more={"time": -ROWS / 200}), 1, ("column time goes back before row",)),
    Case("no rate stated", 3, checked(), 0, ("no rate stated, taken as 200 Hz",)),
    Case("a rate of 200 Hz stated", 3, checked(metadata={"fs": "200 Hz"}), 0, (r"200 Hz \(metadata: fs = 200 Hz\)",)),
    Case("metadata of brackets alone", 3, checked(metadata={"fs": "[" * 100_000}), 0, ("no fault found",)),
    # Spectrograms.
    Case("a spectrogram without values", 3, with_spectrogram(np.full((300, 400), np.nan)), 0,
         ("computed from the EEG, its file is not evaluated .*every value is missing", r"a.parquet,0\.0,0\.\d")),
    Case("a spectrogram of absurd power", 3, with_spectrogram(np.full((300, 400), 3e38)), 0,
         (r"computed from the EEG, its file is not evaluated .*3e\+38",)),
    Case("a spectrogram of four rows", 4, with_spectrogram(random_spectrogram(np.random.default_rng(0), 4)), 0,
         ("computed from the EEG, its file is too short .*4 rows, expected 300",)),
    Case("a spectrogram of one row", 4, with_spectrogram(random_spectrogram(np.random.default_rng(0), 1)), 0,
         ("computed from the EEG, its file is too short",)),
    Case("a spectrogram without rows", 4, with_spectrogram(np.zeros((0, 400))), 1, ("no rows; expected at least one",)),
    Case("a spectrogram a second late", 4, late_spectrogram, 1, ("column time, row 1: found 2, expected 1",)),
    # Columns.
    Case("names of the 10-10 system", 6, checked(names={"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}), 0,
         ("columns T7, P7, T8, P8 read as T3, T5, T4, T6", "no fault found")),
    Case("small letters", 6, predicted(names={name: name.lower() for name in EEG_COLUMNS}), 0,
         ("columns fp1, f3, c3, p3 and 16 more read as",)),
    Case("names as in EDF files", 6, predicted(names={name: f"EEG {name.upper()}-Ref" for name in EEG_COLUMNS}), 0,
         ("read as Fp1, F3, C3, P3 and 16 more",)),
    Case("no EKG and no midline", 6, predicted(without=("EKG", "Fz", "Cz", "Pz")), 0,
         ("column Fz, Cz, Pz, EKG missing, read as NaN", r"a.parquet,0\.0,0\.\d")),
    Case("no Fp1", 6, predicted(without=("Fp1",)), 1, ("column Fp1 missing.*--columns \"Fp1=NAME",)),
    Case("numbers for names", 6, checked(names={name: str(k) for k, name in enumerate(EEG_COLUMNS)}), 1,
         ("column Fp1, F3.*not expected: 0, 1.*--columns",)),
    Case("two columns for T3", 6, checked(more={"T7": NOISE[:, 0]}), 1, ("columns T3 and T7 would both become T3",)),
    Case("two references in a chain", 6, checked(names=LEFT_EAR | {"F7": "F7-Ref"}), 1,
         ("against different references",)),
    Case("bipolar columns", 6, checked(names={"Fp1": "Fp1-F7", "F7": "F7-T3", "T3": "T3-T5"}), 1,
         ("column Fp1, F7, T3 missing; not expected: Fp1-F7",)),
    Case("columns given as pairs", 6, checked("--columns", "Fp1=X1", names={"Fp1": "X1"}), 0,
         ("columns X1 read as Fp1",)),
    Case("columns given in a file", 6, mapped('Fp1 = "X1"\n'), 0, ("columns X1 read as Fp1",)),
    Case("columns given that are not there", 6, checked("--columns", "Fp1=X2", names={"Fp1": "X1"}), 1,
         ("column 'X2', given for Fp1, is missing; found X1, F3",)),
    Case("columns given for no electrode", 6, checked("--columns", "A1=X1"), 2, ("'A1': expected ELECTRODE=COLUMN",)),
    Case("columns given in no file", 6, checked("--columns", "names.toml"), 2, ("names.toml: No such file",)),
    Case("columns given in a file of lists", 6, mapped("Fp1 = [1]\n"), 2, ("Fp1; expected lines Fp1 = \"NAME\"",)),
    Case("columns given in a torn file", 6, mapped("Fp1 = \n"), 2, ("names.toml: .*expected .*TOML file",)),
    Case("an escape code for a name", 6, checked(names={"Fp1": "\x1b[31mFp1"}), 1, (r"not expected: \\x1b\[31mFp1",),
         never=("\x1b",)),
    Case("whole numbers", 6, checked(values=np.round(NOISE).astype(np.int32)), 0, ("no fault found",)),
    Case("text in the columns", 6, columns_of(pa.string(), ["1", "2"]), 1, (r"Fp1 \(string\).*holds no numbers",)),
    Case("truths in the columns", 6, columns_of(pa.bool_(), [True, False]), 1, (r"Fp1 \(bool\).*holds no numbers",)),
    Case("lists in the columns", 6, columns_of(pa.list_(pa.float32()), [[1.0], [2.0]]), 1, ("holds no numbers",)),
    Case("words with numbers for them", 6, columns_of(pa.dictionary(pa.int8(), pa.string()), ["a", "b"]), 1,
         ("holds no numbers",)),
    Case("nothing in the columns", 6, columns_of(pa.null(), [None, None]), 1, ("no signal: every sample is missing",)),
    # Files.
    Case("no bytes", 12, spoilt(lambda data: b""), 1, ("FAULT: not a whole Parquet file",)),
    Case("half a file", 12, spoilt(lambda data: data[: len(data) // 2]), 1, ("FAULT: not a whole Parquet file",)),
    Case("a footer alone", 12, spoilt(lambda data: b"PAR1" + data[-9000:]), 1, ("FAULT: not a whole Parquet file",)),
    Case("a page with a changed byte", 12, spoilt(flipped, write_page_checksum=True), 1, ("not a whole Parquet file",)),
    Case("a table as text", 12, text, 1, ("FAULT: not a whole Parquet file",)),
    Case("no rows", 12, checked(values=NOISE[:0]), 1, ("FAULT: no rows",)),
    Case("49 seconds", 12, predicted(values=NOISE[:9800]), 1, ("9800 samples; expected at least 10000",)),
    Case("an infinite value", 12, predicted(values=np.where(np.arange(20) == 7, np.inf, NOISE)), 1,
         ("column O1, row 1 .*is infinite",)),
    Case("a value beyond float32", 12, checked(values=np.full((10_000, 20), 1e300)), 1, ("is infinite",)),
    Case("an hour of one value in a few kB", 12, many_rows(720_000, 720_000), 1, ("720000 samples", "no signal")),
    Case("a part beyond the end", 12, beyond, 1, ("50 s; seconds 30 to 80 were asked for",)),
    Case("no file", 12, lambda folder: lambda: open_recording(folder / "a.parquet"), 1, ("a.parquet: no such file",)),
    Case("a folder for a file", 12, lambda folder: lambda: read_eeg(folder), 1, ("not a whole Parquet file",)),
]  # fmt: skip


@table(CASES)
def test_recordings(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)
