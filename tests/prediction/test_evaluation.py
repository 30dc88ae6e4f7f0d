"""Windows that make no sense are not evaluated, whatever else is asked at the same time; and nothing leaves as NaN."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, predict, read_eeg, validate_submission
from hbaclib.conventions import SCALP_ELECTRODES
from hbaclib.errors import ArtefactError, DataError
from hbaclib.evaluation.doubt import member_spread
from hbaclib.prediction.ensemble_predictor import NO_ANSWER, EnsemblePredictor, window_doubt
from hbaclib.prediction.predictor import Predictor
from hbaclib.prediction.submission import make_submission
from hbaclib.training.cross_validate import train
from tests.dataset.tiny import random_eeg, random_spectrogram, write_eeg, write_spectrogram, write_tiny
from tests.signal.recordings import column
from tests.training.tiny import tiny_recipe
from tests.training.tiny_signals import RAW, SignalArrays, quick


@pytest.fixture(scope="module")
def folders(tiny_run, tmp_path_factory):
    """Tiny trained networks of every kind of input, and an ensemble of two."""
    made = {"both": tiny_run / "both", "eeg": tiny_run / "eeg", "ensemble": tiny_run / "07_ensemble"}
    made["raw"] = train(quick(**RAW), SignalArrays(), tmp_path_factory.mktemp("run") / "raw", folds=[0], progress=False)
    return made


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    eeg = np.stack([random_eeg(rng) * np.float32(scale) for scale in (1, 0.5, 2, 1)])
    return eeg, np.stack([random_spectrogram(rng) for _ in eeg])


@pytest.mark.parametrize("kind", ["raw", "ensemble"])
def test_shares_do_not_depend_on_the_reference(folders, windows, kind):
    """Any one electrode missing, all of it or a part, with a common signal of 100 µV and without."""
    eeg, spectrogram = (part[:1] for part in windows)
    lost = np.repeat(eeg, 2 * len(SCALP_ELECTRODES), axis=0)
    for row, name in enumerate(SCALP_ELECTRODES):
        lost[2 * row, :, column(name)] = np.nan
        lost[2 * row + 1, 3000:6000, column(name)] = np.nan
    common = 100 * np.random.default_rng(1).standard_normal((10_000, 1)).astype(np.float32)
    spectrograms = np.repeat(spectrogram, len(lost), axis=0)
    quiet, noisy = (predict(folders[kind], part, spectrograms) for part in (lost, lost + common))
    np.testing.assert_allclose(noisy, quiet, atol=1e-3)
    assert np.abs(quiet - quiet[0]).max() > 1e-6, "an electrode does matter"


@pytest.mark.parametrize("kind", ["both", "eeg", "raw", "ensemble"])
def test_a_window_without_sense_has_no_shares_and_moves_no_others(folders, windows, kind):
    eeg, spectrogram = (part.copy() for part in windows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = predict(folders[kind], eeg, spectrogram)
    eeg[1] *= np.float32(1e-6)
    eeg[3, 77, 2] = 1e30
    spectrogram[2] = np.nan
    sees = kind in ("both", "ensemble")
    with pytest.warns(
        UserWarning, match=f"{3 if sees else 2} of 4 windows not evaluated: row 1: .*look like volts"
    ) as told:
        found = predict(folders[kind], eeg, spectrogram)
    # What the libraries tell on the way (a graph is traced here) is not ours to count.
    (message,) = (str(note.message) for note in told if note.category is UserWarning)
    assert "row 3: 1e+30 µV in C3 at sample 77" in message
    assert ("row 2: spectrogram: no signal: every value is missing" in message) == sees
    assert np.isnan(found[[1, 3]]).all() and found.dtype == np.float32
    np.testing.assert_array_equal(found[0], whole[0])
    if sees:
        assert np.isnan(found[2]).all()
    else:
        np.testing.assert_array_equal(found[2], whole[2])


def test_no_network_is_asked_for_nothing(folders, windows, monkeypatch):
    eeg, spectrogram = windows
    predictor = EnsemblePredictor.open(folders["ensemble"])
    monkeypatch.setattr(EnsemblePredictor, "shares", lambda *given: pytest.fail("asked"))
    shares, reasons = predictor.evaluate(np.zeros_like(eeg), spectrogram)
    assert np.isnan(shares).all() and all("constant (flat)" in reason for reason in reasons)
    assert [part.shape for part in map(np.asarray, predictor.evaluate(eeg[:0], spectrogram[:0]))] == [(0, 6), (0,)]


def test_how_far_members_disagree_costs_no_second_answer(folders, windows, monkeypatch):
    eeg, spectrogram = (part.copy() for part in windows)
    eeg[1] = 0
    predictor = EnsemblePredictor.open(folders["ensemble"])
    asked, ask = [], Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda own, inputs: asked.append(own.recipe.name) or ask(own, inputs))
    found = predictor.judge(eeg, spectrogram)
    assert sorted(asked) == ["both", "eeg"]
    members = np.stack([shares for _, shares in predictor.shares(eeg[[0, 2, 3]], spectrogram[[0, 2, 3]])])
    assert np.isnan(found.spread[1]) and found.reasons[1]
    np.testing.assert_allclose(found.spread[[0, 2, 3]], member_spread(members), rtol=1e-4)
    assert found.spread[0] > 0
    np.testing.assert_array_equal(found.shares, predictor.evaluate(eeg, spectrogram)[0])
    alone = EnsemblePredictor.open(folders["eeg"]).judge(eeg)
    np.testing.assert_array_equal(alone.spread, [0, np.nan, 0, 0])


def test_many_windows_without_sense_are_named_in_part(folders, windows):
    with pytest.warns(UserWarning, match=r"20 of 20 windows not evaluated: row 0: .*; row 7: [^;]*; and 12 more$"):
        predict(folders["eeg"], np.zeros((20, 10_000, 20), np.float32))


def test_an_electrode_or_a_region_missing_is_evaluated(windows):
    eeg, spectrogram = (part[0].copy() for part in windows)
    eeg[:, :5] = np.nan
    spectrogram[:, :300] = np.nan
    assert window_doubt(eeg, spectrogram) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_give_no_shares_are_refused_by_name(folders, tmp_path, windows, value):
    folder = tmp_path / "spoilt"
    folder.mkdir()
    for path in folders["eeg"].iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())

    def spoil(name, item):
        if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind == "f":
            item[...] = value

    with h5py.File(folder / "fold-1.weights.h5", "r+") as file:
        file.visititems(spoil)
    # Whoever verifies what is loaded may refuse the file before it is asked.
    with pytest.raises(ArtefactError, match=r"fold-1\.weights\.h5"):
        Predictor.load(folder)


class Answers:
    """A network whose answers are no shares where the first pixel says so."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, images):
        images = np.asarray(images)
        shares = np.full((len(images), 6), 1 / 6)
        shares[images[:, 0, 0, 0] > 0.5] = self.answer
        return type("Tensor", (), {"numpy": lambda self: shares})()


