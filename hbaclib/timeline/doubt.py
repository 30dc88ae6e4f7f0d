"""Doubt of a timeline's bins: the classes an expert may well say, and how likely one is not to say the leading one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hbaclib.conventions import CLASSES
from hbaclib.errors import list_some
from hbaclib.evaluation.doubt import Doubt
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.timeline.bins import Bin

SEPARATOR: Final = "|"
"""Between the classes of a set."""
_DIGITS = 4


@dataclass(frozen=True)
class Calibration:
    """What the doubt of a model was fitted to, or why it tells none.

    Attributes:
        doubt: what was fitted; None: nothing tells how sure its shares are.
        note: in words.
    """

    doubt: Doubt | None
    note: str

    @property
    def sets_tell(self) -> bool:
        """Whether a set can leave a class out, so that its size says something of a bin."""
        return self.doubt is not None and self.doubt.threshold < 1


def calibration_of(predictor: EnsemblePredictor) -> Calibration:
    """The calibration that an ensemble keeps, where it is one of the models that serve.

    Raises:
        ArtefactError: its file is damaged.
    """
    ensemble = predictor.ensemble
    if ensemble is None:
        return Calibration(None, "no doubt and no sets: one model alone has no calibration of them; an ensemble has")
    if absent := [name for name in ensemble.folders if name not in predictor.members]:
        # With fewer members these disagree less, and every bin would seem surer than it is.
        return Calibration(
            None, f"no doubt and no sets: they are calibrated for all models, of which {list_some(absent)} do not serve"
        )
    doubt = ensemble.doubt
    if doubt is None:
        return Calibration(None, "no doubt and no sets: the ensemble has no calibration of them; fit it again")
    few = "" if doubt.threshold < 1 else "; too few patients for a set to leave any class out"
    return Calibration(
        doubt,
        f"doubt and sets: calibrated on {doubt.about or 'rows of which it says nothing'} ({doubt.rows:,} rows of "
        f"{doubt.patients:,} patients), so that {doubt.coverage:.0%} of their experts' votes lie in the sets{few}; "
        "recordings of another hospital may differ",
    )


def with_doubt(bins: Sequence[Bin], doubt: Doubt) -> list[Bin]:
    """Bins with their set and doubt, of the shares that they have; those without shares have neither.

    Args:
        bins: with the members' disagreement.
        doubt: of the ensemble that predicted them.
    """
    shares = np.stack([each.shares for each in bins]).astype(np.float64) if bins else np.zeros((0, len(CLASSES)))
    sets, told = doubt.sets(shares), doubt.doubt(shares, np.array([each.spread for each in bins], np.float64))
    order = np.argsort(-shares, axis=1, kind="stable")
    return [
        replace(
            each, doubt=round(float(told[k]), _DIGITS), classes=tuple(CLASSES[c] for c in order[k] if sets[k, c])
        )
        for k, each in enumerate(bins)
    ]  # fmt: skip
