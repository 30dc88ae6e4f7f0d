"""The registry of networks: names, input shapes, and the one head that all of them share.

A family's builder makes the *features*: a model from the input to one vector a sample. The registry puts the optional
downsampling before it and the float32 softmax head behind it, so that every network here has the same two ends, and
fusions can join features.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbaclib.compat.keras import flat_layers
from hbaclib.compat.keras_settings import check_keras
from hbaclib.conventions import CLASSES
from hbaclib.errors import ConfigError, unknown_name
from hbaclib.models.fused_norm import fuse_batch_norm
from hbaclib.models.soundness import weight_faults
from hbaclib.models.user_modules import import_all
from hbaclib.schema import PLAIN_NAME, is_plain_name, shown

if TYPE_CHECKING:
    import keras

    FeatureBuilder = Callable[..., keras.Model]

INPUT_SHAPES = {
    ("stem", "both"): (128, 256, 8),
    ("stem", "kaggle"): (128, 256, 4),
    ("stem", "eeg"): (128, 256, 4),
    ("tiled", "both"): (512, 512, 3),
    ("tiled", "kaggle"): (512, 256, 3),
    ("tiled", "eeg"): (512, 256, 3),
    ("starter", "kaggle"): (400, 300, 3),
    ("raw", "raw"): (2000, 8),
}
"""(layout, inputs) -> shape of one sample as the network takes it."""


PUBLISHED = ("imagenet", "noisy-student", "lite")
"""Weights that are meant by these names, not by a file's."""


@dataclass(frozen=True)
class Published:
    """Pretrained weights that anybody can download.

    Attributes:
        name: of the file, or of the folder's variant.
        address: where it is.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Family:
    """A registered network.

    Attributes:
        features: ``features(input_shape, **options)`` gives an uncompiled model from the input to (n, k) features.
        layouts: layouts it can take.
        load_weights: ``load_weights(features, weights)`` fills the features model with pretrained weights.
        find_weights: ``find_weights(weights)`` raises ConfigError where they are not found, or are another network's,
            without building anything.
        with_signal: whether the network takes the raw signals as a second input;
            ``features(input_shape, signal_shape, **options)`` then.
        published: ``published(weights)`` says where weights of that name are to be had, or those that a folder lacks;
            None where nobody publishes any.
    """

    features: FeatureBuilder
    layouts: tuple[str, ...]
    load_weights: Callable[[Any, str | Path], None] | None = None
    find_weights: Callable[[str | Path], Path] | None = None
    with_signal: bool = False
    published: Callable[[str], Published | None] | None = None

    @property
    def built_in(self) -> bool:
        """Whether the network belongs to the library."""
        function = getattr(self.features, "func", self.features)
        return getattr(function, "__module__", "").split(".")[0] == __name__.split(".")[0]


_FAMILIES: dict[str, Family] = {}
_BUILT_IN = tuple(
    f"hbaclib.models.{module}"
    for module in (
        "efficientnet",
        "efficientnet_lite",
        "convnet",
        "convnet_raw",
        "kerascv",
        "wavenet",
        "resnet1d_gru",
        "fusion",
    )
)


def built_in_names() -> list[str]:
    """Names of the library's own networks, each of which its module registers when it is imported."""
    for module in _BUILT_IN:
        import_module(module)
    return [name for name, family in _FAMILIES.items() if family.built_in]


def _families() -> dict[str, Family]:
    built_in_names()
    import_all()
    return _FAMILIES


def own_networks() -> dict[str, FeatureBuilder]:
    """The networks that are not the library's: name -> what builds their features."""
    return {name: family.features for name, family in sorted(_families().items()) if not family.built_in}


