"""Private parts of Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna


def reopened(study: optuna.Study, left: optuna.trial.FrozenTrial) -> optuna.Trial:
    """A trial that a stopped run left under way, open for its values and its result.

    The public way, ``study.ask``, only begins new ones; a trial is opened by its number in the storage, which a frozen
    one keeps to itself.

    Reads ``FrozenTrial._trial_id``; seen with Optuna 5.0.
    """
    from optuna.trial import Trial

    return Trial(study, left._trial_id)
