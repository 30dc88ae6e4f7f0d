"""Patterns of the wide population: every idea does what its name means, and labels follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hbaclib.conventions import CLASSES, EEG_COLUMNS
from hbaclib.dataset.synthetic import wide_features, wide_patterns
from hbaclib.dataset.synthetic.geometry import BIPOLAR
from hbaclib.dataset.synthetic.patterns import draw_pattern
from hbaclib.dataset.synthetic.recording import Scene
from hbaclib.dataset.synthetic.variety import Recording
from hbaclib.dataset.synthetic.waveforms import pattern_signal
from hbaclib.dataset.synthetic.wide_patterns import ADDED, FORMS, WideScene
from tests.dataset.wide import RATE, N, band_power, loudest, quiet, sides


def scene_of(kind: str, seed: int, **changes) -> tuple[WideScene, np.random.Generator]:
    rng = np.random.default_rng(seed)
    main = replace(draw_pattern(kind, 25.0, rng), start=-500.0, end=500.0, ratio=4.0, **changes)
    return WideScene(Scene(25.0, kind, (main,), "")), rng


def probability(wide: WideScene) -> dict[str, float]:
    return dict(zip(CLASSES, wide.scene.probability(25.0).tolist(), strict=True))


def rendered(wide: WideScene, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pattern (19, N) with its features, and the gain (N,) of the background."""
    pattern = wide.scene.patterns[0]
    stretch, wave, gain = pattern_signal(pattern, N, 10.0)
    assert (stretch.start, stretch.stop) == (0, N), "the features need the whole of it"
    made = wide_features.Rendered(pattern, 0, wave, gain, 10.0)
    for name in wide.features:
        wide_features.FEATURES[name](made, np.random.default_rng(seed))
    return made.wave, made.gain


@pytest.mark.parametrize("kind", CLASSES)
def test_every_idea_leaves_labels_that_sum_to_one(kind):
    for _, idea in (*FORMS.get(kind, ()), *ADDED[kind]):
        if kind == "Other":
            wide, rng = WideScene(Scene(25.0, kind, (), "")), np.random.default_rng(0)
        else:
            wide, rng = scene_of(kind, 3)
        made = idea(wide, rng)
        assert sum(probability(made).values()) == pytest.approx(1) and made.ideas


def test_spike_and_wave_is_a_seizure_of_three_a_second_with_a_spike_on_each_wave():
    wide, rng = scene_of("Seizure", 1)
    made = wide_patterns.spike_and_wave(wide, rng)
    assert probability(made)["Seizure"] > 0.8 and 2.5 <= made.scene.patterns[0].rate <= 4
    spiky, smooth = rendered(made)[0], rendered(replace(made, features=()))[0]
    assert band_power(loudest(spiky), 12, 30) > 3 * band_power(loudest(smooth), 12, 30)


def test_focal_seizures_grow_while_their_rate_falls():
    for seed in range(5):
        wide, rng = scene_of("Seizure", seed)
        main = wide_patterns.focal_spread(wide, rng).scene.patterns[0]
        early, late = 5.0, 45.0
        assert main.rate_at(late) < main.rate_at(early) and main.level_at(late) > main.level_at(early)
        assert main.asymmetry < 0.75


def test_low_voltage_onset_begins_fast_and_small_over_a_silent_background():
    wide, rng = scene_of("Seizure", 2, form="rhythmic", rate=4.0)
    made = wide_patterns.low_voltage_onset(wide, rng)
    start = made.scene.patterns[0].start
    assert 7 <= start <= 17
    pattern = made.scene.patterns[0]
    stretch, wave, gain = pattern_signal(pattern, N, 10.0)
    result = wide_features.Rendered(pattern, stretch.start, wave, gain, 10.0)
    wide_features.fast_onset(result, np.random.default_rng(0))
    at = int(start * RATE) - stretch.start
    first, later = loudest(result.wave)[at + 100 : at + 500], loudest(result.wave)[at + 3000 : at + 5000]
    assert first.std() < 0.6 * later.std()
    fast = [band_power(part, 13, 30) / band_power(part, 0.5, 13) for part in (first, later)]
    assert fast[0] > 4 * fast[1]
    assert result.gain[at + 200 : at + 400].mean() < 0.8


