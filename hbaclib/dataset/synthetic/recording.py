"""One long recording: its patterns and its 20 channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hbaclib.dataset.synthetic.artefact_noise import add_artefacts, add_mimic, add_wild
from hbaclib.dataset.synthetic.background import Traits, background
from hbaclib.dataset.synthetic.patterns import Pattern, continued, draw_pattern
from hbaclib.dataset.synthetic.plan import EEG_LEAD, RecordingPlan
from hbaclib.dataset.synthetic.votes import appearance
from hbaclib.dataset.synthetic.waveforms import pattern_signal

_COMPANIONS = {
    "Seizure": ("LPD", "GPD", "LRDA"),
    "LPD": ("LRDA", "LRDA", "GPD"),
    "GPD": ("GRDA", "GRDA", "LPD"),
    "LRDA": ("LPD", "LPD", "GRDA"),
    "GRDA": ("GPD", "LRDA"),
}
"""Pattern -> what else may be there at the same time; doubtful cases as readers confuse them."""


@dataclass(frozen=True)
class Scene:
    """What is there around one labelled moment: a main pattern (none for Other), companions, an artefact.

    Attributes:
        centre: the labelled moment, seconds of the recording.
        meant: class that it is meant to show.
        patterns: the main pattern first.
        artefact: "", "mimic" (resembles a pattern) or "wild" (hides everything).
    """

    centre: float
    meant: str
    patterns: tuple[Pattern, ...]
    artefact: str

    def probability(self, seconds: float, clarity: float = 1.0) -> np.ndarray:
        """Probabilities (6,) of the classes for an attentive reader of the 10 s around ``seconds``.

        Args:
            seconds: of the recording.
            clarity: factor on the patterns' visibility; at most .15 under a wild artefact.
        """
        return appearance(self.patterns, seconds, clarity=min(clarity, 0.15) if self.artefact == "wild" else clarity)


def _artefact(rng: np.random.Generator, mimic: float, wild: float) -> str:
    return str(rng.choice(["mimic", "wild", ""], p=[mimic, wild, 1 - mimic - wild]))


def draw_scene(meant: str, centre: float, before: Scene | None, rng: np.random.Generator, difficulty: float) -> Scene:
    """Draw what an EEG that is meant to show a class has around its labelled moment."""
    if meant == "Other":
        patterns: tuple[Pattern, ...] = ()
        if rng.random() < 0.35 * difficulty:  # something is there, but too weak to be called
            kind = str(rng.choice(["LPD", "GPD", "LRDA", "GRDA", "GRDA", "GRDA"]))
            weak = draw_pattern(kind, centre, rng)
            patterns = (replace(weak, ratio=rng.uniform(0.4, 1.0), suppression=1.0),)
        return Scene(centre, meant, patterns, _artefact(rng, 0.2, 0.04))
    if before is not None and before.meant == meant and rng.random() < 0.7:
        main = continued(before.patterns[0], centre, rng)
    else:
        main = draw_pattern(meant, centre, rng, difficulty=difficulty)
    patterns = (main,)
    if rng.random() < 0.14 * difficulty:
        other = draw_pattern(str(rng.choice(_COMPANIONS[meant])), centre, rng)
        patterns += (replace(other, ratio=main.ratio * rng.uniform(0.25, 0.8), suppression=1.0),)
    return Scene(centre, meant, patterns, _artefact(rng, 0.03, 0.015))


def _confined(scenes: Sequence[Scene]) -> list[Scene]:
    """Cut the patterns half-way to the neighbouring labelled moments, so that each moment has its own."""
    borders = [-np.inf, *((one.centre + next_one.centre) / 2 for one, next_one in pairwise(scenes)), np.inf]
    return [
        replace(scene, patterns=tuple(replace(p, start=max(p.start, a), end=min(p.end, b)) for p in scene.patterns))
        for scene, (a, b) in zip(scenes, pairwise(borders), strict=True)
    ]


def draw_scenes(recording: RecordingPlan, rng: np.random.Generator, difficulty: float = 1.0) -> list[Scene]:
    """Draw the scenes of a recording, one per EEG, in time's order."""
    scenes: list[Scene] = []
    for eeg in recording.eegs:
        middle = eeg.offsets[len(eeg.offsets) // 2]
        centre = eeg.start + middle + EEG_LEAD + 25.0
        scenes.append(draw_scene(eeg.meant, centre, scenes[-1] if scenes else None, rng, difficulty))
    return _confined(scenes)


def render(scenes: Sequence[Scene], traits: Traits, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make the 20 channels.

    Args:
        scenes: what is there, times in seconds of the recording.
        traits: the patient.
        n_samples: length at 200 Hz.
        rng: source of background and artefacts.

    Returns:
        (n_samples, 20) float32 µV, rounded to 2 decimals as the files are.
    """
    eeg = background(traits, n_samples, rng)
    for scene in scenes:
        for pattern in scene.patterns:
            stretch, wave, gain = pattern_signal(pattern, n_samples, traits.bipolar_sd)
            eeg[:, stretch] *= gain
            eeg[:, stretch] += wave
        if scene.artefact == "mimic":
            add_mimic(eeg, scene.centre, traits.bipolar_sd, rng)
        elif scene.artefact == "wild":
            add_wild(eeg, scene.centre, rng)
    ekg = add_artefacts(eeg, traits, rng)
    return np.ascontiguousarray(np.round(np.vstack([eeg, ekg]), 2).T.astype(np.float32))
