"""Labels of the wide population follow what can be seen: artefacts that hide patterns, runs that pause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hbaclib.conventions import CLASSES, EEG_COLUMNS
from hbaclib.dataset.synthetic import wide_amplifier, wide_reading
from hbaclib.dataset.synthetic.patterns import draw_pattern
from hbaclib.dataset.synthetic.recording import Scene
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.dataset.synthetic.votes import CLASS_MEANS, expected_votes
from hbaclib.dataset.synthetic.waveforms import pattern_signal
from hbaclib.dataset.synthetic.wide_reading import Reading, as_present, panel_votes, read
from tests.dataset.wide import RATE, N

CENTRE = 25.0
TIME = np.arange(N) / RATE
LEFT = ("Fp1", "F7", "T3", "T5", "O1", "F3", "C3", "P3")


def brain(seed: int = 0) -> np.ndarray:
    return 10 * np.random.default_rng(seed).standard_normal((19, N)).cumsum(axis=1).astype(np.float32) / 8


def hidden(artefact: np.ndarray, patterns: np.ndarray | None = None) -> float:
    eeg = brain()
    reading = Reading(eeg, CENTRE, np.zeros_like(eeg) if patterns is None else patterns)
    with reading.hiding():
        eeg += artefact
    return reading.hidden()


def swing(seconds: tuple[float, float], hertz: float = 1.5, microvolt: float = 500, where=slice(None)) -> np.ndarray:
    artefact = np.zeros((19, N), np.float32)
    inside = (seconds[0] <= TIME) & (seconds[1] > TIME)
    sizes = np.zeros((19, 1))
    sizes[where] = 1 + np.arange(19)[where, None] % 5
    artefact[:, inside] = microvolt * sizes * np.sin(2 * np.pi * hertz * TIME[inside])
    return artefact


@pytest.mark.parametrize(
    ("artefact", "low", "high"),
    [
        (np.zeros((19, N), np.float32), 0, 0),
        (swing((0, 50)), 0.9, 1),
        (swing((20, 25), microvolt=60), 0.35, 0.65),
        (swing((24, 25), microvolt=60), 0.05, 0.3),
        # Outside of the labelled seconds nobody looks.
        (swing((0, 17)) + swing((33, 50)), 0, 0.01),
        # What readers filter away: mains, offsets; and what is the same in all electrodes.
        (swing((0, 50), hertz=60, microvolt=100), 0, 0.06),
        (swing((0, 50), hertz=0.0, microvolt=1) + 900 * np.arange(19, dtype=np.float32)[:, None], 0, 0.01),
        (np.ones((19, 1), np.float32) * swing((0, 50))[:1], 0, 0.01),
    ],
)
def test_time_under_artefacts_is_hidden(artefact, low, high):
    assert low <= hidden(artefact) <= high


def test_fast_artefacts_hide_less_than_slow_ones_of_the_same_size():
    assert hidden(swing((0, 50), hertz=22, microvolt=8)) < 0.6 * hidden(swing((0, 50), hertz=3, microvolt=8))


def test_what_counts_are_the_derivations_in_which_the_pattern_is():
    left = np.array([EEG_COLUMNS.index(name) for name in LEFT])
    pattern = swing((0, 50), hertz=1.0, microvolt=20, where=left)
    right = np.array([EEG_COLUMNS.index(name.translate(str.maketrans("1357", "2468"))) for name in LEFT])
    over, beside = (hidden(swing((0, 50), where=where), pattern) for where in (left, right))
    assert over > 0.6 and beside < 0.4 * over


def scene(kind: str, **changes) -> Scene:
    main = replace(draw_pattern(kind, CENTRE, np.random.default_rng(3)), start=-500.0, end=500.0, ratio=5.0, **changes)
    return Scene(CENTRE, kind, (main,), "")


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "Other"])
def test_the_more_is_hidden_the_flatter_the_votes_and_the_more_are_other(kind):
    shares = np.array([read(scene(kind), share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], scene(kind).probability(CENTRE))
    assert (np.diff(shares[:, CLASSES.index(kind)]) < 0).all() and (
        np.diff(shares[:, CLASSES.index("Other")]) > 0
    ).all()
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
    assert entropy[1] > entropy[0]


def test_nothing_is_other_and_hidden_some_guess():
    nothing = Scene(CENTRE, "Other", (), "")
    assert read(nothing, 0.0)[CLASSES.index("Other")] == 1
    guessed = read(nothing, 1.0)
    assert 0.8 < guessed[CLASSES.index("Other")] < 0.95
    others = [CLASSES.index(kind) for kind in CLASSES if kind != "Other"]
    assert np.argsort(guessed[others]).tolist() == np.argsort(CLASS_MEANS["expert"][others]).tolist()


def gated(coverage: float, seed: int) -> tuple:
    pattern = replace(scene("GRDA").patterns[0], coverage=coverage, seed=seed, growth=0.0)
    stretch, wave, _ = pattern_signal(pattern, N, 10.0)
    return pattern, wave, stretch.start


def test_a_run_that_pauses_in_the_labelled_seconds_is_not_seen():
    pattern, wave, start = gated(1.0, 1)
    assert as_present(pattern, wave, start, 10.0).coverage > 0.75
    wave[:, 18 * RATE : 32 * RATE] = 0
    assert as_present(pattern, wave, start, 10.0).coverage == 0
    wave = gated(1.0, 1)[1]
    wave[:, : 25 * RATE] = 0
    half = as_present(pattern, wave, start, 10.0)
    assert 0.2 < half.coverage < 0.4
    other = Scene(CENTRE, "GRDA", (half,), "").probability(CENTRE)[CLASSES.index("Other")]
    assert other > Scene(CENTRE, "GRDA", (pattern,), "").probability(CENTRE)[CLASSES.index("Other")]


def test_runs_are_there_for_different_shares_of_the_labelled_seconds():
    shares = [as_present(*gated(0.5, seed), 10.0).coverage for seed in range(12)]
    assert max(shares) > 0.5 and min(shares) < 0.25


def test_discharges_without_runs_stay_as_they_are():
    pattern = scene("LPD").patterns[0]
    assert as_present(pattern, np.zeros((19, N), np.float32), 0, 10.0) is pattern


def test_amplifier_faults_that_only_change_waves_hide_nothing():
    names = {name for _, name, _ in wide_amplifier.FAULTS}
    assert names > wide_amplifier.HARMLESS
    assert names - wide_amplifier.HARMLESS == {"bridged", "noisy electrodes", "flat electrodes", "saturated"}


def test_segments_under_artefacts_are_less_sure():
    made = [make_segment(kind, 41_000 + number, varied=True) for kind in ("LPD", "GRDA") for number in range(40)]
    share = np.array([one.hidden for one in made])
    own = np.array([one.probability[CLASSES.index(one.scene.meant)] for one in made])
    assert np.median(share) < 0.15 and (share > 0.3).sum() >= 3
    assert own[share > 0.3].mean() < 0.7 * own[share < 0.1].mean()
    assert make_segment("LPD", 41_000).hidden == 0


def test_the_panel_is_surer_than_the_plain_one_and_its_shares_sum_to_one():
    probability = np.array([0.0, 0.7, 0.1, 0.1, 0.0, 0.1])
    shares = panel_votes(probability)
    assert shares.sum() == pytest.approx(1)
    assert expected_votes(probability, "expert")[1] < shares[1] < probability[1]
    assert wide_reading._AGREED < 0.5
