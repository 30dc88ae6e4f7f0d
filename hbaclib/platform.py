"""Where things are: Kaggle mounts in their new and old layout, finished stages, local folders.

Kaggle mounts, new layout (old in brackets):

- competition: ``competitions/<slug>`` (``<slug>``)
- data set: ``datasets/<owner>/<slug>`` (``<slug>``)
- output of another notebook: ``notebooks/<owner>/<slug>`` (``<slug>``)
- model: ``models/<owner>/<model>/<framework>/<variation>/<version>`` (``<model>/<framework>/<variation>/<version>``)

all below ``/kaggle/input``; what a notebook writes goes to ``/kaggle/working``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform as python_platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hbaclib.artefacts import MANIFEST
from hbaclib.errors import ConfigError, PlatformError, list_some

COMPETITION = "hms-harmful-brain-activity-classification"
SYNTHETIC = "synthetic-hms"
REPORTED_PACKAGES = ("hbaclib", "tensorflow", "keras", "keras-cv", "efficientnet", "numpy", "pandas", "pyarrow")


def on_kaggle() -> bool:
    """Whether this runs in a Kaggle session (the folder alone is no proof: it exists in copies of the image)."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def input_root() -> Path:
    """Folder below which Kaggle mounts inputs; ``HBAC_INPUT_ROOT`` replaces it in tests and in copies of the image."""
    return Path(os.environ.get("HBAC_INPUT_ROOT", "/kaggle/input"))


def project_root() -> Path:
    """Folder that holds ``kaggle/suite.toml`` and ``notebooks/``.

    ``HBAC_PROJECT`` names it; else it is the checkout that this library is installed from, else the working folder or
    one above it.

    Raises:
        ConfigError: none of these holds the table.
    """
    given = os.environ.get("HBAC_PROJECT")
    candidates = [Path(given)] if given else [Path(__file__).parents[2], Path.cwd(), *Path.cwd().parents]
    for folder in candidates:
        if (folder / "kaggle" / "suite.toml").is_file():
            return folder.resolve()
    raise ConfigError(
        f"kaggle/suite.toml not found in {list_some(candidates, 3)}; run this in a checkout of the project "
        "or set HBAC_PROJECT to one"
    )


def output_root(out: str | Path = "") -> Path:
    """Folder that a notebook writes to: as given, else Kaggle's working folder, else ``runs/interactive``.

    ``runs`` lies in the checkout, or in the working folder where this is not run in a checkout.
    """
    if str(out):
        return Path(out).expanduser().resolve()
    if on_kaggle():
        return Path(os.environ.get("HBAC_WORKING_ROOT", "/kaggle/working"))
    try:
        return project_root() / "runs" / "interactive"
    except ConfigError:
        return Path.cwd() / "runs" / "interactive"


def mounted() -> list[str]:
    """Mounted inputs, relative to the input root, for messages: the folders down to four levels that hold files."""
    root = input_root()
    found = []
    for depth in range(1, 6):
        for folder in sorted(root.glob("/".join("*" * depth))):
            if folder.is_dir() and any(child.is_file() for child in folder.iterdir()):
                found.append(folder.relative_to(root).as_posix())
    return found


def find_mount(kind: str, slug: str) -> Path | None:
    """Folder of one mounted input.

    Args:
        kind: ``competitions``, ``datasets``, ``notebooks`` or ``models``.
        slug: its slug; with or without the owner. For models ``model/framework/variation[/version]``.

    Returns:
        The folder, in the new layout before the old one, or None.
    """
    root = input_root()
    patterns = [f"{kind}/{slug}", f"{kind}/*/{slug}", slug, slug.rpartition("/")[2] if kind != "models" else slug]
    for pattern in patterns:
        for folder in sorted(root.glob(pattern)):
            if folder.is_dir():
                return folder
    return None


def _notebook_outputs() -> Iterator[Path]:
    root = input_root()
    for pattern in ("notebooks/*/*", "datasets/*/*", "*"):
        yield from sorted(folder for folder in root.glob(pattern) if folder.is_dir())


def find_stage(stage: str, out: str | Path) -> Path | None:
    """Folder of a finished stage: in this run's output, else in the attached outputs of other notebooks.

    Args:
        stage: the folder's name, as ``01_port_data``.
        out: this run's output folder.

    Returns:
        The folder that holds the stage's manifest, or None.
    """
    folders = [Path(out) / stage, *(mount / stage for mount in _notebook_outputs())]
    return next((folder for folder in folders if (folder / MANIFEST).is_file()), None)


def find_stages(prefix: str, out: str | Path) -> list[Path]:
    """Folders of all finished stages whose name starts with the prefix, one per name, sorted by name."""
    found: dict[str, Path] = {}
    for root in (Path(out), *_notebook_outputs()):
        for manifest in sorted(root.glob(f"{prefix}*/{MANIFEST}")):
            found.setdefault(manifest.parent.name, manifest.parent)
    return [found[name] for name in sorted(found)]


def find_data(data: str | Path = "", out: str | Path = "") -> Path | None:
    """Folder of the competition's files.

    Looks at the given folder, the competition's mount, this run's synthetic set, and one of an attached notebook.

    Returns:
        The folder, or None where there is none and none was named.

    Raises:
        PlatformError: a folder was named and is not there; lists what is mounted.
    """
    if str(data):
        folder = Path(data).expanduser().resolve()
        if not folder.is_dir():
            hint = f"; mounted below {input_root()}: {list_some(mounted()) or 'nothing'}" if on_kaggle() else ""
            raise PlatformError(f"{folder}: no such folder; expected one in the competition's format{hint}")
        return folder
    folders = [find_mount("competitions", COMPETITION), output_root(out) / SYNTHETIC]
    folders += [mount / SYNTHETIC for mount in _notebook_outputs()]
    return next((folder for folder in folders if folder and (folder / "train.csv").is_file()), None)


def versions() -> dict[str, str]:
    """Version of Python and of the packages that decide results."""
    found = {"python": python_platform.python_version()}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, IndexError):
        return "unknown"


def accelerators() -> list[str]:
    """Names of the NVIDIA GPUs, asked from the driver so that no framework takes their memory."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def describe() -> str:
    """What this runs on, in a few lines: the first thing that every notebook prints."""
    lines = [", ".join(f"{name} {version}" for name, version in versions().items())]
    if on_kaggle():
        lines.append(f"Kaggle image {_first_line('/etc/git_commit')}, built {_first_line('/etc/build_date')}")
        lines.append(f"mounted: {list_some(mounted(), 20) or 'nothing'}")
    gpus = accelerators()
    lines.append(f"{os.cpu_count()} CPU cores; " + (f"GPU: {', '.join(gpus)}" if gpus else "no GPU"))
    return "\n".join(lines)
