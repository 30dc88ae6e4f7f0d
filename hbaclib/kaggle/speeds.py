"""How fast a T4 trains each network, a row with its source for every number: estimates, or what a self-test measured.

Estimates are the lower ends of ranges, with the lower end of the gain of each lever that the code pulls. A self-test
takes the place of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hbaclib.errors import ConfigError, list_some
from hbaclib.models.registry import family_of
from hbaclib.selftest.form import SelfTest, read_selftest
from hbaclib.training.recipe import Recipe

B0, B4, GRU, WAVENET = "efficientnet_b0", "efficientnet_b4", "resnet1d_gru", "wavenet"
_FUSED = "_wavenet"
ARITHMETIC = "by arithmetic at one image size, from B0"
STEP = "by the time of a training step on a CPU, from B0"
AS_CODED = {
    B0: (250.0, "estimate: 250 to 350 without XLA; published mixed-precision figures scaled to 128 x 256 give 820"),
    B4: (90.0, "estimate: 90 to 130 without XLA; published mixed-precision figures scaled to 128 x 256 give 320"),
}
"""Network -> images/s in batches of 32 without any lever, and where the number is from."""
FROM_B0: dict[str, tuple[float, str]] = {
    "efficientnet_b1": (1.5, ARITHMETIC), "efficientnet_b2": (1.7, ARITHMETIC), "efficientnet_b3": (2.5, ARITHMETIC),
    B4: (3.8, ARITHMETIC),
    "efficientnet_lite0": (1.0, ARITHMETIC), "efficientnet_lite1": (1.5, ARITHMETIC),
    "efficientnet_lite2": (1.7, ARITHMETIC),
    "efficientnet_v2_b0": (1.0, ARITHMETIC), "efficientnet_v2_b1": (1.0, ARITHMETIC),
    "efficientnet_v2_b2": (1.3, STEP), "efficientnet_v2_b3": (2.3, ARITHMETIC), "efficientnet_v2_s": (6.4, ARITHMETIC),
    "mobilenet_v3_large": (1.0, f"{STEP} (0.6 of it), but no faster than B0: its operations are as many"),
    "resnet50_v2": (6.8, STEP), "densenet201": (3.4, STEP), WAVENET: (5.2, STEP),
    **dict.fromkeys(("convnet_small", "convnet_frequency", "convnet_raw"), (1.0, "no slower than B0")),
}  # fmt: skip
"""Network -> time of an image, B0's being 1, and where the number is from."""
UNKNOWN = (6.8, "a network of the user's own: taken as slow as the slowest of the library's")
GRU_STEP, GRU_BATCH = 0.34, 32
"""Seconds of a step of the recurrent network, which waits for 2,000 moments one after the other, and its batch."""
START_SECONDS = 90.0
"""Of a fit: a process, TensorFlow, the network's tracing (30 s for B0 on two CPU cores, twice that for B4)."""
_PROCESS_SECONDS = 20.0
_T4 = "T4"


@dataclass(frozen=True)
class Lever:
    """Something that makes training faster.

    Attributes:
        name: in words.
        gain: how many times faster, at least.
        most: how many times faster, at most.
        holds: whether it acts on the training of a recipe.
    """

    name: str
    gain: float
    most: float
    holds: Callable[[Recipe], bool]


def _is_image(recipe: Recipe) -> bool:
    return not recipe.reads_signals


LEVERS = (
    Lever("fused batch norm", 1.5, 2.0, _is_image),
    Lever("losses read late, batches ahead", 1.05, 1.1, _is_image),
    Lever("MixUp in float16", 1.1, 1.15, lambda recipe: _is_image(recipe) and "mixup" in recipe.augmentation),
    Lever("the optimizer's update by XLA", 1.2, 1.4, lambda recipe: _is_image(recipe) and recipe.xla == "apply"),
    Lever(
        "batches of 64", 1.2, 1.5,
        lambda recipe: recipe.batch >= 64 and recipe.backbone in (B0, "efficientnet_b1", "efficientnet_b2"),
    ),
)  # fmt: skip
"""Levers of networks on images. That of the recurrent network is its batch: three to four times for four times it."""
_GRU_GAIN = 3.0


@dataclass(frozen=True)
class Speed:
    """How fast a network trains on one device.

    Attributes:
        images_per_second: rows of training steps.
        source: where the number is from.
    """

    images_per_second: float
    source: str


