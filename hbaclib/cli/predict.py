"""``hbac predict``: trained networks on any EEG files, as one table."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hbaclib.cli.modules import MODULES, import_modules
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import DataError, HbacError
from hbaclib.outputs import table_file

if TYPE_CHECKING:
    from hbaclib.prediction.windows import Recording, Window

FILE_COLUMNS = ("file", "start_second")
HEADERS = tuple((*names, *VOTE_COLUMNS, *last) for names in (FILE_COLUMNS, ("eeg_id",)) for last in ((), ("reason",)))
"""Columns of the tables that this command writes, now and in other versions, and may replace."""
_CHUNK = 128
_STEP = 10


def _window(ctx: click.Context, option: click.Parameter, value: str) -> str | float:
    if value in ("centre", "sliding"):
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{value!r}; expected centre, sliding, or the second at which the window starts")
    return seconds


@click.command()
@click.argument("artefacts", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
              help="CSV file to write, over an earlier table of this command but nothing else; standard output "
                   "without it.")  # fmt: skip
@click.option("--window", default="centre", show_default=True, callback=_window, metavar="centre|START|sliding",
              help="Which 50 s: the middle, from second START on, or one after the other.")  # fmt: skip
@click.option("--step", type=click.IntRange(min=1), default=None, help="Seconds between sliding windows; 10 without.")
@click.option("--spectrogram", default=None, metavar="PATH|from_eeg|none",
              help="Ten-minute spectrograms: a file, a folder of files named as the EEG files, from_eeg to compute "
                   "them (as is done without this option), none for networks that see the EEG alone.")  # fmt: skip
@click.option("--eeg-begins", type=float, default=None, metavar="SECONDS",
              help="Where in the spectrogram file the EEG file begins; without it both have one centre.")  # fmt: skip
@MODULES
def predict(
    artefacts: Path,
    inputs: tuple[Path, ...],
    out: Path | None,
    window: str | float,
    step: int | None,
    spectrogram: str | None,
    eeg_begins: float | None,
    modules: tuple[str, ...],
) -> None:
    """Predict the six classes for every INPUT with ARTEFACTS, a trained network's or an ensemble's folder.

    INPUT is an EEG file (Parquet, as in the competition), a folder of such files, or a folder in the competition's
    format, whose test.csv then says what is predicted. A file that cannot be read is named and left out; the exit code
    is 1 then.
    """
    from hbaclib.prediction.windows import FROM_EEG, NONE, competition_recordings, cut_windows, find_recordings

    files = spectrogram not in (None, FROM_EEG, NONE)
    competition = len(inputs) == 1 and (inputs[0] / "test.csv").is_file()
    if step is not None and window != "sliding":
        raise click.UsageError("--step belongs to --window sliding")
    if eeg_begins is not None and not (files and math.isfinite(eeg_begins)):
        raise click.UsageError("--eeg-begins SECONDS belongs to --spectrogram PATH")
    if competition and (window != "centre" or files):
        raise click.UsageError("test.csv names windows and spectrograms: --window and --spectrogram PATH do not apply")
    recordings = competition_recordings(inputs[0], spectrogram) if competition else find_recordings(inputs, spectrogram)
    cut = partial(cut_windows, tell=_tell, window=(window, step or _STEP), begins=eeg_begins)
    faults: list[str] = []
    try:
        import_modules(modules)
        read: list[str | Path] = [artefacts, *inputs, *modules, *([spectrogram] if files and spectrogram else [])]
        _write_table(artefacts, recordings, out, read, spectrogram != NONE, cut, faults)
    except KeyboardInterrupt:
        if out:
            _tell(f"{out} was not written")
        raise
    if faults:
        _tell(f"{len(faults)} of {len(recordings)} recordings could not be predicted")
        sys.exit(1)


def _tell(message: str) -> None:
    click.echo(f"hbac: {message}", err=True)


def _write_table(
    artefacts: Path,
    recordings: list[Recording],
    out: Path | None,
    read: list[str | Path],
    with_spectrograms: bool,
    cut: Callable[[Recording, bool], Iterator[Window]],
    faults: list[str],
) -> None:
    """Predict all windows of the recordings; those with a fault are named and left out."""
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from hbaclib.prediction.ensemble_predictor import EnsemblePredictor

    # Opened before the networks are loaded: a place that cannot be written shows at once.
    with table_file(out, read, HEADERS) as file:
        predictor = EnsemblePredictor.open(artefacts, spectrograms=with_spectrograms)
        wanted = predictor.sees_spectrograms
        if wanted and any(recording.spectrogram is None for recording in recordings):
            _tell("spectrograms are computed from the EEG; what of their ten minutes lies outside it stays empty")

        def windows() -> Iterator[Window]:
            bar = tqdm(recordings, "predicting", unit="recording", disable=None if file else True)
            for recording in bar:
                try:
                    yield from cut(recording, wanted)
                except HbacError as error:
                    if len(recordings) == 1:
                        raise
                    faults.append(str(error))
                    bar.write(f"hbac: {error}", file=sys.stderr)

        columns = list(FILE_COLUMNS) if recordings[0].eeg_id is None else ["eeg_id"]
        rows, header = windows(), True
        while chunk := list(islice(rows, _CHUNK)):
            names, eegs, power = zip(*chunk, strict=True)
            shares = predictor.predict(np.stack(eegs), np.stack(power) if wanted else None)
            table = pd.DataFrame(names, columns=columns).join(pd.DataFrame(shares, columns=list(VOTE_COLUMNS)))
            if file:
                table.to_csv(file, mode="a", header=header, index=False)
            else:
                click.echo(table.to_csv(header=header, index=False), nl=False)
            header = False
        if header:
            raise DataError(f"none of {len(recordings)} recordings could be predicted")
