"""Who is in the set: patients, recordings, labelled EEGs and windows, and what each EEG is meant to show.

The plan is drawn at once and before any signal, so that class shares and faults are met as quotas even in a small set;
the signals then depend only on the plan and on the seed of their own recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hbaclib.conventions import CLASSES, EEG_WINDOW, SPECTROGRAM_WINDOW

WINDOW_SECONDS = EEG_WINDOW // 200
SPECTROGRAM_SECONDS = 2 * SPECTROGRAM_WINDOW
EEG_LEAD = (SPECTROGRAM_SECONDS - WINDOW_SECONDS) // 2
"""Seconds by which an EEG window begins after the spectrogram window of the same centre (275)."""

MEANT_SHARES = {
    "crowd": np.array([0.283, 0.155, 0.083, 0.037, 0.167, 0.275]),
    "expert": np.array([0.053, 0.260, 0.133, 0.079, 0.084, 0.391]),
}
"""Shares of the classes that EEGs are meant to show; with doubt and confusion they give ``votes.CLASS_MEANS``."""

EXPERT_SHARE = 0.34
"""Share of EEGs that the experts labelled."""


@dataclass(frozen=True)
class EegPlan:
    """One labelled EEG file.

    Attributes:
        eeg_id: its id.
        meant: class that it is meant to show.
        start: its first window's spectrogram offset, seconds (even).
        offsets: EEG offsets of its windows, seconds (even, the first 0).
        row_groups: for each window, the number of its vote group.
        annotators: for each vote group, "crowd" or "expert".
        fault: "", "begin", "end" or "scattered": where samples are missing.
        label_ids: one per window.
    """

    eeg_id: int
    meant: str
    start: int
    offsets: tuple[int, ...]
    row_groups: tuple[int, ...]
    annotators: tuple[str, ...]
    fault: str
    label_ids: tuple[int, ...]

    @property
    def seconds(self) -> int:
        """Length of the file."""
        return self.offsets[-1] + WINDOW_SECONDS


@dataclass(frozen=True)
class RecordingPlan:
    """One long recording: a spectrogram and the EEGs cut from it."""

    spectrogram_id: int
    patient_id: int
    split: str
    eegs: tuple[EegPlan, ...]

    @property
    def seconds(self) -> int:
        """Length needed by the last window's spectrogram."""
        return max(eeg.start + eeg.offsets[-1] for eeg in self.eegs) + SPECTROGRAM_SECONDS


@dataclass(frozen=True)
class PatientPlan:
    """All recordings of one patient and the seed of everything that is drawn for them."""

    patient_id: int
    recordings: tuple[RecordingPlan, ...]
    seed: np.random.SeedSequence


