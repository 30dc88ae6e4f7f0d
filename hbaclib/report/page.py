"""The report of a run: one page that opens from disk, and every number on it in ``results.json``."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hbaclib import plots
from hbaclib.artefacts import write_text
from hbaclib.conventions import EEG_WINDOW, VOTE_TIERS
from hbaclib.errors import ArtefactError, HbacError, list_some
from hbaclib.evaluation.tiers import tier_mask
from hbaclib.outputs import REPORT, RUN_LOCK, is_something, stage_of
from hbaclib.platform import find_data
from hbaclib.recordings.parquet import read_eeg
from hbaclib.report.results import Measured, measure
from hbaclib.report.stages import rows_of_samples
from hbaclib.report.templates import fill

REPORT_FILE, RESULTS_FILE, MODEL_CARD, DATA_CARD = "report.html", "results.json", "model_card.md", "data_card.md"
FILES = (REPORT_FILE, RESULTS_FILE, MODEL_CARD, DATA_CARD)
"""What `write_report` leaves."""
_DPI = 110
_LEAD = '<p class="lead">Classification of harmful brain activity in EEG: scores, curves and examples'
"""How every page begins."""


def write_report(
    run_folder: str | Path,
    *,
    truth: str | Path | pd.DataFrame | None = None,
    title: str | None = None,
    data: str | Path | None = None,
) -> Path:
    """Write ``report.html``, ``results.json``, ``model_card.md`` and ``data_card.md`` into a run's output folder.

    Args:
        run_folder: output folder of a run; stages that have not finished are named on the page.
        truth: expected vote shares of every row of train.csv (synthetic data), for the oracle's score.
        title: of the page.
        data: folder in the competition's format, for drawings of recordings; None: found as the notebooks find it.

    Returns:
        The page.

    Raises:
        ArtefactError: there is no such folder, it holds files of these names that are no report, or it cannot be
            written.
    """
    folder = Path(run_folder).resolve()
    if foreign := foreign_files(folder):
        raise ArtefactError(f"{folder}: {list_some(foreign)} exist and were not written by hbac; move them away")
    measured = measure(folder, truth, title or "")
    results = measured.results
    if data is None:
        with contextlib.suppress(HbacError):
            data = find_data("", folder)
    page = render(results, draw(measured, Path(data) if data else None))
    write_text(folder / RESULTS_FILE, json.dumps(results, indent=1, allow_nan=False) + "\n")
    for name in (MODEL_CARD, DATA_CARD):
        write_text(folder / name, fill(name, results))
    return write_text(folder / REPORT_FILE, page)


def foreign_files(folder: Path) -> list[str]:
    """Names of files where `write_report` writes that hbac has not written.

    In a run's own folder all of them are the run's. Elsewhere what a report is tells its content.
    """
    if stage_of(folder) == REPORT or (folder / RUN_LOCK).is_file():
        return []
    found = {name: folder / name for name in FILES if is_something(folder / name)}
    texts = {name: path.read_text(encoding="utf-8", errors="replace") for name, path in found.items() if path.is_file()}
    try:
        ours = {"schema", "title", "versions", "stages"} <= set(json.loads(texts.get(RESULTS_FILE, "")))
    except (ValueError, TypeError, RecursionError):
        ours = False
    begins = {MODEL_CARD: "# Model card: ", DATA_CARD: "# Data card: "}
    own = {RESULTS_FILE: ours, REPORT_FILE: _LEAD in texts.get(REPORT_FILE, "")}
    own |= {name: ours and texts.get(name, "").startswith(begin) for name, begin in begins.items()}
    return [name for name in found if not own[name]]


def render(results: dict[str, Any], pictures: dict[str, str]) -> str:
    """Fill the page's template.

    Args:
        results: content of ``results.json``; the page shows no number that is not in it.
        pictures: name -> data address of an image.
    """

    def shown(path: Sequence[str | int], digits: int, signed: bool) -> Markup:
        value: Any = results
        for key in path:
            value = value.get(key) if isinstance(value, dict) else value[int(key)]
        address = escape(json.dumps(list(path)))
        return Markup('<span data-result="{}">{}</span>').format(address, format_number(value, digits, signed))

    defaults = dict.fromkeys(
        ("scores", "hardest", "ensemble", "ensemble_against_best_member", "by_fold", "tier", "recipes", "fits")
    )
    return fill("page.html", defaults | results, pictures=pictures, shown=shown, vote_tiers=list(VOTE_TIERS))


def format_number(value: float | int | None, digits: int = 4, signed: bool = False) -> str:
    """Write a number as the page does; an en dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    return text.replace("-", "−")


