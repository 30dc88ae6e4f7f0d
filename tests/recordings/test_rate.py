"""A file that states another rate than 200 Hz is refused, by its metadata or by a column of times."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hbaclib import open_recording
from hbaclib.conventions import EEG_COLUMNS
from hbaclib.errors import DataFileError
from tests.recordings.files import ROWS, write

START = np.datetime64("2024-02-28T23:59:30", "us")


def stamps(rate: float, unit: str = "us") -> np.ndarray:
    return (START + (ROWS * (1e6 / rate)).astype("timedelta64[us]")).astype(f"datetime64[{unit}]")


def clock(rate: float) -> pa.Array:
    """Times of day, from ten seconds before midnight on."""
    microseconds = 1e6 * (ROWS / rate + 86_390) % 86_400_000_000
    return pa.array(microseconds.astype(np.int64)).cast(pa.time64("us"))


@pytest.mark.parametrize(
    "metadata",
    [
        {"sampling_rate": "256"}, {"sfreq": "256.0"}, {"fs": "256 Hz"}, {"SamplingFrequency": 256}, {"srate": '"256"'},
        {"sampling_rate_hz": "256"}, {"Sample Rate": "0.256 kHz"}, {"eeg": {"info": {"sfreq": 256}}},
        {"PANDAS_ATTRS": {"sampling_rate": 256}}, {"pandas": {"attributes": {"fs": 256}, "columns": []}},
        {"sampling_interval": "3.90625 ms"}, {"dt": 0.00390625}, {"channels": [{"name": "Fp1", "sfreq": 256}]},
    ],
)  # fmt: skip
def test_metadata_of_another_rate(tmp_path, metadata) -> None:
    path = write(tmp_path / "a.parquet", metadata=metadata)
    with pytest.raises(DataFileError, match=r"states 256 Hz \(metadata: .*\); expected 200"):
        open_recording(path)


def test_metadata_of_a_column(tmp_path) -> None:
    path = write(tmp_path / "a.parquet", fields={"Fp1": {"sampling_rate": "500"}})
    with pytest.raises(DataFileError, match=r"states 500 Hz \(metadata: Fp1.sampling_rate = 500\)"):
        open_recording(path)


@pytest.mark.parametrize(
    "metadata",
    [{"sampling_rate": "200"}, {"fs": "200 Hz"}, {"sfreq": 199.98}, {"dt": "5 ms"}, {"meta": {"srate": "0.2 kHz"}}],
)
def test_metadata_of_200_hz(tmp_path, metadata) -> None:
    with open_recording(write(tmp_path / "a.parquet", metadata=metadata)) as recording:
        assert recording.rate_stated_by.startswith("metadata: ")


@pytest.mark.parametrize(
    "metadata",
    [
        {}, {"sampling_rate": "unknown"}, {"line_frequency": "60"}, {"fs": "1" * 2_000_000}, {"fs": "[" * 100_000},
        {"comment": "recorded at 256 Hz"}, {"fs": "1.2.3"},
        {"fs": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 256}}}}}}}},
    ],
)  # fmt: skip
def test_metadata_that_say_nothing(tmp_path, metadata) -> None:
    with open_recording(write(tmp_path / "a.parquet", metadata=metadata)) as recording:
        assert recording.rate_stated_by == ""


@pytest.mark.parametrize("rate", [100, 128, 199, 202, 250, 256, 500, 512, 1024])
@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time", lambda rate: ROWS / rate),
        ("time", lambda rate: (ROWS / rate).astype(np.float32)),
        ("Time (ms)", lambda rate: 1e3 * ROWS / rate),
        ("time_us", lambda rate: (1e6 * ROWS / rate).astype(np.int64)),
        ("seconds", lambda rate: 1.7e9 + ROWS / rate),
        ("t", lambda rate: 1e3 * ROWS / rate),
        ("when", stamps),
        ("elapsed", lambda rate: pa.array((1e6 * ROWS / rate).astype(np.int64)).cast(pa.duration("us"))),
        ("clock", lambda rate: clock(rate)),
        ("timestamp", lambda rate: stamps(rate).astype(str)),
        ("__index_level_0__", lambda rate: ROWS / rate),
    ],
    ids=str,
)  # fmt: skip
def test_times_of_another_rate(tmp_path, name, times, rate) -> None:
    path = write(tmp_path / "a.parquet", more={name: times(rate)})
    with pytest.raises(
        DataFileError, match=rf"states ({rate}|{rate - 1}\.9\d+|{rate}\.0\d+) Hz \(column .*\); expected 200"
    ):
        open_recording(path)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time", ROWS / 200), ("time", (ROWS / 200).astype(np.float32)), ("time_ms", 5 * ROWS), ("t", 5.0 * ROWS),
        ("when", stamps(200)), ("when", stamps(200, "ns")), ("when", stamps(200, "s")), ("when", stamps(200, "ms")),
        ("timestamp", stamps(200).astype(str)), ("time", np.round(ROWS / 200, 2)), ("seconds", ROWS // 200),
        ("time", 1.7e9 + ROWS / 199.97), ("time", np.where(ROWS % 777 == 5, np.nan, ROWS / 200)),
    ],
)  # fmt: skip
def test_times_of_200_hz(tmp_path, name, times) -> None:
    with open_recording(write(tmp_path / "a.parquet", more={name: times})) as recording:
        assert recording.rate_stated_by == f"column {name}"
        assert f"left out: {name}" in recording.notes[0]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time", ROWS), ("index", ROWS + 1), ("time", np.zeros(10_000)), ("time", np.full(10_000, np.nan)),
        ("annotation", ROWS / 256), ("timestamp", np.array(["noon"] * 10_000)), ("time", [None] * 10_000),
    ],
)  # fmt: skip
def test_columns_that_state_no_time(tmp_path, name, times) -> None:
    with open_recording(write(tmp_path / "a.parquet", more={name: times})) as recording:
        assert recording.rate_stated_by == ""


def test_times_in_whole_seconds_of_another_rate(tmp_path) -> None:
    values = np.zeros((60_000, len(EEG_COLUMNS)), np.float32)
    path = write(tmp_path / "a.parquet", values, more={"seconds": np.arange(60_000) // 256})
    with pytest.raises(DataFileError, match=r"states 25\d.* Hz"):
        open_recording(path)


def test_times_that_jump_or_go_back(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    write(path, more={"time": ROWS / 200 + 60 * (ROWS > 5000)})
    with pytest.raises(
        DataFileError, match=r"column time jumps between rows 5001 and 5201: 61 s lie between .* expected 1"
    ):
        open_recording(path)
    write(path, more={"time": ROWS / 200 - 20 * (ROWS > 5000)})
    with pytest.raises(DataFileError, match="column time goes back before row 5201"):
        open_recording(path)


def test_metadata_and_times_are_both_heard(tmp_path) -> None:
    path = write(tmp_path / "a.parquet", metadata={"fs": "200"}, more={"time": ROWS / 256})
    with pytest.raises(DataFileError, match=r"states 256 Hz \(column time\)"):
        open_recording(path)
