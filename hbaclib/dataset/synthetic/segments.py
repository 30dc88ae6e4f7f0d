"""Stand-alone windows of the generator's make: what the built-in model is trained on, pictures and statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.background import draw_traits
from hbaclib.dataset.synthetic.plan import WINDOW_SECONDS
from hbaclib.dataset.synthetic.recording import Scene, draw_scene, render


@dataclass(frozen=True)
class Segment:
    """A stand-alone window: signal (n_samples, 20) µV, its scene, class probabilities (6,) for an attentive reader."""

    eeg: np.ndarray
    scene: Scene
    probability: np.ndarray


def make_segment(meant: str, seed: int, *, difficulty: float = 1.0, seconds: int = WINDOW_SECONDS) -> Segment:
    """Make one stand-alone labelled window.

    Args:
        meant: class that it is meant to show.
        seed: its seed.
        difficulty: 1 as in real recordings, 0 clear cases only.
        seconds: length; the labelled moment is its middle.
    """
    rng = np.random.default_rng(seed)
    traits = draw_traits(rng)
    scene = draw_scene(meant, seconds / 2, None, rng, difficulty)
    eeg = render([scene], traits, seconds * EEG_RATE, rng)
    return Segment(eeg, scene, scene.probability(scene.centre))
