"""``hbac check``: what is wrong with a data set, or with recordings, before anything is made of them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hbaclib.cli.form import form_options
from hbaclib.cli.messages import tell
from hbaclib.cli.paths import NamedPath
from hbaclib.conventions import EEG_RATE
from hbaclib.errors import printable
from hbaclib.processes import messages_aside


@click.command()
@click.argument("data", type=NamedPath())
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes; all cores without it.")
@form_options
def check(data: Path, jobs: int | None, columns: dict[str, str] | None, unit: str | None) -> None:
    """Check every file of DATA and list all faults; the exit code is 1 where there are any.

    DATA is a folder in the competition's format, an EEG file (Parquet), or a folder of such files. Of recordings
    it is told what they hold: length and rate, unit, missing electrodes and samples, and whether that can be EEG.
    """
    from hbaclib.files import FILE, kind_of
    from hbaclib.platform import find_input
    from hbaclib.recordings.found import recording_files

    if kind_of(data) == FILE:
        _check_recordings([data], columns, unit)
        return
    folder = find_input("datasets", data)
    if not (folder / "train.csv").is_file() and recording_files(folder):
        _check_recordings([folder], columns, unit)
        return
    if columns or unit:
        raise click.UsageError("--columns and --unit belong to recordings; a data set's files are read as they are")
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


def _check_recordings(inputs: list[Path], columns: dict[str, str] | None, unit: str | None) -> None:
    from hbaclib.prediction.windows import find_recordings
    from hbaclib.recordings.verdict import judge_file

    recordings = find_recordings(inputs, None)
    faulty = 0
    for recording in recordings:
        verdict = judge_file(recording.eeg, columns, unit)
        click.echo(printable(recording.eeg, one_line=True))
        for line in verdict.lines:
            click.echo(f"  {printable(line)}")
        if verdict.fault:
            faulty += 1
            click.echo(f"  FAULT: {printable(verdict.fault)}")
    of = f"{len(recordings)} recording{'s' if len(recordings) > 1 else ''}"
    if faulty:
        tell(f"{faulty} of {of} cannot be evaluated")
        sys.exit(1)
    click.echo(f"{of}: no fault found")
