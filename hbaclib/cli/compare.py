"""``hbac compare``: recipes of one or several runs, each over its seeds, by vote tier."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbaclib.cli.paths import NamedPath
from hbaclib.errors import list_some, printable
from hbaclib.outputs import refuse_inputs, table_file

if TYPE_CHECKING:
    import pandas as pd

    from hbaclib.ensemble.runs import Runs

SCORES, PAIRS = "scores.csv", "pairs.csv"
_WIDTH = 100


@click.command()
@click.argument("runs", nargs=-1, required=True, type=NamedPath(), metavar="RUN...")
@click.option("--over", default=None, metavar="NAME",
              help="Recipe that all others are compared with; the best of several seeds without it.")  # fmt: skip
@click.option("--csv", "folder", type=NamedPath(file_okay=False), default=None,
              help=f"Folder for both tables, {SCORES} and {PAIRS}; earlier ones of this command are "
                   "replaced.")  # fmt: skip
def compare(runs: tuple[Path, ...], over: str | None, folder: Path | None) -> None:
    """Compare recipes by their out-of-fold predictions, over patients and seeds.

    RUN is a trained network's folder, or the output folder of a run, which stands for all in it. Folders of one recipe
    that differ in their seeds are one recipe. Its score is the mean over its seeds, with a 95 % interval over patients
    and seeds; then each recipe is compared with the best one (or NAME) on the same patients. One seed ranks nothing:
    train three or more.
    """
    from hbaclib.ensemble.runs import best_of, compare_runs, open_runs, pair_with

    opened = open_runs(runs)
    with ExitStack() as outputs:
        scores_file, pairs_file = _files(outputs, folder, [*runs, *_folders(opened)])
        scores = compare_runs(opened)
        over = best_of(scores) if over is None else over
        pairs = pair_with(opened, over)
        for table, file in ((scores, scores_file), (pairs, pairs_file)):
            if file is not None:
                table.to_csv(file, index=False)
    _show(opened, scores, pairs, over)
    if folder is not None:
        click.echo(printable(f"\ntables: {folder / SCORES}, {folder / PAIRS}"))


def _folders(runs: Runs) -> list[Path]:
    return [folder for recipe in runs.recipes.values() for folder in recipe.folders]


def _files(outputs: ExitStack, folder: Path | None, inputs: list[Path]) -> list[Path | None]:
    """The files of both tables, which appear when the outputs are closed well."""
    from hbaclib.evaluation.seeds import PAIR_COLUMNS, SCORE_COLUMNS

    if folder is None:
        return [None, None]
    refuse_inputs(folder, inputs)
    tables = ((SCORES, SCORE_COLUMNS), (PAIRS, PAIR_COLUMNS))
    return [outputs.enter_context(table_file(folder / name, inputs, [columns])) for name, columns in tables]


def _show(runs: Runs, scores: pd.DataFrame, pairs: pd.DataFrame, over: str) -> None:
    for name, recipe in runs.recipes.items():
        seeds = f"seed{'s' if len(recipe.seeds) > 1 else ''} {list_some(recipe.seeds, 10)}"
        _tell(f"{name}: {seeds} of {list_some(recipe.folders)}")
    for note in runs.notes:
        _tell(f"note: {note}")
    click.echo()
    _tell(
        "Scores: mean of the seeds, less is better; 95 % intervals over patients and seeds; lowest and highest are "
        "single seeds, averaged is the score of the mean of the seeds' predictions."
    )
    for tier, table in scores.groupby("tier", sort=False):
        if _head(tier, table):
            _line("rank  seeds    mean  95 % interval   lowest to highest  averaged", "recipe")
            for row in table.to_dict("records"):
                _line(_score_cells(row), row["recipe"])
    alone = [name for name, recipe in runs.recipes.items() if len(recipe.seeds) == 1]
    few = [name for name, recipe in runs.recipes.items() if len(recipe.seeds) == 2]
    click.echo()
    if alone:
        _tell(f"One seed ranks nothing, and its interval is over patients alone: {list_some(alone)}.")
    if few:
        _tell(f"Two seeds tell but roughly how much seeds differ: {list_some(few)}.")
    if not len(pairs):
        click.echo("One recipe: there is nothing to compare it with.")
        return
    _tell(f"Differences from {over}, on the same patients; negative: better than {over}.")
    for tier, table in pairs.groupby("tier", sort=False):
        if _head(tier, table):
            width = max(len("verdict"), *map(len, table["says"]))
            _line(f"difference  95 % interval       better in  {'verdict':<{width}}", "recipe")
            for row in table.to_dict("records"):
                _line(_pair_cells(row, width), row["first"])


def _head(tier: Any, table: pd.DataFrame) -> bool:
    """Print what a tier's table is about; whether there is anything in it."""
    from hbaclib.evaluation.tiers import patients_note

    about = table.iloc[0]
    counts = f"{about['n']:,} samples of {about['patients']:,} patients" if about["n"] else "no samples"
    click.echo(f"\n{'all votes' if tier == 'all' else f'{tier} votes'}: {counts}")
    if about["n"] and (note := patients_note(about["patients"])):
        click.echo(f"({note})")
    return bool(about["n"])


def _score_cells(row: Mapping[Any, Any]) -> str:
    rank = "-" if _is_missing(row["rank"]) else row["rank"]
    interval, seeds = (f"{row[low]:.3f} to {row[high]:.3f}" for low, high in (("low", "high"), ("lowest", "highest")))
    return f"{rank:>4}  {row['seeds']:>5}  {row['kl']:>6.4f}  {interval:<14}  {seeds:<17}  {row['averaged']:>8.4f}"


def _pair_cells(row: Mapping[Any, Any], width: int) -> str:
    known = not _is_missing(row["low"])
    interval = f"{row['low']:+.3f} to {row['high']:+.3f}" if known else "-"
    share = f"{row['first_better']:.0%}" if known else "-"
    return f"{row['difference']:>+10.4f}  {interval:<18}  {share:>9}  {row['says']:<{width}}"


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _tell(text: str) -> None:
    """Print a sentence, broken where it is too long."""
    lines = textwrap.wrap(
        printable(text, one_line=True), _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    click.echo("\n".join(lines))


def _line(cells: str, name: str) -> None:
    """Print a row; a name for which there is no room stands below, at the right."""
    name = printable(name, one_line=True)
    if len(cells) + 2 + len(name) <= _WIDTH:
        click.echo(f"{cells}  {name}")
    else:
        click.echo(cells.rstrip())
        click.echo(name.rjust(_WIDTH))