def test_a_sudden_onset_is_whole_within_a_second():
    wide, rng = scene_of("Seizure", 4, form="rhythmic", rate=4.0, growth=0.0, suppression=1.0)
    made = wide_patterns.sudden_onset(wide, rng)
    pattern = made.scene.patterns[0]
    assert 10 <= pattern.start <= 23 and "abrupt onset" in made.features
    stretch, wave, gain = pattern_signal(pattern, N, 10.0)
    result = wide_features.Rendered(pattern, stretch.start, wave, gain, 10.0)
    wide_features.abrupt_onset(result, np.random.default_rng(0))
    at = int(pattern.start * RATE) - stretch.start
    before, after = np.abs(loudest(result.wave)[: at + 190]).max(), np.abs(loudest(result.wave)[at + 300 :]).max()
    assert before < 0.05 * after


def test_after_a_seizure_the_background_is_weaker_and_what_is_judged_is_other():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(8):
        made = wide_patterns.seizure_elsewhere(WideScene(Scene(25.0, "Other", (), "")), rng)
        assert probability(made)["Other"] > 0.99
        seen |= set(made.ideas)
    assert seen == {"after a seizure", "before a seizure"}
    wide, _ = scene_of("Seizure", 5, suppression=1.0)
    ended = replace(wide.scene.patterns[0], end=20.0)
    result = wide_features.Rendered(ended, 0, np.ones((19, N), np.float32), np.ones(N, np.float32), 10.0)
    wide_features.after_the_seizure(result, rng)
    assert result.gain[5000:5400].mean() < 0.6 and result.gain[: 19 * RATE].min() == 1


def test_muscle_comes_with_the_seizure_over_the_outer_electrodes():
    wide, _ = scene_of("Seizure", 6)
    pattern = replace(wide.scene.patterns[0], start=15.0, end=40.0)
    result = wide_features.Rendered(pattern, 0, np.zeros((19, N), np.float32), np.ones(N, np.float32), 10.0)
    wide_features.ictal_muscle(result, np.random.default_rng(0))
    sd = result.wave.std(axis=1)
    assert np.abs(result.wave[:, : 15 * RATE]).max() == 0 and sd[EEG_COLUMNS.index("Cz")] == 0 and sd.max() > 1


def test_about_two_and_a_half_discharges_a_second_readers_disagree():
    shares = []
    for seed in range(20):
        wide, rng = scene_of("GPD", seed, form="spike")
        shares.append(probability(wide_patterns.near_seizure(wide, rng))["Seizure"])
    assert min(shares) < 0.2 and max(shares) > 0.6


def test_triphasic_waves_that_touch_are_periodic_to_some_and_delta_to_others():
    shares = []
    for seed in range(10):
        wide, rng = scene_of("GPD", seed)
        found = probability(wide_patterns.triphasic_or_delta(wide, rng))
        shares.append((found["GRDA"] + found["LRDA"]) / (found["GPD"] + found["LPD"]))
    assert 0.05 < np.median(shares) < 1


def test_independent_sides_have_each_their_own_rate():
    wide, rng = scene_of("LPD", 7)
    one, other = wide_patterns.independent_sides(wide, rng).scene.patterns
    assert one.points[0, 0] * other.points[0, 0] < 0 and one.rate != other.rate and one.seed != other.seed


def test_border_of_sides_lies_between_lateralised_and_generalised():
    found = [probability(wide_patterns.border_of_sides(*scene_of("LRDA", seed))) for seed in range(12)]
    assert 0.2 < np.mean([one["GRDA"] / (one["GRDA"] + one["LRDA"]) for one in found]) < 0.95


def test_frontotemporal_delta_is_one_sided_and_in_front():
    ratio, frontal = [], []
    for seed in range(10):
        wide = wide_patterns.frontotemporal(*scene_of("LRDA", seed))
        wave = rendered(wide)[0]
        ratio.append(sides(wave))
        sd = (BIPOLAR @ wave).std(axis=1).reshape(4, 4)
        frontal.append(np.log(sd[:, :2].mean() / sd[:, 2:].mean()))
    assert np.median(ratio) < 0.55 and np.median(frontal) > 0.4


def test_sides_are_loose_or_tight():
    def alike(idea) -> float:
        values = []
        for seed in range(8):
            pairs = BIPOLAR @ rendered(idea(*scene_of("GRDA", seed)))[0]
            values.append(np.mean([np.corrcoef(pairs[i], pairs[i + 4])[0, 1] for i in (0, 1, 8, 9)]))
        return float(np.median(values))

    assert alike(wide_patterns.tight_sides) > 0.85 > 0.75 > alike(wide_patterns.loose_sides)


