"""The search over recipe keys: the door, the grid, a search in two parts, the nested score, the command."""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from hbaclib import kl_divergence
from hbaclib.artefacts import write_manifest
from hbaclib.cli.main import main
from hbaclib.conventions import MANY_VOTES, OOF_COLUMNS, PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, PlatformError, TrainingError
from hbaclib.search.score import nested_choice
from hbaclib.search.space import Choice, Range, corners, parse_domain, parse_keys, read_space
from hbaclib.search.tune import tune
from hbaclib.training.limits import Limits
from hbaclib.training.recipe import load_recipe
from tests.training.tiny import TinyArrays, tiny_recipe

SHORT = {
    "stages": [{"epochs": 1, "schedule": "cosine", "peak": 1e-2}],
    "augmentation": {},
    "ema": 0.0,
    "batch_norm_batches": 0,
}


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays(n=24, patients=8, folds=2)


@pytest.fixture
def recipe():
    return tiny_recipe(**SHORT)


def invent_training(monkeypatch):
    """Training in no time: the predictions are right to the extent that the peak is near 1e-3."""
    import hbaclib.search.tune as module

    def invented(recipe, inputs, folder, folds, **options):
        share = 0.85 * np.exp(-abs(np.log10(recipe.stages[0].peak) + 3))
        for fold in folds:
            table = inputs.samples[inputs.samples["patient_id"].map(inputs.folds) == fold].assign(fold=fold)
            right = table[list(VOTE_COLUMNS)].to_numpy()
            table[list(PREDICTION_COLUMNS)] = share * right + (1 - share) / 6
            folder.mkdir(parents=True, exist_ok=True)
            table[list(OOF_COLUMNS)].to_parquet(folder / f"fold-{fold}.oof.parquet")
        parameters, facts = {"recipe": recipe.to_dict()}, {"folds": list(folds), "seconds": 1.0}
        write_manifest(folder, "train", inputs={}, parameters=parameters, outputs=[], facts=facts)
        return folder

    monkeypatch.setattr(module, "train", invented)


def count_fits(monkeypatch):
    import hbaclib.training.cross_validate as module

    fits, real = [], module.run_fit

    def counted(fit, *args, **kwargs):
        fits.append(fit.recipe.digest)
        return real(fit, *args, **kwargs)

    monkeypatch.setattr(module, "run_fit", counted)
    return fits


def test_what_a_key_may_take():
    assert parse_domain("16,32", "batch") == Choice((16, 32))
    assert parse_domain("a, b", "backbone") == Choice(("a", "b"))
    assert parse_domain("[0.5,4],[4,8]", "band") == Choice(([0.5, 4], [4, 8]))
    assert parse_domain("../b0.h5,", "weights") == Choice(("../b0.h5", ""))
    assert parse_domain([True, False], "x") == Choice((True, False))
    assert parse_domain("log:1e-4..3e-3", "peak") == Range(1e-4, 3e-3, log=True)
    low_high = parse_domain("8..64", "batch", current=32)
    assert low_high == Range(8, 64) and isinstance(low_high.low, int)
    assert isinstance(parse_domain("0..1", "dropout", current=0.0).low, float)


@pytest.mark.parametrize("named", ["3..1", "log:0..1", "log:x", "1,1", []])
def test_a_domain_that_is_none(named):
    with pytest.raises(ConfigError, match="batch"):
        parse_domain(named, "batch")


