"""``hbac predict``: trained networks on any EEG files, as one table."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbaclib.cli.form import channel_options, form_options
from hbaclib.cli.messages import sentence
from hbaclib.cli.messages import tell as _tell
from hbaclib.cli.modules import MODULES, import_modules
from hbaclib.cli.paths import Artefacts, NamedPath
from hbaclib.cli.predict_timeline import COLUMNS as TIMELINE_COLUMNS
from hbaclib.cli.predict_timeline import DOUBT_COLUMNS, has_times, write_timeline
from hbaclib.cli.timeline_options import LineOptions, line_options
from hbaclib.compat.tensorflow import REMARKS
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import DataError, HbacError, printable
from hbaclib.outputs import table_file
from hbaclib.processes import without_remarks
from hbaclib.stages.shipped import EEG_ALONE, folder_of, is_shipped

if TYPE_CHECKING:
    from hbaclib.prediction.windows import Recording, Window

FILE_COLUMNS = ("file", "start_second")
REASON = "reason"
"""Column of the table: why a window was not evaluated; its shares are empty then."""
NOTE, SHORT = "note", "short"
"""Last column of the table where ``--short`` is given, and what it says of a recording below 50 s."""
HEADERS = (
    *(
        (*names, *VOTE_COLUMNS, *last)
        for names in (FILE_COLUMNS, ("eeg_id",))
        for last in ((), (REASON,), (REASON, NOTE))
    ),
    TIMELINE_COLUMNS,
    DOUBT_COLUMNS,
)
"""Columns of the tables that this command writes, now and in other versions, and may replace."""
CENTRE, TIMELINE = "centre", "timeline"
_CHUNK = 64
_STEP = 10


def _window(ctx: click.Context, option: click.Parameter, value: str | None) -> str | float | None:
    if value is None:
        return None
    if value in ("centre", "sliding", TIMELINE):
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{value!r}; expected centre, sliding, timeline, or the second at which it starts")
    return seconds


@click.command()
@click.argument("artefacts", type=Artefacts(), metavar="ARTEFACTS|synthetic")
@click.argument("inputs", nargs=-1, required=True, type=NamedPath(), metavar="INPUT...")
@click.option("--out", "--timeline", type=NamedPath(dir_okay=False), default=None,
              help="CSV file to write (a timeline may be Parquet), over an earlier table of this command but nothing "
                   "else; standard output without it.")  # fmt: skip
@click.option("--window", default=None, callback=_window, metavar="centre|START|sliding|timeline",
              help="Which 50 s: the middle, from second START on, or one after the other. timeline: a row for every "
                   "10 s of the recording. Without it timeline for EDF and BDF, and for Parquet beside these; "
                   "centre for Parquet alone.")  # fmt: skip
@click.option("--step", type=click.IntRange(min=1), default=None,
              help="Seconds between sliding windows, 10 without; of a timeline 1, 2, 5 or 10: below 10 each row is the "
                   "mean of its windows.")  # fmt: skip
@click.option("--edges", type=click.Choice(["empty", "nearest"]), default="empty", show_default=True,
              help="Of a timeline: what the rows near the ends of a recording or of a gap have, around which there are "
                   "no 50 s: nothing, or the shares of the nearest row that has some.")  # fmt: skip
@click.option("--spectrogram", default=None, metavar="PATH|from_eeg|none",
              help="Ten-minute spectrograms: a file, a folder of files named as the EEG files, from_eeg to compute "
                   "them (as is done without this option), none for networks that see the EEG alone.")  # fmt: skip
@click.option("--eeg-begins", type=float, default=None, metavar="SECONDS",
              help="Where in the spectrogram file the EEG file begins; without it both have one centre.")  # fmt: skip
@click.option("--short", type=click.Choice(["nan", "reflect"]), default=None,
              help="Evaluate recordings of 10 to 50 s too, in the middle of 50 s: around it nothing, or its own "
                   "reflection. The table gets a last column, note, which says 'short' of them; a timeline says it in "
                   "reason, of the row in their middle. Each is one window, all of it, centre or sliding; a START "
                   "other than 0 is refused.")  # fmt: skip
@click.option("--allow-missing", is_flag=True,
              help="Of a timeline: predict, with a warning, from one or two of the four regions too. Without it rows "
                   "with less than three are not evaluated.")  # fmt: skip
@line_options
@form_options
@channel_options
@MODULES
@without_remarks(REMARKS)
def predict(
    artefacts: str | Path,
    inputs: tuple[Path, ...],
    out: Path | None,
    window: str | float | None,
    step: int | None,
    edges: str,
    spectrogram: str | None,
    eeg_begins: float | None,
    short: str | None,
    allow_missing: bool,
    line: LineOptions,
    columns: dict[str, str] | None,
    unit: str | None,
    form: dict[str, Any],
    modules: tuple[str, ...],
) -> None:
    """Predict the six classes for every INPUT with ARTEFACTS, a trained network's or an ensemble's folder.

    In place of a folder, synthetic is the built-in model: trained on synthetic EEG alone, it has seen no patient, and
    sees the EEG alone, so --spectrogram does not apply. A folder of that name is ./synthetic, or its whole path.

    INPUT is an EEG file (EDF, BDF, or Parquet as in the competition), a folder of such files, or a folder in the
    competition's format, whose test.csv then says what is predicted. A file that cannot be read is named and left out;
    the exit code is 1 then. So is a recording below 50 s, unless --short says what is to lie around it; one below 10 s
    always is. A window without a plausible signal is not evaluated: its shares are empty, and the column reason says
    why. The exit code is 1 too where a recording has no window that could be evaluated.

    A timeline has a row for every ten seconds, of gaps too. Its shares are those of the 50 s around the row; state is
    the class that it belongs to when its neighbours are seen too, "doubtful" where no class is clear, or "not
    evaluated", with the reason and without shares. Where the model has a calibration of its doubt, as ensembles have,
    set names the classes in which nine of ten expert votes lie, the leading one first, and doubt is how likely a random
    expert does not vote for that one, from 0 to 1; where it is great the row is "doubtful" (--doubt). context is the
    share of the ten minutes around it that the recording has, missing that of the signals that were not recorded or
    cannot be used, quality that of the recorded seconds that can and are neither flat nor an artefact of more than
    1,500 µV. Electrodes that are flat, clipped or off within the row count as missing: they are filled from their
    neighbours, or their region stays empty, and reason names them.
    """
    from hbaclib.prediction.windows import FROM_EEG, NONE, competition_recordings, cut_windows, find_recordings
    from hbaclib.recordings.opened import open_recording

    files = spectrogram not in (None, FROM_EEG, NONE)
    competition = len(inputs) == 1 and (inputs[0] / "test.csv").is_file()
    if eeg_begins is not None and not (files and math.isfinite(eeg_begins)):
        raise click.UsageError("--eeg-begins SECONDS belongs to --spectrogram PATH")
    if is_shipped(artefacts) and spectrogram not in (None, NONE):
        raise click.UsageError(f"{artefacts}: {EEG_ALONE}: --spectrogram does not apply")
    if competition and (window not in (None, CENTRE) or edges != "empty" or files):
        raise click.UsageError("test.csv names windows and spectrograms: --window and --spectrogram PATH do not apply")
    recordings = competition_recordings(inputs[0], spectrogram) if competition else find_recordings(inputs, spectrogram)
    if window is None:
        # What is neither is a fault of its own, and decides nothing for the others.
        kinds = {False} if competition else {has_times(recording.eeg) for recording in recordings}
        window = TIMELINE if True in kinds or kinds == {None} else CENTRE
        if {True, False} <= kinds:
            _tell("Parquet beside EDF and the like: a timeline of each; --window centre gives one window of each")
    _check_line(window, step, edges, files)
    given = [*(["--allow-missing"] if allow_missing else []), *line.given]
    if given and window != TIMELINE:
        raise click.UsageError(f"{given[0]} belongs to --window timeline")
    line.check(len(recordings), out)
    faults: list[str] = []
    read: list[str | Path] = [folder_of(artefacts), *inputs, *modules]
    read += [spectrogram] if files and spectrogram else []
    try:
        import_modules(modules)
        if window == TIMELINE:
            from hbaclib.timeline.bins import Timeline

            silent = write_timeline(
                artefacts, recordings, out, read, HEADERS, spectrogram != NONE,
                partial(open_recording, columns=columns, unit=unit, **form),
                partial(Timeline, step=step or _STEP, edges=edges, short=short, allow_missing=allow_missing),
                line, faults,
            )  # fmt: skip
        else:
            cut = partial(cut_windows, tell=_tell, window=(window, step or _STEP), begins=eeg_begins,
                          columns=columns, unit=unit, short=short, form=form)  # fmt: skip
            silent = _write_table(artefacts, recordings, out, read, spectrogram != NONE, cut, faults, short is not None)
    except KeyboardInterrupt:
        if out:
            _tell(f"{out} was not written")
        raise
    for name, reason in silent.items():
        _tell(f"{name}: no window could be evaluated ({reason})")
    if faults:
        _tell(f"{len(faults)} of {len(recordings)} recordings could not be predicted")
    if faults or silent:
        sys.exit(1)


def _check_line(window: str | float, step: int | None, edges: str, files: bool) -> None:
    """Refuse options that do not belong to the kind of window."""
    if window != TIMELINE:
        if step is not None and window != "sliding":
            raise click.UsageError("--step belongs to --window sliding and --window timeline")
        if edges != "empty":
            raise click.UsageError("--edges belongs to --window timeline")
        return
    if files:
        raise click.UsageError("--window timeline computes its spectrograms; --spectrogram PATH does not apply")
    if step not in (None, 1, 2, 5, 10):
        raise click.BadParameter(f"{step}; expected 1, 2, 5 or 10 for --window timeline", param_hint="--step")


def _write_table(
    artefacts: str | Path,
    recordings: list[Recording],
    out: Path | None,
    read: list[str | Path],
    with_spectrograms: bool,
    cut: Callable[[Recording, bool], Iterator[Window]],
    faults: list[str],
    with_notes: bool,
) -> dict[str, str]:
    """Predict all windows of the recordings; those with a fault are named and left out.

    Returns:
        Recording -> reason, of those without a window that could be evaluated.
    """
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
                except (HbacError, OSError, UnicodeError) as error:
                    if len(recordings) == 1:
                        raise
                    faults.append(sentence(error) or str(error))
                    bar.write(f"hbac: {printable(faults[-1])}", file=sys.stderr)

        columns = list(FILE_COLUMNS) if recordings[0].eeg_id is None else ["eeg_id"]
        cut_now, header = windows(), True
        silent: dict[str, str] = {}
        evaluated = set[str]()
        while chunk := list(islice(cut_now, _CHUNK)):
            names = [window.name for window in chunk]
            shares, reasons = predictor.evaluate_windows(chunk)
            for name, known, reason in zip(names, np.isfinite(shares).all(axis=1), reasons, strict=True):
                (evaluated.add(str(name[0])) if known else silent.setdefault(str(name[0]), reason))
            table = pd.DataFrame(names, columns=columns).join(pd.DataFrame(shares, columns=list(VOTE_COLUMNS)))
            table[REASON] = reasons
            if with_notes:
                table[NOTE] = [SHORT if each.short else "" for each in chunk]
            if file:
                table.to_csv(file, mode="a", header=header, index=False)
            else:
                click.echo(table.to_csv(header=header, index=False), nl=False)
            header = False
        if header:
            raise DataError(f"none of {len(recordings)} recordings could be predicted")
        return {name: reason for name, reason in silent.items() if name not in evaluated}
