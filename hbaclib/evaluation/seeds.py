"""Scores of recipes that were trained from several seeds, with intervals over patients and seeds.

A network's score depends on whom it is scored on and on the seed it was trained from, and seeds differ by as much as
recipes do. What is asked of a recipe is its score on average over patients *and* seeds, so both causes of doubt are in
every interval. They are independent, and their draws are added:

- patients: the bootstrap-t of `hbaclib.evaluation.tiers`, of the mean over the seeds, row by row; two recipes are
  compared on the same resampled patients;
- seeds: each recipe has its own. Resampling three numbers would understate their spread (by sqrt((k - 1) / k), and such
  resamples have no tails), so their mean is drawn from a normal distribution with the unbiased variance, s^2 / k.

A spread known from three seeds is hardly known at all. The sum is therefore stretched as Student's t is against the
normal distribution, with Satterthwaite's degrees of freedom: k - 1 for the seeds of each recipe, patients less one for
the patients, weighed by what each adds to the variance. With three seeds of each of two recipes, 94 to 96 % of such
intervals hold the true difference in simulations, whether patients or seeds are the greater cause.

One seed tells nothing of the spread: its interval is over patients alone, and it is ranked and compared with nothing.

Sources: Efron, Nonparametric standard errors and confidence intervals (1981); Satterthwaite, An approximate
distribution of estimates of variance components (1946); Owen, The pigeonhole bootstrap (2007), on why two crossed
causes are each resampled (what one seed alone has on some patients counts in both: rather too wide than too narrow).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from hbaclib.errors import DataError, unknown_name
from hbaclib.evaluation.metric import Shares, divergence, share_faults
from hbaclib.evaluation.tiers import N_RESAMPLES, TIERS, check_scored, patients_note, plausible_means, tier_mask

SCORE_COLUMNS = (
    *("tier", "rank", "recipe", "seeds", "n", "patients"),
    *("kl", "low", "high", "lowest", "highest", "averaged", "note"),
)
"""Columns of `score_seeds`."""
PAIR_COLUMNS = (
    *("tier", "first", "second", "n", "patients", "first_kl", "second_kl"),
    *("difference", "low", "high", "first_better", "says", "note"),
)
"""Columns of `pair_seeds`."""
BETTER, WORSE, UNCLEAR = "better", "worse", "no clear difference"
ONE_SEED, FEW_PATIENTS, NO_SAMPLES = "one seed: not ranked", "too few patients: not ranked", "no samples"
FEWEST_PATIENTS = 6
"""With fewer, all patients may favour one of two equal recipes by chance in more than 5 % (sign test: 2 / 2^5)."""

_SEED = 20240408
_BOUNDS = [0.025, 0.975]


def score_seeds(
    targets: Shares,
    recipes: Mapping[str, np.ndarray],
    n_votes: np.ndarray,
    patients: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = _SEED,
) -> pd.DataFrame:
    """Score recipes of several seeds by vote tier, with 95 % intervals over patients and seeds.

    Args:
        targets: (n, 6) vote shares.
        recipes: name -> (k, n, 6) predicted shares of its k seeds.
        n_votes: (n,) votes behind each row.
        patients: (n,) patient of each row.
        n_resamples: number of draws.
        seed: of the draws; same seed, same interval.

    Returns:
        SCORE_COLUMNS, one row per tier and recipe, the test set's tier first and the best recipe first in it: ``kl`` is
        the mean of the seeds' scores, ``low`` to ``high`` its interval, ``lowest`` and ``highest`` the scores of the
        best and of the worst seed, ``averaged`` the score of the mean of the seeds' predictions. ``rank`` counts
        recipes of two seeds or more; a single seed has none (and an interval over patients alone), as ``note`` says.

    Raises:
        DataError: naming every fault of the arguments.
    """
    losses, together, votes, patients = _losses(targets, recipes, n_votes, patients)
    tables = []
    for tier in TIERS:
        chosen = tier_mask(votes, tier)
        n_patients = len(np.unique(patients[chosen]))
        means = np.stack([each[:, chosen].mean(axis=0) for each in losses.values()], axis=1)
        draws = plausible_means(means, patients[chosen], n_resamples=n_resamples, seed=seed)
        rows = []
        for column, (name, each) in enumerate(losses.items()):
            row = {"tier": tier, "recipe": name, "seeds": len(each), "n": int(chosen.sum()), "patients": n_patients}
            if chosen.any():
                scores = each[:, chosen].mean(axis=1)
                low, high = np.quantile(_with_seeds(draws[:, column], [scores], n_patients, seed), _BOUNDS)
                row |= {"kl": scores.mean(), "low": low, "high": high, "lowest": scores.min(), "highest": scores.max()}
                row["averaged"] = together[name][chosen].mean()
            row["note"] = _join([_seeds_note(len(each)), patients_note(n_patients)])
            rows.append(row)
        table = pd.DataFrame(rows).reindex(columns=list(SCORE_COLUMNS)).sort_values("kl", kind="stable")
        ranked = (table["seeds"] > 1) & table["kl"].notna()
        table["rank"] = ranked.cumsum().where(ranked).astype("Int64")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def pair_seeds(
    targets: Shares,
    recipes: Mapping[str, np.ndarray],
    over: str,
    n_votes: np.ndarray,
    patients: np.ndarray,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = _SEED,
) -> pd.DataFrame:
    """Compare every other recipe with one, paired by patient: ``first`` is the other, ``second`` is ``over``.

    Args:
        targets: as for `score_seeds`.
        recipes: as for `score_seeds`.
        over: name of the recipe that the others are compared with.
        n_votes: as for `score_seeds`.
        patients: as for `score_seeds`.
        n_resamples: as for `score_seeds`.
        seed: as for `score_seeds`.

    Returns:
        PAIR_COLUMNS, one row per tier and recipe, the best first: ``difference`` is ``first_kl - second_kl``, the means
        of the seeds (negative: the first is better), ``low`` to ``high`` its 95 % interval over patients and seeds,
        ``first_better`` the share of draws below 0. ``says`` what follows: better, worse, no clear difference (the
        interval holds 0); not ranked, with neither interval nor share, where one of the two has a single seed; not
        ranked where there are fewer than FEWEST_PATIENTS patients.

    Raises:
        DataError: naming every fault of the arguments.
        ConfigError: there is no recipe ``over``.
    """
    losses, _, votes, patients = _losses(targets, recipes, n_votes, patients)
    if over not in losses:
        raise unknown_name("recipe", over, losses)
    others = [name for name in losses if name != over]
    rows = []
    for tier in TIERS if others else ():
        chosen = tier_mask(votes, tier)
        n_patients = len(np.unique(patients[chosen]))
        second = losses[over][:, chosen]
        paired = np.stack([losses[name][:, chosen].mean(axis=0) - second.mean(axis=0) for name in others], axis=1)
        draws = plausible_means(paired, patients[chosen], n_resamples=n_resamples, seed=seed)
        for column, name in enumerate(others):
            first = losses[name][:, chosen]
            row = {"tier": tier, "first": name, "second": over, "n": int(chosen.sum()), "patients": n_patients}
            row["says"] = NO_SAMPLES
            if chosen.any():
                sides = [first.mean(axis=1), second.mean(axis=1)]
                row |= {
                    "first_kl": sides[0].mean(),
                    "second_kl": sides[1].mean(),
                    "difference": paired[:, column].mean(),
                }
                row |= _verdict(draws[:, column], sides, n_patients, seed)
            row["note"] = _join([_seeds_note(min(len(first), len(second))), patients_note(n_patients)])
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    order = table["tier"].map(TIERS.index)
    return table.iloc[np.lexsort([table["difference"].astype(float), order])].reset_index(drop=True)


def _verdict(draws: np.ndarray, sides: Sequence[np.ndarray], n_patients: int, seed: int) -> dict[str, object]:
    """Interval, share and words of a difference, of its draws over patients and of both sides' scores by seed."""
    if min(map(len, sides)) < 2:
        return {"says": ONE_SEED}
    draws = _with_seeds(draws, sides, n_patients, seed)
    low, high = np.quantile(draws, _BOUNDS)
    says = BETTER if high < 0 else WORSE if low > 0 else UNCLEAR
    says = FEW_PATIENTS if n_patients < FEWEST_PATIENTS else says
    return {"low": low, "high": high, "first_better": float((draws < 0).mean()), "says": says}


