"""The command ``hbac``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hbaclib import __version__
from hbaclib.cli.check import check
from hbaclib.cli.compare import compare
from hbaclib.cli.kaggle import kaggle
from hbaclib.cli.messages import give_up_output, plain_streams, sentence, tell
from hbaclib.cli.modules import MODULES, import_modules
from hbaclib.cli.paths import NamedPath
from hbaclib.cli.predict import predict
from hbaclib.cli.score import score
from hbaclib.cli.tune import tune
from hbaclib.errors import DataFileError, printable
from hbaclib.processes import Stopped, end_children, interruption_behind, messages_aside, stop_signals_raise
from hbaclib.schema import parse_json


class _Group(click.Group):
    """A group whose commands print what went wrong as one message, and leave nothing running.

    The exit code is 1 after an `HbacError` or an error of the system, 130 after Ctrl-C, 128 and its number after
    another signal that asks to end.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        with plain_streams():
            return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with stop_signals_raise():
                try:
                    return super().invoke(ctx)
                except BaseException as error:
                    stopped = interruption_behind(error)
                    if stopped is None:
                        raise
                    end_children()
                    raise stopped from None
        except BrokenPipeError:
            # Who reads has seen enough.
            give_up_output()
            ctx.exit(1)
        except KeyboardInterrupt as error:
            how = "interrupted" if not isinstance(error, Stopped) else f"stopped by {error}"
            tell(f"{how}; the same command continues where it stopped")
            ctx.exit(error.code if isinstance(error, Stopped) else 130)
        except Exception as error:
            told = sentence(error)
            if told is None:
                raise
            tell(told)
            give_up_output(unless_whole=True)
            ctx.exit(1)


def _value(text: str) -> Any:
    """A parameter's value: JSON where it is JSON (numbers, true, lists), else the text itself."""
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        return text


def _pairs(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.rpartition(".")[2].isidentifier():
            raise click.BadParameter(f"{text!r}; expected NAME=VALUE or STAGE.NAME=VALUE")
        pairs[key] = _value(value)
    return pairs


FOLDER = NamedPath(file_okay=False)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def main() -> None:
    """Classify harmful brain activity in EEG: from raw files to submission.csv."""


@main.command()
@click.argument("folder", type=FOLDER)
@click.option("--patients", type=click.IntRange(min=1), default=50, show_default=True, help="Patients in train.csv.")
@click.option("--test-rows", type=click.IntRange(min=1), default=20, show_default=True, help="Rows of test.csv.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes; all cores without it.")
@click.option("--preview", is_flag=True, help="Draw synthetic recordings of all classes into FOLDER instead.")
@click.option("--real", type=FOLDER, default=None, metavar="DATA",
              help="With --preview: folder of real recordings, drawn beside.")  # fmt: skip
@click.option("--edf", is_flag=True, help="Make one recording of hours as EDF+ instead, with its truth beside it.")
@click.option(
    "--hours", type=click.FloatRange(0.1, 168), default=8.0, show_default=True, help="With --edf: its length."
)
@click.option("--gaps", type=click.IntRange(0, 100), default=2, show_default=True, help="With --edf: interruptions.")
@click.pass_context
def synth(
    ctx: click.Context,
    folder: Path,
    patients: int,
    test_rows: int,
    seed: int,
    jobs: int | None,
    preview: bool,
    real: Path | None,
    edf: bool,
    hours: float,
    gaps: int,
) -> None:
    """Make a synthetic data set in the competition's format, with known truth, at FOLDER.

    FOLDER is new or empty, or holds this very set. The truth and a summary go beside it.

    With --preview, pictures of what the built-in model learns from: a page a class, power spectra,
    statistics; if wanted beside real recordings (DATA: train_eegs and a train.csv or eeg_labels.csv
    that names their classes).

    With --edf, one night of one patient: FOLDER/night.edf, or FOLDER itself where its name ends in .edf.
    Patterns of all classes come and go, artefacts burst in, electrodes fall off. The truth, onset, duration
    and class of each, is the table night-truth.csv beside it; where nothing is named, the class is Other.
    """
    if edf:
        _night(ctx, folder, hours, gaps, seed)
        return
    _refuse_given(ctx, ("hours", "gaps"), "of a night; give --edf")
    if preview:
        _preview(ctx, folder, seed, real)
        return
    if real is not None:
        raise click.UsageError("--real goes with --preview")
    from hbaclib.dataset.synthetic import make_synthetic_dataset

    with messages_aside():
        made = make_synthetic_dataset(folder, n_patients=patients, seed=seed, n_test=test_rows, n_jobs=jobs)
    click.echo(printable(made))


def _refuse_given(ctx: click.Context, names: Iterable[str], why: str) -> None:
    for name in names:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is {why}")


def _night(ctx: click.Context, place: Path, hours: float, gaps: int, seed: int) -> None:
    _refuse_given(ctx, ("patients", "test_rows", "jobs", "preview", "real"), "of a set; --edf makes one recording")
    from hbaclib.dataset.synthetic.night import make_night

    path = place if place.suffix.lower() == ".edf" else place / "night.edf"
    for made in make_night(path, hours, seed, n_gaps=gaps):
        click.echo(printable(made))


def _preview(ctx: click.Context, folder: Path, seed: int, real: Path | None) -> None:
    _refuse_given(ctx, ("patients", "test_rows", "jobs"), "of a set; --preview draws pictures")
    if real is not None and not real.is_dir():
        raise DataFileError(f"{real}: no such folder; expected one with train_eegs and train.csv or eeg_labels.csv")
    from hbaclib.plots.preview import draw_preview

    for path in draw_preview(folder, real=real, seed=seed):
        click.echo(printable(path))


@main.command()
@click.argument("suite")
@click.option(
    "--data", type=FOLDER, default=None, help="Folder in the competition's format; a synthetic set without it."
)
@click.option("--out", type=FOLDER, default=None, help="Output folder; runs/SUITE below the working folder without it.")
@click.option("-p", "--parameter", "parameters", multiple=True, callback=_pairs, metavar="[STAGE.]NAME=VALUE",
              help="Set a notebook parameter of that name, in all notebooks that have it or in one stage alone "
              "(04_train_efficientnet.weights=FOLDER); may be repeated.")  # fmt: skip
@click.option("--cpu", is_flag=True, help="Leave GPUs alone, and do not ask for one.")
@MODULES
def run(
    suite: str, data: Path | None, out: Path | None, parameters: dict[str, Any], cpu: bool, modules: tuple[str, ...]
) -> None:
    """Run the notebooks of SUITE (smoke, ci, demo, full) from raw files to submission.csv.

    What the suite needs (weights, disk, memory, a GPU) is checked first, all of it.

    Finished stages are recognised by content and skipped; a killed run continues where it stopped. While a notebook
    trains, one line a device says what its fit does, how fast, and how long yet.
    """
    from hbaclib.suite.runner import run_suite

    import_modules(modules)
    run_suite(suite, data=data, out=out, parameters=parameters, cpu=cpu)


main.add_command(check)
main.add_command(compare)
main.add_command(kaggle)
main.add_command(tune)
main.add_command(predict)
main.add_command(score)


if __name__ == "__main__":
    main()
