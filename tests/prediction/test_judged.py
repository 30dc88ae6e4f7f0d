"""Windows of files with channels and times, and of a Raw, are those of the timeline: one signal on every way."""

from __future__ import annotations

import warnings
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from hbaclib import predict
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.dataset.synthetic.edf import EdfWriter
from hbaclib.dataset.synthetic.night import BEGIN, LABELS
from tests.cli.predicting import call
from tests.made_shipped import IMAGE, make_shipped
from tests.signal.recordings import column, noise

SECOND = 200
N_SECONDS = 130
LACKS = {
    "nothing": (),
    "an electrode": ("T3",),
    "two of a chain": ("T3", "T5"),
    "two chains": ("T3", "T5"),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    both = {**IMAGE, "name": "both", "inputs": "both"}
    return make_shipped(tmp_path_factory.mktemp("run"), {"eeg": IMAGE, "both": both})


@pytest.fixture(scope="module")
def eeg():
    """130 s in which Fp1 is flat from second 40 to 54 and O2 has mains from second 90 on."""
    found = noise(3, N_SECONDS * SECOND)
    found[40 * SECOND : 54 * SECOND, column("Fp1")] = 7
    found[90 * SECOND :, column("O2")] += 400 * np.sin(2 * np.pi * 50 * np.arange(40 * SECOND) / SECOND)
    return found


def write(path: Path, eeg: np.ndarray, lacking: tuple[str, ...] = (), gap: float = 0.0) -> Path:
    """An EDF of one-second records; those after the first half begin ``gap`` seconds late."""
    labels = [label for label in LABELS if not any(f" {name}-" in label or label == name for name in lacking)]
    kept = [k for k, label in enumerate(LABELS) if label in labels]
    assert len(labels) == len(LABELS) - len(lacking)
    n_seconds = len(eeg) // SECOND
    with open(path, "wb") as file:
        writer = EdfWriter(file, labels, SECOND, BEGIN, n_seconds, gaps=True)
        for second in range(n_seconds):
            late = gap if second >= n_seconds // 2 else 0
            writer.write(second + late, eeg[second * SECOND : (second + 1) * SECOND, kept])
    return path


def table(folder: Path, path: Path, *options: str) -> pd.DataFrame:
    out = path.with_suffix(".csv")
    answer = call(folder, path, *options, "--out", out)
    assert out.is_file(), answer.output
    return pd.read_csv(out, keep_default_na=False, na_values=dict.fromkeys(VOTE_COLUMNS, ""))


@pytest.mark.parametrize("folder", ["eeg", "both"])
@pytest.mark.parametrize("lacking", LACKS)
def test_windows_are_those_of_the_timeline(networks, eeg, tmp_path, folder, lacking):
    if lacking == "two chains":
        eeg = eeg.copy()
        eeg[:, [column("T4"), column("T6")]] = 3
    path = write(tmp_path / "night.edf", eeg, LACKS[lacking])
    line = table(networks / folder, path)
    windows = table(networks / folder, path, "--window", "sliding")
    bins = line.iloc[2 : 2 + len(windows)]
    assert len(windows) == 9 and windows["start_second"].tolist() == (bins["start"] - 20).tolist()
    np.testing.assert_allclose(windows[list(VOTE_COLUMNS)], bins[list(VOTE_COLUMNS)], atol=1e-6)
    told = [reason.replace("; short context", "").replace("short context", "") for reason in bins["reason"]]
    assert windows["reason"].tolist() == told
    assert windows[VOTE_COLUMNS[0]].isna().all() == (lacking == "two chains")
    if lacking == "two of a chain":
        assert all("3 of 4 regions, without LL" in reason for reason in windows["reason"])
    if lacking != "two chains":
        assert sum("Fp1 (flat)" in reason for reason in windows["reason"]) == 2  # of seconds 40 to 60
    else:
        assert all("montage: nothing of use in LL, RL" in reason for reason in windows["reason"])
    centre = table(networks / folder, path, "--window", "centre")
    np.testing.assert_allclose(centre[list(VOTE_COLUMNS)], windows.loc[[4], list(VOTE_COLUMNS)], atol=1e-6)


@pytest.mark.parametrize("folder", ["eeg", "both"])
def test_so_are_those_of_a_raw(networks, eeg, tmp_path, folder):
    path = write(tmp_path / "night.edf", eeg, ("T3", "T5"))
    raw = mne.io.read_raw_edf(path, verbose="ERROR", preload=True)
    with pytest.warns(UserWarning, match=r"LL.*row 2: 3 of 4 regions, without LL; not used: Fp1 \(flat\)"):
        found = predict(networks / folder, raw)
    line = table(networks / folder, path)
    np.testing.assert_allclose(found, line[list(VOTE_COLUMNS)].iloc[2:11], atol=2e-5)


def test_of_a_raw_that_gives_all_nothing_is_told(networks):
    raw = mne.io.RawArray(
        noise(0, 60 * SECOND)[:, :20].T * 1e-6,
        mne.create_info([*map(str, LABELS[:20])], SECOND, "eeg", verbose="ERROR"),
        verbose="ERROR",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(predict(networks / "eeg", raw)).all()


def test_ten_minutes_are_filtered_up_to_a_gap_and_not_beyond(networks, eeg, tmp_path):
    """An offset of 2 mV behind a gap leaves no trace before it."""
    folder, sound = networks / "both", noise(5, N_SECONDS * SECOND)
    stepped = sound.copy()
    stepped[65 * SECOND :, column("Fp1")] += 2000
    ways = [table(folder, write(tmp_path / f"{name}.edf", values, gap=60.0), "--window", "0")
            for name, values in (("plain", sound), ("stepped", stepped))]  # fmt: skip
    np.testing.assert_allclose(*(way[list(VOTE_COLUMNS)] for way in ways), atol=1e-4)


def test_a_window_anywhere_of_a_long_recording_reads_what_is_around_it(eeg):
    from hbaclib.prediction.judged import JudgedRecording
    from tests.timeline.made import MadeRecording

    long = np.tile(eeg, (20, 1))  # 43 minutes
    starts = (1_000 * SECOND, 1_000 * SECOND + 130, 2_500 * SECOND)
    whole = JudgedRecording(MadeRecording(long), None, spectrograms=True)
    made = {start: (whole.take(start), whole.signals(start)) for start in starts}
    for start in starts:
        recording = MadeRecording(long)
        alone = JudgedRecording(recording, None, spectrograms=True)
        np.testing.assert_allclose(np.log(alone.take(start)), np.log(made[start][0]), atol=1e-4)
        signals, *others = alone.signals(start)
        np.testing.assert_array_equal(signals, made[start][1][0])
        assert others == list(made[start][1][1:])
        assert min(first for first, _ in recording.asked) >= start - 1_000 * SECOND


@pytest.mark.parametrize("first", [0, 130, 900])
def test_ten_minutes_may_be_computed_where_a_file_has_served_before(eeg, first):
    """Signals of many windows are asked for, and then ten minutes that begin before all of them."""
    from hbaclib.prediction.judged import JudgedRecording
    from tests.timeline.made import MadeRecording

    long = np.tile(eeg, (20, 1))
    mixed = JudgedRecording(MadeRecording(long), None, spectrograms=True)
    for second in range(first, 1_900, 50):
        mixed.signals(second * SECOND)
    last = 1_900 * SECOND
    alone = JudgedRecording(MadeRecording(long), None, spectrograms=True)
    np.testing.assert_allclose(np.log(mixed.take(last)), np.log(alone.take(last)), atol=1e-4)
    np.testing.assert_array_equal(mixed.signals(last)[0], alone.signals(last)[0])
