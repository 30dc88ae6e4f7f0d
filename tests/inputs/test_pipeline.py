import numpy as np
import pytest

from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.inputs.pipeline import epoch_order, lay_out_parts, padded_batches, training_batch, training_batches
from hbaclib.signal.images import tile_layout
from tests.training.tiny import TinyArrays, tiny_recipe


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays()


def test_epochs_shuffle_anew_and_repeat_for_the_same_key():
    rows = np.arange(10, 47)
    first = epoch_order(rows, 9, 4, (0, 1, 0, 0))
    assert first.shape == (9, 4) and len(set(first.ravel())) == 36 and set(first.ravel()) <= set(rows)
    np.testing.assert_array_equal(first, epoch_order(rows, 9, 4, (0, 1, 0, 0)))
    for other in [(1, 1, 0, 0), (0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 0, 1)]:
        assert not np.array_equal(first, epoch_order(rows, 9, 4, other))


def test_more_steps_than_rows_take_every_row_equally_often():
    order = epoch_order(np.arange(5), 10, 3, (0, 0, 0, 0))
    assert set(np.bincount(order.ravel())) == {6}
    assert epoch_order(np.arange(2), 1, 8, (0, 0, 0, 0)).shape == (1, 8)


def test_a_batch_is_gathered_augmented_and_laid_out(arrays):
    rows = np.array([7, 3, 40])
    (plain,) = training_batch(arrays, rows, tiny_recipe(augmentation={}), (0, 0, 0, 0, 0))
    np.testing.assert_array_equal(plain, arrays.gather(rows))
    recipe = tiny_recipe(augmentation={"time_flip": {"p": 1.0}}, layout="tiled", inputs="eeg")
    (tiled,) = training_batch(arrays, rows, recipe, (0, 0, 0, 0, 0))
    assert tiled.shape == (3, 512, 256, 3) and tiled.dtype == np.float16  # as stored; the device widens
    np.testing.assert_array_equal(tiled, tile_layout(arrays.gather(rows, "eeg")[:, :, ::-1]))
    np.testing.assert_array_equal(lay_out_parts((plain,), "stem")[0], plain)


def test_no_draw_repeats_between_batches_epochs_stages_folds_or_seeds(arrays):
    recipe = tiny_recipe(augmentation={"xy_masking": {"p": 1.0}, "time_shift": {"p": 1.0}})
    rows = np.arange(4)
    keys = [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)]
    made = [training_batch(arrays, rows, recipe, key)[0] for key in keys]
    assert len({part.tobytes() for part in made}) == len(keys)
    np.testing.assert_array_equal(made[3], training_batch(arrays, rows, recipe, keys[3])[0])


def test_data_set_gives_the_batches_in_order(arrays):
    recipe, key = tiny_recipe(), (0, 0, 0, 2)
    order = epoch_order(np.arange(20), 5, 4, key)
    targets = arrays.samples[list(VOTE_COLUMNS)].to_numpy()
    weights = np.arange(48, dtype=np.float32)
    steps = list(training_batches(arrays, order, targets, weights, recipe, key, [(128, 256, 8)]))
    assert [int(step) for step, *_ in steps] == list(range(5))
    for step, images, labels, importance in steps:
        assert images.shape == (4, 128, 256, 8)
        rows = order[int(step)]
        np.testing.assert_array_equal(images, training_batch(arrays, rows, recipe, (*key, int(step)))[0])
        np.testing.assert_allclose(labels, targets[rows], rtol=1e-6)
        np.testing.assert_array_equal(importance, weights[rows])


@pytest.mark.parametrize("n", [0, 1, 4, 5, 8])
def test_padded_batches_have_one_size_and_cover_all_rows(n):
    found = list(padded_batches(n, 4))
    assert all(len(rows) == 4 and 1 <= count <= 4 for rows, count in found)
    assert [row for rows, count in found for row in rows[:count]] == list(range(n))
