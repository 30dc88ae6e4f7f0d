from __future__ import annotations

import json

import numpy as np
import pytest

from hbaclib import fit_ensemble, load_oof
from hbaclib.artefacts import write_manifest
from hbaclib.ensemble.pooling import KINDS, Members, fit_pool
from hbaclib.ensemble.store import ensemble_stage, load_ensemble, save_ensemble
from hbaclib.errors import ArtefactError, ConfigError, DataError, LeakError
from hbaclib.evaluation.metric import divergence
from hbaclib.stages.names import TRAINED
from tests.report.fake_run import fake_model, fake_votes, make_fake_run


def make(n=600, folds=4, noises=(0.6, 0.7, 0.9, 1.4), seed=0):
    rng = np.random.default_rng(seed)
    n_votes = rng.choice([3, 12, 14, 18], n)
    expected, targets = fake_votes(rng, n, n_votes)
    groups = rng.integers(0, n // 5, n)
    return {
        "predictions": np.stack([fake_model(rng, expected, noise, rng.uniform(0.7, 1.3)) for noise in noises]),
        "targets": targets,
        "folds": groups % folds,
        "groups": groups,
        "n_votes": n_votes,
    }


def brute_force(predictions, targets, folds, groups, n_votes):
    """The nested procedure written out with loops and no shared fits."""
    many = n_votes >= 10

    def error(values, people):
        mean, names = values.mean(), np.unique(people)
        sums = np.array([(values[people == one] - mean).sum() for one in names])
        return np.sqrt((sums**2).sum() * len(names) / (len(names) - 1)) / len(values)

    def choose(training):
        losses, people = {kind: [] for kind in KINDS}, []
        for inner in training:
            fit_rows = many & np.isin(folds, [fold for fold in training if fold != inner])
            judged = many & (folds == inner)
            people.append(groups[judged])
            for kind in KINDS:
                pool = fit_pool(kind, Members.of(predictions[:, fit_rows]), targets[fit_rows])
                losses[kind].append(divergence(targets[judged], pool.apply(predictions[:, judged])))
        losses, people = {kind: np.concatenate(parts) for kind, parts in losses.items()}, np.concatenate(people)
        best = min(KINDS, key=lambda kind: losses[kind].mean())
        for kind in KINDS:
            difference = losses[kind] - losses[best]
            if difference.mean() <= error(difference, people):
                return kind
        raise AssertionError("the best kind is within its own error")

    oof, kinds = np.empty_like(targets), {}
    for fold in np.unique(folds):
        training = [other for other in np.unique(folds) if other != fold]
        kinds[fold] = choose(training)
        fit_rows = many & (folds != fold)
        pool = fit_pool(kinds[fold], Members.of(predictions[:, fit_rows]), targets[fit_rows])
        oof[folds == fold] = pool.apply(predictions[:, folds == fold])
    return oof, kinds, float(divergence(targets, oof)[many].mean()), choose(list(np.unique(folds)))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_nested_score_is_that_of_brute_force(seed):
    data = make(seed=seed)
    fit = fit_ensemble(**data)
    oof, kinds, score, kind = brute_force(**data)
    assert fit.fold_kinds == kinds
    assert fit.kind == kind
    assert fit.oof == pytest.approx(oof, abs=1e-5)
    assert fit.score == pytest.approx(score, abs=1e-6)
    assert fit.tier == ">=10"


def test_a_fold_cannot_influence_its_own_predictions():
    data = make()
    held_out = data["folds"] == 2
    changed = data["targets"].copy()
    changed[held_out] = np.roll(changed[held_out], 1, axis=0)
    first, second = fit_ensemble(**data), fit_ensemble(**data | {"targets": changed})
    assert np.array_equal(first.oof[held_out], second.oof[held_out])
    assert not np.array_equal(first.oof[~held_out], second.oof[~held_out])


def test_it_is_better_than_its_best_member_and_no_better_than_its_parts_allow():
    data = make(n=1500)
    fit = fit_ensemble(**data)
    assert fit.score < fit.table["kl"].min()
    assert fit.table["weight"].sum() == pytest.approx(1)
    assert fit.predict(data["predictions"]).sum(axis=1) == pytest.approx(1)
    # Fitted and judged on the same rows it looks better than nested: that is the flattery which nesting takes away.
    many = data["n_votes"] >= 10
    assert divergence(data["targets"], fit.predict(data["predictions"]))[many].mean() < fit.score


def test_shuffled_targets_leave_nothing_to_gain():
    data = make(n=1500)
    shuffled = data["targets"][np.random.default_rng(0).permutation(1500)]
    fit = fit_ensemble(**data | {"targets": shuffled})
    many = data["n_votes"] >= 10
    mean = divergence(shuffled, np.tile(shuffled[many].mean(axis=0), (1500, 1)))[many].mean()
    assert fit.score > mean - 0.01


def test_the_simplest_is_preferred_where_members_are_alike():
    data = make(n=1500, noises=(0.8, 0.8, 0.8))
    rng = np.random.default_rng(9)
    expected, targets = fake_votes(rng, 1500, data["n_votes"])
    log_noise = rng.normal(0, 0.3, (3, 1500, 6))
    # Exactly calibrated members of one quality: nothing but the mean is worth its parameters.
    shares = expected * np.exp(0.2 * log_noise)
    fit = fit_ensemble(**data | {"targets": targets, "predictions": shares / shares.sum(axis=2, keepdims=True)})
    assert fit.kind in ("mean", "geometric mean")
    assert fit.candidates.set_index("kind").loc[fit.kind, "chosen"]


def test_a_handful_of_patients_argues_for_the_simplest_only():
    data = make(n=1500)
    few = data["groups"] % 9
    fit = fit_ensemble(**data | {"groups": few, "folds": few % 3})
    assert fit.kind == "mean"
    assert set(fit.fold_kinds.values()) == {"mean"}


def test_duplicates_are_dropped_with_a_warning():
    data = make()
    twice = np.concatenate([data["predictions"], data["predictions"][[1]]])
    names = ["a", "b", "c", "d", "b again"]
    with pytest.warns(UserWarning, match="dropped as duplicates of another model: b again"):
        fit = fit_ensemble(**data | {"predictions": twice}, names=names)
    alone = fit_ensemble(**data, names=names[:4])
    assert fit.score == alone.score
    assert fit.weights["b again"] == 0
    assert fit.table.set_index("name").loc["b again", "note"] == "duplicate"
    assert fit.predict(twice) == pytest.approx(alone.predict(data["predictions"]))


def test_a_member_that_is_the_target_is_named_implausible():
    data = make()
    planted = np.concatenate([data["predictions"], data["targets"][None]])
    with pytest.warns(
        UserWarning, match="leaked: score 0.0000 is implausible: chance in the votes alone costs a perfect"
    ):
        fit = fit_ensemble(**data | {"predictions": planted}, names=["a", "b", "c", "d", "leaked"])
    assert fit.table.set_index("name").loc["leaked", "note"] == "implausible"
    assert (fit.table.query("name != 'leaked'")["note"] == "").all()


def test_the_oracle_itself_is_not_called_implausible(recwarn):
    rng = np.random.default_rng(4)
    data = make(n=3000)
    expected, targets = fake_votes(rng, 3000, data["n_votes"])
    predictions = np.stack([expected, fake_model(rng, expected, 0.5)])
    fit = fit_ensemble(**data | {"targets": targets, "predictions": predictions})
    assert (fit.table["note"] == "").all()
    assert not recwarn.list


def test_what_each_member_adds():
    data = make(n=900)
    fit = fit_ensemble(**data, kinds=["linear weights"], names=list("abcd"))
    adds = fit.table.set_index("name")["adds"]
    for index, name in enumerate("abcd"):
        others = np.delete(np.arange(4), index)
        smaller = fit_ensemble(
            **data | {"predictions": data["predictions"][others]}, kinds=["linear weights"], leave_one_out=False
        )
        assert adds[name] == pytest.approx(smaller.score - fit.score, abs=1e-6)


def test_given_weights_are_used_as_they_are():
    data = make()
    fit = fit_ensemble(**data, names=list("abcd"), weights={"a": 3, "c": 1})
    expected = 0.75 * data["predictions"][0] + 0.25 * data["predictions"][2]
    assert fit.kind == "fixed weights"
    assert fit.oof == pytest.approx(expected)
    assert fit.predict(data["predictions"]) == pytest.approx(expected)
    assert fit.weights == {"a": 0.75, "b": 0, "c": 0.25, "d": 0}
    assert fit_ensemble(**data, weights=[1, 1, 1, 1]).oof == pytest.approx(data["predictions"].mean(axis=0))
    for weights, part in (({"z": 1}, "unknown models: z"), ([1, 2], "2 weights for 4"), ([0] * 4, "not all 0")):
        with pytest.raises(ConfigError, match=part):
            fit_ensemble(**data, weights=weights)


def test_a_single_member_and_two_folds():
    data = make(noises=(0.8,), folds=2)
    fit = fit_ensemble(**data)
    assert fit.kind in ("mean", "mean, calibrated")
    assert set(fit.fold_kinds) == {0, 1}
    assert fit.table["weight"].tolist() == [1.0]
    many_folds = fit_ensemble(**make(folds=2))
    assert many_folds.score < many_folds.table["kl"].min()


def test_predict_with_some_of_the_members():
    data = make()
    fit = fit_ensemble(**data, names=list("abcd"), weights={"a": 2, "b": 1, "c": 1})
    two = fit.predict(data["predictions"][[1, 0]], ["b", "a"])
    assert two == pytest.approx((data["predictions"][1] + 2 * data["predictions"][0]) / 3)
    with pytest.raises(ConfigError, match="not in the ensemble: z"):
        fit.predict(data["predictions"][:1], ["z"])
    with pytest.raises(ConfigError, match="no weight"):
        fit.predict(data["predictions"][3:], ["d"])
    with pytest.raises(DataError, match=r"shape \(2, 600, 6\); expected \(4, n, 6\)"):
        fit.predict(data["predictions"][:2])


def test_bad_input_is_named_all_at_once():
    data = make()
    data["predictions"] = data["predictions"].copy()
    data["predictions"][0, 7] = np.nan
    data["predictions"][2, 9] *= 2
    data["folds"] = np.where(data["folds"] == 1, 2, data["folds"])
    with pytest.raises(DataError) as caught:
        fit_ensemble(**data | {"n_votes": data["n_votes"][:-1]}, names=list("abcd"))
    message = str(caught.value)
    for part in (
        "a: NaN or infinite values in 1 row (row 7)",
        "c: 1 row (row 9) do not sum to 1",
        "fold 1 has no rows",
    ):
        assert part in message
    assert "n_votes: shape (599,)" in message


def test_refusals():
    data = make()
    with pytest.raises(LeakError, match=r"patient \S+ is in folds \[.*expected one"):
        fit_ensemble(**data | {"folds": np.arange(600) % 4})
    with pytest.raises(DataError, match="only one fold"):
        fit_ensemble(**data | {"folds": np.zeros(600, int)})
    with pytest.raises(ConfigError, match="no ensemble of kind stacking"):
        fit_ensemble(**data, kinds=["stacking"])
    with pytest.raises(DataError, match=r"shape \(4, 600\)"):
        fit_ensemble(**data | {"predictions": data["predictions"][:, :, 0]})
    with pytest.raises(DataError, match="expected 4 different names"):
        fit_ensemble(**data, names=list("aabc"))


def test_without_many_votes_in_a_fold_all_rows_are_used_and_it_is_said():
    data = make()
    data["n_votes"] = np.where(data["folds"] == 0, 3, data["n_votes"])
    with pytest.warns(UserWarning, match="no rows with 10 or more votes in fold 0"):
        fit = fit_ensemble(**data)
    assert fit.tier == "all"
    assert fit.score == pytest.approx(divergence(data["targets"], fit.oof).mean())


def test_an_ensemble_survives_its_file_and_a_move_of_the_run(tmp_path):
    data = make()
    fit = fit_ensemble(**data, names=list("abcd"))
    members = {name: tmp_path / "run" / f"04_train_{name}" for name in "abcd"}
    for folder in members.values():
        trained(folder)
    save_ensemble(fit, tmp_path / "run" / "07_ensemble", members)
    (tmp_path / "run").rename(tmp_path / "moved")
    stored = load_ensemble(tmp_path / "moved" / "07_ensemble")
    used = [name for name in fit.table["name"] if fit.weights[name]]
    assert list(stored.folders) == used == list(stored.names)
    assert stored.folders["a"] == tmp_path / "moved" / "04_train_a"
    order = ["abcd".index(name) for name in stored.names]
    assert stored.predict(data["predictions"][order]) == pytest.approx(fit.predict(data["predictions"]), abs=1e-12)
    assert stored.score == fit.score
    assert stored.prior == pytest.approx(data["targets"][data["n_votes"] >= 10].mean(axis=0))


def trained(folder):
    write_manifest(folder, TRAINED, inputs={}, parameters={}, outputs=[])


def test_members_are_found_elsewhere_or_named(tmp_path):
    data = make()
    fit = fit_ensemble(**data, names=list("abcd"))
    save_ensemble(fit, tmp_path / "out" / "07", {name: tmp_path / "out" / f"04_{name}" for name in "abcd"})
    mounts = tmp_path / "mounts"
    for name in "bcd":
        trained(mounts / f"notebook-{name}" / f"04_{name}")
    with pytest.raises(ArtefactError, match=r"folders of the models a \(04_a\) not found below"):
        load_ensemble(tmp_path / "out" / "07", [mounts])
    trained(mounts / "owner" / "notebook-a" / "04_a")
    assert load_ensemble(tmp_path / "out" / "07", [mounts]).folders["b"] == mounts / "notebook-b" / "04_b"


def test_unreadable_ensembles(tmp_path):
    with pytest.raises(ArtefactError, match="missing; run the ensemble stage"):
        load_ensemble(tmp_path)
    path = tmp_path / "ensemble.json"
    for text, part in (("{", "not a readable"), ("[]", "not a readable"), ('{"schema": 9}', "schema version 9")):
        path.write_text(text)
        with pytest.raises(ArtefactError, match=part):
            load_ensemble(tmp_path)
    path.write_text(json.dumps({"schema": 1, "members": []}))
    with pytest.raises(ArtefactError, match="key 'kind' is missing; fit the ensemble again"):
        load_ensemble(tmp_path)


def test_the_stage_writes_what_it_fitted_and_is_not_run_twice(tmp_path):
    folder, _ = make_fake_run(tmp_path / "run", n_models=3, n_patients=40, n_folds=3, recordings=False)
    members = sorted(folder.glob("04_train_*"))
    oof = load_oof(members)
    fit = fit_ensemble(oof.predictions, oof.targets, oof.folds, oof.patients, oof.names, oof.n_votes)
    stored = load_ensemble(folder / "07_ensemble")
    assert stored.oof == pytest.approx(fit.oof)
    assert stored.table["kl"].tolist() == pytest.approx(fit.table["kl"].tolist())
    assert stored.candidates["chosen"].sum() == 1
    before = (folder / "07_ensemble" / "manifest.json").stat().st_mtime_ns
    ensemble_stage(members, folder / "07_ensemble")
    assert (folder / "07_ensemble" / "manifest.json").stat().st_mtime_ns == before
    ensemble_stage(members, folder / "07_ensemble", weights={members[0].name: 1.0})
    assert load_ensemble(folder / "07_ensemble").names == (members[0].name,)
