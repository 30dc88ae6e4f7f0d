"""Where things are: Kaggle mounts in their new and old layout, local folders.

Kaggle mounts, new layout (old in brackets):

- competition: ``competitions/<slug>`` (``<slug>``)
- data set: ``datasets/<owner>/<slug>`` (``<slug>``)
- output of another notebook: ``notebooks/<owner>/<slug>`` (``<slug>``)
- model: ``models/<owner>/<model>/<framework>/<variation>/<version>`` (``<model>/<framework>/<variation>/<version>``)

all below ``/kaggle/input``; utility scripts lie below ``/kaggle/usr/lib``, as ``notebooks/<owner>/<slug>``
(``<slug>`` with underscores). What a notebook writes goes to ``/kaggle/working``. `find_input` is the one resolver: it
takes a local folder as well as the name of a mounted input, and where it finds neither it lists what is mounted.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import math
import os
import platform as python_platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from hbaclib.artefacts import CARRIED
from hbaclib.errors import ConfigError, PlatformError, list_some
from hbaclib.files import FOLDER, NOTHING, expanded, kind_of, whole_path

COMPETITION = "hms-harmful-brain-activity-classification"
SYNTHETIC = "synthetic-hms"
PACKAGE = Path(__file__).parent
NEW_LAYOUT = {
    "competitions": "competitions/*",
    "datasets": "datasets/*/*",
    "notebooks": "notebooks/*/*",
    "models": "models/*/*/*/*/*",
}
"""Kind of input -> pattern of its mount points below the input root."""
FOUND_BY_SLUG = ("competitions", "datasets")
"""Kinds that a caller names; outputs of notebooks and models are looked through for what they hold."""
SESSION_HOURS, SUBMISSION_HOURS, RESERVE_HOURS = 12.0, 9.0, 0.5
"""Longest Kaggle session with a GPU, longest run of a code submission, and what of either is kept for writing."""
REPORTED_PACKAGES = ("hbaclib", "tensorflow", "keras", "keras-cv", "efficientnet", "numpy", "pandas", "pyarrow")


def on_kaggle() -> bool:
    """Whether this runs in a Kaggle session (the folder alone is no proof: it exists in copies of the image)."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def is_rerun() -> bool:
    """Whether this is the competition's own run of a submitted notebook, on the hidden test files."""
    return bool(os.environ.get("KAGGLE_IS_COMPETITION_RERUN"))


def session_hours_left() -> float | None:
    """Hours until a Kaggle session must have ended, half an hour kept for writing its output; None elsewhere.

    A session counts from the start of its container, whatever ran in it before.
    """
    if not on_kaggle():
        return None
    return SESSION_HOURS - RESERVE_HOURS - _hours_since_start()


def submission_hours_left() -> float | None:
    """Hours until a submission's run must have ended, with the same reserve; None elsewhere than on Kaggle."""
    return SUBMISSION_HOURS - RESERVE_HOURS - _hours_since_start() if on_kaggle() else None


def _hours_since_start() -> float:
    """Hours since the first process of this container was started; 0 where the system does not tell."""
    try:
        return max(time.time() - psutil.Process(1).create_time(), 0.0) / 3600
    except (psutil.Error, OSError, RuntimeError):
        return 0.0


def available_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this process could still take: of the host, or of its container where that has less."""
    found = [psutil.virtual_memory().available]
    try:
        limit, used = (int((groups / f"memory.{name}").read_text()) for name in ("max", "current"))
        # Pages of files that nobody has used lately are freed when memory is asked for.
        stat = dict(line.split() for line in (groups / "memory.stat").read_text().splitlines())
        found.append(limit - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        pass  # no container, or one without a limit ("max")
    return min(found)


def peak_megabytes() -> float:
    """Greatest resident memory of this process so far, in MiB; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:
        return math.nan
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def input_root() -> Path:
    """Folder below which Kaggle mounts inputs; ``HBAC_INPUT_ROOT`` replaces it in tests and in copies of the image."""
    return Path(os.environ.get("HBAC_INPUT_ROOT", "/kaggle/input"))


def script_root() -> Path:
    """Folder below which Kaggle mounts utility scripts; ``HBAC_SCRIPT_ROOT`` replaces it in tests."""
    return Path(os.environ.get("HBAC_SCRIPT_ROOT", "/kaggle/usr/lib"))


