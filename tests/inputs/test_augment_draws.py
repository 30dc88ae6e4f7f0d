"""Draws: every augmentation and both libraries differ from epoch to epoch, repeat for a seed, and draw alike.

Holes of different images are told apart by labelling what is 0; the images have no other zeros.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage, stats

from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.inputs.augment import ALBUMENTATIONS, AUGMENTATIONS, MIXING, augment
from hbaclib.inputs.pipeline import lay_out_parts, training_batches
from hbaclib.training.recipe import load_recipe
from tests.training.tiny import TinyArrays, tiny_recipe

LIBRARIES = ("batched", "albumentations")
ALL = {name: sorted({**AUGMENTATIONS, **MIXING}) for name in LIBRARIES} | {"albumentations": sorted(ALBUMENTATIONS)}
EPOCHS = 4
UNLIKELY = 1e-4


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays(n=16, patients=4)


def epochs(arrays, recipe, shape, seed=0, numbers=range(EPOCHS)):
    """The same rows in the same order, in several epochs.

    Returns:
        (epochs, steps, b, *shape) images.
    """
    order = np.arange(16).reshape(2, 8)
    targets, weights = arrays.samples[list(VOTE_COLUMNS)].to_numpy(np.float32), np.ones(16, np.float32)
    return np.stack(
        [
            [images for _, images, *_ in training_batches(arrays, order, targets, weights, recipe, key, [shape])]
            for key in ((seed, 0, 0, number) for number in numbers)
        ]
    )


def changed(found, plain):
    """Which rows are not as they were stored, (epochs, rows)."""
    return (found != plain).any(axis=(-3, -2, -1)).reshape(len(found), -1)


def stored(arrays, layout="stem"):
    """The rows as they come without any augmentation, (steps, b, ...)."""
    images = lay_out_parts((arrays.gather(np.arange(16)),), layout)[0]
    return images.reshape(2, 8, *images.shape[1:])


@pytest.mark.parametrize(("library", "name"), [(library, name) for library in LIBRARIES for name in ALL[library]])
def test_each_draws_anew_in_every_epoch_and_repeats_for_the_same_seed(library, name, arrays):
    recipe = tiny_recipe(augmentation={name: {"p": 0.5}}, augment_with=library)
    shape = (128, 256, 8)
    found = epochs(arrays, recipe, shape)
    np.testing.assert_array_equal(found, epochs(arrays, recipe, shape))
    rows = changed(found, stored(arrays).astype(found.dtype))
    # Half of the rows, give or take four standard errors, and others in every epoch and every step.
    assert abs(rows.mean() - 0.5) < 4 * 0.5 / np.sqrt(rows.size)
    assert len({row.tobytes() for row in rows}) == EPOCHS
    assert len({row.tobytes() for row in rows.reshape(2 * EPOCHS, 8)}) > EPOCHS
    other = changed(epochs(arrays, recipe, shape, seed=1), stored(arrays).astype(found.dtype))
    assert not np.array_equal(rows, other)


def test_s1_draws_anew_in_every_epoch_and_repeats_for_the_same_seed(arrays):
    """The seed system as it is: albumentations on eight planes, then tiles."""
    recipe, shape = load_recipe("s1"), (512, 512, 3)
    assert recipe.augment_with == "albumentations" and recipe.layout == "tiled"
    first, second = found = epochs(arrays, recipe, shape, numbers=(0, 1))
    np.testing.assert_array_equal(found, epochs(arrays, recipe, shape, numbers=(0, 1)))
    # An epoch is the same whether or not another one came before it: a fit that resumes draws what it would have drawn.
    np.testing.assert_array_equal(second, epochs(arrays, recipe, shape, numbers=(1,))[0])
    rows = changed(found, stored(arrays, "tiled"))
    differ = changed(first[None], second)[0]
    # A row is the same twice where it was left alone twice, or flipped twice without holes: 1/8 of the rows.
    assert not np.array_equal(rows[0], rows[1]) and differ.mean() > 0.5
    assert (first != epochs(arrays, recipe, shape, seed=1, numbers=(0,))[0]).any()


@cache
def drawn(library: str) -> tuple[np.ndarray, list[list[tuple[int, ...]]], np.ndarray]:
    """What s1's own settings do to many images.

    Returns:
        (n,) whether an image was flipped; for each image its holes as (top, left, height, width), those that touch
        being one; (n,) pixels in holes.
    """
    n, settings = 600, load_recipe("s1").augmentation
    assert dict(settings["coarse_dropout"]) == {"p": 0.5, "holes": 8, "height": 32, "width": 32}
    ramp = np.broadcast_to(np.arange(1, 257, dtype=np.float32)[:, None], (128, 256, 8))
    rng, flipped, holes, pixels = np.random.default_rng(7), [], [], []
    for _ in range(n // 50):
        for image in augment(np.stack([ramp] * 50), rng, settings, library=library):
            empty = (image == 0).all(axis=-1)
            assert (empty == (image == 0).any(axis=-1)).all(), "a hole goes through all planes"
            steps = np.diff(image[..., 0], axis=1)[~(empty[:, 1:] | empty[:, :-1])]
            assert set(np.unique(steps)) in ({1.0}, {-1.0})
            flipped.append(steps[0] < 0)
            places = ndimage.find_objects(ndimage.label(empty)[0])
            holes.append([(y.start, x.start, y.stop - y.start, x.stop - x.start) for y, x in places])
            pixels.append(int(empty.sum()))
    return np.array(flipped), holes, np.array(pixels)


def alike(first, second, edges):
    """Probability of a distance as large as the one between two samples' counts, were their distribution one."""
    table = np.stack([np.histogram(part, edges)[0] for part in (first, second)])
    return stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue


