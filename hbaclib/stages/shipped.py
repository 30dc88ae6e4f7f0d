"""The models that the package ships: a name of theirs stands where a folder is asked for.

A text that is one of the names means the shipped model, whatever lies in the working folder; a folder of that name is
reached as ``./NAME``, by its whole path, or as a `Path`, which is always a folder. All of them see the EEG alone, and
none has seen a patient. Its folder is an output folder like that of a run: the ensemble, and beside it its networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard

from hbaclib.artefacts import MANIFEST, check_kind, digest_json, read_manifest
from hbaclib.errors import ArtefactError, ConfigError, HbacError
from hbaclib.stages.names import ENSEMBLE, TRAINED, TRAINING_PREFIXES
from hbaclib.stages.places import SHIPPED

FOLD = 0
"""The one fold of a shipped network. It was trained on other data than anybody's, so it serves every fold."""
EEG_ALONE = "the built-in model sees the EEG alone"
_INSTALL = "install hbaclib again (pip install --force-reinstall --no-deps hbaclib)"


class PackageError(ArtefactError):
    """The package lacks a shipped model's files, or they are not what was packed."""


def is_shipped(artefacts: object) -> TypeGuard[str]:
    """Whether artefacts are the name of a shipped model, and no folder."""
    return isinstance(artefacts, str) and artefacts in SHIPPED


def shipped_root(name: str) -> Path:
    """The output folder of a shipped model.

    Raises:
        PackageError: the package was installed, or checked out, without it.
    """
    root = SHIPPED[name]
    if not root.is_dir():
        raise PackageError(
            f"the built-in model {name!r} is not in this installation ({root}: no such folder); install hbaclib from "
            "its wheel, or train the model: make builtin"
        )
    return root


def folder_of(artefacts: str | Path) -> Path:
    """The folder of what predicts: a shipped model's ensemble, or the folder that was named.

    Raises:
        PackageError: the package lacks the model.
    """
    return shipped_root(artefacts) / ENSEMBLE if is_shipped(artefacts) else Path(artefacts)


def shipped_networks(name: str) -> list[Path]:
    """Folders of a shipped model's trained networks, sorted by name.

    Raises:
        PackageError: the package lacks the model or a network of it, or a manifest is damaged.
    """
    root = shipped_root(name)
    with damage_told(name):
        known = check_kind(root / ENSEMBLE, ENSEMBLE).inputs
        names = {path.name for path in root.iterdir()} | set(known)
        folders = [root / each for each in sorted(names) if each.startswith(TRAINING_PREFIXES)]
        for folder in folders:
            found = check_kind(folder, TRAINED).digest
            if (expected := known.get(folder.name)) not in (None, found):
                raise ArtefactError(f"{folder}: another network (digest {found}) than the ensemble's ({expected})")
        if not folders:
            raise ArtefactError(f"{root}: no trained network")
    return folders


def digest_of(artefacts: str | Path) -> str:
    """Digest of what predicts, or of what a training starts from: that of a folder's manifest, or of a shipped model.

    Raises:
        ArtefactError: the folder holds no finished stage, or the package is damaged.
    """
    if not is_shipped(artefacts):
        return read_manifest(artefacts).digest
    shipped_networks(artefacts)
    with damage_told(artefacts):
        return model_digest(shipped_root(artefacts))


def model_digest(root: str | Path) -> str:
    """Digest of a model as it is shipped: of its networks and its ensemble, by which its card says what it describes.

    Raises:
        ArtefactError: a manifest is damaged.
    """
    stages = sorted(path.parent for path in Path(root).glob(f"*/{MANIFEST}"))
    return digest_json([[stage.name, read_manifest(stage).digest] for stage in stages])


@contextmanager
def damage_told(artefacts: str | Path) -> Iterator[None]:
    """Within the block a fault of a shipped model's files says that the package is damaged, and what mends it.

    Args:
        artefacts: what is opened; faults of other folders stay as they are.

    Raises:
        PackageError: in place of an error of files (manifest, recipe, weights).
    """
    try:
        yield
    except (ArtefactError, ConfigError, OSError) as error:
        if not is_shipped(artefacts) or isinstance(error, PackageError):
            raise
        # What mends a folder of one's own ("train again") does not mend a package.
        reason = str(error).partition("; ")[0] if isinstance(error, HbacError) else str(error)
        raise PackageError(f"the built-in model {artefacts!r} is damaged ({reason}); {_INSTALL}") from error
