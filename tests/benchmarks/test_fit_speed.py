"""What a fit spends before and between its steps: one graph for all stages against one for each, as it was before.

Turns of both, one after the other, by the clock. And the step's graph itself: nodes, and how many of them stay when
XLA compiles the change of the weights (recipe key ``xla``).
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import pytest

from hbaclib import build_model
from hbaclib.training import trainer
from hbaclib.training.devices import configure
from hbaclib.training.fit import Fit
from hbaclib.training.recipe import load_recipe
from hbaclib.training.replicas import Replicas
from hbaclib.training.steps import TrainingStep
from hbaclib.training.trainer import Trainer
from tests.training.new_every_stage import NewEveryStage
from tests.training.tiny import TinyArrays

STAGES, STEPS, BATCH = 3, 4, 8


def clocked(kind: type[TrainingStep]) -> type[TrainingStep]:
    """A training step that notes how long the first step of each stage takes, with what is made before it."""

    class Clocked(kind):
        first: list[float]

        def reset(self):
            self.begin = time.perf_counter()
            super().reset()

        def __call__(self, *shares):
            loss = float(super().__call__(*shares))
            if self.begin:
                self.first = [*getattr(self, "first", []), time.perf_counter() - self.begin]
                self.begin = 0.0
            return loss

    return Clocked


def seconds_of(kind, recipe, folder, monkeypatch) -> tuple[list[float], float, int]:
    """Seconds to the first step of each stage, seconds an epoch, and graphs traced in the end."""
    monkeypatch.setattr(trainer, "TrainingStep", clocked(kind))
    configure(recipe)
    folder.mkdir()
    made = Trainer(Fit(recipe=recipe, fold=0, seed=0, folder=folder, data="x"), TinyArrays(n=32), ())
    begin = time.perf_counter()
    made.run(False, None, 1, 1)
    return made.train_step.first, (time.perf_counter() - begin) / STAGES, made.train_step.traces


@pytest.mark.benchmark(group="fit")
@pytest.mark.parametrize(("name", "pairs"), [("convnet_small", 3), ("efficientnet_b0", 1)])
def test_one_graph_a_fit_against_one_a_stage(benchmark, name, pairs, tmp_path, monkeypatch):
    stage = {"epochs": 1, "steps": STEPS}
    recipe = load_recipe("smoke", backbone=name, inputs="eeg", layout="stem", batch=BATCH, stages=[stage] * STAGES)
    first: dict[str, list[list[float]]] = {"before": [], "after": []}
    epochs: dict[str, list[float]] = {"before": [], "after": []}
    for pair in range(pairs):
        for way, kind in (("before", NewEveryStage), ("after", TrainingStep)):
            seconds, epoch, traces = seconds_of(kind, recipe, tmp_path / f"{way} {pair}", monkeypatch)
            first[way].append(seconds)
            epochs[way].append(epoch)
            assert traces == 1  # of the last stage's graphs, before; of all stages', after
    for way in first:
        shown = ", ".join(f"{median(turns):.2f}" for turns in zip(*first[way], strict=True))
        print(f"\n{name}, {way}: {shown} s to the first step of each stage; {median(epochs[way]):.2f} s an epoch")
    later = {way: median([sum(turn[1:]) for turn in turns]) for way, turns in first.items()}
    print(f"{name}: first steps of later stages {later['before'] / later['after']:.0f} times as fast")
    benchmark.pedantic(lambda: None, rounds=1)
    assert later["before"] > 3 * later["after"]


def operations(graph) -> list[str]:
    """Types of all nodes of a graph, those of its functions among them."""
    definition = graph.as_graph_def()
    return [node.op for part in (definition, *definition.library.function) for node in nodes_of(part)]


def nodes_of(part):
    return part.node if hasattr(part, "node") else part.node_def


@pytest.mark.benchmark(group="graph")
@pytest.mark.parametrize("name", ["efficientnet_b0"])
def test_nodes_of_a_training_step(benchmark, name, monkeypatch):
    """Before: batch norm as Keras computes it, in operations of its own; then the fused kernel; then XLA's update."""
    recipe = load_recipe("gold", backbone=name, weights="", precision="float32")
    configure(recipe)
    replicas = Replicas((), BATCH)
    step = TrainingStep(recipe, build_model(name, **recipe.network_options()), replicas)
    monkeypatch.setattr("hbaclib.models.registry.fuse_batch_norm", lambda model: None)
    before = TrainingStep(recipe, build_model(name, **recipe.network_options()), replicas)
    tensors = (
        np.zeros((BATCH, 128, 256, 8), np.float16),
        np.full((BATCH, 6), 1 / 6, np.float32),
        np.ones(BATCH, np.float32),
    )
    outside = {}
    for told, way in (("before", "off"), ("off", "off"), ("apply", "apply")):
        graph = (before if told == "before" else step).graph(way).get_concrete_function(*tensors).graph
        every, outside[told] = operations(graph), len(graph.get_operations())
        fused = {kind: every.count(kind) for kind in ("FusedBatchNormV3", "FusedBatchNormGradV3")}
        print(
            f"\n{name}, {told}: {outside[told]:,} nodes run singly, {len(every) - outside[told]:,} in functions; "
            f"fused batch norm: {fused['FusedBatchNormV3']} forward, {fused['FusedBatchNormGradV3']} backward"
        )
        assert fused["FusedBatchNormV3"] == fused["FusedBatchNormGradV3"] == (0 if told == "before" else 49)
    assert (before.traces, step.traces) == (1, 2)
    benchmark.pedantic(lambda: None, rounds=1)
    assert outside["off"] < outside["before"] and outside["apply"] < 0.5 * outside["off"]
