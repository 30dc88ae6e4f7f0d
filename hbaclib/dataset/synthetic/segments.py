"""Stand-alone windows of the generator's make: what the built-in model is trained on, pictures and statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.background import draw_traits
from hbaclib.dataset.synthetic.plan import WINDOW_SECONDS
from hbaclib.dataset.synthetic.recording import Scene, draw_scene, render
from hbaclib.dataset.synthetic.variety import Recording
from hbaclib.dataset.synthetic.wide_reading import read

_WIDE = 19_900_101
"""Tells the wide population's generator from the plain one's of the same seed."""


@dataclass(frozen=True)
class Segment:
    """A stand-alone window.

    Attributes:
        eeg: (n_samples, 20) µV.
        scene: what is there.
        probability: (6,) probabilities of the classes for an attentive reader.
        ideas: what it has beyond a plain recording, see ``variety``.
        hidden: share of the labelled ten seconds that artefacts hide, 0..1, in the wide population; see
            ``wide_reading``.
    """

    eeg: np.ndarray
    scene: Scene
    probability: np.ndarray
    ideas: tuple[str, ...] = ()
    hidden: float = 0.0


def make_segment(
    meant: str, seed: int, *, difficulty: float = 1.0, seconds: int = WINDOW_SECONDS, varied: bool = False
) -> Segment:
    """Make one stand-alone labelled window.

    Args:
        meant: class that it is meant to show.
        seed: its seed.
        difficulty: 1 as in real recordings, 0 clear cases only.
        seconds: length; the labelled moment is its middle.
        varied: of the wide population (``variety``), which the built-in model learns from; without it, of the
            synthetic set's own.
    """
    rng = np.random.default_rng(seed)
    traits = draw_traits(rng)
    scene = draw_scene(meant, seconds / 2, None, rng, difficulty)
    if varied:
        wide = np.random.default_rng([_WIDE, seed])
        recording = Recording(traits, scene, wide)
        eeg, seen, hidden = recording.render(seconds * EEG_RATE, rng, wide)
        return Segment(eeg, seen, read(seen, hidden), recording.ideas, hidden)
    eeg = render([scene], traits, seconds * EEG_RATE, rng)
    return Segment(eeg, scene, scene.probability(scene.centre))
