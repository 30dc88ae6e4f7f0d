"""What is measured, on a GPU and in small on a CPU: one table, in the order of importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hbaclib.errors import ConfigError, list_some
from hbaclib.training.adapt import WAVENET_BATCH
from hbaclib.training.recipe import XLA

MINUTES = 13.5
"""Time for all of it: a quarter of an hour with the session's own start and end."""
NETWORKS = {
    "efficientnet_b0": "gold",
    "efficientnet_b4": "gold",
    "efficientnet_v2_b2": "s4",
    "wavenet": "s3",
    "resnet1d_gru": "s3",
}
"""Network whose speed is measured in all ways -> the recipe of suite ``full`` that trains it, or one like it."""
FUSIONS = {"efficientnet_v2_b2_wavenet": "s4"}
"""The same for the suite's longest fits, measured without XLA: their WaveNet has more rows a step than it has alone."""
BATCHES = {"efficientnet_b0": 64, "wavenet": WAVENET_BATCH}
"""Network -> rows of a step, where the suite has others than the recipe."""
SMALL_NETWORKS = {
    "convnet_small": {"recipe": "gold", "changes": {"batch": 4, "downsample": [8, 8]}},
    "wavenet": {"recipe": "s3", "changes": {"batch": 4, "downsample": 20, "model_options": {"filters": [4]}}},
    "resnet1d_gru": {
        "recipe": "s3",
        "changes": {"batch": 4, "downsample": 40, "model_options": {"planes": 4, "blocks": 2, "units": 4}},
    },
}
"""The same for a CPU: so small that all of it is seconds."""
_STEPS, _SAMPLES = 30, 320
_SMALL_STEPS, _SMALL_SAMPLES = 8, 24
_PATIENT = 600.0  # seconds: a CPU may be busy with other things
_ON_GPU_ALONE = "XLA compiles training steps on a GPU alone"


@dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
        name: ``speed/NETWORK/XLA``, or of a check.
        measure: which of `hbaclib.selftest.measures.MEASURES`.
        options: its options.
        limit: seconds after which it is ended.
        alone: nothing else is measured at the time, and it sees all GPUs.
        about: the question of a check.
        left_out: why it is not measured here; empty where it is.
    """

    name: str
    measure: str
    options: dict[str, Any] = field(default_factory=dict)
    limit: float = 150.0
    alone: bool = False
    about: str = ""
    left_out: str = ""

    @property
    def is_speed(self) -> bool:
        """Whether its row is one of the speeds."""
        return self.measure == "speed"


ABOUT = {
    "devices": "What TensorFlow sees",
    "two_processes": "Two fits at once, a process each: how much more is trained",
    "kernels": "Fused kernels: batch norm, and the recurrent layer",
    "precision": "Losses in float32 beside mixed float16",
    "equal": "The same fit twice: the same weights, bit for bit",
    "resume": "A fit that is killed and resumed: the same weights as one that was not",
}
"""Check -> the question."""


def tasks(gpus: int, only: Sequence[str] = ()) -> list[Task]:
    """The measurements of a machine.

    Args:
        gpus: number of GPUs; with 0 all is small.
        only: names, or their beginnings as far as a ``/``; empty for all.

    Raises:
        ConfigError: there is no such measurement.
    """
    found = _on_gpus(gpus) if gpus else _on_a_cpu()
    names = [task.name for task in found]
    for wanted in only:
        if not any(_is(name, wanted) for name in names):
            raise ConfigError(f"no measurement {wanted!r}; there are {list_some(names, 30)}, and speed for all speeds")
    return [task for task in found if not only or any(_is(task.name, wanted) for wanted in only)]


def _is(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}/")


def _check(name: str, **named: Any) -> Task:
    return Task(name, name, about=ABOUT[name], **named)


def _on_gpus(gpus: int) -> list[Task]:
    def speed(network: str, xla: str) -> Task:
        options = {
            "recipe": (NETWORKS | FUSIONS)[network],
            "backbone": network,
            "xla": xla,
            "steps": _STEPS,
            "samples": _SAMPLES,
        }
        if network in BATCHES:
            options["changes"] = {"batch": BATCHES[network]}
        limit = 300.0 if xla == "full" else 180.0
        # The speed of one process alone, beside which that of two is put.
        alone = (network, xla) == ("efficientnet_b0", "off")
        return Task(f"speed/{network}/{xla}", "speed", options, limit=limit, alone=alone)

    b0 = {"recipe": "gold", "backbone": "efficientnet_b0", "samples": 128}
    gru = {"recipe": "s3", "backbone": "resnet1d_gru", "samples": 320}
    small = {"recipe": "gold", "backbone": "convnet_small", "samples": 128}
    return [
        _check("devices", limit=60.0, alone=True),
        speed("efficientnet_b0", "off"),
        _check(
            "two_processes",
            options=speed("efficientnet_b0", "off").options, limit=180.0, alone=True,
            left_out="" if gpus > 1 else "one GPU is here, and two are needed",
        ),
        *(speed(network, "off") for network in (*NETWORKS, *FUSIONS) if network != "efficientnet_b0"),
        _check("kernels", options={"norms": b0, "recurrent": gru}),
        _check("resume", options={**small, "epochs": 4, "steps": 10}, limit=240.0),
        _check("equal", options={"networks": [{**each, "epochs": 1, "steps": 12} for each in (b0, gru)]}, limit=420.0),
        _check("precision", options={**b0, "epochs": 10, "steps": 5}, limit=300.0),
        *(speed(network, "apply") for network in NETWORKS),
        *(speed(network, "full") for network in NETWORKS),
    ]  # fmt: skip


def _on_a_cpu() -> list[Task]:
    def of(network: str, **more: Any) -> dict[str, Any]:
        return {**SMALL_NETWORKS[network], "backbone": network, "samples": _SMALL_SAMPLES, **more}

    def speed(network: str, xla: str) -> Task:
        left_out = "" if xla == "off" else _ON_GPU_ALONE
        options = of(network, xla=xla, steps=_SMALL_STEPS)
        return Task(f"speed/{network}/{xla}", "speed", options, limit=_PATIENT, left_out=left_out)

    def check(name: str, **options: Any) -> Task:
        return _check(name, options=options, limit=_PATIENT)

    convnet, short = "convnet_small", {"epochs": 3, "steps": 2}
    networks = [of(convnet, epochs=1, steps=2)]
    return [
        check("devices"),
        *(speed(network, xla) for network in SMALL_NETWORKS for xla in XLA),
        check("two_processes", **of(convnet, steps=_SMALL_STEPS)),
        check("kernels", norms=of(convnet), recurrent=of("resnet1d_gru")),
        check("resume", **of(convnet, **short)),
        check("equal", networks=networks),
        check("precision", **of(convnet, epochs=5, steps=2)),
    ]