def test_holes_of_both_libraries_are_alike_in_number_size_and_place():
    (_, first, first_pixels), (_, second, second_pixels) = (drawn(library) for library in LIBRARIES)
    for holes, pixels in ((first, first_pixels), (second, second_pixels)):
        with_holes = pixels > 0
        assert abs(with_holes.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(pixels))
        counts = np.array([len(own) for own in holes])[with_holes]
        assert counts.min() >= 1 and counts.max() <= 8, "never more than eight"
        assert pixels.max() <= 8 * 32 * 32 and pixels[with_holes].min() >= 32 * 32
        sizes = np.array([hole[2:] for own in holes for hole in own])
        assert sizes.min() == 32 and sizes.max() > 32, "whole, inside the image, and free to overlap"
        # Alone as they lie, most are squares of the one size.
        assert ((sizes == 32).all(axis=1)).mean() > 0.3
    for kind, values in (
        ("number", [[len(own) for own in holes if own] for holes in (first, second)]),
        ("pixels", [part[part > 0] for part in (first_pixels, second_pixels)]),
        ("height", [[hole[2] for own in holes for hole in own] for holes in (first, second)]),
        ("width", [[hole[3] for own in holes for hole in own] for holes in (first, second)]),
        ("top", [[hole[0] for own in holes for hole in own if hole[2:] == (32, 32)] for holes in (first, second)]),
        ("left", [[hole[1] for own in holes for hole in own if hole[2:] == (32, 32)] for holes in (first, second)]),
    ):
        edges = {
            "number": np.arange(0.5, 9),
            "pixels": np.arange(1024, 8 * 1024 + 1025, 512),
            "height": [32, 33, 40, 48, 64, 96, 129],
            "width": [32, 33, 40, 48, 64, 96, 129, 257],
            "top": np.linspace(0, 97, 9),
            "left": np.linspace(0, 225, 9),
        }[kind]
        assert alike(*values, edges) > UNLIKELY, kind


@pytest.mark.parametrize("library", LIBRARIES)
def test_flip_and_holes_are_drawn_apart(library):
    """Of the four pairs of (flipped, with holes) each is a quarter of the images, in either library."""
    flipped, holes, pixels = drawn(library)
    n = len(flipped)
    with_holes = pixels > 0
    for flip in (False, True):
        for hole in (False, True):
            share = ((flipped == flip) & (with_holes == hole)).mean()
            assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / n)), (flip, hole)
    # Nor do the holes of a flipped image lie elsewhere, or hide more of it.
    assert abs(np.corrcoef(flipped, with_holes)[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(flipped[with_holes], pixels[with_holes])[0, 1]) < 4 / np.sqrt(with_holes.sum())
    left = np.array([np.mean([hole[1] + hole[3] / 2 for hole in own]) for own in holes if own])
    assert abs(np.corrcoef(flipped[with_holes], left)[0, 1]) < 4 / np.sqrt(len(left))


def test_both_libraries_pair_flip_and_holes_alike():
    pairs = [2 * flipped + (pixels > 0) for flipped, _, pixels in (drawn(library) for library in LIBRARIES)]
    assert alike(*pairs, np.arange(-0.5, 4)) > UNLIKELY
