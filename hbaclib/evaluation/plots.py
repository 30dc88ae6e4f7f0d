"""Figures: signals, network inputs, learning, scores, calibration. Every axis has its unit.

Every function makes and returns one matplotlib figure; a notebook shows it with ``plt.show()``, the report closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hbaclib.conventions import CHAINS, CLASSES, EEG_COLUMNS, EEG_RATE, EEG_WINDOW, MANY_VOTES, RAW_PAIRS, REGIONS
from hbaclib.errors import DataError
from hbaclib.evaluation.calibration import reliability
from hbaclib.evaluation.metric import Shares, check_shares

CHANNEL_NAMES = tuple(f"{source} {region}" for source in ("Kaggle", "EEG") for region in REGIONS)
"""The eight channels of an assembled input."""

REGION_TITLES = {"LL": "left temporal", "RL": "right temporal", "LP": "left parasagittal", "RP": "right parasagittal"}

# Okabe and Ito's colours: told apart by colour-blind readers and in print.
CLASS_COLOURS = dict(zip(CLASSES, ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#7F7F7F"), strict=True))
_INK, _MUTED, _ACCENT = "#1F2933", "#8A94A0", "#0072B2"

_MONTAGE_ORDER = ("LL", "LP", "RP", "RL")
_LABELLED_SECONDS = (20, 30)
_KAGGLE_SECONDS = (44.0, 556.0)
_MEL_TICKS_HZ = (1, 4, 8, 12, 16, 20)


def plot_montage(
    eeg: np.ndarray, title: str | None = None, seconds: tuple[float, float] = (0, 50), microvolt: float | None = None
) -> Figure:
    """Draw a recording in longitudinal bipolar montage, as a reader of EEG expects it.

    Args:
        eeg: (n, 20) microvolt, columns as EEG_COLUMNS. NaN leaves a gap.
        title: above the drawing.
        seconds: part to show. The labelled ten seconds of a 50-s window are shaded where they are a part of it.
        microvolt: distance between two traces; None: chosen from the signal.

    Raises:
        DataError: the array is not (n, 20), or the part lies outside it.
    """
    eeg = np.asarray(eeg, dtype=np.float64)
    start, stop = (round(second * EEG_RATE) for second in seconds)
    if eeg.ndim != 2 or eeg.shape[1] != len(EEG_COLUMNS) or not 0 <= start < min(stop, len(eeg)):
        raise DataError(f"eeg: shape {eeg.shape}, seconds {seconds}; expected (n, {len(EEG_COLUMNS)}) that covers them")
    part = eeg[start:stop]
    time = (start + np.arange(len(part))) / EEG_RATE
    pairs = [pair for region in _MONTAGE_ORDER for pair in zip(CHAINS[region], CHAINS[region][1:], strict=False)]
    traces = np.stack([part[:, EEG_COLUMNS.index(a)] - part[:, EEG_COLUMNS.index(b)] for a, b in pairs], axis=1)
    traces = traces - np.nan_to_num(_nan_median(traces))
    if microvolt is None:
        spread = np.nanpercentile(np.abs(traces), 97) if np.isfinite(traces).any() else 0.0
        microvolt = float(np.clip(_round_number(1.6 * spread), 20, 1000))
    figure, axis = plt.subplots(figsize=(10, 6.2), layout="constrained")
    gaps = 0.8 * np.repeat(np.arange(len(_MONTAGE_ORDER)), 4)
    offsets = -(np.arange(len(pairs)) + gaps)
    for index, offset in enumerate(offsets):
        left = _MONTAGE_ORDER[index // 4].startswith("L")
        # A trace may cross its neighbours, as on paper, but not the whole page.
        shown = np.clip(traces[:, index] / microvolt, -3, 3) + offset
        axis.plot(time, shown, color=_ACCENT if left else "#B03A2E", linewidth=0.6)
    if seconds[0] < _LABELLED_SECONDS[1] and seconds[1] > _LABELLED_SECONDS[0] and len(eeg) == EEG_WINDOW:
        low, high = max(seconds[0], _LABELLED_SECONDS[0]), min(seconds[1], _LABELLED_SECONDS[1])
        if (low, high) != tuple(seconds):
            axis.axvspan(low, high, color="#F3E9C6", zorder=0, linewidth=0)
    axis.set_yticks(offsets, [f"{a}–{b}" for a, b in pairs], fontsize=8)
    width = time[-1] - time[0]
    axis.plot([time[-1] + 0.012 * width] * 2, [offsets[-1], offsets[-1] + 1], color=_INK, linewidth=2, clip_on=False)
    axis.text(time[-1] + 0.02 * width, offsets[-1] + 0.5, f"{microvolt:g} µV", va="center", fontsize=8, color=_INK)
    axis.set(xlim=(time[0], time[-1] + 0.075 * width), ylim=(offsets[-1] - 1.5, 1.5), xlabel="time (s)")
    axis.set_ylabel("bipolar derivation")
    _plain(axis, left=False)
    axis.grid(axis="x", color="#E3E7EB", linewidth=0.6)
    if title:
        axis.set_title(title, loc="left", fontsize=11)
    return figure


def plot_input(image: np.ndarray, title: str | None = None) -> Figure:
    """Draw the planes of a network input: upper row the ten minutes, lower row the EEG's fifty seconds.

    Args:
        image: (128, 256, 8), or (128, 256, 4) for the planes of an EEG alone.
        title: above the drawing.
    """
    image = np.asarray(image, dtype=np.float32)
    if image.shape[:2] != (128, 256) or image.shape[2:] not in ((8,), (4,)):
        raise DataError(f"image: shape {image.shape}; expected (128, 256, 8) or (128, 256, 4)")
    names = CHANNEL_NAMES if image.shape[2] == 8 else CHANNEL_NAMES[4:]
    lines, width, space = len(names) // 4, 12.0, 0.55
    height = space + 2.45 * lines
    figure = plt.figure(figsize=(width, height))
    # Laid out by hand: ten panels take matplotlib's own layout longer than the drawing itself.
    grid = figure.add_gridspec(
        lines,
        5,
        width_ratios=[1, 1, 1, 1, 0.05],
        left=0.055,
        right=0.945,
        bottom=0.5 / height,
        top=1 - (0.3 + (0.35 if title else 0)) / height,
        wspace=0.1,
        hspace=0.5,
    )
    for row in range(lines):
        kaggle = names[4 * row].startswith("Kaggle")
        shown: Any = None
        for column in range(4):
            axis = figure.add_subplot(grid[row, column])
            plane = image[:, :, 4 * row + column]
            shown = _show_kaggle(axis, plane) if kaggle else _show_eeg(axis, plane)
            axis.set_title(f"{names[4 * row + column]} ({REGION_TITLES[REGIONS[column]]})", fontsize=9)
            axis.set_xlabel("time in the ten minutes (s)" if kaggle else "time in the fifty seconds (s)", fontsize=8)
            axis.tick_params(labelsize=7, labelleft=column == 0)
            if column == 0:
                axis.set_ylabel("frequency (Hz)" if kaggle else "frequency (Hz, mel)", fontsize=8)
        bar = figure.colorbar(shown, cax=figure.add_subplot(grid[row, 4]))
        bar.set_label("ln power, standardised" if kaggle else "dB, scaled", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    if title:
        figure.suptitle(title, fontsize=11, y=1 - 0.12 / height, va="top")
    return figure


def plot_class_example(eeg: np.ndarray, image: np.ndarray, title: str | None = None) -> Figure:
    """Draw the labelled ten seconds of an EEG beside its four mel-spectrogram planes.

    Args:
        eeg: (10000, 20) microvolt.
        image: (128, 256, 4) planes in the order of REGIONS.
        title: above the drawing.
    """
    eeg, image = np.asarray(eeg, dtype=np.float64), np.asarray(image, dtype=np.float32)
    if eeg.shape != (EEG_WINDOW, len(EEG_COLUMNS)) or image.shape != (128, 256, 4):
        raise DataError(f"eeg {eeg.shape}, image {image.shape}; expected ({EEG_WINDOW}, 20) and (128, 256, 4)")
    figure, axes = plt.subplot_mosaic(
        [["eeg", "LL", "RL"], ["eeg", "LP", "RP"]], figsize=(12, 5), width_ratios=[1.5, 1, 1], layout="constrained"
    )
    start, stop = (second * EEG_RATE for second in _LABELLED_SECONDS)
    time = np.arange(start, stop) / EEG_RATE
    pairs = [pair for region in _MONTAGE_ORDER for pair in zip(CHAINS[region], CHAINS[region][1:], strict=False)]
    part = eeg[start:stop]
    traces = np.stack([part[:, EEG_COLUMNS.index(a)] - part[:, EEG_COLUMNS.index(b)] for a, b in pairs], axis=1)
    traces = traces - np.nan_to_num(_nan_median(traces))
    spread = np.nanpercentile(np.abs(traces), 97) if np.isfinite(traces).any() else 0.0
    microvolt = float(np.clip(_round_number(1.6 * spread), 20, 1000))
    axis = axes["eeg"]
    axis.plot(time, np.clip(traces / microvolt, -3, 3) - np.arange(len(pairs)), color=_ACCENT, linewidth=0.5)
    axis.set_yticks(-np.arange(len(pairs)), [f"{a}–{b}" for a, b in pairs], fontsize=7)
    axis.set(xlabel="time (s)", xlim=_LABELLED_SECONDS, ylabel=f"bipolar derivation ({microvolt:g} µV apart)")
    _plain(axis, left=False)
    shown: Any = None
    for index, region in enumerate(REGIONS):
        shown = _show_eeg(axes[region], image[:, :, index])
        axes[region].set_title(f"{region} ({REGION_TITLES[region]})", fontsize=9)
        axes[region].set(xlabel="time (s)", ylabel="frequency (Hz, mel)")
        axes[region].tick_params(labelsize=7)
    figure.colorbar(shown, ax=[axes["RL"], axes["RP"]], label="dB, scaled")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def plot_learning_curves(history: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw training loss and held-out score against the epoch, one line per fold.

    Args:
        history: columns ``epoch``, ``loss``, optionally ``val_*`` (one panel each), ``fold``, and ``stage``: stages
            follow each other on the axis, a dotted line between them.
        title: above the drawing.
    """
    if missing := [name for name in ("epoch", "loss") if name not in history.columns]:
        raise DataError(f"history: column missing: {', '.join(missing)}; found {', '.join(map(str, history.columns))}")
    held_out = [name for name in history.columns if str(name).startswith("val_") and history[name].notna().any()]
    panels = {"loss": "training loss", **{name: _readable(str(name)) for name in held_out}}
    order = [name for name in ("stage", "epoch") if name in history.columns]
    groups: list[tuple[Any, pd.DataFrame]] = [("", history)]
    if "fold" in history.columns:
        groups = list(history.groupby("fold", sort=True))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(max(5.0, 4.0 * len(panels)), 3.2), layout="constrained", squeeze=False
    )
    colours = plt.colormaps["viridis"](np.linspace(0.05, 0.85, len(groups)))
    for axis, (column, label) in zip(axes[0], panels.items(), strict=True):
        for (fold, part), colour in zip(groups, colours, strict=True):
            shown = part.sort_values(order, kind="stable")
            name = str(fold) if str(fold).startswith("fold") or not str(fold) else f"fold {fold}"
            epochs = np.arange(1, len(shown) + 1)
            axis.plot(epochs, shown[column], marker="o", markersize=3, linewidth=1.2, color=colour, label=name)
        if "stage" in history.columns:
            changes = np.flatnonzero(np.diff(groups[0][1].sort_values(order, kind="stable")["stage"]))
            for change in changes:
                axis.axvline(change + 1.5, color=_MUTED, linewidth=0.8, linestyle=":")
        axis.set(xlabel="epoch", ylabel="KL divergence (nats)")
        axis.set_title(label, fontsize=10)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _plain(axis)
    if len(groups) > 1:
        axes[0, -1].legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def show_augmentations(inputs: Any, plan: Any, row: int = 0, draws: int = 4, seed: int = 0) -> Figure:
    """Draw a sample as stored beside augmented draws of it: the first plane of each half, or two of the raw signals.

    Args:
        inputs: arrays with ``gather(rows, inputs=...)``.
        plan: recipe with ``inputs``, ``augmentation`` and ``augment_with``.
        row: row of the samples table.
        draws: number of augmented draws.
        seed: of the draws.
    """
    from hbaclib.inputs.augment import augment

    stored = np.asarray(inputs.gather(np.array([row]), inputs=plan.inputs), dtype=np.float32)
    rng = np.random.default_rng(seed)
    # Probabilities of 1 would show every augmentation at once; drawn as in training, some draws may stay unchanged.
    drawn = [augment(stored.copy(), rng, plan.augmentation, library=plan.augment_with)[0] for _ in range(draws)]
    samples = [stored[0], *drawn]
    names = ["as stored", *[f"draw {number + 1}" for number in range(draws)]]
    channels = (0, 4) if stored.shape[-1] == 8 else (0, 1)
    figure, axes = plt.subplots(
        2, len(samples), figsize=(2.4 * len(samples), 4.2), layout="constrained", sharex="row", sharey="row"
    )
    for column, (sample, name) in enumerate(zip(samples, names, strict=True)):
        for line, channel in enumerate(channels):
            axis = axes[line, column]
            if sample.ndim == 2:
                axis.plot(np.arange(len(sample)) * 50 / len(sample), sample[:, channel], linewidth=0.4, color=_ACCENT)
                label = "–".join(RAW_PAIRS[channel])
                axis.set_xlabel("time (s)", fontsize=8)
            else:
                kaggle = plan.inputs in ("both", "kaggle") and channel < 4
                (_show_kaggle if kaggle else _show_eeg)(axis, sample[:, :, channel])
                label = CHANNEL_NAMES[channel if plan.inputs != "eeg" else channel + 4]
                axis.set_xlabel("time in the ten minutes (s)" if kaggle else "time (s)", fontsize=8)
            axis.tick_params(labelsize=7)
            if line == 0:
                axis.set_title(name, fontsize=9)
            if column == 0:
                unit = "signal (scaled)" if sample.ndim == 2 else "frequency (Hz)"
                axis.set_ylabel(f"{label}\n{unit}", fontsize=8)
    return figure


