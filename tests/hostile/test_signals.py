"""Recordings and spectrograms that can be read and make no sense, and missing electrodes in any reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaclib import predict, read_eeg, validate_submission
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.prediction.submission import make_submission
from hbaclib.stages.port import port_data
from tests.dataset.tiny import random_eeg, random_spectrogram, write_eeg, write_spectrogram
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case
from tests.signal.recordings import column

Change = Callable[[np.ndarray], np.ndarray]
# A stage that is refused keeps the list of faults, and notes of the files that it need not check again.
PORTED = ("out", "out/*", "out/*/*", "out/*/*/*", "out/*/*/*/*")


def put(value: float, *place: object) -> Change:
    """A change that puts a value at a place."""

    def change(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[place or ...] = value
        return values

    return change


def scaled(factor: float) -> Change:
    return lambda values: values * np.float32(factor)


def scattered(share: float) -> Change:
    """Samples lost at random."""
    return lambda values: np.where(np.random.default_rng(0).random(values.shape) < share, np.nan, values)


def shared_by_all(values: np.ndarray) -> np.ndarray:
    return values[:, :1] + 50 * np.arange(20, dtype=np.float32)


def constants(values: np.ndarray) -> np.ndarray:
    return np.zeros_like(values) + 10 * np.arange(20, dtype=np.float32)


def clipped(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -4, 4)


def asked(
    change: Change = lambda values: values, power: Change | None = None, networks: str = "eeg"
) -> Callable[[Path], Callable[[], Any]]:
    """`hbaclib.predict` of two windows, of which the second is changed."""

    def make(folder: Path) -> Callable[[], Any]:
        rng, trained = np.random.default_rng(0), stock.run(folder) / networks
        eeg, rows = (np.stack([part, part]) for part in (random_eeg(rng), random_spectrogram(rng)))
        eeg[1], rows[1] = change(eeg[1]), (power or (lambda values: values))(rows[1])

        def door() -> str:
            shares = predict(trained, eeg, rows if power else None)
            assert np.isfinite(shares[0]).all()
            return f"the second has {'no ' * bool(np.isnan(shares[1]).all())}shares"

        return door

    return make


def checked(file: str, change: Change) -> Callable[[Path], Words]:
    """``hbac check`` of a data set in which one file is changed."""

    def make(folder: Path) -> Words:
        return ["check", spoil(folder, file, change), "--jobs", "1"]

    return make


def ported(file: str, change: Change, **options: Any) -> Callable[[Path], Callable[[], Any]]:
    """Stage 01 of a data set in which one file is changed."""

    def make(folder: Path) -> Callable[[], Any]:
        data = spoil(folder, file, change)
        return lambda: pd.read_parquet(
            port_data(data, folder / "out", n_folds=2, n_jobs=1, **options) / "samples.parquet"
        )["eeg_id"].unique()

    return make


def submitted(file: str, change: Change) -> Callable[[Path], Callable[[], Any]]:
    """A submission of a data set in which one file of the test recordings is changed."""

    def make(folder: Path) -> Callable[[], Any]:
        data, networks = spoil(folder, file, change), stock.run(folder) / "07_ensemble"

        def door() -> str:
            made = make_submission(data, networks, folder / "submission.csv", progress=False)
            written = validate_submission(pd.read_csv(folder / "submission.csv"), pd.read_csv(data / "test.csv"))
            shares = written[list(VOTE_COLUMNS)].to_numpy()
            assert np.isfinite(shares).all() and (shares >= 0).all() and np.allclose(shares.sum(axis=1), 1)
            return "\n".join([f"{len(made.log)} lines in the log", *made.log["message"]])

        return door

    return make


def spoil(folder: Path, file: str, change: Change) -> Path:
    data = stock.data(folder)
    path = data / f"{file}.parquet"
    if "spectrogram" in file:
        write_spectrogram(path, change(pd.read_parquet(path).to_numpy(np.float32)[:, 1:]))
    else:
        write_eeg(path, change(read_eeg(path)))
    return data


def commanded(change: Change, *options: str) -> Callable[[Path], Words]:
    """``hbac predict`` of one file."""

    def make(folder: Path) -> Words:
        path = stock.recording(folder)
        write_eeg(path, change(read_eeg(path)))
        return ["predict", stock.run(folder) / "eeg", path, *options]

    return make


NO, YES = "the second has no shares", "the second has shares"
NOT_EVALUATED = "1 of 2 windows not evaluated: row 1: "
EEG, POWER, TEST, TEN = "train_eegs/1003", "train_spectrograms/502", "test_eegs/80", "test_spectrograms/90"
PRIOR, COMPUTED = "class prior used, the EEG is not evaluated", "spectrogram computed from the EEG"
CASES = [
    Case("volts", 3, asked(scaled(1e-6)), 0, (NO, NOT_EVALUATED, "look like volts", "--unit V")),
    Case("millivolts", 3, asked(scaled(1e-3)), 0, (NO, NOT_EVALUATED, "look like millivolts", "--unit mV")),
    Case("nanovolts", 3, asked(scaled(1e3)), 0, (NO, NOT_EVALUATED, "look like nanovolts", "--unit nV")),
    Case("a million times too large", 3, asked(scaled(1e6)), 0, (NO, NOT_EVALUATED, "1,000,000 times too large")),
    Case("no samples", 3, asked(put(np.nan)), 0, (NO, NOT_EVALUATED, "every sample is missing")),
    Case("zeros", 3, asked(put(0)), 0, (NO, NOT_EVALUATED, "differences of electrodes are constant")),
    Case("a constant for each electrode", 3, asked(constants), 0, (NO, NOT_EVALUATED, "are constant")),
    Case("a common signal alone", 3, asked(shared_by_all), 0, (NO, NOT_EVALUATED, "are constant")),
    Case("a sample of 1e30", 3, asked(put(1e30, 77, 2)), 0, (NO, NOT_EVALUATED, r"1e\+30 µV in C3 at sample 77")),
    Case("a sample of -3e38", 3, asked(put(-3e38, 0, 9)), 0, (NO, NOT_EVALUATED, r"3e\+38 µV in Cz at sample 0")),
    Case("as large as floats go", 3, asked(lambda x: np.where(x > 0, 3e38, -3e38)), 0, (NO, NOT_EVALUATED)),
    Case("an infinite sample", 3, asked(put(np.inf, 0, 9)), 0, (NO, NOT_EVALUATED, "inf µV in Cz")),
    Case("samples scattered", 3, asked(scattered(0.97)), 0, (NO, NOT_EVALUATED, "share of missing 97 %")),
    Case("three seconds", 3, asked(put(np.nan, slice(600, None))), 0, (NO, NOT_EVALUATED, "share of missing 94 %")),
    Case("three seconds and zeros", 3, asked(put(0, slice(600, None))), 0, (NO, NOT_EVALUATED, "47 of 50 s")),
    Case("clipped", 3, asked(clipped), 0, (NO, NOT_EVALUATED, "clipped: 8")),
    Case("half missing", 3, asked(put(np.nan, slice(5000, None))), 0, (YES,), never=("not evaluated",)),
    Case("half of the samples", 3, asked(scattered(0.5)), 0, (YES,), never=("not evaluated",)),
    Case("a silent electrode", 3, asked(put(0, slice(None), 3)), 0, (YES,), never=("not evaluated",)),
    Case("an electrode missing", 5, asked(put(np.nan, slice(None), column("T3"))), 0, (YES,), never=("not evaluated",)),
    Case("a hemisphere missing", 5, asked(put(np.nan, slice(None), slice(0, 8))), 0, (YES,), never=("not evaluated",)),
    Case("a part missing", 5, asked(put(np.nan, slice(900, 4000), 0)), 0, (YES,), never=("not evaluated",)),
    Case("no EKG", 5, asked(put(np.nan, slice(None), 19)), 0, (YES,), never=("not evaluated",)),
    Case("an empty spectrogram", 3, asked(power=put(np.nan), networks="both"), 0,
         (NO, NOT_EVALUATED, "spectrogram: no signal: every value is missing")),
    Case("a spectrogram of 3e38", 3, asked(power=put(3e38), networks="07_ensemble"), 0,
         (NO, NOT_EVALUATED, r"spectrogram: power of 3e\+38")),
    Case("a spectrogram of zeros", 3, asked(power=put(0), networks="both"), 0,
         (NO, NOT_EVALUATED, "spectrogram: no signal: every value is 0")),
    Case("a negative spectrogram", 3, asked(power=put(-1), networks="both"), 0,
         (NO, NOT_EVALUATED, "spectrogram: power of -1")),
    Case("a spectrogram that nobody sees", 3, asked(power=put(np.nan)), 0, (YES,), never=("not evaluated",)),
    Case("half a spectrogram", 4, asked(power=put(np.nan, slice(0, 250)), networks="both"), 0, (YES,)),
    Case("check: volts", 3, checked(EEG, scaled(1e-6)), 1, (f"{EEG}.parquet: amplitude .*volts", "1 faulty file")),
    Case("check: no samples", 3, checked(EEG, put(np.nan)), 1, (f"{EEG}.parquet: no signal: every sample",)),
    Case("check: zeros", 3, checked(TEST, put(0)), 1, (f"{TEST}.parquet: no signal: all differences",)),
    Case("check: 1e30", 3, checked(EEG, put(1e30, 5, 5)), 1, (rf"{EEG}.parquet: 1e\+30 µV in T3 at sample 5",)),
    Case("check: clipped", 3, checked(TEST, clipped), 1, (f"{TEST}.parquet: clipped",)),
    Case("check: a silent electrode", 3, checked(EEG, put(0, slice(None), 5)), 0, ("no fault found",)),
    Case("check: an empty spectrogram", 4, checked(POWER, put(np.nan)), 1, (f"{POWER}.parquet: no signal",)),
    Case("check: a spectrogram of 3e38", 4, checked(TEN, put(3e38)), 1, (rf"{TEN}.parquet: power of 3e\+38",)),
    Case("check: 20 rows", 4, checked(TEN, lambda x: x[:20]), 1, (f"{TEN}.parquet: 20 rows; .* need 300",)),
    Case("port: volts", 3, ported(EEG, scaled(1e-6)), 1, ("1 faulty files", "look like volts"), writes=PORTED),
    Case("port: no samples", 3, ported(EEG, put(np.nan)), 1, (f"{EEG}.parquet: no signal",), writes=PORTED),
    Case("port: an empty spectrogram", 4, ported(POWER, put(np.nan)), 1, (f"{POWER}.parquet: no",), writes=PORTED),
    Case("port: left out", 3, ported(EEG, put(0), on_bad_file="skip"), 0, ("1002 1004",), writes=PORTED),
    Case("submission: volts", 3, submitted(TEST, scaled(1e-6)), 0, ("1 lines", PRIOR, "volts"), ("submission.csv",)),
    Case("submission: zeros", 3, submitted(TEST, put(0)), 0, ("1 lines", PRIOR, "constant"), ("submission.csv",)),
    Case("submission: no samples", 3, submitted(TEST, put(np.nan)), 0, ("1 lines", PRIOR), ("submission.csv",)),
    Case("submission: 1e30", 3, submitted(TEST, put(1e30, 9, 9)), 0, ("1 lines", PRIOR, "Cz"), ("submission.csv",)),
    Case("submission: 20 rows", 4, submitted(TEN, lambda x: x[:20]), 0,
         ("1 lines", COMPUTED, f"{TEN}.parquet: 20 rows, expected 300"), ("submission.csv",)),
    Case("submission: an empty spectrogram", 4, submitted(TEN, put(np.nan)), 0,
         ("1 lines", COMPUTED, f"{TEN}.parquet: no signal"), ("submission.csv",)),
    Case("submission: a spectrogram of 3e38", 4, submitted(TEN, put(3e38)), 0,
         ("1 lines", COMPUTED, rf"{TEN}.parquet: power of 3e\+38"), ("submission.csv",)),
    Case("submission: 290 rows", 4, submitted(TEN, lambda x: x[:290]), 0,
         ("1 lines", f"{TEN}.parquet: 290 rows, expected 300"), ("submission.csv",)),
    Case("submission: an electrode missing", 5, submitted(TEST, put(np.nan, slice(None), 5)), 0, ("0 lines",),
         ("submission.csv",)),
    Case("command: volts", 3, commanded(scaled(1e-6)), 1, ("look like volts", "--unit V")),
    Case("command: volts that are told", 3, commanded(scaled(1e-6), "--unit", "V"), 0, (r"a\.parquet,0\.0,0\.",)),
    Case("command: no samples", 3, commanded(put(np.nan)), 1, ("every sample is missing",)),
    Case("command: 1e30", 3, commanded(put(1e30, 5, 5)), 1, (r"1e\+30 µV in T3 at sample 5",)),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are traced once for all cases: the copies of the stock are the same."""
    monkeypatch.setattr(EnsemblePredictor, "open", _open)


_OPEN, _OPENED = EnsemblePredictor.open, dict[tuple[Any, ...], EnsemblePredictor]()


def _open(artefacts: str | Path, *given: Any, spectrograms: bool = True, **options: Any) -> EnsemblePredictor:
    key = Path(artefacts).name, spectrograms
    if key not in _OPENED:
        _OPENED[key] = _OPEN(artefacts, *given, spectrograms=spectrograms, **options)
    return _OPENED[key]


@table(CASES)
def test_signals(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)
