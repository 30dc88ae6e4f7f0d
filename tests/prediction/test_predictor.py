import tracemalloc
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hbaclib import predict
from hbaclib.conventions import PREDICTION_COLUMNS, REGION_SWAP
from hbaclib.ensemble.fit import Ensemble
from hbaclib.ensemble.pooling import Pool
from hbaclib.ensemble.store import ensemble_stage, load_ensemble
from hbaclib.errors import ArtefactError, DataError
from hbaclib.inputs.augment import left_right_swap
from hbaclib.inputs.pipeline import image_kind, signal_kind
from hbaclib.prediction import ensemble_predictor as module
from hbaclib.prediction import predictor as shapes
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.prediction.predictor import Predictor
from hbaclib.signal.images import assemble_input, starter_layout
from hbaclib.signal.raw import raw_signals, signals_200hz
from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe
from tests.training.tiny_signals import RAW, STARTER, SWAPPED, SignalArrays, quick

PLANES = {"eeg": 4, "both": 8}


def predict_arrays(folder, arrays):
    return Predictor.load(folder).predict(arrays)


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


@pytest.fixture(scope="module")
def signal_arrays():
    return SignalArrays()


def signals_of(function, eeg):
    """One recording after the other."""
    return np.stack([function(part) for part in eeg])


