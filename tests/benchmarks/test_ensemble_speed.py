"""A full-size ensemble: 33 models, every labelled sample, nested, with its table."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from hbaclib import fit_ensemble
from tests.report.fake_run import fake_model, fake_votes


@pytest.fixture(scope="module")
def full_size():
    rng = np.random.default_rng(0)
    n = 21_490
    n_votes = rng.choice([1, 2, 3, 3, 3, 12, 14, 16], n)
    expected, targets = fake_votes(rng, n, n_votes)
    predictions = np.stack([fake_model(rng, expected, rng.uniform(0.5, 1.2), rng.uniform(0.6, 1.4)) for _ in range(33)])
    groups = rng.integers(0, 1950, n)
    return predictions, targets, groups % 5, groups, n_votes


def memory(what: str) -> float:
    """Resident memory of this process, MB: ``VmRSS`` now, ``VmHWM`` at most since the mark was reset."""
    return int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


@pytest.mark.parametrize("rows", ["all", ">=10"])
def test_33_models_and_21490_rows(benchmark, full_size, rows):
    predictions, targets, folds, groups, n_votes = full_size
    votes = None if rows == "all" else n_votes
    # What earlier benchmarks of the session left in the process does not count.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS") - predictions.nbytes / 1e6
    seconds = time.monotonic()
    fit = benchmark.pedantic(fit_ensemble, (predictions, targets, folds, groups), {"n_votes": votes}, rounds=1)
    seconds = time.monotonic() - seconds
    megabytes = memory("VmHWM") - before
    print(f"\n{rows}: {seconds:.1f} s, at most {megabytes:.0f} MB, {fit.kind}, {fit.score:.4f}")
    assert fit.tier == rows
    assert fit.score < fit.table["kl"].min()
    assert fit.table["adds"].notna().all()
    assert seconds < 30
    assert megabytes < 2000
