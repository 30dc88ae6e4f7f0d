"""Pictures of what the generator makes, class by class, if wanted beside real recordings on the same scales."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hbaclib.conventions import CHAINS, CLASSES, EEG_COLUMNS, EEG_RATE, EEG_WINDOW, REGIONS, SPECTROGRAM_FREQUENCIES
from hbaclib.dataset.synthetic.plan import EEG_LEAD
from hbaclib.dataset.synthetic.recording import make_recording, make_segment
from hbaclib.dataset.synthetic.statistics import describe, filtered_bipolar, power_spectrum
from hbaclib.errors import DataFileError
from hbaclib.signal.mel import eeg_spectrogram
from hbaclib.signal.multitaper import kaggle_spectrogram

_PAIR_NAMES = [f"{a}-{b}" for chain in CHAINS.values() for a, b in itertools.pairwise(chain)]
_BAND = (0.5, 30.0)
_MANY = 12
"""Synthetic recordings of a class behind the bands of spectra and quantiles."""


@dataclass(frozen=True)
class _Example:
    title: str
    eeg: np.ndarray
    spectrogram: np.ndarray
    first_centre: float


def _synthetic(kind: str, seed: int) -> _Example:
    made = make_recording(kind, seed * 100 + CLASSES.index(kind), difficulty=0.3)
    eeg = made.eeg[EEG_LEAD * EEG_RATE : EEG_LEAD * EEG_RATE + EEG_WINDOW]
    likely = ", ".join(f"{CLASSES[i]} {made.probability[i]:.2f}" for i in np.argsort(-made.probability)[:2])
    return _Example(f"synthetic, meant {kind} (readers: {likely})", eeg, kaggle_spectrogram(made.eeg), 1 - 300)


def _real_labels(real: Path) -> pd.DataFrame:
    for name in ("train.csv", "eeg_labels.csv"):
        if (real / name).is_file():
            table = pd.read_csv(real / name)
            if {"eeg_id", "expert_consensus"} <= set(table.columns):
                return table.drop_duplicates("eeg_id")
    raise DataFileError(f"{real}: no train.csv or eeg_labels.csv with columns eeg_id, expert_consensus; expected one")


def _real(kind: str, real: Path, labels: pd.DataFrame) -> _Example | None:
    rows = labels[labels["expert_consensus"] == kind]
    if rows.empty:
        return None
    eeg = pd.read_parquet(real / "train_eegs" / f"{rows['eeg_id'].iloc[0]}.parquet")[list(EEG_COLUMNS)]
    window = eeg.to_numpy(dtype=np.float32)[:EEG_WINDOW]
    title = f"real, labelled {kind}"
    if "spectrogram_id" in rows and (real / "train_spectrograms").is_dir():
        path = real / "train_spectrograms" / f"{rows['spectrogram_id'].iloc[0]}.parquet"
        return _Example(title, window, pd.read_parquet(path).iloc[:300, 1:].to_numpy(), 1 - 300)
    return _Example(title, window, kaggle_spectrogram(window, first_centre=2.0), 2 - 25)


def _montage(axes: Axes, eeg: np.ndarray) -> None:
    signals = filtered_bipolar(eeg, *_BAND)
    scale = max(50.0, 25 * np.ceil(np.percentile(np.abs(signals), 99.5) / 25 * 0.7))
    heights = [-(pair + 0.8 * (pair // 4)) for pair in range(16)]
    seconds = np.arange(len(signals)) / EEG_RATE - 25
    axes.axvspan(-5, 5, color="#ffe9b8", lw=0)
    for pair, height in enumerate(heights):
        axes.plot(seconds, np.clip(signals[:, pair] / scale, -1.6, 1.6) + height, lw=0.45, color="black")
    axes.set_yticks(heights, _PAIR_NAMES, fontsize=7)
    axes.set_xlim(-12.5, 12.5)
    axes.set_ylim(heights[-1] - 1.9, 1.6)
    axes.set_xlabel("seconds from the labelled moment (labelled 10 s shaded)")
    axes.plot([-12.0, -12.0], [heights[-1] - 1.7, heights[-1] - 0.7], color="#b03030", lw=2.5, clip_on=False)
    axes.text(-11.7, heights[-1] - 1.5, f"{scale:.0f} µV", color="#b03030", fontsize=8)


def _planes(axes: Axes, planes: list[np.ndarray], extent: tuple[float, float, float, float], limits: tuple) -> None:
    """Four pictures above one another, regions named at the left."""
    left, right, low, high = extent
    height = high - low
    for index, plane in enumerate(planes):
        base = (3 - index) * height * 1.06
        axes.imshow(
            plane,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=limits[0],
            vmax=limits[1],
            extent=(left, right, base, base + height),
        )
    axes.set_xlim(left, right)
    axes.set_ylim(0, 4.18 * height)
    axes.set_yticks([(3 - i) * height * 1.06 + height / 2 for i in range(4)], REGIONS)
    axes.set_facecolor("white")


def _mel(axes: Axes, eeg: np.ndarray) -> None:
    image = eeg_spectrogram(eeg)
    _planes(axes, [image[:, :, i] for i in range(4)], (-25, 25, 0, 20), (-0.6, 1))
    axes.set_xlabel("seconds")
    axes.set_ylabel("0-20 Hz (mel) in each region", fontsize=8)
    axes.set_title("EEG mel-spectrogram, the network's input", fontsize=9)


def _ten_minutes(axes: Axes, example: _Example) -> None:
    logs = np.log(np.clip(example.spectrogram, np.exp(-4), np.exp(8)))
    first, last = example.first_centre - 1, example.first_centre - 1 + 2 * len(logs)
    limits = (np.nanpercentile(logs, 3), np.nanpercentile(logs, 99.5))
    _planes(axes, [logs[:, 100 * i : 100 * i + 100].T for i in range(4)], (first, last, 0, 20), limits)
    minutes = last - first > 120
    if minutes:
        axes.set_xticks(np.arange(-300, 301, 100))
    axes.set_xlabel("seconds from the labelled moment")
    axes.set_ylabel(f"{SPECTROGRAM_FREQUENCIES[0]:.1f}-{SPECTROGRAM_FREQUENCIES[-1]:.1f} Hz in each region", fontsize=8)
    axes.set_title("10-minute spectrogram, ln power" if minutes else "spectrogram of the 50 s, ln power", fontsize=9)


def _spectra(axes: Axes, kind: str, seed: int, example: _Example) -> None:
    curves = []
    for number in range(_MANY):
        segment = make_segment(kind, 1_000_000 + 1000 * seed + 50 * CLASSES.index(kind) + number)
        frequencies, power = power_spectrum(filtered_bipolar(segment.eeg, 0.3, 60))
        curves.append(np.median(power, axis=1))
    shown = (frequencies >= 0.5) & (frequencies <= 45)
    low, middle, high = np.percentile(curves, [10, 50, 90], axis=0)
    axes.fill_between(
        frequencies[shown], low[shown], high[shown], color="#9db9d8", lw=0, label=f"10-90 % of {_MANY} synthetic {kind}"
    )
    axes.plot(frequencies[shown], middle[shown], color="#2d5d92", lw=1, label="their median")
    _, power = power_spectrum(filtered_bipolar(example.eeg, 0.3, 60))
    axes.plot(frequencies[shown], np.median(power, axis=1)[shown], color="#b03030", lw=1.2, label="the recording above")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
    axes.minorticks_off()
    axes.set_ylim(1e-3, 3e3)
    axes.set_xlabel("Hz")
    axes.set_ylabel("µV²/Hz, median of the bipolar differences", fontsize=8)
    axes.set_title("power spectrum", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


def _draw_class(kind: str, examples: list[_Example], seed: int) -> Figure:
    n = len(examples)
    figure = Figure(figsize=(9.5 * n, 17), layout="constrained")
    axes = figure.subplots(4, n, squeeze=False, gridspec_kw={"height_ratios": [3.2, 1.6, 1.6, 1.4]})
    for column, example in enumerate(examples):
        axes[0][column].set_title(example.title, fontsize=11)
        _montage(axes[0][column], example.eeg)
        _mel(axes[1][column], example.eeg)
        _ten_minutes(axes[2][column], example)
        _spectra(axes[3][column], kind, seed, example)
    return figure


def _draw_overview(seed: int, real: dict[str, np.ndarray]) -> Figure:
    """Quantiles of amplitude, slope, correlation and symmetry per class, real recordings as crosses."""
    shown: list[tuple[str, str, Callable[[float], float]]] = [
        ("median_sd", "sd of the median difference, 0.5-20 Hz (µV)", lambda value: float(np.exp(value))),
        ("best_to_median", "best / median difference", lambda value: float(np.exp(value))),
        ("slope", "slope of the power spectrum, 1-20 Hz", float),
        ("adjacent_correlation", "correlation of adjacent differences", float),
        ("sides", "weak / strong hemisphere", float),
        ("frontal", "ln front / back amplitude", float),
    ]
    figure = Figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    for index, kind in enumerate(CLASSES):
        rows = [describe(make_segment(kind, 2_000_000 + 1000 * seed + 40 * index + i).eeg) for i in range(3 * _MANY)]
        found = describe(real[kind]) if kind in real else None
        for (name, _, scale), axis in zip(shown, axes.flat, strict=True):
            values = np.array([scale(row[name]) for row in rows])
            low, middle, high = np.percentile(values, [10, 50, 90])
            axis.plot([index, index], [low, high], color="#9db9d8", lw=7, solid_capstyle="butt")
            axis.plot(index, middle, "o", color="#2d5d92")
            if found:
                axis.plot(index, scale(found[name]), "x", color="#b03030", ms=9, mew=2)
    for (name, label, _), axis in zip(shown, axes.flat, strict=True):
        axis.set_xticks(range(6), CLASSES)
        axis.set_ylabel(label)
        if name in {"median_sd", "best_to_median"}:
            axis.set_yscale("log")
            ticks = [5, 10, 20, 40] if name == "median_sd" else [1.5, 2, 3, 4]
            axis.set_yticks(ticks, [str(tick) for tick in ticks])
            axis.minorticks_off()
    note = "; crosses: one real recording of each class" if real else ""
    figure.suptitle(f"Synthetic recordings by class: 10, 50, 90 % of {3 * _MANY}{note}")
    return figure


def preview_figures(out_folder: str | Path, seed: int = 0, real: str | Path | None = None) -> list[Path]:
    """Draw one figure per class and an overview.

    Args:
        out_folder: where the PNG files go; made if absent.
        seed: chooses the examples.
        real: a folder with ``train_eegs/`` and a ``train.csv`` or ``eeg_labels.csv`` (eeg_id, expert_consensus): one
            recording per class is drawn beside, with the same filter; amplitude scales are written in each picture.

    Returns:
        The files, one per class and ``overview.png``.

    Raises:
        DataFileError: ``real`` holds no usable table of labels.
    """
    out = Path(out_folder)
    labels = _real_labels(Path(real)) if real is not None else None
    out.mkdir(parents=True, exist_ok=True)
    files, found = [], {}
    for kind in CLASSES:
        examples = [_synthetic(kind, seed)]
        other = _real(kind, Path(real), labels) if real is not None and labels is not None else None
        if other is not None:
            examples.append(other)
            found[kind] = other.eeg
        files.append(out / f"{kind.lower()}.png")
        _draw_class(kind, examples, seed).savefig(files[-1], dpi=80)
    files.append(out / "overview.png")
    _draw_overview(seed, found).savefig(files[-1], dpi=90)
    return files
