"""MixUp, cutout and masks: the properties that make them harmless to labels, and KerasCV's layers as the reference."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from hbaclib.conventions import EEG_RATE
from hbaclib.errors import DataError
from hbaclib.inputs.augment import augment_parts, frequency_masking, left_right_swap, mixup, random_cutout, time_masking
from hbaclib.inputs.pipeline import image_type, training_batches
from hbaclib.inputs.signals import view_signals
from hbaclib.inputs.spec import InputSpec
from hbaclib.signal.images import starter_layout, swap_left_right, swap_left_right_raw
from hbaclib.signal.raw import raw_signals, signals_200hz
from hbaclib.training.losses import smooth_votes
from tests.training.tiny import TinyArrays, tiny_recipe


def rng(seed=1):
    return np.random.default_rng(seed)


def labels(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(6), n).astype(np.float32)


def test_mixup_keeps_distributions_and_blends_everything_alike():
    n = 400
    images, signals = np.arange(n, dtype=np.float32), np.arange(n, dtype=np.float32) * 10
    parts = (np.tile(images[:, None, None, None], (1, 4, 5, 8)), np.tile(signals[:, None, None], (1, 7, 8)))
    targets, weights = labels(n), np.linspace(0.5, 1.5, n, dtype=np.float32)
    mixed, labels_, weights_ = mixup(tuple(part.copy() for part in parts), targets, weights, rng(), alpha=0.4)
    np.testing.assert_allclose(labels_.sum(axis=1), 1, atol=1e-6)
    assert (labels_ >= 0).all() and len(labels_) == n
    # The share that the image tells is the one of the signals, the labels and the weights.
    np.testing.assert_allclose(mixed[1][:, 0, 0], 10 * mixed[0][:, 0, 0, 0], rtol=1e-5)
    draw = rng()
    draw.random(n)
    share, partner = draw.beta(0.4, 0.4, n), draw.permutation(n)
    np.testing.assert_allclose(
        mixed[0][:, 0, 0, 0], share * images + (1 - share) * images[partner], rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(labels_, share[:, None] * targets + (1 - share[:, None]) * targets[partner], atol=1e-6)
    np.testing.assert_allclose(weights_, share * weights + (1 - share) * weights[partner], atol=1e-6)


def test_mixup_happens_as_often_as_asked_and_is_seeded():
    images, targets, weights = np.random.default_rng(0).standard_normal((500, 2, 2, 4)), labels(500), np.ones(500)
    never, same, _ = mixup((images,), targets, weights, rng(), p=0.0)
    np.testing.assert_array_equal(never[0], images)
    np.testing.assert_array_equal(same, targets)
    (half,), _, _ = mixup((images,), targets, weights, rng(), p=0.5, alpha=5.0)
    assert 0.4 < (half != images).any(axis=(1, 2, 3)).mean() < 0.6
    (again,), _, _ = mixup((images,), targets, weights, rng(), p=0.5, alpha=5.0)
    np.testing.assert_array_equal(half, again)
    (other,), _, _ = mixup((images,), targets, weights, rng(2), p=0.5, alpha=5.0)
    assert not np.array_equal(half, other)


def test_mixup_draws_as_kerascv_does():
    import keras

    from hbaclib.models.efficientnet import quiet_import

    n = 3000
    keras.utils.set_random_seed(0)
    images, one_hot = np.arange(n, dtype=np.float32).reshape(-1, 1, 1, 1), np.eye(n, dtype=np.float32)[:, :1]
    images[:, 0, 0, 0] = np.random.default_rng(5).permutation(n)
    layer = quiet_import("keras_cv").layers.MixUp(alpha=0.3, seed=1)
    given = {"images": keras.ops.convert_to_tensor(images), "labels": keras.ops.convert_to_tensor(one_hot)}
    theirs = np.asarray(layer(given)["images"])[:, 0, 0, 0]
    ours = mixup((images,), one_hot, np.ones(n), rng(), alpha=0.3)[0][0][:, 0, 0, 0]
    changes = [(values - images[:, 0, 0, 0]) / n for values in (theirs, ours)]
    assert stats.ks_2samp(*changes).pvalue > 0.01


def both_cutouts(shape, height, width, n=1500):
    """Images of ones cut by KerasCV's layer and by ours; heights and widths of what is cleared. All in pairs."""
    import keras

    from hbaclib.models.efficientnet import quiet_import

    keras.utils.set_random_seed(0)
    images = np.ones((n, *shape), np.float32)
    theirs = np.asarray(quiet_import("keras_cv").layers.RandomCutout(height, width, seed=3)(images))
    ours = random_cutout(images.copy(), rng(), height=height, width=width)
    for cut in (theirs, ours):
        assert set(np.unique(cut)) == {0, 1} and (cut == cut[..., :1]).all()
    sides = ([(cut[..., 0] == 0).any(axis=axis).sum(axis=1) for cut in (theirs, ours)] for axis in (2, 1))
    return (theirs, ours), *sides


