"""Files that can be read and make no sense all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.dataset.competition import open_competition
from hbaclib.errors import DataFileError
from hbaclib.recordings.parquet import read_eeg
from hbaclib.stages.examine import check_recordings, examine, needed_recordings, notes_table
from hbaclib.stages.port import port_data
from tests.dataset.tiny import random_spectrogram, write_eeg, write_spectrogram, write_tiny
from tests.signal.recordings import column


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "data", n_eegs=8)
    return tmp_path / "data"


def change(path: Path, factor: float) -> None:
    write_eeg(path, read_eeg(path) * np.float32(factor))


def test_the_windows_that_the_tables_name(root: Path) -> None:
    competition = open_competition(root)
    found = {recording.file: recording for recording in needed_recordings(competition, test=True)}
    assert found["train_eegs/1000.parquet"].starts == (0, 400, 800)
    assert found["train_eegs/1000.parquet"].rows == 10_800
    assert found["train_spectrograms/500.parquet"].starts == (0, 1, 2, 30, 31, 32)
    assert found["train_spectrograms/500.parquet"].rows == 332
    assert found["test_eegs/80.parquet"].starts == (0,)
    assert found["test_eegs/80.parquet"].rows == 10_000


def test_a_file_without_sense_is_a_fault_with_its_reason(root: Path, tmp_path: Path) -> None:
    assert check_recordings(open_competition(root), n_jobs=1).empty
    change(root / "train_eegs/1001.parquet", 1e-6)
    change(root / "train_eegs/1003.parquet", 0)
    change(root / "test_eegs/80.parquet", 1e3)
    write_spectrogram(root / "train_spectrograms/502.parquet", np.full((332, 400), np.nan))
    write_spectrogram(root / "test_spectrograms/91.parquet", random_spectrogram(np.random.default_rng(0), 20))
    faults = check_recordings(open_competition(root), n_jobs=1).set_index("file")["problem"]
    assert len(faults) == 5
    assert "look like volts" in faults["train_eegs/1001.parquet"]
    assert "all differences of electrodes are constant" in faults["train_eegs/1003.parquet"]
    assert "look like nanovolts" in faults["test_eegs/80.parquet"]
    assert faults["train_spectrograms/502.parquet"] == "no signal: every value is missing"
    assert faults["test_spectrograms/91.parquet"] == "20 rows; the offsets in the table need 300"
    done = CliRunner().invoke(main, ["check", str(root), "--jobs", "1"])
    assert done.exit_code == 1
    assert "train_eegs/1001.parquet: amplitude of the pairs 0.00011 µV" in done.output
    assert "5 faulty files" in done.output
    with pytest.raises(DataFileError, match=r"3 faulty files(.|\n)*1001\.parquet: amplitude"):
        port_data(root, tmp_path / "out", n_folds=2, n_jobs=1)
    port = port_data(root, tmp_path / "out", n_folds=2, n_jobs=1, on_bad_file="skip")
    assert set(pd.read_parquet(port / "samples.parquet")["eeg_id"]) == {1000, 1002, 1006, 1007}


def test_a_silent_electrode_an_artefact_a_gap_are_no_faults(root: Path) -> None:
    path = root / "train_eegs/1001.parquet"
    eeg = read_eeg(path).copy()
    eeg[:, column("T3")] = 0
    eeg[:, column("C4")] = np.nan
    eeg[2000:4000] *= 300
    eeg[5000:9000] = np.nan
    write_eeg(path, eeg)
    done = CliRunner().invoke(main, ["check", str(root), "--jobs", "1"])
    assert (done.exit_code, "no fault found" in done.output, "1001" in done.output) == (0, True, False), done.output


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_window_without_sense_in_a_sound_recording_is_a_note(root: Path, tmp_path: Path, value: float) -> None:
    train = pd.read_csv(root / "train.csv")
    row = (train["eeg_id"] == 1002) & (train["eeg_sub_id"] == 2)
    train.loc[row, "eeg_label_offset_seconds"] = 100.0
    train.loc[row, "spectrogram_label_offset_seconds"] = 0.0
    train.to_csv(root / "train.csv", index=False)
    eeg = np.tile(read_eeg(root / "train_eegs/1002.parquet"), (3, 1))[:30_000]
    eeg[15_000:] = value
    write_eeg(root / "train_eegs/1002.parquet", eeg)
    competition = open_competition(root)
    notes = notes_table(examine(competition, needed_recordings(competition), n_jobs=1))
    assert notes["file"].tolist() == ["train_eegs/1002.parquet"]
    words = "1 of 3 windows make no sense, the first at second 100: no signal"
    assert notes["note"][0].startswith(words)
    done = CliRunner().invoke(main, ["check", str(root), "--jobs", "1"])
    assert done.exit_code == 0
    assert f"note: train_eegs/1002.parquet: {words}" in done.output
    assert "no fault found" in done.output
    with pytest.warns(UserWarning, match=rf"1002\.parquet: {words}.*\(1 such files in all\)"):
        port_data(root, tmp_path / "out", n_folds=2, n_jobs=1)


def test_notes_on_columns_are_shown_once(root: Path) -> None:
    for name in (1001, 1002):
        path = root / f"train_eegs/{name}.parquet"
        pd.read_parquet(path).iloc[:, ::-1].to_parquet(path, index=False)
    done = CliRunner().invoke(main, ["check", str(root), "--jobs", "1"])
    assert done.exit_code == 0
    assert done.output.count("reordered by name") == 1
    assert "note: train_eegs/1001.parquet: columns in another order" in done.output
    assert "(and 1 more files)" in done.output


def test_of_a_large_collection_few_files_without_sense_are_left_out_and_told(tmp_path: Path) -> None:
    data = tmp_path / "large"
    write_tiny(data, n_eegs=40, rows_per_eeg=1)  # with its spectrograms 60 files
    change(data / "train_eegs/1003.parquet", 1e-6)
    with pytest.warns(UserWarning, match=r"1 faulty files.*the samples that need them are left out\n.*1003.*volts"):
        folder = port_data(data, tmp_path, n_folds=2, n_jobs=1)
    assert 1003 not in pd.read_parquet(folder / "samples.parquet")["eeg_id"].tolist()
    assert pd.read_parquet(folder / "faults.parquet")["file"].tolist() == ["train_eegs/1003.parquet"]
    change(data / "train_eegs/1005.parquet", 0)
    with pytest.raises(DataFileError, match="2 faulty files"):
        port_data(data, tmp_path / "more", n_folds=2, n_jobs=1)


def test_a_torn_file_is_not_left_out_unasked(tmp_path: Path) -> None:
    data = tmp_path / "large"
    write_tiny(data, n_eegs=40, rows_per_eeg=1)
    (data / "train_eegs/1003.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataFileError, match="1 faulty files"):
        port_data(data, tmp_path, n_folds=2, n_jobs=1)
