"""Patterns of the wide population: more seizures, real rhythmic delta, and mixtures that readers disagree about.

An idea changes the parameters of a scene's patterns, from which the labels follow by the rules of ``votes``; what the
parameters cannot say (spikes on delta waves, a fast onset, silence after a seizure) is a feature that
``wide_features`` renders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hbaclib.dataset.synthetic.draws import log_uniform
from hbaclib.dataset.synthetic.geometry import near
from hbaclib.dataset.synthetic.patterns import LATERAL_SITES, Pattern, draw_pattern, front_pole, sources
from hbaclib.dataset.synthetic.recording import Scene


@dataclass(frozen=True)
class WideScene:
    """A scene and what its main pattern has besides.

    Attributes:
        scene: patterns and labels.
        features: names of ``wide_features.FEATURES``.
        ideas: names of the ideas that made it so.
        clarity: factor on the patterns' visibility to readers.
    """

    scene: Scene
    features: tuple[str, ...] = ()
    ideas: tuple[str, ...] = ()
    clarity: float = 1.0


Idea = Callable[[WideScene, np.random.Generator], WideScene]


def _with(wide: WideScene, main: Pattern, idea: str, *features: str, more: tuple[Pattern, ...] = ()) -> WideScene:
    scene = replace(wide.scene, patterns=(main, *wide.scene.patterns[1:], *more))
    return replace(wide, scene=scene, features=(*wide.features, *features), ideas=(*wide.ideas, idea))


def _only(wide: WideScene, main: Pattern, idea: str, *features: str) -> WideScene:
    """As `_with`, for ideas that need the field and the rate for themselves: the companions go."""
    scene = replace(wide.scene, patterns=(main,))
    return replace(wide, scene=scene, features=(*wide.features, *features), ideas=(*wide.ideas, idea))


def _fielded(
    pattern: Pattern, point: np.ndarray, mirror: float, width: tuple[float, float], rng: np.random.Generator
) -> Pattern:
    """The pattern with other sources: around a point, and mirrored to the other side with a strength."""
    points, widths, gains = sources(rng, point, 0.2, width, 3, mirror)
    delays = rng.uniform(0, max(float(pattern.delays.max()), 0.02), len(gains))
    return replace(pattern, points=points, widths=widths, gains=gains, delays=delays)


def _lateral_point(rng: np.random.Generator, sites: tuple[str, ...] = LATERAL_SITES) -> np.ndarray:
    return near(str(rng.choice(sites)), rng, 0.12)


def _frontal_point(rng: np.random.Generator) -> np.ndarray:
    return front_pole(rng, 0.35) * np.array([rng.choice([-1.0, 1.0]), 1, 1])


def _louder(ratio: float, rng: np.random.Generator) -> float:
    """Half of what is drawn is far above a quiet background: up to thirty times, as real discharges are."""
    return ratio * log_uniform(rng, 1.5, 5) if rng.random() < 0.5 else ratio


def loud(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """A pattern that leaves nothing of the background: 1.5 to 4 times as high as drawn."""
    main = wide.scene.patterns[0]
    return _with(wide, replace(main, ratio=main.ratio * log_uniform(rng, 1.5, 4)), "loud")


# --- seizures ---


def spike_and_wave(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Generalised or one-sided spike-and-wave of 2.5-4 Hz that slows: waves fill the cycle, a spike rides on each."""
    main = wide.scene.patterns[0]
    bilateral = rng.random() < 0.65
    point = _frontal_point(rng) if bilateral else _lateral_point(rng)
    main = _fielded(main, point, rng.uniform(0.7, 1) if bilateral else rng.uniform(0, 0.4), (0.6, 1.2), rng)
    main = replace(
        main, form="rhythmic", rate=log_uniform(rng, 2.5, 4), drift=float(rng.uniform(-0.5, -0.05)),
        variation=float(rng.uniform(0.01, 0.04)), ratio=_louder(max(main.ratio, 2.5), rng),
        delays=main.delays * 0.4, coupling=0.95,
    )  # fmt: skip
    return _only(wide, main, "spike-and-wave", "spikes", "arches")


