"""``hbac kaggle``: make, send, watch, fetch and hand in what runs on Kaggle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hbaclib.cli.paths import NamedPath
from hbaclib.errors import printable

FOLDER = NamedPath(file_okay=False)
BUILD = NamedPath(exists=True, file_okay=False)
POLL = click.option(
    "--poll", type=click.FloatRange(min=5), default=60.0, show_default=True, help="Seconds between two looks."
)


@click.group()
def kaggle() -> None:
    """Run the suite on Kaggle; kaggle/README.md shows the three routes."""


@kaggle.command()
@click.argument("suite", default="full")
@click.option("--user", required=True, help="Kaggle user name that will own the kernels, as in kaggle.com/USER.")
@click.option("--out", type=FOLDER, required=True,
              help="Folder to make the build in; what an earlier build made in it is replaced, "
                   "all else stays.")  # fmt: skip
@click.option("--dataset", type=click.Choice(["arrays"]), default=None,
              help="Publish finished stages 01-03 as a data set, read in place of those kernels.")  # fmt: skip
@click.option("--from", "source", type=FOLDER, default=None, help="With --dataset: the run that holds the stages.")
@click.option("--weights", type=FOLDER, default=None,
              help="Published weights (*_notop.h5) to attach; training needs no internet then.")  # fmt: skip
@click.option("--split-folds", "parts", type=click.IntRange(min=1), default=1, show_default=True,
              help="Kernels that each network's folds are split over, to fit into 12 hours.")  # fmt: skip
@click.option("--data", type=FOLDER, default=None, help="Compute sizes from this folder in the competition's format.")
@click.option("--public", is_flag=True,
              help="Make kernels that others can see and copy, and wheels that these copies can read; all other "
                   "data sets stay private.")  # fmt: skip
@click.option("--selftest", type=NamedPath(), default=None,
              help="Plan hours from this selftest.json, measured on Kaggle's GPUs, in place of estimates.")  # fmt: skip
@click.option("--check", is_flag=True, help="Check the build by the Kaggle client's own rules, without a network.")
def build(suite: str, out: Path, dataset: str | None, source: Path | None, check: bool, **options: Any) -> None:
    """Make kernel folders and data sets for SUITE (full without it) in the folder --out."""
    from hbaclib.kaggle.advice import xla_advice
    from hbaclib.kaggle.build import build as make
    from hbaclib.kaggle.check import check as validate
    from hbaclib.kaggle.hours import LONGEST
    from hbaclib.kaggle.speeds import Speeds
    from hbaclib.suite import sizes
    from hbaclib.suite.table import SuiteTable

    if (dataset is None) != (source is None):
        raise click.UsageError("--dataset and --from go together")
    plan = make(suite, out=out, arrays=source, **options)
    width = max(len(kernel.ref) for kernel in plan.kernels)
    for planned in plan.datasets:
        click.echo(f"{planned.ref:<{width}}  data set")
    for kernel in plan.kernels:
        machine, size = "2 x T4" if kernel.gpu else "CPU", sizes.show_bytes(kernel.bytes)
        hours = f"{kernel.hours:4.1f} h" if kernel.gpu else ""
        click.echo(f"{kernel.ref:<{width}}  {machine:<6}  {hours:<6}  writes at most {size}")
    total = sum(kernel.bytes for kernel in plan.kernels)
    kept = sizes.show_bytes(sizes.LIMIT)
    click.echo(f"together {sizes.show_bytes(total)}; a session keeps {kept}, and each kernel is one")
    if total > sizes.LIMIT:
        click.echo("all of it in one session would not fit: push the kernels, or draw fewer samples")
    told = "measured by the self-test" if options["selftest"] else "an estimate; hbac kaggle selftest measures"
    click.echo(f"GPU sessions: {sum(kernel.hours for kernel in plan.kernels if kernel.gpu):.1f} h ({told})")
    if suite in (table := SuiteTable()).names():
        for line in xla_advice(table.suite(suite), Speeds.read(options["selftest"])):
            click.echo(line)
    for kernel in plan.kernels:
        if kernel.hours > LONGEST:
            click.echo(
                f"{kernel.ref}: longer than the {LONGEST:g} h of a session, which ends with what is finished by then; "
                "--split-folds shares the folds of 04 out over kernels, fewer networks in suite.toml those of 05 and 06"
            )
    if options["public"]:
        click.echo(
            "public: anybody can see and copy the kernels and read the wheels; weights and what is made of the "
            "competition's files stay private (a data set that is on Kaggle already stays as it is)"
        )
    if check:
        validate(out)
        click.echo("checked: Kaggle's client accepts all of it")
    click.echo(printable(f"built in {out}; next: hbac kaggle push {out}"))


@kaggle.command()
@click.option("--user", required=True, help="Kaggle user name that will own the kernel, as in kaggle.com/USER.")
@click.option("--out", type=FOLDER, required=True,
              help="Folder to make the build in; what an earlier build made in it is replaced, "
                   "all else stays.")  # fmt: skip
@click.option("--build-only", is_flag=True, help="Make the kernel and check it by the client's rules; send nothing.")
@POLL
def selftest(user: str, out: Path, build_only: bool, poll: float) -> None:
    """Measure Kaggle's GPUs: a kernel of a quarter of an hour on synthetic data, built, sent and waited for.

    Notebook 09_selftest, which it runs, can also be opened by hand, and `hbac kaggle build --selftest` plans hours from
    its selftest.json.
    """
    from hbaclib.kaggle.build import SELFTEST
    from hbaclib.kaggle.build import build as make
    from hbaclib.kaggle.check import check as validate
    from hbaclib.kaggle.push import push as send
    from hbaclib.selftest.form import RESULTS, STAGE

    plan = make(SELFTEST, user=user, out=out)
    validate(out)
    click.echo(printable(f"{plan.kernels[0].ref}: built in {out}; Kaggle's client accepts it"))
    if build_only:
        click.echo(printable(f"next: hbac kaggle push {out}"))
        return
    send(out, poll=poll)
    click.echo(printable(f"complete; next: hbac kaggle output {out} --to FOLDER"))
    click.echo(f"and then: hbac kaggle build --user {user} --out BUILD --selftest FOLDER/{STAGE}/{RESULTS}")


@kaggle.command()
@click.argument("folder", type=BUILD)
@click.option("--again", multiple=True, metavar="STAGE",
              help="A stage whose session was too short: its kernel is sent once more, reading what it has written, "
                   "and trains what it left out. Several are allowed; all that read it follow.")  # fmt: skip
@POLL
def push(folder: Path, again: tuple[str, ...], poll: float) -> None:
    """Send the build in FOLDER and wait until all of it has run; the same command continues after Ctrl-C.

    What a session had no time for is told when its kernel is complete.
    """
    from hbaclib.kaggle.push import push as send

    send(folder, poll=poll, again=again)
    click.echo(printable(f"all complete; next: hbac kaggle output {folder} --to FOLDER, hbac kaggle submit {folder}"))


@kaggle.command()
@click.argument("folder", type=BUILD)
def status(folder: Path) -> None:
    """Show what Kaggle says of everything in FOLDER; exit code 1 where something failed."""
    from hbaclib.kaggle.results import status as show

    if not show(folder):
        raise SystemExit(1)


@kaggle.command()
@click.argument("folder", type=BUILD)
@click.argument("stages", nargs=-1)
@click.option("--to", type=FOLDER, required=True,
              help="Folder to put the stages in, as a run here leaves them; what an earlier download put there is "
                   "replaced, nothing else.")  # fmt: skip
def output(folder: Path, stages: tuple[str, ...], to: Path) -> None:
    """Download the stages that the kernels of FOLDER wrote (all, or the named STAGES), checked by their manifests.

    Of what a kernel wrote, the files that its stage's manifest names are taken, the submission, the truth of a
    synthetic set, and the notebook.
    """
    from hbaclib.kaggle.results import output as fetch

    fetch(folder, to, stages)


@kaggle.command()
@click.argument("folder", type=BUILD)
@click.option("--message", "-m", default="hbac", show_default=True, help="Description of the submission.")
@POLL
def submit(folder: Path, message: str, poll: float) -> None:
    """Hand in the complete kernel 08 of FOLDER to the competition and wait for its score."""
    from hbaclib.kaggle.results import submit as hand_in

    public, private = hand_in(folder, message, poll=poll)
    click.echo(f"public score {public or 'hidden'}, private score {private or 'hidden'}")
