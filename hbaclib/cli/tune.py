"""``hbac tune``: a small search over the keys of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hbaclib.cli.modules import MODULES, import_modules
from hbaclib.cli.paths import NamedPath
from hbaclib.errors import printable

if TYPE_CHECKING:
    from hbaclib.search.tune import Search

FOLDER = NamedPath(file_okay=False)


def _numbers(ctx: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in text.split(",")) if text is not None else None
    except ValueError:
        raise click.BadParameter(f"{text!r}; expected numbers as in 0,1,2") from None


@click.command()
@click.argument("recipe")
@click.option("--run", type=FOLDER, required=True, help="Output folder of a run with the finished stages 01 to 03.")
@click.option("--key", "keys", multiple=True, metavar="KEY=VALUES",
              help="What a recipe key may take: batch=16,32, dropout=0..0.5, stages.0.peak=log:1e-4..3e-3; one value "
              "fixes it. May be repeated.")  # fmt: skip
@click.option("--space", type=NamedPath(dir_okay=False), default=None,
              help="The same as a TOML file: lists of values, or ranges as text.")  # fmt: skip
@click.option("--method", type=click.Choice(["grid", "tpe"]), default=None,
              help="Every combination, or guided draws; grid where there is no range.")  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), default=None,
              help="Trials in all, those of an earlier run included; the whole grid, or 20, without it.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the search.")
@click.option("--folds", callback=_numbers, default=None, metavar="K,K,...", help="Folds to search by; all without it.")
@click.option("--pseudo-labels", type=FOLDER, default=None, help="Pseudo-labels, for a recipe that mixes them in.")
@click.option("--out", type=FOLDER, default=None, help="Folder of the results; tune_RECIPE in the run without it.")
@MODULES
def tune(
    recipe: str,
    run: Path,
    keys: tuple[str, ...],
    space: Path | None,
    out: Path | None,
    modules: tuple[str, ...],
    **options: Any,
) -> None:
    """Search for better values of the keys of RECIPE, a shipped recipe's name or a TOML file.

    Every trial is cross-validated on the inputs of a run. The best recipe is written as best.toml, and beside its own
    score, which flatters, stands the nested one: each fold is judged by the recipe that the other folds chose. The
    same command after a stop resumes where it stopped.
    """
    from hbaclib.inputs.store import open_inputs
    from hbaclib.search.space import corners, parse_keys, read_space
    from hbaclib.search.tune import tune as search
    from hbaclib.stages.names import EEG, IMAGES, PORT, SIGNALS_200HZ
    from hbaclib.stages.places import find_stage
    from hbaclib.training.recipe import load_recipe

    import_modules(modules)
    base = load_recipe(recipe)
    read = read_space(space, base) if space else {}
    named = parse_keys(keys, base)
    if twice := set(read) & set(named):
        raise click.UsageError(f"{sorted(twice)[0]} is named by --key and in {space}")
    domains = {**read, **named}
    # A faulty space is told before the data are looked for.
    crops = any(candidate.crop_seconds for candidate in corners(base, domains))
    port, eeg, images = (find_stage(stage, run) or run / stage for stage in (PORT, EEG, IMAGES))
    inputs = open_inputs(port, eeg, images, find_stage(SIGNALS_200HZ, run) if crops else None)
    _show(search(base, inputs, domains, out or run / f"tune_{base.name}", **options))


def _show(found: Search) -> None:
    from hbaclib.search.space import show

    trials = found.trials.drop(columns=["digest", "folder", "problem"]).sort_values("kl", kind="stable")
    for key in found.keys:
        trials[key] = [show(value) for value in trials[key]]
    trials["seconds"] = trials["seconds"].round().astype("Int64")
    click.echo(f"\ntrials, the best first; kl counts rows of tier {found.tier}:")
    click.echo(trials.to_string(index=False, float_format="{:.4f}".format, na_rep="-"))
    click.echo("\nchosen by the other folds, judged by this one:")
    click.echo(found.nested.to_string(index=False, float_format="{:.4f}".format, na_rep="-"))
    click.echo(f"\nthe best trial on the rows that chose it (flatters): {found.score:.4f}")
    click.echo(f"nested, each fold judged by what the others chose:   {found.nested_score:.4f}")
    click.echo(printable(f"best recipe: {found.folder / 'best.toml'}; trained in {found.trained}"))
