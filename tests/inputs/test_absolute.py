"""Images that keep amplitudes: what they mean, and that stored and computed ones are the same."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib.artefacts import read_manifest
from hbaclib.errors import ConfigError
from hbaclib.inputs.store import open_inputs
from hbaclib.prediction.ensemble_predictor import prepare
from hbaclib.prediction.predictor import SHAPES
from hbaclib.signal.images import on_common_scale, region_scales, spectrogram_image
from hbaclib.signal.mel import absolute_spectrogram, eeg_spectrogram
from hbaclib.stages.eeg_products import store_eeg_products, stored_images
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.port import port_data
from hbaclib.suite.prerequisites import eeg_products
from tests.dataset.tiny import random_eeg, random_spectrogram, write_tiny

LEFT, RIGHT = [0, 2], [1, 3]


def louder_on_the_left(factor: float = 10.0) -> np.ndarray:
    from hbaclib.conventions import EEG_COLUMNS, LEFT_ELECTRODES

    eeg = random_eeg(np.random.default_rng(0))
    eeg[:, [EEG_COLUMNS.index(name) for name in LEFT_ELECTRODES]] *= factor
    return eeg


def test_the_louder_side_is_brighter_and_was_not() -> None:
    eeg = louder_on_the_left()
    field, ours = eeg_spectrogram(eeg), absolute_spectrogram(eeg)
    # Ten times the amplitude are 20 dB, half a unit of the scale.
    assert ours[..., LEFT].mean() - ours[..., RIGHT].mean() == pytest.approx(0.5, abs=0.03)
    assert abs(field[..., LEFT].mean() - field[..., RIGHT].mean()) < 0.05


def test_how_loud_the_whole_recording_is_does_not_count() -> None:
    eeg = louder_on_the_left()
    np.testing.assert_allclose(absolute_spectrogram(eeg), absolute_spectrogram(2 * eeg), atol=1e-4)
    assert absolute_spectrogram(eeg).mean() == pytest.approx(0, abs=1e-5)


def test_alone_and_in_a_batch_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    eegs = np.stack([random_eeg(rng) for _ in range(3)])
    np.testing.assert_array_equal(absolute_spectrogram(eegs)[1], absolute_spectrogram(eegs[1]))


def test_a_common_scale_keeps_the_louder_region() -> None:
    rows = random_spectrogram(np.random.default_rng(0))
    rows[:, :100] *= 20
    rows[5:9, 100:200] = np.nan
    own, common = spectrogram_image(rows), on_common_scale(spectrogram_image(rows), region_scales(rows))
    logs = np.log(np.clip(rows, np.exp(-4), np.exp(8)))
    expected = (logs - np.nanmean(logs)) / (np.nanstd(logs) + 1e-6) / 2
    inner = slice(22, -22)
    for region in range(4):
        there = expected[inner, region * 100 : (region + 1) * 100].T
        known = np.isfinite(there)
        np.testing.assert_allclose(common[14:-14, :, region][known], there[known], atol=1e-4)
    assert abs(own[..., 0].mean() - own[..., 1].mean()) < 0.05 < common[..., 0].mean() - common[..., 1].mean()
    assert not common[:14].any() and not common[-14:].any()


@pytest.mark.parametrize("spoil", [np.nan, 0.0, 1.0])
def test_nothing_there_is_nothing_on_any_scale(spoil) -> None:
    rows = np.full((300, 400), spoil, np.float32)
    assert not on_common_scale(spectrogram_image(rows), region_scales(rows)).any()
    rows = random_spectrogram(np.random.default_rng(0))
    rows[:, 100:200] = np.nan
    image = on_common_scale(spectrogram_image(rows), region_scales(rows))
    assert np.isfinite(image).all() and not image[..., 1].any() and image[..., 0].any()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("absolute")
    write_tiny(root / "data")
    return root, port_data(root / "data", root, n_folds=2, n_jobs=1)


def test_stored_is_computed(made) -> None:
    root, port = made
    eeg = store_eeg_products(root / "data", port, root / "both", images=["absolute", "pair"], n_jobs=1)
    assert stored_images(eeg) == ("pair", "absolute")
    inputs = open_inputs(port, eeg, store_kaggle_images(port, root / "both", n_jobs=1))
    from hbaclib.recordings.parquet import load_eeg

    sample = inputs.samples.iloc[0]
    values, _ = load_eeg(root / "data/train_eegs" / f"{int(sample['eeg_id'])}.parquet")
    window = values[int(sample["eeg_start"]) :][None, :10_000]
    begin = inputs.spectrogram_starts[0]
    rows = np.exp(inputs.spectrogram_rows[begin : begin + 300].astype(np.float32))[None]
    kinds = {"both", "both_absolute", "eeg_absolute", "kaggle_absolute"}
    computed = prepare(kinds, window, rows)
    for kind in kinds:
        found = inputs.gather(np.array([0]), kind)
        assert found.shape[1:] == SHAPES[kind] and found.dtype == np.float32
        np.testing.assert_allclose(found, computed[kind], atol=4e-3, err_msg=kind)
    half = inputs.gather(np.array([0, 1]), "both_absolute", np.float16)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half.astype(np.float32), inputs.gather(np.array([0, 1]), "both_absolute"))


def test_what_is_not_stored_is_named(made) -> None:
    root, port = made
    eeg = store_eeg_products(root / "data", port, root / "one", images=["absolute"], n_jobs=1)
    assert sorted(path.name for path in eeg.glob("*.npy")) == ["eeg_absolute.npy", "raw_signals.npy"]
    inputs = open_inputs(port, eeg, store_kaggle_images(port, root / "one", n_jobs=1))
    assert inputs.image == "absolute"
    np.testing.assert_array_equal(inputs.gather(np.array([0])), inputs.gather(np.array([0]), "both_absolute"))
    with pytest.raises(ConfigError, match="image 'pair' of the EEG is not stored; run 02_eeg_spectrograms"):
        inputs.gather(np.array([0]), "eeg")


@pytest.mark.parametrize("images", [[], ["pairs"], "pair", ["pair", "relative"]])
def test_an_unknown_image_is_refused(made, images) -> None:
    root, port = made
    with pytest.raises(ConfigError, match="expected a list of 'pair' and 'absolute'"):
        store_eeg_products(root / "data", port, root / "none", images=images)
    assert not (root / "none").exists()


def test_a_stage_without_the_image_is_made_again_with_both(made, capsys) -> None:
    root, _ = made
    out = root / "again"
    port_data(root / "data", out, n_folds=2, n_jobs=1)
    first = eeg_products(out, str(root / "data"), ["pair"])
    time = (first / "manifest.json").stat().st_mtime_ns
    assert eeg_products(out, str(root / "data"), ["pair"]) == first
    assert (first / "manifest.json").stat().st_mtime_ns == time
    second = eeg_products(out, str(root / "data"), ["absolute"])
    assert read_manifest(second).parameters == {"images": ["pair", "absolute"]}
    assert "computing absolute as well" in capsys.readouterr().out
