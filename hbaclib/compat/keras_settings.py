"""How Keras was told to compute, by whoever set it up, found without importing it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hbaclib.errors import PlatformError
from hbaclib.files import regular_file

_LEGACY, _TRUE = "TF_USE_LEGACY_KERAS", ("1", "true", "True")
_EXPECTED = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last"}
"""Setting -> the one that the networks are built for: with another they fail, or give other numbers."""


def check_keras() -> None:
    """Refuse a Keras that would compute otherwise than the networks are built for. The first call to it asks here.

    An imported Keras is asked for its settings; before that, the environment and ``keras.json`` are.

    Raises:
        PlatformError: another backend, number type or order of axes, Keras 2, or settings that Keras cannot read; each
            with where it comes from and what mends it.
    """
    faults = [*_legacy(), *(_imported(keras) if (keras := _whole_keras()) else _to_come())]
    if faults:
        raise PlatformError("\n".join(faults))


def settings_file() -> Path:
    """The file that Keras reads its settings from when it is imported.

    Repeats what ``keras.src.backend.config`` does; seen with Keras 3.13 to 3.15.
    """
    folder = os.environ.get("KERAS_HOME")
    if folder is None:
        home = os.path.expanduser("~")
        folder = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.path.join(folder, "keras.json")))


def _legacy() -> Iterator[str]:
    value = os.environ.get(_LEGACY)
    if value in _TRUE:
        yield (
            f"{_LEGACY}={value} in the environment puts Keras 2 in the place of Keras 3, which the networks are built "
            f"for; unset it: unset {_LEGACY}"
        )


def _whole_keras() -> Any:
    keras = sys.modules.get("keras")
    return keras if hasattr(keras, "config") else None  # else another package's import of it has just failed


def _imported(keras: Any) -> Iterator[str]:
    """Faults of the Keras that this process has imported."""
    found = {name: str(getattr(keras.config, name)()) for name in _EXPECTED}
    for name, expected in _EXPECTED.items():
        if found[name] != expected:
            mend = f"begin anew, with KERAS_BACKEND={expected} in the environment before Keras is imported"
            if name != "backend":
                mend = f'call keras.config.set_{name}("{expected}")'
            yield f"{_said(name, found[name])} in the Keras that this process has imported; {mend}"
    policy = str(keras.config.dtype_policy().name)
    if found["floatx"] == _EXPECTED["floatx"] and policy != "float32" and not policy.startswith("mixed_"):
        yield (
            f"Keras' dtype policy is {policy!r} in this process, expected 'float32' or a mixed one; "
            'call keras.config.set_dtype_policy("float32")'
        )


def _to_come() -> Iterator[str]:
    """Faults of the Keras that this process would import."""
    path, named = settings_file(), os.environ.get("KERAS_BACKEND", "")
    if named not in ("", _EXPECTED["backend"]):
        yield (
            f"{_said('backend', named)}, from the environment variable KERAS_BACKEND; "
            f"set KERAS_BACKEND={_EXPECTED['backend']}, or unset it"
        )
    try:
        settings = json.loads(regular_file(path).read_text())
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{path}: Keras reads its settings there, and it cannot be read ({error.strerror}); remove it"
        return
    except (ValueError, RecursionError):
        return  # Keras takes its own defaults then, which are ours
    if not isinstance(settings, dict) or not isinstance(settings.get("epsilon", 0.1), float):
        yield (
            f"{path}: Keras cannot read its settings there, expected a JSON object whose epsilon, if any, is a "
            "fraction; remove it"
        )
        return
    for name, expected in _EXPECTED.items():
        found = settings.get(name, expected)
        if found != expected and not (name == "backend" and named):
            yield f'{_said(name, str(found))}, from {path}; write "{name}": "{expected}" there, or remove the file'


def _said(name: str, found: str) -> str:
    return f"Keras' {name} is {found!r}, expected {_EXPECTED[name]!r}"
