"""``--columns`` and ``--unit``: the form of the EEG files, for files that do not tell it themselves."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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
