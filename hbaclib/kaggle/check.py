"""Checks a build by the Kaggle client's own rules, without a network: ``python -m hbaclib.kaggle.check FOLDER``.

The client checks while it sends; here its sending end is replaced by one that only notes what would go out. It runs in
a process of its own, without the user's credentials, because the client logs in as soon as it is imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from hbaclib.errors import ConfigError, PlatformError
from hbaclib.kaggle.build import KERNEL_METADATA
from hbaclib.kaggle.client import INSTALL
from hbaclib.kaggle.datasets import DATASET_METADATA
from hbaclib.kaggle.plan import read_plan
from hbaclib.suite import sizes


def _offline_client() -> Any:
    """The client with a connection that answers any request as a server does that is content."""
    from kaggle.api import kaggle_api_extended as module
    from requests import HTTPError

    connection = MagicMock()
    connection.__enter__.return_value = connection
    connection.kernels.kernels_api_client.save_kernel.return_value = module.ApiSaveKernelResponse()
    connection.datasets.dataset_api_client.create_dataset.return_value = module.ApiCreateDatasetResponse()

    class Offline(module.KaggleApi):
        def build_kaggle_client(self) -> Any:
            return connection

        def dataset_status(self, dataset: str, format: str | None = None) -> str:
            raise HTTPError("there is none yet")

        def upload_files(self, *arguments: Any, **named: Any) -> None:
            pass

    client = Offline()
    client.config_values = {"username": ""}
    return client


def faults(folder: Path) -> list[str]:
    """One line per fault that the client finds in a build; needs the client to be importable without credentials."""
    from slugify import slugify

    plan = read_plan(folder)
    client = _offline_client()
    found = []
    tasks = [(folder / "datasets" / each.name, client.dataset_create_new, DATASET_METADATA) for each in plan.datasets]
    tasks += [(folder / "kernels" / each.name, client.kernels_push, KERNEL_METADATA) for each in plan.kernels]
    for path, send, metadata in tasks:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                send(str(path))
            content = json.loads((path / metadata).read_text(encoding="utf-8"))
            title, slug = content["title"], slugify(str(content["title"]))
            if slug != content["id"].split("/")[1] and not said.getvalue():
                found.append(f"{path}: title {title!r} makes the slug {slug!r}, the id says {content['id']!r}")
        except (ValueError, KeyError, OSError) as error:
            found.append(f"{path}: {error}")
        if said.getvalue().strip():
            found.append(f"{path}: {said.getvalue().strip()}")
    return found


def check(folder: str | Path) -> None:
    """Check a build by the client's rules, in a process without credentials and without a network.

    Raises:
        ConfigError: the client would refuse something, one line each; or a kernel writes more than a session keeps.
        PlatformError: the client is not installed.
    """
    sizes.check_kernels({kernel.name: kernel.bytes for kernel in read_plan(folder).kernels}, str(folder))
    with tempfile.TemporaryDirectory() as home:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")}
        environment = {**kept, "HOME": home, "XDG_CONFIG_HOME": home, "KAGGLE_CONFIG_DIR": home}
        command = [sys.executable, "-m", "hbaclib.kaggle.check", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 3:
        raise PlatformError(INSTALL)
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise PlatformError(f"{folder}: the check itself failed:\n{done.stderr.strip()}") from None
    if found:
        raise ConfigError("Kaggle's client would refuse the build:\n" + "\n".join(found))


if __name__ == "__main__":
    if not all(importlib.util.find_spec(name) for name in ("kaggle.api", "slugify")):
        sys.exit(3)
    print(json.dumps(faults(Path(sys.argv[1]))))
