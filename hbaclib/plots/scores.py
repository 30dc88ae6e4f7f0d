"""Figures of learning, scores and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from hbaclib.conventions import CLASS_COLOURS, CLASSES, MANY_VOTES
from hbaclib.errors import DataError
from hbaclib.evaluation.calibration import reliability
from hbaclib.evaluation.metric import Shares, check_shares
from hbaclib.plots.style import ACCENT, INK, MUTED, plain, titled

_MODEL_COLOURS = {"ensemble": "#D55E00", "class mean": MUTED, "oracle": MUTED}


@contextmanager
def live_learning_curves() -> Iterator[Callable[[pd.DataFrame], None]]:
    """A picture in a notebook that is drawn anew with every epoch, and is gone when the block ends.

    Yields:
        A function for ``hbaclib.training.cross_validate.train(..., on_epoch=...)``.
    """
    from IPython.display import DisplayHandle, Markdown

    handle, shown = DisplayHandle(), False

    def draw(history: pd.DataFrame) -> None:
        nonlocal shown
        figure = plot_learning_curves(history)
        plt.close(figure)
        (handle.update if shown else handle.display)(figure)
        shown = True

    yield draw
    if shown:
        handle.update(Markdown(""))


def plot_learning_curves(history: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw training loss and held-out score against the epoch, one line per fold, and per seed of several.

    Args:
        history: columns ``epoch``, ``loss``, optionally ``val_*`` (one panel each), ``fold``, ``seed``, and ``stage``:
            stages follow each other on the axis, a dotted line between them.
        title: above the drawing.
    """
    if missing := [name for name in ("epoch", "loss") if name not in history.columns]:
        raise DataError(f"history: column missing: {', '.join(missing)}; found {', '.join(map(str, history.columns))}")
    held_out = [name for name in history.columns if str(name).startswith("val_") and history[name].notna().any()]
    panels = {"loss": "training loss", **{name: _readable(str(name)) for name in held_out}}
    order = [name for name in ("stage", "epoch") if name in history.columns]
    groups = _fits(history.sort_values(order, kind="stable"))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(max(5.0, 4.0 * len(panels)), 3.2), layout="constrained", squeeze=False
    )
    colours = plt.colormaps["viridis"](np.linspace(0.05, 0.85, len(groups)))
    for axis, (column, label) in zip(axes[0], panels.items(), strict=True):
        for (name, part), colour in zip(groups, colours, strict=True):
            epochs = np.arange(1, len(part) + 1)
            axis.plot(epochs, part[column], marker="o", markersize=3, linewidth=1.2, color=colour, label=name)
        if "stage" in history.columns:
            for change in np.flatnonzero(np.diff(groups[0][1]["stage"])):
                axis.axvline(change + 1.5, color=MUTED, linewidth=0.8, linestyle=":")
        axis.set(xlabel="epoch", ylabel="KL divergence (nats)")
        axis.set_title(label, fontsize=10)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain(axis)
    if len(groups) > 1:
        axes[0, -1].legend(frameon=False, fontsize=8)
    return titled(figure, title)