def _with_seeds(draws: np.ndarray, sides: Sequence[np.ndarray], n_patients: int, seed: int) -> np.ndarray:
    """Draws over patients with the doubt about seeds, twice as many; as they are where there is one seed.

    Args:
        draws: (n_draws,) draws of a mean over seeds, or of the first side's less the second's.
        sides: (k,) scores by seed, of the one recipe or of both.
        n_patients: number of patients that were resampled.
        seed: of the draws.
    """
    freedom = np.array([len(scores) - 1 for scores in sides])
    if not freedom.all():
        return draws
    squares = np.array([scores.var(ddof=1) / len(scores) for scores in sides])
    whole = squares.sum() + draws.var()
    if not whole > 0:  # every seed the same and every patient, too
        return draws
    parts = np.sum(squares**2 / freedom) + draws.var() ** 2 / max(n_patients - 1, 1)
    stretch = stats.t.ppf(_BOUNDS[1], whole**2 / parts) / stats.norm.ppf(_BOUNDS[1])
    # Evenly over the quantiles, in random order: the tails are not left to chance. Both signs, so that two recipes in
    # the other order have the same interval, mirrored.
    normal = stats.norm.ppf((np.arange(len(draws)) + 0.5) / len(draws)) * np.sqrt(squares.sum())
    normal = np.random.default_rng([seed, len(sides)]).permutation(normal)
    centre = sides[0].mean() - (sides[1].mean() if len(sides) > 1 else 0.0)
    return centre + stretch * (np.concatenate([draws + normal, draws - normal]) - centre)


