"""Where finished stages lie: in a run's output folder, and in the attached outputs of other notebooks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hbaclib.artefacts import MANIFEST, finished_stages
from hbaclib.errors import ArtefactError
from hbaclib.platform import artefact_mounts
from hbaclib.schema import closed, read_json
from hbaclib.stages.names import OOF_FILE, TRAINED

log = logging.getLogger(__name__)

STAGES = "stages.json"
"""Where a run keeps a row for every stage that has come to its end, in its output folder."""


@closed
@dataclass(frozen=True)
class _Row:
    """A row of ``stages.json``, as a run of a suite writes it."""

    stage: str
    notebook: str | None = None
    seconds: float | None = None
    status: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    files: dict[str, str] | None = None


SHIPPED: dict[str, Path] = {"synthetic": Path(__file__).parents[1] / "builtin" / "synthetic"}
"""Name -> folder of the models that the package ships, each an output folder with an ensemble in it.

`hbaclib.stages.shipped` says where such a name stands for a folder.
"""


def trained_folders(*roots: str | Path) -> list[Path]:
    """Folders of trained networks: what a report shows, an ensemble joins, and a submission predicts with.

    Args:
        roots: output folders of runs, or of attached notebooks. Of two folders of one name the first root's is taken,
            or the first that is trained on all folds, where one is.

    Returns:
        The folders, sorted by name. Networks that only serve the training of others (first rounds of pseudo-labels) and
        comparisons are of other kinds.
    """
    found: dict[str, tuple[Path, bool]] = {}
    for root in roots:
        for folder, manifest in finished_stages(root).items():
            if manifest.stage == TRAINED:
                whole = OOF_FILE in manifest.outputs
                if folder.name not in found or (whole and not found[folder.name][1]):
                    found[folder.name] = folder, whole
    return [found[name][0] for name in sorted(found)]


def find_trained(out: str | Path) -> list[Path]:
    """Folders of all trained networks of this run and of attached inputs, one per name, sorted by name."""
    return trained_folders(out, *artefact_mounts())


def find_stage(stage: str, out: str | Path) -> Path | None:
    """Folder of a finished stage: in this run's output, else in the attached outputs of other notebooks.

    Args:
        stage: the folder's name, as ``01_port_data``.
        out: this run's output folder.

    Returns:
        The folder that holds the stage's manifest, or None.
    """
    own = Path(out) / stage
    return own if (own / MANIFEST).is_file() else next(iter(mounted_stages(stage)), None)


def mounted_stages(stage: str) -> list[Path]:
    """Folders of a finished stage in all attached inputs, those of notebooks first."""
    folders = (mount / stage for mount in artefact_mounts())
    return [folder for folder in folders if (folder / MANIFEST).is_file()]


def mounted_fits(stage: str) -> list[Path]:
    """Folders of a training stage in all attached inputs, finished stages before those of which a part was trained."""
    folders = [folder for mount in artefact_mounts() if (folder := mount / stage).is_dir()]
    return sorted(folders, key=lambda folder: not (folder / MANIFEST).is_file())


def stage_rows(out: str | Path) -> dict[str, dict[str, Any]]:
    """Rows of ``stages.json`` by stage; none where the run has not left it.

    Nor are there any of a faulty file, of which the log tells: its stages are then not known to be up to date.
    """
    path = Path(out) / STAGES
    if not path.exists():
        return {}
    try:
        rows = read_json(path, tuple[_Row, ...], "table of stages", "the stages are looked at anew")
    except ArtefactError as error:
        log.warning("%s", error)
        return {}
    return {row.stage: {name: value for name, value in vars(row).items() if value is not None} for row in rows}
