"""Reading EDF, making differences and timelines, beside reading the bytes and beside other readers of EDF."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from hbaclib import kaggle_spectrogram, open_recording
from hbaclib.conventions import EEG_RATE
from hbaclib.timeline.bins import Timeline
from tests.recordings.edf_files import LABELS, noise, write_edf
from tests.timeline.long_files import AtOnce

MOST_TIMES_BYTES = 4.0
LEAST_TIMES_REAL = 400
LEAST_TIMES_REAL_WITHOUT_NETWORKS = 250
SECONDS = 2 * 3600
NAMES = [*LABELS, "DC1", "DC2", "SpO2", "Resp"]


@pytest.fixture(scope="module", params=[200, 256])
def long_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rate = request.param
    values = np.tile(noise(600 * rate, len(NAMES)), (SECONDS // 600, 1))
    return write_edf(tmp_path_factory.mktemp("edf") / f"{rate}.edf", values, NAMES, rate=rate)


def bare(path: Path) -> None:
    np.fromfile(path, "<i2").astype("float32")


def own(path: Path) -> None:
    with open_recording(path) as recording:
        for start in range(0, recording.n_samples, 600 * EEG_RATE):
            recording.read_differences(start, min(start + 600 * EEG_RATE, recording.n_samples))


def with_edfio(path: Path) -> None:
    import edfio

    file = edfio.read_edf(path)
    np.stack([signal.data.astype(np.float32) for signal in file.signals[:20]])


def with_mne(path: Path) -> None:
    import mne

    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    step = round(600 * raw.info["sfreq"])
    for start in range(0, raw.n_times, step):
        raw.get_data(picks=list(range(20)), start=start, stop=min(start + step, raw.n_times)).astype(np.float32)


def with_pyedflib(path: Path) -> None:
    pyedflib = pytest.importorskip("pyedflib")
    with pyedflib.EdfReader(str(path)) as file:
        np.stack([file.readSignal(k).astype(np.float32) for k in range(20)])


def spectrogram(path: Path) -> None:
    with open_recording(path) as recording:
        for start in range(0, recording.n_samples, 600 * EEG_RATE):
            kaggle_spectrogram(recording.read(start, min(start + 600 * EEG_RATE, recording.n_samples)))


def timeline(path: Path) -> None:
    """Everything but the networks: reading, differences, quality, ten-minute spectrograms, the networks' inputs."""
    answers = AtOnce()
    with open_recording(path) as recording:
        bins = list(Timeline(recording).bins(answers))
    assert len(bins) == SECONDS // 10 and answers.windows == len(bins) - 4


def best(function: Callable[[Path], None], path: Path, times: int = 3) -> float:
    """Processor seconds of one thread: others on the machine do not count, nor threads that wait for each other."""
    took = []
    with threadpool_limits(1):
        for _ in range(times):
            begun = time.process_time()
            function(path)
            took.append(time.process_time() - begun)
    return min(took)


def test_differences_cost_no_more_than_the_bytes_four_times(
    benchmark: Callable, long_file: Path, capsys: pytest.CaptureFixture
) -> None:
    """The ratio and those of edfio, MNE and pyedflib, which give electrodes alone, at their own rate."""
    bytes_alone = best(bare, long_file)
    ratios = {function.__name__: best(function, long_file, 1 if function is with_pyedflib else 3) / bytes_alone
              for function in (own, with_edfio, with_mne, with_pyedflib)}  # fmt: skip
    with capsys.disabled():
        print(
            f"\n{long_file.name}: bytes {bytes_alone:.3f} s; " + ", ".join(f"{k} {v:.1f}x" for k, v in ratios.items())
        )
    benchmark.pedantic(own, (long_file,), rounds=1)
    assert ratios["own"] <= MOST_TIMES_BYTES


def test_spectrograms_from_edf_are_hundreds_of_times_faster_than_the_patient(
    benchmark: Callable, long_file: Path, capsys: pytest.CaptureFixture
) -> None:
    took = best(spectrogram, long_file, 1)
    with capsys.disabled():
        print(f"\n{long_file.name}: reading, resampling and spectrogram {SECONDS / took:.0f} times real time")
    benchmark.pedantic(spectrogram, (long_file,), rounds=1)
    assert SECONDS / took >= LEAST_TIMES_REAL


def test_all_but_the_networks_is_hundreds_of_times_faster_than_the_patient(
    benchmark: Callable, long_file: Path, capsys: pytest.CaptureFixture
) -> None:
    took = best(timeline, long_file, 1)
    with capsys.disabled():
        print(f"\n{long_file.name}: everything but the networks {SECONDS / took:.0f} times real time")
    benchmark.pedantic(timeline, (long_file,), rounds=1)
    assert SECONDS / took >= LEAST_TIMES_REAL_WITHOUT_NETWORKS
