"""The patterns as parameters: what a periodic discharge, rhythmic delta or seizure of one scene is like.

Ranges follow the definitions of the ACNS Standardized Critical Care EEG Terminology, 2021 version (Hirsch et al.,
J Clin Neurophysiol 2021). ``waveforms`` turns the parameters into signals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hbaclib.dataset.synthetic.draws import log_normal, log_uniform
from hbaclib.dataset.synthetic.geometry import field, hemisphere_ratio, mirrored, near, on_sphere

LATERAL_SITES = ("F3", "F7", "C3", "T3", "P3", "T5", "F4", "F8", "C4", "T4", "P4", "T6")


@dataclass(frozen=True)
class Pattern:
    """One pattern over one stretch of time.

    Attributes:
        kind: class whose definition it follows.
        form: sub-type, the name of its waveform.
        start: second at which it begins (may lie before the recording).
        end: second at which it ends.
        centre: second at which ``rate`` and ``ratio`` hold.
        rate: cycles per second at ``centre``.
        drift: change of ln(rate) per 50 s (seizures), or its bound (the others).
        growth: change of ln(amplitude) per 50 s.
        variation: coefficient of variation of the cycle length.
        ratio: rms of the best bipolar difference over the background's median bipolar sd.
        coverage: share of the time that it is there between ``start`` and ``end``.
        sharpness: 0 blunt or sinusoidal .. 1 spiky.
        suppression: factor on the background while it lasts.
        points: (n_sources, 3) where its sources lie.
        widths: (n_sources,) their extent, radians.
        gains: (n_sources,) their strength.
        delays: (n_sources,) their delay, seconds.
        coupling: correlation of the two hemispheres' cycle jitter.
        seed: seed of its waveform.
    """

    kind: str
    form: str
    start: float
    end: float
    centre: float
    rate: float
    drift: float
    growth: float
    variation: float
    ratio: float
    coverage: float
    sharpness: float
    suppression: float
    points: np.ndarray
    widths: np.ndarray
    gains: np.ndarray
    delays: np.ndarray
    coupling: float
    seed: int

    @property
    def fields(self) -> np.ndarray:
        """(19, n_sources) potential of each source at the electrodes."""
        return field(self.points, self.widths) * self.gains

    @property
    def asymmetry(self) -> float:
        """Weak / strong hemisphere of the pattern alone: 0 strictly one-sided, 1 symmetric."""
        return hemisphere_ratio(self.fields)

    def rate_at(self, seconds: np.ndarray | float) -> np.ndarray:
        """Rate (Hz) over time."""
        time = np.asarray(seconds, dtype=float) - self.centre
        if self.kind == "Seizure":
            return np.clip(self.rate * np.exp(self.drift * time / 50), min(0.9, self.rate), max(17.0, self.rate))
        return self.rate * np.exp(self.drift * np.tanh(time / 60))

    def level_at(self, seconds: np.ndarray | float) -> np.ndarray:
        """Amplitude relative to ``centre``, without the edges."""
        time = np.asarray(seconds, dtype=float) - self.centre
        return np.exp(self.growth * np.tanh(time / 50))


def sources(
    rng: np.random.Generator, centre: np.ndarray, spread: float, width: tuple[float, float], n: int, mirror: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources around a centre, and their weaker mirror images: points, widths, gains."""
    points = centre + spread * rng.standard_normal((n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    widths = rng.uniform(*width, n)
    gains = np.concatenate([[1.0], rng.uniform(0.3, 0.9, n - 1)])
    if mirror > 0:
        other = mirrored(points) + 0.1 * rng.standard_normal((n, 3))
        other /= np.linalg.norm(other, axis=1, keepdims=True)
        points = np.concatenate([points, other])
        widths = np.concatenate([widths, widths * rng.uniform(0.8, 1.2, n)])
        gains = np.concatenate([gains, gains * mirror])
    return points, widths, gains


def _front_or(rng: np.random.Generator, frontal: float) -> np.ndarray:
    """Centre of a generalised field, left half: mostly at or below the frontal pole, so that it falls off backwards."""
    if rng.random() < frontal:
        if rng.random() < 0.7:
            return front_pole(rng, 0.35)
        return near(str(rng.choice(["F3", "F3", "F7", "C3"])), rng, 0.15)
    return near(str(rng.choice(["C3", "P3", "T3", "T5"])), rng, 0.15)


def front_pole(rng: np.random.Generator, side: float) -> np.ndarray:
    """A point on the left, at the level of Fp1 or below, where no electrode of a chain lies beyond it."""
    inclination, azimuth = np.radians(rng.uniform(85, 115)), -abs(rng.normal(side, 0.2))
    return on_sphere(inclination, np.array(azimuth))


@dataclass(frozen=True, kw_only=True)
class _Law:
    """What a class's patterns are drawn from.

    Attributes:
        forms: how common each of the discharges is; none where the pattern is rhythmic delta.
        rate: median, spread and bounds of a log-normal, Hz.
        variation: bounds of the cycle length's.
        spread: of the sources about their centre.
        width: bounds of the sources' extent, radians.
        more_sources: beyond the two or three of every pattern.
        delays: bounds, seconds.
        suppressed: how often the background is weaker meanwhile.
        coupling: bounds of the two sides' correlation.
    """

    forms: tuple[float, ...] = ()
    rate: tuple[float, float, float, float] = (1.5, 0.33, 0.6, 3.0)
    variation: tuple[float, float]
    spread: float
    width: tuple[float, float]
    more_sources: int = 0
    delays: tuple[float, float] = (0.0, 0.1)
    suppressed: float = 0.0
    coupling: tuple[float, float] = (1.0, 1.0)


_DISCHARGES = ("wave", "triphasic", "blunt", "poly", "spike")
_LPD = _Law(
    forms=(0.60, 0.07, 0.08, 0.15, 0.10), rate=(1.05, 0.38, 0.35, 2.4), variation=(0.03, 0.25),
    spread=0.15, width=(0.3, 0.75), delays=(0.005, 0.06), suppressed=0.40,
)  # fmt: skip
_GPD = _Law(
    forms=(0.42, 0.20, 0.10, 0.20, 0.08), rate=(1.2, 0.38, 0.35, 2.4), variation=(0.05, 0.35),
    spread=0.25, width=(0.45, 0.95), more_sources=1, delays=(0.0, 0.05), suppressed=0.60,
)  # fmt: skip
_LRDA = _Law(variation=(0.04, 0.30), spread=0.15, width=(0.35, 0.7), coupling=(0.3, 0.9))
_GRDA = _Law(variation=(0.03, 0.20), spread=0.25, width=(0.5, 1.0), coupling=(0.5, 0.97))
_LAWS = {"LPD": _LPD, "GPD": _GPD, "LRDA": _LRDA, "GRDA": _GRDA}


def _mirror(kind: str, doubtful: bool, rng: np.random.Generator) -> float:
    """How strong the other hemisphere's sources are; doubtful cases lie between one-sided and symmetric."""
    if kind in ("LPD", "LRDA"):
        strength = rng.uniform(0, 0.45 if kind == "LPD" else 0.55) if rng.random() < 0.65 else 0.0
        return rng.uniform(0.5, 0.9) if doubtful else strength
    if kind == "GPD":
        strength = float(np.exp(-abs(0.15 * rng.standard_normal())))
        return rng.uniform(0.5, 0.8) if doubtful else strength
    return rng.uniform(0.5, 0.8) if doubtful else rng.uniform(0.8, 1.0)


def _place(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Centre of a pattern's sources, on either side."""
    if kind == "LPD" or (kind == "LRDA" and rng.random() >= 0.6):
        return _lateral(rng)
    point = front_pole(rng, 1.0) if kind == "LRDA" else _front_or(rng, 0.6 if kind == "GPD" else 0.8)
    return mirrored(point) if rng.random() < 0.5 else point


def _lateral(rng: np.random.Generator) -> np.ndarray:
    return near(str(rng.choice(LATERAL_SITES)), rng, 0.12)


def draw_pattern(kind: str, centre: float, rng: np.random.Generator, *, difficulty: float = 1.0) -> Pattern:
    """Draw the parameters of one pattern around second ``centre``.

    Args:
        kind: "Seizure", "LPD", "GPD", "LRDA" or "GRDA".
        centre: second of the recording at which it is labelled.
        rng: source of randomness.
        difficulty: 1 as in real recordings; 0 gives clear cases only.

    Returns:
        The pattern, lasting from minutes before to minutes after ``centre``, more rarely for seconds.
    """
    weakest = 1.1 if rng.random() < difficulty else 2.2
    ratio = log_uniform(rng, weakest, 6 if kind != "Seizure" else 7)
    before, after = _extent(kind, rng)
    n = int(rng.integers(2, 4))
    growth = float(np.clip(0.3 * rng.standard_normal(), -0.7, 0.7))
    doubtful = rng.random() < 0.12 * difficulty
    if kind == "Seizure":
        return _seizure(centre, before, after, ratio, rng)
    law, coverage, suppression, coupling = _LAWS[kind], 1.0, 1.0, 1.0
    form = str(rng.choice(_DISCHARGES, p=law.forms)) if law.forms else "delta"
    rate = log_normal(rng, *law.rate)
    variation = rng.uniform(*law.variation)
    mirror = _mirror(kind, doubtful, rng)
    points, widths, gains = sources(rng, _place(kind, rng), law.spread, law.width, n + law.more_sources, mirror)
    delays = rng.uniform(*law.delays, len(gains))
    if law.forms:
        suppression = rng.uniform(0.2, 0.7) if rng.random() < law.suppressed else 1.0
    else:
        coverage = rng.uniform(0.4, 0.95) if rng.random() < 0.4 else 1.0
        coupling = rng.uniform(*law.coupling)
    return Pattern(
        kind=kind,
        form=form,
        start=centre - before,
        end=centre + after,
        centre=centre,
        rate=rate,
        drift=float(np.clip(0.15 * rng.standard_normal(), -0.3, 0.3)),
        growth=growth,
        variation=float(variation),
        ratio=ratio,
        coverage=float(coverage),
        sharpness=_sharpness(form, rng),
        suppression=float(suppression),
        points=points,
        widths=widths,
        gains=gains,
        delays=delays,
        coupling=float(coupling),
        seed=int(rng.integers(2**62)),
    )


def _seizure(centre: float, before: float, after: float, ratio: float, rng: np.random.Generator) -> Pattern:
    form = str(rng.choice(["train", "rhythmic", "sharp_delta", "fast"], p=[0.30, 0.38, 0.20, 0.12]))
    low, high = {"train": (2.6, 4.5), "rhythmic": (2.5, 9.0), "sharp_delta": (1.9, 3.3), "fast": (8.0, 16.0)}[form]
    drift = rng.normal(-0.35, 0.35) if form != "train" else rng.normal(-0.12, 0.15)
    if form == "sharp_delta" and abs(drift) < 0.3:  # what is slow is a seizure only if it evolves
        drift = -rng.uniform(0.3, 0.7)
    one_sided = rng.random() < 0.6
    centre_point = _lateral(rng) if one_sided else _front_or(rng, 0.6)
    mirror = rng.uniform(0.0, 0.5) if one_sided else rng.uniform(0.7, 1.0)
    points, widths, gains = sources(rng, centre_point, 0.2, (0.35, 0.9), 3, mirror)
    return Pattern(
        kind="Seizure",
        form=form,
        start=centre - before,
        end=centre + after,
        centre=centre,
        rate=log_uniform(rng, low, high),
        drift=float(np.clip(drift, -1.0, 0.5)),
        growth=float(np.clip(0.5 * rng.standard_normal(), -1, 1)),
        variation=float(rng.uniform(0.03, 0.12)),
        ratio=max(ratio, 1.2),
        coverage=1.0,
        sharpness=float(rng.uniform(0.4, 1.0)),
        suppression=float(rng.uniform(0.2, 0.7)) if rng.random() < 0.25 else 1.0,
        points=points,
        widths=widths,
        gains=gains,
        delays=rng.uniform(0.0, 0.05, len(gains)),
        coupling=float(rng.uniform(0.6, 1.0)),
        seed=int(rng.integers(2**62)),
    )


def _sharpness(form: str, rng: np.random.Generator) -> float:
    low, high = {"blunt": (0.05, 0.35), "delta": (0.0, 0.5)}.get(form, (0.5, 1.0))
    return float(rng.uniform(low, high))


def _extent(kind: str, rng: np.random.Generator) -> tuple[float, float]:
    """Seconds before and after the labelled centre during which a pattern lasts."""
    if kind == "Seizure":
        # A quarter begins inside the labelled window, a few end there; the others began earlier and last.
        before = rng.uniform(4, 25) if rng.random() < 0.25 else log_uniform(rng, 25, 120)
        after = rng.uniform(4, 25) if rng.random() < 0.15 else log_uniform(rng, 25, 120)
        return float(before), float(after)
    if rng.random() < 0.55:
        return 2000.0, 2000.0
    return log_uniform(rng, 12, 500), log_uniform(rng, 12, 500)


def continued(pattern: Pattern, centre: float, rng: np.random.Generator) -> Pattern:
    """The same pattern at a later labelled moment: same place and form, a little faster, slower, weaker or stronger."""
    before, after = _extent(pattern.kind, rng)
    return replace(
        pattern,
        start=centre - before,
        end=centre + after,
        centre=centre,
        rate=float(pattern.rate * np.exp(np.clip(0.12 * rng.standard_normal(), -0.3, 0.3))),
        ratio=float(np.clip(pattern.ratio * np.exp(0.25 * rng.standard_normal()), 1.1, 7)),
        gains=pattern.gains * np.exp(0.1 * rng.standard_normal(len(pattern.gains))),
        seed=int(rng.integers(2**62)),
    )