FAMILIES = {
    "raw": RAW,
    "raw band": {**RAW, "band": [0.5, 12.0]},
    "signals_200hz": {**RAW, "crop_seconds": 10},
    "signals_200hz band": {**RAW, "crop_seconds": 10, "band": [0.5, 12.0]},
    "starter": {"backbone": "tiny_image", **STARTER},
    "fusion": {"backbone": "tiny_fused"},
    "fusion of the eeg half": {"backbone": "tiny_fused", "inputs": "eeg"},
    "fusion with the starter's image": {"backbone": "tiny_fused", **STARTER},
    "fusion with a crop": {"backbone": "tiny_fused", "crop_seconds": 10},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_from_recordings_as_from_assembled_inputs(family, windows, signal_arrays, tmp_path, monkeypatch):
    """Networks on signals, on the starter's image, and on both kinds at once."""
    eeg, spectrogram = windows
    # Averaged over time one noise is like another: every recording has its amplitude, which grows to the end.
    eeg = eeg * np.linspace(0.2, 2, 7, dtype=np.float32)[:, None, None]
    eeg *= np.linspace(0, 2, 10_000, dtype=np.float32)[:, None]
    recipe = quick(**SWAPPED, tta=["left_right_swap"], **FAMILIES[family])
    folder = train(recipe, signal_arrays, tmp_path / "trained", folds=[0], progress=False)
    image, signal = image_kind(recipe), signal_kind(recipe)
    assembled = {}
    if image == "starter":
        assembled[image] = np.stack([starter_layout(rows) for rows in spectrogram])
    elif image:
        both = np.stack([assemble_input(rows, part) for rows, part in zip(spectrogram, eeg, strict=True)])
        assembled[image] = both[..., 4:] if image == "eeg" else both
    if signal:
        assembled[signal] = signals_of(signals_200hz if signal == "signals_200hz" else raw_signals, eeg)
    found = predict(folder, eeg, spectrogram)
    assert found.std(axis=0).max() > 1e-4, "a hundred times what is compared below"
    np.testing.assert_allclose(found, predict_arrays(folder, assembled), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    if image in ("", "eeg"):
        np.testing.assert_array_equal(predict(folder, eeg), found)  # the spectrograms are of no use to it
    else:
        with pytest.raises(DataError, match="see Kaggle spectrograms"):
            predict(folder, eeg)
    if family.startswith("signals_200hz"):
        # What the network gets is the middle of the recording, filtered before it is cut.
        band = tuple(recipe.band) or None
        crops = signals_of(lambda part: raw_signals(part, band=band, seconds=10), eeg)
        swapped = left_right_swap(crops.copy(), np.random.default_rng(0), p=1.0)
        shares = [model(view).numpy() for model in Predictor.load(folder).models for view in (crops, swapped)]
        np.testing.assert_allclose(found, np.mean(shares, axis=0), atol=1e-5)
    monkeypatch.setattr(module, "_CHUNK", 3)
    np.testing.assert_array_equal(predict(folder, eeg, spectrogram), found)
    np.testing.assert_array_equal(predict(folder, eeg[2:3], spectrogram[2:3]), found[2:3])


def test_a_hundred_thousand_recordings_in_one_pass_of_bounded_memory(monkeypatch):
    """Each chunk is prepared once, for all folds of all members, and no row leaves its place."""
    n, chunk, side = 100_000, module._CHUNK, 16
    eeg = np.broadcast_to(np.zeros(20, np.float32), (n, 10_000, 20))
    spectrogram = np.broadcast_to(np.zeros(400, np.float32), (n, 300, 400))
    prepared, calls = [], Counter()

    def prepare(kinds, part, rows):
        assert kinds == {"eeg", "both"} and len(rows) == len(part)
        first = sum(prepared)
        prepared.append(len(part))
        marks = np.arange(first, first + len(part), dtype=np.float32)[:, None, None, None]
        return {kind: np.broadcast_to(marks, (len(part), side, side, planes)) + 0 for kind, planes in PLANES.items()}

    def network(name, rise):
        def forward(images):
            calls[name] += 1
            assert images.shape == (64, side, side, 4 if name.startswith("eeg") else 8)
            share = images[:, 0, 0, 0].astype(np.float64) / n * rise
            return SimpleNamespace(numpy=lambda: np.stack([share, *[(1 - share) / 5] * 5], axis=1))

        return forward

    def member(kind, *rises):
        models = [network(f"{kind} {k}", rise) for k, rise in enumerate(rises)]
        return Predictor(tiny_recipe(inputs=kind, batch=64), models)

    for kind, planes in PLANES.items():
        monkeypatch.setitem(shapes.SHAPES, kind, (side, side, planes))
    monkeypatch.setattr(module, "prepare", prepare)
    members = {"eeg": member("eeg", 0.4, 0.8), "both": member("both", 0.2, 0.3, 0.4)}
    together = EnsemblePredictor({}, members, Ensemble(tuple(members), "linear weights", Pool(np.array([0.25, 0.75]))))
    tracemalloc.start()
    try:
        found = together.predict(eeg, spectrogram)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole, rest = divmod(n, chunk)
    assert prepared == [chunk] * whole + [rest]
    passes = whole * chunk // 64 + -(-rest // 64)
    assert calls == {f"{kind} {k}": passes for kind, folds in (("eeg", 2), ("both", 3)) for k in range(folds)}
    np.testing.assert_allclose(found[:, 0], (0.25 * 0.6 + 0.75 * 0.3) * np.arange(n) / n, atol=1e-6)
    # All prepared images at once would be over a gigabyte, the recordings 80; the result is 2 MB.
    assert peak < 50e6, f"{peak / 1e6:.0f} MB"


def test_views_are_averaged(eeg_folder, arrays):
    images = arrays.gather(np.arange(5), "eeg")
    predictor = Predictor.load(eeg_folder)
    assert predictor.recipe.tta == ("left_right_swap",)
    plain = Predictor(tiny_recipe(inputs="eeg"), predictor.models)
    mean = (plain.predict(images) + plain.predict(images[..., list(REGION_SWAP)])) / 2
    np.testing.assert_allclose(predictor.predict(images), mean, atol=1e-6)
    # The mean of both views does not know left from right.
    np.testing.assert_allclose(predictor.predict(images[..., list(REGION_SWAP)]), predictor.predict(images), atol=1e-6)


def test_without_spectrograms_only_eeg_networks_serve(folder, eeg_folder, windows, tmp_path):
    eeg, spectrogram = windows
    assert predict(eeg_folder, eeg).shape == (7, 6)
    with pytest.raises(DataError, match="see Kaggle spectrograms"):
        predict(folder, eeg)
    stage = ensemble_stage([folder, eeg_folder], tmp_path / "07_ensemble", weights={"both": 0.25, "eeg": 0.75})
    assert set(dict(EnsemblePredictor.open(stage).shares(eeg, spectrogram))) == {"both", "eeg"}
    alone = dict(EnsemblePredictor.open(stage, spectrograms=False).shares(eeg, None))
    assert set(alone) == {"eeg"}
    np.testing.assert_array_equal(alone["eeg"], predict(eeg_folder, eeg))


def test_ensemble_folder(folder, eeg_folder, windows, tmp_path):
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
    with pytest.raises(ArtefactError, match=r"no finished stage; expected manifest\.json"):
        predict(tmp_path, eeg, spectrogram)
    with pytest.raises(DataError, match=r"'both' inputs have shape \(2, 64, 64, 8\), expected \(n, 128, 256, 8\)"):
        predict_arrays(folder, np.zeros((2, 64, 64, 8)))