def _fits(history: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Every fit's part of a learning curve, with its name."""
    if "fold" not in history.columns:
        return [("", history)]
    keys = ["fold", "seed"] if "seed" in history.columns and history["seed"].nunique() > 1 else ["fold"]
    named = []
    for (fold, *seed), part in history.groupby(keys, sort=True):
        name = str(fold) if str(fold).startswith("fold") else f"fold {fold}"
        named.append((name + "".join(f", seed {number}" for number in seed), part))
    return named


def plot_confusion(targets: Shares, predictions: Shares, title: str | None = None) -> Figure:
    """Draw which classes the model predicts (mean shares) for recordings of each class of the experts' plurality."""
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    plurality = true.argmax(axis=1)
    counts = np.bincount(plurality, minlength=len(CLASSES))
    means = np.array([predicted[plurality == k].mean(axis=0) if counts[k] else np.full(6, np.nan) for k in range(6)])
    figure, axis = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
    shown = axis.imshow(means, vmin=0, vmax=1, cmap="Blues")
    for (row, column), value in np.ndenumerate(means):
        if np.isfinite(value):
            ink = "white" if value > 0.55 else INK
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
    axis.set_xticks(range(len(CLASSES)), CLASSES)
    axis.set_yticks(range(len(CLASSES)), [f"{name}\n(n = {n:,})" for name, n in zip(CLASSES, counts, strict=True)])
    axis.tick_params(labelsize=8, length=0)
    axis.set(xlabel="predicted class (mean share)", ylabel="experts' plurality")
    axis.spines[:].set_visible(False)
    figure.colorbar(shown, label="mean predicted share", shrink=0.85)
    axis.set_title(title or "What is predicted for each class", fontsize=11, loc="left")
    return figure


def plot_reliability(targets: Shares, predictions: Shares, title: str | None = None) -> Figure:
    """Draw, per class, the mean true share against the predicted one: on the diagonal predictions come true."""
    table = reliability(targets, predictions)
    figure, axes = plt.subplots(2, 3, figsize=(9, 5.8), layout="constrained", sharex=True, sharey=True)
    for index, name in enumerate(CLASSES):
        axis, part = axes.flat[index], table[table["class"] == name]
        axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
        axis.plot(part["predicted"], part["observed"], color=CLASS_COLOURS[name], linewidth=1.2)
        sizes = 8 + 90 * part["n"] / part["n"].max()
        axis.scatter(part["predicted"], part["observed"], s=sizes, color=CLASS_COLOURS[name], alpha=0.85, zorder=3)
        axis.set(title=name, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axis.set_aspect("equal")
        plain(axis)
    figure.supxlabel("predicted share (area of a point: number of samples)", fontsize=9)
    figure.supylabel("experts' mean share", fontsize=9)
    return titled(figure, title)


def plot_scores(
    scores: pd.DataFrame | Mapping[str, pd.DataFrame], tier: str | None = None, title: str | None = None
) -> Figure:
    """Draw scores with their 95 % intervals, one panel per vote tier (each on its own scale).

    Args:
        scores: model name -> table of `score_by_tier`, or one such table.
        tier: draw this one alone; None: all that have samples.
        title: above the drawing.
    """
    tables = {"": scores} if isinstance(scores, pd.DataFrame) else dict(scores)
    first = next(iter(tables.values()))
    tiers = [name for name in first.loc[first["n"] > 0, "tier"] if tier in (None, name)]
    if not tiers:
        raise DataError(f"scores: no samples of tier {tier or 'any'}")
    height = 1.1 + 0.32 * len(tables)
    # The last number of a panel keeps its distance from the next one's first.
    layout = ConstrainedLayoutEngine(wspace=0.04)
    figure, axes = plt.subplots(
        1, len(tiers), figsize=(max(5.5, 2.2 * len(tiers) + 1.8), height), layout=layout, squeeze=False, sharey=True
    )
    positions = -np.arange(len(tables))
    for axis, name in zip(axes[0], tiers, strict=True):
        rows = [table.set_index("tier").loc[name] for table in tables.values()]
        for position, (model, row) in zip(positions, zip(tables, rows, strict=True), strict=True):
            colour = _MODEL_COLOURS.get(model, ACCENT)
            axis.plot([row["low"], row["high"]], [position] * 2, color=colour, linewidth=2, solid_capstyle="butt")
            axis.plot(row["kl"], position, "o", color=colour, markersize=5)
        votes = "all" if name == "all" else name.replace(">=", "≥ ") + " votes"
        axis.set_title(f"{votes} (n = {int(rows[0]['n']):,})")
        axis.title.set_fontsize(9)
        axis.set_xlabel("KL divergence (nats)", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.locator_params(axis="x", nbins=3)
        axis.margins(x=0.12)
        plain(axis, left=False)
        axis.grid(axis="x", color="#E3E7EB", linewidth=0.6)
    axes[0, 0].set_yticks(positions, list(tables))
    axes[0, 0].set_ylim(positions[-1] - 0.6, 0.6)
    return titled(figure, title)


def plot_weights(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw each model's weight in the ensemble and what it adds, from an ensemble's table."""
    shown = table.iloc[::-1]
    figure, axes = plt.subplots(1, 2, figsize=(9, 1.1 + 0.32 * len(table)), layout="constrained", sharey=True)
    axes[0].barh(shown["name"], shown["weight"].astype(float), color=ACCENT, height=0.65)
    axes[0].set(xlabel="weight", ylabel="model")
    axes[1].barh(shown["name"], shown["adds"].astype(float).fillna(0), color="#009E73", height=0.65)
    axes[1].set(xlabel="rise of the KL divergence without it (nats)")
    axes[1].axvline(0, color=MUTED, linewidth=0.8)
    # What a model adds is told to a thousandth of a nat; below that an axis would show rounding errors.
    low, high = axes[1].get_xlim()
    axes[1].set_xlim(min(low, -1e-3), max(high, 1e-3))
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.locator_params(axis="x", nbins=5)
        plain(axis, left=False)
    return titled(figure, title)


def plot_folds(balance: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw the class balance of every fold as stacked bars.

    Args:
        balance: one row per fold; columns ``fold``, ``patients``, ``samples`` and CLASSES (mean shares).
        title: above the drawing.
    """
    figure, axis = plt.subplots(figsize=(7.5, 1.3 + 0.42 * len(balance)), layout="constrained")
    left = np.zeros(len(balance))
    counts = balance[["fold", "patients", "samples"]].astype(int).to_numpy()
    labels = [f"fold {fold} ({patients:,} patients, {samples:,} samples)" for fold, patients, samples in counts]
    positions = -np.arange(len(balance))
    for name in CLASSES:
        values = balance[name].to_numpy(float)
        axis.barh(positions, values, left=left, color=CLASS_COLOURS[name], label=name, height=0.7)
        left += values
    axis.set_yticks(positions, labels, fontsize=8)
    axis.set(xlim=(0, 1), xlabel="mean share of the votes")
    axis.legend(ncols=6, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8, handlelength=1)
    plain(axis, left=False)
    return titled(figure, title)


def plot_votes(targets: np.ndarray, predictions: np.ndarray, title: str | None = None) -> Figure:
    """Draw the experts' shares beside the predicted ones for one sample; both (6,)."""
    figure, axis = plt.subplots(figsize=(7.5, 2), layout="constrained")
    positions = np.arange(len(CLASSES))
    axis.bar(positions - 0.2, targets, width=0.38, color=INK, label="experts")
    axis.bar(positions + 0.2, predictions, width=0.38, color=ACCENT, label="predicted")
    axis.set_xticks(positions, CLASSES)
    axis.set(ylim=(0, 1.02))
    axis.set_xlabel("class", fontsize=8)
    axis.set_ylabel("share of the votes", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(title or "", loc="left", fontsize=10)
    plain(axis)
    return figure


def _readable(name: str) -> str:
    known = {
        "val_loss": "held-out loss",
        "val_kl": "held-out score, all rows",
        "val_kl_many_votes": f"held-out score, ≥ {MANY_VOTES} votes",
    }
    return known.get(name, "held-out " + name.removeprefix("val_").replace("_", " "))
