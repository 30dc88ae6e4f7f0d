import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.errors import ConfigError
from hbaclib.models.efficientnet import (
    DEPTHS_AND_TOPS,
    efficientnet_features,
    find_own_weights,
    find_weights,
    quiet_import,
    spread_kernel,
)

SIDE = 64


# Counts with the 1000-class top, from the facts about the seed system.
@pytest.mark.parametrize(
    ("variant", "count"),
    [("B0", 5_330_564), ("B1", 7_856_232), ("B2", 9_177_562), ("B3", 12_320_528), ("B4", 19_466_816)],
)
def test_published_parameter_counts(variant, count):
    features = efficientnet_features((SIDE, SIDE, 3), variant=variant)
    width = features.output_shape[1]
    assert features.count_params() + 1000 * (width + 1) == count


def test_parameter_count_of_the_whole_package_model():
    assert getattr(quiet_import("efficientnet.tfkeras"), "EfficientNetB0")(weights=None).count_params() == 5_330_564  # noqa: B009


def test_blocks_with_a_shortcut_begin_as_the_shortcut():
    import keras

    features = efficientnet_features((SIDE, SIDE, 4), variant="B2")
    sums = [layer for layer in features.layers if isinstance(layer, keras.layers.Add)]
    assert len(sums) == 16  # 23 blocks in 7 groups; the first of each group has no shortcut
    images = np.random.default_rng(0).standard_normal((2, SIDE, SIDE, 4)).astype(np.float32)
    parts = keras.Model(features.input, [[*layer.input, layer.output] for layer in sums])(images)
    for branch, shortcut, whole in parts:
        # The two inputs of a sum have no fixed order.
        given = [part.numpy() for part in (branch, shortcut)]
        assert sorted(bool(part.any()) for part in given) == [False, True]
        np.testing.assert_array_equal(whole, sum(given))
    plain = efficientnet_features((SIDE, SIDE, 4), variant="B2", zero_residual=False)
    assert all(layer.gamma.numpy().all() for layer in plain.layers if "bn" in layer.name)


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """A weight file as Keras 2 wrote it, an image and the features that Keras 2 computes of it."""
    folder = tmp_path_factory.mktemp("weights")
    script = f"""
        import warnings
        warnings.simplefilter("ignore")
        import numpy as np
        import tf_keras
        import efficientnet
        from efficientnet import model
        # The package's own model code, with the modules of Keras 2 (tf_keras).
        parts = dict(backend=tf_keras.backend, layers=tf_keras.layers, models=tf_keras.models, utils=tf_keras.utils)
        tf_keras.utils.set_random_seed(1)
        network = model.EfficientNetB0(
            include_top=False, weights=None, input_shape=({SIDE}, {SIDE}, 3), pooling="avg", **parts
        )
        rng = np.random.default_rng(0)
        for layer in network.layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                n = layer.gamma.shape[0]
                gamma, variance = rng.uniform(0.5, 1.5, (2, n))
                layer.set_weights([gamma, *rng.normal(0, 0.2, (2, n)), variance])
        images = rng.standard_normal((3, {SIDE}, {SIDE}, 3)).astype("float32")
        images *= np.array([0.2, 1, 5], "float32")[:, None, None, None]
        network.save_weights("efficientnet-b0_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5")
        np.savez("expected.npz", images=images, features=network.predict(images, verbose=0))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=folder, check=True, capture_output=True)
    return folder


def file_of(folder):
    return find_weights("efficientnet-b0", folder)


def test_legacy_weights_give_equal_outputs(legacy):
    expected = np.load(legacy / "expected.npz")
    model = build_model("efficientnet_b0", "tiled", weights=file_of(legacy), shape=(SIDE, SIDE, 3))
    features = model.get_layer("efficientnet-b0")(expected["images"]).numpy()
    assert expected["features"].std(axis=0).max() > 0.05
    np.testing.assert_allclose(features, expected["features"], atol=2e-5)


@pytest.mark.parametrize("inputs", ["both", "eeg"])
def test_stem_keeps_the_response_to_grey(legacy, inputs):
    expected = np.load(legacy / "expected.npz")
    grey = expected["images"][..., :1]
    rgb = build_model("efficientnet_b0", "tiled", weights=file_of(legacy), shape=(SIDE, SIDE, 3))
    planes = 8 if inputs == "both" else 4
    stem = build_model("efficientnet_b0", "stem", inputs, weights=legacy, shape=(SIDE, SIDE, planes))
    found = stem.get_layer("efficientnet-b0")(np.repeat(grey, planes, axis=-1)).numpy()
    wanted = rgb.get_layer("efficientnet-b0")(np.repeat(grey, 3, axis=-1)).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_spread_kernel():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 4)).astype(np.float32)
    wide = spread_kernel(kernel, 8)
    assert wide.shape == (3, 3, 8, 4) and wide.dtype == np.float32
    np.testing.assert_allclose(wide.sum(axis=2), kernel.sum(axis=2), atol=1e-5)


def test_weights_that_do_not_fit_are_refused_by_name(legacy, tmp_path):
    with pytest.raises(ConfigError, match=r"not the weights of efficientnet-b1; layers it lacks: block1b"):
        build_model("efficientnet_b1", weights=file_of(legacy), shape=(SIDE, SIDE, 8))
    wrong = tmp_path / "wrong.h5"
    wrong.write_bytes(file_of(legacy).read_bytes())
    with h5py.File(wrong, "r+") as file:
        group = file["block2a_project_conv"]
        name = group.attrs["weight_names"][0]
        value = group[name][..., :7]
        del group[name]
        group[name] = value
    with pytest.raises(ConfigError, match=r"block2a_project_conv has shapes \[\(1, 1, 96, 7\)\], expected"):
        build_model("efficientnet_b0", weights=wrong, shape=(SIDE, SIDE, 8))
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(ConfigError, match="not a legacy Keras weight file"):
        build_model("efficientnet_b0", weights=tmp_path / "text.h5", shape=(SIDE, SIDE, 8))


def skeleton(path, variant):
    """A weight file in the published layout that holds the names and shapes of a network's layers, and no weights."""
    features = efficientnet_features((32, 32, 3), variant=variant.upper())
    with h5py.File(path, "w") as file:
        layers = [layer for layer in features.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name, shape=tuple(weight.shape), dtype="float16", chunks=True)
    return path


