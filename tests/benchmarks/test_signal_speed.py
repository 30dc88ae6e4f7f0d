"""Speed of the signal transforms beside their rivals, in one run and with one thread each.

Every figure is the least processor time over rounds in which all rivals take turns: with one thread it is the wall time
of an idle machine, and a busy one does not put a long call, which is interrupted, behind a short one, which is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import signal
from threadpoolctl import threadpool_limits

from hbaclib import eeg_spectrogram, kaggle_spectrogram
from hbaclib.conventions import EEG_COLUMNS, RAW_PAIRS, REGIONS
from hbaclib.signal.filters import band_pass, notch_gain, zero_phase
from hbaclib.signal.montage import bipolar
from hbaclib.signal.quality import recording_quality
from hbaclib.signal.raw import raw_signals
from hbaclib.signal.reference import librosa_spectrogram
from tests.signal.recordings import noise


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    cpus, io = pa.cpu_count(), pa.io_thread_count()
    pa.set_cpu_count(1)
    with threadpool_limits(1):
        yield
    pa.set_cpu_count(cpus)
    pa.set_io_thread_count(io)


def _milliseconds(rivals: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least processor time of each, taking turns, after one unmeasured call each."""
    for call in rivals.values():
        call()
    least = dict.fromkeys(rivals, np.inf)
    for _ in range(rounds):
        for name, call in rivals.items():
            start = time.process_time()
            call()
            least[name] = min(least[name], time.process_time() - start)
    return {name: 1e3 * seconds for name, seconds in least.items()}


def _report(title: str, times: dict[str, float], benchmark: Callable, recordings: int = 1) -> None:
    ours = next(iter(times))
    print(f"\n{title}; recordings per second")
    for name, milliseconds in times.items():
        ratio, rate = milliseconds / times[ours], 1e3 * recordings / milliseconds
        print(f"  {milliseconds:9.2f} ms  {ratio:6.2f} x  {rate:7.0f} /s  {name}")
    benchmark.extra_info.update({name: round(milliseconds, 3) for name, milliseconds in times.items()})


def test_mel_spectrogram(benchmark: Callable, tmp_path: Path) -> None:
    eeg = noise(0).round(2)
    path = tmp_path / "1.parquet"
    pd.DataFrame(eeg, columns=list(EEG_COLUMNS)).to_parquet(path, index=False)
    np.testing.assert_allclose(eeg_spectrogram(eeg), librosa_spectrogram(eeg), atol=5e-5)
    times = _milliseconds(
        {
            "eeg_spectrogram": lambda: eeg_spectrogram(eeg),
            "16 librosa calls": lambda: librosa_spectrogram(eeg),
            "bare pyarrow read of the file": lambda: pq.read_table(path, use_threads=False),
        },
        rounds=40,
    )
    benchmark.pedantic(eeg_spectrogram, args=(eeg,), rounds=20)
    _report("mel-spectrogram of one 50-s EEG", times, benchmark)
    ours, librosa_loop, read = times.values()
    assert librosa_loop >= 8 * ours
    assert ours <= 5 * read


def _windows(eeg: np.ndarray) -> np.ndarray:
    """(16, 300, 800): what the rivals, which make spectra alone, get for nothing."""
    filtered = band_pass(np.pad(eeg.astype(np.float64), ((400, 400), (0, 0)), mode="reflect"), 0.5, 40)
    pairs = zero_phase(np.ascontiguousarray(bipolar(filtered).T), notch_gain)
    return np.lib.stride_tricks.sliding_window_view(pairs, 800, axis=-1)[:, 200::400][:, :300]


def _pair_loop(windows: np.ndarray, tapers: np.ndarray) -> np.ndarray:
    """One pair and window after the other, the tapers computed once."""
    result = np.empty((*windows.shape[:2], 100))
    for pair, of_pair in enumerate(windows):
        for row, window in enumerate(of_pair):
            spectra = np.fft.rfft(tapers * signal.detrend(window), 1024)[:, 3:103]
            result[pair, row] = (np.abs(spectra) ** 2).mean(axis=0) / 200
    return _columns(result)