def test_a_space_from_a_file_equals_the_one_from_the_command_line(recipe, tmp_path):
    (tmp_path / "space.toml").write_text(
        'stages.0.peak = "log:1e-4..3e-3"\n"stages.0.epochs" = [1, 2]\ndropout = 0.1\n'
    )
    pairs = ["stages.0.peak=log:1e-4..3e-3", "stages.0.epochs=1,2", "dropout=0.1"]
    assert read_space(tmp_path / "space.toml", recipe) == parse_keys(pairs, recipe)
    (tmp_path / "space.toml").write_text("stages = ")
    with pytest.raises(ConfigError, match=r"space\.toml: not TOML"):
        read_space(tmp_path / "space.toml", recipe)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_space(tmp_path / "none.toml", recipe)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["batchh=4,8"], "key 'batchh' is unknown; did you mean batch"),
        (["stages.0.peek=1e-3"], "key 'peek' is unknown; did you mean peak"),
        (["stages.7.peak=1e-3"], "'7' does not exist"),
        (["batch.x=1"], "no table"),
        (["batch=4,0"], "batch is 0, expected at least 1"),
        (["dropout=0..1"], "dropout is 1.0, expected 0 <= value < 1"),
        (["stages.0.peak=log:1e-4..1e-2", "stages.0.floor=0,1e-3"], "expected 0 <= floor <= peak"),
        (["backbone=tiny,tinny"], "model 'tinny' is unknown; did you mean tiny"),
        (["model_options.kernals=3,5"], "does not take model_options .*kernals"),
        (["band=[1,8]"], "band and crop_seconds are for networks that read the raw signals"),
        (["folds=2,3"], r"has 3 folds, the fold table \[0, 1\]"),
        (["name=a,b"], "'name' changes nothing"),
        (["batch=1..64", "batch=2"], "named twice"),
        (["stages.0.peak=1e-3", "stages=[]"], "'stages' and 'stages.0.peak' name the same place"),
        (["batch"], "expected KEY=VALUES"),
        ([], "nothing to search over"),
        (["seeds=" + ",".join(f"[{i}]" for i in range(40)), "batch=" + ",".join(map(str, range(1, 41)))], "1600 comb"),
    ],
)
def test_a_bad_key_or_value_is_told_before_any_training(pairs, message, recipe, arrays, tmp_path):
    with pytest.raises(ConfigError, match=message):
        tune(recipe, arrays, parse_keys(pairs, recipe), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "grid"}, "is a range, which a grid cannot take"),
        ({"trials": 0}, "trials is 0"),
        ({"folds": [0]}, "at least two are needed"),
        ({"folds": [0, 5]}, "expected some of 0 to 1"),
    ],
)
def test_a_bad_option_is_told_before_any_training(options, message, recipe, arrays, tmp_path):
    with pytest.raises(ConfigError, match=message):
        tune(recipe, arrays, {"dropout": Range(0.0, 0.5)}, tmp_path / "out", progress=False, **options)
    assert not (tmp_path / "out").exists()


def test_without_optuna_one_line_says_how_to_install_it(recipe, arrays, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PlatformError, match="pip install 'optuna"):
        tune(recipe, arrays, {"batch": Choice((4, 8))}, tmp_path, progress=False)


def test_grid(recipe, arrays, tmp_path, monkeypatch):
    fits = count_fits(monkeypatch)
    tune(recipe, arrays, {"batch": Choice((4, 6)), "model_options.filters": Choice((3,))}, tmp_path, progress=False)
    assert len(fits) == 4
    # A larger grid trains only what is new; the same question again, nothing.
    space = {"batch": Choice((4, 6)), "model_options.filters": Choice((3, 6))}
    found = tune(recipe, arrays, space, tmp_path, progress=False)
    assert len(fits) == 8
    again = tune(recipe, arrays, space, tmp_path, progress=False)
    assert len(fits) == 8 and again.trials.equals(found.trials) and again.nested.equals(found.nested)
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert set(zip(trials["batch"], trials["model_options.filters"], strict=True)) == {(4, 3), (4, 6), (6, 3), (6, 6)}
    assert list(trials["trial"]) == [1, 2, 3, 4] and (trials["state"] == "finished").all()
    assert (trials["seconds"] > 0).all()
    # The scores are those of the stored out-of-fold tables, and the best recipe is the one with the least.
    for row in trials.to_dict("records"):
        oof = pd.read_parquet(tmp_path / row["folder"] / "oof.parquet")
        for name, part in (("kl", oof[oof["n_votes"] >= MANY_VOTES]), ("kl all", oof)):
            expected = kl_divergence(part[list(VOTE_COLUMNS)].to_numpy(), part[list(PREDICTION_COLUMNS)].to_numpy())
            assert row[name] == pytest.approx(expected)
        assert row["kl"] == row["kl >=10"] and np.isnan(row["kl 1-2"])
    best = trials.loc[trials["kl"].idxmin()]
    assert load_recipe(tmp_path / "best.toml") == found.best
    assert found.best.digest == best["digest"] and found.best.batch == best["batch"] and found.tier == ">=10"
    assert found.score == pytest.approx(best["kl"]) and found.trained == tmp_path / best["folder"]
    assert found.nested_score >= found.score - 1e-9


