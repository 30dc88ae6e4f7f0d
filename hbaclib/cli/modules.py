"""``--module``: the files and modules that register networks of the user's own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

import click

MODULES = click.option("--module", "modules", multiple=True, metavar="PATH_OR_NAME",
                       help="Python file or module that registers a network of your own; may be repeated.")  # fmt: skip


def import_modules(modules: Iterable[str]) -> None:
    """Import modules now, and in all processes that this one starts: notebooks' kernels, and workers that train.

    Raises:
        ConfigError: there is no such file or module, or it raises something.
    """
    from hbaclib.models.user_modules import VARIABLE, import_user_module, named_modules, whole_name

    # Before TensorFlow starts, which the modules may start: its own messages would hide ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # what it says in Python
    for module in modules:
        import_user_module(module)
        names = dict.fromkeys([*named_modules(), whole_name(module)])
        os.environ[VARIABLE] = os.pathsep.join(names)