def register_model(
    name: str,
    features: FeatureBuilder,
    *,
    layouts: tuple[str, ...] = ("stem",),
    load_weights: Callable[[Any, str | Path], None] | None = None,
    find_weights: Callable[[str | Path], Path] | None = None,
    with_signal: bool = False,
    published: Callable[[str], Published | None] | None = None,
) -> None:
    """Add a network to the registry; recipes, training and prediction know it by its name from then on.

    Args:
        name: a new name.
        features: ``features(input_shape, **options)`` builds a model from the input to one vector a sample; the head
            is added by `build_model`.
        layouts: the layouts that the network can take.
        load_weights: fills the model that ``features`` made from pretrained weights.
        find_weights: finds their file, or raises ConfigError, before anything is built.
        with_signal: the network reads the raw signals beside the image; see `Family`.
        published: says where pretrained weights are to be had; see `Family`.

    Raises:
        ConfigError: the name belongs to a network of the library, or cannot be that of a folder; or a layout does not
            exist.
    """
    if not is_plain_name(name):
        raise ConfigError(f"a model is called {shown(name)}, expected {PLAIN_NAME}")
    known = list(dict.fromkeys(layout for layout, _ in INPUT_SHAPES))
    if not layouts or set(layouts) - set(known):
        raise ConfigError(f"model {name!r}: layouts {layouts!r}; known are {', '.join(known)}")
    family = Family(features, tuple(layouts), load_weights, find_weights, with_signal, published)
    # A user's own network may be registered again: a notebook's cell is run more than once.
    if name in _FAMILIES and _FAMILIES[name].built_in:
        raise ConfigError(f"model {name!r} belongs to the library; choose another name")
    _FAMILIES[name] = family


def model_names() -> tuple[str, ...]:
    """Names of all registered networks."""
    return tuple(sorted(_families()))


def input_shape(layout: str, inputs: str) -> tuple[int, ...]:
    """Shape of one sample as a network of this layout takes it.

    Raises:
        ConfigError: the layout does not exist for these inputs.
    """
    if (layout, inputs) not in INPUT_SHAPES:
        known = ", ".join(f"{a}/{b}" for a, b in INPUT_SHAPES)
        raise ConfigError(f"layout {layout!r} with inputs {inputs!r} does not exist; known are {known}")
    return INPUT_SHAPES[layout, inputs]


def family_of(name: str) -> Family:
    """The registry entry of a name.

    Raises:
        ConfigError: the name is unknown (with the close ones).
    """
    families = _families()
    if name not in families:
        raise unknown_name("model", name, families)
    return families[name]


def check_model(name: str, layout: str, inputs: str) -> Family:
    """The family of a name, checked to take this layout and these inputs.

    Raises:
        ConfigError: the name is unknown (with the close ones), or it does not take the layout.
    """
    family = family_of(name)
    if layout not in family.layouts:
        raise ConfigError(f"model {name!r} takes the layouts {', '.join(family.layouts)}, found {layout!r}")
    input_shape(layout, inputs)
    return family


def check_network(
    name: str, layout: str, inputs: str, weights: str | Path | None = None, **options: Any
) -> Path | None:
    """Check what `build_model` is to be called with, without building anything, which would start TensorFlow.

    Returns:
        The file or folder of the pretrained weights; None for none, or where the family has no search for them.

    Raises:
        ConfigError: as `build_model`, but of pretrained weights only what the family finds out without a network.
    """
    family = check_model(name, layout, inputs)
    own = {key: value for key, value in options.items() if key not in inspect.signature(build_model).parameters}
    try:
        inspect.signature(family.features).bind(*[()] * (1 + family.with_signal), **own)
    except TypeError as error:
        raise ConfigError(f"model {name!r} does not take model_options {sorted(own)} ({error})") from None
    if not weights:
        return None
    _check_place(family, name, weights)
    if family.load_weights is None:
        raise _no_weights(name, weights)
    return family.find_weights(weights) if family.find_weights else None


def _check_place(family: Family, name: str, weights: str | Path) -> None:
    """Refuse weights that are neither there nor published; what a user's own network takes, the user knows."""
    if family.built_in and family.load_weights and str(weights) not in PUBLISHED and not Path(weights).exists():
        raise ConfigError(
            f"weights {str(weights)!r}: no such file or folder; expected one with pretrained weights of {name}, or "
            f"{' or '.join(PUBLISHED)}"
        )


def _no_weights(name: str, weights: str | Path) -> ConfigError:
    return ConfigError(f"model {name!r} has no pretrained weights, found weights = {str(weights)!r}")