@pytest.mark.parametrize(("shape", "width"), [((32, 32, 8), 0.3), ((128, 256, 1), 0.5)])
def test_cutout_draws_as_kerascv_does_and_clears_all_planes(shape, width):
    """On 128 x 256 pixels, too, up to half the width: that is the image's height, at which KerasCV stops."""
    cuts, heights, widths = both_cutouts(shape, 0.5, width)
    assert stats.ks_2samp(*heights).pvalue > 0.01 and stats.ks_2samp(*widths).pvalue > 0.01
    shares = [float((cut == 0).mean()) for cut in cuts]
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


def test_only_kerascv_limits_the_cutouts_width_by_the_images_height():
    _, heights, (theirs, ours) = both_cutouts((128, 256, 1), 0.5, 0.9)
    assert stats.ks_2samp(*heights).pvalue > 0.01
    assert theirs.max() == 128 and 0.8 * 256 < ours.max() <= np.ceil(0.9 * 256)
    assert (ours > 128).mean() > 0.2 and stats.ks_2samp(theirs, ours).pvalue < 1e-6


def test_kerascvs_cutout_in_a_pipeline_draws_one_share_for_both_sides_in_every_epoch():
    """Why `random_cutout` does not call it."""
    import tensorflow as tf

    from hbaclib.models.efficientnet import quiet_import

    layer = quiet_import("keras_cv").layers.RandomCutout(0.5, 0.5, seed=3)
    images = np.ones((64, 32, 32, 8), np.float32)
    batches = tf.data.Dataset.from_tensors(images).map(lambda batch: layer.get_random_transformation_batch(64, batch))
    first, second = (
        [drawn[f"rectangles_{side}"].numpy() for side in ("height", "width")] for drawn in (*batches, *batches)
    )
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("function", "axis", "size"), [(time_masking, 2, 256), (frequency_masking, 1, 128)])
def test_masks_are_one_stripe_of_bounded_width_in_all_channels(function, axis, size):
    images = np.ones((400, 128, 256, 4), np.float32)
    masked = function(images.copy(), rng(), p=1.0, masks=1, width=20)
    assert (masked == masked[..., :1]).all(), "left and right are masked alike"
    lines = (masked[..., 0] == 0).all(axis=3 - axis)
    widths = lines.sum(axis=1)
    assert widths.min() == 1 and widths.max() == 20 and abs(widths.mean() - 10.5) < 1
    assert ((masked[..., 0] == 0).sum(axis=(1, 2)) == widths * (128 * 256 // size)).all(), "whole stripes, nothing else"
    edges = np.abs(np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1)
    assert (edges == 2).all(), "one stripe"
    half = function(images.copy(), rng(), p=0.5, masks=1, width=20)
    assert 0.4 < (half == 0).any(axis=(1, 2, 3)).mean() < 0.6


def test_frequency_masks_leave_signals_and_time_masks_do_not():
    signals = np.ones((50, 2000, 8), np.float32)
    np.testing.assert_array_equal(frequency_masking(signals.copy(), rng(), p=1.0), signals)
    assert (time_masking(signals.copy(), rng(), p=1.0) == 0).any(axis=(1, 2)).all()


def test_image_and_signals_are_swapped_together():
    draw = np.random.default_rng(0)
    images, signals = (draw.standard_normal((60, *shape)).astype(np.float32) for shape in ((16, 32, 8), (50, 8)))
    settings = {"left_right_swap": {"p": 0.5}, "time_flip": {"p": 0.5}}
    swapped = augment_parts((images.copy(), signals.copy()), rng(), settings)
    count = {"neither": 0, "swap": 0, "flip": 0, "both": 0}
    for image, signal, got, wave in zip(images, signals, *swapped, strict=True):
        kinds = {
            "neither": (image, signal),
            "swap": (swap_left_right(image), swap_left_right_raw(signal)),
            "flip": (image[:, ::-1], signal[::-1]),
            "both": (swap_left_right(image)[:, ::-1], swap_left_right_raw(signal)[::-1]),
        }
        (kind,) = [name for name, (a, _) in kinds.items() if np.array_equal(a, got)]
        np.testing.assert_array_equal(wave, kinds[kind][1])
        count[kind] += 1
    assert min(count.values()) > 5


def test_the_starter_image_is_swapped_by_its_regions():
    power = np.exp(np.random.default_rng(0).standard_normal((300, 400))).astype(np.float32)
    other = power.reshape(300, 4, 100)[:, [1, 0, 3, 2]].reshape(300, 400)
    swapped = left_right_swap(starter_layout(power)[None].copy(), rng(), p=1.0)[0]
    np.testing.assert_allclose(swapped, starter_layout(other), atol=1e-6)


def test_pipeline_mixes_labels_anew_in_every_epoch():
    arrays = TinyArrays()
    recipe = tiny_recipe(augmentation={"mixup": {"alpha": 1.0}})
    order = np.arange(8).reshape(2, 4)
    targets = arrays.samples.iloc[:, -6:].to_numpy(np.float32)

    def epoch(number):
        weights = np.ones(len(targets), np.float32)
        made = training_batches(arrays, order, targets, weights, recipe, (0, 0, 0, number), [(128, 256, 8)])
        return [[part.numpy() for part in batch] for batch in made]

    first, again, second = epoch(0), epoch(0), epoch(1)
    for (_, images, mixed, _), (_, same, _, _), (_, _, other, _) in zip(first, again, second, strict=True):
        np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(images, same)
        assert not np.array_equal(mixed, other)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(2, 8, 4), (7, 8)])