@pytest.mark.parametrize(
    "answer", [[np.nan] * 6, [np.inf, 0, 0, 0, 0, 0], [1, 1, 1, -1, -1, 0], [0.0] * 6, [np.nan, 0.5, 0.5, 0, 0, 0]]
)
def test_answers_that_are_no_shares_become_empty_rows(answer):
    predictor = Predictor(tiny_recipe(inputs="eeg"), [Answers(answer)])
    images = np.zeros((3, 128, 256, 4), np.float32)
    images[1] = 1
    shares = predictor.predict(images)
    assert np.isnan(shares[1]).all()
    np.testing.assert_allclose(shares[[0, 2]], 1 / 6)


def test_an_answer_of_nan_is_a_row_of_nan_with_a_reason(folders, windows, monkeypatch):
    eeg, spectrogram = windows
    predictor = EnsemblePredictor.open(folders["ensemble"])
    whole = predictor.predict(eeg, spectrogram)
    member, answer = predictor.members["eeg"], predictor.members["eeg"].predict

    def spoilt(inputs):
        shares = answer(inputs)
        shares[2] = np.nan
        return shares

    monkeypatch.setattr(member, "predict", spoilt)
    shares, reasons = predictor.evaluate(eeg, spectrogram)
    assert reasons == ["", "", NO_ANSWER, ""]
    assert np.isnan(shares[2]).all()
    np.testing.assert_allclose(shares[[0, 1, 3]], whole[[0, 1, 3]], atol=1e-7)


def test_numbers_are_asked_for(folders, windows):
    with pytest.raises(DataError, match="eeg of type object, expected floating-point numbers"):
        predict(folders["eeg"], windows[0].astype(object))


