"""The data set of wheels: hbaclib and the packages that Kaggle's image lacks, with the list of their licences.

A pushed kernel carries one file and runs without internet, so the library travels as a data set. Wheels of other
packages are packed from what is installed here: what was tested is what is sent, and no index is needed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from hbaclib.artefacts import write_text
from hbaclib.errors import ConfigError, PlatformError

SOURCES = (
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "requirements.txt",
    "README.md",
    "LICENSE",
    "kaggle/suite.toml",
    "notebooks/*.py",
    "notebooks/*.ipynb",
)
"""Files beside the package that its build reads, or puts into it."""
NOT_PACKED = ("INSTALLER", "REQUESTED", "direct_url.json")
"""Files of an installation that belong to this machine, not to the wheel."""
TIME = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a wheel, so that the same content gives the same bytes."""


def _has_builder() -> bool:
    """Whether the setuptools here is new enough for ``pyproject.toml`` (77); else pip fetches one for the build."""
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


def project_wheel(root: Path, folder: Path) -> Path:
    """Build hbaclib's wheel with pip from a clean copy of the checkout's sources; without a checkout, pack hbaclib.

    A build inside the checkout would pack what an older build left there, and needs it writable.

    Args:
        root: the checkout, or the copy of the project's files that the installed package carries.
        folder: where the wheel goes.

    Raises:
        ConfigError: there is neither a checkout nor an installed wheel to pack.
        PlatformError: the build failed; ends with pip's last lines.
    """
    if not (root / "pyproject.toml").is_file():
        return installed_wheel("hbaclib", folder)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "hbaclib"
        copy.mkdir()
        for file in (file for pattern in SOURCES for file in sorted(root.glob(pattern))):
            target = copy / file.relative_to(root)
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(file, target)
        shutil.copytree(root / "hbaclib", copy / "hbaclib", ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if _has_builder():
            command += ["--no-index", "--no-build-isolation"]
        command += ["--wheel-dir", str(folder), str(copy)]
        # Wheels get 1980, the earliest time a zip file can hold, in place of the time of the build.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
            raise PlatformError(f"hbaclib's wheel cannot be built from {root}:\n{last}")
    return next(folder.glob("hbaclib-*.whl"))


def installed_wheel(name: str, folder: Path) -> Path:
    """Pack an installed pure-Python package as the wheel that it came from.

    Args:
        name: the package's name on the index.
        folder: where the wheel goes.

    Raises:
        ConfigError: it is not installed, holds compiled code (then it must come from its own wheel), or lies elsewhere
            (an editable installation).
    """
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            f"{name}: not installed here, so its wheel cannot be packed; expected what kaggle/suite.toml lists under "
            f'[wheels] to be installed: pip install "hbaclib[kaggle]", or {name} alone'
        ) from None
    description = distribution.read_text("WHEEL") or ""
    tags = [line.partition(":")[2].strip() for line in description.splitlines() if line.startswith("Tag:")]
    pure = [tag for tag in tags if tag.endswith("-none-any")]
    if not pure:
        raise ConfigError(f"{name}: wheel tags {tags or 'missing'}, expected a pure-Python package (-none-any)")
    # As recorded: newer versions of importlib.metadata leave out of `files` what is not there.
    if any(line.startswith("__editable__") for line in (distribution.read_text("RECORD") or "").splitlines()):
        raise ConfigError(f"{name}: installed as editable, so its files lie elsewhere; expected a wheel's installation")
    files = [file for file in distribution.files or [] if file.hash and file.name not in NOT_PACKED]
    elsewhere = {"..", "/", "__pycache__"}  # scripts, and what this machine has compiled
    files = sorted((file for file in files if not elsewhere & set(file.parts)), key=str)
    info = next(file.parent for file in files if file.match("*.dist-info/METADATA"))
    python = ".".join(dict.fromkeys(tag.split("-")[0] for tag in pure))
    path = folder / f"{info.name.removesuffix('.dist-info').lower()}-{python}-none-any.whl"
    record = [f"{file.as_posix()},{file.hash.mode}={file.hash.value},{file.size}" for file in files if file.hash]
    contents = {file.as_posix(): file.read_binary() for file in files}
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name_inside, content in contents.items():
            # Weights of a network do not get smaller.
            kind = zipfile.ZIP_STORED if name_inside.endswith(".pth") else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name_inside, TIME), content, kind)
    return path


def _licence_of(wheel: Path) -> tuple[str, str, str]:
    """Name, version and licence that a wheel's own metadata states."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")).rpartition("/")[0]
        metadata = importlib.metadata.PathDistribution(zipfile.Path(archive, f"{info}/")).metadata
        named = [line.rpartition("::")[2] for line in metadata.get_all("Classifier") or [] if "License ::" in line]
        one = [text for key in ("License-Expression", "License") for text in metadata.get_all(key) or []]
        stated = (named or one or ["not stated"])[0].strip()
        return metadata["Name"], metadata["Version"], stated.splitlines()[0]


def wheel_folder(root: Path, packages: Iterable[str], folder: Path) -> None:
    """Fill a folder with hbaclib's wheel, those of the packages, and their licences as a table in Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = [project_wheel(root, folder), *(installed_wheel(name, folder) for name in packages)]
    rows = [("package", "version", "licence"), ("---", "---", "---"), *map(_licence_of, sorted(wheels))]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    note = "Each wheel carries its licence's text where its authors put one."
    write_text(folder / "LICENSES.md", f"# Licences of the wheels\n\n{table}\n\n{note}\n")
