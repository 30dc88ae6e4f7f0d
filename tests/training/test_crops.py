"""Ten seconds of the signals at 200 Hz: a seeded random stretch in training, the one in the middle otherwise."""

import numpy as np
import pandas as pd
import pytest

from hbaclib import build_model
from hbaclib.conventions import PREDICTION_COLUMNS
from hbaclib.inputs import pipeline
from hbaclib.inputs.pipeline import mean_prediction, training_batch
from hbaclib.inputs.signals import view_signals
from hbaclib.training.cross_validate import train
from tests.training.tiny_signals import RAW, SWAPPED, SignalArrays, quick

N, LAST = 2000, 8000
ROWS = np.array([5, 17, 30, 41])


@pytest.fixture(scope="module")
def arrays():
    return SignalArrays()


def cropped(**changes):
    return quick(**{"augmentation": {}, "crop_seconds": 10, **changes})


def starts_of(crops, wide):
    """First sample of every crop in the whole filtered signals."""
    whole = view_signals(wide, rate=200.0)
    starts = []
    for crop, signals in zip(crops, whole, strict=True):
        (found,) = np.flatnonzero((signals[: LAST + 1] == crop[0]).all(axis=1))
        np.testing.assert_array_equal(crop, signals[found : found + N])
        starts.append(int(found))
    return starts


@pytest.mark.parametrize("network", ["alone", "fused"])
def test_training_draws_a_seeded_crop_of_every_row(arrays, network):
    recipe = cropped(**(RAW if network == "alone" else {"backbone": "tiny_fused"}))
    drawn = {}
    # The same batch twice, then another batch, epoch, stage, fold and seed.
    for key in [(0, 0, 0, 0, 0), (0, 0, 0, 0, 1), (0, 0, 0, 1, 0), (0, 0, 1, 0, 0), (0, 1, 0, 0, 0), (1, 0, 0, 0, 0)]:
        *images, crops = training_batch(arrays, ROWS, recipe, key)
        *_, again = training_batch(arrays, ROWS, recipe, key)
        assert crops.shape == (4, N, 8) and crops.dtype == np.float32
        np.testing.assert_array_equal(again, crops)
        drawn[key] = starts_of(crops, arrays.signals_200hz[ROWS])
        assert len(images) == (network == "fused")
        for part in images:
            np.testing.assert_array_equal(part, arrays.gather(ROWS))
    starts = [start for found in drawn.values() for start in found]
    assert len(set(starts)) == len(starts), "each row has a place of its own, a new one in each epoch"
    assert min(starts) < LAST / 4 and max(starts) > LAST * 3 / 4


@pytest.mark.parametrize("network", ["alone", "fused"])
def test_prediction_takes_the_middle(arrays, network):
    recipe = cropped(**(RAW if network == "alone" else {"backbone": "tiny_fused"}))
    seen = []

    def watching(*parts):
        import tensorflow as tf

        seen.append(parts[-1])
        return tf.fill((len(parts[-1]), 6), 1 / 6)

    for _ in range(2):
        mean_prediction(lambda rows, kind: arrays.gather(ROWS[rows], kind), len(ROWS), recipe, [watching])
    for crops in seen:
        assert starts_of(crops, arrays.signals_200hz[ROWS]) == [LAST // 2] * 4


def test_a_network_trains_on_random_crops_and_is_validated_on_the_middle(arrays, tmp_path, monkeypatch):
    drawn, middle = [], []

    def watched(signals, *, rng=None, **options):
        (middle if rng is None else drawn).append(len(signals))
        assert options["crop"] == N and options["rate"] == 200
        return view_signals(signals, rng=rng, **options)

    monkeypatch.setattr(pipeline, "view_signals", watched)
    recipe = cropped(**RAW, **SWAPPED)
    folder = train(recipe, arrays, tmp_path / "cropped", folds=[0], progress=False)
    valid = np.flatnonzero(arrays.samples["patient_id"].map(arrays.folds) == 0)
    batches = -(-len(valid) // recipe.batch)
    assert drawn == [4] * 2, "two steps"
    assert middle == [4] * 2 * batches, "the epoch's validation and the out-of-fold predictions"
    model = build_model("tiny_wave", "raw", "raw", **recipe.network_options())
    model.load_weights(folder / "fold-0.weights.h5")
    crops = view_signals(arrays.signals_200hz[valid], rate=200.0, crop=N)
    stored = pd.read_parquet(folder / "fold-0.oof.parquet")[list(PREDICTION_COLUMNS)]
    np.testing.assert_allclose(model(crops, training=False), stored, atol=1e-6)
    history = pd.read_csv(folder / "history.csv")
    assert np.isfinite(history[["loss", "val_kl"]]).all(axis=None)
