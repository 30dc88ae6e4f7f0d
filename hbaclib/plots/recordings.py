"""Figures of recordings and network inputs: montages, planes, augmentations."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE, EEG_WINDOW, RAW_PAIRS, REGIONS, SPECTROGRAM_FREQUENCIES
from hbaclib.errors import DataError
from hbaclib.plots.style import ACCENT, INK, plain, titled
from hbaclib.signal.filters import band_pass
from hbaclib.signal.montage import bipolar, chain_pairs

CHANNEL_NAMES = tuple(f"{source} {region}" for source in ("Kaggle", "EEG") for region in REGIONS)
"""The eight channels of an assembled input."""

REGION_TITLES = {"LL": "left temporal", "RL": "right temporal", "LP": "left parasagittal", "RP": "right parasagittal"}

_MONTAGE = [pair for region in ("LL", "LP", "RP", "RL") for pair in chain_pairs(region)]
DISPLAY_BAND = (0.5, 40.0)
"""Band-pass in which a montage is drawn, Hz: without drift and mains."""

_LABELLED_SECONDS = (20, 30)
_KAGGLE_SECONDS = (44.0, 556.0)
_MEL_TICKS_HZ = (1, 4, 8, 12, 16, 20)


def plot_montage(
    eeg: np.ndarray,
    title: str | None = None,
    seconds: tuple[float, float] = (0, 50),
    microvolt: float | None = None,
    band: tuple[float, float] | None = DISPLAY_BAND,
) -> Figure:
    """Draw a recording in longitudinal bipolar montage, as a reader of EEG expects it.

    Args:
        eeg: (n, 20) microvolt, columns as EEG_COLUMNS. NaN leaves a gap.
        title: above the drawing.
        seconds: part to show. The labelled ten seconds of a 50-s window are shaded where they are a part of it.
        microvolt: distance between two traces; None: chosen from the signal.
        band: band-pass of the drawing, Hz; None: as recorded.

    Raises:
        DataError: the array is not (n, 20), or the part lies outside it.
    """
    eeg = np.asarray(eeg, dtype=np.float64)
    start, stop = (round(second * EEG_RATE) for second in seconds)
    if eeg.ndim != 2 or eeg.shape[1] != len(EEG_COLUMNS) or not 0 <= start < min(stop, len(eeg)):
        raise DataError(f"eeg: shape {eeg.shape}, seconds {seconds}; expected (n, {len(EEG_COLUMNS)}) that covers them")
    figure, axis = plt.subplots(figsize=(10, 6.2), layout="constrained")
    draw_montage(axis, eeg, seconds, microvolt, band)
    axis.set_title(title or "", loc="left", fontsize=11)
    return figure


def montage_scale(
    eeg: np.ndarray, seconds: tuple[float, float] = (0, 50), band: tuple[float, float] | None = DISPLAY_BAND
) -> float:
    """Distance between two traces, µV, that `plot_montage` chooses for a recording."""
    start, stop = (round(second * EEG_RATE) for second in seconds)
    return _bipolar(np.asarray(eeg, dtype=np.float64), slice(start, stop), band)[1]


def draw_montage(
    axis: Axes,
    eeg: np.ndarray,
    seconds: tuple[float, float] = (0, 50),
    microvolt: float | None = None,
    band: tuple[float, float] | None = DISPLAY_BAND,
) -> None:
    """Draw a montage into an axis; see `plot_montage`."""
    start, stop = (round(second * EEG_RATE) for second in seconds)
    traces, suitable = _bipolar(eeg, slice(start, stop), band)
    time = (start + np.arange(len(traces))) / EEG_RATE
    microvolt = suitable if microvolt is None else microvolt
    offsets = -(np.arange(len(_MONTAGE)) + 0.8 * np.repeat(np.arange(4), 4))
    for index, offset in enumerate(offsets):
        # A trace may cross its neighbours, as on paper, but not the whole page.
        shown = np.clip(traces[:, index] / microvolt, -3, 3) + offset
        axis.plot(time, shown, color=ACCENT if index < 8 else "#B03A2E", linewidth=0.6)
    if seconds[0] < _LABELLED_SECONDS[1] and seconds[1] > _LABELLED_SECONDS[0] and len(eeg) == EEG_WINDOW:
        low, high = max(seconds[0], _LABELLED_SECONDS[0]), min(seconds[1], _LABELLED_SECONDS[1])
        if (low, high) != tuple(seconds):
            axis.axvspan(low, high, color="#F3E9C6", zorder=0, linewidth=0)
    axis.set_yticks(offsets, [f"{a}–{b}" for a, b in _MONTAGE], fontsize=8)
    width = time[-1] - time[0]
    axis.plot([time[-1] + 0.012 * width] * 2, [offsets[-1], offsets[-1] + 1], color=INK, linewidth=2, clip_on=False)
    axis.text(time[-1] + 0.02 * width, offsets[-1] + 0.5, f"{microvolt:g} µV", va="center", fontsize=8, color=INK)
    axis.set(xlim=(time[0], time[-1] + 0.075 * width), ylim=(offsets[-1] - 1.5, 1.5), xlabel="time (s)")
    axis.set_ylabel("bipolar derivation" + (f", {band[0]:g}–{band[1]:g} Hz" if band else ""))
    plain(axis, left=False)
    axis.grid(axis="x", color="#E3E7EB", linewidth=0.6)


def plot_input(image: np.ndarray, title: str | None = None) -> Figure:
    """Draw the planes of a network input: upper row the ten minutes, lower row the EEG's fifty seconds.

    Args:
        image: (128, 256, 8), or (128, 256, 4) for the planes of an EEG alone.
        title: above the drawing.
    """
    image = np.asarray(image, dtype=np.float32)
    if image.shape[:2] != (128, 256) or image.shape[2:] not in ((8,), (4,)):
        raise DataError(f"image: shape {image.shape}; expected (128, 256, 8) or (128, 256, 4)")
    height = 0.55 + 2.45 * (image.shape[2] // 4)
    figure = plt.figure(figsize=(12, height))
    draw_input(figure, image, height, bool(title))
    if title:
        figure.suptitle(title, fontsize=11, y=1 - 0.12 / height, va="top")
    return figure


def draw_input(figure: Figure | SubFigure, image: np.ndarray, height: float, titled: bool = False) -> None:
    """Draw the planes of a network input into a figure of so many inches' height; see `plot_input`."""
    names = CHANNEL_NAMES if image.shape[2] == 8 else CHANNEL_NAMES[4:]
    lines, bottom, top = len(names) // 4, 0.5 / height, 1 - (0.65 if titled else 0.3) / height
    # Laid out by hand: ten panels take matplotlib's own layout longer than the drawing itself.
    edges = {"left": 0.055, "right": 0.945, "bottom": bottom, "top": top, "wspace": 0.1, "hspace": 0.5}
    grid = figure.add_gridspec(lines, 5, width_ratios=[1, 1, 1, 1, 0.05], **edges)
    for row in range(lines):
        kaggle = names[4 * row].startswith("Kaggle")
        shown: Any = None
        for column in range(4):
            axis, number = figure.add_subplot(grid[row, column]), 4 * row + column
            shown = _show_plane(axis, image[:, :, number], kaggle)
            axis.set_title(f"{names[number]} ({REGION_TITLES[REGIONS[column]]})", fontsize=9)
            axis.tick_params(labelleft=column == 0)
            if column == 0:
                axis.set_ylabel("frequency (Hz)" if kaggle else "frequency (Hz, mel)", fontsize=8)
        bar = figure.colorbar(shown, cax=figure.add_subplot(grid[row, 4]))
        bar.set_label("ln power, standardised" if kaggle else "dB, scaled", fontsize=8)
        bar.ax.tick_params(labelsize=7)


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
    draw_montage(axes["eeg"], eeg, _LABELLED_SECONDS)
    shown: Any = None
    for index, region in enumerate(REGIONS):
        shown = _show_plane(axes[region], image[:, :, index], kaggle=False)
        axes[region].set_title(f"{region} ({REGION_TITLES[region]})", fontsize=9)
        axes[region].set_ylabel("frequency (Hz, mel)", fontsize=8)
    figure.colorbar(shown, ax=[axes["RL"], axes["RP"]], label="dB, scaled")
    return titled(figure, title)