def test_mixup_of_float16_is_that_of_float32_rounded_once(p, shape):
    n = 40
    narrow = np.random.default_rng(3).standard_normal((n, *shape)).astype(np.float16)
    wide = narrow.astype(np.float32)
    targets, weights = labels(n), np.ones(n, np.float32)
    before = narrow.copy()
    (half,), labels_half, weights_half = mixup((narrow,), targets, weights, rng(), p=p, alpha=0.4)
    (full,), labels_full, weights_full = mixup((wide,), targets, weights, rng(), p=p, alpha=0.4)
    assert half.dtype == np.float16 and full.dtype == np.float32
    np.testing.assert_array_equal(half, full.astype(np.float16))
    np.testing.assert_allclose(half, full, rtol=2**-11, atol=2**-24)
    np.testing.assert_array_equal(labels_half, labels_full)
    np.testing.assert_array_equal(weights_half, weights_full)
    np.testing.assert_array_equal(narrow, before)


@pytest.mark.parametrize(
    ("augmentation", "changes", "types"),
    [
        ({"mixup": {}}, {}, (np.float32, np.float16)),
        ({"mixup": {}, "time_flip": {}, "coarse_dropout": {}}, {}, (np.float32, np.float16)),
        ({"mixup": {}}, {"layout": "tiled"}, (np.float32, np.float16)),
        ({"time_flip": {}}, {}, (np.float16, np.float16)),
        ({"mixup": {}, "noise": {}}, {}, (np.float32, np.float32)),
        ({"amplitude": {}}, {}, (np.float32, np.float32)),
        ({"mixup": {}}, {"augment_with": "albumentations"}, (np.float32, np.float32)),
        ({"mixup": {}}, {"layout": "starter", "inputs": "kaggle"}, (np.float32, np.float32)),
    ],
)
def test_images_travel_as_float16_where_the_network_computes_in_it(augmentation, changes, types):
    spec = InputSpec(augmentation=augmentation, **changes)
    assert (image_type(spec), image_type(spec, half=True)) == types


def test_pipeline_mixes_in_float16_where_it_is_asked_for():
    arrays, recipe = TinyArrays(), tiny_recipe(augmentation={"mixup": {"alpha": 1.0}, "time_flip": {}})
    order, key = np.arange(8).reshape(2, 4), (0, 0, 0, 0)
    targets, weights = arrays.samples.iloc[:, -6:].to_numpy(np.float32), np.ones(48, np.float32)

    def epoch(**options):
        made = training_batches(arrays, order, targets, weights, recipe, key, [(128, 256, 8)], **options)
        return [[part.numpy() for part in batch] for batch in made]

    for (_, wide, *same), (_, narrow, *others) in zip(epoch(), epoch(half=True), strict=True):
        assert (wide.dtype, narrow.dtype) == (np.float32, np.float16)
        np.testing.assert_array_equal(narrow, wide.astype(np.float16))
        assert all(map(np.array_equal, same, others))


