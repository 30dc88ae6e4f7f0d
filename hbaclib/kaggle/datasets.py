"""The data sets of a build: wheels, prepared arrays, published weights."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from hbaclib.artefacts import digest_folder, verify, write_json
from hbaclib.errors import ConfigError, list_some
from hbaclib.files import listed, no_files
from hbaclib.kaggle.plan import PlannedDataset
from hbaclib.kaggle.wheels import wheel_folder
from hbaclib.platform import SYNTHETIC
from hbaclib.stages.names import EEG, IMAGES, PORT

DATASET_METADATA = "dataset-metadata.json"
ARRAY_STAGES = (PORT, EEG, IMAGES)
"""Stages whose output can be published as the data set "arrays", for kernels to read in their place."""
TEXTS = {
    "wheels": (
        "hbaclib and the packages it needs",
        "Wheels for offline notebooks. Their licences are listed in LICENSES.md.",
    ),
    "arrays": (
        "Prepared EEG and spectrogram inputs",
        "Outputs of the notebooks 01-03 of hbac. Made from the competition's files: its rules hold for them.",
    ),
    "weights": (
        "Published EfficientNet weights",
        "Weights from the releases of the package efficientnet, as published there.",
    ),
}
"""Data set -> its subtitle and description."""
SHAREABLE = ("wheels",)
"""Data sets that public kernels share with who copies them: nothing in them is bound to the competition's rules."""
TITLE_LENGTHS = {"kernel": (5, 50), "data set": (6, 50)}


def slug_of(title: str) -> str:
    """Slug that Kaggle makes of a title in ASCII."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def check_title(kind: str, title: str, where: str) -> str:
    """Return the title's slug; a title that Kaggle refuses is an error."""
    low, high = TITLE_LENGTHS[kind]
    if not title.isascii() or not low <= len(title) <= high or len(slug_of(title)) < low:
        raise ConfigError(f"{where}: title {title!r} of the {kind}; expected {low} to {high} ASCII letters or digits")
    return slug_of(title)


def _dataset(folder: Path, user: str) -> PlannedDataset:
    """The data set that a folder holds and is named after, its metadata written."""
    title = f"HBAC {folder.name}"
    subtitle, description = TEXTS[folder.name]
    metadata = {
        "id": f"{user}/{check_title('data set', title, folder.name)}",
        "title": title,
        "subtitle": subtitle,
        "description": description,
        "licenses": [{"name": "other"}],  # each file has its own; the description says where they stand
        "keywords": [],
    }
    write_json(folder / DATASET_METADATA, metadata)
    return PlannedDataset(folder.name, str(metadata["id"]), digest_folder(folder))


def _link(source: str, target: str) -> str:
    """Put a file in place without a second copy of it where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def wheels_dataset(folder: Path, root: Path, packages: Iterable[str], user: str) -> PlannedDataset:
    """Data set of hbaclib's wheel and those of the packages that Kaggle's image lacks."""
    wheel_folder(root, packages, folder)
    return _dataset(folder, user)


def arrays_dataset(folder: Path, source: Path, user: str) -> PlannedDataset:
    """Data set of the finished stages 01-03 of a run, and of the synthetic set they were made from.

    Raises:
        ArtefactError: a stage is not finished, or was changed since.
    """
    folder.mkdir(parents=True)
    for name in ARRAY_STAGES:
        verify(source / name)
        shutil.copytree(source / name, folder / name, copy_function=_link, ignore=no_files)
    if (source / SYNTHETIC).is_dir():
        shutil.copytree(source / SYNTHETIC, folder / SYNTHETIC, copy_function=_link, ignore=no_files)
    return _dataset(folder, user)


def weights_dataset(folder: Path, source: Path, user: str) -> PlannedDataset:
    """Data set of published weights, so that training needs no internet.

    Raises:
        ConfigError: the folder holds no such file.
    """
    files, notes = listed(source, "_notop.h5")
    files = [file for file in files if file.is_file()]
    if not files:
        passed = f" (passed over: {list_some(notes)})" if notes else ""
        raise ConfigError(f"{source}: no *_notop.h5 file{passed}; expected the published weights of the networks")
    folder.mkdir(parents=True)
    for file in files:
        _link(str(file), str(folder / file.name))
    return _dataset(folder, user)
