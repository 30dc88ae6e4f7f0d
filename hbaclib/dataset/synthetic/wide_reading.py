"""What readers of the wide population can see: patterns that artefacts hide, and runs that pause.

The parameters of a pattern do not tell whether muscle or a swing of all electrodes lies over the labelled ten seconds,
nor whether a pause between two runs falls on them. Here both are measured on the signals, while they are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.geometry import BIPOLAR
from hbaclib.dataset.synthetic.patterns import Pattern
from hbaclib.dataset.synthetic.recording import Scene
from hbaclib.dataset.synthetic.votes import CLASS_MEANS, expected_votes
from hbaclib.signal.filters import band_pass

_LABELLED, _MARGIN = 5, 2
"""Seconds before and after the labelled moment that are judged, and more of them against the filter's ends."""
_SLOW, _SHOWN = (0.5, 12.0), (0.5, 40.0)
"""Bands (Hz): of most patterns' waves, and of what readers have on their screens."""
_FAST_COUNTS = 1 / 3
"""Readers see slow waves under fast artefacts of some size: these count a third."""
_UNSEEN = 2.0
"""µV rms in a derivation that nobody notices, whatever the brain's amplitude."""
_GUESSED = 0.2
"""Share of the readers who guess by what is common, where everything is hidden; the others call it Other."""
_AGREED = 0.35
"""Share of the experts who vote for what is seen without the confusions of ``votes``; see `panel_votes`."""
_COVERAGE_SLACK = 0.15
"""What the rules of ``votes`` add to a pattern's coverage, which is a bound and no measured share."""


def read(scene: Scene, hidden: float) -> np.ndarray:
    """Probabilities (6,) of the classes for attentive readers of a scene of which artefacts hide a share.

    Args:
        scene: what is there.
        hidden: 0 nothing .. 1 all; see `Reading.hidden`.
    """
    seen = scene.probability(scene.centre, clarity=1 - hidden)
    return (1 - _GUESSED * hidden) * seen + _GUESSED * hidden * CLASS_MEANS["expert"]


def panel_votes(probability: np.ndarray) -> np.ndarray:
    """Vote shares (6,) that are expected of experts who read a recording of the wide population.

    Here much of the doubt comes from what is measured (`read`), and so less of it is left to confusions: with class
    means as in the competition's rows of ten votes and more, votes drawn from these shares have its mean entropy (.64)
    and its score of the class means (.84).

    Args:
        probability: (6,) what an attentive reader sees.
    """
    return (1 - _AGREED) * expected_votes(probability, "expert") + _AGREED * probability


def as_present(pattern: Pattern, wave: np.ndarray, start: int, sd: float) -> Pattern:
    """The pattern as a reader of the labelled ten seconds finds it: with the runs that lie in them, and no others.

    Args:
        pattern: its parameters; seizures and discharges that are always there stay as they are. (Rhythmic delta wanes
            for seconds.)
        wave: (19, n) µV.
        start: sample at which ``wave`` begins.
        sd: median bipolar sd of the background, µV.

    Returns:
        The same with another ``coverage``, by which labels are made.
    """
    if pattern.coverage >= 1 and pattern.form != "delta":
        return pattern
    first = max(0, round((pattern.centre - _LABELLED) * EEG_RATE) - start)
    part = wave[:, first : round((pattern.centre + _LABELLED) * EEG_RATE) - start]
    n_seconds = part.shape[1] // EEG_RATE
    if not n_seconds:
        return replace(pattern, coverage=0.0)
    pairs = (BIPOLAR.astype(np.float32) @ part)[:, : n_seconds * EEG_RATE]
    loudest = np.sqrt((pairs.reshape(len(pairs), n_seconds, EEG_RATE) ** 2).mean(axis=2)).max(axis=0)
    share = float(np.clip(loudest / (0.5 * pattern.ratio * sd), 0, 1).sum()) / (2 * _LABELLED)
    return replace(pattern, coverage=max(0.0, min(1.0, share) - _COVERAGE_SLACK))


class Reading:
    """The labelled ten seconds of a recording that is being made: what of them is brain, and what hides it."""

    def __init__(self, eeg: np.ndarray, centre: float, patterns: np.ndarray) -> None:
        """Begin when the brain's part is finished.

        Args:
            eeg: (19, n) µV, which is changed in place from here on.
            centre: the labelled second.
            patterns: (19, n) µV, what of it is patterns.
        """
        reach = _LABELLED + _MARGIN
        first, end = round((centre - reach) * EEG_RATE), round((centre + reach) * EEG_RATE)
        self._eeg, self._window = eeg, slice(max(0, first), min(eeg.shape[1], end))
        self._brain, self._patterns = eeg[:, self._window].copy(), patterns[:, self._window]
        self._artefacts = np.zeros_like(self._brain)

    @contextmanager
    def hiding(self) -> Iterator[None]:
        """What the block changes hides the brain."""
        before = self._eeg[:, self._window].copy()
        yield
        self._artefacts += self._eeg[:, self._window] - before

    def hidden(self) -> float:
        """Share of time and derivations in which artefacts outweigh the brain, 0..1.

        Where there are patterns the derivations count as loud as these are in them. Mains and drift are what readers
        filter away.
        """
        slow, fast = (_half_seconds(self._artefacts, band) for band in (_SLOW, _SHOWN))
        brain = _half_seconds(self._brain, _SHOWN)
        power = slow + _FAST_COUNTS**2 * fast
        covered = power / (power + brain + _UNSEEN**2)
        weights = np.sqrt(_half_seconds(self._patterns, _SHOWN).mean(axis=0))
        weights = weights if weights.any() else np.ones_like(weights)
        return float((covered.mean(axis=0) * weights).sum() / weights.sum())


def _half_seconds(electrodes: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Power (n_half_seconds, 16), µV², of the derivations of (19, n) in a band, without the margins."""
    signals = band_pass((BIPOLAR.astype(np.float32) @ electrodes).T, *band)
    margin = min(_MARGIN * EEG_RATE, len(signals) // 4)
    inner = signals[margin : len(signals) - margin]
    step = EEG_RATE // 2
    whole = inner[: len(inner) // step * step]
    return (whole.reshape(-1, step, whole.shape[1]) ** 2).mean(axis=1)
