"""Reading and validating: every kind of bad input is named with its place, what was found and what was expected."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hbaclib import read_eeg, read_spectrogram
from hbaclib.conventions import EEG_COLUMNS, SPECTROGRAM_COLUMNS, TEST_COLUMNS, TRAIN_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.competition import open_competition
from hbaclib.dataset.tables import read_test_csv, read_train_csv
from hbaclib.errors import DataFileError
from hbaclib.stages.examine import check_recordings
from tests.dataset.tiny import random_eeg, random_spectrogram, train_rows, write_eeg, write_spectrogram, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    write_tiny(root, n_eegs=4)
    return root


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "data"))


def test_opens_a_whole_set(tiny: Path) -> None:
    competition = open_competition(tiny)
    assert list(competition.train.columns) == list(TRAIN_COLUMNS)
    assert len(competition.train) == 12
    assert competition.test is not None and list(competition.test.columns) == list(TEST_COLUMNS)
    assert competition.eeg_path(1000).is_file() and competition.spectrogram_path(500).is_file()
    assert competition.eeg_path(80, "test").is_file() and competition.has_spectrograms("test")
    assert check_recordings(competition, n_jobs=1).empty


def test_folder_without_train_csv_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataFileError, match=r"notes\.txt.*expected train\.csv"):
        open_competition(tmp_path)
    with pytest.raises(DataFileError, match="no such folder"):
        open_competition(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "message"), [("", "empty"), (",".join(TRAIN_COLUMNS) + "\n", "no rows")], ids=["0 bytes", "header only"]
)
def test_empty_train_csv(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(DataFileError, match=rf"train\.csv: .*{message}.*expected the columns eeg_id"):
        read_train_csv(tmp_path / "train.csv")


def _write(table: pd.DataFrame, folder: Path) -> Path:
    table.to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


def test_missing_and_renamed_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="column lpd_vote missing"):
        read_train_csv(_write(train_rows().drop(columns="lpd_vote"), tmp_path))
    with pytest.raises(DataFileError, match="column patient_id missing; not expected: patient"):
        read_train_csv(_write(train_rows().rename(columns={"patient_id": "patient"}), tmp_path))


def test_another_order_of_columns_is_put_right_with_a_warning(tmp_path: Path) -> None:
    table = train_rows()
    with pytest.warns(UserWarning, match="reordered by name"):
        found = read_train_csv(_write(table[list(reversed(TRAIN_COLUMNS))], tmp_path))
    pd.testing.assert_frame_equal(found, table, check_dtype=False)


def test_further_columns_are_left_out_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="left out: comment"):
        assert list(read_train_csv(_write(train_rows().assign(comment="x"), tmp_path)).columns) == list(TRAIN_COLUMNS)


def test_all_faults_of_a_table_come_in_one_message_with_their_rows(tmp_path: Path) -> None:
    table = train_rows().astype({"gpd_vote": object, "eeg_label_offset_seconds": object})
    table.loc[1, "seizure_vote"] = -1
    table.loc[3, "gpd_vote"] = 1.5
    table.loc[4, "gpd_vote"] = "many"
    table.loc[6, "label_id"] = table.loc[5, "label_id"]
    table.loc[7, "expert_consensus"] = "Burst"
    table.loc[8, "eeg_label_offset_seconds"] = -2.0
    table.loc[10, "patient_id"] = 99
    with pytest.raises(DataFileError) as error:
        read_train_csv(_write(table, tmp_path))
    message = str(error.value)
    for part in (
        "train.csv",
        "seizure_vote: negative votes, expected 0 or more: row 2",
        "gpd_vote: not a whole number ('1.5', 'many'): rows 4, 5",
        "label_id: occurs more than once, expected unique ids: rows 6, 7",
        "expert_consensus: expected one of Seizure, LPD, GPD, LRDA, GRDA, Other: row 8",
        "eeg_label_offset_seconds: not seconds >= 0",
        "patient_id: one eeg_id has several, expected one per recording: rows 10, 11, 12",
    ):
        assert part in message


def test_a_row_without_any_vote(tmp_path: Path) -> None:
    table = train_rows()
    table.loc[2, list(VOTE_COLUMNS)] = 0
    with pytest.raises(DataFileError, match="all six votes are zero, expected at least one: row 3"):
        read_train_csv(_write(table, tmp_path))


def test_whole_votes_written_with_a_decimal_point_are_taken(tmp_path: Path) -> None:
    table = train_rows()
    found = read_train_csv(_write(table.astype({"other_vote": float}), tmp_path))
    assert found["other_vote"].dtype == np.int64 and found["other_vote"].equals(table["other_vote"])


def test_test_csv_with_one_row_works_and_with_none_does_not(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("spectrogram_id,eeg_id,patient_id\n853520,3911565283,6885\n")
    assert read_test_csv(path).iloc[0].tolist() == [853520, 3911565283, 6885]
    path.write_text("spectrogram_id,eeg_id,patient_id\n")
    with pytest.raises(DataFileError, match=r"test\.csv: a header and no rows"):
        read_test_csv(path)
    path.write_text("spectrogram_id,eeg_id,patient_id\n1,5,3\n2,5,3\n")
    with pytest.raises(DataFileError, match="eeg_id: occurs more than once, expected unique ids: rows 1, 2"):
        read_test_csv(path)


def test_recordings_are_read_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    eeg, power = random_eeg(rng), random_spectrogram(rng)
    eeg[100:200, 3] = np.nan
    power[4, 7] = np.nan
    write_eeg(tmp_path / "eeg.parquet", eeg)
    write_spectrogram(tmp_path / "power.parquet", power)
    assert read_eeg(tmp_path / "eeg.parquet").dtype == np.float32
    np.testing.assert_array_equal(read_eeg(tmp_path / "eeg.parquet"), eeg)
    np.testing.assert_array_equal(read_spectrogram(tmp_path / "power.parquet"), power)


def test_reordered_recordings_are_put_right_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    eeg, power = random_eeg(rng, 50), random_spectrogram(rng, 4)
    write_eeg(tmp_path / "eeg.parquet", eeg[:, ::-1], EEG_COLUMNS[::-1])
    write_spectrogram(tmp_path / "power.parquet", power[:, ::-1], SPECTROGRAM_COLUMNS[::-1])
    with pytest.warns(UserWarning, match=r"eeg\.parquet.*reordered by name"):
        np.testing.assert_array_equal(read_eeg(tmp_path / "eeg.parquet"), eeg)
    with pytest.warns(UserWarning, match=r"power\.parquet.*reordered by name"):
        np.testing.assert_array_equal(read_spectrogram(tmp_path / "power.parquet"), power)


def test_bad_recordings_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.parquet"
    with pytest.raises(DataFileError, match="no such file"):
        read_eeg(path)
    path.write_bytes(b"no parquet at all, but long enough to be opened")
    with pytest.raises(DataFileError, match="not a whole Parquet file"):
        read_eeg(path)
    write_eeg(path, random_eeg(rng, 50)[:, 1:], EEG_COLUMNS[1:])
    with pytest.raises(DataFileError, match="column Fp1 missing"):
        read_eeg(path)
    bad = random_eeg(rng, 50)
    bad[7, 2] = np.inf
    write_eeg(path, bad)
    with pytest.raises(DataFileError, match=r"column C3, row 8 .* is infinite"):
        read_eeg(path)
    pq.write_table(pa.table({name: ["a"] for name in EEG_COLUMNS}), path)
    with pytest.raises(DataFileError, match="holds no numbers"):
        read_eeg(path)
    power = random_spectrogram(rng, 4)
    power[1, 2] = -0.5
    write_spectrogram(path, power)
    with pytest.raises(DataFileError, match=r"column LL_0\.98, row 2 .* negative"):
        read_spectrogram(path)
    columns = {name: pa.array(np.ones(3, np.float32)) for name in SPECTROGRAM_COLUMNS}
    pq.write_table(pa.table({"time": pa.array([1, 3, 7])} | columns), path)
    with pytest.raises(DataFileError, match="column time, row 3: found 7, expected 5"):
        read_spectrogram(path)


def test_every_bad_file_is_listed_at_once(copy: Path) -> None:
    (copy / "train_eegs/1000.parquet").unlink()
    whole = (copy / "train_eegs/1001.parquet").read_bytes()
    (copy / "train_eegs/1001.parquet").write_bytes(whole[: len(whole) // 2])
    write_eeg(copy / "train_eegs/1002.parquet", random_eeg(np.random.default_rng(0), 10_100))
    (copy / "train_spectrograms/501.parquet").write_text("time,LL_0.59\n")
    (copy / "test_eegs/81.parquet").unlink()
    faults = check_recordings(open_competition(copy), n_jobs=1)
    problems = dict(zip(faults["file"], faults["problem"], strict=True))
    assert set(problems) == {
        "train_eegs/1000.parquet",
        "train_eegs/1001.parquet",
        "train_eegs/1002.parquet",
        "train_spectrograms/501.parquet",
        "test_eegs/81.parquet",
    }
    assert "no such file" in problems["train_eegs/1000.parquet"]
    assert "not a whole Parquet file" in problems["train_eegs/1001.parquet"]
    assert problems["train_eegs/1002.parquet"] == "10100 rows; the offsets in the table need 10800"


def test_a_file_whose_pages_are_spoilt_is_found_though_its_footer_is_whole(copy: Path) -> None:
    path = copy / "train_eegs/1003.parquet"
    content = bytearray(path.read_bytes())
    content[4:40_000] = bytes(39_996)
    path.write_bytes(content)
    assert check_recordings(open_competition(copy), n_jobs=1)["file"].tolist() == ["train_eegs/1003.parquet"]
