from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hbaclib import kl_divergence, score_by_tier
from hbaclib.errors import ConfigError, DataError
from hbaclib.evaluation.metric import kl_per_sample
from hbaclib.evaluation.tiers import (
    baseline_by_tier,
    class_mean_predictions,
    compare_by_tier,
    gain_over_baseline,
    mean_interval,
    resampled_means,
    score_by_class,
    score_by_fold,
    tier_mask,
)
from tests.report.fake_run import fake_model, fake_votes


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    n_votes = rng.choice([1, 2, 3, 7, 10, 14, 18], 900)
    expected, targets = fake_votes(rng, 900, n_votes)
    return {
        "targets": targets,
        "predictions": fake_model(rng, expected, 0.6),
        "n_votes": n_votes,
        "patients": rng.integers(0, 180, 900),
    }


def test_every_tier_is_scored_on_its_own_rows(scored):
    table = score_by_tier(**scored).set_index("tier")
    assert list(table.index) == [">=10", "1-2", "3-9", "all"]
    for tier, (least, greatest) in {"1-2": (1, 2), "3-9": (3, 9), ">=10": (10, 99), "all": (1, 99)}.items():
        rows = (scored["n_votes"] >= least) & (scored["n_votes"] <= greatest)
        assert table.loc[tier, "n"] == rows.sum()
        assert table.loc[tier, "patients"] == len(np.unique(scored["patients"][rows]))
        assert table.loc[tier, "kl"] == pytest.approx(
            kl_divergence(scored["targets"][rows], scored["predictions"][rows])
        )
        assert table.loc[tier, "low"] < table.loc[tier, "kl"] < table.loc[tier, "high"]


def test_resampling_agrees_with_drawing_patients_one_by_one():
    rng = np.random.default_rng(1)
    patients = rng.integers(0, 40, 300)
    values = rng.gamma(1.0, 1.0, 40)[patients] + rng.normal(0, 0.1, 300)
    people = np.unique(patients)
    means = []
    for _ in range(3000):
        drawn = np.concatenate([values[patients == one] for one in rng.choice(people, len(people))])
        means.append(drawn.mean())
    ours = resampled_means(values, patients, n_resamples=3000)
    assert np.std(ours) == pytest.approx(np.std(means), rel=0.06)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.03)


def test_rows_of_one_patient_are_not_counted_as_independent():
    rng = np.random.default_rng(2)
    values, patients = np.repeat(rng.normal(size=100), 20), np.repeat(np.arange(100), 20)
    low, high = mean_interval(values, patients)
    rows_low, rows_high = mean_interval(values, np.arange(2000))
    assert high - low > 3.5 * (rows_high - rows_low)


@pytest.mark.parametrize("patients", [100, 300])
def test_intervals_cover_the_true_score(patients):
    """1,200 studies of patients with unequal numbers of rows and skewed losses: 92 to 98 % of the intervals cover."""
    rng = np.random.default_rng(3)
    studies, covered = 1200, 0
    for study in range(studies):
        people = np.repeat(np.arange(patients), rng.geometric(0.2, patients))
        # The level of loss depends on the patient; the true mean is known.
        values = rng.gamma(2.0, 0.25, patients)[people] * rng.exponential(1.0, len(people))
        low, high = mean_interval(values, people, n_resamples=400, seed=study)
        covered += low <= 0.5 <= high
    assert 0.92 <= covered / studies <= 0.98


def test_columns_are_resampled_together():
    rng = np.random.default_rng(7)
    values, groups = rng.exponential(1.0, (500, 3)), rng.integers(0, 90, 500)
    low, high = mean_interval(values, groups)
    for column in range(3):
        assert mean_interval(values[:, column], groups) == pytest.approx((low[column], high[column]))


def test_same_seed_same_interval_other_seed_other_interval(scored):
    first, again = score_by_tier(**scored, seed=1), score_by_tier(**scored, seed=1)
    other = score_by_tier(**scored, seed=2)
    assert first.equals(again)
    assert (first["kl"] == other["kl"]).all()
    assert (first["low"] != other["low"]).all()


def test_few_patients_and_empty_tiers_are_said(scored):
    few = {name: values[:60] for name, values in scored.items()}
    few["n_votes"] = np.full(60, 12)
    table = score_by_tier(**few).set_index("tier")
    assert "patients: the interval is rough" in table.loc[">=10", "note"]
    assert table.loc["1-2", "note"] == "no samples"
    assert np.isnan(table.loc["1-2", "kl"])


def test_paired_comparison(scored):
    rng = np.random.default_rng(5)
    first = scored["predictions"]
    # A slightly flattened copy: the difference is far smaller than either score's interval.
    second = 0.93 * first + 0.07 * rng.dirichlet(np.ones(6) * 30, len(first))
    rest = {key: scored[key] for key in ("n_votes", "patients")}
    table = compare_by_tier(scored["targets"], first, second, **rest).set_index("tier")
    alone = score_by_tier(**scored).set_index("tier")
    row = table.loc["all"]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])
    assert row["high"] - row["low"] < 0.5 * (alone.loc["all", "high"] - alone.loc["all", "low"])
    swapped = compare_by_tier(scored["targets"], second, first, **rest).set_index("tier")
    assert swapped.loc["all", ["low", "high"]].tolist() == pytest.approx([-row["high"], -row["low"]])
    assert swapped.loc["all", "first_better"] == pytest.approx(1 - row["first_better"])