def plot_confusion(targets: Shares, predictions: Shares, title: str | None = None) -> Figure:
    """Draw which classes the model predicts (mean shares) for recordings of each class of the experts' plurality."""
    true, predicted = check_shares(targets, "targets"), check_shares(predictions, "predictions")
    plurality = true.argmax(axis=1)
    counts = np.bincount(plurality, minlength=len(CLASSES))
    means = np.array([predicted[plurality == k].mean(axis=0) if counts[k] else np.full(6, np.nan) for k in range(6)])
    figure, axis = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
    shown = axis.imshow(means, vmin=0, vmax=1, cmap="Blues")
    for row in range(len(CLASSES)):
        for column in range(len(CLASSES)):
            if np.isfinite(means[row, column]):
                ink = "white" if means[row, column] > 0.55 else _INK
                axis.text(column, row, f"{means[row, column]:.2f}", ha="center", va="center", color=ink, fontsize=8)
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
        axis.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8, linestyle="--")
        axis.plot(part["predicted"], part["observed"], color=CLASS_COLOURS[name], linewidth=1.2)
        sizes = 8 + 90 * part["n"] / part["n"].max()
        axis.scatter(part["predicted"], part["observed"], s=sizes, color=CLASS_COLOURS[name], alpha=0.85, zorder=3)
        axis.set(title=name, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axis.set_aspect("equal")
        _plain(axis)
    figure.supxlabel("predicted share (area of a point: number of samples)", fontsize=9)
    figure.supylabel("experts' mean share", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


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
    figure, axes = plt.subplots(
        1,
        len(tiers),
        figsize=(max(5.5, 2.9 * len(tiers) + 1), height),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    positions = -np.arange(len(tables))
    for axis, name in zip(axes[0], tiers, strict=True):
        rows = [table.set_index("tier").loc[name] for table in tables.values()]
        for position, (model, row) in zip(positions, zip(tables, rows, strict=True), strict=True):
            colour = _model_colour(model)
            axis.plot([row["low"], row["high"]], [position] * 2, color=colour, linewidth=2, solid_capstyle="butt")
            axis.plot(row["kl"], position, "o", color=colour, markersize=5)
        votes = "all" if name == "all" else name.replace(">=", "≥ ") + " votes"
        axis.set_title(f"{votes} (n = {int(rows[0]['n']):,})")
        axis.title.set_fontsize(9)
        axis.set_xlabel("KL divergence (nats)", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.locator_params(axis="x", nbins=4)
        axis.margins(x=0.12)
        _plain(axis, left=False)
        axis.grid(axis="x", color="#E3E7EB", linewidth=0.6)
    axes[0, 0].set_yticks(positions, list(tables))
    axes[0, 0].set_ylim(positions[-1] - 0.6, 0.6)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def plot_weights(table: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw each model's weight in the ensemble and what it adds, from an ensemble's table."""
    shown = table.iloc[::-1]
    figure, axes = plt.subplots(1, 2, figsize=(9, 1.1 + 0.32 * len(table)), layout="constrained", sharey=True)
    axes[0].barh(shown["name"], shown["weight"].astype(float), color=_ACCENT, height=0.65)
    axes[0].set(xlabel="weight", ylabel="model")
    axes[1].barh(shown["name"], shown["adds"].astype(float).fillna(0), color="#009E73", height=0.65)
    axes[1].set(xlabel="rise of the KL divergence without it (nats)")
    axes[1].axvline(0, color=_MUTED, linewidth=0.8)
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.locator_params(axis="x", nbins=5)
        _plain(axis, left=False)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def plot_folds(balance: pd.DataFrame, title: str | None = None) -> Figure:
    """Draw the class balance of every fold as stacked bars.

    Args:
        balance: one row per fold; columns ``fold``, ``patients``, ``samples`` and CLASSES (mean shares).
        title: above the drawing.
    """
    figure, axis = plt.subplots(figsize=(7.5, 1.3 + 0.42 * len(balance)), layout="constrained")
    left = np.zeros(len(balance))
    labels = [
        f"fold {int(row['fold'])} ({int(row['patients']):,} patients, {int(row['samples']):,} samples)"
        for row in balance.to_dict("records")
    ]
    positions = -np.arange(len(balance))
    for name in CLASSES:
        values = balance[name].to_numpy(float)
        axis.barh(positions, values, left=left, color=CLASS_COLOURS[name], label=name, height=0.7)
        left += values
    axis.set_yticks(positions, labels, fontsize=8)
    axis.set(xlim=(0, 1), xlabel="mean share of the votes")
    axis.legend(ncols=6, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8, handlelength=1)
    _plain(axis, left=False)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def plot_votes(targets: np.ndarray, predictions: np.ndarray, title: str | None = None) -> Figure:
    """Draw the experts' shares beside the predicted ones for one sample; both (6,)."""
    figure, axis = plt.subplots(figsize=(5, 2.2), layout="constrained")
    positions = np.arange(len(CLASSES))
    axis.bar(positions - 0.2, targets, width=0.38, color=_INK, label="experts")
    axis.bar(positions + 0.2, predictions, width=0.38, color=_ACCENT, label="predicted")
    axis.set_xticks(positions, CLASSES, fontsize=8)
    axis.set(ylim=(0, 1.02), ylabel="share of the votes", xlabel="class")
    axis.legend(frameon=False, fontsize=8)
    _plain(axis)
    if title:
        axis.set_title(title, loc="left", fontsize=10)
    return figure


def _show_kaggle(axis: Axes, plane: np.ndarray) -> Any:
    from hbaclib.conventions import SPECTROGRAM_FREQUENCIES

    # Rows 14..113 of the plane hold the 100 frequencies, its columns the central 512 s of the ten minutes.
    extent = (*_KAGGLE_SECONDS, SPECTROGRAM_FREQUENCIES[0], SPECTROGRAM_FREQUENCIES[-1])
    return axis.imshow(plane[14:114], origin="lower", aspect="auto", extent=extent, cmap="viridis", vmin=-1.5, vmax=1.5)


def _show_eeg(axis: Axes, plane: np.ndarray) -> Any:
    shown = axis.imshow(plane, origin="lower", aspect="auto", extent=(0, 50, 0, 128), cmap="viridis", vmin=-1, vmax=1)
    # Below 1 kHz Slaney's mel scale is linear, so 128 bands cover 0-20 Hz evenly.
    axis.set_yticks([128 * hertz / 20 for hertz in _MEL_TICKS_HZ], [str(hertz) for hertz in _MEL_TICKS_HZ])
    return shown


def _plain(axis: Axes, left: bool = True) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_MUTED)
    if not left:
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)


def _model_colour(name: str) -> str:
    if name == "ensemble":
        return "#D55E00"
    return _MUTED if name in ("class mean", "oracle") else _ACCENT


def _readable(name: str) -> str:
    known = {
        "val_loss": "held-out loss",
        "val_kl": "held-out score, all rows",
        "val_kl_many_votes": f"held-out score, ≥ {MANY_VOTES} votes",
    }
    return known.get(name, "held-out " + name.removeprefix("val_").replace("_", " "))


def _nan_median(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values).any(axis=0)
    median = np.zeros(values.shape[1])
    median[known] = np.nanmedian(values[:, known], axis=0)
    return median


def _round_number(value: float) -> float:
    if value <= 0:
        return 20.0
    scale = 10 ** np.floor(np.log10(value))
    return float(scale * min((1, 2, 5, 10), key=lambda step: abs(np.log(step * scale / value))))
