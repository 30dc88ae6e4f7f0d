"""What the notebooks' parameters may be: one table, for ``hbac run`` before anything starts and for the notebooks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hbaclib.conventions import EEG_RATE, EEG_WINDOW
from hbaclib.dataset.samples import SAMPLINGS
from hbaclib.errors import ConfigError
from hbaclib.schema import PLAIN_NAME, is_plain_name, shown
from hbaclib.stages.names import EEG_IMAGES
from hbaclib.training.recipe import GREATEST_BATCH, GREATEST_SEED, XLA


@dataclass(frozen=True)
class Domain:
    """Values that a parameter may take.

    Attributes:
        words: what they are, for messages.
        holds: whether a value is one of them.
    """

    words: str
    holds: Callable[[Any], bool]


def whole(least: int, greatest: int) -> Domain:
    """Whole numbers of a range; no texts, and neither true nor false."""
    words = f"a whole number from {least} to {greatest}"
    return Domain(words, lambda value: type(value) is int and least <= value <= greatest)


def number(least: float, greatest: float) -> Domain:
    """Numbers of a range."""
    words = f"a number from {least:g} to {greatest:g}"
    return Domain(words, lambda value: type(value) in (int, float) and least <= value <= greatest)


def one_of(*values: str) -> Domain:
    """Some texts."""
    return Domain(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


def list_of(inner: Domain, words: str, least: int = 0, greatest: float = math.inf) -> Domain:
    """Lists of values of one kind."""

    def holds(value: Any) -> bool:
        return isinstance(value, list | tuple) and least <= len(value) <= greatest and all(map(inner.holds, value))

    return Domain(words, holds)


def or_none(inner: Domain) -> Domain:
    """None, too."""
    return Domain(f"{inner.words}, or None", lambda value: value is None or inner.holds(value))


TEXT = Domain("a text", lambda value: isinstance(value, str) and value.isprintable())
PLACE = Domain(
    "a path or a name that the library knows",
    lambda value: isinstance(value, str | os.PathLike) and "\0" not in os.fspath(value),
)
COMPILED = Domain(f"empty or one of {', '.join(XLA)}", lambda value: isinstance(value, str) and value in ("", *XLA))
TRUTH = Domain("True or False", lambda value: isinstance(value, bool))
WEIGHTS = list_of(number(0, 1e6), "a list of numbers of at least 0")
BAND = list_of(number(0, EEG_RATE / 2), "", 2, 2)
STAGE = Domain(f"empty or {PLAIN_NAME}", lambda value: value == "" or is_plain_name(value))

DOMAINS: Mapping[str, Domain] = {
    "out": PLACE,
    "data": PLACE,
    "stage": STAGE,
    "sampling": one_of(*SAMPLINGS),
    "n_folds": whole(2, 100),
    "seed": whole(0, GREATEST_SEED),
    "spectrograms": one_of("files", "from_eeg"),
    "on_bad_file": one_of("error", "skip"),
    "synthetic_patients": whole(1, 1_000_000),
    "synthetic_recordings": number(1, 1000),
    "synthetic_seed": whole(0, GREATEST_SEED),
    "images": list_of(one_of(*EEG_IMAGES), f"a list of {' and '.join(EEG_IMAGES)}", 1),
    "recipe": PLACE,
    "backbone": TEXT,
    "batch": whole(0, GREATEST_BATCH),
    "xla": COMPILED,
    "backbones": list_of(TEXT, "a list of names of networks"),
    "fusions": TRUTH,
    "epochs": list_of(whole(1, 1_000_000), "a list of whole numbers of at least 1"),
    "folds": list_of(whole(0, 99), "a list of numbers of folds, from 0"),
    "weights": or_none(PLACE),
    "mirrored": TRUTH,
    "bands": list_of(BAND, "a list of pairs of numbers (low, high), Hz"),
    "band_weights": WEIGHTS,
    "image_half": or_none(PLACE),
    "half_weights": WEIGHTS,
    "downsample": whole(1, EEG_WINDOW),
    "crop_seconds": number(0, EEG_WINDOW / EEG_RATE),
    "pseudo_labels": TRUTH,
    "time_budget_hours": number(0, 1000),
    "minutes": number(0.1, 600),
    "only": list_of(TEXT, "a list of names of measurements"),
}
"""Parameter -> its values, whichever notebook declares it. Those of a user's own notebooks are not among them."""


def check_values(values: Mapping[str, Any]) -> None:
    """Check values of parameters.

    Args:
        values: name -> value; other names than those of DOMAINS are passed over, so that a notebook can hand over all
            that it has defined.

    Raises:
        ConfigError: naming each parameter with another value than it may have, and what it may have.
    """
    faults = [
        f"{name} is {shown(values[name])}, expected {domain.words}"
        for name, domain in DOMAINS.items()
        if name in values and not domain.holds(values[name])
    ]
    if faults:
        raise ConfigError("; ".join(faults))