def focal_spread(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """A focal rhythm of theta to alpha that grows while it slows down, and spreads from one lobe over the side."""
    main = wide.scene.patterns[0]
    main = _fielded(main, _lateral_point(rng), rng.uniform(0.1, 0.5), (0.3, 0.8), rng)
    main = replace(
        main, form="rhythmic", rate=log_uniform(rng, 4, 10), drift=float(rng.uniform(-0.9, -0.3)),
        growth=float(rng.uniform(0.3, 1.0)), variation=float(rng.uniform(0.03, 0.10)),
    )  # fmt: skip
    return _only(wide, main, "focal spread", *(("sharp contours",) if rng.random() < 0.5 else ()))


def low_voltage_onset(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Onset inside the window with low-voltage fast activity: the background falls silent, then the rhythm grows."""
    main = wide.scene.patterns[0]
    start = main.centre - rng.uniform(8, 18)
    growth, drift = float(rng.uniform(0.3, 1.0)), float(rng.uniform(-0.9, -0.2))
    return _with(wide, replace(main, start=start, growth=growth, drift=drift), "low-voltage onset", "fast onset")


def sharp_delta_seizure(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Rhythmic delta to theta of sharp contour whose rate changes by a third or more, often while it grows."""
    main = wide.scene.patterns[0]
    drift = float(rng.choice([-1, -1, 1]) * rng.uniform(0.35, 0.8))
    main = replace(
        main, form="sharp_delta", rate=log_uniform(rng, 1.9, 4.0), drift=drift, growth=float(rng.uniform(-0.2, 0.9)),
        variation=float(rng.uniform(0.04, 0.12)),
    )  # fmt: skip
    return _only(wide, main, "sharp delta seizure", "sharp contours")


def undecided_seizure(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Sharp waves of 1.9 to 2.6 Hz that hardly evolve: half of the readers call them periodic or rhythmic delta."""
    main = wide.scene.patterns[0]
    main = replace(
        main, form=str(rng.choice(["rhythmic", "sharp_delta", "train"], p=[0.4, 0.3, 0.3])),
        rate=float(rng.uniform(1.9, 2.6)), drift=float(rng.uniform(-0.12, 0.05)),
        growth=float(rng.uniform(-0.15, 0.15)), variation=float(rng.uniform(0.02, 0.10)),
        coupling=float(rng.uniform(0.8, 1.0)),
    )  # fmt: skip
    return _only(wide, main, "undecided seizure", *(("sharp contours",) if rng.random() < 0.5 else ()))


def sudden_onset(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Onset inside the labelled ten seconds or shortly before, from a quiet background, at full amplitude at once."""
    main = wide.scene.patterns[0]
    start = main.centre - rng.uniform(2, 15)
    return _with(wide, replace(main, start=start, ratio=_louder(main.ratio, rng)), "sudden onset", "abrupt onset")


def ending(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """End inside the window: silence or slow waves follow."""
    main = wide.scene.patterns[0]
    return _with(wide, replace(main, end=main.centre + rng.uniform(2, 15)), "ending", "after the seizure")


def ictal_muscle(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Tonic or clonic muscle over a seizure."""
    return _with(wide, wide.scene.patterns[0], "ictal muscle", "ictal muscle")


def flat_between(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """A nearly flat background while it lasts, so that each discharge stands alone."""
    main = wide.scene.patterns[0]
    main = replace(main, suppression=float(rng.uniform(0.08, 0.3)), ratio=_louder(main.ratio, rng))
    return _with(wide, main, "flat between")


# --- periodic discharges ---


def near_seizure(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Discharges of 2.0-2.8 Hz, about the 2.5 Hz at which the definition turns from periodic to seizure."""
    main = wide.scene.patterns[0]
    return _with(wide, replace(main, rate=float(rng.uniform(2.0, 2.8))), "about 2.5 Hz")


def triphasic_or_delta(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Triphasic waves of 1.4-2.3 Hz that nearly touch one another: periodic discharges or rhythmic delta."""
    main = replace(
        wide.scene.patterns[0],
        form="triphasic",
        rate=float(rng.uniform(1.4, 2.3)),
        sharpness=float(rng.uniform(0.1, 0.6)),
    )
    return _with(wide, main, "triphasic or delta")


def dipoles(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Sources in the walls of sulci: some of opposite sign and narrower, so that phases reverse inside the chains."""
    main = wide.scene.patterns[0]
    signs = rng.choice([-1.0, 1.0], len(main.gains))
    signs[0] = 1
    main = replace(main, gains=main.gains * signs, widths=main.widths * rng.uniform(0.5, 0.9))
    return _with(wide, main, "dipoles")


def widespread(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """One wave for the whole head: wide sources, loudest in front, nearly the same in all derivations of a chain."""
    main = _fielded(wide.scene.patterns[0], _frontal_point(rng), rng.uniform(0.8, 1.0), (0.9, 1.7), rng)
    return _with(wide, replace(main, delays=main.delays * 0.5), "widespread")


def one_electrode(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Discharges of so narrow a field that one electrode shows them and its neighbours hardly do."""
    main = _fielded(wide.scene.patterns[0], _lateral_point(rng), 0.0, (0.18, 0.3), rng)
    return _with(wide, main, "one electrode")


def plus_fast(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Fast activity of 12-25 Hz that rides on the discharges or waves ("+F")."""
    return _with(wide, wide.scene.patterns[0], "+F", "fast")


def mixed_complexes(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Some discharges are followed by polyspikes and others are not: no two complexes alike."""
    return _with(wide, wide.scene.patterns[0], "mixed complexes", "polyspikes after some")


def independent_sides(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Lateralised discharges on both sides, each with its own rate and place (bilateral independent)."""
    main = wide.scene.patterns[0]
    other = draw_pattern(main.kind, main.centre, rng)
    side = np.sign(main.points[0, 0])
    flip = np.array([-1.0, 1, 1]) if np.sign(other.points[0, 0]) == side else np.ones(3)
    other = replace(other, points=other.points * flip, ratio=main.ratio * rng.uniform(0.5, 1.0), suppression=1.0)
    return _with(wide, main, "independent sides", more=(other,))


def with_slowing(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Arrhythmic slowing in the field of the pattern, between and under its waves."""
    return _with(wide, wide.scene.patterns[0], "with slowing", "slowing")


def irregular(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Waves of unequal intervals and slowing between them: no pattern to half of the readers, whatever its height."""
    main = wide.scene.patterns[0]
    main = replace(main, variation=float(rng.uniform(0.35, 0.6)), coupling=main.coupling * float(rng.uniform(0.4, 0.9)))
    made = _with(wide, main, "irregular", "slowing")
    # Cycle lengths that differ by half and more are beyond the definitions.
    return replace(made, clarity=float(np.clip(1.5 - 2 * main.variation + 0.1 * rng.standard_normal(), 0.2, 0.9)))


# --- rhythmic delta ---


def frontotemporal(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Lateralised delta of one fronto-temporal region; the other side shows about half of it, delayed."""
    main = wide.scene.patterns[0]
    side = rng.choice([-1.0, 1.0])
    point = _lateral_point(rng, ("F7", "F3", "F3", "Fp1")) if rng.random() < 0.65 else front_pole(rng, 0.9)
    point = point * np.array([-side * np.sign(point[0]), 1, 1])
    return _with(wide, _fielded(main, point, rng.uniform(0.0, 0.4), (0.3, 0.6), rng), "fronto-temporal")


def border_of_sides(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Half-way between lateralised and generalised: the weaker side has .5 to .9 of the stronger one."""
    main = wide.scene.patterns[0]
    point = main.points[int(main.gains.argmax())]
    return _with(wide, _fielded(main, point, rng.uniform(0.5, 0.9), (0.4, 0.9), rng), "border of sides")


def runs(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Runs of some seconds with pauses: there for 40 to 90 % of the time."""
    return _with(wide, replace(wide.scene.patterns[0], coverage=float(rng.uniform(0.4, 0.9))), "runs")


def loose_sides(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Generalised delta whose hemispheres are little alike: own amplitude, jitter and irregular waves on each side."""
    main = wide.scene.patterns[0]
    main = replace(main, coupling=float(rng.uniform(0.05, 0.5)), delays=rng.uniform(0, 0.15, len(main.delays)))
    return _with(wide, main, "loose sides", "slowing")


def tight_sides(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Generalised delta of one steady wave for both hemispheres, which falls off evenly from the frontal poles."""
    main = _fielded(wide.scene.patterns[0], _frontal_point(rng), rng.uniform(0.85, 1.0), (0.8, 1.5), rng)
    main = replace(main, variation=float(rng.uniform(0.02, 0.1)), coupling=float(rng.uniform(0.93, 1.0)))
    return _with(wide, replace(main, delays=0.3 * main.delays), "tight sides")


def arched(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Arched or cuspate waves: rounded one way and pointed the other, all over the head alike."""
    return _with(wide, wide.scene.patterns[0], "arched", "arches")


def plus_sharp(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Sharp waves on most delta waves ("+S"), for which some readers call the pattern periodic."""
    main = wide.scene.patterns[0]
    return _with(wide, replace(main, sharpness=float(rng.uniform(0.5, 1.0))), "+S", "sharp contours")


def notched(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """Delta of two rates in one field, so that waves are notched and of unequal size."""
    main = wide.scene.patterns[0]
    second = replace(
        main, rate=float(min(main.rate * rng.uniform(1.3, 2.2), 2.6)), ratio=main.ratio * rng.uniform(0.3, 0.7),
        variation=float(rng.uniform(0.1, 0.3)), seed=int(rng.integers(2**62)),
    )  # fmt: skip
    return _with(wide, main, "notched", more=(second,))


# --- nothing at the labelled moment ---


def seizure_elsewhere(wide: WideScene, rng: np.random.Generator) -> WideScene:
    """A seizure that is over seconds before the labelled ten seconds, or begins after them: what is judged is Other."""
    centre = wide.scene.centre
    seizure = draw_pattern("Seizure", centre, rng)
    if rng.random() < 0.65:
        seizure = replace(seizure, start=centre - rng.uniform(20, 60), end=centre - rng.uniform(7, 15))
        scene = replace(wide.scene, patterns=(seizure,))
        return WideScene(scene, ("after the seizure",), (*wide.ideas, "after a seizure"))
    seizure = replace(seizure, start=centre + rng.uniform(7.5, 18), end=centre + 60)
    return WideScene(replace(wide.scene, patterns=(seizure,)), (), (*wide.ideas, "before a seizure"))


FORMS: dict[str, tuple[tuple[float, Idea], ...]] = {
    "Seizure": ((0.20, spike_and_wave), (0.18, focal_spread), (0.14, sharp_delta_seizure), (0.15, undecided_seizure)),
    "LPD": ((0.08, near_seizure), (0.10, independent_sides), (0.08, one_electrode)),
    "GPD": ((0.08, near_seizure), (0.12, triphasic_or_delta), (0.30, widespread)),
    "LRDA": ((0.50, frontotemporal), (0.10, border_of_sides)),
    "GRDA": ((0.08, border_of_sides), (0.30, tight_sides), (0.27, loose_sides)),
}
"""Class -> ideas of which at most one is taken, and how often."""

ADDED: dict[str, tuple[tuple[float, Idea], ...]] = {
    "Seizure": ((0.14, low_voltage_onset), (0.18, sudden_onset), (0.12, ending), (0.14, ictal_muscle), (0.15, arched),
                (0.10, plus_fast), (0.25, loud), (0.20, dipoles)),
    "LPD": ((0.14, plus_fast), (0.20, with_slowing), (0.15, mixed_complexes), (0.10, flat_between),
            (0.20, dipoles), (0.10, irregular)),
    "GPD": ((0.12, plus_fast), (0.10, with_slowing), (0.25, mixed_complexes), (0.30, flat_between),
            (0.10, irregular)),
    "LRDA": ((0.35, loud), (0.25, runs), (0.40, arched), (0.12, plus_sharp), (0.10, plus_fast), (0.25, notched),
             (0.20, with_slowing), (0.15, dipoles), (0.12, irregular)),
    "GRDA": ((0.40, loud), (0.15, runs), (0.40, arched), (0.14, plus_sharp), (0.08, plus_fast), (0.15, notched),
             (0.12, irregular)),
    "Other": ((0.06, seizure_elsewhere),),
}  # fmt: skip
"""Class -> ideas that come each for itself, and how often."""


def widen_scene(scene: Scene, rng: np.random.Generator) -> WideScene:
    """Draw what a scene of the wide population has beyond the plain one."""
    wide = WideScene(scene)
    if not scene.patterns and scene.meant != "Other":
        return wide
    chances = FORMS.get(scene.meant, ())
    if chances:
        shares = [share for share, _ in chances]
        chosen = int(rng.choice(len(chances) + 1, p=[*shares, 1 - sum(shares)]))
        if chosen < len(chances):
            wide = chances[chosen][1](wide, rng)
    for share, idea in ADDED[scene.meant]:
        if rng.random() < share:
            wide = idea(wide, rng)
    return wide
