"""Pictures of networks and of their training: structure, losses against epochs, learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from hbaclib.conventions import RAW_PAIRS
from hbaclib.plots.network_boxes import Box, network_boxes, place_boxes
from hbaclib.plots.style import titled

ROW, EDGE = 0.5, 0.3
"""Height of a row of boxes in inches, and the distance from the middle of a box to its edge in rows."""


def plot_network(model: Any, title: str | None = None) -> Figure:
    """Draw a network as boxes of one or more layers and the connections between them; needs no Graphviz.

    Every branch has a column of its own, from its fork to the box that joins it. Blocks with shortcuts or gates are one
    box, and so are neighbours of the same size in space and time where the network is deep; such a box names its first
    and its last layer and tells how many there are.

    Args:
        model: a Keras model as `hbaclib.build_model` gives it.
        title: of the figure.
    """
    boxes, places = place_boxes(network_boxes(model))
    texts = [_box_text(box) for box in boxes]
    longest = [0] * (1 + max(column for column, _ in places))
    for text, (column, _) in zip(texts, places, strict=True):
        longest[column] = max(longest[column], *map(len, text.split("\n")))
    # Inches: a letter of 7 points is up to 0.066 wide. A column without boxes only lets connections pass.
    widths = np.array([0.066 * letters + 0.3 if letters else 0.2 for letters in longest])
    middles = np.cumsum(widths) - widths / 2
    depth = 1 + max(row for _, row in places)
    figure, axis = plt.subplots(figsize=(max(widths.sum(), 4), ROW * depth + 0.4), layout="constrained")
    points = [(middles[column], -row) for column, row in places]
    for (x, y), box, text in zip(points, boxes, texts, strict=True):
        if text:
            colour = "#dbe9f6" if box.parameters else "#eeeeee"
            style = {"boxstyle": "round,pad=0.3", "facecolor": colour, "linewidth": 0.6}
            axis.text(x, y, text, ha="center", va="center", fontsize=7, bbox=style)
        for parent in box.parents:
            # Down its own column, then in a curve across the gap above this box.
            (left, top), end = points[parent], y + EDGE if text else y
            start, turn = top - EDGE if texts[parent] else top, y + 1 - EDGE
            corners = [(left, start), (left, turn), (left, (turn + end) / 2), (x, (turn + end) / 2), (x, end)]
            path = Path(corners, [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
            arrow = "-|>,head_width=1.5,head_length=3" if text else "-"
            axis.add_patch(FancyArrowPatch(path=path, arrowstyle=arrow, linewidth=0.7, facecolor="black"))
    axis.set(xlim=(0, widths.sum()), ylim=(0.6 - depth, 0.6))
    axis.set_axis_off()
    axis.set_title(title or f"{model.name}: {model.count_params():,} parameters", fontsize=10)
    return figure


def _box_text(box: Box) -> str:
    if not box.names:
        return ""
    name = box.names[0] if len(box.names) == 1 else f"{box.names[0]} … {box.names[-1]}"
    what = "input" if not box.parents else box.kind if len(box.names) == 1 else f"{len(box.names)} layers"
    size = " × ".join(map(str, box.shape))
    return f"{name}  {size}\n{what}" + (f", {box.parameters:,} parameters" if box.parameters else "")


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
    return titled(figure, title)


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