class Speeds:
    """The speeds of all networks.

    Args:
        measured: result of a self-test, in place of the estimates.

    Raises:
        ConfigError: it was measured on something else than T4s.
    """

    def __init__(self, measured: SelfTest | None = None) -> None:
        self.measured = measured
        self.together = 1.0
        self.start_seconds = START_SECONDS
        if measured is None:
            return
        gpus = list(measured.machine.gpus)
        if measured.device != "gpu" or not all(_T4 in gpu for gpu in gpus) or not gpus:
            where = f"on {list_some(gpus, 2)}" if gpus and measured.device == "gpu" else "on a CPU, in small"
            raise ConfigError(
                f"self-test of {measured.begun}: measured {where}, expected on the T4s that the kernels run on; "
                "make it there: hbac kaggle selftest"
            )
        both = measured.check("two_processes")
        if both and both.values.get("speed_up"):
            self.together = max(1.0, 2.0 / float(both.values["speed_up"]))
        first = [row.seconds_to_first_step for row in measured.speeds if row.xla == "off" and row.seconds_to_first_step]
        if first:
            self.start_seconds = _PROCESS_SECONDS + max(first)

    @classmethod
    def read(cls, path: str | Path | None) -> Speeds:
        """Speeds of a self-test's file; None for the estimates.

        Raises:
            ArtefactError: there is no such file, or it is none of a self-test.
            ConfigError: it was measured on something else than T4s.
        """
        return cls(read_selftest(path) if path else None)

    def of(self, recipe: Recipe) -> Speed:
        """Speed of a recipe's network."""
        name = recipe.backbone
        if name.endswith(_FUSED) and family_of(name).with_signal and not self._rate(name, recipe.xla):
            halves = [self._one(half, recipe) for half in (name.removesuffix(_FUSED), WAVENET)]
            rate = 1 / sum(1 / half.images_per_second for half in halves)
            return Speed(
                rate, f"its two networks in turn ({', '.join(f'{h.images_per_second:.0f}' for h in halves)}/s)"
            )
        return self._one(name, recipe)

    def _one(self, name: str, recipe: Recipe) -> Speed:
        measured = self._measured(name, recipe.xla)
        return measured if measured is not None else self._estimate(name, recipe)

    def _rate(self, name: str, way: str) -> float | None:
        """Images per second as measured; with ``full`` the library keeps whichever is faster."""
        rows = self.measured.speeds if self.measured else ()
        rates = {row.xla: row.images_per_second for row in rows if row.network == name and row.images_per_second}
        if way == "full" and rates:
            return max(rates.get(key, 0.0) or 0.0 for key in ("off", "full")) or None
        return rates.get(way) or rates.get("off")

    def _measured(self, name: str, way: str) -> Speed | None:
        if self.measured is None:
            return None
        if rate := self._rate(name, way):
            return Speed(rate, f"measured by the self-test of {self.measured.begun[:10]}")
        base = self._rate(B0, way)
        if base is None or name == GRU:
            return None
        slow = self._rate(B4, way)
        factor, _ = FROM_B0.get(name, UNKNOWN)
        if slow and name.startswith("efficientnet_b"):
            power = math.log(base / slow) / math.log(FROM_B0[B4][0])
            return Speed(base / factor**power, "between B0 and B4 as measured, by arithmetic")
        return Speed(base / factor, "from B0 as measured; " + FROM_B0.get(name, UNKNOWN)[1])

    def _estimate(self, name: str, recipe: Recipe) -> Speed:
        if name == GRU:
            rate = GRU_BATCH / GRU_STEP
            grown = max(math.log(recipe.batch / GRU_BATCH, 4), 0.0)
            source = f"estimate: {GRU_STEP} s for a batch of {GRU_BATCH} (latency)"
            more = f"; {_GRU_GAIN:g} times that for four times the batch" * bool(grown)
            return Speed(rate * _GRU_GAIN**grown * min(recipe.batch / GRU_BATCH, 1.0), source + more)
        if name in AS_CODED:
            rate, source = AS_CODED[name]
        else:
            factor, how = FROM_B0.get(name, UNKNOWN)
            rate, source = AS_CODED[B0][0] / factor, f"estimate: {how}"
        if name == WAVENET:
            return Speed(rate, source)
        image = recipe.override({"backbone": name, "model_options": {}}) if name != recipe.backbone else recipe
        pulled = [lever for lever in LEVERS if lever.holds(image)]
        gains = ", ".join(f"{lever.name} {lever.gain:g}" for lever in pulled)
        return Speed(rate * math.prod(lever.gain for lever in pulled), source + f"; times {gains}" * bool(gains))
