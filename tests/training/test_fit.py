import random

import numpy as np

from hbaclib.models import registry
from hbaclib.training.devices import configure
from hbaclib.training.dropout import seed_dropout
from hbaclib.training.fit import Fit
from hbaclib.training.trainer import Trainer
from tests.training.tiny import TinyArrays, batch_norm_of, tiny_recipe


def trainer(tmp_path, **changes):
    recipe = tiny_recipe(**changes)
    arrays = TinyArrays()
    configure(recipe)
    return Trainer(Fit(recipe=recipe, fold=0, seed=0, folder=tmp_path, data="x"), arrays, ())


def test_batch_norm_statistics_are_those_of_the_training_batches(tmp_path):
    """Against a direct computation of what the layer sees, over the same batches."""
    found = batch_norm_of(trainer(tmp_path, batch_norm_batches=5), 5)
    np.testing.assert_allclose(found["mean"], found["direct_mean"], atol=1e-5)
    np.testing.assert_allclose(found["variance"], found["direct_variance"], rtol=1e-4)


def test_dropout_draws_are_set_by_the_epoch(tmp_path):
    made = trainer(tmp_path)
    images = np.ones((4, 128, 256, 8), np.float32)

    def look(*key):
        seed_dropout(made.model, key)
        return [made.model(images, training=True).numpy() for _ in range(2)]

    first, again, other = look(0, 0, 0, 1), look(0, 0, 0, 1), look(0, 0, 0, 2)
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (first[0] != first[1]).any() and (first[0] != other[0]).any()


def test_stage_two_sees_rows_of_many_votes_and_other_folds_only(tmp_path):
    made = trainer(tmp_path)
    samples = made.inputs.samples
    rows = samples.iloc[made.rows_of(made.recipe.stages[1])]
    assert (rows["n_votes"] >= 10).all() and (rows["patient_id"].map(made.inputs.folds) != 0).all()
    assert len(made.rows_of(made.recipe.stages[0])) == (samples["patient_id"].map(made.inputs.folds) != 0).sum()


def test_initial_weights_do_not_depend_on_who_else_draws_random_numbers(tmp_path, monkeypatch):
    """A thread of a cluster's worker may draw from Python's generator in the middle of building."""
    alone = trainer(tmp_path).model.get_weights()
    build = registry.build_model

    def disturbed(*args, **options):
        random.seed()
        return build(*args, **options)

    monkeypatch.setattr(registry, "build_model", disturbed)
    again = trainer(tmp_path).model.get_weights()
    assert all((first == second).all() for first, second in zip(alone, again, strict=True))