def project_root() -> Path:
    """Folder that holds ``kaggle/suite.toml`` and ``notebooks/``. Nothing may be written there: see `checkout_root`.

    ``HBAC_PROJECT`` names it; else it is the checkout that this library is installed from, else the working folder or
    one above it, else the copy that the installed package carries.

    Raises:
        ConfigError: none of these holds the table.
    """
    named = os.environ.get("HBAC_PROJECT")
    here = Path.cwd()
    candidates = [Path(named)] if named else [PACKAGE.parent, here, *here.parents, PACKAGE / CARRIED]
    for folder in candidates:
        if (folder / "kaggle" / "suite.toml").is_file():
            return folder.resolve()
    raise ConfigError(
        f"kaggle/suite.toml not found in {list_some(candidates, 3)}; run this in a checkout of the project "
        "or set HBAC_PROJECT to one"
    )


def checkout_root() -> Path | None:
    """The project's folder where it is a checkout; None where it is the package's own copy, or nowhere."""
    try:
        root = project_root()
    except ConfigError:
        return None
    return None if root.is_relative_to(PACKAGE.resolve()) else root


def output_root(out: str | Path = "") -> Path:
    """Folder that a notebook writes to: as named, else Kaggle's working folder, else ``runs/interactive``.

    ``runs`` lies in the checkout, or in the working folder where there is none.
    """
    if str(out):
        return whole_path(out)
    if on_kaggle():
        return Path(os.environ.get("HBAC_WORKING_ROOT", "/kaggle/working"))
    return (checkout_root() or Path.cwd()) / "runs" / "interactive"


def _mount_points(patterns: Iterable[str], root: Path | None = None) -> Iterator[Path]:
    """Folders at these depths only: a mounted input may hold tens of thousands of files on a slow file system."""
    root = root or input_root()
    for pattern in patterns:
        yield from sorted(folder for folder in root.glob(pattern) if folder.is_dir())


def mounted() -> list[str]:
    """Mounted inputs for messages: relative to the input root, utility scripts with their whole path."""
    root = input_root()
    found = [folder.relative_to(root).as_posix() for folder in _mount_points(NEW_LAYOUT.values())]
    found += [folder.name for folder in _mount_points(["*"]) if folder.name not in NEW_LAYOUT]
    scripts = [*_mount_points(["notebooks/*/*"], script_root()), *_mount_points(["*"], script_root())]
    return found + [str(folder) for folder in scripts if folder.name != "notebooks"]


def find_mount(kind: str, slug: str) -> Path | None:
    """Folder of one mounted input.

    Args:
        kind: ``competitions`` or ``datasets``.
        slug: its slug; of a data set with or without the owner.

    Returns:
        The folder, in the new layout before the old one, or None.

    Raises:
        ConfigError: there is no such kind, or the slug is empty or leads out of the mounts.
    """
    parts = slug.strip("/").split("/")
    faulty = not all(parts) or set(parts) & {".", ".."} or "*" in slug
    if kind not in FOUND_BY_SLUG or faulty:
        raise ConfigError(
            f"mount {kind!r} {slug!r}; expected one of {list_some(FOUND_BY_SLUG)} and the slug of an input"
        )
    name = "/".join(parts)
    owned = f"{kind}/{name}" if kind == "competitions" or len(parts) > 1 else f"{kind}/*/{name}"
    return next(_mount_points([owned, parts[-1]]), None)


def find_input(kind: str, name: str | Path) -> Path:
    """Folder of an input: a local folder of that path, else the mounted input of that name.

    Args:
        kind: as in `find_mount`.
        name: path of a folder, or a slug with or without its owner.

    Raises:
        PlatformError: there is neither (lists what is mounted), or the path is something else than a folder.
    """
    folder = expanded(name)
    lies_there = kind_of(folder)
    if lies_there == FOLDER:
        return whole_path(folder)
    if lies_there != NOTHING:
        raise PlatformError(f"{name}: is {lies_there}; expected a folder")
    found = None if folder.is_absolute() or ".." in folder.parts else find_mount(kind, folder.as_posix())
    if found:
        return found
    hint = ""
    if input_root().is_dir():
        hint = f", and no such input is mounted; below {input_root()} there are: {list_some(mounted(), 20) or 'none'}"
    raise PlatformError(f"{name}: no such folder{hint}")


