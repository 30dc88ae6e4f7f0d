"""Weights that a user gives for an ensemble, checked before its members are trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hbaclib.errors import ConfigError


def check_weights(what: str, weights: Sequence[float], members: Sequence[str]) -> None:
    """Check weights against the members that they are for; no weights at all are right, too (they get fitted).

    Args:
        what: how the message calls them, as a notebook's parameter.
        weights: one a member, in their order; empty for none.
        members: names.

    Raises:
        ConfigError: another number of weights than of members, a negative or infinite one, or all of them 0.
    """
    if not len(weights):
        return
    if len(weights) != len(members):
        raise ConfigError(
            f"{what} has {len(weights)} weights, expected one for each of {len(members)} members "
            f"({', '.join(members) or 'none'}), or none at all to have them fitted"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights):
        raise ConfigError(f"{what} is {list(weights)}, expected numbers of at least 0, not all 0")
