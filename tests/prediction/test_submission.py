from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, fit_ensemble, read_eeg, read_spectrogram, validate_submission
from hbaclib.artefacts import read_manifest, write_manifest
from hbaclib.conventions import SUBMISSION_COLUMNS
from hbaclib.ensemble.store import save_ensemble
from hbaclib.errors import ConfigError, DataError, DataFileError
from hbaclib.prediction.ensemble_predictor import prepare
from hbaclib.prediction.predictor import Predictor
from hbaclib.prediction.submission import make_submission, submit_stage
from hbaclib.stages.names import TRAINED
from tests.dataset.tiny import random_eeg, write_eeg, write_tiny
from tests.report.fake_run import fake_model, fake_votes
from tests.trained import SHORT
from tests.training.tiny import tiny_recipe


@pytest.fixture
def test_table():
    return pd.DataFrame({"spectrogram_id": [1, 2, 3], "eeg_id": [10, 20, 30], "patient_id": [7, 7, 8]})


def good(test):
    table = pd.DataFrame(np.random.default_rng(0).dirichlet(np.ones(6), len(test)), columns=list(VOTE_COLUMNS))
    table.insert(0, "eeg_id", test["eeg_id"])
    return table


def test_a_good_submission_comes_back_in_any_order_of_rows(test_table):
    submission = good(test_table)
    assert validate_submission(submission, test_table) is submission
    validate_submission(submission.iloc[::-1], test_table)


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda s: s.drop(columns="gpd_vote"), ["column missing: gpd_vote"]),
        (lambda s: s.assign(fold=0), ["column not expected: fold"]),
        (lambda s: s[list(s.columns)[::-1]], ["columns in the order other_vote"]),
        (lambda s: s.iloc[1:], ["1 eeg_id of the test table have no row: 10"]),
        (lambda s: pd.concat([s, s.iloc[[2]]]), ["1 eeg_id in more than one row: 30"]),
        (lambda s: s.assign(eeg_id=[10, 20, 99]), ["no row: 30", "not in the test table: 99"]),
        (lambda s: s.assign(seizure_vote=np.nan), ["NaN or infinite values in 3 rows"]),
        (lambda s: s.assign(seizure_vote=s.seizure_vote + 0.1), ["3 rows (row 0, 1, 2) do not sum to 1"]),
        (lambda s: s.assign(seizure_vote=-0.1), ["outside [0, 1] in 3 rows", "do not sum to 1"]),
        (lambda s: s.assign(seizure_vote="much"), ["NaN or infinite"]),
        (lambda s: s.iloc[:0], ["3 eeg_id of the test table have no row", "no rows"]),
        (
            lambda s: pd.concat([s.iloc[[0, 0]].drop(columns="lpd_vote"), s.iloc[[0]].assign(eeg_id=5)]),
            ["more than one row: 10", "have no row: 20, 30", "not in the test table: 5", "NaN"],
        ),
    ],
)
def test_every_fault_is_named(test_table, spoil, parts):
    with pytest.raises(DataError) as caught:
        validate_submission(spoil(good(test_table)), test_table)
    for part in parts:
        assert part in str(caught.value)


