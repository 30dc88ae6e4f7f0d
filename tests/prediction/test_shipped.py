"""The built-in model predicts by its name: `predict`, ``hbac predict`` and submissions."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import place_short, predict
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.ensemble.store import open_members
from hbaclib.errors import ArtefactError, ConfigError, DataError, PlatformError
from hbaclib.prediction import ensemble_predictor, windows
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.prediction.predictor import Predictor
from hbaclib.prediction.submission import make_submission, submit_stage
from hbaclib.stages.shipped import PackageError
from tests.cli.predicting import call, shares
from tests.cli.predicting import table as printed_table
from tests.dataset.tiny import random_eeg, write_eeg, write_tiny
from tests.made_shipped import IMAGE_FOLDER, PRIOR, WAVES_FOLDER, make_shipped


@pytest.fixture(scope="module")
def eegs():
    return np.stack([random_eeg(np.random.default_rng(number)) for number in range(3)])


table = partial(printed_table, keep_default_na=False)


def test_the_name_predicts_what_its_folder_does(shipped, eegs):
    found = predict("synthetic", eegs)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-4
    np.testing.assert_array_equal(found, predict(shipped / "07_ensemble", eegs))
    parts = np.stack([predict(shipped / name, eegs) for name in (IMAGE_FOLDER, WAVES_FOLDER)])
    ensemble, _ = open_members("synthetic")
    np.testing.assert_allclose(found, ensemble.predict(parts), atol=1e-6)
    np.testing.assert_allclose(EnsemblePredictor.open("synthetic").prior, PRIOR)


def test_a_folder_of_the_name_is_reached_as_a_path(shipped, packed_model, eegs, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    other = make_shipped(tmp_path / "run", seed=7)
    (other / "07_ensemble").rename(other / "synthetic")
    monkeypatch.chdir(other)
    own = predict("./synthetic", eegs)
    for place in (Path("synthetic"), "synthetic/", str(other / "synthetic")):
        np.testing.assert_array_equal(predict(place, eegs), own)
    assert not caplog.records
    assert np.abs(predict("synthetic", eegs) - own).max() > 1e-4
    assert "synthetic is the built-in model; the folder of that name is ./synthetic" in caplog.text
    write_eeg(tmp_path / "a.parquet", eegs[0])
    np.testing.assert_allclose(shares(table("./synthetic", tmp_path / "a.parquet"))[0], own[0], atol=1e-6)
    answer = call("synthetic", tmp_path / "a.parquet")
    assert "the folder of that name is ./synthetic" in answer.stderr and answer.exit_code == 0
    shutil.rmtree(other / "synthetic")
    with pytest.raises(ArtefactError, match=r"^\./synthetic: no such folder; .* built-in model \(synthetic\)$"):
        predict("./synthetic", eegs)


def test_the_command_computes_no_ten_minutes(shipped, eegs, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("a spectrogram is computed")

    monkeypatch.setattr(windows.Computed, "take", never)
    for number, eeg in enumerate(eegs):
        write_eeg(tmp_path / "eegs" / f"{number}.parquet", eeg)
    found = table("synthetic", tmp_path / "eegs")
    assert list(found) == ["file", "start_second", *VOTE_COLUMNS, "reason"]
    np.testing.assert_allclose(shares(found), predict("synthetic", eegs), atol=1e-6)
    pd.testing.assert_frame_equal(table("synthetic", tmp_path / "eegs", "--spectrogram", "none"), found)


def test_spectrograms_are_refused_before_anything_is_read(shipped, eegs, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("something is read")

    monkeypatch.setattr(windows, "find_recordings", never)
    monkeypatch.setattr(windows, "competition_recordings", never)
    monkeypatch.setattr(ensemble_predictor, "open_members", never)
    write_tiny(tmp_path / "data")
    for place in (tmp_path / "none", tmp_path / "data"):
        for value in ("from_eeg", tmp_path / "none", "./none"):
            answer = call("synthetic", place, "--spectrogram", value)
            assert answer.exit_code == 2, answer.output
            assert "the built-in model sees the EEG alone" in answer.stderr and "--spectrogram" in answer.stderr
    with pytest.raises(DataError, match="the built-in model sees the EEG alone"):
        predict("synthetic", eegs, np.ones((3, 300, 400), np.float32))


def test_a_submission_by_the_name(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "data", n_test=2)
    made = make_submission(tmp_path / "data", "synthetic", tmp_path / "submission.csv", progress=False)
    assert made.members == ("synthetic-image", "synthetic-waves") and not len(made.log)
    found = table("synthetic", tmp_path / "data")
    np.testing.assert_allclose(shares(made.table), shares(found), atol=1e-6)
    submit_stage(tmp_path / "data", "synthetic", tmp_path / "out" / "08_submit", progress=False)
    before = (tmp_path / "out" / "08_submit" / "manifest.json").read_bytes()
    submit_stage(tmp_path / "data", "synthetic", tmp_path / "out" / "08_submit", progress=False)
    assert (tmp_path / "out" / "08_submit" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / IMAGE_FOLDER / "fold-0-seed-1.weights.h5").unlink(),
            r"seed-1\.weights\.h5: missing",
        ),
        (
            lambda root: _cut(root / WAVES_FOLDER / "fold-0.weights.h5"),
            r"fold-0\.weights\.h5: changed since .*digest",
        ),
        (lambda root: _cut(root / "07_ensemble" / "ensemble.json"), "not a readable ensemble"),
        (
            lambda root: _turned(root / "07_ensemble" / "ensemble.json", "1.25", "1.35"),
            "changed since its manifest",
        ),
        (
            lambda root: _turned(root / IMAGE_FOLDER / "manifest.json", "convnet_small", "convnet_large"),
            "its seal",
        ),
        (lambda root: shutil.rmtree(root / IMAGE_FOLDER), "no such folder"),
        (lambda root: (root / "07_ensemble" / "manifest.json").unlink(), r"manifest\.json: missing"),
    ],
)
def test_damage_is_told(shipped, eegs, tmp_path, spoil, message):
    spoil(shipped)
    with pytest.raises(PackageError, match=message):
        predict("synthetic", eegs)
    write_eeg(tmp_path / "a.parquet", eegs[0])
    answer = call("synthetic", tmp_path / "a.parquet", "--out", tmp_path / "out.csv")
    assert answer.exit_code == 1 and len(answer.stderr.splitlines()) == 1
    assert (
        "hbac: the built-in model 'synthetic' is damaged" in answer.stderr and "install hbaclib again" in answer.stderr
    )
    assert not (tmp_path / "out.csv").exists()


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _turned(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_no_damage_is_told_as_it_is(shipped, eegs, monkeypatch):
    def refuse(_):
        raise PlatformError("Keras is set up for another backend")

    monkeypatch.setattr(Predictor, "load", refuse)
    with pytest.raises(PlatformError, match=r"^Keras is set up"):
        predict("synthetic", eegs)


@pytest.mark.parametrize("how", ["nan", "reflect"])
def test_short_recordings_by_the_library(shipped, eegs, how):
    short = eegs[:, :3333]
    expected = predict("synthetic", place_short(short, how))
    np.testing.assert_array_equal(predict("synthetic", short, short=how), expected)
    np.testing.assert_array_equal(predict("synthetic", short[0:1].astype(np.float64), short=how), expected[:1])
    np.testing.assert_array_equal(predict("synthetic", eegs, short=how), predict("synthetic", eegs))


def test_a_short_recording_is_judged_by_what_was_recorded(shipped, eegs):
    # Two of ten seconds: too little for a window of 50 s, enough of a recording of 10.
    sparse = eegs[:1, :2000].copy()
    sparse[:, 400:] = np.nan
    assert np.isfinite(predict("synthetic", sparse, short="nan")).all()
    with pytest.warns(UserWarning, match="hardly any signal"):
        predict("synthetic", place_short(sparse, "nan"))
    with pytest.warns(UserWarning, match="row 0: no signal: all differences"):
        assert np.isnan(predict("synthetic", np.zeros((1, 2000, 20)), short="reflect")).all()


def test_faults_of_short_recordings_are_named(shipped, eegs):
    with pytest.raises(
        DataError, match=r"\(3, 3333, 20\), expected \(n, 10000, 20\); EEGs of 10 to 50 s: short = 'nan'"
    ):
        predict("synthetic", eegs[:, :3333])
    with pytest.raises(DataError, match=r"\(3, 1999, 20\), expected \(n, 10000, 20\)"):
        predict("synthetic", eegs[:, :1999], short="nan")
    with pytest.raises(ConfigError, match="short = 'zeros'; expected one of nan, reflect"):
        predict("synthetic", eegs, short="zeros")
