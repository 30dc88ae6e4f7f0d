"""``hbac check``: what is wrong with a data set, or with recordings, before anything is made of them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from hbaclib.cli.form import channel_options, form_options
from hbaclib.cli.messages import tell
from hbaclib.cli.paths import NamedPath
from hbaclib.conventions import EEG_RATE
from hbaclib.errors import printable
from hbaclib.processes import messages_aside


@click.command()
@click.argument("data", type=NamedPath())
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes; all cores without it.")
@click.option("--json", "as_json", is_flag=True,
              help="Of recordings: print what they hold as JSON, an object of a file, a list of a folder.")  # fmt: skip
@click.option("--write-channels", type=NamedPath(dir_okay=False), default=None, metavar="FILE.csv",
              help="Of a file with channels (EDF, BDF, what MNE reads): write which channel is read as which electrode "
                   "against what, as a table to edit and to give with --channels.")  # fmt: skip
@form_options
@channel_options
def check(
    data: Path,
    jobs: int | None,
    columns: dict[str, str] | None,
    unit: str | None,
    as_json: bool,
    write_channels: Path | None,
    form: dict[str, Any],
) -> None:
    """Check every file of DATA and list all faults; the exit code is 1 where there are any.

    DATA is a folder in the competition's format, an EEG file (EDF, BDF, Parquet), or a folder of such files. Of
    recordings it is told what they hold: length and rate, montage, channels left out, unit, gaps, clock, missing
    electrodes and samples, quality over time, whether that can be EEG, which electrodes are flat, clipped or off and
    for how long, and what can be predicted. No networks run.
    """
    from hbaclib.files import FILE, kind_of
    from hbaclib.platform import find_input
    from hbaclib.recordings.found import recordings_and_notes

    alone = kind_of(data) == FILE
    if write_channels is not None:
        if not alone:
            raise click.UsageError("--write-channels belongs to one EDF or BDF file, or one that MNE reads")
        _write_channels(data, write_channels, {"columns": columns, "unit": unit, **form})
    folder = data if alone else find_input("datasets", data)
    if alone or (not (folder / "train.csv").is_file() and any(recordings_and_notes(folder))):
        _check_recordings([folder], {"columns": columns, "unit": unit, **form}, as_json, alone)
        return
    if columns or unit or any(form.values()):
        raise click.UsageError("--columns and --unit belong to recordings; a data set's files are read as they are")
    if as_json:
        raise click.UsageError("--json belongs to recordings")
    _check_dataset(folder, jobs)


def _check_dataset(folder: Path, jobs: int | None) -> None:
    import pandas as pd

    from hbaclib.dataset.competition import open_competition, table_faults
    from hbaclib.stages.examine import examine, faults_table, needed_recordings, notes_table

    competition = open_competition(folder)
    with messages_aside():
        examined = examine(competition, needed_recordings(competition, test=True), n_jobs=jobs)
    faults = pd.concat([table_faults(competition), faults_table(examined)])
    for fault in faults.itertuples():
        click.echo(printable(f"{fault.file}: {fault.problem}"))
    for note, files in notes_table(examined).groupby("note", sort=False)["file"]:
        others = f" (and {len(files) - 1} more files)" if len(files) > 1 else ""
        click.echo(printable(f"note: {files.iloc[0]}: {note}{others}"))
    click.echo(f"note: EEG files that state no sampling rate are taken as {EEG_RATE} Hz")
    rows = 0 if competition.test is None else len(competition.test)
    click.echo(
        f"{len(competition.train)} rows of train.csv, {rows} of test.csv, "
        f"{competition.train['eeg_id'].nunique()} training recordings: "
        + (f"{len(faults)} faulty files" if len(faults) else "no fault found")
    )
    if len(faults):
        sys.exit(1)


def _check_recordings(inputs: list[Path], form: dict[str, Any], as_json: bool, alone: bool) -> None:
    from hbaclib.prediction.windows import find_recordings
    from hbaclib.recordings.verdict import judge_file
    from hbaclib.timeline.checked import judged_rows

    recordings = find_recordings(inputs, None)
    faulty, found = 0, []
    for recording in recordings:
        verdict = judge_file(recording.eeg, rows=judged_rows, **form)
        faulty += bool(verdict.fault)
        if as_json:
            found.append(verdict.as_json())
            continue
        click.echo(printable(recording.eeg, one_line=True))
        for line in verdict.lines:
            click.echo(f"  {printable(line)}")
        if verdict.fault:
            click.echo(f"  FAULT: {printable(verdict.fault)}")
    if as_json:
        click.echo(json.dumps(found[0] if alone else found, indent=1))
    of = f"{len(recordings)} recording{'s' if len(recordings) > 1 else ''}"
    if faulty:
        tell(f"{faulty} of {of} cannot be evaluated")
        sys.exit(1)
    if not as_json:
        click.echo(f"{of}: no fault found")


def _write_channels(path: Path, out: Path, form: dict[str, Any]) -> None:
    """Write the table of channels of one recording."""
    import csv

    from hbaclib.outputs import table_file
    from hbaclib.recordings.channels import HEADER
    from hbaclib.recordings.opened import channel_table

    rows = channel_table(path, form["columns"], form["channels"])
    with table_file(out, [path], [HEADER]) as file:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
        if file is None:
            click.echo(text.getvalue(), nl=False)
        else:
            file.write_text(text.getvalue(), encoding="utf-8")
    if file is not None:
        tell(f"{out}: {len(rows)} channels")