def test_a_search_in_two_parts_equals_one_that_was_never_stopped(recipe, arrays, tmp_path, monkeypatch):
    space = parse_keys(["stages.0.peak=log:1e-4..3e-2", "batch=4..8", "model_options.batch_norm=true,false"], recipe)
    whole = tune(recipe, arrays, space, tmp_path / "whole", trials=2, seed=3, progress=False)
    assert whole.trials["stages.0.peak"].nunique() == 2 and whole.trials["stages.0.peak"].between(1e-4, 3e-2).all()
    fits = count_fits(monkeypatch)
    first = tune(recipe, arrays, space, tmp_path / "parts", trials=1, seed=3, progress=False)
    assert len(first.trials) == 1 and len(fits) == 2
    # The second trial is stopped between its folds, as by Ctrl-C.
    import hbaclib.training.cross_validate as module

    counted = module.run_fit

    def stopped(fit, *args, **kwargs):
        if fit.fold == 1:
            raise KeyboardInterrupt
        return counted(fit, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "run_fit", stopped)
        tune(recipe, arrays, space, tmp_path / "parts", trials=2, seed=3, progress=False)
    assert len(fits) == 3
    parts = tune(recipe, arrays, space, tmp_path / "parts", trials=2, seed=3, progress=False)
    assert len(fits) == 4, "the fit that was finished before the stop is not done again"
    columns = [name for name in whole.trials if name != "seconds"]
    pd.testing.assert_frame_equal(parts.trials[columns], whole.trials[columns])
    assert parts.nested_score == whole.nested_score and parts.best == whole.best


def test_a_guided_search_is_seeded_continues_and_finds_what_is_good(recipe, arrays, tmp_path, monkeypatch):
    invent_training(monkeypatch)
    space = {"stages.0.peak": Range(1e-6, 1.0, log=True)}

    def peaks(folder, seed, *counts):
        for count in counts:
            found = tune(recipe, arrays, space, tmp_path / folder, trials=count, seed=seed, progress=False)
        return found.trials["stages.0.peak"].to_numpy()

    whole = peaks("whole", 0, 25)
    np.testing.assert_array_equal(peaks("parts", 0, 3, 12, 25), whole)
    assert peaks("other", 1, 1) != whole[0]
    # Draws without a guide are 1.5 decades from the best peak in the middle.
    assert len(set(whole)) == 25 and np.median(abs(np.log10(whole[-15:]) + 3)) < 1


@pytest.mark.parametrize("n_trials", [None, 4])
def test_a_stopped_grid_goes_through_all_of_it(recipe, arrays, tmp_path, monkeypatch, n_trials):
    import hbaclib.search.tune as module

    space = {"batch": Choice((2, 4, 6)), "stages.0.peak": Choice((1e-3, 1e-2)), "tta": Choice(([], ["time_flip"]))}
    invent_training(monkeypatch)
    whole = tune(recipe, arrays, space, tmp_path / "whole", trials=n_trials, progress=False)
    invented = module.train
    for stop in (2, 4):
        calls = iter(range(stop))

        def stopped(*args, calls=calls, **kwargs):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return invented(*args, **kwargs)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, "train", stopped)
            tune(recipe, arrays, space, tmp_path / "parts", trials=n_trials, progress=False)
    parts = tune(recipe, arrays, space, tmp_path / "parts", trials=n_trials, progress=False)
    assert len(parts.trials) == (n_trials or 12) and parts.trials["digest"].is_unique
    pd.testing.assert_frame_equal(parts.trials, whole.trials)


