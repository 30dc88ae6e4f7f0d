"""The recipe of a training run: one frozen, validated table of values, readable as TOML, named by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w

from hbaclib.artefacts import digest_json, manifest_of, write_text
from hbaclib.conventions import CLASSES, EEG_RATE, EEG_WINDOW, RAW_PAIRS
from hbaclib.digests import verify_files
from hbaclib.errors import ConfigError, unknown_name
from hbaclib.inputs.augment import ALBUMENTATIONS, check_augmentation
from hbaclib.inputs.signals import LOW_PASS, NARROW_RATE
from hbaclib.inputs.spec import InputSpec
from hbaclib.models.registry import Family, build_model, check_model, check_network
from hbaclib.schema import PLAIN_NAME, is_plain_name, read_toml
from hbaclib.stages.shipped import is_shipped
from hbaclib.training.checked import check_finite, check_types, expect, expect_within, make, plain

_SHIPPED = Path(__file__).parent / "recipes"
_ASSEMBLED = 128, 256
_AUGMENTED = {"stem": _ASSEMBLED, "tiled": _ASSEMBLED, "starter": (400, 300), "raw": None}
"""Layout -> size of the images that are augmented; planes are stacked as tiles after that."""
GREATEST_SEED, GREATEST_BATCH = 2**32 - 1, 2**16
Xla = Literal["off", "apply", "full"]
XLA: tuple[str, ...] = get_args(Xla)
"""What of a training step XLA may compile."""
_SEEDS = f"at most {GREATEST_SEED}"
_MANY, _FASTEST = 1_000_000, 1000.0
_BOUNDS = {
    "batch": (1, GREATEST_BATCH),
    "folds": (2, 100),
    "threads": (1, 1024),
    "weight_decay": (0, _FASTEST),
    "clip_norm": (0, _MANY),
    "batch_norm_batches": (0, _MANY),
    "label_smoothing_votes": (0, _MANY),
    "label_smoothing_up_to": (0, _MANY),
    "pseudo_up_to": (0, _MANY),
}
"""Key -> least and greatest value: no machine is served by more, and some numbers would take all of its memory."""
LEAST_CROP = 1.0
"""Shortest stretch of the raw signals that a network gets, s: a wave of the slow rhythms takes about as long."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a fit: which rows it sees and how the learning rate moves.

    Attributes:
        epochs: number of epochs.
        min_votes: rows with fewer votes are left out.
        schedule: ``step`` takes one rate per epoch from ``rates``; ``cosine`` climbs from ``start`` to ``peak`` over
            ``warmup`` epochs and falls to ``floor`` along half a cosine.
        rates: learning rates of ``step``; the last one serves all further epochs.
        start: first learning rate of ``cosine``.
        peak: highest learning rate of ``cosine``.
        floor: last learning rate of ``cosine``.
        warmup: epochs of climbing, fractions allowed.
        per_epoch: hold the rate of ``cosine`` constant within an epoch.
        steps: steps of one epoch; 0 is one pass over the rows.
        vote_weights: ``votes`` weighs a row by its number of votes up to 20, ``none`` weighs all rows alike.
    """

    epochs: int
    min_votes: int = 1
    schedule: Literal["step", "cosine"] = "step"
    rates: tuple[float, ...] = (1e-3,)
    start: float = 0.0
    peak: float = 1e-3
    floor: float = 0.0
    warmup: float = 0.0
    per_epoch: bool = False
    steps: int = 0
    vote_weights: Literal["none", "votes"] = "none"

    def __post_init__(self) -> None:
        """Check every value."""
        check_types(self)
        expect_within(self, {"epochs": (1, _MANY), "min_votes": (1, _MANY), "steps": (0, 100 * _MANY)})
        expect_within(self, {"peak": (0, _FASTEST)})
        rates = bool(self.rates) and min(self.rates) > 0 and max(self.rates) <= _FASTEST
        expect(self, "rates", rates, f"positive numbers of at most {_FASTEST:g}")
        expect(self, "warmup", 0 <= self.warmup <= self.epochs, f"0 to the {self.epochs} epochs")
        expect(self, "floor", self.peak > 0 and 0 <= self.floor <= self.peak, "0 <= floor <= peak, peak > 0")
        expect(self, "start", 0 <= self.start <= self.peak, "0 <= start <= peak")
        check_finite(self)


@dataclass(frozen=True, kw_only=True)
class Recipe(InputSpec):
    """Everything that decides the outcome of a training run, apart from the data and the code.

    Attributes:
        name: how tables and plots call it.
        backbone: a name of the model registry.
        layout: how the planes are laid out for the network.
        inputs: which data the network sees.
        image: ``pair``, the field's way (decibels relative to each pair's own maximum, each region of the ten minutes
            standardised for itself), or ``absolute`` (one scale for all, so that the louder side is seen).
        downsample: image pixels averaged into one before the network: one number for all axes, or one for frequency
            and one for time. (Rhythms show along time: averaging there costs more than along frequency.) For networks
            that read the raw signals alone, samples averaged into one.
        weights: pretrained weights: a file, a folder to search, ``imagenet``, ``noisy-student`` or ``lite``; empty for
            none.
        sampling: how ``train.csv`` must have been aggregated; ``any`` accepts both ways.
        stages: the stages of a fit, in order.
        batch: rows of one step, over all devices together.
        augmentation: name -> options (see ``hbaclib.inputs.augment``); every one has its probability ``p``.
        augment_with: ``batched`` (NumPy, whole batches) or ``albumentations`` (image by image).
        band: (low, high) of a filter on the raw signals, Hz; empty for none. Without a crop they are sampled at 40 Hz
            and hold what lies below 16 Hz. Where the network reads nothing else, ``downsample`` lowers its rate.
        low_pass: edge of the low-pass on the raw signals at 200 Hz where ``band`` is empty, Hz.
        filter_order: order of ``band``'s and ``low_pass``'s filter, which runs forward and backward.
        crop_seconds: length of a stretch of the raw signals at 200 Hz: a random one in training, the middle one
            otherwise, of at least LEAST_CROP; 0 takes the whole window at 40 Hz.
        label_smoothing_votes: pseudo-votes added to every class of a label before its votes are made shares.
        label_smoothing_up_to: ``label_smoothing_votes`` only for rows with at most so many votes; 0 is all rows.
        pseudo_weight: share of pseudo-labels in the labels that have one (see ``hbaclib.prediction.pseudo_labels``).
        pseudo_up_to: pseudo-labels only for rows with at most so many votes.
        start_from: trained folders whose weights the parts of the network start from, fold by fold: one, or a list. The
            name ``synthetic`` is the model that the package ships, of which that network serves whose parts fit; a
            folder called so is ``./synthetic``.
        label_smoothing: share of every label that is spread evenly over the classes.
        weight_decay: decoupled weight decay of the optimizer (AdamW); 0 is plain Adam.
        clip_norm: greatest length of a step's gradient over all weights; longer ones are shortened to it. 0: none is.
        least_share: the network gives no class less than this, in training and prediction, so that one row of which it
            is sure in vain costs no more than ``ln(1 / least_share)``; 0 leaves the softmax as it is.
        dropout: rate before the last layer.
        ema: momentum of the averaged weights that are kept in the end; 0 keeps the last weights.
        batch_norm_momentum: momentum of the batch-norm statistics.
        batch_norm_batches: training batches from which the statistics are estimated anew at the end; 0 keeps them.
        tta: views that are averaged with the plain one in prediction.
        seeds: one member per seed.
        folds: number of folds of the fold table.
        threads: threads within one operation; results depend on it.
        precision: numbers inside the network; the head and the loss are always float32.
        xla: what of a training step XLA compiles, on a single GPU; elsewhere nothing is, whatever this says. ``off``:
            nothing; ``apply``: the change of the weights, from the gradients on; ``full``: all of it, where ten steps
            tell that this is faster. What XLA refuses runs without it. (Of earlier recipes true is ``full``, and false
            ``off``.)
        model_options: further keyword arguments of the network's builder.
    """

    name: str
    backbone: str = "efficientnet_b0"
    downsample: tuple[int, ...] = (1,)
    weights: str = ""
    sampling: Literal["any", "vote_groups", "non_overlapping"] = "any"
    stages: tuple[Stage, ...]
    label_smoothing_votes: float = 0.0
    label_smoothing_up_to: int = 0
    pseudo_weight: float = 0.0
    pseudo_up_to: int = 9
    start_from: tuple[str, ...] = ()
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    least_share: float = 0.0
    dropout: float = 0.0
    ema: float = 0.0
    batch_norm_momentum: float = 0.9
    batch_norm_batches: int = 0
    seeds: tuple[int, ...] = (0,)
    folds: int = 5
    threads: int = 2
    precision: Literal["auto", "float32", "mixed_float16"] = "auto"
    xla: Xla = "off"
    model_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value."""
        if isinstance(self.downsample, int):
            object.__setattr__(self, "downsample", (self.downsample,))
        if isinstance(self.start_from, str):
            object.__setattr__(self, "start_from", (self.start_from,) if self.start_from else ())
        if isinstance(self.xla, bool):
            object.__setattr__(self, "xla", "full" if self.xla else "off")
        check_types(self)
        expect(self, "name", is_plain_name(self.name), PLAIN_NAME)
        expect(self, "stages", bool(self.stages), "at least one stage")
        expect_within(self, _BOUNDS)
        for key in ("label_smoothing", "dropout", "ema"):
            expect(self, key, 0 <= getattr(self, key) < 1, "0 <= value < 1")
        expect(self, "least_share", 0 <= self.least_share < 1 / len(CLASSES), f"0 <= value < 1/{len(CLASSES)}")
        expect(self, "batch_norm_momentum", 0 < self.batch_norm_momentum < 1, "0 < value < 1")
        expect(self, "pseudo_weight", 0 <= self.pseudo_weight <= 1, "0 to 1")
        one_or_two = len(self.downsample) in (1, 2) and min(self.downsample) >= 1 and max(self.downsample) <= EEG_WINDOW
        expect(self, "downsample", one_or_two, f"one or two numbers of at least 1 (and at most {EEG_WINDOW:,})")
        different = bool(self.seeds) and len(set(self.seeds)) == len(self.seeds) and min(self.seeds) >= 0
        expect(self, "seeds", different and max(self.seeds) <= GREATEST_SEED, f"different numbers, 0 or more, {_SEEDS}")
        expect(
            self,
            "batch_norm_batches",
            not self.ema or self.batch_norm_batches > 0,
            "at least 1 with ema, because the averaged weights have no batch-norm statistics of their own",
        )
        self._check_signals()
        check_finite(self)
        check_augmentation(self.augmentation, _AUGMENTED[self.layout])
        slow = sorted(set(self.augmentation) - set(ALBUMENTATIONS))
        if slow and self.augment_with == "albumentations":
            raise ConfigError(
                f"augmentation is {', '.join(slow)!r}, expected only {', '.join(sorted(ALBUMENTATIONS))} with "
                "augment_with = 'albumentations'"
            )

    def _check_signals(self) -> None:
        """Check crop and filters: the network must see the band, below its own Nyquist frequency and where it is."""
        window = EEG_WINDOW / EEG_RATE
        lengths = f"0 (the whole window) or at least {LEAST_CROP:g} s, at most the {window:g} s window"
        expect(self, "crop_seconds", self.crop_seconds == 0 or LEAST_CROP <= self.crop_seconds <= window, lengths)
        expect(self, "filter_order", 1 <= self.filter_order <= 10, "1 to 10")
        fastest = f"{EEG_RATE / 2:g} Hz, the Nyquist frequency of the signals at {EEG_RATE} Hz"
        expect(self, "low_pass", 0 < self.low_pass < EEG_RATE / 2, f"0 < value < {fastest}")
        expect(
            self,
            "low_pass",
            self.low_pass == LOW_PASS or self.crop_seconds > 0,
            f"{LOW_PASS:g} without crop_seconds, as the signals at 40 Hz are stored; band filters those",
        )
        if not self.band:
            return
        rate, averaged = self.signal_rate, self.signal_downsample
        nyquist = rate / averaged / 2
        reason = "the Nyquist frequency of the signals"
        if averaged > 1:
            reason += f" behind downsample = {averaged}, which leaves {rate / averaged:g} of their {rate:g} Hz"
        seen = len(self.band) == 2 and 0 <= self.band[0] < self.band[1] < nyquist
        expect(self, "band", seen, f"[low, high] with 0 <= low < high < {nyquist:g} Hz, {reason}")
        expect(
            self,
            "band",
            self.crop_seconds > 0 or self.band[0] < LOW_PASS,
            f"low below {LOW_PASS:g} Hz without crop_seconds, because the signals at {NARROW_RATE:g} Hz end there",
        )

    @property
    def family(self) -> Family:
        """The network's registry entry.

        Raises:
            ConfigError: there is none of this name, or not for this layout and these inputs.
        """
        return check_model(self.backbone, self.layout, self.inputs)

    @property
    def reads_signals(self) -> bool:
        """Whether the network reads the raw signals, alone or beside an image."""
        return super().reads_signals or self.family.with_signal

    @property
    def signal_downsample(self) -> int:
        """Samples of the raw signals averaged into one: in a fusion none are, because only its image is averaged."""
        if self.inputs != "raw":
            return 1
        factors = self.network_options()["downsample"]
        return int(factors if isinstance(factors, int) else factors[0])

    def find_weights(self) -> Path | None:
        """File or folder of the pretrained weights; None for a recipe without any.

        Raises:
            ConfigError: they are not found, or the network takes none, or not these options.
        """
        return check_network(self.backbone, self.layout, self.inputs, self.weights, **self.network_options())

    def network_options(self) -> dict[str, Any]:
        """Keyword arguments for `hbaclib.build_model`, apart from name, layout, inputs and weights."""
        options = {"downsample": self.downsample, "dropout": self.dropout, **self.model_options}
        if self.least_share:
            options["least_share"] = self.least_share
        if self.crop_seconds:
            shape = (round(self.crop_seconds * EEG_RATE), len(RAW_PAIRS))
            options["shape" if self.inputs == "raw" else "signal_shape"] = shape
        return options

    def build_network(self, weights: str | None = None, **options: Any) -> Any:
        """The recipe's uncompiled network.

        Args:
            weights: see `hbaclib.build_model`; None for random ones.
            options: further keyword arguments of the network's builder.
        """
        return build_model(self.backbone, self.layout, self.inputs, weights, **self.network_options(), **options)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values (JSON and TOML know all of them)."""
        return {"name": self.name, **plain(self)}

    def save(self, path: str | Path) -> Path:
        """Write the recipe as a TOML file, atomically; `load_recipe` reads it back to an equal one."""
        return write_text(path, tomli_w.dumps(self.to_dict()))

    @property
    def digest(self) -> str:
        """Names what a run of this recipe makes; the recipe's own name does not matter for it."""
        return digest_json({key: value for key, value in self.to_dict().items() if key != "name"})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """Make a recipe from plain values.

        Args:
            values: as `to_dict` gives them; missing keys take their defaults.
            source: how messages call the values' origin.

        Raises:
            ConfigError: an unknown key (with the close ones), a missing one, or a value that is not allowed.
        """
        stages = values.get("stages", [])
        if not isinstance(stages, list | tuple) or not all(isinstance(stage, Mapping) for stage in stages):
            raise ConfigError(f"{source}: stages is {stages!r}, expected a list of tables ([[stages]])")
        made = [make(Stage, stage, f"{source}, stage {i + 1}") for i, stage in enumerate(stages)]
        return make(cls, {**values, "stages": made}, source)

    def override(self, changes: Mapping[str, Any], source: str = "override") -> Recipe:
        """A recipe with some values changed; a dot leads into a table or a list (``stages.0.epochs``).

        Raises:
            ConfigError: an unknown key or a value that is not allowed.
        """
        values = self.to_dict()
        for key, value in changes.items():
            path, _, last = key.rpartition(".")
            try:
                place = look_up(values, path) if path else values
            except ConfigError as error:
                raise ConfigError(f"{source}: {key!r} {error}") from None
            if not isinstance(place, dict):
                raise ConfigError(f"{source}: {key!r} leads into no table; expected a key inside one")
            place[last] = plain(value)
        return Recipe.from_dict(values, source)