@pytest.mark.slow
def test_weights_of_another_variant_are_refused_before_anything_is_built(tmp_path, monkeypatch):
    files = {variant: skeleton(tmp_path / f"{variant}.h5", variant) for variant in DEPTHS_AND_TOPS}
    monkeypatch.setattr("hbaclib.models.efficientnet.quiet_import", lambda name: pytest.fail("built"))
    for variant in files:
        for other, file in files.items():
            if other == variant:
                assert find_own_weights(f"efficientnet-{variant}", file) == file
                continue
            with pytest.raises(ConfigError, match=f"{other}.h5: not the weights of efficientnet-{variant}; layer"):
                find_own_weights(f"efficientnet-{variant}", file)
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(ConfigError, match="not a legacy Keras weight file"):
        find_own_weights("efficientnet-b0", tmp_path / "text.h5")


def test_weights_that_are_nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    with pytest.raises(ConfigError, match=r"found no efficientnet-b0_noisy-student_notop\.h5 in"):
        find_weights("efficientnet-b0", "noisy-student")
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path / "input"))
    attached = tmp_path / "input" / "datasets" / "someone" / "weights" / "efficientnet-b0_noisy-student_notop.h5"
    attached.parent.mkdir(parents=True)
    attached.touch()
    assert find_weights("efficientnet-b0", "noisy-student") == attached
    with pytest.raises(ConfigError, match=r"name the file's path"):
        find_weights("efficientnet-b0", tmp_path / "none")


@pytest.mark.parametrize(
    ("weights", "file", "folder"),
    [
        (
            "imagenet",
            "efficientnet-b0_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5",
            "https://github.com/Callidior/keras-applications/releases/download/efficientnet/",
        ),
        (
            "noisy-student",
            "efficientnet-b0_noisy-student_notop.h5",
            "https://github.com/qubvel/efficientnet/releases/download/v0.0.1/",
        ),
    ],
)
def test_only_on_kaggle_weights_are_downloaded_and_the_log_says_so(
    tmp_path, monkeypatch, caplog, weights, file, folder
):
    import keras

    asked = []

    def get_file(fname, origin, **options):
        asked.append((fname, origin))
        return str(tmp_path / fname)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path / "input"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    with pytest.raises(ConfigError, match="found no efficientnet-b0"):
        find_weights("efficientnet-b0", weights)
    assert asked == []
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    with caplog.at_level("WARNING"):
        assert find_weights("efficientnet-b0", weights) == tmp_path / file
    assert asked == [(file, folder + file)]
    (record,) = caplog.records
    assert record.levelname == "WARNING" and f"downloading {folder}{file}" in record.getMessage()

    def offline(fname, origin, **options):
        # As Keras raises it without a network.
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(ConfigError) as caught:
        find_weights("efficientnet-b0", weights)
    message = str(caught.value)
    assert f"{folder}{file} cannot be downloaded (URL fetch failure" in message and "attach a data set" in message