def show_augmentations(inputs: Any, plan: Any, row: int = 0, draws: int = 4, seed: int = 0) -> Figure:
    """Draw a sample as stored beside augmented draws of it: the first plane of each half, or two of the raw signals.

    Args:
        inputs: arrays with ``gather(rows, kind)``.
        plan: recipe.
        row: row of the samples table.
        draws: number of augmented draws.
        seed: of the draws.
    """
    from hbaclib.inputs.augment import augment
    from hbaclib.inputs.pipeline import image_kind

    stored = np.asarray(inputs.gather(np.array([row]), image_kind(plan) or plan.inputs), dtype=np.float32)
    rng = np.random.default_rng(seed)
    # Probabilities of 1 would show every augmentation at once; drawn as in training, some draws may stay unchanged.
    drawn = [augment(stored.copy(), rng, plan.augmentation, library=plan.augment_with)[0] for _ in range(draws)]
    samples = [stored[0], *drawn]
    names = ["as stored", *[f"draw {number + 1}" for number in range(draws)]]
    channels = (0, 4) if stored.shape[-1] == 8 else (0, 1)
    figure, axes = plt.subplots(
        2, len(samples), figsize=(2.4 * len(samples), 4.2), layout="constrained", sharex="row", sharey="row"
    )
    for row_axes, channel in zip(axes, channels, strict=True):
        for axis, sample in zip(row_axes, samples, strict=True):
            if sample.ndim == 2:
                axis.plot(np.arange(len(sample)) * 50 / len(sample), sample[:, channel], linewidth=0.4, color=ACCENT)
                axis.set_xlabel("time (s)", fontsize=8)
                axis.tick_params(labelsize=7)
                label = "–".join(RAW_PAIRS[channel]) + "\nsignal (scaled)"
            else:
                name = CHANNEL_NAMES[channel if plan.inputs != "eeg" else channel + 4]
                _show_plane(axis, sample[:, :, channel], name.startswith("Kaggle"))
                label = f"{name}\nfrequency (Hz)"
        row_axes[0].set_ylabel(label, fontsize=8)
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, fontsize=9)
    return figure


