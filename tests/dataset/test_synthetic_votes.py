"""Plan, truth and votes without any signal: class means, vote counts, soft boundaries, the value of the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hbaclib.conventions import CLASSES
from hbaclib.dataset.synthetic.patterns import draw_pattern
from hbaclib.dataset.synthetic.plan import EEG_LEAD, plan_dataset, quota
from hbaclib.dataset.synthetic.recording import draw_scene, draw_scenes
from hbaclib.dataset.synthetic.votes import CLASS_MEANS, appearance, draw_votes, expected_votes, visibility

SEIZURE, LPD, GPD, LRDA, GRDA, OTHER = range(6)

# From the competition's table: EEG-level means of all rows and of the rows with at least 10 votes.
MEANS_OF_ALL = np.array([0.153, 0.142, 0.104, 0.066, 0.115, 0.420])
MEANS_OF_EXPERTS = np.array([0.050, 0.185, 0.123, 0.077, 0.090, 0.475])


@pytest.fixture(scope="module")
def plan():
    return plan_dataset(300, 40, 2.5, 4.0, seed=11)


@pytest.fixture(scope="module")
def drawn(plan):
    """Votes of every vote group of a large plan: (annotators, expected, votes, readers, split)."""
    rng = np.random.default_rng(1)
    rows = []
    for patient in plan:
        for recording in patient.recordings:
            for eeg, scene in zip(recording.eegs, draw_scenes(recording, rng), strict=True):
                for group, annotators in enumerate(eeg.annotators):
                    members = [row for row, number in enumerate(eeg.row_groups) if number == group]
                    centre = eeg.start + eeg.offsets[members[(len(members) - 1) // 2]] + EEG_LEAD + 25.0
                    expected = expected_votes(scene.probability(centre), annotators)
                    rows.append((annotators, expected, *draw_votes(expected, annotators, rng), recording.split))
    return rows


def shares(rows) -> np.ndarray:
    votes = np.array([row[2] for row in rows], dtype=float)
    return votes / votes.sum(axis=1, keepdims=True)


def divergence(targets: np.ndarray, predictions: np.ndarray) -> float:
    ratio = np.where(targets > 0, targets, 1) / np.where(targets > 0, predictions, 1)
    return float((targets * np.log(ratio)).sum(axis=1).mean())


def test_class_means_are_the_competitions(drawn):
    train = [row for row in drawn if row[4] == "train"]
    expert = shares([row for row in train if row[0] == "expert"])
    assert np.abs(expert.mean(axis=0) - MEANS_OF_EXPERTS).max() < 0.03
    assert np.abs(shares(train).mean(axis=0) - MEANS_OF_ALL).max() < 0.03
    crowd = shares([row for row in train if row[0] == "crowd"])
    assert np.abs(crowd.mean(axis=0) - CLASS_MEANS["crowd"]).max() < 0.03


def test_votes_come_from_two_populations(drawn):
    counts = {name: np.array([row[2].sum() for row in drawn if row[0] == name]) for name in ("crowd", "expert")}
    assert counts["crowd"].min() >= 1 and counts["crowd"].max() <= 7
    assert np.median(counts["crowd"]) == 3 and (counts["crowd"] == 3).mean() > 0.6
    assert counts["expert"].min() >= 10 and counts["expert"].max() <= 28 and np.median(counts["expert"]) in {13, 14, 15}
    assert 0.28 < len(counts["expert"]) / len(drawn) < 0.42
    assert {row[0] for row in drawn if row[4] == "test"} == {"expert"}


def test_the_truth_scores_as_well_as_a_very_good_model(drawn):
    expert = [row for row in drawn if row[0] == "expert" and row[4] == "train"]
    target, expected = shares(expert), np.array([row[1] for row in expert])
    oracle = divergence(target, expected)
    # A leading real model scores .235 on such rows; vote sampling alone costs about .137, the class mean .842.
    assert 0.14 < oracle < 0.235
    assert 0.72 < divergence(target, np.broadcast_to(target.mean(axis=0), target.shape)) < 0.95
    assert divergence(np.array([row[3] for row in expert]), expected) < oracle - 0.08
    # The truth is the best constant-free forecast: any blend with the mean is worse.
    blended = 0.7 * expected + 0.3 * target.mean(axis=0)
    assert divergence(target, blended) > oracle


def test_some_eegs_are_read_by_both_groups(plan):
    eegs = [eeg for patient in plan for recording in patient.recordings for eeg in recording.eegs]
    both = np.mean([len(set(eeg.annotators)) == 2 for eeg in eegs])
    assert 0.02 < both < 0.08
    assert np.median([len(eeg.offsets) for eeg in eegs]) == 3


def test_ids_are_unique(plan):
    eegs = [eeg for patient in plan for recording in patient.recordings for eeg in recording.eegs]
    for ids in (
        [eeg.eeg_id for eeg in eegs],
        [label for eeg in eegs for label in eeg.label_ids],
        [recording.spectrogram_id for patient in plan for recording in patient.recordings],
        [patient.patient_id for patient in plan],
    ):
        assert len(ids) == len(set(ids))


def test_a_tiny_set_has_every_class():
    for seed in range(5):
        eegs = [e for p in plan_dataset(5, 1, 2.5, 4.0, seed)[:-1] for r in p.recordings for e in r.eegs]
        assert len({eeg.meant for eeg in eegs}) >= 5


def test_quota_sums_and_follows():
    rng = np.random.default_rng(0)
    parts = np.array([quota(np.array([0.5, 0.3, 0.2]), 7, rng) for _ in range(500)])
    assert (parts.sum(axis=1) == 7).all()
    assert np.allclose(parts.mean(axis=0), [3.5, 2.1, 1.4], atol=0.1)


@pytest.fixture
def clear():
    """A strong, lasting pattern of each kind, labelled at second 25."""
    rng = np.random.default_rng(2)

    def make(kind: str, **changes):
        pattern = draw_pattern(kind, 25.0, rng, difficulty=0)
        return replace(pattern, **{"start": -100.0, "end": 200.0, "ratio": 5.0, "coverage": 1.0, **changes})

    return make


def test_a_pattern_is_seen_only_where_it_is(clear):
    pattern = clear("GPD", suppression=1.0)
    assert visibility(pattern, 25.0) > 0.9
    assert visibility(replace(pattern, end=10.0), 25.0) == 0
    assert 0 < visibility(replace(pattern, end=23.0), 25.0) < visibility(pattern, 25.0)
    seen = [visibility(replace(pattern, ratio=ratio, growth=0.0), 25.0) for ratio in (0.5, 1, 2, 4)]
    assert seen == sorted(seen) and seen[0] < 0.2
    assert appearance([], 25.0).argmax() == OTHER and appearance([], 25.0)[OTHER] == 1


def test_fast_discharges_become_a_seizure(clear):
    slow, fast = clear("GPD", rate=1.2, drift=0.0), clear("GPD", rate=2.9, drift=0.0)
    assert appearance([slow], 25.0)[SEIZURE] < 0.05
    assert appearance([fast], 25.0)[SEIZURE] > 0.7


def test_symmetry_decides_between_lateralised_and_generalised(clear):
    pattern = clear("GPD", rate=1.0, drift=0.0)
    n = len(pattern.gains) // 2
    side = np.array([-0.8, 0.0, 0.6])
    points = np.array([side] * n + [side * [-1, 1, 1]] * n)
    pattern = replace(pattern, points=points, widths=np.full(2 * n, 0.5))
    asymmetries, lateral = [], []
    for mirror in (1.0, 0.7, 0.4, 0.1):
        changed = replace(pattern, gains=np.concatenate([pattern.gains[:n], mirror * pattern.gains[:n]]))
        asymmetries.append(changed.asymmetry)
        lateral.append(appearance([changed], 25.0)[LPD])
    assert asymmetries == sorted(asymmetries, reverse=True)
    assert lateral == sorted(lateral) and lateral[-1] > 0.8


def test_mixtures_share_the_probability(clear):
    discharges, delta = clear("LPD", rate=1.0, drift=0.0, ratio=3.0), clear("GRDA", rate=1.2, drift=0.0, ratio=3.0)
    mixed = appearance([discharges, delta], 25.0)
    assert mixed[LPD] + mixed[GPD] > 0.25 and mixed[LRDA] + mixed[GRDA] > 0.25


@pytest.mark.parametrize("kind", CLASSES)
def test_most_scenes_look_like_what_they_are_meant_to_show(kind):
    rng = np.random.default_rng(3)
    found = np.array([draw_scene(kind, 25.0, None, rng, 0.0).probability(25.0) for _ in range(150)])
    assert (found.argmax(axis=1) == CLASSES.index(kind)).mean() > 0.75
    doubtful = np.array([draw_scene(kind, 25.0, None, rng, 1.0).probability(25.0) for _ in range(300)])
    assert doubtful.max(axis=1).mean() < found.max(axis=1).mean() + 1e-9
