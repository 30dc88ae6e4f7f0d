"""Paths as arguments and options: what cannot be one is named before anything is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from hbaclib.errors import PlatformError
from hbaclib.files import FILE, FOLDER, NOTHING, expanded, kind_of
from hbaclib.stages.shipped import is_shipped


class NamedPath(click.Path):
    """A path that the system can look up: with ``~`` expanded, of a length that it takes, no circle of links.

    Where a folder is asked for, there is one, or nothing yet.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            PlatformError: there cannot be such a file or folder, or there is something else.
            ConfigError: ``~`` names a user who has no home.
        """
        path = expanded(value) if str(value).startswith("~") else value
        kind = kind_of(path)
        unfit = kind.startswith(("no name", "not to be had", "a link that leads back"))
        if unfit or (not self.file_okay and kind not in (FILE, FOLDER, NOTHING)):  # a file is told by click
            raise PlatformError(f"{os.fspath(value)}: is {kind}; expected {'a file' if self.file_okay else 'a folder'}")
        return super().convert(os.fspath(path), param, ctx)


class Artefacts(NamedPath):
    """A folder of what predicts, or the name of a model that the package ships.

    A name stays a text: as a path, ``synthetic`` and ``./synthetic`` could not be told apart.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name, or the path; errors as for `NamedPath`."""
        return value if is_shipped(value) else super().convert(value, param, ctx)
