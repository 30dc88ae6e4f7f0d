"""Signals at 200 Hz and the starter's image: stored or made when asked for, equal to the single functions."""

import numpy as np
import pandas as pd
import pytest

from hbaclib import read_eeg, read_spectrogram
from hbaclib.artefacts import read_manifest
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.inputs.pipeline import gather_parts
from hbaclib.inputs.signals import view_signals
from hbaclib.inputs.store import open_inputs
from hbaclib.signal.images import starter_layout
from hbaclib.signal.raw import raw_signals, signals_200hz
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.port import port_data
from hbaclib.stages.signals_200hz import store_signals_200hz
from hbaclib.training.cross_validate import check_training
from hbaclib.training.recipe import load_recipe
from tests.dataset.tiny import write_tiny

RAW = {"backbone": "wavenet", "layout": "raw", "inputs": "raw", "folds": 2, "downsample": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    write_tiny(root / "data", n_eegs=8)
    port = port_data(root / "data", root, n_folds=2, n_jobs=1)
    stages = port, store_eeg_products(root / "data", port, root, n_jobs=1), store_kaggle_images(port, root, n_jobs=1)
    return root, stages, store_signals_200hz(root / "data", port, root, n_jobs=1)


def test_signals_200hz_are_stored_for_every_sample(run):
    root, stages, wide = run
    inputs = open_inputs(*stages, wide)
    for row in (0, len(inputs.samples) - 1):
        sample = inputs.samples.iloc[row]
        eeg = read_eeg(root / "data" / "train_eegs" / f"{int(sample['eeg_id'])}.parquet")
        begin = int(sample["eeg_start"])
        window = eeg[begin : begin + 10_000]
        stored = inputs.gather(np.array([row]), "signals_200hz")
        assert stored.shape == (1, 10_000, 8)
        np.testing.assert_array_equal(stored[0], signals_200hz(window).astype(np.float16))
        # Filtered when asked for, the crop is that of the whole recording filtered first.
        recipe = load_recipe("demo", **RAW, band=[0.5, 12.0], crop_seconds=10)
        (crop,) = gather_parts(lambda kind, row=row: inputs.gather(np.array([row]), kind), recipe)
        expected = raw_signals(window, band=(0.5, 12.0), seconds=10)
        np.testing.assert_allclose(crop[0], expected, atol=0.02)
        # Without a band the low-pass takes its place, both as the recipe says.
        recipe = load_recipe("demo", **RAW, crop_seconds=10, low_pass=20, filter_order=2)
        (crop,) = gather_parts(lambda kind, row=row: inputs.gather(np.array([row]), kind), recipe)
        wide_row = signals_200hz(window)[None]
        expected = view_signals(wide_row, rate=200.0, low_pass=20.0, order=2, crop=2000)
        np.testing.assert_allclose(crop, expected, atol=0.02)
        assert np.abs(crop - view_signals(wide_row, rate=200.0, crop=2000)).max() > 0.1
    assert inputs.digest != open_inputs(*stages).digest
    before = (wide / "manifest.json").stat().st_mtime_ns
    assert store_signals_200hz(root / "data", stages[0], root, n_jobs=1) == wide
    assert (wide / "manifest.json").stat().st_mtime_ns == before, "made once"
    assert read_manifest(wide).facts["samples"] == len(inputs.samples)


def test_a_crop_without_the_signals_at_200_hz_is_refused_before_training(run):
    _, stages, wide = run
    recipe = load_recipe("demo", **RAW, crop_seconds=10)
    with pytest.raises(ConfigError, match="signals at 200 Hz are not stored"):
        check_training(recipe, open_inputs(*stages))
    assert check_training(recipe, open_inputs(*stages, wide)) == (0, 1)


def test_signals_200hz_of_another_run_are_refused(run, tmp_path):
    root, stages, wide = run
    other = port_data(root / "data", tmp_path, n_folds=2, seed=5, sampling="non_overlapping", n_jobs=1)
    strange = store_signals_200hz(root / "data", other, tmp_path, n_jobs=1)
    with pytest.raises(ArtefactError, match="made from another 01_port_data"):
        open_inputs(*stages, strange)
    assert wide != strange


def test_the_starter_image_is_made_from_the_stored_rows(run):
    root, stages, _ = run
    inputs = open_inputs(*stages)
    rows = np.array([3, 0])
    images = inputs.gather(rows, "starter")
    assert images.shape == (2, 400, 300, 3) and images.dtype == np.float32
    for image, row in zip(images, rows, strict=True):
        sample = inputs.samples.iloc[row]
        power = read_spectrogram(root / "data" / "train_spectrograms" / f"{int(sample['spectrogram_id'])}.parquet")
        start = int(sample["spectrogram_row"])
        np.testing.assert_allclose(image, starter_layout(power[start : start + 300]), atol=0.02)
    assert isinstance(inputs.samples, pd.DataFrame)
