"""Labels from other networks and weights from trained parts: right where due, refused where they would leak."""

import numpy as np
import pandas as pd
import pytest

from hbaclib import build_model, register_model
from hbaclib.conventions import PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, LeakError
from hbaclib.models.registry import all_layers
from hbaclib.models.wavenet import wavenet_trunk
from hbaclib.training.cross_validate import check_training, train
from hbaclib.training.labels import load_pseudo_labels, training_labels
from hbaclib.training.losses import smooth_labels
from hbaclib.training.predict import Predictor
from hbaclib.training.pseudo_labels import make_pseudo_labels
from hbaclib.training.recipe import load_recipe
from hbaclib.training.trained import held_out_patients
from hbaclib.training.warm_start import start_from
from tests.training.tiny import TinyArrays, tiny_recipe


class Signals(TinyArrays):
    """The tiny arrays with raw signals beside the images: the class is the amplitude of the first signals."""

    def gather(self, rows, inputs="both", dtype=np.float32):
        if inputs != "raw":
            return super().gather(rows, inputs, dtype)
        noise = np.random.default_rng(9).standard_normal((len(self.samples), 2000, 8)).astype(np.float32)
        level = self.samples[list(VOTE_COLUMNS)].to_numpy().argmax(axis=1)
        return (noise * (0.2 + level[:, None, None] / 6))[rows].astype(np.float32)


def quick(**changes):
    return tiny_recipe(stages=[{"epochs": 1, "steps": 2}], ema=0.0, batch_norm_batches=0, **changes)


@pytest.fixture(scope="module")
def arrays():
    return TinyArrays()


@pytest.fixture(scope="module")
def member(arrays, tmp_path_factory):
    return train(quick(), arrays, tmp_path_factory.mktemp("trained") / "tiny", progress=False)


@pytest.fixture(scope="module")
def pseudo(member, arrays, tmp_path_factory):
    return make_pseudo_labels([member], arrays, tmp_path_factory.mktemp("pseudo") / "labels", up_to=9)


def test_held_out_patients_are_those_of_the_fold(member, arrays):
    for fold in (0, 1):
        assert set(held_out_patients(member, fold)) == set(arrays.folds.index[arrays.folds == fold])


def test_each_fold_gets_its_labels_from_the_networks_that_left_it_out(member, arrays, pseudo):
    fold_of = arrays.samples["patient_id"].map(arrays.folds).to_numpy()
    few = arrays.samples["n_votes"].to_numpy() <= 9
    for fold in (0, 1):
        labels = load_pseudo_labels(pseudo, arrays.samples, arrays.folds, fold)
        there = np.isfinite(labels).all(axis=1)
        np.testing.assert_array_equal(there, few & (fold_of != fold))
        np.testing.assert_allclose(labels[there].sum(axis=1), 1, atol=1e-5)
        rows = np.flatnonzero(there)
        expected = Predictor.load(member, folds=[fold]).predict(arrays.gather(rows))
        np.testing.assert_allclose(labels[rows], expected, atol=1e-6)
        other = Predictor.load(member, folds=[1 - fold]).predict(arrays.gather(rows))
        assert np.abs(labels[rows] - other).max() > 1e-4


