"""Labels from other networks and weights from trained parts: right where due, refused where they would leak."""

import numpy as np
import pandas as pd
import pytest

from hbaclib import build_model, register_model
from hbaclib.compat.keras import flat_layers
from hbaclib.conventions import PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, LeakError
from hbaclib.models.fusion import fused_features
from hbaclib.prediction import pseudo_labels
from hbaclib.prediction.predictor import Predictor
from hbaclib.prediction.pseudo_labels import make_pseudo_labels
from hbaclib.training.cross_validate import check_training, train
from hbaclib.training.devices import configure
from hbaclib.training.losses import smooth_targets
from hbaclib.training.recipe import load_recipe
from hbaclib.training.targets import LABELS, load_pseudo_labels, training_targets
from hbaclib.training.trained_folder import TrainedFolder
from hbaclib.training.warm_start import start_from
from tests.training.tiny import TinyArrays
from tests.training.tiny_signals import RAW, STARTER, SWAPPED, SignalArrays, quick


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
        assert set(TrainedFolder.open(member).held_out(fold)) == set(arrays.folds.index[arrays.folds == fold])


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
    labels = training_targets(recipe, arrays.samples, arrays.folds, 0, pseudo)
    given = load_pseudo_labels(pseudo, arrays.samples, arrays.folds, 0)
    votes = arrays.samples[list(VOTE_COLUMNS)].to_numpy()
    there = np.isfinite(given[:, 0])
    np.testing.assert_allclose(labels[there], 0.75 * votes[there] + 0.25 * given[there], atol=1e-6)
    np.testing.assert_allclose(labels[~there], votes[~there], atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    plain = training_targets(quick(), arrays.samples, arrays.folds, 0)
    np.testing.assert_allclose(plain, smooth_targets(votes, 0.02), atol=1e-6)


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
    with pytest.raises(LeakError, match=f"patient {moved}"):  # asked where the weights are copied, whoever asked before
        start_from(build_model("tiny"), [member], 0, 0, leaky.samples, leaky.folds, recipe=quick())


def test_out_of_fold_predictions_are_not_taken_for_pseudo_labels(member, arrays, pseudo, tmp_path):
    with pytest.raises(ArtefactError, match="holds stage 'train', expected 'pseudo_labels'"):
        load_pseudo_labels(member, arrays.samples, arrays.folds, 0)
    table = pd.read_parquet(pseudo / "pseudo_labels.parquet")
    assert list(table.columns) == ["fold", "eeg_id", "eeg_start", *PREDICTION_COLUMNS]
    with pytest.raises(ArtefactError, match="no pseudo-labels for fold 7"):
        load_pseudo_labels(pseudo, arrays.samples, arrays.folds, 7)


def test_recipe_and_pseudo_labels_must_agree(arrays, pseudo):
    with pytest.raises(ConfigError, match=r"pseudo_weight = 0\.5, but no pseudo-labels were passed"):
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


def part_weights(model, name):
    (part,) = [layer for layer in flat_layers(model) if layer.name == name]
    return [np.array(value) for value in part.get_weights()]


FREE = {**SWAPPED, "downsample": 1}


def network_weights(folder, fold=0):
    """The trained network of a folder's fold."""
    recipe = load_recipe(folder / "recipe.toml")
    model = build_model(recipe.backbone, recipe.layout, recipe.inputs, **recipe.network_options())
    model.load_weights(folder / f"fold-{fold}.weights.h5")
    return model


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Arrays with signals, and trained folders of a WaveNet and of an image network."""
    root, arrays = tmp_path_factory.mktemp("parts"), SignalArrays()
    wave = train(quick(**RAW, **FREE), arrays, root / "wave", progress=False)
    image = train(quick(backbone="tiny_image", **FREE), arrays, root / "image", progress=False)
    return arrays, {"wavenet_trunk": wave, "tiny_image": image}


def test_a_fusion_starts_from_its_trained_parts(parts, tmp_path):
    arrays, folders = parts
    recipe = quick(backbone="tiny_fused", start_from=list(map(str, folders.values())), tta=["left_right_swap"], **FREE)
    weights = {}
    for fold in (0, 1):
        model = build_model("tiny_fused")
        start_from(model, recipe.start_from, fold, 0, arrays.samples, arrays.folds, recipe=recipe)
        for part, folder in folders.items():
            weights[fold, part] = part_weights(model, part)
            trained = part_weights(network_weights(folder, fold), part)
            for ours, theirs in zip(weights[fold, part], trained, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    for part in folders:  # the folds' own networks, not one for all
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
        start_from(
            build_model("tiny"),
            [folders["wavenet_trunk"]],
            0,
            0,
            arrays.samples,
            arrays.folds,
            recipe=quick(backbone="tiny"),
        )


def largest_change(model, other, part):
    """By how much the kernels of a part differ, the one that differs least."""
    pairs = zip(part_weights(model, part), part_weights(other, part), strict=True)
    return min(np.abs(a - b).max() for a, b in pairs if a.ndim > 1)


def test_training_goes_on_from_the_trained_parts_and_changes_both(parts, tmp_path):
    arrays, folders = parts
    recipe = quick(backbone="tiny_fused", start_from=list(map(str, folders.values())), **FREE)
    hardly = recipe.override({"stages.0.steps": 1, "stages.0.rates": [1e-8]})
    fresh = hardly.override({"start_from": []})
    started, plain, trained = (
        network_weights(train(chosen, arrays, tmp_path / name, folds=[0], progress=False))
        for name, chosen in {"started": hardly, "plain": fresh, "trained": recipe}.items()
    )
    for part, folder in folders.items():
        source = network_weights(folder)
        for ours, theirs in zip(part_weights(started, part), part_weights(source, part), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert largest_change(plain, source, part) > 1e-3, "a network of its own starts elsewhere"
        assert largest_change(trained, started, part) > 1e-4, "both parts learn, whichever was trained before"


@pytest.mark.parametrize(
    ("trained", "wanted", "message"),
    [
        (
            {**RAW, "crop_seconds": 10},
            {},
            r"part 'wavenet_trunk' was trained with crop_seconds \(rate of the signals\) = '200 Hz', expected '40 Hz'",
        ),
        (
            {**RAW, "band": [0.5, 10.0]},
            {},
            r"part 'wavenet_trunk' was trained with band \(or low_pass\) = \[0\.5, 10\.0\], expected \[0\.0, 16\.0\]",
        ),
        (
            {**RAW, "crop_seconds": 10, "low_pass": 20},
            {"crop_seconds": 10},
            r"band \(or low_pass\) = \[0\.0, 20\.0\], expected \[0\.0, 16\.0\]",
        ),
        (
            {**RAW, "downsample": 2},
            {"downsample": 2},  # of the image alone
            r"downsample \(of the signals\) = 2, expected 1",
        ),
        (
            {"backbone": "tiny_image", "inputs": "kaggle"},
            {"inputs": "eeg"},
            r"part 'tiny_image' was trained with inputs = 'kaggle', expected 'eeg' as recipe 'tiny' has",
        ),
        (
            {"backbone": "tiny_image", "layout": "tiled"},
            STARTER,
            r"part 'tiny_image' was trained with layout = 'tiled', expected 'starter'",
        ),
        (
            {"backbone": "tiny_fused", "band": [0.5, 10.0]},
            {},
            r"part 'tiny_image_wavenet' was trained with band \(or low_pass\) = \[0\.5, 10\.0\]",
        ),
        (
            {"backbone": "tiny_fused", "model_options": {"filters": [5]}},
            {},
            r"/kernel of part 'wavenet_trunk' has shape \(1, 1, 1, 5\), expected \(1, 1, 1, 4\)",
        ),
        (
            {"backbone": "tiny_image", "model_options": {"filters": 7}},
            {},
            r"part 'tiny_image' has shape \(3, 3, 8, 7\), expected \(3, 3, 8, 5\)",
        ),
    ],
)
def test_parts_trained_on_other_inputs_are_refused(parts, tmp_path, trained, wanted, message):
    arrays, _ = parts
    source = train(quick(**SWAPPED, **trained), arrays, tmp_path / "source", folds=[0], progress=False)
    recipe = quick(**SWAPPED, backbone="tiny_fused", start_from=[str(source)], **wanted)
    model = build_model(recipe.backbone, recipe.layout, recipe.inputs, **recipe.network_options())
    before = model.get_weights()
    with pytest.raises(ConfigError, match=message) as caught:
        start_from(model, recipe.start_from, 0, 0, arrays.samples, arrays.folds, recipe=recipe)
    assert str(source) in str(caught.value)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_training_does_not_begin_from_parts_trained_on_other_inputs(parts, tmp_path):
    arrays, _ = parts
    other = train(quick(**SWAPPED, **RAW, band=[0.5, 10.0]), arrays, tmp_path / "source", folds=[0], progress=False)
    with pytest.raises(ConfigError, match="part 'wavenet_trunk' was trained with band"):
        train(
            quick(**SWAPPED, backbone="tiny_fused", start_from=[str(other)]),
            arrays,
            tmp_path / "fusion",
            folds=[0],
            progress=False,
        )


@pytest.mark.parametrize(
    ("trained", "wanted", "copied"),
    [
        ({**RAW, "crop_seconds": 10}, {"crop_seconds": 20}, "wavenet_trunk"),  # the rate counts, not the length
        ({**RAW, "downsample": 1}, {"downsample": [2, 1]}, "wavenet_trunk"),
        ({"backbone": "tiny_image", "downsample": 2}, {"band": [0.5, 10.0]}, "tiny_image"),
        ({"backbone": "tiny_fused"}, {}, "tiny_image_wavenet"),
    ],
)
def test_parts_trained_on_the_same_inputs_are_taken(parts, tmp_path, caplog, trained, wanted, copied):
    arrays, _ = parts
    source = train(quick(**SWAPPED, **trained), arrays, tmp_path / "source", folds=[0], progress=False)
    recipe = quick(**SWAPPED, backbone="tiny_fused", start_from=[str(source)], **wanted)
    model = build_model(recipe.backbone, recipe.layout, recipe.inputs, **recipe.network_options())
    with caplog.at_level("INFO", "hbaclib.training.warm_start"):
        start_from(model, recipe.start_from, 0, 0, arrays.samples, arrays.folds, recipe=recipe)
    said = [record.getMessage() for record in caplog.records if record.name == "hbaclib.training.warm_start"]
    assert said == [f"tiny_fused: fold 0 starts with {copied} from {source / 'fold-0.weights.h5'}"]
    for ours, theirs in zip(part_weights(model, copied), part_weights(network_weights(source), copied), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_fusion_lends_its_wavenet_to_the_fusion_of_another_network(parts, tmp_path):
    """The inner models of all KerasCV networks bear one name: no part of their own, and no reason to refuse."""
    arrays, _ = parts

    def two(name):
        def features(shape, signal_shape):
            import keras

            given = keras.Input(shape)
            inner = keras.Sequential([keras.layers.Conv2D(len(name), 3, name="convolution")], name="backbone")
            x = keras.layers.GlobalAveragePooling2D()(inner(keras.layers.AveragePooling2D(16)(given)))
            return fused_features(
                shape, signal_shape, image=lambda _: keras.Model(given, x, name=name), wavenet={"filters": (4,)}
            )

        return features

    for name in ("short", "longer"):
        register_model(f"{name}_fused", two(name), with_signal=True)
    source = train(quick(**SWAPPED, backbone="short_fused"), arrays, tmp_path / "source", folds=[0], progress=False)
    recipe = quick(**SWAPPED, backbone="longer_fused", start_from=[str(source)])
    model = build_model("longer_fused")
    start_from(model, recipe.start_from, 0, 0, arrays.samples, arrays.folds, recipe=recipe)
    trained = part_weights(network_weights(source), "wavenet_trunk")
    for ours, theirs in zip(part_weights(model, "wavenet_trunk"), trained, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_pseudo_labels_are_made_as_their_networks_were_trained(member, arrays, pseudo, tmp_path, monkeypatch):
    """Threads, precision and memory of the devices are set before a network is built, whatever was set before."""
    import keras

    asked, built = [], []
    load = Predictor.load

    def watched(recipe, **options):
        asked.append((recipe, len(built)))
        return configure(recipe, **options)

    monkeypatch.setattr(pseudo_labels, "configure", watched)
    monkeypatch.setattr(Predictor, "load", lambda folder, **options: built.append(folder) or load(folder, **options))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = make_pseudo_labels([member], arrays, tmp_path / "labels", up_to=9)
        assert keras.config.dtype_policy().name == "float32"
    finally:
        keras.config.set_dtype_policy(before)
    assert asked == [(load_recipe(member / "recipe.toml"), 0), (load_recipe(member / "recipe.toml"), 1)]
    pd.testing.assert_frame_equal(*(pd.read_parquet(folder / LABELS) for folder in (made, pseudo)))
