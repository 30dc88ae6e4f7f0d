"""Hostile folders, tables and recordings at ``hbac synth --preview``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from hbaclib.conventions import EEG_COLUMNS
from hbaclib.plots import preview
from tests.hostile.frame import Case, Words, table, try_case

Change = Callable[[Path], object]
_EEG = np.random.default_rng(0).normal(0, 20, (10_000, 20)).astype(np.float32)


def recording(path: Path, values: np.ndarray = _EEG, columns: tuple[str, ...] = EEG_COLUMNS) -> None:
    pd.DataFrame(values, columns=list(columns)).to_parquet(path)


def real(change: Change = lambda root: None, *words: str) -> Callable[[Path], Words]:
    """The words of a preview beside a sound folder of one recording, changed."""

    def make(folder: Path) -> Words:
        root = folder / "real"
        (root / "train_eegs").mkdir(parents=True)
        recording(root / "train_eegs" / "1.parquet")
        (root / "train.csv").write_text("eeg_id,expert_consensus\n1,LPD\n")
        change(root)
        return ["synth", "--preview", folder / "out", "--real", root, *words]

    return make


def out(change: Change) -> Callable[[Path], Words]:
    """The words of a preview into a place that was made before."""

    def make(folder: Path) -> Words:
        change(folder / "out")
        return ["synth", "--preview", folder / "out"]

    return make


def labels(text: str) -> Callable[[Path], Words]:
    return real(lambda root: (root / "train.csv").write_text(text))


def eeg(values: np.ndarray) -> Callable[[Path], Words]:
    return real(lambda root: recording(root / "train_eegs" / "1.parquet", values))


def _with(value: float, row: int = 5, column: int = 3) -> np.ndarray:
    changed = _EEG.copy()
    changed[row, column] = value
    return changed


PICTURES = ("out", "out/*.png")
CASES = [
    # The table of labels.
    Case("no table", 1, real(lambda root: (root / "train.csv").unlink()), 1, ("no train.csv or eeg_labels.csv",)),
    Case("table is a folder", 1,
         real(lambda root: ((root / "train.csv").unlink(), (root / "train.csv").mkdir())), 1, ("no train.csv or",)),
    Case("no column of classes", 1, labels("eeg_id,votes\n1,LPD\n"), 1, ("train.csv", "expert_consensus")),
    Case("no rows", 1, labels("eeg_id,expert_consensus\n"), 1, ("train.csv: a header and no rows",)),
    Case("empty table", 1, labels(""), 1, ("train.csv",)),
    Case("unknown class", 1, labels("eeg_id,expert_consensus\n1,lpd\n"), 1, ("train.csv", "lpd", "expected some of")),
    Case("no class", 1, labels("eeg_id,expert_consensus\n1,\n"), 1, ("train.csv", "expected some of")),
    Case("no number", 1, labels("eeg_id,expert_consensus\n,LPD\n"), 1, ("parquet",)),
    Case("a number of no recording", 1, labels("eeg_id,expert_consensus\n7,LPD\n"), 1, (r"7\.parquet",)),
    # Recordings.
    Case("no Parquet", 2,
         real(lambda root: (root / "train_eegs" / "1.parquet").write_bytes(b"x")), 1, (r"1\.parquet",)),
    Case("a cut file", 2,
         real(lambda root: (p := root / "train_eegs" / "1.parquet").write_bytes(p.read_bytes()[:900])), 1,
         (r"1\.parquet",)),
    Case("20 s", 2, eeg(_EEG[:4000]), 1, (r"1\.parquet: 20 s; expected 50 s",)),
    Case("no samples", 2, eeg(_EEG[:0]), 1, (r"1\.parquet",)),
    Case("infinite", 2, eeg(_with(np.inf)), 1, (r"1\.parquet", "infinite")),
    Case("no electrodes", 2,
         real(lambda root: recording(root / "train_eegs" / "1.parquet", _EEG[:, :2], ("a", "b"))), 1, (r"1\.parquet",)),
    Case("no recordings", 2, real(lambda root: (root / "train_eegs" / "1.parquet").unlink()), 1, (r"1\.parquet",)),
    # What can be drawn all the same.
    Case("sound", 3, real(), 0, ("lpd.png", "statistics.png"), PICTURES),
    Case("nothing but gaps", 3, eeg(np.full_like(_EEG, np.nan)), 0, ("lpd.png",), PICTURES),
    Case("flat", 3, eeg(np.zeros_like(_EEG)), 0, ("lpd.png",), PICTURES),
    Case("volts", 3, eeg(_EEG * 1e6), 0, ("lpd.png",), PICTURES),
    Case("a huge seed", 3, real(lambda root: None, "--seed", str(10**30)), 0, ("lpd.png",), PICTURES),
    # Where the pictures go.
    Case("over a user's file", 4,
         out(lambda at: (at.mkdir(), (at / "thesis.txt").write_text("x"))), 1, ("thesis.txt",)),
    Case("over a user's picture", 4, out(lambda at: (at.mkdir(), (at / "lpd.png").write_bytes(b"x"))), 1, ("lpd.png",)),
    Case("over a user's folder", 4, out(lambda at: (at / "lpd.png").mkdir(parents=True)), 1, ("lpd.png",)),
    Case("a link to nowhere", 4, out(lambda at: at.symlink_to("nowhere")), 1, ("out: ",)),
    Case("a file", 4, out(lambda at: at.write_text("x")), 2, ("is a file",)),
    Case("into the real data", 4,
         lambda folder: [*real()(folder)[:2], folder / "real" / "out", "--real", folder / "real"], 1, ("input",)),
    Case("over the real data", 4,
         lambda folder: [*real()(folder)[:2], folder / "real", "--real", folder / "real"], 1, ("is an input",)),
    # Options.
    Case("real without preview", 5, lambda folder: ["synth", "out", "--real", "."], 2, ("--real goes with --preview",)),
    Case("preview of a size", 5, lambda folder: ["synth", "out", "--preview", "--patients", "3"], 2, ("--patients",)),
    Case("preview of a test set", 5,
         lambda folder: ["synth", "out", "--preview", "--test-rows", "3"], 2, ("--test-rows",)),
    Case("preview by many", 5, lambda folder: ["synth", "out", "--preview", "--jobs", "3"], 2, ("--jobs",)),
    Case("real data that are none", 5,
         lambda folder: ["synth", "out", "--preview", "--real", "no"], 1, ("no such folder",)),
]  # fmt: skip


@table(CASES)
def test_preview(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = preview.draw_preview

    def small(folder: Path, **options: object) -> list[Path]:
        return draw(folder, **options, examples=1, many=1)

    with mock.patch("hbaclib.plots.preview.draw_preview", small):
        try_case(case, tmp_path, monkeypatch)
