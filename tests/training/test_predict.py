import numpy as np
import pandas as pd
import pytest

from hbaclib import predict
from hbaclib.conventions import PREDICTION_COLUMNS, REGION_SWAP
from hbaclib.errors import ArtefactError, DataError
from hbaclib.inputs.images import assemble_input
from hbaclib.training import predict as module
from hbaclib.training.cross_validate import train
from hbaclib.training.predict import Predictor, predict_arrays, predict_members
from tests.training.tiny import TinyArrays, tiny_recipe


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays()


@pytest.fixture(scope="module")
def folder(arrays, tmp_path_factory):
    return train(tiny_recipe(), arrays, tmp_path_factory.mktemp("run") / "both", progress=False)


@pytest.fixture(scope="module")
def eeg_folder(arrays, tmp_path_factory):
    recipe = tiny_recipe(inputs="eeg", tta=["left_right_swap"])
    return train(recipe, arrays, tmp_path_factory.mktemp("run") / "eeg", progress=False)


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    eeg = rng.normal(0, 30, (7, 10_000, 20)).astype(np.float32)
    eeg[2, :500, 3] = np.nan
    return eeg, rng.gamma(0.5, 5, (7, 300, 400)).astype(np.float32)


@pytest.mark.parametrize("inputs", ["both", "eeg"])
def test_stored_predictions_come_back_from_the_stored_weights(inputs, folder, eeg_folder, arrays):
    """A fold's network, read from disk, gives the fold's stored out-of-fold predictions, averaged views included."""
    chosen = {"both": folder, "eeg": eeg_folder}[inputs]
    oof = pd.read_parquet(chosen / "fold-0.oof.parquet")
    rows = np.flatnonzero(arrays.samples["patient_id"].map(arrays.folds) == 0)
    both = Predictor.load(chosen)
    alone = Predictor(both.recipe, both.models[:1]).predict(arrays.gather(rows, inputs))
    np.testing.assert_allclose(alone, oof[list(PREDICTION_COLUMNS)], atol=1e-6)


def test_mean_over_the_folds(folder, arrays):
    both = Predictor.load(folder)
    images = arrays.gather(np.arange(6))
    parts = [Predictor(both.recipe, [model]).predict(images) for model in both.models]
    assert len(parts) == 2 and np.abs(parts[0] - parts[1]).max() > 1e-3
    np.testing.assert_allclose(both.predict(images), np.mean(parts, axis=0), atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_a_prediction_does_not_depend_on_its_batch(folder, arrays, n):
    images = arrays.gather(np.arange(9))
    whole = predict_arrays(folder, images)
    assert whole.shape == (9, 6) and whole.dtype == np.float32 and whole.std(axis=0).max() > 1e-3
    np.testing.assert_array_equal(predict_arrays(folder, images[:n]), whole[:n])
    np.testing.assert_array_equal(predict_arrays(folder, images[::-1])[::-1], whole)


def test_no_rows(folder, windows):
    eeg, spectrogram = windows
    assert predict_arrays(folder, np.zeros((0, 128, 256, 8), np.float32)).shape == (0, 6)
    assert predict(folder, eeg[:0], spectrogram[:0]).shape == (0, 6)


def test_from_recordings_as_from_assembled_inputs(folder, windows, monkeypatch):
    eeg, spectrogram = windows
    images = np.stack([assemble_input(rows, part) for rows, part in zip(spectrogram, eeg, strict=True)])
    found = predict(folder, eeg, spectrogram)
    np.testing.assert_allclose(found, predict_arrays(folder, images), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    # In several chunks, and recording by recording.
    monkeypatch.setattr(module, "_CHUNK", 3)
    np.testing.assert_array_equal(predict(folder, eeg, spectrogram), found)
    np.testing.assert_array_equal(predict(folder, eeg[2:3], spectrogram[2:3]), found[2:3])


def test_views_are_averaged(eeg_folder, arrays):
    images = arrays.gather(np.arange(5), "eeg")
    predictor = Predictor.load(eeg_folder)
    assert predictor.recipe.tta == ("left_right_swap",)
    plain = Predictor(tiny_recipe(inputs="eeg"), predictor.models)
    mean = (plain.predict(images) + plain.predict(images[..., list(REGION_SWAP)])) / 2
    np.testing.assert_allclose(predictor.predict(images), mean, atol=1e-6)
    # The mean of both views does not know left from right.
    np.testing.assert_allclose(predictor.predict(images[..., list(REGION_SWAP)]), predictor.predict(images), atol=1e-6)


def test_without_spectrograms_only_eeg_networks_serve(folder, eeg_folder, windows):
    eeg, spectrogram = windows
    assert predict(eeg_folder, eeg).shape == (7, 6)
    with pytest.raises(DataError, match="see Kaggle spectrograms"):
        predict(folder, eeg)
    members = {"both": folder, "eeg": eeg_folder}
    assert set(predict_members(members, eeg, spectrogram)) == {"both", "eeg"}
    alone = predict_members(members, eeg)
    assert set(alone) == {"eeg"}
    np.testing.assert_array_equal(alone["eeg"], predict(eeg_folder, eeg))


def test_ensemble_folder(folder, eeg_folder, windows, tmp_path):
    from hbaclib.evaluation.ensemble import ensemble_stage, load_ensemble

    eeg, spectrogram = windows
    stage = ensemble_stage([folder, eeg_folder], tmp_path / "07_ensemble", weights={"both": 0.25, "eeg": 0.75})
    found = predict(stage, eeg, spectrogram)
    parts = [predict(part, eeg, spectrogram) for part in (folder, eeg_folder)]
    np.testing.assert_allclose(found, load_ensemble(stage).predict(np.stack(parts), ["both", "eeg"]), atol=1e-6)
    np.testing.assert_allclose(predict(stage, eeg), parts[1], atol=1e-6)


def test_faults_are_named(folder, windows, tmp_path):
    eeg, spectrogram = windows
    with pytest.raises(DataError, match=r"eeg has shape \(7, 10000, 19\), expected \(n, 10000, 20\)"):
        predict(folder, eeg[..., :19], spectrogram)
    with pytest.raises(DataError, match="7 EEGs but 6 spectrograms"):
        predict(folder, eeg, spectrogram[1:])
    with pytest.raises(ArtefactError, match="has not finished"):
        predict(tmp_path, eeg, spectrogram)
    with pytest.raises(DataError, match=r"'both' inputs have shape \(2, 64, 64, 8\), expected \(n, 128, 256, 8\)"):
        predict_arrays(folder, np.zeros((2, 64, 64, 8)))