def test_paired_interval_of_patients_of_one_row_is_the_t_interval():
    rng = np.random.default_rng(6)
    values = rng.normal(0.1, 1, 400)
    low, high = mean_interval(values, np.arange(400), n_resamples=20_000)
    expected = stats.t.interval(0.95, 399, loc=values.mean(), scale=stats.sem(values))
    assert [low, high] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("tier", ["1-2", "3-9", ">=10"])
def test_the_interval_of_a_tier_is_that_of_its_patients(scored, tier):
    rows = tier_mask(scored["n_votes"], tier)
    losses = kl_per_sample(scored["targets"][rows], scored["predictions"][rows])
    row = score_by_tier(**scored).set_index("tier").loc[tier]
    assert mean_interval(losses, scored["patients"][rows]) == pytest.approx((row["low"], row["high"]))
    alone = mean_interval(losses, np.arange(len(losses)))
    assert alone != pytest.approx((row["low"], row["high"]), rel=1e-3)


@pytest.mark.parametrize("patients", [12, 19, 20, 40])
def test_bounds_of_skewed_losses_are_those_of_the_textbook(patients):
    """Bootstrap-t, mirrored: what lies far above the mean in the resamples bounds it from below; a loop over draws."""
    rng = np.random.default_rng(8)
    groups = np.sort(np.r_[np.arange(patients), rng.integers(0, patients, 5 * patients)])
    values = rng.exponential(1.0, patients)[groups] * rng.exponential(1.0, len(groups))
    sums = np.array([values[groups == one].sum() for one in range(patients)])
    rows = np.array([(groups == one).sum() for one in range(patients)])

    def mean_and_error(times):
        mean = (times * sums).sum() / (times * rows).sum()
        squares = (times * (sums - mean * rows) ** 2).sum() * patients / (patients - 1)
        return mean, np.sqrt(squares) / (times * rows).sum()

    mean, error = mean_and_error(np.ones(patients))
    draws = [np.bincount(rng.integers(0, patients, patients), minlength=patients) for _ in range(20_000)]
    found = np.array([mean_and_error(times) for times in draws])
    if patients < 20:
        expected = np.quantile(found[:, 0], [0.025, 0.975])
    else:
        lower, upper = np.quantile((found[:, 0] - mean) / found[:, 1], [0.025, 0.975])
        expected = mean - upper * error, mean - lower * error
        assert upper < -1.2 * lower  # skewed: the two bounds cannot stand for each other
    assert mean_interval(values, groups, n_resamples=20_000) == pytest.approx(tuple(expected), rel=0.03)


def test_class_mean_baseline_uses_the_other_folds_only(scored):
    folds = scored["patients"] % 4
    predictions = class_mean_predictions(scored["targets"], folds, scored["n_votes"])
    for fold in range(4):
        for tier in ("1-2", "3-9", ">=10"):
            rows = tier_mask(scored["n_votes"], tier)
            inside, outside = rows & (folds == fold), rows & (folds != fold)
            assert predictions[inside] == pytest.approx(
                np.tile(scored["targets"][outside].mean(axis=0), (inside.sum(), 1))
            )
    table = baseline_by_tier(scored["targets"], scored["n_votes"], scored["patients"], folds).set_index("tier")
    one_mean = class_mean_predictions(scored["targets"], folds)
    assert table.loc["all", "kl"] == pytest.approx(kl_divergence(scored["targets"], one_mean))
    many = scored["n_votes"] >= 10
    assert table.loc[">=10", "kl"] == pytest.approx(kl_divergence(scored["targets"][many], predictions[many]))
    assert table.loc[">=10", "n"] == many.sum()
    rest = (scored["n_votes"], scored["patients"], folds)
    gain = gain_over_baseline(scored["targets"], scored["predictions"], *rest).set_index("tier")
    own = score_by_tier(**scored).set_index("tier")
    assert gain["difference"].tolist() == pytest.approx((own["kl"] - table["kl"]).tolist())


def test_a_class_that_the_other_folds_never_saw_costs_the_baseline_a_bounded_loss():
    targets = np.eye(6)[[0, 0, 1, 1]]
    predictions = class_mean_predictions(targets, np.array([0, 0, 1, 1]))
    assert kl_divergence(targets, predictions) == pytest.approx(-np.log(1e-4), abs=1e-2)


def test_scores_by_class_and_fold_add_up(scored):
    by_class = score_by_class(scored["targets"], scored["predictions"], scored["n_votes"], "all")
    total = kl_divergence(scored["targets"], scored["predictions"])
    assert (by_class["kl"] * by_class["n"]).sum() / by_class["n"].sum() == pytest.approx(total)
    assert by_class["true_share"].tolist() == pytest.approx(scored["targets"].mean(axis=0))
    by_fold = score_by_fold(**scored, folds=scored["patients"] % 3).query("tier == 'all'")
    assert (by_fold["kl"] * by_fold["n"]).sum() / by_fold["n"].sum() == pytest.approx(total)


def test_refusals_name_every_fault(scored):
    with pytest.raises(DataError) as caught:
        score_by_tier(scored["targets"], scored["predictions"], scored["n_votes"] * 0, scored["patients"][:-1])
    assert "patients: shape (899,)" in str(caught.value)
    assert "900 values below 1" in str(caught.value)
    with pytest.raises(ConfigError, match="no vote tier '10'"):
        tier_mask(scored["n_votes"], "10")
    with pytest.raises(DataError, match="1 folds"):
        class_mean_predictions(scored["targets"], np.zeros(900, int))
