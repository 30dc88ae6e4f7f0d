"""``hbac check`` of recordings: what they hold is told, and a fault is an exit code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hbaclib.cli.main import main
from hbaclib.recordings import verdict
from tests.dataset.tiny import random_eeg, random_spectrogram, write_spectrogram, write_tiny
from tests.recordings.files import ROWS, write


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, words)])


def test_a_sound_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", names={"T3": "T7"}, without=("EKG",))
    answer = check(path)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines() == [
        str(path),
        "  10000 samples, 50 s; no rate stated, taken as 200 Hz",
        "  columns T7 read as T3",
        "  column EKG missing, read as NaN (no network sees it)",
        "  missing: 0 % of the scalp electrodes' samples; without any: EKG",
        f"  unit: µV; amplitude of the pairs of electrodes: {answer.stdout.split('electrodes: ')[1].splitlines()[0]}",
        "  plausible as EEG",
        "  montage: referential, reference not named; 4 of 4 regions; 19 channels: Fp1, F3, C3, P3, F7, T7, T5, O1, "
        "Fz, Cz, Pz, Fp2, F4, C4, P4, F8, T4, T6, O2",
        "  gaps: none",
        "     from s      to s  recorded   flat  amplitude  quality",
        f"          0        50   100.0 %    0 % {answer.stdout.split(' 0 % ')[-1].splitlines()[0]}",
        "  can be predicted: 1 windows of 50 s, one every 10 s, 4 of 4 regions",
        "1 recording: no fault found",
    ]


def test_a_stated_rate_and_unit_are_told(tmp_path: Path) -> None:
    eeg = random_eeg(np.random.default_rng(0)) / np.float32(1000)
    path = write(tmp_path / "a.parquet", eeg, metadata={"unit": "mV"}, more={"time": ROWS / 200})
    answer = check(path)
    assert answer.exit_code == 0, answer.output
    assert "200 Hz (column time)" in answer.stdout and "unit: mV" in answer.stdout
    assert "values read in mV, as the file states" in answer.stdout


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"values": random_eeg(np.random.default_rng(0)) / np.float32(1e6)}, "FAULT: amplitude .*--unit V"),
        ({"values": np.full((10_000, 20), np.nan, np.float32)}, "FAULT: no signal"),
        ({"values": random_eeg(np.random.default_rng(0), 9000)}, "FAULT: 9000 samples; a window takes 10000"),
        ({"metadata": {"fs": "256"}}, "FAULT: states 256 Hz"),
        ({"without": ("Fp1",)}, "FAULT: column Fp1 missing"),
    ],
)
def test_faults(tmp_path: Path, form: dict, words: str) -> None:
    write(tmp_path / "folder" / "a.parquet", **form)
    write(tmp_path / "folder" / "b.parquet")
    for asked, of in ((tmp_path / "folder" / "a.parquet", "1 of 1"), (tmp_path / "folder", "1 of 2")):
        answer = check(asked)
        assert answer.exit_code == 1 and re.search(words, answer.output), answer.output
        assert f"hbac: {of} recording" in answer.stderr


def test_a_unit_and_columns_that_are_given(tmp_path: Path) -> None:
    volts = random_eeg(np.random.default_rng(0)).astype(np.float64) / 1e6
    path = write(tmp_path / "a.parquet", volts, names={"Fp1": "one", "F3": "two"})
    assert check(path).exit_code == 1
    assert check(path, "--unit", "V", "--columns", "Fp1=one,F3=two").exit_code == 0
    (tmp_path / "names.toml").write_text('Fp1 = "one"\nF3 = "two"\n')
    answer = check(path, "--unit", "v", "--columns", tmp_path / "names.toml")
    assert answer.exit_code == 0 and "columns one, two read as Fp1, F3" in answer.stdout


def test_a_long_recording_is_judged_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "BLOCK", 10_000)
    monkeypatch.setattr(verdict, "WHOLE", 20_000)
    eeg = random_eeg(np.random.default_rng(0), 45_000)
    eeg[10_000:30_000] = 0
    answer = check(write(tmp_path / "a.parquet", eeg))
    assert answer.exit_code == 0
    assert "without a plausible signal: 2 of 5 blocks of 50 s, the first from second 50 on (no signal" in answer.stdout
    answer = check(write(tmp_path / "b.parquet", np.zeros((45_000, 20), np.float32)))
    assert answer.exit_code == 1 and "FAULT: no signal" in answer.stdout


def test_a_spectrogram_file(tmp_path: Path) -> None:
    write_spectrogram(tmp_path / "a.parquet", random_spectrogram(np.random.default_rng(0)))
    answer = check(tmp_path / "a.parquet")
    assert answer.exit_code == 0 and "a spectrogram of 300 rows, 600 s" in answer.stdout
    write_spectrogram(tmp_path / "a.parquet", np.full((300, 400), np.nan))
    assert check(tmp_path / "a.parquet").exit_code == 1


def test_options_of_recordings_do_not_apply_to_a_data_set(tmp_path: Path) -> None:
    write_tiny(tmp_path / "data")
    answer = check(tmp_path / "data", "--unit", "V")
    assert answer.exit_code == 2 and "--columns and --unit belong to recordings" in answer.stderr
