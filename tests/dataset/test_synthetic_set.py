"""The synthetic set as files: format, offsets, determinism, refusals, and a truth that lies outside the folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hbaclib import make_synthetic_dataset
from hbaclib.conventions import (
    CLASSES,
    EEG_COLUMNS,
    SPECTROGRAM_COLUMNS,
    SUBMISSION_COLUMNS,
    TEST_COLUMNS,
    TRAIN_COLUMNS,
    VOTE_COLUMNS,
)
from hbaclib.dataset.synthetic import summary_path, truth_path, writer
from hbaclib.dataset.synthetic.artefact_noise import add_losses
from hbaclib.dataset.synthetic.files import lose_samples
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.signal.multitaper import kaggle_spectrogram

ARGUMENTS = {
    "n_patients": 4,
    "n_test": 3,
    "recordings_per_patient": 1.5,
    "eegs_per_recording": 3,
    "progress": False,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_synthetic_dataset(tmp_path_factory.mktemp("set") / "hms", seed=3, n_jobs=1, **ARGUMENTS)


@pytest.fixture(scope="module")
def train(made) -> pd.DataFrame:
    return pd.read_csv(made / "train.csv")


@pytest.fixture(scope="module")
def truth(made) -> pd.DataFrame:
    return pd.read_parquet(truth_path(made))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_tables_have_the_competitions_columns(made, train):
    assert tuple(train.columns) == TRAIN_COLUMNS
    assert train["label_id"].is_unique
    assert (train.dtypes[list(VOTE_COLUMNS)] == np.int64).all()
    votes = train[list(VOTE_COLUMNS)].to_numpy()
    assert list(train["expert_consensus"]) == [CLASSES[i] for i in votes.argmax(axis=1)]
    test = pd.read_csv(made / "test.csv")
    assert tuple(test.columns) == TEST_COLUMNS and len(test) == 3 and test["eeg_id"].is_unique
    assert not set(test["patient_id"]) & set(train["patient_id"])
    submission = pd.read_csv(made / "sample_submission.csv")
    assert tuple(submission.columns) == SUBMISSION_COLUMNS
    assert list(submission["eeg_id"]) == list(test["eeg_id"])
    assert train.groupby("eeg_id")[["spectrogram_id", "patient_id"]].nunique().eq(1).all(axis=None)
    assert train.groupby("spectrogram_id")["eeg_id"].nunique().max() > 1
    assert train.groupby("eeg_id").size().max() > 1


def test_test_rows_default_to_twenty():
    assert writer.make_synthetic_dataset.__kwdefaults__["n_test"] == 20


def test_files_have_the_competitions_schema(made, train):
    test = pd.read_csv(made / "test.csv")
    for split, table, time_type in (("train", train, "int64"), ("test", test, "int16")):
        assert {path.stem for path in (made / f"{split}_eegs").iterdir()} == set(table["eeg_id"].astype(str))
        assert {path.stem for path in (made / f"{split}_spectrograms").iterdir()} == set(
            table["spectrogram_id"].astype(str)
        )
        for path in (made / f"{split}_eegs").iterdir():
            schema = pq.read_schema(path)
            assert tuple(schema.names) == EEG_COLUMNS
            assert {str(kind) for kind in schema.types} == {"float"}
            values = pd.read_parquet(path).to_numpy()
            assert np.array_equal(values, np.round(values.astype(float), 2).astype(np.float32), equal_nan=True)
            assert len(values) == 10_000 or split == "train"
        for path in (made / f"{split}_spectrograms").iterdir():
            schema = pq.read_schema(path)
            assert tuple(schema.names) == ("time", *SPECTROGRAM_COLUMNS)
            assert str(schema.types[0]) == time_type and {str(kind) for kind in schema.types[1:]} == {"float"}
            table_of_file = pd.read_parquet(path)
            assert (table_of_file["time"] == 2 * np.arange(len(table_of_file)) + 1).all()
            assert len(table_of_file) == 300 or split == "train"
            assert not (table_of_file < 0).any(axis=None)


def test_offsets_are_even_and_fit_the_files(made, train):
    eeg_offset = train["eeg_label_offset_seconds"]
    assert (eeg_offset % 2 == 0).all()
    assert train.groupby("eeg_id")["eeg_label_offset_seconds"].min().eq(0).all()
    assert train.groupby("spectrogram_id")["spectrogram_label_offset_seconds"].min().eq(0).all()
    difference = train["spectrogram_label_offset_seconds"] - eeg_offset
    assert difference.groupby(train["eeg_id"]).nunique().eq(1).all()
    for eeg_id, last in train.groupby("eeg_id")["eeg_label_offset_seconds"].max().items():
        assert pq.read_metadata(made / "train_eegs" / f"{eeg_id}.parquet").num_rows == 10_000 + 200 * last
    for number, last in train.groupby("spectrogram_id")["spectrogram_label_offset_seconds"].max().items():
        assert pq.read_metadata(made / "train_spectrograms" / f"{number}.parquet").num_rows == 300 + last // 2


def test_eeg_and_spectrogram_windows_have_the_same_centre(made, train):
    """The rows 138..161 of a spectrogram window are those of the EEG window, computed afresh from the EEG file."""
    checked = 0
    for row in train.groupby("eeg_id").tail(1).itertuples():
        eeg = pd.read_parquet(made / "train_eegs" / f"{row.eeg_id}.parquet").to_numpy()
        start = int(row.eeg_label_offset_seconds * 200)
        window = eeg[start : start + 10_000]
        if np.isnan(window).any():
            continue
        rows = pd.read_parquet(made / "train_spectrograms" / f"{row.spectrogram_id}.parquet").iloc[:, 1:].to_numpy()
        first = int(row.spectrogram_label_offset_seconds) // 2
        stored = rows[first + 138 : first + 162]
        own = kaggle_spectrogram(window, first_centre=2.0)[: len(stored)]
        # Away from the ends of the window, where the filters of the long recording know more.
        middle = slice(3, 20)
        assert np.median(np.abs(own[middle] - stored[middle]) / (stored[middle] + 0.1)) < 0.01
        checked += 1
    assert checked >= 5


def test_missing_samples_are_as_in_the_competition(made, truth):
    faulty = truth[truth["fault"] != ""].drop_duplicates("eeg_id")
    assert set(faulty["fault"]) == {"begin", "end", "scattered"}
    for row in faulty.itertuples():
        missing = pd.read_parquet(made / "train_eegs" / f"{row.eeg_id}.parquet").isna().to_numpy()
        assert missing.any()
        if row.fault == "scattered":
            assert missing.any(axis=0).sum() == 1 and missing.sum() < 40
        else:
            length = int(missing.any(axis=1).sum())
            assert 18 <= length <= 5197
            assert missing[:length].all() if row.fault == "begin" else missing[-length:].all()
    rng = np.random.default_rng(0)
    lengths = []
    for _ in range(200):
        eeg = np.zeros((10_000, 20), dtype=np.float32)
        lose_samples(eeg, "begin", rng)
        lengths.append(int(np.isnan(eeg[:, 0]).sum()))
    assert min(lengths) >= 18 and max(lengths) <= 5197 and max(lengths) > 2000


def test_spectrograms_hold_exact_zeros():
    """Some recordings have the amplifier unplugged for a while: zeros in the EEG, exact zeros in the spectrogram."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((19, 600 * 200)).astype(np.float32)
    for _ in range(400):
        eeg = noise.copy()
        add_losses(eeg, eeg[0].copy(), rng)
        silent = np.flatnonzero((eeg == 0).all(axis=0))
        if len(silent) > 8 * 200:
            break
    else:
        raise AssertionError("no recording of 400 was unplugged")
    recording = np.concatenate([eeg, eeg[:1]]).T
    rows = np.round(kaggle_spectrogram(recording), 2)
    inner = np.arange(silent[0] // 400 + 3, silent[-1] // 400 - 3)
    assert (rows[inner] == 0).all() and not (rows[-20:] == 0).all()


def test_truth_lies_outside_the_folder(made, train, truth):
    assert sorted(path.name for path in made.iterdir()) == [
        "sample_submission.csv",
        "test.csv",
        "test_eegs",
        "test_spectrograms",
        "train.csv",
        "train_eegs",
        "train_spectrograms",
    ]
    assert truth_path(made).parent == made.parent and truth_path(made).is_file()
    merged = truth.merge(
        train.assign(eeg_start=(200 * train["eeg_label_offset_seconds"]).astype(int)),
        on=["eeg_id", "eeg_start"],
        suffixes=("", "_of_table"),
    )
    assert len(merged) == len(train) == (truth["split"] == "train").sum()
    for name in VOTE_COLUMNS:
        assert (merged[name] == merged[f"{name}_of_table"]).all()
    expected = truth[[f"{name}_expected" for name in VOTE_COLUMNS]].to_numpy()
    assert np.allclose(expected.sum(axis=1), 1) and expected.min() > 0


def test_summary_is_the_score_of_the_truth(made, train, truth):
    """Recomputed from train.csv and the truth table with a plain loop."""
    summary = json.loads(summary_path(made).read_text())
    assert summary["counts"]["train_rows"] == len(train)
    sums: dict[str, list[float]] = {}
    seen = set()
    of_row = {(row.eeg_id, row.eeg_start): row for row in truth.itertuples()}
    for row in train.itertuples():
        votes = np.array([getattr(row, name) for name in VOTE_COLUMNS], dtype=float)
        if (row.eeg_id, *votes) in seen:
            continue
        seen.add((row.eeg_id, *votes))
        known = of_row[row.eeg_id, int(200 * row.eeg_label_offset_seconds)]
        expected = [getattr(known, f"{name}_expected") for name in VOTE_COLUMNS]
        share = votes / votes.sum()
        loss = sum(y * np.log(y / p) for y, p in zip(share, expected, strict=True) if y > 0)
        tier = "1-2" if votes.sum() <= 2 else "3-9" if votes.sum() <= 9 else ">=10"
        sums.setdefault(tier, []).append(loss)
        sums.setdefault("all", []).append(loss)
    scores = summary["scores"]["train"]
    assert set(scores) == set(sums)
    for tier, losses in sums.items():
        assert scores[tier]["n"] == len(losses)
        assert scores[tier]["oracle"] == pytest.approx(np.mean(losses), rel=1e-9)
        assert scores[tier]["oracle_without_sampling"] < scores[tier]["oracle"] + 0.2


def test_two_processes_make_the_same_bytes(made, tmp_path):
    again = make_synthetic_dataset(tmp_path / "hms", seed=3, n_jobs=2, **ARGUMENTS)
    assert digests(again) == digests(made)
    assert truth_path(again).read_bytes() == truth_path(made).read_bytes()
    assert summary_path(again).read_bytes() == summary_path(made).read_bytes()


def test_another_seed_makes_another_set(made, train, tmp_path):
    other = make_synthetic_dataset(
        tmp_path / "hms", seed=4, n_jobs=1, **{**ARGUMENTS, "n_patients": 1, "recordings_per_patient": 1}
    )
    first = {path.read_bytes() for path in (made / "train_eegs").iterdir()}
    assert not first & {path.read_bytes() for path in (other / "train_eegs").iterdir()}
    assert not set(pd.read_csv(other / "train.csv")["eeg_id"]) & set(train["eeg_id"])


def test_a_finished_set_is_recognised_and_anything_else_refused(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert make_synthetic_dataset(made, seed=3, **ARGUMENTS) == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    with pytest.raises(ArtefactError, match="other arguments"):
        make_synthetic_dataset(made, seed=5, **ARGUMENTS)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(ArtefactError, match="something else"):
        make_synthetic_dataset(tmp_path / "mine", 1, progress=False)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_patients", 0), ("n_test", 0), ("recordings_per_patient", 0.5), ("difficulty", 1.5), ("seed", -1)],
)
def test_arguments_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        make_synthetic_dataset(tmp_path / "hms", **{name: value})
    assert not (tmp_path / "hms").exists()


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the lights went out")

    monkeypatch.setattr(writer, "_write_tables", broken)
    with pytest.raises(RuntimeError, match="lights"):
        make_synthetic_dataset(
            tmp_path / "hms", 1, n_test=1, n_jobs=1, recordings_per_patient=1, eegs_per_recording=1, progress=False
        )
    assert list(tmp_path.iterdir()) == []


def test_spectrograms_can_be_left_out(tmp_path):
    folder = make_synthetic_dataset(
        tmp_path / "hms",
        1,
        n_test=1,
        n_jobs=1,
        recordings_per_patient=1,
        eegs_per_recording=1,
        progress=False,
        train_spectrograms=False,
    )
    assert not (folder / "train_spectrograms").exists()
    assert len(list((folder / "test_spectrograms").iterdir())) == 1


def test_no_training_code_opens_the_truth():
    """Only the generator, the report's oracle and the notebook that shows it know where the truth lies."""
    root = Path(writer.__file__).parents[2]
    for room in ("signal", "inputs", "models", "training"):
        for path in (root / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "truth_path" not in text and "-truth" not in text and "_expected" not in text, path
    for name in ("competition.py", "samples.py", "folds.py", "store.py"):
        text = (root / "dataset" / name).read_text(encoding="utf-8") if (root / "dataset" / name).exists() else ""
        assert "truth" not in text, name
