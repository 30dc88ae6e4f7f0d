"""Results of a self-test as two T4s might give them: made up, to test what is made of results."""

from __future__ import annotations

from dataclasses import replace

from hbaclib.selftest.form import Check, Machine, SelfTest, Speed
from hbaclib.selftest.tasks import ABOUT, FUSIONS, NETWORKS
from hbaclib.training.recipe import XLA

T4 = "Tesla T4, 15360 MiB"
RATES = {
    "efficientnet_b0": 400.0,
    "efficientnet_b4": 100.0,
    "efficientnet_v2_b2": 200.0,
    "wavenet": 80.0,
    "resnet1d_gru": 250.0,
    "efficientnet_v2_b2_wavenet": 50.0,
}
GAINS = {"off": 1.0, "apply": 1.25, "full": 0.5}
"""Way of XLA -> how much faster than without it."""


def speed(network: str, xla: str) -> Speed:
    rate = RATES[network] * GAINS[xla]
    return Speed(
        network, (NETWORKS | FUSIONS)[network], xla, False, "measured", seconds=60.0, batch=32,
        precision="mixed_float16",
        images_per_second=rate, seconds_a_step=32 / rate, seconds_to_first_step=40.0, peak_megabytes=4321.0,
    )  # fmt: skip


def made(**changes) -> SelfTest:
    checks = [Check(name, about, "measured", good=True, says="as hoped") for name, about in ABOUT.items()]
    checks[1] = replace(checks[1], values={"speed_up": 1.6, "images_per_second": [320.0, 320.0]})
    found = SelfTest(
        begun="2026-01-02T03:04:05+00:00",
        seconds=700.0,
        minutes=13.5,
        device="gpu",
        machine=Machine((T4, T4), 4, 31.4, "", {"python": "3.12.13", "tensorflow": "2.20.0"}),
        speeds=(
            *(speed(network, xla) for network in NETWORKS for xla in XLA),
            *(speed(network, "off") for network in FUSIONS),
        ),
        checks=tuple(checks),
    )
    return replace(found, **changes)


def without(found: SelfTest, network: str, *ways: str) -> SelfTest:
    """The same, some speeds of a network having failed."""
    rows = [
        replace(row, state="failed", reason="it hung", images_per_second=None, seconds_to_first_step=None)
        if row.network == network and row.xla in (ways or XLA)
        else row
        for row in found.speeds
    ]
    return replace(found, speeds=tuple(rows))
