"""``hbac predict`` and ``hbac check`` of folders that hold files of several kinds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.recordings import found
from hbaclib.recordings.derivation import RING_NAMES
from tests.cli.predicting import call
from tests.recordings.edf_files import noise, write_edf
from tests.recordings.files import write as write_parquet

TIMED = "Parquet beside EDF and the like: a timeline of each"


def parquet(path: Path) -> None:
    write_parquet(path, noise(12_000).astype(np.float32) / 10)


@pytest.mark.parametrize(
    ("good", "broken", "timeline", "told"),
    [
        (("a.parquet", "b.parquet"), ("x.edf",), False, False),
        (("a.parquet",), ("x.bdf", "y.rec", "z.edf"), False, False),
        (("a.edf",), ("x.parquet",), True, True),
        (("a.parquet", "b.edf"), ("x.edf",), True, True),
        (("a.edf", "b.edf"), ("x.edf",), True, False),
        (("a.parquet", "b.edf"), (), True, True),
    ],
)
def test_what_cannot_be_read_does_not_decide_what_is_made_of_the_others(
    model: Path, tmp_path: Path, good: tuple[str, ...], broken: tuple[str, ...], timeline: bool, told: bool
) -> None:
    for name in good:
        parquet(tmp_path / name) if name.endswith("parquet") else write_edf(tmp_path / name, noise(12_000))
    for name in broken:
        (tmp_path / name).write_text("none")
    answer = call(model, tmp_path)
    assert answer.exit_code == bool(broken), answer.output
    table = pd.read_csv(io.StringIO(answer.stdout))
    assert ("state" in table.columns) == timeline and len(table) == len(good) * (6 if timeline else 1)
    assert [Path(name).name for name in table["file"].unique()] == list(good)
    assert (TIMED in answer.stderr) == told
    for name in broken:
        assert f"{tmp_path / name}: not " in answer.stderr
    if broken:
        assert f"{len(broken)} of {len(good) + len(broken)} recordings could not be predicted" in answer.stderr
    answer = call(model, tmp_path, "--window", "centre")
    assert len(pd.read_csv(io.StringIO(answer.stdout))) == len(good) and TIMED not in answer.stderr


def test_broken_files_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_text("none")
    for words in ((), ("--segments", tmp_path / "s.csv")):
        answer = call(model, tmp_path / "a.edf", *words)
        assert answer.exit_code == 1 and "a.edf: not EDF, BDF or Parquet" in answer.stderr


def test_what_mne_would_read_is_named_where_it_is_not_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "find_spec", lambda name: None)
    (tmp_path / "night.vhdr").touch()
    (tmp_path / "night.eeg").touch()
    words = 'night.vhdr: is read by MNE: pip install "hbaclib[formats]"'
    for command in (["check"], ["predict", str(model)]):
        answer = CliRunner().invoke(main, [*command, str(tmp_path)])
        assert answer.exit_code == 1 and words in answer.stderr and "*.edf or *.bdf" in answer.stderr, answer.output
        assert "night.eeg" not in answer.stderr
    write_edf(tmp_path / "a.edf", noise(12_000))
    answer = call(model, tmp_path)
    assert answer.exit_code == 0 and f"passed over, as no recordings: {words}" in answer.stderr


def test_a_folder_of_what_mne_reads(model: Path, tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    info = mne.create_info([f"EEG {name}" for ring in RING_NAMES for name in ring], 200.0, "eeg")
    raw = mne.io.RawArray(noise(12_000, 16).T * 1e-7, info, verbose="ERROR")
    raw.save(tmp_path / "night_raw.fif", verbose="ERROR")
    (tmp_path / "truth.csv").write_text("onset,duration\n")
    answer = call(model, tmp_path)
    assert answer.exit_code == 0 and answer.stdout.count("night_raw.fif") == 6
    answer = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert answer.exit_code == 0 and "1 recording: no fault found" in answer.stdout
