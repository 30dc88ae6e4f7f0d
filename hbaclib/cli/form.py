"""The form of the EEG files, for files that do not tell it themselves: columns, channels, unit, polarity, gaps."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _columns(ctx: click.Context, option: click.Parameter, value: str | None) -> dict[str, str] | None:
    """Electrode -> column, of ``Fp1=X1,F3=X2`` or of a TOML file of lines ``Fp1 = "X1"``."""
    from hbaclib.recordings.columns import electrode_named

    if value is None:
        return None
    if "=" not in value or Path(value).is_file():
        pairs = _file(Path(value))
    else:
        pairs = [(key.strip(), name.strip()) for key, _, name in (part.partition("=") for part in value.split(","))]
    found: dict[str, str] = {}
    for key, name in pairs:
        electrode = electrode_named(key)
        if electrode is None or not name:
            raise click.BadParameter(f"{key!r}: expected ELECTRODE=COLUMN, the electrode one of Fp1, F3, ..., EKG")
        if electrode in found:
            raise click.BadParameter(f"{electrode} is given twice; expected one column")
        found[electrode] = name
    return found


def _file(path: Path) -> list[tuple[str, str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise click.BadParameter(
            f'{path}: {reason}; expected "Fp1=NAME,F3=NAME,..." or a TOML file of lines Fp1 = "NAME"'
        ) from error
    wrong = [name for name, column in content.items() if not isinstance(column, str)]
    if wrong or not content:
        raise click.BadParameter(f'{path}: {", ".join(wrong) or "no lines"}; expected lines Fp1 = "NAME"')
    return list(content.items())


def _unit(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from hbaclib.recordings.units import MICROVOLTS, unit_named

    unit = None if value is None else unit_named(value)
    if value is not None and unit is None:
        raise click.BadParameter(f"{value!r}; expected {', '.join(MICROVOLTS)}")
    return unit


def form_options(command: _Command) -> _Command:
    """Add both options to a command, which gets ``columns`` and ``unit``."""
    unit = click.option("--unit", default=None, callback=_unit, metavar="V|mV|µV|nV",
                        help="Unit of the EEG files; what they state themselves without it, else µV.")  # fmt: skip
    columns = click.option("--columns", default=None, callback=_columns, metavar="ELECTRODE=COLUMN,...|FILE",
                           help="Columns of the EEG files whose names do not tell the electrode: pairs "
                                'as "Fp1=X1,F3=X2", or a TOML file of lines Fp1 = "X1".')  # fmt: skip
    return columns(unit(command))


def _channels(ctx: click.Context, option: click.Parameter, value: Path | None) -> Any:
    from hbaclib.errors import ConfigError
    from hbaclib.recordings.channels import read_channel_table

    try:
        return [] if value is None else read_channel_table(value)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


def _channel(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    from hbaclib.errors import ConfigError
    from hbaclib.recordings.channels import given_channels

    pairs = dict[str, str]()
    for text in values:
        # A label may hold the sign; what it means does not.
        label, equals, meaning = text.rpartition("=")
        if not equals or not label.strip():
            raise click.BadParameter(f"{text!r}; expected LABEL=ELECTRODE or LABEL=ELECTRODE-REFERENCE")
        if label.strip() in pairs:
            raise click.BadParameter(f"{label.strip()} is given twice; expected one meaning")
        pairs[label.strip()] = meaning
    try:
        return given_channels(pairs)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


def channel_options(command: _Command) -> _Command:
    """Add the options of files with channels (EDF, BDF) to a command.

    The command gets ``form``, the options of `hbaclib.open_recording` of these names: channels, invert, ignore_gaps.
    """

    @wraps(command)
    def bundled(
        *arguments: Any, channel_table: Any, channel: Any, invert: bool, ignore_gaps: bool, **options: Any
    ) -> Any:
        said = {row.label for row in channel}
        rows = [*channel, *(row for row in channel_table if row.label.strip() not in said)]
        form = {"channels": rows or None, "invert": invert, "ignore_gaps": ignore_gaps}
        return command(*arguments, form=form, **options)

    gaps = click.option("--ignore-gaps", is_flag=True, help="Read an EDF+ file as if no time lay between its records.")
    invert = click.option("--invert", is_flag=True, help="Turn the polarity of the EEG.")
    one = click.option("--channel", multiple=True, callback=_channel, metavar="LABEL=ELECTRODE[-REFERENCE]",
                       help='What a channel of an EDF or BDF file is, as "X1=T3-REF" or "X2=F7-T3"; with nothing '
                            "behind the = it is left out. May be repeated.")  # fmt: skip
    several = click.option("--channels", "channel_table", default=None, callback=_channels,
                           type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.csv",
                           help="The same of many channels: a table label,electrode,reference, as hbac check "
                                "--write-channels makes it. It counts before what the labels say.")  # fmt: skip
    for option in (gaps, invert, one, several):
        bundled = option(bundled)
    return cast(_Command, bundled)
