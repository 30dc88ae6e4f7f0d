"""``hbac score``: timelines beside what the recordings hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hbaclib.cli.paths import NamedPath

_WIDTH = 9


@click.command()
@click.argument("tables", nargs=-1, required=True, type=NamedPath(dir_okay=False), metavar="TIMELINE TRUTH...")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def score(tables: tuple[Path, ...], as_json: bool) -> None:
    """Score one TIMELINE of hbac predict, or several, each with its TRUTH behind it.

    TRUTH is a CSV table: onset and duration in seconds from the recording's first sample on, and class; where no row
    is, the class is Other. hbac synth --edf writes such a table beside a night.

    Bins of ten seconds: how many are right of those that have a class; what was not evaluated, and what is doubtful, is
    told apart. Events of each pattern, by two rules: SzCORE's (any overlap, 30 s before and 60 s after tolerated,
    merged below 90 s, split above 5 min), made for discrete seizures; and strict ones (10 s tolerated, nothing merged).
    False alarms are of 24 evaluated hours. Burden: the mean error of a class' share of an hour.
    """
    from hbaclib.timeline.scores import beside, read_timeline, read_truth, score_timelines

    if len(tables) % 2:
        raise click.UsageError(f"{len(tables)} tables; expected pairs, a timeline and its truth")
    pairs = zip(tables[::2], tables[1::2], strict=True)
    found = score_timelines([beside(read_timeline(line), read_truth(truth)) for line, truth in pairs])
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    click.echo(
        f"{found['hours']:.2f} h, of which {found['evaluated_hours']:.2f} evaluated; doubtful {found['doubtful']:.1%}; "
        f"kappa {_number(found['kappa'])}"
    )
    classes = found["classes"]
    click.echo("\nbins that have a class")
    keys = ("hours", "sensitivity", "precision", "f1", "burden_error")
    _rows(
        ("hours", "sens.", "prec.", "F1", "burden"), {name: [row[key] for key in keys] for name, row in classes.items()}
    )
    keys = ("events", "sensitivity", "precision", "f1", "false_alarms_a_day")
    for rules, title in (("szcore", "events by SzCORE's rules"), ("strict", "strict events")):
        click.echo(f"\n{title}")
        rows = {name: [row[rules][key] for key in keys] for name, row in classes.items() if rules in row}
        _rows(("events", "sens.", "prec.", "F1", "false/24h"), rows)


def _rows(names: tuple[str, ...], rows: dict[str, list[Any]]) -> None:
    click.echo(" " * _WIDTH + "".join(f"{name:>{_WIDTH + 1}}" for name in names))
    for name, values in rows.items():
        click.echo(f"{name:<{_WIDTH}}" + "".join(f"{_number(value):>{_WIDTH + 1}}" for value in values))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
