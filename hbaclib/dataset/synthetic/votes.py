"""From the patterns around a labelled moment to the votes of two groups of annotators.

A reader sees the central 10 s. How sure a reader is follows from how far the pattern rises above the background, how
lateralised it is, how fast, how blunt, and for how much of the 10 s it is there: the boundaries between the classes are
soft. The two groups of the competition's data (about 119 annotators with 1-7 votes a row, 20 experts with 10-28) differ
in how many vote, in how much they disagree, and in what they were shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hbaclib.dataset.synthetic.patterns import Pattern

SEIZURE, LPD, GPD, LRDA, GRDA, OTHER = range(6)

CLASS_MEANS: Final = {
    "crowd": np.array([0.2045, 0.1205, 0.0945, 0.0605, 0.1275, 0.3925]),
    "expert": np.array([0.050, 0.185, 0.123, 0.077, 0.090, 0.475]),
}
"""Mean vote shares per EEG in the competition's training set (crowd: from the means of all and of the experts)."""

VOTE_COUNTS: Final = {
    "crowd": (np.array([1, 2, 3, 4, 5, 6, 7]), np.array([4318, 2308, 51764, 3428, 3970, 883, 3])),
    "expert": (np.arange(10, 29), np.array([6, 8, 9, 10, 11, 10, 9, 8, 7, 5, 4, 3, 3, 2, 2, 1, 1, 0.6, 0.4])),
}
"""Numbers of votes and how common they are (experts: 10..28 with median 14)."""

# Rows: what the readers look at; columns: what they vote for.
_CONFUSION: Final = {
    "expert": np.array(
        [
            [0.800, 0.050, 0.060, 0.020, 0.025, 0.045],
            [0.020, 0.860, 0.030, 0.030, 0.005, 0.055],
            [0.025, 0.040, 0.840, 0.005, 0.045, 0.045],
            [0.010, 0.060, 0.005, 0.790, 0.045, 0.090],
            [0.010, 0.005, 0.045, 0.040, 0.780, 0.120],
            [0.005, 0.015, 0.015, 0.020, 0.035, 0.910],
        ]
    ),
    "crowd": np.array(
        [
            [0.840, 0.035, 0.035, 0.015, 0.025, 0.050],
            [0.050, 0.790, 0.045, 0.040, 0.010, 0.065],
            [0.050, 0.055, 0.760, 0.010, 0.065, 0.060],
            [0.020, 0.065, 0.010, 0.740, 0.065, 0.100],
            [0.020, 0.010, 0.055, 0.045, 0.740, 0.130],
            [0.020, 0.020, 0.015, 0.025, 0.050, 0.870],
        ]
    ),
}

_AGREEMENT: Final = {"expert": 18.0, "crowd": 1.6}
"""Concentration of the Dirichlet law from which one row's readers come: few readers of the crowd think alike."""


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(value, -40, 40))))


def visibility(pattern: Pattern, centre: float) -> float:
    """How surely a reader of the 10 s around ``centre`` (s) sees the pattern at all, 0..1."""
    seconds = np.linspace(centre - 5, centre + 5, 41)
    there = (seconds >= pattern.start) & (seconds <= pattern.end)
    if not there.any():
        return 0.0
    share = there.mean() * min(1.0, pattern.coverage + 0.15)
    ratio = pattern.ratio * float(np.mean(pattern.level_at(seconds[there]))) / np.sqrt(max(pattern.suppression, 0.3))
    seen = _sigmoid(2.6 * np.log(ratio / 1.35))
    return seen * float(np.clip(share / 0.55, 0, 1))


def reading(pattern: Pattern, centre: float) -> np.ndarray:
    """Shares (6,) of the classes among readers who see the pattern; Other is 0."""
    rate = float(pattern.rate_at(centre))
    lateral = _sigmoid((0.67 - pattern.asymmetry) / 0.07)
    shares = np.zeros(6)
    if pattern.kind == "Seizure":
        evolving = abs(pattern.drift) + 0.4 * abs(pattern.growth)
        fast = _sigmoid((rate - 2.35) / 0.2)
        seizure = 0.35 + 0.6 * max(fast, float(np.clip(evolving / 0.35, 0, 1)) * 0.9)
        periodic = 0.75 if pattern.form == "train" else 0.3
    elif pattern.form == "delta":
        seizure = _sigmoid((rate - 2.7) / 0.2) * 0.85
        periodic = 0.25 * pattern.sharpness * (1 - pattern.sharpness / 2) + 0.04
    else:
        seizure = _sigmoid((rate - 2.35) / 0.18) * 0.9
        # Blunt waves that fill more than half of the cycle look like rhythmic delta.
        filled = _sigmoid((rate * (0.42 - 0.16 * pattern.sharpness) - 0.5) / 0.08)
        periodic = 1 - 0.5 * filled * (1 - pattern.sharpness) - 0.03
    shares[SEIZURE] = seizure
    rest = 1 - seizure
    shares[LPD], shares[GPD] = rest * periodic * lateral, rest * periodic * (1 - lateral)
    shares[LRDA], shares[GRDA] = rest * (1 - periodic) * lateral, rest * (1 - periodic) * (1 - lateral)
    return shares


def appearance(patterns: Sequence[Pattern], centre: float, clarity: float = 1.0) -> np.ndarray:
    """Probabilities (6,) of the classes for an attentive reader of the 10 s around ``centre``.

    Args:
        patterns: what is there.
        centre: second of the recording.
        clarity: factor on the visibility, below 1 where artefacts hide the patterns.
    """
    unseen, shares, weight = 1.0, np.zeros(6), 0.0
    for pattern in patterns:
        seen = clarity * visibility(pattern, centre)
        unseen *= 1 - seen
        strength = seen * pattern.ratio
        shares += strength * reading(pattern, centre)
        weight += strength
    result = np.zeros(6)
    if weight > 0:
        result = (1 - unseen) * shares / weight
    result[OTHER] += unseen
    return result / result.sum()


def expected_votes(probability: np.ndarray, group: str) -> np.ndarray:
    """Expected vote shares (6,) of an annotator group: the truth that a perfect model could know.

    Args:
        probability: (6,) what an attentive reader sees (``appearance``).
        group: "crowd" or "expert".
    """
    return probability @ _CONFUSION[group]


def draw_votes(expected: np.ndarray, group: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the votes of one row.

    Args:
        expected: (6,) expected shares of the group.
        group: "crowd" or "expert".
        rng: source of randomness.

    Returns:
        Votes (6,) int64, and the shares (6,) of this row's readers before the votes are counted.
    """
    counts, weights = VOTE_COUNTS[group]
    readers = rng.dirichlet(_AGREEMENT[group] * np.maximum(expected, 1e-4))
    n_votes = int(rng.choice(counts, p=weights / weights.sum()))
    return rng.multinomial(n_votes, readers / readers.sum()).astype(np.int64), readers