def draw(measured: Measured, data: Path | None) -> dict[str, str]:
    """Draw the page's pictures, name -> data address. Recordings are drawn where their files are found."""
    results, oof, best = measured.results, measured.oof, measured.best
    pictures: dict[str, str] = {}
    for name, history in measured.histories.items():
        pictures[f"curves {name}"] = _address(plots.plot_learning_curves(history))
    if folds := results.get("data", {}).get("folds"):
        pictures["folds"] = _address(plots.plot_folds(pd.DataFrame(folds)))
    if oof is None or best is None:
        return pictures
    rows = tier_mask(oof.n_votes, results["tier"])
    pictures["scores"] = _address(plots.plot_scores(measured.tables))
    pictures["confusion"] = _address(plots.plot_confusion(oof.targets[rows], best[rows]))
    pictures["reliability"] = _address(plots.plot_reliability(oof.targets[rows], best[rows]))
    if results.get("ensemble"):
        pictures["weights"] = _address(plots.plot_weights(pd.DataFrame(results["ensemble"]["members"])))
    for number, sample in enumerate(results["hardest"]):
        row = sample["row"]
        pictures[f"hardest votes {number}"] = _address(plots.plot_votes(oof.targets[row], best[row]))
        _draw_recording(pictures, f"hardest {{}} {number}", measured, sample, data)
    for number, sample in enumerate(results["unanimous_disagreements"][:2]):
        _draw_recording(pictures, f"unanimous {{}} {number}", measured, sample, data)
    return pictures


def _draw_recording(
    pictures: dict[str, str], name: str, measured: Measured, sample: dict[str, Any], data: Path | None
) -> None:
    title = f"Recording {sample['eeg_id']}, from {sample['start_seconds']:g} s"
    if data is not None:
        with contextlib.suppress(HbacError):  # the page shows the network's input alone
            eeg = read_eeg(data / "train_eegs" / f"{sample['eeg_id']}.parquet")
            window = eeg[sample["eeg_start"] : sample["eeg_start"] + EEG_WINDOW]
            pictures[name.format("montage")] = _address(plots.plot_montage(window, title, seconds=(18, 32)))
    samples = measured.run.samples()
    if samples is None:
        return
    ids = pd.DataFrame({"eeg_id": [sample["eeg_id"]], "eeg_start": [sample["eeg_start"]]})
    row = int(rows_of_samples(samples, ids)[0])
    image = measured.run.image(row) if row >= 0 else None
    if image is not None:
        pictures[name.format("input")] = _address(plots.plot_input(np.nan_to_num(image), title), "jpeg")


def _address(figure: Figure, form: str = "png") -> str:
    """Data address of a figure: PNG, or JPEG for spectrograms, which PNG can hardly compress."""
    figure.set_dpi(_DPI)
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    # The canvas is asked itself: savefig would lay out and draw everything twice. No date and no version in the file:
    # the same numbers make the same page.
    if form == "jpeg":
        canvas.print_jpg(buffer, pil_kwargs={"quality": 88})
    else:
        canvas.print_png(buffer, metadata={"Software": None})
    plt.close(figure)
    return f"data:image/{form};base64," + base64.b64encode(buffer.getvalue()).decode()
