from __future__ import annotations

import time

import numpy as np
import pytest

from hbaclib import kl_divergence
from hbaclib.errors import ConfigError, DataError
from hbaclib.evaluation.seeds import PAIR_COLUMNS, SCORE_COLUMNS, pair_seeds, score_seeds
from hbaclib.evaluation.tiers import compare_by_tier, score_by_tier, tier_mask
from tests.report.fake_run import fake_model, fake_votes

FIRST_CLASS = np.eye(6)[0]


def study(rng, n_patients, spreads, noises, *, k=3, rows=4):
    """Recipes of k seeds each, whose seeds blur the same votes more or less: arguments of `score_seeds`."""
    n = rows * n_patients
    n_votes = np.resize([14, 12, 3, 1], n)
    expected, targets = fake_votes(rng, n, n_votes)
    recipes = {
        f"recipe {number}": np.stack(
            [fake_model(rng, expected, noise + spread * rng.standard_normal()) for _ in range(k)]
        )
        for number, (spread, noise) in enumerate(zip(spreads, noises, strict=True))
    }
    return {"targets": targets, "recipes": recipes, "n_votes": n_votes, "patients": np.arange(n) // rows}


@pytest.fixture(scope="module")
def three():
    return study(np.random.default_rng(0), 130, (0.02, 0.02, 0.02), (0.9, 0.4, 0.5))


def test_scores_are_those_of_the_seeds(three):
    table = score_seeds(**three)
    assert tuple(table.columns) == SCORE_COLUMNS
    assert list(dict.fromkeys(table["tier"])) == [">=10", "1-2", "3-9", "all"]
    for _, row in table.iterrows():
        rows = tier_mask(three["n_votes"], row["tier"])
        shares = three["recipes"][row["recipe"]][:, rows]
        scores = [kl_divergence(three["targets"][rows], each) for each in shares]
        assert [row["kl"], row["lowest"], row["highest"]] == pytest.approx([np.mean(scores), min(scores), max(scores)])
        assert row["averaged"] == pytest.approx(kl_divergence(three["targets"][rows], shares.mean(axis=0)))
        assert row["low"] < row["kl"] < row["high"] and row["averaged"] < row["kl"]
        assert (row["seeds"], row["n"], row["patients"]) == (3, rows.sum(), 130)
    assert table["recipe"][:3].tolist() == ["recipe 1", "recipe 2", "recipe 0"]
    assert table["rank"].tolist() == [1, 2, 3] * 4 and not table["note"].any()


def test_one_seed_ranks_nothing_and_two_are_rough(three):
    one, two = three["recipes"]["recipe 1"][:1], three["recipes"]["recipe 2"][:2]
    recipes = {"one": one, "two": two, "three": three["recipes"]["recipe 0"]}
    given = {**three, "recipes": recipes}
    table = score_seeds(**given).set_index(["tier", "recipe"]).loc[">=10"]
    assert table["rank"].isna()["one"] and table["rank"].drop("one").tolist() == [1, 2]
    assert "one seed ranks nothing" in table.loc["one", "note"] and table.loc["two", "note"] == "two seeds: rough"
    # Its interval is that over patients, as in all other tables; the others' are wider.
    alone = score_by_tier(three["targets"], one[0], three["n_votes"], three["patients"]).set_index("tier").loc[">=10"]
    assert table.loc["one", ["low", "high"]].tolist() == pytest.approx(alone[["low", "high"]].tolist())
    pairs = pair_seeds(**given, over="three").set_index(["tier", "first"]).loc[">=10"]
    assert pairs.loc["one", "says"] == "one seed: not ranked"
    assert pairs.loc["one", ["low", "high", "first_better"]].isna().all() and pairs.loc["one", "difference"] < 0
    assert pairs.loc["two", "note"] == "two seeds: rough"
    against = pair_seeds(**given, over="one")
    assert set(against["says"]) == {"one seed: not ranked"}


def test_pairs_have_signs_words_and_mirrors(three):
    pairs = pair_seeds(**three, over="recipe 1")
    assert tuple(pairs.columns) == PAIR_COLUMNS and set(pairs["first"]) == {"recipe 0", "recipe 2"}
    row = pairs.set_index(["tier", "first"]).loc[(">=10", "recipe 0")]
    assert row["difference"] == pytest.approx(row["first_kl"] - row["second_kl"]) and row["says"] == "worse"
    assert 0 < row["low"] < row["difference"] < row["high"] and row["first_better"] < 0.025
    mirrored = pair_seeds(**three, over="recipe 0").set_index(["tier", "first"]).loc[(">=10", "recipe 1")]
    assert mirrored["says"] == "better"
    assert mirrored[["low", "high"]].tolist() == pytest.approx([-row["high"], -row["low"]])
    assert mirrored["first_better"] == pytest.approx(1 - row["first_better"])
    same = {**three, "recipes": {"a": three["recipes"]["recipe 1"], "b": three["recipes"]["recipe 1"]}}
    assert set(pair_seeds(**same, over="a")["says"]) == {"no clear difference"}


def test_pairs_of_seeds_that_agree_are_those_of_patients(three):
    """Where all seeds are one network, what is left is the comparison of two predictions over patients."""
    first, second = (np.repeat(three["recipes"][name][:1], 3, axis=0) for name in ("recipe 1", "recipe 2"))
    pairs = pair_seeds(**{**three, "recipes": {"a": first, "b": second}}, over="b").set_index("tier")
    about = three["n_votes"], three["patients"]
    known = compare_by_tier(three["targets"], first[0], second[0], *about).set_index("tier")
    for name in ("difference", "low", "high"):
        assert pairs[name].tolist() == pytest.approx(known[name].tolist(), abs=1e-3)


def test_seeds_widen_the_interval_and_more_seeds_narrow_it():
    widths = {}
    for spread in (0.0, 0.2):
        for k in (3, 12):
            table = score_seeds(**study(np.random.default_rng(3), 130, (spread,), (0.6,), k=k))
            row = table.iloc[0]
            widths[spread, k] = row["high"] - row["low"]
    assert widths[0.2, 3] > 2 * widths[0.2, 12] > 2 * widths[0.0, 12]


@pytest.mark.parametrize("spreads", [(0.0, 0.0), (0.1, 0.1), (0.02, 0.2)])
def test_intervals_cover_the_true_difference(spreads):
    """Studies of two equally good recipes, three seeds each: at least 90 % of the intervals hold 0, and hardly more."""
    studies, covered, one_covered = 250, 0, 0
    for number in range(studies):
        rng = np.random.default_rng([5, number])
        # Losses of equal means: the seeds' levels are symmetric about one, and each recipe adds noise of its own.
        n_patients = 60
        patients = np.repeat(np.arange(n_patients), rng.geometric(0.3, n_patients))
        n = len(patients)
        common = rng.gamma(2.0, 0.25, n_patients)[patients] * rng.exponential(1.0, n)
        recipes = {}
        for name, spread in zip("ab", spreads, strict=True):
            own = rng.normal(0, 0.1, n_patients)[patients]
            levels = spread * rng.standard_normal(3)
            recipes[name] = shares_of(common + 2.0 + own + levels[:, None])
        given = {"recipes": recipes, "n_votes": np.full(n, 12), "patients": patients, "n_resamples": 300}
        row = pair_seeds(np.tile(FIRST_CLASS, (n, 1)), over="b", **given).iloc[0]
        covered += row["low"] <= 0 <= row["high"]
        scores = score_seeds(np.tile(FIRST_CLASS, (n, 1)), **given)
        own = scores[scores["recipe"] == "a"].iloc[0]
        one_covered += own["low"] <= 2.5 <= own["high"]
    assert 0.91 <= covered / studies <= 0.99
    assert one_covered / studies >= 0.9


def shares_of(losses):
    """Predictions for rows of the first class that cost just these losses, (k, n) -> (k, n, 6)."""
    first = np.exp(-losses)
    return np.concatenate([first[..., None], np.repeat((1 - first)[..., None] / 5, 5, axis=-1)], axis=-1)


def test_too_few_patients_rank_nothing():
    given = study(np.random.default_rng(4), 5, (0.0, 0.0), (0.1, 2.0))
    pairs = pair_seeds(**given, over="recipe 1")
    assert set(pairs["says"]) == {"too few patients: not ranked"}
    assert pairs["note"].str.contains("only 5 patients").all()
    many = given["n_votes"] >= 10
    part = {
        "targets": given["targets"][many],
        "recipes": {name: shares[:, many] for name, shares in given["recipes"].items()},
        "n_votes": given["n_votes"][many],
        "patients": given["patients"][many],
    }
    scores = score_seeds(**part).set_index(["tier", "recipe"])
    assert scores.loc["1-2", "note"].str.startswith("no samples").all() and scores.loc["1-2", "kl"].isna().all()
    assert set(pair_seeds(**part, over="recipe 0").set_index("tier").loc["3-9":"3-9", "says"]) == {"no samples"}


def test_the_same_seed_gives_the_same_interval(three):
    first, again, other = score_seeds(**three), score_seeds(**three), score_seeds(**three, seed=1)
    assert first.equals(again) and (first["kl"] == other["kl"]).all() and (first["low"] != other["low"]).all()


def test_faulty_arguments_are_named(three):
    nan = three["recipes"]["recipe 0"].copy()
    nan[1, 3, 2] = np.nan
    with pytest.raises(DataError, match=r"recipe 0, seed number 1: NaN or infinite values in 1 row \(row 3\)"):
        score_seeds(**{**three, "recipes": {"recipe 0": nan}})
    with pytest.raises(DataError, match=r"a: shape \(520, 6\); expected \(seeds, samples, classes\)"):
        score_seeds(**{**three, "recipes": {"a": nan[0]}})
    with pytest.raises(DataError, match=r"b: \(10, 6\) of each seed; expected \(520, 6\)"):
        score_seeds(**{**three, "recipes": {"a": three["recipes"]["recipe 1"], "b": nan[:, :10]}})
    with pytest.raises(DataError, match="no recipes"):
        score_seeds(**{**three, "recipes": {}})
    with pytest.raises(ConfigError, match="recipe 'recipe 9' is unknown; did you mean recipe"):
        pair_seeds(**three, over="recipe 9")


def test_three_recipes_of_three_seeds_take_seconds():
    given = study(np.random.default_rng(6), 2000, (0.0,) * 3, (0.5, 0.6, 0.7), rows=10)
    begin = time.perf_counter()
    score_seeds(**given)
    pair_seeds(**given, over="recipe 0")
    assert time.perf_counter() - begin < 60
