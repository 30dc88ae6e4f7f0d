"""The self-test's session, added up: by the figures that hours are planned with, it ends within its minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hbaclib.kaggle.hours import suite_hours
from hbaclib.kaggle.speeds import START_SECONDS, Speeds
from hbaclib.selftest.measures import recipe_of
from hbaclib.selftest.tasks import FUSIONS, MINUTES, NETWORKS, Task, tasks
from hbaclib.suite.table import SuiteTable

PROCESS = 20.0
"""Seconds until a process has loaded TensorFlow."""
TRACING = {
    "efficientnet_b0": 30.0, "efficientnet_b4": 60.0, "efficientnet_v2_b2": 40.0, "wavenet": 20.0, "resnet1d_gru": 20.0,
    "efficientnet_v2_b2_wavenet": 60.0, "convnet_small": 10.0,
}  # fmt: skip
"""Network -> seconds to build it and trace its step: 30 for B0 on two CPU cores, twice that for B4."""
COMPILING = {"off": 0.0, "apply": 16.0, "full": 60.0}
"""Way of XLA -> seconds to compile. (The whole step is also traced and timed without it, in twelve steps each.)"""


def steps(options: Mapping[str, Any], number: int) -> float:
    """Seconds of so many steps, and of what lies before the first."""
    recipe = recipe_of({"epochs": 1, "steps": 1, **options, "xla": "off"})
    return number * recipe.batch / Speeds().of(recipe).images_per_second


def fit(options: Mapping[str, Any], xla: str = "off") -> float:
    number, tracing = options.get("epochs", 1) * options["steps"], TRACING[options["backbone"]]
    trial = tracing + steps(options, 24) if xla == "full" else 0.0
    return tracing + COMPILING[xla] + trial + steps(options, number)


def seconds(task: Task) -> float:
    """What a measurement takes by these figures."""
    options = task.options
    if task.is_speed:
        return PROCESS + fit(options, options["xla"])
    if task.name == "two_processes":
        return PROCESS + PROCESS + fit(options)
    if task.name == "kernels":
        return PROCESS + sum(TRACING[options[part]["backbone"]] for part in ("norms", "recurrent"))
    if task.name == "equal":
        return 2 * (PROCESS + sum(map(fit, options["networks"])))
    if task.name == "precision":
        return PROCESS + 2 * fit(options) + fit({**options, "steps": options["steps"]}) - TRACING[options["backbone"]]
    return 3 * (PROCESS + fit(options)) if task.name == "resume" else PROCESS


def ends(share: float = 1.0) -> dict[str, float]:
    """Measurement -> second of its end: what runs alone in turn, then each on the GPU that is free first."""
    found, clock = {}, 0.0
    chosen = [task for task in tasks(2) if not task.left_out]
    for task in (task for task in chosen if task.alone):
        clock = found[task.name] = clock + share * seconds(task)
    busy = [clock] * 2
    for task in (task for task in chosen if not task.alone):
        busy.sort()
        busy[0] = found[task.name] = busy[0] + share * seconds(task)
    return found


def test_the_figures_are_those_that_hours_are_planned_with() -> None:
    assert PROCESS + max(TRACING.values()) <= START_SECONDS
    assert set(TRACING) >= {*NETWORKS, *FUSIONS}


def test_all_but_the_compiled_steps_fits_a_session_with_two_gpus() -> None:
    last = 60 * MINUTES
    assert max(end for name, end in ends().items() if not name.endswith("/full")) <= last
    # They come last, network after network, as long as there is time: with a fifth less for each thing, B0 and B4.
    assert max(ends(0.8)[f"speed/{name}/full"] for name in ("efficientnet_b0", "efficientnet_b4")) <= last


@pytest.mark.parametrize("task", tasks(2), ids=lambda task: task.name)
def test_a_limit_leaves_room(task: Task) -> None:
    assert 1.25 * seconds(task) <= task.limit


def test_the_longest_fit_of_the_suite_is_measured_at_its_own_batch() -> None:
    """Memory too: joined with an image network, WaveNet has more rows a step than it is given alone."""
    networks = [each for kernel in suite_hours(SuiteTable().suite("full")) for each in kernel.networks]
    longest = max(networks, key=lambda network: network.fit_hours).name
    assert longest in FUSIONS
    rows = {task.options["backbone"]: task for task in tasks(2) if task.is_speed and task.options["xla"] == "off"}
    assert recipe_of({**rows[longest].options, "epochs": 1}).batch == 64