class FakeTime:
    """A clock that only members' work moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


class FakeMember:
    """Shares that depend on the recording alone, after some seconds of work."""

    clock = FakeTime()

    def __init__(self, sharpness: float, inputs: str = "both", seconds: float = 0.0):
        self.sharpness, self.seconds = sharpness, seconds
        self.recipe, self.kinds = tiny_recipe(inputs=inputs), (inputs,)

    def predict(self, inputs):
        self.clock.now += self.seconds
        images = inputs[self.kinds[0]]
        assert images.shape[1:] == (128, 256, 4 if self.kinds == ("eeg",) else 8) and np.isfinite(images).all()
        logits = self.sharpness * images[:, 10:70:10, 64:192, -4:].mean(axis=(2, 3), dtype=np.float64)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)


@pytest.fixture
def ensemble(tmp_path):
    """An ensemble of three members with the weights .5, .3, .2."""
    rng = np.random.default_rng(1)
    expected, targets = fake_votes(rng, 200, np.full(200, 14))
    shares = np.stack([fake_model(rng, expected, 0.8) for _ in "abc"])
    groups = np.arange(200) // 4
    fit = fit_ensemble(
        shares, targets, groups % 3, groups, list("abc"), np.full(200, 14), weights={"a": 0.5, "b": 0.3, "c": 0.2}
    )
    folder = tmp_path / "out" / "07_ensemble"
    for name in "abc":
        write_manifest(tmp_path / "out" / name, TRAINED, inputs={}, parameters={}, outputs=[])
    save_ensemble(fit, folder, {name: tmp_path / "out" / name for name in "abc"})
    return folder, fit


MEMBERS = {"a": FakeMember(0.5), "b": FakeMember(1.0), "c": FakeMember(3.0)}


@pytest.fixture
def submit(monkeypatch):
    """`make_submission` with fake members."""

    def run(source, ensemble, out, members=MEMBERS, call=make_submission, **options):
        monkeypatch.setattr(Predictor, "load", lambda folder: members[folder.name])
        return call(source, ensemble[0], out, progress=False, **options)

    return run


def test_every_row_is_pooled_as_the_ensemble_says(tmp_path, ensemble, submit):
    write_tiny(tmp_path / "data", n_test=5)
    made = submit(tmp_path / "data", ensemble, tmp_path / "submission.csv")
    written = pd.read_csv(tmp_path / "submission.csv")
    assert list(written.columns) == list(SUBMISSION_COLUMNS)
    assert made.members == ("a", "b", "c")
    assert made.left_out == ()
    assert made.log.empty
    assert made.seconds > 0
    assert made.peak_megabytes > 50
    test = pd.read_csv(tmp_path / "data" / "test.csv")
    for row, eeg_id in enumerate(test["eeg_id"]):
        eeg = pd.read_parquet(tmp_path / "data" / "test_eegs" / f"{eeg_id}.parquet").to_numpy()[None]
        inputs = prepare({"both"}, eeg, np.zeros((1, 300, 400)))
        shares = np.stack([MEMBERS[name].predict(inputs) for name in "abc"])
        expected = np.maximum(ensemble[1].predict(shares)[0], 1e-4)
        assert written.iloc[row][list(VOTE_COLUMNS)].to_numpy(float) == pytest.approx(
            expected / expected.sum(), abs=1e-6
        )
    assert not list(tmp_path.glob("*.partial*"))


def test_no_share_is_so_small_that_a_mistake_costs_everything(tmp_path, ensemble, submit):
    write_tiny(tmp_path / "data", n_test=3)
    certain = {name: FakeMember(1e4) for name in "abc"}
    made = submit(tmp_path / "data", ensemble, tmp_path / "submission.csv", members=certain)
    shares = pd.read_csv(tmp_path / "submission.csv")[list(VOTE_COLUMNS)].to_numpy()
    assert shares.max() > 0.999 and shares.min() == pytest.approx(1e-4 / (1 + 5e-4), rel=1e-6)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-9)
    assert made.table[list(VOTE_COLUMNS)].to_numpy().min() > 9e-5


@pytest.mark.parametrize(("told", "kept"), [(float("nan"), {}), (1423.4, {"peak_megabytes": 1423})])
def test_memory_that_the_system_does_not_tell_is_no_fact(told, kept, tmp_path, ensemble, submit, monkeypatch):
    write_tiny(tmp_path / "data", n_test=1)
    write_manifest(ensemble[0], "07_ensemble", inputs={}, parameters={}, outputs=[])
    monkeypatch.setattr("hbaclib.prediction.submission.peak_megabytes", lambda: told)
    submit(tmp_path / "data", ensemble, tmp_path / "out" / "08_submit", call=submit_stage)
    facts = read_manifest(tmp_path / "out" / "08_submit").facts
    assert {key: value for key, value in facts.items() if key == "peak_megabytes"} == kept


def test_bad_recordings_cost_no_more_than_their_own_row(tmp_path, ensemble, submit):
    data = tmp_path / "data"
    write_tiny(data, n_test=6)
    ids = pd.read_csv(data / "test.csv")["eeg_id"].tolist()
    spectrogram_ids = pd.read_csv(data / "test.csv")["spectrogram_id"].tolist()
    rng = np.random.default_rng(2)
    blocks = random_eeg(rng)
    blocks[:4000] = np.nan
    paths = [data / "test_eegs" / f"{eeg_id}.parquet" for eeg_id in ids]
    write_eeg(paths[0], blocks)
    write_eeg(paths[1], np.zeros((10_000, 20)))
    paths[2].write_bytes(b"PAR1 torn")
    paths[3].unlink()
    write_eeg(paths[4], random_eeg(rng, 9_000))
    (data / "test_spectrograms" / f"{spectrogram_ids[5]}.parquet").unlink()
    made = submit(data, ensemble, tmp_path / "submission.csv")
    log = made.log.groupby("eeg_id")["message"].first()
    assert set(ids[2:5]) <= set(log.index)
    assert "not a whole Parquet file" in log[ids[2]]
    assert "no such file" in log[ids[3]]
    assert "9000 samples; expected at least 10000" in log[ids[4]]
    assert "spectrogram computed from the EEG" in log[ids[5]]
    table = made.table.set_index("eeg_id")
    for eeg_id in ids[2:5]:
        assert table.loc[eeg_id].to_numpy() == pytest.approx(ensemble[1].prior, abs=1e-3)
    for eeg_id in (ids[0], ids[5]):
        assert np.abs(table.loc[eeg_id].to_numpy() - ensemble[1].prior).max() > 1e-3


def test_one_row_and_no_rows(tmp_path, ensemble, submit):
    write_tiny(tmp_path / "data", n_test=1)
    assert len(submit(tmp_path / "data", ensemble, tmp_path / "one.csv").table) == 1
    test = tmp_path / "data" / "test.csv"
    test.write_text("spectrogram_id,eeg_id,patient_id\n")
    with pytest.raises(DataFileError, match=r"test\.csv"):
        submit(tmp_path / "data", ensemble, tmp_path / "none.csv")
    test.unlink()
    with pytest.raises(DataFileError, match=r"test\.csv: missing or without rows"):
        submit(tmp_path / "data", ensemble, tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_a_short_budget_gives_a_valid_file_from_fewer_members_and_says_so(tmp_path, ensemble, submit, monkeypatch):
    monkeypatch.setattr("hbaclib.prediction.submission._BATCH", 4)
    monkeypatch.setattr("hbaclib.prediction.submission.time", FakeMember.clock)
    write_tiny(tmp_path / "data", n_test=12)
    # Three batches; a needs 3 s in all, b 6 s, c 60 s. After the first batch it is known that c cannot finish.
    costs = {"a": 1.0, "b": 2.0, "c": 20.0}
    slow = {name: FakeMember(1.0, seconds=seconds) for name, seconds in costs.items()}
    started = FakeMember.clock.now
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", slow, time_budget_seconds=40)
    assert FakeMember.clock.now - started == made.seconds == 1 + 2 + 20 + 2 * (1 + 2)
    assert made.members == ("a", "b")
    assert made.left_out == ("c",)
    assert made.log["message"].tolist() == ["time budget too short: from row 4 on left out: c"]
    assert made.log["eeg_id"].tolist() == [-1]
    validate_submission(pd.read_csv(tmp_path / "s.csv"), pd.read_csv(tmp_path / "data" / "test.csv"))
    enough = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", slow, time_budget_seconds=80)
    assert enough.left_out == ()


def test_no_time_at_all_still_gives_the_first_member(tmp_path, ensemble, submit):
    write_tiny(tmp_path / "data", n_test=3)
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", time_budget_seconds=1e-6)
    assert made.members == ("a",)
    assert made.left_out == ("b", "c")
    assert "left out for all rows: b, c" in made.log["message"].iloc[0]
    assert len(pd.read_csv(tmp_path / "s.csv")) == 3


def test_spectrograms_from_the_eeg(tmp_path, ensemble, submit):
    write_tiny(tmp_path / "data", n_test=2)
    shutil.rmtree(tmp_path / "data" / "test_spectrograms")
    with pytest.raises(DataFileError, match="spectrograms = 'from_eeg'"):
        submit(tmp_path / "data", ensemble, tmp_path / "s.csv")
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", spectrograms="from_eeg")
    assert made.log.empty
    # Networks that see the EEG alone need none of this.
    eeg_only = {name: FakeMember(1.0, "eeg") for name in "abc"}
    assert submit(tmp_path / "data", ensemble, tmp_path / "s.csv", eeg_only).log.empty
    with pytest.raises(ConfigError, match="expected one of files, from_eeg"):
        submit(tmp_path / "data", ensemble, tmp_path / "s.csv", spectrograms="paint")


def test_batches_change_nothing(tmp_path, ensemble, submit, monkeypatch):
    write_tiny(tmp_path / "data", n_test=9)
    whole = submit(tmp_path / "data", ensemble, tmp_path / "a.csv").table
    monkeypatch.setattr("hbaclib.prediction.submission._BATCH", 1)
    single = submit(tmp_path / "data", ensemble, tmp_path / "b.csv").table
    pd.testing.assert_frame_equal(whole, single, atol=1e-6)


@pytest.mark.slow
def test_trained_networks_submit_what_predict_says_row_by_row(tmp_path):
    """From training to the file with real (tiny) networks; a second call of the stage computes nothing."""
    from hbaclib import predict
    from hbaclib.ensemble.store import ensemble_stage
    from hbaclib.prediction.submission import submit_stage
    from hbaclib.training.cross_validate import train
    from tests.training.tiny import TinyArrays, tiny_recipe

    folders = [
        train(
            tiny_recipe(name=inputs, inputs=inputs, **SHORT),
            TinyArrays(),
            tmp_path / f"04_train_{inputs}",
            progress=False,
        )
        for inputs in ("both", "eeg")
    ]
    ensemble = ensemble_stage(folders, tmp_path / "07_ensemble")
    data = tmp_path / "data"
    write_tiny(data, n_test=5)
    submission = submit_stage(data, ensemble, tmp_path / "08_submit", spectrograms="files", progress=False)
    test = pd.read_csv(data / "test.csv")
    assert submission.equals(pd.read_csv(tmp_path / "submission.csv"))
    for row in test.itertuples():
        eeg = read_eeg(data / "test_eegs" / f"{row.eeg_id}.parquet")[None]
        spectrogram = read_spectrogram(data / "test_spectrograms" / f"{row.spectrogram_id}.parquet")[None]
        expected = np.maximum(predict(ensemble, eeg, spectrogram)[0].astype(float), 1e-4)
        written = submission.loc[submission["eeg_id"] == row.eeg_id, list(VOTE_COLUMNS)].to_numpy()[0]
        assert written == pytest.approx(expected / expected.sum(), abs=1e-6)
    manifest = tmp_path / "08_submit" / "manifest.json"
    before = manifest.read_bytes()
    (tmp_path / "submission.csv").unlink()
    again = submit_stage(data, ensemble, tmp_path / "08_submit", spectrograms="files", progress=False)
    assert again.equals(submission)
    assert (tmp_path / "submission.csv").is_file()
    assert manifest.read_bytes() == before
    # Another recording under the same table is another submission.
    write_eeg(data / "test_eegs" / f"{test.eeg_id[0]}.parquet", random_eeg(np.random.default_rng(9)))
    changed = submit_stage(data, ensemble, tmp_path / "08_submit", spectrograms="files", progress=False)
    assert not changed.iloc[0].equals(submission.iloc[0])
    assert changed.iloc[1:].equals(submission.iloc[1:])
    single = submit_stage(data, folders[0], tmp_path / "alone" / "08_submit", progress=False)
    validate_submission(single, test)