def test_a_trial_that_fails_is_noted_and_the_search_goes_on(recipe, arrays, tmp_path, monkeypatch):
    import hbaclib.training.cross_validate as module

    real = module.run_fit

    def diverges(fit, *args, **kwargs):
        if fit.recipe.batch == 4:
            raise TrainingError("the loss is not a number")
        return real(fit, *args, **kwargs)

    monkeypatch.setattr(module, "run_fit", diverges)
    found = tune(recipe, arrays, {"batch": Choice((4, 6))}, tmp_path, progress=False)
    states = found.trials.set_index("batch")
    assert states.loc[4, "state"] == "failed" and "not a number" in states.loc[4, "problem"]
    assert np.isnan(states.loc[4, "kl"]) and states.loc[6, "state"] == "finished" and found.best.batch == 6
    with pytest.raises(TrainingError, match="none of 1 trials could be trained; the last one: the loss is not"):
        tune(recipe, arrays, {"batch": Choice((4,))}, tmp_path, progress=False)


def test_a_network_that_does_not_fit_the_memory_is_noted_and_the_search_goes_on(recipe, arrays, tmp_path, monkeypatch):
    import tensorflow as tf

    import hbaclib.training.trainer as module

    real, tried = module.Trainer.run, []

    def short(trainer, *args, **kwargs):
        tried.append(trainer.recipe.batch)
        if trainer.recipe.batch == 8:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        if trainer.recipe.batch == 12:
            Limits(trainer.fit.name, 1, 1, 1, None, memory=2**60, at_once=1)._check_memory()
        return real(trainer, *args, **kwargs)

    monkeypatch.setattr(module.Trainer, "run", short)
    space = {"batch": Choice((4, 8, 12))}
    found = tune(recipe, arrays, space, tmp_path, progress=False)
    states = found.trials.set_index("batch")
    assert dict(states["state"]) == {4: "finished", 8: "failed", 12: "failed"} and found.best.batch == 4
    assert "a step of 8 rows does not fit the memory of the device" in states.loc[8, "problem"]
    assert "MiB are needed at the end of an epoch" in states.loc[12, "problem"]
    # The same command again tries neither of them a second time.
    tried.clear()
    assert tune(recipe, arrays, space, tmp_path, progress=False).trials.equals(found.trials) and not tried


def test_a_trial_that_does_not_fit_the_session_waits_for_the_next(recipe, arrays, tmp_path, monkeypatch):
    import hbaclib.search.tune as module

    invent_training(monkeypatch)
    invented, left, given = module.train, iter([2.0, 0.5]), []

    def measured(chosen, *args, session_hours, **options):
        given.append((chosen.batch, session_hours))
        if session_hours is not None:
            Limits("fold-0", 3600, 3600, 1, time.time() + 3600 * session_hours, 0, 1)._check_time(1.0)
        return invented(chosen, *args, **options)

    monkeypatch.setattr(module, "train", measured)
    monkeypatch.setattr(module, "session_hours_left", lambda: next(left, None))
    space = {"batch": Choice((4, 8))}
    with pytest.raises(PlatformError, match="h are left of the session"):
        tune(recipe, arrays, space, tmp_path, progress=False)
    (first, hours), (second, fewer) = given
    assert (hours, fewer) == (2.0, 0.5) and {first, second} == {4, 8}, "asked anew for each trial"
    found = tune(recipe, arrays, space, tmp_path, progress=False)
    assert given[2] == (second, None) and (found.trials["state"] == "finished").all()


def test_values_between_the_ends_of_a_range_that_make_no_recipe_are_noted(tmp_path, monkeypatch):
    class Signals(TinyArrays):
        def gather(self, rows, inputs="both", dtype=np.float32):
            return np.zeros((len(rows), 1, 8), dtype)

    invent_training(monkeypatch)
    raw = load_recipe("s3", folds=2, pseudo_weight=0, sampling="any")
    # Whole windows and crops of a second are recipes, crops of half a second are none.
    space = {"crop_seconds": Range(0.0, 2.0)}
    found = tune(raw, Signals(n=24, patients=8), space, tmp_path, trials=6, progress=False)
    failed = found.trials[found.trials["crop_seconds"] < 1]
    assert 0 < len(failed) < 6 and set(failed["state"]) == {"failed"} and set(failed["folder"]) == {""}
    assert failed["problem"].str.contains("at least 1 s").all()
    assert (found.trials["state"] == "finished").sum() == 6 - len(failed) and found.best.crop_seconds >= 1
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 6


