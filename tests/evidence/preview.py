"""Pictures of what the generator makes, class by class, if wanted beside real recordings on the same scales.

``python -m tests.evidence.preview FOLDER [REAL]`` draws them into FOLDER.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hbaclib.conventions import CLASSES, EEG_RATE, EEG_WINDOW, SPECTROGRAM_WINDOW
from hbaclib.dataset.from_eeg import rows_from_eeg
from hbaclib.dataset.synthetic.plan import EEG_LEAD, SPECTROGRAM_SECONDS
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.errors import DataFileError
from hbaclib.plots.recordings import draw_input, draw_montage
from hbaclib.recordings.parquet import read_eeg, read_spectrogram
from hbaclib.signal.images import assemble_input
from hbaclib.signal.multitaper import kaggle_spectrogram
from tests.evidence.statistics import describe, filtered_bipolar, power_spectrum

_BAND = (0.5, 30.0)
_SHOWN_SECONDS = (12.5, 37.5)
_MANY = 12
"""Synthetic recordings of a class behind the bands of spectra and quantiles."""


@dataclass(frozen=True)
class _Example:
    title: str
    eeg: np.ndarray
    spectrogram: np.ndarray


def _synthetic(kind: str, seed: int) -> _Example:
    made = make_segment(kind, seed * 100 + CLASSES.index(kind), difficulty=0.3, seconds=SPECTROGRAM_SECONDS)
    eeg = made.eeg[EEG_LEAD * EEG_RATE : EEG_LEAD * EEG_RATE + EEG_WINDOW]
    likely = ", ".join(f"{CLASSES[i]} {made.probability[i]:.2f}" for i in np.argsort(-made.probability)[:2])
    return _Example(f"synthetic, meant {kind} (readers: {likely})", eeg, kaggle_spectrogram(made.eeg))


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
    eeg = real / "train_eegs" / f"{rows['eeg_id'].iloc[0]}.parquet"
    spectrogram = rows_from_eeg(SPECTROGRAM_WINDOW, [(str(eeg), EEG_LEAD)])
    if "spectrogram_id" in rows and (real / "train_spectrograms").is_dir():
        path = real / "train_spectrograms" / f"{rows['spectrogram_id'].iloc[0]}.parquet"
        spectrogram = read_spectrogram(path)[:SPECTROGRAM_WINDOW]
    return _Example(f"real, labelled {kind}", read_eeg(eeg)[:EEG_WINDOW], spectrogram)


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
    axes.set(xscale="log", yscale="log", ylim=(1e-3, 3e3), xlabel="Hz", title="power spectrum")
    axes.set_ylabel("µV²/Hz, median of the bipolar differences", fontsize=8)
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
    axes.minorticks_off()
    axes.legend(fontsize=7, frameon=False)


def _draw_class(kind: str, examples: list[_Example], seed: int) -> Figure:
    """A column an example: montage, the network's input, power spectrum."""
    heights = [6.2, 5.45, 4.0]
    figure = Figure(figsize=(12 * len(examples), sum(heights)))
    parts = figure.subfigures(3, len(examples), squeeze=False, height_ratios=heights)
    for column, example in zip(parts.T, examples, strict=True):
        montage, planes, spectrum = column
        axes = montage.subplots(gridspec_kw={"left": 0.06, "right": 0.98, "bottom": 0.08})
        draw_montage(axes, example.eeg, _SHOWN_SECONDS, band=_BAND)
        axes.set_title(example.title, fontsize=11)
        draw_input(planes, assemble_input(example.spectrogram, example.eeg), heights[1])
        _spectra(spectrum.subplots(gridspec_kw={"left": 0.06, "right": 0.98, "bottom": 0.13}), kind, seed, example)
    return figure


def _draw_overview(seed: int, real: dict[str, np.ndarray]) -> Figure:
    """Quantiles of amplitude, slope, correlation and symmetry per class, real recordings as crosses."""
    shown = {
        "median_sd": "ln sd of the median difference, 0.5-20 Hz (µV)",
        "best_to_median": "ln best / median difference",
        "slope": "slope of the power spectrum, 1-20 Hz",
        "adjacent_correlation": "correlation of adjacent differences",
        "sides": "weak / strong hemisphere",
        "frontal": "ln front / back amplitude",
    }
    figure = Figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    for index, kind in enumerate(CLASSES):
        rows = [describe(make_segment(kind, 2_000_000 + 1000 * seed + 40 * index + i).eeg) for i in range(3 * _MANY)]
        found = describe(real[kind]) if kind in real else None
        for name, axis in zip(shown, axes.flat, strict=True):
            low, middle, high = np.percentile([row[name] for row in rows], [10, 50, 90])
            axis.plot([index, index], [low, high], color="#9db9d8", lw=7, solid_capstyle="butt")
            axis.plot(index, middle, "o", color="#2d5d92")
            if found:
                axis.plot(index, found[name], "x", color="#b03030", ms=9, mew=2)
    for label, axis in zip(shown.values(), axes.flat, strict=True):
        axis.set_xticks(range(6), CLASSES)
        axis.set_ylabel(label)
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


if __name__ == "__main__":
    print(*preview_figures(sys.argv[1], real=sys.argv[2] if len(sys.argv) > 2 else None), sep="\n")