def _window_loop(windows: np.ndarray, tapers: np.ndarray) -> np.ndarray:
    """All 16 pairs of a window at once."""
    result = np.empty((*windows.shape[:2], 100))
    for row in range(windows.shape[1]):
        spectra = np.fft.rfft(tapers[:, None] * signal.detrend(windows[:, row]), 1024)[..., 3:103]
        result[:, row] = (np.abs(spectra) ** 2).mean(axis=0) / 200
    return _columns(result)


def _columns(by_pair: np.ndarray) -> np.ndarray:
    by_region = by_pair.reshape(len(REGIONS), -1, *by_pair.shape[1:]).mean(axis=1)
    return by_region.transpose(1, 0, 2).reshape(by_pair.shape[1], -1)


def test_kaggle_spectrogram(benchmark: Callable) -> None:
    import mne  # slow to import, and this file is collected with all tests

    eeg = noise(1, 120_000)
    windows = _windows(eeg)
    contiguous = np.ascontiguousarray(windows.reshape(-1, 800))
    tapers = signal.windows.dpss(800, 2, 3)
    expected = kaggle_spectrogram(eeg)
    for loop in (_pair_loop, _window_loop):  # a rival that computes something else is none
        np.testing.assert_allclose(loop(windows, tapers)[4:-4], expected[4:-4], rtol=1e-3)
    options = {"fmin": 0.5, "fmax": 20, "bandwidth": 1.0, "normalization": "full", "verbose": "error"}
    times = _milliseconds(
        {
            "kaggle_spectrogram, float32, whole": lambda: kaggle_spectrogram(eeg),
            "kaggle_spectrogram, float64, whole": lambda: kaggle_spectrogram(eeg, dtype=np.float64),
            "mne psd_array_multitaper in one call, spectra alone": lambda: mne.time_frequency.psd_array_multitaper(
                contiguous, 200.0, **options
            ),
            "Python loop over windows, spectra alone": lambda: _pair_loop(windows, tapers),
            "Python loop, 16 pairs at once, spectra alone": lambda: _window_loop(windows, tapers),
        },
        rounds=7,
    )
    benchmark.pedantic(kaggle_spectrogram, args=(eeg,), rounds=5)
    _report("10-minute spectrogram of 120,000 samples", times, benchmark)
    ours, _, one_call, loop_time, _ = times.values()
    assert loop_time >= 8 * ours
    assert one_call >= 2 * ours


def _filtfilt_loop(recordings: np.ndarray) -> np.ndarray:
    coefficients = signal.butter(4, 16, fs=200)
    signals = np.empty((len(recordings), 2000, len(RAW_PAIRS)), np.float32)
    for recording, out in zip(recordings, signals, strict=True):
        for k, (first, second) in enumerate(RAW_PAIRS):
            wave = recording[:, EEG_COLUMNS.index(first)] - recording[:, EEG_COLUMNS.index(second)]
            wave = np.clip(np.nan_to_num(wave), -1024, 1024) / 32
            out[:, k] = signal.filtfilt(*coefficients, wave, padtype="even")[::5]
    return signals


def test_raw_signals(benchmark: Callable) -> None:
    recordings = np.stack([noise(seed) for seed in range(10)])
    np.testing.assert_allclose(raw_signals(recordings)[:, 20:-20], _filtfilt_loop(recordings)[:, 20:-20], atol=1e-4)
    times = _milliseconds(
        {
            "raw_signals": lambda: raw_signals(recordings),
            "SciPy filtfilt, channel by channel": lambda: _filtfilt_loop(recordings),
        },
        rounds=30,
    )
    benchmark.pedantic(raw_signals, args=(recordings,), rounds=10)
    _report(f"raw signals of {len(recordings)} recordings", times, benchmark, len(recordings))
    ours, loop = times.values()
    assert loop >= 3 * ours


def test_recording_quality(benchmark: Callable) -> None:
    eeg = noise(2)
    times = _milliseconds({"recording_quality": lambda: recording_quality(eeg)}, rounds=50)
    benchmark.pedantic(recording_quality, args=(eeg,), rounds=20)
    _report("quality of one 50-s EEG", times, benchmark)
    assert times["recording_quality"] < 3