def test_labels_are_mixed_by_the_stated_weight(arrays, pseudo):
    recipe = quick(pseudo_weight=0.25, pseudo_up_to=9, label_smoothing=0.0)
    labels = training_labels(recipe, arrays.samples, arrays.folds, 0, pseudo)
    given = load_pseudo_labels(pseudo, arrays.samples, arrays.folds, 0)
    votes = arrays.samples[list(VOTE_COLUMNS)].to_numpy()
    there = np.isfinite(given[:, 0])
    np.testing.assert_allclose(labels[there], 0.75 * votes[there] + 0.25 * given[there], atol=1e-6)
    np.testing.assert_allclose(labels[~there], votes[~there], atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    plain = training_labels(quick(), arrays.samples, arrays.folds, 0)
    np.testing.assert_allclose(plain, smooth_labels(votes, 0.02), atol=1e-6)


def test_a_planted_leak_is_refused(member, arrays, pseudo, tmp_path):
    leaky = TinyArrays()
    leaky.folds = leaky.folds.copy()
    moved, other = leaky.folds.index[leaky.folds == 1][0], leaky.folds.index[leaky.folds == 0][0]
    leaky.folds.loc[moved], leaky.folds.loc[other] = 0, 1  # the networks of fold 0 were trained on `moved`
    with pytest.raises(LeakError, match=f"fold 0: patient {moved} was trained on and is scored"):
        make_pseudo_labels([member], leaky, tmp_path / "leaky")
    assert not (tmp_path / "leaky").exists()
    with pytest.raises(LeakError, match=f"patient {moved}"):
        load_pseudo_labels(pseudo, leaky.samples, leaky.folds, 0)
    recipe = quick(pseudo_weight=0.5)
    with pytest.raises(LeakError, match=f"patient {moved}"):
        train(recipe, leaky, tmp_path / "trained", pseudo_labels=pseudo, progress=False)
    with pytest.raises(LeakError, match=f"patient {moved}"):
        train(quick(start_from=[str(member)]), leaky, tmp_path / "trained", progress=False)


def test_out_of_fold_predictions_are_not_taken_for_pseudo_labels(member, arrays, pseudo, tmp_path):
    with pytest.raises(ArtefactError, match="holds stage 'train', expected 'pseudo_labels'"):
        load_pseudo_labels(member, arrays.samples, arrays.folds, 0)
    table = pd.read_parquet(pseudo / "pseudo_labels.parquet")
    assert list(table.columns) == ["fold", "eeg_id", "eeg_start", *PREDICTION_COLUMNS]
    with pytest.raises(ArtefactError, match="no pseudo-labels for fold 7"):
        load_pseudo_labels(pseudo, arrays.samples, arrays.folds, 7)


def test_recipe_and_pseudo_labels_must_agree(arrays, pseudo):
    with pytest.raises(ConfigError, match=r"pseudo_weight = 0\.5, but no pseudo-labels given"):
        check_training(quick(pseudo_weight=0.5), arrays)
    with pytest.raises(ConfigError, match=r"pseudo_weight = 0\.0, but the pseudo-labels"):
        check_training(quick(), arrays, pseudo_labels=pseudo)
    with pytest.raises(ConfigError, match="for networks that read the raw signals"):
        check_training(quick(band=[1.0, 8.0]), arrays)


def test_training_with_pseudo_labels_differs_and_is_kept_apart(member, arrays, pseudo, tmp_path):
    plain = pd.read_parquet(member / "oof.parquet")
    mixed = train(quick(pseudo_weight=0.9), arrays, tmp_path / "mixed", pseudo_labels=pseudo, progress=False)
    table = pd.read_parquet(mixed / "oof.parquet")
    assert table["patient_id"].equals(plain["patient_id"])
    assert not np.allclose(table[list(PREDICTION_COLUMNS)], plain[list(PREDICTION_COLUMNS)])
    np.testing.assert_array_equal(table[list(VOTE_COLUMNS)], plain[list(VOTE_COLUMNS)])  # scored on the votes


@pytest.mark.parametrize("way", ["pseudo-labels", "start_from"])
def test_folds_come_in_instalments_though_what_they_build_on_grows(arrays, tmp_path, way):
    """Fold 0 today, fold 1 tomorrow: what fold 0 was made from is the same tomorrow, though its folder has grown."""
    register_model("tiny_image", tiny_image)
    first, labels, second = tmp_path / "first", tmp_path / "labels", tmp_path / "second"
    times = []
    for fold in (0, 1):
        train(quick(backbone="tiny_image"), arrays, first, folds=[fold], progress=False)
        if way == "pseudo-labels":
            recipe, given = quick(backbone="tiny_image", pseudo_weight=0.5), make_pseudo_labels([first], arrays, labels)
        else:
            recipe, given = quick(backbone="tiny_image", start_from=[str(first)]), None
        train(recipe, arrays, second, folds=[fold], pseudo_labels=given, progress=False)
        times.append((second / "fold-0.weights.h5").stat().st_mtime_ns)
    assert times[0] == times[1]
    assert len(pd.read_parquet(second / "oof.parquet")) == len(arrays.samples)


def tiny_wave(shape):
    return wavenet_trunk(shape, filters=(4,), dilations=2)


def tiny_image(shape, *, filters=5):
    import keras

    given = keras.Input(shape)
    x = keras.layers.Conv2D(filters, 3, name="convolution")(keras.layers.AveragePooling2D(16)(given))
    return keras.Model(given, keras.layers.Flatten()(x), name="tiny_image")


def tiny_fused(shape, signal_shape):
    from hbaclib.models.fusion import fused_features

    return fused_features(shape, signal_shape, image=tiny_image, wavenet={"filters": (4,), "dilations": 2})


def part_weights(model, name):
    (part,) = [layer for layer in all_layers(model) if layer.name == name]
    return [np.array(value) for value in part.get_weights()]


def test_a_fusion_starts_from_its_trained_parts_and_trains_jointly(tmp_path):
    register_model("tiny_wave", tiny_wave, layouts=("raw",))
    register_model("tiny_image", tiny_image)
    register_model("tiny_fused", tiny_fused, with_signal=True)
    arrays, plain = Signals(), {"augmentation": {"left_right_swap": {"p": 0.5}}, "downsample": 1}
    wave = train(
        quick(backbone="tiny_wave", layout="raw", inputs="raw", band=[0.5, 10.0], **plain),
        arrays, tmp_path / "wave", progress=False,
    )  # fmt: skip
    image = train(quick(backbone="tiny_image", **plain), arrays, tmp_path / "image", progress=False)
    recipe = quick(backbone="tiny_fused", start_from=[str(wave), str(image)], tta=["left_right_swap"], **plain)
    weights = {}
    for fold in (0, 1):
        model = build_model("tiny_fused")
        start_from(model, recipe.start_from, fold, 0, arrays.samples, arrays.folds)
        for folder, part in ((wave, "wavenet_trunk"), (image, "tiny_image")):
            source = load_recipe(folder / "recipe.toml")
            trained = build_model(source.backbone, source.layout, source.inputs, **source.network_options())
            trained.load_weights(folder / f"fold-{fold}.weights.h5")
            weights[fold, part] = part_weights(model, part)
            for ours, theirs in zip(weights[fold, part], part_weights(trained, part), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    for part in ("wavenet_trunk", "tiny_image"):  # the folds' own networks, not one for all
        assert any(not np.array_equal(a, b) for a, b in zip(weights[0, part], weights[1, part], strict=True))
    fused = train(recipe, arrays, tmp_path / "fused", progress=False)
    table = pd.read_parquet(fused / "oof.parquet")
    rows = np.arange(7)
    both = {kind: arrays.gather(rows, kind) for kind in ("both", "raw")}
    predictor = Predictor.load(fused)
    assert predictor.kinds == ("both", "raw")
    shares = predictor.predict(both)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    one = predictor.predict({kind: part[2:3] for kind, part in both.items()})
    np.testing.assert_array_equal(one[0], shares[2])
    assert len(table) == len(arrays.samples)
    with pytest.raises(ConfigError, match="no part in common"):
        start_from(build_model("tiny"), [str(wave)], 0, 0, arrays.samples, arrays.folds)