def test_a_value_that_keras_refuses_is_one_message(recipe, arrays, tmp_path):
    found = tune(recipe, arrays, {"model_options.filters": Choice((-2, 6))}, tmp_path, progress=False)
    problem = found.trials.set_index("model_options.filters").loc[-2, "problem"]
    assert problem.startswith("model_options.filters=-2: model 'tiny' cannot be built (") and "\n" not in problem
    assert found.best.model_options == {"filters": 6}


def test_a_search_in_which_every_trial_failed_says_so(recipe, arrays, tmp_path, monkeypatch):
    import hbaclib.inputs.store as store

    monkeypatch.setattr(store, "open_inputs", lambda *folders: arrays)
    recipe.save(tmp_path / "mine.toml")
    arguments = ["tune", str(tmp_path / "mine.toml"), "--run", str(tmp_path), "--key", "model_options.filters=-2,-3"]
    out = tmp_path / f"tune_{recipe.name}"
    for _ in range(2):  # and not another thing when it is asked again
        answer = CliRunner().invoke(main, arguments)
        last = answer.output.splitlines()[-1]
        assert answer.exit_code == 1 and last.startswith("hbac: none of 2 trials could be trained; the last one: ")
        assert "cannot be built" in last and str(out / "trials.csv") in last
        trials = pd.read_csv(out / "trials.csv")
        assert list(trials["state"]) == ["failed"] * 2 and trials["problem"].str.contains("cannot be built").all()
    assert not (out / "best.toml").exists()


def test_a_fault_that_is_not_the_users_is_not_hidden(recipe, arrays, tmp_path, monkeypatch):
    import hbaclib.search.tune as module

    def broken(*arguments, **options):
        raise ValueError("a fault of the library")

    monkeypatch.setattr(module, "train", broken)
    with pytest.raises(ValueError, match=r"^a fault of the library$"):
        tune(recipe, arrays, {"batch": Choice((4,))}, tmp_path, progress=False)


def test_a_damaged_record_is_told(recipe, arrays, tmp_path):
    (tmp_path / "study.log").write_text("not a record\n\n")
    with pytest.raises(ArtefactError, match=r"study\.log: not a readable record"):
        tune(recipe, arrays, {"batch": Choice((4,))}, tmp_path, progress=False)


def test_the_nested_score_does_not_flatter():
    """Many recipes that are all equally good: the best looks better than they are, the nested score does not."""
    rng = np.random.default_rng(0)
    n, folds = 200, np.arange(200) % 5
    flattering, nested = [], []
    for _ in range(50):
        losses = 1 + rng.standard_normal((30, n))
        table = nested_choice(losses, folds, np.full(n, 3))
        flattering.append(losses.mean(axis=1).min())
        nested.append(np.average(table["kl_outer"], weights=table["n"]))
    error = np.std(nested) / np.sqrt(50)
    assert np.mean(flattering) < 0.9
    assert abs(np.mean(nested) - 1) < 3 * error and error < 0.03


def test_a_fold_chooses_without_its_own_rows():
    folds, votes = np.array([0, 0, 1, 1, 1]), np.array([12, 3, 12, 12, 3])
    losses = np.array([[0.0, 9.0, 2.0, 2.0, 0.0], [1.0, 9.0, 1.0, 1.0, 9.0]])
    table = nested_choice(losses, folds, votes)
    # Fold 0 is judged by what rows 2 and 3 chose, fold 1 by what row 0 chose; rows of few votes have no say.
    assert table.to_dict("list") == {
        "fold": [0, 1], "chosen": [1, 0], "kl_inner": [1.0, 0.0], "kl_outer": [1.0, 2.0], "n": [1, 2],
    }  # fmt: skip
    # Only fold 0 has rows of many votes: its recipe is chosen by all rows of fold 1, and fold 1 judges nothing.
    table = nested_choice(losses, folds, np.array([12, 3, 3, 3, 3]))
    assert list(table["chosen"]) == [0, 0] and list(table["n"]) == [1, 0] and np.isnan(table["kl_outer"][1])