def _show_plane(axis: Axes, plane: np.ndarray, kaggle: bool) -> Any:
    """Draw a plane of a network input: of the ten minutes (Kaggle's spectrogram), or of the EEG's fifty seconds."""
    if kaggle:
        # Rows 14..113 of the plane hold the 100 frequencies, its columns the central 512 s of the ten minutes.
        plane, limit = plane[14:114], 1.5
        extent = (*_KAGGLE_SECONDS, SPECTROGRAM_FREQUENCIES[0], SPECTROGRAM_FREQUENCIES[-1])
    else:
        extent, limit = (0.0, 50.0, 0.0, 128.0), 1.0
        # Below 1 kHz Slaney's mel scale is linear, so 128 bands cover 0-20 Hz evenly.
        axis.set_yticks([128 * hertz / 20 for hertz in _MEL_TICKS_HZ], [str(hertz) for hertz in _MEL_TICKS_HZ])
    axis.set_xlabel("time in the ten minutes (s)" if kaggle else "time in the fifty seconds (s)", fontsize=8)
    axis.tick_params(labelsize=7)
    return axis.imshow(plane, extent=extent, vmin=-limit, vmax=limit, origin="lower", aspect="auto", cmap="viridis")


def _bipolar(eeg: np.ndarray, part: slice, band: tuple[float, float] | None) -> tuple[np.ndarray, float]:
    """The montage's 16 traces in a part of a recording, and a distance between them that suits them, µV."""
    traces = bipolar(eeg, _MONTAGE)
    if band is not None:
        traces = _filtered(traces, band)
    traces = traces[part]
    known = np.isfinite(traces).any(axis=0)
    if not known.any():
        return traces, 20.0
    traces[:, known] -= np.nanmedian(traces[:, known], axis=0)
    spread = np.nanpercentile(np.abs(traces[:, known]), 97)
    return traces, float(_round_number(np.clip(1.6 * spread, 20, 1000)))


def _filtered(traces: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Zero-phase band-pass of (n, m) traces; gaps are bridged for the filter and stay gaps."""
    missing = np.isnan(traces)
    bridged = pd.DataFrame(traces).interpolate(limit_direction="both").fillna(0.0).to_numpy()
    return np.where(missing, np.nan, band_pass(bridged, *band, order=2))


def _round_number(value: float) -> float:
    scale = 10 ** np.floor(np.log10(value))
    return float(scale * min((1, 2, 5, 10), key=lambda step: abs(np.log(step * scale / value))))