def mounted_files(name: str) -> list[Path]:
    """Files of a name in the mounted data sets and models, at most three folders below each mount.

    The competition's own mount is left out: it holds tens of thousands of files, and none that we look for by name.
    """
    patterns = [NEW_LAYOUT["datasets"], NEW_LAYOUT["models"], "*"]
    mounts = [folder for folder in _mount_points(patterns) if folder.name not in NEW_LAYOUT]
    mounts = [folder for folder in mounts if not (folder / "train.csv").is_file()]
    found = (path for mount in mounts for depth in range(4) for path in sorted(mount.glob("*/" * depth + name)))
    return [path for path in dict.fromkeys(found) if path.is_file()]


def artefact_mounts() -> Iterator[Path]:
    """Mounts that may hold finished stages: outputs of notebooks before published data sets and models."""
    return _mount_points([*(NEW_LAYOUT[kind] for kind in ("notebooks", "datasets", "models")), "*"])


def find_data(data: str | Path = "", out: str | Path = "") -> Path | None:
    """Folder of the competition's files.

    Looks at the named folder or data set, the competition's mount, this run's synthetic set, and one of an attached
    notebook.

    Returns:
        The folder, or None where there is none and none was named.

    Raises:
        PlatformError: a folder was named and is not there; lists what is mounted.
    """
    if str(data):
        return find_input("datasets", data)
    synthetic = (root / SYNTHETIC for root in (output_root(out), *artefact_mounts()))
    places = (find_mount("competitions", COMPETITION), *synthetic)
    return next((folder for folder in places if folder and (folder / "train.csv").is_file()), None)


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


def kaggle_image() -> str:
    """Commit and date of the Kaggle image that this runs in; empty elsewhere."""
    return f"{_first_line('/etc/git_commit')}, built {_first_line('/etc/build_date')}" if on_kaggle() else ""


def accelerators(devices: Path = Path("/dev"), driver: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Names of the NVIDIA GPUs, asked from the driver so that no framework takes their memory.

    Args:
        devices: where the system shows devices.
        driver: where the driver lists the host's GPUs; asked where its program is missing or fails.
    """
    names = _driver_says("--query-gpu=name,memory.total", "--format=csv,noheader")
    if names := names or [line for line in _driver_says("-L") if line.startswith("GPU ")]:
        return names
    # A container can see the host's list without having its devices.
    nodes = sorted(path.name for path in devices.glob("nvidia[0-9]*"))
    return [f"{name} of {len(nodes)} in {devices}" for name in nodes] if driver.is_dir() else []


def _driver_says(*arguments: str) -> list[str]:
    """Lines of the driver's own program; none where it is missing or fails."""
    try:
        command = ["nvidia-smi", *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def chosen_gpus() -> tuple[str, ...] | None:
    """What ``CUDA_VISIBLE_DEVICES`` leaves of the GPUs, as it names them; None where it is not set.

    As CUDA reads it, the list ends with the first entry that can name none: an empty one, a number below 0 or
    ``NoDevFiles``.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return None
    hidden = re.compile(r"|-\d+|no_?dev_?files|none|void", re.IGNORECASE)
    names = itertools.takewhile(lambda name: not hidden.fullmatch(name), map(str.strip, told.split(",")))
    return tuple(dict.fromkeys(names))


def cpu_is_asked_for() -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` hides all GPUs, as ``--cpu`` makes it do."""
    return chosen_gpus() == ()


def unseen_gpus(reason: str = "") -> str:
    """What is to be told where TensorFlow sees no GPU: which ones the driver lists; empty where none or the CPU is due.

    Args:
        reason: why TensorFlow sees none, where that is known.
    """
    if cpu_is_asked_for() or not (gpus := accelerators()):
        return ""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    reason = reason or (f"CUDA_VISIBLE_DEVICES is {chosen!r}" if chosen is not None else "")
    return (
        f"the driver lists {list_some(gpus, 2)}, but TensorFlow sees no GPU{f' ({reason})' * bool(reason)}; "
        f'install what it lacks: {sys.executable} -m pip install "tensorflow[and-cuda]"'
    )


def describe() -> str:
    """What this runs on, in a few lines: the first thing that every notebook prints."""
    lines = [", ".join(f"{name} {version}" for name, version in versions().items())]
    if on_kaggle():
        lines.append(f"Kaggle image {kaggle_image()}")
        lines.append(f"mounted: {list_some(mounted(), 20) or 'nothing'}")
    gpus = accelerators()
    lines.append(f"{os.cpu_count()} CPU cores; " + (f"GPU: {', '.join(gpus)}" if gpus else "no GPU"))
    return "\n".join(lines)
