"""Pictures of what the generator makes, class by class, if wanted beside real recordings on the same scales."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hbaclib.conventions import CLASSES, EEG_RATE, EEG_WINDOW
from hbaclib.dataset.csv_tables import read_typed_csv
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.errors import ArtefactError, DataFileError, list_some
from hbaclib.outputs import claim, has_content, refuse_inputs, refuse_inside_stage, without_new_folders, working_folder
from hbaclib.plots.recordings import draw_montage, montage_scale
from hbaclib.plots.statistics import describe, filtered_bipolar, power_spectrum
from hbaclib.plots.style import plain
from hbaclib.recordings.parquet import read_eeg

PICTURES = (*(f"{kind.lower()}.png" for kind in CLASSES), "spectra.png", "statistics.png")
"""What a preview writes."""

_TABLES = ("train.csv", "eeg_labels.csv")
_MARK = "hbac synth --preview"
"""Written into each picture, by which one of ours is told."""
_HEAD = 400
_BAND = (0.5, 30.0)
_SHOWN_SECONDS = (12.5, 37.5)
_N_COLUMNS = 3
_N_REAL = 2
_SYNTHETIC, _MIDDLE, _REAL = "#9db9d8", "#2d5d92", "#b03030"
_STATISTICS = {
    "median_sd": "ln sd of the median difference, 0.5-20 Hz (µV)",
    "best_to_median": "ln best / median difference",
    "slope": "slope of the power spectrum, 1-20 Hz",
    "adjacent_correlation": "correlation of adjacent differences",
    "side_correlation": "correlation of left and right differences",
    "sides": "weak / strong hemisphere",
    "frontal": "ln front / back amplitude",
    "steepness": "ln steepest / mean step",
    "burstiness": "sd of ln amplitude from second to second",
}


@dataclass(frozen=True)
class _Example:
    title: str
    eeg: np.ndarray


def draw_preview(
    folder: str | Path,
    *,
    real: str | Path | None = None,
    seed: int = 0,
    varied: bool = True,
    examples: int = 4,
    many: int = 36,
) -> list[Path]:
    """Draw synthetic recordings: a page a class, power spectra, statistics.

    Args:
        folder: where the PNG files go; new, empty, or holding an earlier preview, which is replaced.
        real: a folder with ``train_eegs/`` and a ``train.csv`` or ``eeg_labels.csv`` (eeg_id, expert_consensus): two
            recordings a class are drawn beside, with the same filter and scale, and all of them as lines and crosses.
        seed: chooses the recordings.
        varied: of the wide population (`make_segment`), or of the synthetic set's own.
        examples: synthetic recordings a page.
        many: synthetic recordings a class behind spectra and statistics.

    Returns:
        The files, PICTURES.

    Raises:
        DataFileError: ``real`` holds no usable table of labels, or a recording of it cannot be read.
        ArtefactError: the folder holds something else, is or lies in the real data, or cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    if real is not None:
        refuse_inputs(folder, [real])
    _refuse_foreign(folder)
    found = _real_recordings(Path(real)) if real is not None else {}
    try:
        with without_new_folders(folder.parent), claim(folder):
            _refuse_foreign(folder)
            with working_folder(folder) as partial:
                for name, figure in _figures(found, seed, varied, examples, many):
                    figure.savefig(partial / name, dpi=80, metadata={"Software": _MARK})
                folder.mkdir(exist_ok=True)
                for name in PICTURES:
                    os.replace(partial / name, folder / name)
    except OSError as error:
        raise ArtefactError(f"{folder}: the pictures cannot be written there ({error})") from error
    return [folder / name for name in PICTURES]


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds anything but pictures of ours."""
    refuse_inside_stage(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise ArtefactError(f"{folder}: is no folder; expected a new or empty one for the pictures")
    if not folder.exists() or not has_content(folder):
        return
    foreign = [path.name for path in sorted(folder.iterdir()) if not _is_ours(path)]
    if foreign:
        raise ArtefactError(
            f"{folder}: holds {list_some(foreign)}, which no preview wrote; expected a new or empty folder, or an "
            "earlier preview"
        )


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.name in PICTURES and _MARK.encode() in file.read(_HEAD)
    except OSError:
        return False


def _real_recordings(real: Path) -> dict[str, list[_Example]]:
    """Class -> its real recordings, with their first 50 s; all are read before anything is drawn."""
    tables = [real / name for name in _TABLES if (real / name).is_file()]
    if not tables:
        raise DataFileError(f"{real}: no {' or '.join(_TABLES)}; expected one, with columns eeg_id, expert_consensus")
    labels = read_typed_csv(tables[0], ("eeg_id", "expert_consensus")).drop_duplicates("eeg_id")
    unknown = sorted({str(name) for name in labels["expert_consensus"]} - set(CLASSES))
    if unknown:
        raise DataFileError(
            f"{tables[0]}: expert_consensus holds {list_some(unknown)}; expected some of {', '.join(CLASSES)}"
        )
    found: dict[str, list[_Example]] = {}
    # A set has thousands; a dozen a class show what there is to see.
    for kind, rows in labels.groupby("expert_consensus"):
        for number in rows["eeg_id"].head(6 * _N_REAL):
            path = real / "train_eegs" / f"{number}.parquet"
            eeg = read_eeg(path)[:EEG_WINDOW]
            if len(eeg) < EEG_WINDOW:
                raise DataFileError(f"{path}: {len(eeg) / EEG_RATE:g} s; expected {EEG_WINDOW // EEG_RATE} s or more")
            found.setdefault(str(kind), []).append(_Example(f"real, labelled {kind} ({number})", eeg))
    return found


def _synthetic(kind: str, number: int, seed: int, varied: bool) -> _Example:
    made = make_segment(kind, 1_000_000 * (seed + 1) + 10_000 * CLASSES.index(kind) + number, varied=varied)
    likely = ", ".join(f"{CLASSES[i]} {made.probability[i]:.2f}" for i in np.argsort(-made.probability)[:2])
    title = f"synthetic, meant {kind} (readers: {likely})"
    return _Example(f"{title}\n{', '.join(made.ideas)}" if made.ideas else title, made.eeg)


def _figures(
    real: dict[str, list[_Example]], seed: int, varied: bool, examples: int, many: int
) -> Iterable[tuple[str, Figure]]:
    spectra, statistics = Figure(figsize=(18, 10), layout="constrained"), Figure(figsize=(18, 12), layout="constrained")
    lines, points = spectra.subplots(2, 3).flat, list(statistics.subplots(3, 3).flat)
    for index, (kind, axis) in enumerate(zip(CLASSES, lines, strict=True)):
        own = real.get(kind, [])
        made = [_synthetic(kind, number, seed, varied) for number in range(max(examples, many))]
        yield f"{kind.lower()}.png", _page(made[:examples] + own[:_N_REAL])
        _draw_spectra(axis, kind, [one.eeg for one in made[:many]], [one.eeg for one in own])
        _draw_points(points, index, [one.eeg for one in made[:many]], [one.eeg for one in own])
    for axis, label in zip(points, _STATISTICS.values(), strict=True):
        axis.set_xticks(range(len(CLASSES)), CLASSES)
        axis.set_ylabel(label)
        plain(axis)
    spectra.suptitle("Power spectra by class")
    note = "; crosses: real recordings" if real else ""
    statistics.suptitle(f"Synthetic recordings by class: 10, 50, 90 % of {many}{note}")
    yield "spectra.png", spectra
    yield "statistics.png", statistics


def _page(examples: list[_Example]) -> Figure:
    """Montages of 25 s, real ones last; one scale for all but those that it does not suit by a factor of three."""
    n_rows = -(-len(examples) // _N_COLUMNS)
    figure = Figure(figsize=(10 * _N_COLUMNS, 7 * n_rows), layout="constrained")
    axes = list(figure.subplots(n_rows, _N_COLUMNS, squeeze=False).flat)
    scales = [montage_scale(one.eeg, _SHOWN_SECONDS, _BAND) for one in examples]
    common = sorted(scales)[len(scales) // 2]
    for axis, example, scale in zip(axes, examples, scales, strict=False):
        suits = common / 3 <= scale <= 3 * common
        draw_montage(axis, example.eeg.astype(float), _SHOWN_SECONDS, common if suits else scale, _BAND)
        axis.set_title(example.title + ("" if suits else " (own scale)"), fontsize=11)
    for axis in axes[len(examples) :]:
        axis.set_visible(False)
    return figure


def _draw_spectra(axis: Axes, kind: str, made: list[np.ndarray], real: list[np.ndarray]) -> None:
    """Bands of the synthetic recordings' median spectra, lines of the real ones'."""

    def median_spectrum(eeg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frequencies, power = power_spectrum(filtered_bipolar(eeg, 0.3, 60))
        shown = (frequencies >= 0.5) & (frequencies <= 45)
        return frequencies[shown], np.median(power, axis=1)[shown]

    curves = [median_spectrum(eeg) for eeg in made]
    frequencies = curves[0][0]
    low, middle, high = np.percentile([curve for _, curve in curves], [10, 50, 90], axis=0)
    axis.fill_between(frequencies, low, high, color=_SYNTHETIC, lw=0, label=f"10-90 % of {len(made)} synthetic")
    axis.plot(frequencies, middle, color=_MIDDLE, lw=1, label="their median")
    for number, eeg in enumerate(real):
        axis.plot(*median_spectrum(eeg), color=_REAL, lw=1, label="real" if number == 0 else None)
    axis.set(xscale="log", yscale="log", ylim=(1e-3, 3e3), xlabel="Hz", title=kind)
    axis.set_ylabel("µV²/Hz, median of the bipolar differences", fontsize=8)
    axis.set_xticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
    axis.minorticks_off()
    axis.legend(fontsize=8, frameon=False)
    plain(axis)


def _draw_points(axes: list[Axes], place: int, made: list[np.ndarray], real: list[np.ndarray]) -> None:
    """Quantiles of each statistic of one class, real recordings as crosses."""
    table = pd.DataFrame([describe(eeg) for eeg in made])
    found = [describe(eeg) for eeg in real]
    for name, axis in zip(_STATISTICS, axes, strict=True):
        low, middle, high = np.percentile(table[name], [10, 50, 90])
        axis.plot([place, place], [low, high], color=_SYNTHETIC, lw=7, solid_capstyle="butt")
        axis.plot(place, middle, "o", color=_MIDDLE)
        axis.plot([place] * len(found), [row[name] for row in found], "x", color=_REAL, ms=9, mew=2)