def test_corners_are_all_combinations_of_values_and_ends(recipe):
    found = corners(recipe, {"batch": Choice((4, 6, 8)), "dropout": Range(0.0, 0.5)})
    assert {(one.batch, one.dropout) for one in found} == {(b, d) for b in (4, 6, 8) for d in (0.0, 0.5)}


def test_bands_filters_and_kernels_of_the_raw_networks_can_be_searched():
    recipe = load_recipe("s3")
    pairs = ["band=[],[0.5,4],[4,8]", "filter_order=2..6", "model_options.kernels=[3,5,7],[5,9,13,17]"]
    space = parse_keys(pairs, recipe)
    assert space["filter_order"] == Range(2, 6) and isinstance(space["filter_order"].low, int)
    found = corners(recipe, space)
    assert {(one.band, one.filter_order, one.model_options["kernels"]) for one in found} == {
        (band, order, kernels)
        for band in ((), (0.5, 4.0), (4.0, 8.0))
        for order in (2, 6)
        for kernels in ((3, 5, 7), (5, 9, 13, 17))
    }
    found = corners(recipe, parse_keys(["crop_seconds=10", "low_pass=16,20", "filter_order=4"], recipe))
    assert {one.low_pass for one in found} == {16.0, 20.0}
    for pair, message in (("filter_order=4,0", "filter_order is 0"), ("band=[4,8],[8,20]", "the Nyquist frequency")):
        with pytest.raises(ConfigError, match=message):
            corners(recipe, parse_keys([pair], recipe))


def test_command(recipe, arrays, tmp_path, monkeypatch):
    import hbaclib.inputs.store as store

    monkeypatch.setattr(store, "open_inputs", lambda *folders: arrays)
    recipe.save(tmp_path / "mine.toml")
    arguments = ["tune", str(tmp_path / "mine.toml"), "--run", str(tmp_path), "--key", "batch=4,6"]
    answer = CliRunner().invoke(main, [*arguments, "--folds", "1,0"])
    assert answer.exit_code == 0, answer.output
    out = tmp_path / f"tune_{recipe.name}"
    assert (out / "best.toml").is_file() and (out / "trials.csv").is_file() and (out / "nested.csv").is_file()
    for text in ("trial 2 of 2: batch=", "kl >=10", "flatters", "nested, each fold", str(out / "best.toml")):
        assert text in answer.output
    for wrong, message in (
        (["--key", "batchh=4"], "key 'batchh' is unknown"),
        (["--key", "dropout=0..0.5", "--method", "grid"], "which a grid cannot take"),
        (["--space", str(tmp_path / "none.toml")], "space cannot be read"),
    ):
        answer = CliRunner().invoke(main, [*arguments[:4], *wrong])
        assert answer.exit_code == 1 and answer.output.startswith("hbac: ") and message in answer.output
        assert "Traceback" not in answer.output and len(answer.output.splitlines()) == 1
    answer = CliRunner().invoke(main, [*arguments, "--folds", "all"])
    assert answer.exit_code == 2 and "expected numbers as in 0,1,2" in answer.output


def test_command_without_the_stages_of_a_run(tmp_path):
    answer = CliRunner().invoke(main, ["tune", "s1", "--run", str(tmp_path / "none"), "--key", "batch=16,32"])
    assert answer.exit_code == 1 and "01_port_data has not finished" in answer.output
    answer = CliRunner().invoke(main, ["tune", "s11", "--run", str(tmp_path), "--key", "batch=16,32"])
    assert answer.exit_code == 1 and "recipe 's11' is unknown" in answer.output