def test_widespread_discharges_look_the_same_along_a_chain_and_narrow_ones_do_not():
    def neighbours(idea) -> float:
        values = []
        for seed in range(6):
            found = np.corrcoef(BIPOLAR @ rendered(idea(*scene_of("GPD", seed)))[0])
            values.append(np.mean([found[i, i + 1] for i in range(15) if (i + 1) % 4]))
        return float(np.median(values))

    assert neighbours(wide_patterns.widespread) > neighbours(wide_patterns.one_electrode) + 0.4


def test_dipoles_have_both_signs():
    fields = [wide_patterns.dipoles(*scene_of("LPD", seed)).scene.patterns[0].fields for seed in range(6)]
    assert sum((one < 0).any() and (one > 0).any() for one in fields) >= 3


@pytest.mark.parametrize(
    ("idea", "kind", "low", "high", "factor"),
    [
        (wide_patterns.plus_sharp, "GRDA", 8, 25, 3),
        (wide_patterns.plus_fast, "GRDA", 10, 25, 3),
        (wide_patterns.mixed_complexes, "GPD", 7, 25, 1.2),
        (wide_patterns.with_slowing, "LPD", 0.3, 2, 1.2),
    ],
)
def test_features_add_their_band(idea, kind, low, high, factor):
    gains = []
    for seed in range(6):
        made = idea(*scene_of(kind, seed))
        plain = rendered(replace(made, features=()))[0]
        gains.append(band_power(rendered(made)[0], low, high).sum() / band_power(plain, low, high).sum())
    assert np.median(gains) > factor


def test_sharp_waves_on_delta_make_some_readers_call_it_periodic():
    wide, rng = scene_of("GRDA", 1, rate=1.2, sharpness=0.0)
    assert probability(wide_patterns.plus_sharp(wide, rng))["GPD"] > 2 * probability(wide)["GPD"]


def test_arched_waves_are_pointed_one_way():
    lean = []
    for seed in range(8):
        made = wide_patterns.arched(*scene_of("GRDA", seed))
        for features, sign in ((made.features, 1), ((), -1)):
            line = loudest(rendered(replace(made, features=features))[0]).astype(float)
            lean.append(sign * abs(float(((line - line.mean()) ** 3).mean() / line.std() ** 3)))
    assert np.median(lean[::2]) > 2 * -np.median(lean[1::2])


def test_notched_delta_has_two_rates_in_one_field_and_stays_delta():
    one, other = wide_patterns.notched(*scene_of("LRDA", 2)).scene.patterns
    assert other.rate > one.rate or other.rate == 2.6
    assert np.array_equal(one.points, other.points) and other.ratio < one.ratio


def test_an_undecided_seizure_is_one_to_half_of_the_readers():
    shares = [probability(wide_patterns.undecided_seizure(*scene_of("Seizure", seed)))["Seizure"] for seed in range(16)]
    assert 0.45 < np.mean(shares) < 0.8 and min(shares) < 0.6


def test_irregular_waves_are_less_of_a_pattern_the_more_they_differ():
    made = [wide_patterns.irregular(*scene_of("GRDA", seed)) for seed in range(16)]
    variation, clarity = np.array([(one.scene.patterns[0].variation, one.clarity) for one in made]).T
    assert variation.min() >= 0.35 and np.corrcoef(variation, clarity)[0, 1] < -0.5
    assert clarity.min() >= 0.2 and clarity.max() <= 0.9


def test_runs_pause_and_flat_background_lets_discharges_stand_alone():
    assert wide_patterns.runs(*scene_of("LRDA", 1)).scene.patterns[0].coverage <= 0.9
    made = wide_patterns.flat_between(*scene_of("GPD", 1))
    assert rendered(made)[1][2000:8000].max() <= 0.31


def test_loud_patterns_are_louder_but_no_louder_than_brains_are():
    wide, rng = scene_of("GRDA", 1)
    assert wide_patterns.loud(wide, rng).scene.patterns[0].ratio > 1.4 * wide.scene.patterns[0].ratio
    for seed in range(40):
        traits = replace(quiet(seed)[0], bipolar_sd=40.0)
        made = Recording(traits, wide.scene, np.random.default_rng(seed))
        assert made.scene.patterns[0].ratio * made.traits.bipolar_sd <= 250