def _losses(
    targets: Shares, recipes: Mapping[str, np.ndarray], n_votes: np.ndarray, patients: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Checked arguments: (k, n) losses and (n,) losses of the mean prediction by recipe; votes; patients."""
    arrays = {name: np.asarray(shares, dtype=np.float64) for name, shares in recipes.items()}
    if not arrays:
        raise DataError("no recipes; expected at least one")
    if odd := [f"{name}: shape {each.shape}" for name, each in arrays.items() if each.ndim != 3 or not len(each)]:
        raise DataError(f"{'; '.join(odd)}; expected (seeds, samples, classes) with at least one seed")
    first = next(iter(arrays.values()))[0]
    true, _, votes, groups = check_scored(targets, first, n_votes, patients)
    shapes = [
        f"{name}: {each.shape[1:]} of each seed; expected {true.shape}"
        for name, each in arrays.items()
        if each.shape[1:] != true.shape
    ]
    faults = shapes or [
        fault
        for name, each in arrays.items()
        for number, shares in enumerate(each)
        for fault in share_faults(shares, f"{name}, seed number {number}")
    ]
    if faults:
        raise DataError("; ".join(faults))
    losses = {name: np.stack([divergence(true, shares) for shares in each]) for name, each in arrays.items()}
    return losses, {name: divergence(true, each.mean(axis=0)) for name, each in arrays.items()}, votes, groups


def _seeds_note(n_seeds: int) -> str:
    if n_seeds == 1:
        return "one seed ranks nothing: how much seeds differ is not known"
    return "two seeds: rough" if n_seeds == 2 else ""


def _join(notes: Sequence[str]) -> str:
    return "; ".join(note for note in notes if note)
