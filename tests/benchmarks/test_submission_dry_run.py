"""A submission of the hidden test set's size with a finished run's models, bad recordings among the rows.

``HBAC_RUN`` names the run's output folder (default: runs/demo), ``HBAC_DRY_RUN_ROWS`` another number of rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, validate_submission
from tests.dataset.tiny import random_eeg, write_eeg

ROWS = int(os.environ.get("HBAC_DRY_RUN_ROWS", "2640"))
RUN = Path(os.environ.get("HBAC_RUN", "runs/demo"))
SUBMIT = """
import dataclasses, json, sys
from hbaclib.prediction.submission import make_submission
budget = float(sys.argv[4]) if sys.argv[4:] else None
made = make_submission(*sys.argv[1:4], budget, progress=False)
print(json.dumps({"seconds": made.seconds, "megabytes": made.peak_megabytes, "members": made.members,
    "left_out": made.left_out, "log": made.log.to_dict("list")}))
"""


def submit(*arguments: object) -> dict:
    """In a process of its own, so that its memory can be measured."""
    done = subprocess.run(
        [sys.executable, "-c", SUBMIT, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory):
    """The run's test recordings over and over under new ids; three of them bad."""
    if not (RUN / "07_ensemble" / "ensemble.json").is_file():
        pytest.skip(f"{RUN}: no finished run; name one by HBAC_RUN")
    source = RUN / "synthetic-hms"
    data = tmp_path_factory.mktemp("dry") / "data"
    (data / "test_eegs").mkdir(parents=True)
    (data / "test_spectrograms").mkdir()
    (data / "train.csv").symlink_to((source / "train.csv").resolve())
    given = pd.read_csv(source / "test.csv")
    test = given.iloc[np.arange(ROWS) % len(given)].reset_index(drop=True)
    test["eeg_id"], test["spectrogram_id"] = 10_000_000 + np.arange(ROWS), 20_000_000 + np.arange(ROWS)
    for row, original in enumerate(given.iloc[np.arange(ROWS) % len(given)].itertuples()):
        eeg, spectrogram = f"{original.eeg_id}.parquet", f"{original.spectrogram_id}.parquet"
        (data / "test_eegs" / f"{test.eeg_id[row]}.parquet").symlink_to((source / "test_eegs" / eeg).resolve())
        (data / "test_spectrograms" / f"{test.spectrogram_id[row]}.parquet").symlink_to(
            (source / "test_spectrograms" / spectrogram).resolve()
        )
    blocks = random_eeg(np.random.default_rng(0))
    blocks[2000:7000] = np.nan
    for row, values in ((3, blocks), (4, np.zeros((10_000, 20)))):
        path = data / "test_eegs" / f"{test.eeg_id[row]}.parquet"
        path.unlink()
        write_eeg(path, values)
    torn = data / "test_eegs" / f"{test.eeg_id[5]}.parquet"
    torn.unlink()
    torn.write_bytes(b"PAR1")
    test.to_csv(data / "test.csv", index=False)
    return data, test


def test_dry_run(benchmark, many_rows, tmp_path):
    data, test = many_rows
    out = tmp_path / "submission.csv"
    report = benchmark.pedantic(submit, (data, RUN / "07_ensemble", out), rounds=1)
    table = validate_submission(pd.read_csv(out), test)
    print(f"\n{len(table)} rows: {report['seconds']:.0f} s, at most {report['megabytes']:.0f} MB, {report['members']}")
    assert report["left_out"] == []
    assert report["log"]["eeg_id"] == [int(test.eeg_id[row]) for row in (4, 5)]
    shares = table[list(VOTE_COLUMNS)].to_numpy()
    # The same recording gets the same prediction wherever it lies in the file.
    period = len(pd.read_csv(RUN / "synthetic-hms" / "test.csv"))
    assert shares[6] == pytest.approx(shares[6 + period * ((ROWS - 7) // period)], abs=1e-6)
    # Made alone, a row is the same.
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("test_eegs", "test_spectrograms", "train.csv"):
        (alone / name).symlink_to(data / name)
    for row in (0, 3, 4, ROWS - 1):
        test.iloc[[row]].to_csv(alone / "test.csv", index=False)
        submit(alone, RUN / "07_ensemble", tmp_path / "one.csv")
        one = pd.read_csv(tmp_path / "one.csv")[list(VOTE_COLUMNS)].to_numpy()[0]
        assert one == pytest.approx(shares[row], abs=1e-6)
    if ROWS >= 2640:
        assert report["seconds"] < 600
