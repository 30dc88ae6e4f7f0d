"""Timelines of a day: memory, the same shares in every form of a recording, what lies beyond a recording's ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import open_recording
from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.recordings.ring import FILLINGS, place_rows
from hbaclib.timeline.bins import Timeline
from tests.evidence.test_long_recordings import hbac
from tests.made_shipped import IMAGE, make_shipped
from tests.timeline.long_files import GAP, write_hours
from tests.timeline.made import Answers, MadeRecording
from tests.timeline.same_recording import MONTAGES, all_forms, steps

MORE_AT_MOST = 30e6
"""Bytes that a day may take above an hour."""


_CHILD = """
import json, sys, time
from hbaclib import open_recording
from hbaclib.timeline.bins import Timeline
from tests.timeline.long_files import AtOnce
with open_recording(sys.argv[1]) as recording:
    answers = AtOnce()
    n_bins = sum(1 for _ in Timeline(recording).bins(answers))
# Not ru_maxrss, which a process inherits from the one that starts it.
lines = open("/proc/self/status").read().splitlines()
peak = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(json.dumps([n_bins, answers.windows, peak, time.process_time()]))
"""


@pytest.mark.evidence
@pytest.mark.timeout(10_800)
def test_without_networks_a_day_takes_hardly_more_memory_than_an_hour(tmp_path: Path) -> None:
    peaks = {}
    for hours in (1, 24):
        path = write_hours(tmp_path / "a.edf", hours)
        # Of a machine that others use, threads that wait for each other would count as work.
        alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-c", _CHILD, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=alone)
        assert done.returncode == 0, done.stderr
        n_bins, n_windows, peaks[hours], seconds = json.loads(done.stdout)
        assert n_bins == -(-(3600 * hours + GAP) // 10) and n_bins - 20 < n_windows < n_bins
        print(
            f"\n{hours} h without networks: {peaks[hours] / 1e6:.0f} MB, {3600 * hours / seconds:.0f} times real time"
        )
    assert peaks[24] - peaks[1] <= MORE_AT_MOST


@pytest.mark.evidence
@pytest.mark.timeout(10_800)
@pytest.mark.parametrize("networks", ["both", "synthetic"])
def test_a_day_takes_hardly_more_memory_than_an_hour(tmp_path: Path, networks: str) -> None:
    """With a tiny network that sees the ten minutes, and with the built-in model."""
    artefacts: str | Path = networks
    if networks == "both":
        recipe = {**IMAGE, "name": "both", "inputs": "both"}
        artefacts = make_shipped(tmp_path / "run", {"both": recipe}) / "both"
    peaks = {}
    for hours in (1, 24):
        path, out = write_hours(tmp_path / f"{hours}.edf", hours), tmp_path / f"{hours}.csv"
        run = hbac("predict", artefacts, path, "--out", out)
        assert run.code == 0, run.answer
        table = pd.read_csv(out)
        assert len(table) == -(-(3600 * hours + GAP) // 10) and (table["reason"] == "gap").sum() in (6, 7)
        assert table[VOTE_COLUMNS[0]].isna().sum() < 20
        peaks[hours] = run.peak
        print(f"\n{networks}, {hours} h: {run.peak / 1e6:.0f} MB, {run.seconds:.0f} s")
    assert peaks[24] - peaks[1] <= MORE_AT_MOST


@pytest.mark.evidence
@pytest.mark.timeout(3600)
def test_the_built_in_model_says_the_same_of_a_recording_in_all_its_forms(tmp_path: Path) -> None:
    predictor = EnsemblePredictor.open("synthetic")
    for meant in ("LPD", "Seizure"):
        found = {}
        for name, path in all_forms(tmp_path, steps(90, meant=meant)).items():
            with open_recording(path) as recording:
                found[name] = np.stack([each.shares for each in Timeline(recording).bins(predictor)])
        whole = np.isfinite(found["Parquet"]).all(axis=1)
        print(f"\n{meant}: {whole.sum()} bins, greatest difference of a share from Parquet's")
        for name, shares in found.items():
            apart = np.abs(shares - found["Parquet"])[whole].max()
            print(f"  {name:<15}{apart:.1e}")
            assert apart < (1e-4 if name in MONTAGES else 1e-3)


@pytest.mark.evidence
@pytest.mark.timeout(10_800)
def test_what_lies_best_beyond_the_ends_of_the_ten_minutes() -> None:
    """On twenty recordings of twenty minutes, rows are masked as at a recording's ends, and filled in three ways.

    HBAC_TRAINED names a trained folder or an ensemble that sees the ten minutes.
    """
    artefacts = os.environ.get("HBAC_TRAINED")
    if not artefacts:
        pytest.skip("HBAC_TRAINED names no trained folder")
    predictor = EnsemblePredictor.open(artefacts)
    if not predictor.sees_spectrograms:
        pytest.fail(f"{artefacts}: expected a network that sees the ten minutes (inputs = 'both' or 'kaggle')")
    rows = []
    # Shares before and behind the middle: at the ends of a long recording, and of short ones.
    lost = ((0.25, 0), (0.45, 0), (0, 0.25), (0, 0.45), (0.25, 0.25), (0.35, 0.35), (0.45, 0.45))
    for number in range(20):
        eeg = make_segment(CLASSES[number % len(CLASSES)], seed=number, seconds=1200).eeg
        cut = Answers(sees_spectrograms=True)
        list(Timeline(MadeRecording(eeg)).bins(cut))
        # The bins in the middle have all of their ten minutes.
        for at in range(30, 86, 8):
            windows, power = cut.eegs[at][None], cut.rows[at]
            if np.isnan(power).any():
                continue  # rows that an artefact has made neutral
            truth = predictor.predict(windows, power[None])
            for before, behind in lost:
                masked = np.full_like(power, np.nan)
                kept = slice(round(300 * before), 300 - round(300 * behind))
                masked[kept] = power[kept]
                for how in FILLINGS:
                    shares = predictor.predict(windows, place_rows(masked, how)[None])
                    kl = kl_divergence(truth.astype(float), shares.astype(float))
                    rows.append((round(1 - before - behind, 2), how, kl))
    assert len(rows) > 1000
    table = pd.DataFrame(rows, columns=["context", "filling", "kl"]).pivot_table("kl", "context", "filling")
    print(f"\n{table.to_string(float_format='%.4f')}")
    assert table.mean().idxmin() == FILLINGS[0]