@pytest.fixture
def data(tmp_path):
    """A data set of ten test rows; paths of their files."""
    root = tmp_path / "data"
    write_tiny(root, n_test=10)
    test = pd.read_csv(root / "test.csv")
    return root, [root / f"test_eegs/{k}.parquet" for k in test["eeg_id"]], [
        root / f"test_spectrograms/{k}.parquet" for k in test["spectrogram_id"]
    ]  # fmt: skip


def test_a_submission_holds_the_prior_where_nothing_is_evaluated(folders, data, tmp_path):
    root, eegs, spectrograms = data
    rng = np.random.default_rng(3)
    sound = make_submission(root, folders["ensemble"], tmp_path / "sound.csv", progress=False)
    assert sound.log.empty
    write_eeg(eegs[0], read_eeg(eegs[0]) * np.float32(1e-6))
    write_eeg(eegs[1], np.full((10_000, 20), np.nan))
    write_eeg(eegs[2], np.zeros((10_000, 20)))
    spiked = read_eeg(eegs[3]).copy()
    spiked[4, 4] = -1e30
    write_eeg(eegs[3], spiked)
    write_spectrogram(spectrograms[4], random_spectrogram(rng, 20))
    write_spectrogram(spectrograms[5], np.full((300, 400), np.nan))
    write_spectrogram(spectrograms[6], np.full((300, 400), 3e38))
    write_spectrogram(spectrograms[7], random_spectrogram(rng, 299))
    write_spectrogram(spectrograms[8], np.zeros((300, 400)))
    made = make_submission(root, folders["ensemble"], tmp_path / "submission.csv", progress=False)
    test = pd.read_csv(root / "test.csv")
    validate_submission(pd.read_csv(tmp_path / "submission.csv"), test)
    log = made.log.groupby("eeg_id")["message"].agg("; ".join)
    expected = [
        "class prior used, the EEG is not evaluated .*look like volts",
        "class prior used, the EEG is not evaluated .*every sample is missing",
        "class prior used, the EEG is not evaluated .*flat",
        r"class prior used, the EEG is not evaluated .*1e\+30 µV in F7 at sample 4",
        "spectrogram computed from the EEG, its file is too short .*20 rows, expected 300",
        "spectrogram computed from the EEG, its file is not evaluated .*every value is missing",
        r"spectrogram computed from the EEG, its file is not evaluated .*3e\+38",
        "299 rows, expected 300; what is missing stays empty",
        "spectrogram computed from the EEG, its file is not evaluated .*every value is 0",
    ]
    assert len(made.log) == len(expected)
    for row, words in enumerate(expected):
        assert pd.Series([log[test["eeg_id"][row]]]).str.contains(words).all(), log[test["eeg_id"][row]]
        path = (eegs if row < 4 else spectrograms)[row]
        assert str(path) in log[test["eeg_id"][row]]
    shares, before = (table[list(VOTE_COLUMNS)].to_numpy() for table in (made.table, sound.table))
    prior = EnsemblePredictor.open(folders["ensemble"]).prior
    np.testing.assert_allclose(shares[:4], np.tile(prior, (4, 1)), atol=1e-3)
    np.testing.assert_array_equal(shares[9], before[9])
    computed = make_submission(root, folders["ensemble"], tmp_path / "c.csv", spectrograms="from_eeg", progress=False)
    computed = computed.table[list(VOTE_COLUMNS)].to_numpy()
    np.testing.assert_array_equal(shares[[4, 5, 6, 8]], computed[[4, 5, 6, 8]])
    assert np.abs(shares[7] - computed[7]).max() > 1e-6


def test_a_submission_holds_the_prior_where_a_network_answers_nan(folders, data, tmp_path, monkeypatch):
    root, eegs, _ = data
    load = Predictor.load

    def spoilt(folder, *given):
        predictor = load(folder, *given)
        answer = predictor.predict

        def predict(inputs):
            shares = answer(inputs)
            shares[1] = np.nan
            return shares

        predictor.predict = predict
        return predictor

    monkeypatch.setattr(Predictor, "load", spoilt)
    made = make_submission(root, folders["ensemble"], tmp_path / "submission.csv", progress=False)
    assert made.log["message"].tolist() == [f"class prior used, {NO_ANSWER} ({eegs[1]})"]
    shares = made.table[list(VOTE_COLUMNS)].to_numpy()
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares[1], EnsemblePredictor.open(folders["ensemble"]).prior, atol=1e-3)
