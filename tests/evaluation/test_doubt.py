"""Sets and doubt: coverage, reliability and order on patients that they were not fitted to; small and odd cases."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from hbaclib.errors import ArtefactError, DataError
from hbaclib.evaluation.doubt import Doubt, fit_doubt, judge_doubt, member_spread
from hbaclib.schema import read_json


def drawn(seed: int, patients: int = 400, each: int = 5) -> tuple[np.ndarray, ...]:
    """Votes of patients whose recordings resemble each other, and three members that see them through noise."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(patients), each)
    own = rng.normal(size=(patients, 6)) * 1.5
    logits = own[numbers] + rng.normal(size=(len(numbers), 6)) * 1.5
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.array([rng.multinomial(15, row) for row in truth]) / 15
    noise = rng.gamma(2, 0.4, len(numbers))[None, :, None]
    seen = 0.8 * logits + noise * rng.normal(size=(3, *logits.shape))
    members = np.exp(seen) / np.exp(seen).sum(axis=2, keepdims=True)
    return members.mean(axis=0), targets, numbers, member_spread(members)


@pytest.fixture(scope="module")
def fitted() -> Doubt:
    shares, targets, numbers, spread = drawn(0)
    return fit_doubt(shares, targets, numbers, spread, about="made for a test")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sets_hold_the_vote_of_a_random_expert_nine_times_in_ten(fitted: Doubt, seed: int) -> None:
    shares, targets, _, _ = drawn(seed)
    sets = fitted.sets(shares)
    assert 0.88 <= (targets * sets).sum(axis=1).mean() <= 0.92
    assert sets[np.arange(len(shares)), shares.argmax(axis=1)].all()
    # The smallest of such sets: one class less, and what is left has less than was asked for.
    sizes = sets.sum(axis=1)
    assert sizes.min() == 1 and sizes.mean() < 4


@pytest.mark.parametrize("seed", [1, 2])
def test_doubt_comes_true(fitted: Doubt, seed: int) -> None:
    shares, targets, _, spread = drawn(seed)
    doubt = fitted.doubt(shares, spread)
    rejected = 1 - targets[np.arange(len(shares)), shares.argmax(axis=1)]
    bins = np.digitize(doubt, np.linspace(0, 1, 11))
    error = sum(abs(doubt[bins == k].mean() - rejected[bins == k].mean()) * (bins == k).mean() for k in np.unique(bins))
    assert error <= 0.05
    # Those that are kept are the better the fewer are kept.
    order = np.argsort(doubt, kind="stable")
    risks = [rejected[order[: round(share * len(order))]].mean() for share in (0.3, 0.5, 0.7, 0.9, 1.0)]
    assert risks == sorted(risks) and risks[0] < 0.7 * risks[-1]


def test_less_share_and_more_disagreement_are_more_doubt(fitted: Doubt) -> None:
    tops = np.linspace(0.25, 0.95, 15)
    shares = np.column_stack([tops, *[(1 - tops) / 5] * 5])
    assert (np.diff(fitted.doubt(shares, np.full(15, 0.05))) <= 0).all()
    same = np.tile(shares[7], (10, 1))
    assert (np.diff(fitted.doubt(same, np.linspace(0, 1, 10))) >= 0).all()


def test_what_has_no_shares_has_no_doubt(fitted: Doubt) -> None:
    nothing = np.full((1, 6), np.nan)
    assert np.isnan(fitted.doubt(nothing, np.full(1, np.nan))).all() and not fitted.sets(nothing).any()


def test_a_patient_counts_once_however_many_rows_it_has() -> None:
    shares, targets, numbers, spread = drawn(4, patients=60)
    again = np.concatenate([np.arange(len(numbers)), *[np.flatnonzero(numbers == 3)] * 50])
    one = fit_doubt(shares, targets, numbers, spread)
    other = fit_doubt(shares[again], targets[again], numbers[again], spread[again])
    assert other.threshold == pytest.approx(one.threshold) and other.patients == one.patients == 60
    alone = fit_doubt(shares[again], targets[again], np.arange(len(again)), spread[again])
    assert alone.threshold != pytest.approx(one.threshold)


def test_too_few_patients_leave_no_class_out() -> None:
    shares, targets, numbers, spread = drawn(5, patients=6)
    assert fit_doubt(shares, targets, numbers, spread).sets(shares).all()


def test_one_member_has_no_disagreement() -> None:
    shares, targets, numbers, _ = drawn(6, patients=50)
    spread = member_spread(shares[None])
    assert not spread.any()
    made = fit_doubt(shares, targets, numbers, spread)
    assert made.scale[1] == 0
    np.testing.assert_array_equal(made.doubt(shares, spread), made.doubt(shares, spread + 0.3))


def test_it_is_what_json_gives_back(fitted: Doubt) -> None:
    again = Doubt(**{key: tuple(value) if isinstance(value, list) else value
                     for key, value in json.loads(json.dumps(asdict(fitted))).items()})  # fmt: skip
    assert again == fitted and len(fitted.scores) <= 64


def test_arguments_that_do_not_match() -> None:
    shares, targets, numbers, spread = drawn(7, patients=20)
    with pytest.raises(DataError, match="99 of patients, 100 of spread"):
        fit_doubt(shares, targets, numbers[1:], spread)
    with pytest.raises(DataError, match="shares"):
        fit_doubt(shares * 2, targets, numbers, spread)


def test_figures_of_doubt(fitted: Doubt) -> None:
    shares, targets, _, spread = drawn(8)
    found = judge_doubt(fitted, shares, targets, spread)
    assert 0.88 <= found["coverage"] <= 0.92 and found["error"] <= 0.05 and found["kept"] <= 0.9
    assert found["classes"] == pytest.approx(fitted.sets(shares).sum() / len(shares))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threshold": 7.0}, "threshold is 7.0, expected 0 to 1"),
        ({"coverage": -0.1}, "coverage is -0.1"),
        ({"mean": [0.0]}, "mean has 1 numbers, expected 2"),
        ({"scale": [-1.0, 1.0]}, "expected 0 or more"),
        ({"scores": [], "doubts": []}, "at least one"),
        ({"scores": [0.0, 1.0], "doubts": [0.5]}, "1 doubts of 2 scores"),
        ({"scores": [1.0, 0.0], "doubts": [0.1, 0.2]}, "scores fall"),
        ({"scores": [0.0, 1.0], "doubts": [0.1, 1.2]}, "doubts from 0.1 to 1.2"),
        ({"rows": "many"}, "'rows' is 'many', expected a whole number"),
    ],
)
def test_a_file_that_no_fit_wrote_is_refused_by_key(fitted: Doubt, tmp_path: Path, changes: dict, told: str) -> None:
    path = tmp_path / "doubt.json"
    path.write_text(json.dumps(asdict(fitted)))
    assert read_json(path, Doubt, "calibration", "fit it again") == fitted
    path.write_text(json.dumps({**asdict(fitted), **changes}))
    with pytest.raises(ArtefactError, match=f"doubt.json: .*{re.escape(told)}.*; fit it again"):
        read_json(path, Doubt, "calibration", "fit it again")