def test_smoothing_of_votes():
    shares = np.array([[1, 0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0]])
    smoothed = smooth_votes(shares, np.array([2, 20]), 0.5)
    # Before the votes are made shares: (2 + .5) / (2 + 3), (10 + .5) / (20 + 3).
    np.testing.assert_allclose(smoothed[0], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(smoothed[1], np.array([10.5, 10.5, 0.5, 0.5, 0.5, 0.5]) / 23)
    only = smooth_votes(shares, np.array([2, 20]), 0.5, up_to=3)
    np.testing.assert_allclose(only[0], smoothed[0])
    np.testing.assert_array_equal(only[1], shares[1])


def tone(frequency, rate, seconds=50):
    time = np.arange(round(seconds * rate)) / rate
    return np.repeat(np.sin(2 * np.pi * frequency * time)[None, :, None], 8, axis=-1).astype(np.float32)


@pytest.mark.parametrize(("rate", "outside"), [(40.0, 12.0), (float(EEG_RATE), 30.0)])
def test_a_band_passes_what_lies_in_it(rate, outside):
    middle = slice(round(10 * rate), round(40 * rate))
    kept, gone = (view_signals(tone(f, rate), rate=rate, band=(2.0, 6.0))[0, middle] for f in (4.0, outside))
    np.testing.assert_allclose(kept, tone(4.0, rate)[0, middle], atol=0.02)  # in phase, too
    assert np.abs(gone).max() < 0.02


def test_signals_at_the_full_rate_are_low_passed_as_raw_signals_are():
    eeg = 20 * np.random.default_rng(0).standard_normal((10_000, 20)).astype(np.float32)
    wide = signals_200hz(eeg)[None]
    inside = slice(200, -200)
    found = view_signals(wide, rate=EEG_RATE, crop=2000)[0]
    np.testing.assert_allclose(found[inside], raw_signals(eeg, seconds=10)[inside], atol=2e-5)
    found = view_signals(wide, rate=EEG_RATE, crop=2000, low_pass=20.0)[0]
    np.testing.assert_allclose(found[inside], raw_signals(eeg, 20.0, seconds=10)[inside], atol=2e-5)
    # Mains hum of one unit, beside a rhythm of the EEG.
    hum, rhythm = (view_signals(tone(f, EEG_RATE), rate=EEG_RATE, crop=2000)[0] for f in (60.0, 8.0))
    assert np.abs(hum).max() < 1e-4
    np.testing.assert_allclose(rhythm, tone(8.0, EEG_RATE)[0, 4000:6000], atol=0.01)
    np.testing.assert_array_equal(view_signals(tone(8.0, 40.0)), tone(8.0, 40.0))  # stored with the filter


@pytest.mark.parametrize("order", [1, 2, 6, 10])
def test_the_order_is_that_of_scipys_filter_run_forward_and_backward(order):
    from scipy.signal import butter, sosfiltfilt

    signals = np.random.default_rng(1).standard_normal((1, 10_000, 8)).astype(np.float32)
    sections = butter(order, 16.0, fs=EEG_RATE, output="sos")
    expected = sosfiltfilt(sections, signals.astype(float), axis=1)[:, 4000:6000]
    found = view_signals(signals, rate=EEG_RATE, order=order, crop=2000)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_crops_are_random_with_a_generator_and_in_the_middle_without():
    signals = np.tile(np.arange(10_000, dtype=np.float32)[None, :, None], (40, 1, 8))
    crops = partial(view_signals, signals, rate=EEG_RATE, crop=2000, low_pass=None)
    middle = crops()
    assert middle.shape == (40, 2000, 8) and (middle[:, 0, 0] == 4000).all()
    starts = crops(rng=rng())[:, 0, 0]
    assert len(set(starts)) > 30 and starts.min() >= 0 and starts.max() <= 8000
    np.testing.assert_array_equal(starts, crops(rng=rng())[:, 0, 0])
    assert not np.array_equal(starts, crops(rng=rng(2))[:, 0, 0])


def test_impossible_views_are_refused():
    with pytest.raises(DataError, match=r"below 20\.0 Hz, the Nyquist frequency"):
        view_signals(tone(4.0, 40.0), band=(1.0, 25.0))
    with pytest.raises(DataError, match=r"below 100\.0 Hz, the Nyquist frequency"):
        view_signals(tone(4.0, 200.0), rate=200.0, low_pass=100.0)
    with pytest.raises(DataError, match="crop of 3000 samples, the signals have 2000"):
        view_signals(tone(4.0, 40.0), crop=3000)
    np.testing.assert_array_equal(view_signals(np.zeros((1, 2000, 8), np.float32), band=(1.0, 8.0)), 0)