def build_model(
    name: str,
    layout: str = "stem",
    inputs: str = "both",
    weights: str | Path | None = None,
    *,
    downsample: int | Sequence[int] = 1,
    bn_momentum: float | None = None,
    dropout: float = 0.0,
    least_share: float = 0.0,
    classes: int = len(CLASSES),
    shape: tuple[int, ...] | None = None,
    signal_shape: tuple[int, ...] | None = None,
    **options: Any,
) -> keras.Model:
    """Build a network by its name.

    Args:
        name: one of `model_names`.
        layout: ``stem``, ``tiled``, ``starter`` or ``raw``: how the planes are laid out.
        inputs: ``both``, ``kaggle``, ``eeg`` or ``raw``: which data the network sees.
        weights: pretrained weights for the features: a file, a folder, or a published set's name; None for none.
        downsample: pixels (or samples) averaged into one before the network: one number for all axes, or one for
            frequency and one for time.
        bn_momentum: momentum of all batch-norm statistics; None keeps the family's own.
        dropout: rate before the last layer.
        least_share: no class gets less than this; 0 leaves the softmax as it is.
        classes: width of the softmax.
        shape: another input shape than the layout's, for instance a smaller image.
        signal_shape: the same for the raw signals of a fusion.
        options: further keyword arguments of the family's builder.

    Returns:
        An uncompiled model; its output is (n, classes) float32 and every row sums to 1, under any dtype policy. A
        fusion takes two inputs, the image and the raw signals.

    Raises:
        ConfigError: an unknown name (with the close ones), a layout, option or value that the network does not take,
            or weights that are not found or do not fit.
        PlatformError: Keras is set up for other networks.
    """
    family = check_model(name, layout, inputs)
    check_keras()
    import keras

    if not 0 <= least_share < 1 / classes:
        raise ConfigError(f"least_share is {least_share!r}, expected 0 <= value < 1/{classes}")
    first = keras.Input(tuple(shape or input_shape(layout, inputs)), name="image" if layout != "raw" else "signal")
    signal = [keras.Input(tuple(signal_shape or INPUT_SHAPES["raw", "raw"]), name="signal")] * family.with_signal
    scaled, axes = first, len(first.shape) - 2
    factors = (downsample,) if isinstance(downsample, int) else tuple(downsample)
    factors = factors * axes if len(factors) == 1 else factors
    if len(factors) != axes or min(factors) < 1:
        raise ConfigError(
            f"downsample is {downsample!r}, expected one number of at least 1, or one for each of {axes} axes"
        )
    try:
        if max(factors) > 1:
            pool = keras.layers.AveragePooling2D if axes == 2 else keras.layers.AveragePooling1D
            scaled = pool(factors, name="downsample")(first)
        features = family.features(*(tuple(part.shape[1:]) for part in (scaled, *signal)), **options)
    except ConfigError:
        raise
    except TypeError as error:
        raise ConfigError(f"model {name!r} does not take the options {sorted(options)} ({error})") from error
    except (ValueError, ArithmeticError) as error:  # a value that Keras does not take
        raise ConfigError(f"model {name!r} cannot be built ({' '.join(str(error).split())[:200]})") from error
    if weights:
        _check_place(family, name, weights)
        if family.load_weights is None:
            raise _no_weights(name, weights)
        family.load_weights(features, weights)
        if fault := weight_faults(features):
            raise ConfigError(f"weights {str(weights)!r}: {fault}")
    if bn_momentum is not None:
        for layer in batch_norm_layers(features):
            layer.momentum = bn_momentum
    vector = features([scaled, *signal] if signal else scaled)
    if dropout:
        vector = keras.layers.Dropout(dropout, name="head_dropout")(vector)
    # The head stays in float32 whatever the policy: a float16 softmax loses the small probabilities.
    shares = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="head")(vector)
    if least_share:
        # Not a cut: the order of the classes stays, and a gradient remains.
        scale = 1 - classes * least_share
        shares = keras.layers.Rescaling(scale, least_share, dtype="float32", name="least_share")(shares)
    network = keras.Model([first, *signal] if signal else first, shares, name=name)
    fuse_batch_norm(network)
    return network


def batch_norm_layers(model: Any) -> list[Any]:
    """All batch-norm layers of a model."""
    import keras

    # Some KerasCV blocks make layers that they never call: those have no statistics.
    return [layer for layer in flat_layers(model) if isinstance(layer, keras.layers.BatchNormalization) and layer.built]
