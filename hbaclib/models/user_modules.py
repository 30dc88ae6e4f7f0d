"""Networks from outside the library: modules that the user names, and installed packages that announce theirs.

A package announces a module that registers networks by an entry point of the group ``hbaclib.models``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path

from hbaclib.compat.joblib import pickle_by_value
from hbaclib.compat.keras_settings import check_keras
from hbaclib.errors import ConfigError
from hbaclib.files import expanded

GROUP = "hbaclib.models"
VARIABLE = "HBAC_MODULES"
"""Environment variable that names files and modules of the user's to the processes that a command starts."""
_imported: set[str] = set()


def named_modules() -> list[str]:
    """What VARIABLE names."""
    return [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def whole_name(named: str) -> str:
    """A file's whole path, a module's name as it is: other processes have another working folder."""
    path = expanded(named)
    return str(path.resolve()) if path.is_file() else named


def import_all() -> None:
    """Import what VARIABLE names and what installed packages announce, once.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    _import_announced()
    for name in named_modules():
        if name not in _imported:
            import_user_module(name)


@cache
def _import_announced() -> None:
    # Kept: to look through all installed packages takes longer than to prepare a batch.
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # whatever the package's own code raises
            raise ConfigError(f"entry point {point.name} of {GROUP}: {_told(point.value, error)}") from error


def import_user_module(named: str) -> None:
    """Import a Python file by its path, or a module by its name, from the working folder too.

    Raises:
        ConfigError: there is none, or it raises something.
        PlatformError: Keras is set up for other networks.
    """
    from hbaclib.models.registry import built_in_names

    path = expanded(named)
    is_file = path.suffix == ".py" or path.name != named
    if is_file and not (path.suffix == ".py" and path.is_file()):
        raise ConfigError(f"--module {named}: no such file, expected a Python file (.py) or the name of a module")
    check_keras()  # which the module may import
    _imported.add(whole_name(named))
    built_in_names()  # first come the library's own networks, so that none of them is replaced
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # a file may import its neighbours, as when Python runs it
    try:
        if is_file:
            _import_file(path)
        else:
            importlib.import_module(named)
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        raise ConfigError(f"--module {_told(named, error)}") from error


def _import_file(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"module_{path.stem}", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pickle_by_value(module)  # processes that train could not import it by this name


def _told(what: str, error: BaseException) -> str:
    return f"{what}: cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
