import numpy as np
import pytest

from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import ConfigError, DataError
from hbaclib.inputs.augment import (
    AUGMENTATIONS,
    augment,
    band_shift,
    check_augmentation,
    coarse_dropout,
    horizontal_flip,
    left_right_swap,
    time_flip,
    time_shift,
    xy_masking,
)
from hbaclib.inputs.pipeline import training_batches
from hbaclib.signal.images import swap_left_right, swap_left_right_raw
from tests.training.tiny import TinyArrays, tiny_recipe

SHAPES = [(128, 256, 8), (128, 256, 4), (2000, 8)]


def batch(shape=(128, 256, 8), n=6, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", SHAPES)
def test_left_right_swap_exchanges_hemispheres_and_leaves_time(shape):
    given = batch(shape)
    swap = swap_left_right_raw if len(shape) == 2 else swap_left_right
    np.testing.assert_array_equal(left_right_swap(given.copy(), rng(), p=1.0), swap(given))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flip", [time_flip, horizontal_flip])
def test_time_flip_reverses_time_and_leaves_hemispheres(flip, shape):
    given = batch(shape)
    flipped = flip(given.copy(), rng(), p=1.0)
    np.testing.assert_array_equal(flipped, given[..., ::-1, :])
    assert not np.array_equal(flipped, left_right_swap(given.copy(), rng(), p=1.0))


@pytest.mark.parametrize("name", ["left_right_swap", "time_flip", "horizontal_flip"])
def test_flips_undo_themselves(name):
    given, flip = batch(), AUGMENTATIONS[name]
    np.testing.assert_array_equal(flip(flip(given.copy(), rng(), p=1.0), rng(), p=1.0), given)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_augmentation_is_seeded_rare_or_certain_as_asked(name, shape):
    function, given = AUGMENTATIONS[name], batch(shape, n=64 if len(shape) == 2 else 16)
    first = function(given.copy(), rng(), p=0.5)
    assert first.shape == given.shape and first.dtype == np.float32 and np.isfinite(first).all()
    np.testing.assert_array_equal(first, function(given.copy(), rng(), p=0.5))
    np.testing.assert_array_equal(function(given.copy(), rng(), p=0.0), given)
    images_only = {"band_gain", "band_shift", "coarse_dropout", "frequency_masking", "random_cutout"}
    if len(shape) == 2 and name in images_only:
        np.testing.assert_array_equal(first, given)
    else:
        changed = (first != given).reshape(len(given), -1).any(axis=1)
        assert 0 < changed.sum() < len(given)
        assert not np.array_equal(first, function(given.copy(), rng(2), p=0.5))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("shape", [*SHAPES, (400, 300, 3)])
def test_a_batch_of_which_no_row_or_only_one_is_chosen(name, shape):
    function, given = AUGMENTATIONS[name], batch(shape, n=1)
    for rows in (given[:0], given):
        np.testing.assert_array_equal(function(rows.copy(), rng(), p=0.0), rows)
        assert function(rows.copy(), rng(), p=1.0).shape == rows.shape


def test_the_starters_regions_are_exchanged():
    given = batch((400, 300, 3), n=16)
    found = left_right_swap(given.copy(), rng(), p=0.5)
    swapped = given.reshape(16, 4, 100, 300, 3)[:, [1, 0, 3, 2]].reshape(given.shape)
    rows = (found != given).any(axis=(1, 2, 3))
    assert 0 < rows.sum() < 16
    np.testing.assert_array_equal(found, np.where(rows[:, None, None, None], swapped, given))


@pytest.mark.parametrize(("function", "axis", "most"), [(time_shift, 2, 16), (band_shift, 1, 4)])
def test_shifts_move_along_one_axis_and_fill_with_zeros(function, axis, most):
    n = 400
    given = np.zeros((n, 40, 60, 4), np.float32)
    given[:] = np.moveaxis(np.arange(1, given.shape[axis] + 1, dtype=np.float32).reshape(-1, 1, 1), 0, axis - 1)
    moved = function(given.copy(), rng(), p=1.0, most=most)
    lines = np.moveaxis(moved, axis, 1).reshape(n, given.shape[axis], -1)
    assert (lines == lines[..., :1]).all()
    middle = given.shape[axis] // 2
    steps = middle + 1 - lines[:, middle, 0]
    assert set(steps.astype(int)) == set(range(-most, most + 1))
    for line, step in zip(lines[:20, :, 0], steps[:20].astype(int), strict=True):
        kept = np.arange(1, len(line) + 1)
        wanted = np.zeros(len(line))
        wanted[max(step, 0) : len(line) + min(step, 0)] = kept[max(-step, 0) : len(line) - max(step, 0)]
        np.testing.assert_array_equal(line, wanted)


def test_masks_are_stripes_within_bounds():
    given = np.ones((300, 128, 256, 8), np.float32)
    options = {"time_masks": 2, "time_width": 20, "frequency_masks": 1, "frequency_width": 10}
    masked = xy_masking(given, rng(), p=1.0, **options) == 0
    assert (masked == masked[..., :1]).all()
    masked = masked[..., 0]
    columns, rows = masked.all(axis=1), masked.all(axis=2)
    np.testing.assert_array_equal(masked, columns[:, None, :] | rows[:, :, None])
    assert columns.sum(axis=1).max() <= 40 and rows.sum(axis=1).max() <= 10
    # 0, 1 or 2 stripes of mean width 10.5, and 0 or 1 of mean width 5.5.
    assert columns.sum(axis=1).mean() == pytest.approx(10.5, rel=0.2)
    assert rows.sum(axis=1).mean() == pytest.approx(5.5 / 2, rel=0.25)
    # Every column can be hit, the first and the last included.
    assert columns[:, 0].any() or columns[:, -1].any()


def test_coarse_dropout_makes_holes_of_one_size():
    given = np.ones((50, 128, 256, 4), np.float32)
    holes = coarse_dropout(given, rng(), p=1.0, holes=1, height=32, width=16)[..., 0] == 0
    assert (holes.reshape(50, -1).sum(axis=1) == 32 * 16).all()
    assert {(rows.sum(), columns.sum()) for rows, columns in zip(holes.any(2), holes.any(1), strict=True)} == {(32, 16)}


def test_both_libraries_draw_from_the_same_distribution():
    """The share of changed images, of flips, of hole pixels, and where holes lie."""
    settings = {"horizontal_flip": {"p": 0.5}, "coarse_dropout": {"p": 0.5, "holes": 4, "height": 16, "width": 16}}
    n = 800
    given = np.broadcast_to(np.arange(1, 65, dtype=np.float32)[None, None, :, None], (n, 48, 64, 8))
    found = {}
    for library in ("batched", "albumentations"):
        images = augment(given.copy(), rng(), settings, library=library)
        holes = (images == 0).all(axis=-1)
        known = np.where(images[..., 0] == 0, np.nan, images[..., 0])
        first, last = np.nanmean(known[:, :, 0], axis=1), np.nanmean(known[:, :, -1], axis=1)
        found[library] = {
            "flipped": (first > last).mean(),
            "with holes": holes.any(axis=(1, 2)).mean(),
            "pixels": holes.mean(),
            "top third": holes[:, :16].mean(),
            "left third": holes[:, :, :21].mean(),
            "centre": holes[:, 16:32, 21:43].mean(),
            "corner": holes[:, :8, :8].mean(),
        }
    for name, value in found["batched"].items():
        # Four standard errors of a share of 800 images on either side, holes of one image being drawn together.
        assert found["albumentations"][name] == pytest.approx(
            value, abs=4 * np.sqrt(2 * value * (1 - value) / n) + 0.003
        )
    assert found["batched"]["flipped"] == pytest.approx(0.5, abs=0.08)


def test_albumentations_path_is_seeded():
    settings = {"horizontal_flip": {"p": 0.5}, "coarse_dropout": {"p": 0.5}}
    first = augment(batch(), rng(5), settings, library="albumentations")
    np.testing.assert_array_equal(first, augment(batch(), rng(5), settings, library="albumentations"))
    assert not np.array_equal(first, augment(batch(), rng(6), settings, library="albumentations"))


def test_order_in_the_recipe_does_not_matter():
    settings = {"time_shift": {"p": 0.7}, "left_right_swap": {"p": 0.5}, "xy_masking": {}}
    turned = dict(reversed(settings.items()))
    np.testing.assert_array_equal(augment(batch(), rng(), settings), augment(batch(), rng(), turned))
    given = batch()
    assert augment(given, rng(), {}) is given


@pytest.mark.parametrize(
    "name",
    ["coarse_dropout", "frequency_masking", "random_cutout", "time_masking", "time_shift", "xy_masking", "mixup"],
)
def test_each_alone_draws_anew_in_every_epoch_and_repeats_for_the_same_key(name):
    arrays, order = TinyArrays(n=8, patients=4), np.arange(8).reshape(2, 4)
    recipe = tiny_recipe(augmentation={name: {"p": 1.0}})
    targets = arrays.samples[list(VOTE_COLUMNS)].to_numpy(np.float32)

    def epoch(number):
        key, weights = (0, 0, 0, number), np.ones(len(targets), np.float32)
        made = training_batches(arrays, order, targets, weights, recipe, key, [(128, 256, 8)])
        return np.stack([images for _, images, *_ in made])

    first, again, second = epoch(0), epoch(0), epoch(1)
    np.testing.assert_array_equal(first, again)
    assert (first != second).any(axis=(1, 2, 3, 4)).all()


def test_faults_are_named():
    with pytest.raises(ConfigError, match="'flip' is unknown; known are left_right_swap"):
        check_augmentation({"flip": {}})
    with pytest.raises(ConfigError, match=r"augmentation\.time_flip is 0\.5, expected a table"):
        check_augmentation({"time_flip": 0.5})
    for share in (5.0, 1.01, 0.0, -0.5, True, "half"):
        for key in ("height", "width"):
            with pytest.raises(ConfigError, match=rf"random_cutout\.{key} is {share!r}, expected a share of the image"):
                check_augmentation({"random_cutout": {key: share}})
    check_augmentation({"random_cutout": {"height": 1, "width": 0.01}})
    with pytest.raises(DataError, match=r"image has shape \(.*128, 256, 3\), expected"):
        left_right_swap(batch((128, 256, 3)), rng())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 200}, "height is 200, expected at most 128: the images have 128 x 256 pixels"),
        ({"height": 128, "width": 257}, "width is 257, expected at most 256: the images have 128 x 256 pixels"),
    ],
)
def test_holes_larger_than_the_image_are_refused(options, message):
    settings = {"coarse_dropout": options}
    check_augmentation(settings)  # nothing is known of the images yet
    with pytest.raises(ConfigError, match=rf"^augmentation\.coarse_dropout\.{message}$"):
        check_augmentation(settings, (128, 256))
    for library in ("batched", "albumentations"):
        with pytest.raises(ConfigError, match=rf"^augmentation\.coarse_dropout\.{message}$"):
            augment(batch(n=2), rng(), settings, library=library)
    whole = {"coarse_dropout": {"p": 1.0, "height": 128, "width": 256}}
    check_augmentation(whole, (128, 256))
    for library in ("batched", "albumentations"):
        assert not augment(batch(n=2), rng(), whole, library=library).any()
