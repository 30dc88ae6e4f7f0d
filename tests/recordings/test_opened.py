"""Recordings are read in pieces as they are read whole, whatever lies in which row group."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hbaclib import open_recording, read_eeg
from hbaclib.conventions import EEG_COLUMNS
from hbaclib.errors import ConfigError, DataError, DataFileError
from hbaclib.recordings import opened
from hbaclib.recordings.parquet import load_eeg
from tests.dataset.tiny import random_eeg
from tests.recordings.files import write


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(opened, "BATCH", 1000)
    monkeypatch.setattr(opened, "KEPT", 3000)


@pytest.mark.parametrize("row_group_size", [700, 4096, 1 << 20])
def test_pieces_in_any_order_are_those_of_the_whole(tmp_path, small_batches, row_group_size) -> None:
    eeg = random_eeg(np.random.default_rng(0), 20_000)
    eeg[3000:3100, 4] = np.nan
    path = write(tmp_path / "a.parquet", eeg, row_group_size=row_group_size)
    rng = np.random.default_rng(1)
    with open_recording(path) as recording:
        assert (recording.n_samples, recording.seconds) == (20_000, 100.0)
        np.testing.assert_array_equal(recording.read(), eeg)
        for start in [*range(0, 19_000, 500), *rng.integers(0, 19_000, 50)]:
            stop = int(start) + int(rng.integers(0, 1000))
            np.testing.assert_array_equal(recording.read(int(start), stop), eeg[start:stop])
        assert [len(block) for block in recording.blocks(7000)] == [7000, 7000, 6000]
        again = recording.another()
        np.testing.assert_array_equal(again.read(19_999), eeg[19_999:])
        again.close()
        with pytest.raises(DataError, match="samples 10 to 20001 asked for; it has 20000"):
            recording.read(10, 20_001)


def test_reading_forwards_decodes_every_batch_once(tmp_path, small_batches, monkeypatch) -> None:
    path = write(tmp_path / "a.parquet", random_eeg(np.random.default_rng(0), 20_000), row_group_size=20_000)
    sought = []
    seek = opened.OpenedRecording._seek
    monkeypatch.setattr(opened.OpenedRecording, "_seek", lambda self, group: sought.append(group) or seek(self, group))
    with open_recording(path) as recording:
        for start in range(0, 18_000, 300):
            recording.read(start, start + 2000)
    assert sought == [0]


def test_a_part_by_seconds(tmp_path) -> None:
    eeg = random_eeg(np.random.default_rng(0), 12_000)
    path = write(tmp_path / "a.parquet", eeg)
    np.testing.assert_array_equal(read_eeg(path, start=1.5, seconds=50), eeg[300:10_300])
    np.testing.assert_array_equal(read_eeg(path, start=59), eeg[11_800:])
    with pytest.raises(DataFileError, match="60 s; seconds 30 to 80 were asked for"):
        read_eeg(path, start=30, seconds=50)


@pytest.mark.parametrize("kind", ["int16", "int64", "float16", "float64", "decimal", "dictionary"])
def test_every_kind_of_number(tmp_path, kind) -> None:
    eeg = np.round(random_eeg(np.random.default_rng(0), 300))
    if kind == "decimal":
        columns = [pa.array(column.astype(np.int64)).cast(pa.decimal128(20, 0)) for column in eeg.T]
    elif kind == "dictionary":
        columns = [pa.array(column).dictionary_encode() for column in eeg.T]
    else:
        columns = [pa.array(column.astype(kind)) for column in eeg.T]
    pq.write_table(pa.table(columns, names=list(EEG_COLUMNS)), tmp_path / "a.parquet")
    np.testing.assert_array_equal(read_eeg(tmp_path / "a.parquet"), eeg)


def test_a_column_of_nothing_and_missing_values_are_nan(tmp_path) -> None:
    columns = [pa.array([1, None, 3]) for _ in EEG_COLUMNS]
    columns[4] = pa.nulls(3)
    pq.write_table(pa.table(columns, names=list(EEG_COLUMNS)), tmp_path / "a.parquet")
    found = read_eeg(tmp_path / "a.parquet")
    assert np.isnan(found[:, 4]).all() and np.isnan(found[1]).all()
    np.testing.assert_array_equal(np.delete(found, 4, axis=1)[[0, 2], 0], [1, 3])


def test_an_infinite_value_is_found_wherever_it_lies(tmp_path, small_batches) -> None:
    eeg = random_eeg(np.random.default_rng(0), 5000)
    eeg[4321, 2] = -np.inf
    path = write(tmp_path / "a.parquet", eeg)
    with open_recording(path) as recording:
        recording.read(0, 1000)
        with pytest.raises(DataFileError, match=r"column C3, row 4322 .* is infinite"):
            recording.verify()


def test_a_damaged_page_is_told(tmp_path) -> None:
    path = write(tmp_path / "a.parquet", random_eeg(np.random.default_rng(0), 5000), write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataFileError, match="not a whole Parquet file"):
        read_eeg(path)


@pytest.mark.parametrize("fault", ["a page", "an infinite value"])
def test_whoever_reads_again_is_told_the_same(tmp_path, small_batches, fault) -> None:
    eeg = random_eeg(np.random.default_rng(0), 5000)
    eeg[4321, 2] = -np.inf if fault == "an infinite value" else 0
    path = write(tmp_path / "a.parquet", eeg, write_page_checksum=True)
    if fault == "a page":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    told = []
    with open_recording(path) as recording:
        for _ in range(3):
            with pytest.raises(DataFileError) as caught:
                recording.verify()
            told.append(str(caught.value))
    assert len(set(told)) == 1 and ("infinite" in told[0] or "not a whole Parquet file" in told[0])


def test_too_much_at_once_is_refused_and_read_in_parts(tmp_path, monkeypatch) -> None:
    path = write(tmp_path / "a.parquet", random_eeg(np.random.default_rng(0), 5000))
    monkeypatch.setattr(opened, "_SMALL", 300_000)
    monkeypatch.setattr(opened, "available_memory", lambda: 600_000)
    with pytest.raises(
        DataFileError, match=r"5000 samples \(0\.0 h\) at once need 0\.0 GB of memory, 0\.0 GB are free"
    ):
        load_eeg(path)
    with open_recording(path) as recording:
        assert sum(len(block) for block in recording.blocks(2000)) == 5000


def test_one_huge_page_is_refused_for_what_it_would_need(tmp_path, monkeypatch) -> None:
    eeg = random_eeg(np.random.default_rng(0), 50_000)
    many = write(tmp_path / "many.parquet", eeg, use_dictionary=False, data_page_size=4096)
    one = write(tmp_path / "one.parquet", eeg, use_dictionary=False, data_page_size=1 << 30, write_batch_size=1 << 20)
    monkeypatch.setattr(opened, "_SMALL", 1_000_000)
    monkeypatch.setattr(opened, "available_memory", lambda: 2_000_000)
    with open_recording(many) as recording:
        assert recording.read(0, 100).shape == (100, 20)
    if pq.ParquetFile(one).metadata.row_group(0).column(0).total_uncompressed_size < 190_000:
        pytest.skip("this pyarrow packs such columns")
    with pytest.raises(DataFileError, match=r"its pages need 0\.0 GB of memory.*row groups of at most"):
        open_recording(one)


def test_more_than_a_month_is_refused(tmp_path, monkeypatch) -> None:
    path = write(tmp_path / "a.parquet", random_eeg(np.random.default_rng(0), 5000))
    monkeypatch.setattr(opened, "LONGEST_DAYS", 1e-4)
    with pytest.raises(
        DataFileError, match=r"5000 rows, 0\.000289 days at 200 Hz, in a file of .* MB; expected at most"
    ):
        open_recording(path)


def test_an_unknown_unit_of_the_callers(tmp_path) -> None:
    with pytest.raises(ConfigError, match="unit 'kV' is unknown; expected µV, V, mV, nV"):
        open_recording(write(tmp_path / "a.parquet"), unit="kV")