def look_up(values: Any, key: str) -> Any:
    """The value to which a key leads in plain tables and lists; a dot leads into one (``stages.0.epochs``).

    Raises:
        ConfigError: a part of the key does not exist.
    """
    for part in key.split("."):
        try:
            values = values[int(part)] if isinstance(values, list) else values[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ConfigError(f"leads nowhere, because {part!r} does not exist") from None
    return values


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that ship with the library."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.toml")))


def load_recipe(name_or_path: str | Path, **overrides: Any) -> Recipe:
    """Load a recipe that ships with the library, or one from a TOML file.

    Args:
        name_or_path: one of `recipe_names`, or the path of a ``.toml`` file; ``weights`` and ``start_from`` in it may
            be relative to its folder.
        overrides: values to change; use ``load_recipe(name).override({"stages.0.epochs": 2})`` for nested ones.

    Raises:
        ConfigError: no such recipe, an unknown key, or a value that is not allowed.
        ArtefactError: the file lies in a finished training run, and is not the one that was trained.
    """
    path, source = Path(name_or_path), str(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        if source not in recipe_names():
            raise unknown_name("recipe", source, recipe_names())
        path = _SHIPPED / f"{source}.toml"
    recipe = Recipe.from_dict(read_toml(path, "recipe"), source)
    folder = path.resolve().parent
    if manifest := manifest_of(folder):  # a finished run's own recipe
        verify_files(folder, manifest, [path.name])

    def whole(place: str) -> str:
        return str(folder / place) if place and (folder / place).exists() else place

    starts = [place if is_shipped(place) else whole(place) for place in recipe.start_from]
    places = {"weights": whole(recipe.weights), "start_from": starts}
    return recipe.override(places).override(overrides, source)
