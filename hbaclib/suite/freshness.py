"""Which stages of a run are up to date: by the content of all that they read and of all that they left.

``stages.json`` keeps a row for every stage that has come to its end: what it read, as one key, and the digest of each
file that it left beside those that manifests vouch for. A stage is up to date when both are as they were. Inside the
notebooks the manifests decide again what has to be computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hbaclib.artefacts import (
    MANIFEST,
    code_digest,
    digest_file,
    digest_json,
    finished_stages,
    read_manifest,
    verify,
    write_json,
)
from hbaclib.conventions import COMPARISON, TRAINED
from hbaclib.digests import STORE, data_digest
from hbaclib.errors import ArtefactError
from hbaclib.platform import find_data
from hbaclib.suite.table import Stage

STAGES = "stages.json"
NOTEBOOKS = "notebooks"
RUNNER_PARAMETERS = ("out", "data", "stage")
"""Parameters that the runner fills in itself, where a notebook has them; places say nothing about content."""

Row = dict[str, Any]


class StageRows:
    """The rows of ``stages.json``, by stage.

    Args:
        out: the run's output folder.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / STAGES
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            self._rows: dict[str, Row] = {row["stage"]: row for row in content if isinstance(row, dict)}
        except (OSError, ValueError, KeyError, TypeError):
            self._rows = {}  # all stages are looked at anew; what their manifests vouch for is not computed again

    def get(self, name: str) -> Row | None:
        """A stage's row, None where it has not come to its end."""
        return self._rows.get(name)

    def put(self, name: str, row: Row | None, order: list[str]) -> None:
        """Keep a stage's row, or drop it; the file holds the rows of the suite's stages in their order."""
        if row is None and name not in self._rows:
            return
        self._rows.pop(name, None)
        if row is not None:
            self._rows[name] = row
        write_json(self._path, [self._rows[each] for each in order if each in self._rows])


def stage_key(stage: Stage, parameters: Mapping[str, Any], out: Path, data: Path | None) -> str:
    """Digest of all that a stage reads: notebook, parameters, code, the stages before it, its part of the data.

    Args:
        stage: the stage.
        parameters: what its notebook is given.
        out: the run's output folder.
        data: the data set; None: found as the notebooks find it.
    """
    folder = find_data(data or "", out)
    return digest_json(
        {
            "notebook": digest_file(stage.notebook.path),
            "parameters": {name: value for name, value in parameters.items() if name not in RUNNER_PARAMETERS},
            "code": code_digest(everything=True),
            "stages": {
                path.name: read_manifest(path).digest for name in stage.after for path in made_folders(out / name)
            },
            "data": {
                part: "" if folder is None else data_digest(folder, part, out / STORE) for part in stage.notebook.reads
            },
        }
    )


def made_folders(folder: Path) -> list[Path]:
    """Folders that a stage has made: its own, and those of the networks that it compares.

    Raises:
        ArtefactError: the stage has not finished.
    """
    manifest = read_manifest(folder)
    if manifest.stage != COMPARISON:
        return [folder]
    beside = finished_stages(folder.parent)
    networks = [folder.parent / name for name in sorted(manifest.inputs)]
    return [folder, *(path for path in networks if path in beside and beside[path].stage == TRAINED)]


def left_files(stage: Stage, out: Path) -> dict[str, str]:
    """Digests of the files that vouch for a stage: manifests, the executed notebook, what it leaves beside its folder.

    Returns:
        Path below ``out`` -> digest.

    Raises:
        ArtefactError: the stage left no manifest, or one of the files is missing.
    """
    files = [path / MANIFEST for path in made_folders(out / stage.name)]
    files += [out / NOTEBOOKS / f"{stage.name}.ipynb", *(out / name for name in stage.notebook.publishes)]
    try:
        return {path.relative_to(out).as_posix(): digest_file(path) for path in files}
    except OSError as error:
        raise ArtefactError(f"{error.filename}: missing; stage {stage.name} has not left it") from error


def is_up_to_date(stage: Stage, row: Row | None, key: str, out: Path) -> bool:
    """Whether a stage read what it would read now, and every file that it left is as it was."""
    if row is None or row.get("key") != key:
        return False
    try:
        if left_files(stage, out) != row.get("files"):
            return False
        for folder in made_folders(out / stage.name):
            verify(folder)
    except ArtefactError:
        return False
    return True
