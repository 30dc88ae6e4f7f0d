"""Pictures of networks and of their training: structure, losses against epochs, learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hbaclib.conventions import RAW_PAIRS


def plot_network(model: Any, title: str | None = None) -> Figure:
    """Draw a network as a chain of boxes, one chain for each of its inputs; needs no Graphviz.

    Neighbouring layers that keep the shape of the data share a box, which tells their number and parameters.

    Args:
        model: a Keras model as `hbaclib.build_model` gives it.
        title: of the figure.
    """
    columns = [_boxes(chain) for chain in _chains(model)]
    height = max(len(column) for column in columns)
    figure, axis = plt.subplots(figsize=(4.2 * len(columns), 0.46 * height + 0.6), layout="constrained")
    for x, column in enumerate(columns):
        for y, (name, shape, layers, parameters) in enumerate(column):
            text = f"{name}  {' × '.join(map(str, shape))}"
            text += f"\n{layers} layers, {parameters:,} parameters" if layers > 1 else f"\n{parameters:,} parameters"
            colour = "#dbe9f6" if parameters else "#eeeeee"
            box = {"boxstyle": "round,pad=0.3", "facecolor": colour, "linewidth": 0.6}
            axis.text(x, -y, text, ha="center", va="center", fontsize=7, bbox=box)
            if y:
                axis.annotate("", (x, 0.28 - y), (x, 0.72 - y), arrowprops={"arrowstyle": "->", "linewidth": 0.7})
    axis.set(xlim=(-0.6, len(columns) - 0.4), ylim=(0.6 - height, 0.6))
    axis.set_axis_off()
    axis.set_title(title or f"{model.name}: {model.count_params():,} parameters", fontsize=10)
    return figure


def _chains(model: Any) -> list[list[Any]]:
    """The layers behind each input, then those behind the point where the inputs meet, behind the first."""
    outer = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    inner: list[list[Any]] = []
    before: list[Any] = []
    behind: list[Any] = []
    for layer in outer:
        if inner or not hasattr(layer, "layers"):
            (behind if inner else before).append(layer)
            continue
        parts = [part for part in layer.layers if hasattr(part, "layers")]
        inner = [list(_leaves(part)) for part in parts] if len(layer.inputs) > 1 else [list(_leaves(layer))]
    chains = inner or [[]]
    chains[0] = before + chains[0] + behind
    return [[layer for layer in chain if type(layer).__name__ != "InputLayer"] for chain in chains]


def _leaves(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _boxes(chain: list[Any]) -> list[tuple[str, tuple[int, ...], int, int]]:
    boxes: list[tuple[str, tuple[int, ...], int, int]] = []
    for layer in chain:
        output = layer.output[0] if isinstance(layer.output, list | tuple) else layer.output
        shape = tuple(int(size) for size in output.shape[1:] if size is not None)
        # Channels change inside every block; the size in space and time tells the stages apart.
        if boxes and boxes[-1][1][:-1] == shape[:-1] and len(shape) > 1:
            name, _, count, parameters = boxes[-1]
            boxes[-1] = (name, shape, count + 1, parameters + layer.count_params())
        else:
            boxes.append((layer.name, shape, 1, layer.count_params()))
    return boxes


def plot_loss_against_epoch(histories: Mapping[str, pd.DataFrame], title: str | None = None) -> Figure:
    """Training and validation loss against the epoch, one panel a network, mean over the folds.

    Args:
        histories: name -> learning curves of all folds, columns ``stage``, ``epoch``, ``loss``, ``val_kl``.
        title: of the figure.
    """
    figure, axes = plt.subplots(
        1, len(histories), figsize=(4.5 * len(histories), 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (name, history) in zip(axes[0], histories.items(), strict=True):
        curves = history.groupby(["stage", "epoch"])[["loss", "val_kl"]].mean()
        epochs = np.arange(1, len(curves) + 1)
        axis.plot(epochs, curves["loss"], marker=".", label="training loss")
        axis.plot(epochs, curves["val_kl"], marker=".", linestyle="--", label="validation score")
        axis.set(title=name, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("KL divergence (nats)")
    axes[0, 0].legend()
    if title:
        figure.suptitle(title)
    return figure


def plot_learning_rates(rates: np.ndarray, title: str | None = None) -> Figure:
    """Learning rate of every step.

    Args:
        rates: (all steps,) as `hbaclib.training.schedules.recipe_learning_rates` gives them.
        title: of the figure.
    """
    figure, axis = plt.subplots(figsize=(6, 2.4), layout="constrained")
    axis.plot(rates)
    axis.set(xlabel="step", ylabel="learning rate", yscale="log", title=title or "learning rate")
    axis.grid(alpha=0.3)
    return figure


def plot_raw_signals(signals: np.ndarray, seconds: float, title: str | None = None) -> Figure:
    """The eight signals as the raw networks read them, one below the other.

    Args:
        signals: (n, 8) in units of 32 µV, signals as RAW_PAIRS.
        seconds: length of the stretch.
        title: of the figure.
    """
    figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
    time = np.linspace(0, seconds, len(signals), endpoint=False)
    distance = max(float(np.quantile(np.abs(signals), 0.99)) * 2, 1e-3)
    for number in range(len(RAW_PAIRS)):
        axis.plot(time, signals[:, number] - number * distance, color="#1f4e79", linewidth=0.5)
    axis.set_yticks([-number * distance for number in range(len(RAW_PAIRS))], [f"{a}-{b}" for a, b in RAW_PAIRS])
    axis.set(xlabel="time (s)", title=title, xlim=(0, seconds))
    axis.text(1.01, 0.5, f"distance {32 * distance:.0f} µV", transform=axis.transAxes, rotation=90, va="center")
    return figure
