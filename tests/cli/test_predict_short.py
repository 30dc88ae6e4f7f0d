"""``hbac predict --short``: recordings of 10 to 50 s in the middle of a window, marked in the table."""

import io
from functools import partial

import numpy as np
import pandas as pd
import pytest

from hbaclib import kaggle_spectrogram, place_short, predict
from hbaclib.cli.predict import HEADERS
from hbaclib.conventions import SPECTROGRAM_WINDOW, VOTE_COLUMNS
from tests.cli.predicting import call, shares
from tests.cli.predicting import table as printed_table
from tests.dataset.tiny import random_eeg, random_spectrogram, write_eeg, write_spectrogram, write_tiny
from tests.made_shipped import IMAGE, make_shipped

BOTH = {**IMAGE, "name": "both", "inputs": "both"}
COLUMNS = ["file", "start_second", *VOTE_COLUMNS, "reason", "note"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Trained folders: one sees the EEG alone, the other ten minutes as well."""
    return make_shipped(tmp_path_factory.mktemp("run"), {"eeg": IMAGE, "both": BOTH})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for name, n_samples in {"a": 2000, "b": 9999, "c": 10_000, "d": 12_000}.items():
        write_eeg(root / f"{name}.parquet", random_eeg(np.random.default_rng(n_samples), n_samples))
    return root


table = partial(printed_table, keep_default_na=False)


def eeg(n_samples):
    return random_eeg(np.random.default_rng(n_samples), n_samples)


def test_short_recordings_are_refused_unless_asked_for(networks, data, tmp_path):
    out = tmp_path / "out.csv"
    answer = call(networks / "eeg", data, "--out", out)
    assert answer.exit_code == 1 and "2 of 4 recordings could not be predicted" in answer.stderr
    for words in ("a.parquet: 2000 samples; expected at least 10000 (50 s at 200 Hz), and these are 10 s",
                  "b.parquet: 9999 samples; expected at least 10000 (50 s at 200 Hz), and these are 49.995 s",
                  "--short nan or --short reflect evaluates recordings of 10 to 50 s"):  # fmt: skip
        assert words in answer.stderr
    found = pd.read_csv(out)
    assert list(found) == COLUMNS[:-1] and len(found) == 2


@pytest.mark.parametrize("how", ["nan", "reflect"])
@pytest.mark.parametrize("window", ["centre", "sliding", "0"])
def test_they_are_placed_and_marked(networks, data, how, window):
    found = table(networks / "eeg", data, "--short", how, "--window", window)
    assert list(found) == COLUMNS
    last = {"centre": [5.0], "sliding": [0.0, 10.0], "0": [0.0]}[window]
    assert found["start_second"].tolist() == [0.0, 0.0, 0.0, *last]
    assert found["note"].tolist() == ["short", "short", "", *[""] * len(last)]
    assert (found["reason"] == "").all()
    expected = [predict(networks / "eeg", place_short(eeg(n), how)[None])[0] for n in (2000, 9999, 10_000)]
    np.testing.assert_allclose(shares(found)[:3], expected, atol=1e-6)


def test_the_ways_differ_and_long_recordings_do_not_notice(networks, data):
    found = {how: table(networks / "eeg", data, "--short", how) for how in ("nan", "reflect")}
    assert np.abs(shares(found["nan"])[0] - shares(found["reflect"])[0]).max() > 1e-4
    np.testing.assert_array_equal(shares(found["nan"])[2:], shares(found["reflect"])[2:])


def test_a_start_behind_the_first_sample_is_refused(networks, data):
    answer = call(networks / "eeg", data, "--short", "nan", "--window", "5")
    assert answer.exit_code == 1 and "3 of 4 recordings could not be predicted" in answer.stderr
    assert "a.parquet: 2000 samples; expected at least 11000" in answer.stderr
    assert "a recording below 50 s is one window, all of it, without --window START" in answer.stderr
    assert "c.parquet: 10000 samples; expected at least 11000 (55 s at 200 Hz)" in answer.stderr


def test_an_older_table_is_replaced_by_a_newer_one(networks, data, tmp_path):
    out = tmp_path / "out.csv"
    for words in ([], ["--short", "nan"], ["--short", "reflect"], []):
        assert call(networks / "eeg", data / "c.parquet", "--out", out, *words).exit_code == 0
        assert tuple(pd.read_csv(out)) in HEADERS
    assert list(pd.read_csv(out)) == COLUMNS[:-1]


@pytest.mark.parametrize("n_samples", [2000, 2001, 9999])
@pytest.mark.parametrize("how", ["nan", "reflect"])
def test_ten_minutes_hold_the_recording_in_their_middle_and_nothing_else(networks, tmp_path, n_samples, how):
    write_eeg(tmp_path / "a.parquet", eeg(n_samples))
    found = table(networks / "both", tmp_path / "a.parquet", "--short", how)
    # Window and ten minutes have one centre; the recording begins so many seconds behind theirs.
    begins = 275 + (10_000 - n_samples) // 2 / 200
    first = int(np.ceil(begins / 2))
    power = kaggle_spectrogram(eeg(n_samples), first_centre=2 * first + 1 - begins)
    power = power[: int(np.floor((begins + n_samples / 200 - 2) / 2)) - first + 1]
    rows = np.full((SPECTROGRAM_WINDOW, 400), np.nan, np.float32)
    rows[first : first + len(power)] = power
    assert len(power) >= 4 and abs(first + len(power) / 2 - 150) <= 1, "in the middle"
    expected = predict(networks / "both", place_short(eeg(n_samples), how)[None], rows[None])
    np.testing.assert_allclose(shares(found), expected, atol=1e-6)


def test_a_spectrogram_file_has_the_centre_of_the_recording(networks, data, tmp_path):
    rows = random_spectrogram(np.random.default_rng(5), 310)
    write_spectrogram(tmp_path / "power.parquet", rows)
    given = partial(table, networks / "both", data / "a.parquet", "--short", "nan", "--spectrogram")
    found = given(tmp_path / "power.parquet")
    expected = predict(networks / "both", place_short(eeg(2000), "nan")[None], rows[None, 5:305])
    np.testing.assert_allclose(shares(found), expected, atol=1e-6)
    # Its EEG begins 305 s behind the file's first row: the window 20 s before that.
    pd.testing.assert_frame_equal(given(tmp_path / "power.parquet", "--eeg-begins", 305), found)


def test_rows_of_test_csv(networks, tmp_path):
    write_tiny(tmp_path / "data", n_test=2)
    write_eeg(tmp_path / "data" / "test_eegs" / "80.parquet", eeg(4000))
    answer = call(networks / "both", tmp_path / "data")
    assert answer.exit_code == 1 and "80.parquet: 4000 samples; expected at least 10000" in answer.stderr
    found = table(networks / "both", tmp_path / "data", "--short", "nan")
    assert list(found) == ["eeg_id", *VOTE_COLUMNS, "reason", "note"]
    assert found["note"].tolist() == ["short", ""] and np.isfinite(shares(found)).all()


@pytest.mark.parametrize("how", ["nan", "reflect"])
def test_a_short_recording_is_judged_by_itself(networks, tmp_path, how):
    values = eeg(2000)
    values[400:] = np.nan  # 2 of 10 s; of a window of 50 s this would be hardly any signal
    write_eeg(tmp_path / "a.parquet", values)
    write_eeg(tmp_path / "b.parquet", np.zeros((3000, 20)))
    answer = call(networks / "eeg", tmp_path, "--short", how)
    assert answer.exit_code == 1 and "b.parquet: no window could be evaluated (no signal" in answer.stderr
    found = pd.read_csv(io.StringIO(answer.stdout))
    assert found[list(VOTE_COLUMNS)].notna().all(axis=1).tolist() == [True, False]
    assert found["note"].tolist() == ["short", "short"]
    assert "all differences of electrodes are constant" in found["reason"][1]


def test_below_ten_seconds_nothing_is_evaluated(networks, tmp_path):
    for n_samples in (1, 1800, 1999):
        write_eeg(tmp_path / "a.parquet", eeg(n_samples))
        for words in ([], ["--short", "nan"], ["--short", "reflect", "--window", "sliding"]):
            answer = call(networks / "eeg", tmp_path / "a.parquet", *words)
            assert answer.exit_code == 1 and answer.stdout == ""
            assert f"a.parquet: {n_samples} samples; expected at least 10000" in answer.stderr
            assert f"these are {n_samples / 200:g} s: below 10 s nothing is evaluated" in answer.stderr


def test_an_unknown_way_is_wrong_usage(networks, data):
    answer = call(networks / "eeg", data, "--short", "zeros")
    assert answer.exit_code == 2 and "'nan', 'reflect'" in answer.stderr
