"""``hbac predict --window timeline``: a row for every ten seconds, of EDF and Parquet alike."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import kaggle_spectrogram, predict, read_eeg
from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.dataset.synthetic.edf import EdfWriter
from hbaclib.dataset.synthetic.night import BEGIN, LABELS
from tests.cli.predicting import call, shares
from tests.cli.predicting import table as printed
from tests.dataset.tiny import random_eeg, write_eeg, write_spectrogram, write_tiny
from tests.made_shipped import IMAGE, make_shipped
from tests.signal.recordings import column

COLUMNS = ["file", "start", "stop", "clock", *VOTE_COLUMNS, "state", "reason", "context", "missing", "quality"]
SECOND = 200


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Trained folders: one sees the EEG alone, the other ten minutes as well; and both as an ensemble."""
    root = tmp_path_factory.mktemp("run")
    both = {**IMAGE, "name": "synthetic-both", "inputs": "both"}
    return make_shipped(root, {"eeg": IMAGE, "both": both})


def write_night(path: Path, onsets: np.ndarray, eeg: np.ndarray) -> Path:
    """Records of one second that begin when they do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        writer = EdfWriter(file, LABELS, SECOND, BEGIN, len(onsets), gaps=True)
        for onset in onsets:
            first = round(onset * SECOND)
            writer.write(float(onset), eeg[first : first + SECOND])
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """130 s with a gap of 20.25 s from second 70 on; as EDF, and without the gap as Parquet."""
    root = tmp_path_factory.mktemp("data")
    eeg = random_eeg(np.random.default_rng(0), 171 * SECOND)
    onsets = np.concatenate([np.arange(70), 90.25 + np.arange(80)])
    write_night(root / "nights" / "gap.edf", onsets, eeg)
    write_eeg(root / "whole.parquet", eeg[: 130 * SECOND])
    return root


def test_an_edf_file_is_a_timeline(networks, data):
    path = data / "nights" / "gap.edf"
    answer = call(networks / "eeg", path)
    assert answer.exit_code == 0, answer.output
    assert "170.25 s, 6 windows of 50 s for 2 networks" in answer.stderr
    found = pd.read_csv(io.StringIO(answer.stdout), keep_default_na=False, na_values=dict.fromkeys(VOTE_COLUMNS, ""))
    assert list(found.columns) == COLUMNS
    assert found["start"].tolist() == [10.0 * k for k in range(18)] and found["stop"].iloc[-1] == 170.25
    assert found["clock"].iloc[:2].tolist() == ["2026-01-01T22:00:00", "2026-01-01T22:00:10"]
    reasons = [*["edge"] * 2, *[""] * 3, *["edge"] * 2, *["gap"] * 2, *["edge"] * 3, *[""] * 3, *["edge"] * 3]
    assert [reason.split(";")[0] for reason in found["reason"]] == reasons
    evaluated = np.array([not reason for reason in reasons])
    assert (found["state"] == "not evaluated").tolist() == (~evaluated).tolist()
    assert set(found["state"][evaluated]) <= {*CLASSES, "doubtful"}
    assert np.isnan(shares(found)[~evaluated]).all()
    eeg = read_eeg(path)
    windows = np.stack([eeg[(10 * k - 20) * SECOND : (10 * k + 30) * SECOND] for k in np.flatnonzero(evaluated)])
    np.testing.assert_allclose(shares(found)[evaluated], predict(networks / "eeg", windows), atol=1e-6)
    assert found["missing"].tolist()[7:9] == [1, 1] and found["missing"].iloc[0] == 0


@pytest.mark.parametrize("folder", ["both", "07_ensemble"])
def test_networks_that_see_ten_minutes_see_those_around_each_bin(networks, data, folder):
    path = data / "whole.parquet"
    found = printed(networks / folder, path, "--window", "timeline")
    eeg = read_eeg(path)
    power = kaggle_spectrogram(eeg, first_centre=2.0)
    windows, rows = [], []
    for k in range(2, 11):
        windows.append(eeg[(10 * k - 20) * SECOND : (10 * k + 30) * SECOND])
        rows.append(np.full((300, 400), np.nan, np.float32))
        first = 147 - 5 * k  # the row that lies at second 0
        rows[-1][first + 1 : first + 1 + 64] = power[:64]
    expected = predict(networks / folder, np.stack(windows), np.stack(rows))
    np.testing.assert_allclose(shares(found)[2:11], expected, atol=1e-6)
    assert found["reason"].tolist() == ["edge"] * 2 + ["short context"] * 9 + ["edge"] * 2
    assert found["context"].tolist() == [round(64 / 300, 4)] * 13
    assert found["clock"].isna().all()
    alone = printed(networks / "07_ensemble", path, "--window", "timeline", "--spectrogram", "none")
    assert alone["reason"].isna().sum() == 9


def test_options_of_a_timeline(networks, data):
    given = networks / "eeg", data / "nights" / "gap.edf"
    nearest = printed(*given, "--edges", "nearest")
    assert nearest["state"].eq("not evaluated").sum() == 2
    np.testing.assert_array_equal(shares(nearest)[0], shares(nearest)[2])
    plain, fine = printed(*given), printed(*given, "--step", "5")
    assert np.nanmax(np.abs(shares(fine) - shares(plain))) > 0
    assert np.nanmax(np.abs(shares(fine) - shares(plain))) < 0.1
    glued = printed(*given, "--ignore-gaps")
    assert len(glued) == 15 and not glued["reason"].eq("gap").any()
    at = printed(*given, "--window", "0")
    assert list(at.columns)[:2] == ["file", "start_second"]
    np.testing.assert_allclose(shares(at)[0], shares(plain)[2], atol=1e-6)
    sliding = printed(*given, "--window", "sliding")
    assert sliding["start_second"].tolist() == [0, 10, 20, 100, 110, 120]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--step", "3"), "expected 1, 2, 5 or 10"),
        (("--edges", "copy"), "nearest"),
        (("--spectrogram", "."), "--spectrogram PATH does not apply"),
        (("--window", "centre", "--edges", "nearest"), "--edges belongs to --window timeline"),
        (("--window", "centre", "--step", "5"), "--step belongs to --window sliding and --window timeline"),
        (("--window", "timelines"), "expected centre, sliding, timeline"),
    ],
)
def test_what_does_not_go_together_is_told(networks, data, words, told):
    answer = call(networks / "eeg", data / "nights" / "gap.edf", *words)
    assert answer.exit_code == 2 and told in answer.stderr.replace("\n", " "), answer.stderr
    write_tiny(data / "set", n_eegs=2)
    answer = call(networks / "eeg", data / "set", "--window", "timeline")
    assert answer.exit_code == 2 and "test.csv names windows" in answer.stderr


def test_a_folder_names_what_it_leaves_out(networks, data, tmp_path):
    eeg = random_eeg(np.random.default_rng(1), 61 * SECOND)
    write_night(tmp_path / "in" / "b.edf", np.arange(60), eeg)
    write_night(tmp_path / "in" / "c.edf", np.arange(30), eeg)
    write_eeg(tmp_path / "in" / "d.parquet", eeg)
    (tmp_path / "in" / "a.edf").write_bytes(b"")
    out = tmp_path / "lines.csv"
    answer = call(networks / "eeg", tmp_path / "in", "--out", out)
    assert answer.exit_code == 1
    assert "a.edf: not EDF, BDF or Parquet" in answer.stderr
    assert "c.edf: its longest segment is 30 s; expected at least 50 s" in answer.stderr
    assert "2 of 4 recordings could not be predicted" in answer.stderr
    found = pd.read_csv(out)
    assert [Path(name).name for name in found["file"].unique()] == ["b.edf", "d.parquet"] and len(found) == 13
    # A table of this command is replaced, by another kind of it too; other files are not.
    assert call(networks / "eeg", data / "whole.parquet", "--out", out).exit_code == 0
    assert len(pd.read_csv(out)) == 1
    (tmp_path / "own.csv").write_text("mine\n")
    refused = call(networks / "eeg", tmp_path / "in" / "b.edf", "--out", tmp_path / "own.csv")
    assert refused.exit_code == 1 and "was not written by hbac" in refused.stderr
    assert (tmp_path / "own.csv").read_text() == "mine\n"
    refused = call(networks / "eeg", tmp_path / "in" / "b.edf", "--out", tmp_path / "in" / "b.edf")
    assert refused.exit_code == 1 and "is an input" in refused.stderr


def test_short_recordings_are_marked(networks, data, tmp_path):
    eeg = random_eeg(np.random.default_rng(2), 31 * SECOND)
    path = write_night(tmp_path / "short.edf", np.arange(30), eeg)
    refused = call(networks / "eeg", path)
    assert refused.exit_code == 1 and "--short" in refused.stderr and not refused.stdout
    found = printed(networks / "eeg", path, "--short", "reflect")
    assert found["reason"].tolist() == ["edge", "short", "edge"]
    # Half a step of the file lies between what was written and what is read.
    expected = predict(networks / "eeg", np.round(eeg[None, : 30 * SECOND], 1), short="reflect")
    np.testing.assert_allclose(shares(found)[1:2], expected, atol=1e-4)


def test_a_recording_without_signal_has_rows_and_the_exit_code_says_so(networks, tmp_path):
    write_eeg(tmp_path / "flat.parquet", np.full((60 * SECOND, 20), 5, np.float32))
    answer = call(networks / "eeg", tmp_path / "flat.parquet", "--window", "timeline")
    assert answer.exit_code == 1 and "no window could be evaluated" in answer.stderr
    found = pd.read_csv(io.StringIO(answer.stdout))
    assert found["state"].eq("not evaluated").all() and shares(found).shape == (6, 6) and np.isnan(shares(found)).all()
    assert found["reason"].str.startswith("signal: no signal").sum() == 2


def test_a_spectrogram_is_no_recording(networks, tmp_path):
    write_spectrogram(tmp_path / "rows.parquet", np.ones((300, 400), np.float32))
    answer = call(networks / "eeg", tmp_path / "rows.parquet", "--window", "timeline")
    assert answer.exit_code == 1 and "missing" in answer.stderr and not answer.stdout


@pytest.mark.parametrize("window", ["centre", "60"])
def test_a_window_that_holds_a_gap_is_refused(networks, data, window):
    answer = call(networks / "eeg", data / "nights" / "gap.edf", "--window", window)
    assert answer.exit_code == 1 and "holds a gap; expected 50 s without one" in answer.stderr


@pytest.mark.parametrize("window", ["timeline", "centre"])
def test_less_than_three_regions_are_predicted_if_wished(networks, tmp_path, window):
    eeg = random_eeg(np.random.default_rng(5), 60 * SECOND)
    eeg[:, [column(name) for name in ("F7", "T3", "F8", "T4")]] = 5
    write_eeg(tmp_path / "few.parquet", eeg)
    words = networks / "eeg", tmp_path / "few.parquet", "--window", window
    answer = call(*words, "--allow-missing")
    if window == "centre":
        assert answer.exit_code == 2 and "--allow-missing belongs to --window timeline" in answer.stderr
        return
    assert answer.exit_code == 0 and "warning: rows with less than three of the four regions" in answer.stderr
    found = pd.read_csv(io.StringIO(answer.stdout))
    assert found["reason"][2:4].str.startswith("2 of 4 regions, without LL, RL; not used: F7 (flat)").all()
    assert np.isfinite(shares(found)[2:4]).all()
    answer = call(*words)
    assert answer.exit_code == 1 and "montage: nothing of use in LL, RL" in answer.stdout