def quota(shares: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers that sum to ``n`` and follow ``shares``; the remainders are drawn."""
    exact = shares / shares.sum() * n
    counts = np.floor(exact).astype(int)
    rest = exact - counts
    missing = n - counts.sum()
    if missing:
        counts[rng.choice(len(shares), missing, replace=False, p=rest / rest.sum())] += 1
    return counts


class _Deck:
    """EEGs' meant classes, handed out so that recordings and patients keep to one class more often than chance."""

    def __init__(self, n: int, shares: np.ndarray, rng: np.random.Generator) -> None:
        self.left = quota(shares, n, rng)
        self.rng = rng

    def take(self, wanted: int | None, loyalty: float) -> int:
        if wanted is None or self.left[wanted] == 0 or self.rng.random() >= loyalty:
            wanted = int(self.rng.choice(len(self.left), p=self.left / self.left.sum()))
        self.left[wanted] -= 1
        return wanted


def _offsets(rng: np.random.Generator) -> tuple[int, ...]:
    """Even offsets of an EEG's overlapping windows: median three windows, some with many."""
    n = int(rng.choice([1, 2, 3, 4, 5, 6, 8, 11], p=[0.24, 0.16, 0.18, 0.14, 0.10, 0.08, 0.06, 0.04]))
    steps = 2 * rng.integers(1, 6, n - 1)
    return (0, *np.cumsum(steps).tolist())


def _vote_groups(n_windows: int, annotators: str, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Split an EEG's windows into runs with equal votes; few EEGs were read by both kinds of annotators."""
    if n_windows == 1 or rng.random() >= 0.24:
        return (0,) * n_windows, (annotators,)
    cut = int(rng.integers(1, n_windows))
    other = {"crowd": "expert", "expert": "crowd"}[annotators]
    second = other if rng.random() < 0.25 else annotators
    return (0,) * cut + (1,) * (n_windows - cut), (annotators, second)


def _unique(rng: np.random.Generator, n: int, high: int) -> np.ndarray:
    return rng.choice(high, n, replace=False) + 1


def plan_dataset(
    n_patients: int, n_test: int, recordings_per_patient: float, eegs_per_recording: float, seed: int
) -> list[PatientPlan]:
    """Draw the plan of a set.

    Args:
        n_patients: patients in train.csv.
        n_test: rows in test.csv, of patients of their own.
        recordings_per_patient: mean number of spectrograms per training patient.
        eegs_per_recording: mean number of EEGs per spectrogram.
        seed: seed of the whole set.

    Returns:
        Training patients, then test patients.
    """
    root = np.random.SeedSequence(seed)
    plan_seed, *patient_seeds = root.spawn(1 + n_patients + n_test)
    rng = np.random.default_rng(plan_seed)
    n_recordings = 1 + rng.poisson(max(recordings_per_patient - 1, 0), n_patients)
    n_eegs = [1 + rng.poisson(max(eegs_per_recording - 1, 0), n) for n in n_recordings]
    flat = np.concatenate(n_eegs)
    # Whole recordings belong to one kind of annotators; test patients have experts only.
    total = int(flat.sum())
    by_expert = np.zeros(len(flat), dtype=bool)
    for index in rng.permutation(len(flat)):
        if flat[by_expert].sum() + flat[index] / 2 < EXPERT_SHARE * total:
            by_expert[index] = True
    decks = {
        "expert": _Deck(int(flat[by_expert].sum()), MEANT_SHARES["expert"], rng),
        "crowd": _Deck(int(flat[~by_expert].sum()), MEANT_SHARES["crowd"], rng),
    }
    test_deck = _Deck(n_test, MEANT_SHARES["expert"], rng)
    faults = _faults(total, rng)
    eeg_ids = iter(_unique(rng, total + n_test, 2**32 - 2).tolist())
    spectrogram_ids = iter(_unique(rng, len(flat) + n_test, 2**31 - 2).tolist())
    patient_ids = iter(_unique(rng, n_patients + n_test, max(65_000, 4 * (n_patients + n_test))).tolist())
    label_ids = iter(_unique(rng, 11 * total + n_test, 2**32 - 2).tolist())

    def eeg(meant: int, start: int, offsets: tuple[int, ...], annotators: str, fault: str) -> EegPlan:
        row_groups, readers = _vote_groups(len(offsets), annotators, rng)
        labels = tuple(next(label_ids) for _ in offsets)
        return EegPlan(next(eeg_ids), CLASSES[meant], start, offsets, row_groups, readers, fault, labels)

    patients = []
    number = 0
    for patient in range(n_patients):
        patient_id, recordings, habit = next(patient_ids), [], None
        for n in n_eegs[patient]:
            annotators = "expert" if by_expert[number] else "crowd"
            number += 1
            eegs, start, usual = [], 0, None
            for position in range(int(n)):
                meant = decks[annotators].take(habit if position == 0 else usual, 0.55 if position == 0 else 0.6)
                usual = meant if usual is None else usual
                offsets = _offsets(rng)
                eegs.append(eeg(meant, start, offsets, annotators, next(faults)))
                start += offsets[-1] + WINDOW_SECONDS + 2 * int(rng.integers(0, 16))
            habit = usual
            recordings.append(RecordingPlan(next(spectrogram_ids), patient_id, "train", tuple(eegs)))
        patients.append(PatientPlan(patient_id, tuple(recordings), patient_seeds[patient]))
    for row in range(n_test):
        patient_id = next(patient_ids)
        alone = eeg(test_deck.take(None, 0), 0, (0,), "expert", "")
        recording = RecordingPlan(next(spectrogram_ids), patient_id, "test", (alone,))
        patients.append(PatientPlan(patient_id, (recording,), patient_seeds[n_patients + row]))
    return patients


def _faults(n: int, rng: np.random.Generator) -> Iterator[str]:
    """Missing samples: one EEG of each kind in any set that has three, 1 % of each kind in a large one."""
    names = np.full(n, "", dtype=object)
    kinds = np.repeat(["begin", "end", "scattered"], max(1, n // 100))[:n]
    names[rng.choice(n, len(kinds), replace=False)] = kinds
    return iter(names.tolist())
