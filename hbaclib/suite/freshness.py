"""Which stages of a run are up to date: by the content of all that they read and of all that they left.

``stages.json`` keeps a row for every stage that has come to its end: what it read, as one key, and the digest of each
file that it left beside those that manifests vouch for. A stage is up to date when both are as they were. Inside the
notebooks the manifests decide again what has to be computed.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hbaclib.artefacts import MANIFEST, digest_file, digest_json, read_manifest, verify
from hbaclib.dataset.synthetic.writer import summary_path, truth_path
from hbaclib.digests import STORE, data_digest, digest_files
from hbaclib.errors import ArtefactError, ConfigError, HbacError
from hbaclib.models.registry import own_networks
from hbaclib.outputs import stage_of
from hbaclib.platform import SYNTHETIC, find_data
from hbaclib.processes import replace_path
from hbaclib.schema import read_json
from hbaclib.source import callable_digest, code_digest, imported_modules
from hbaclib.stages.names import COMPARISON, PORT, TRAINING_PREFIXES
from hbaclib.stages.places import find_trained, trained_folders
from hbaclib.stages.shipped import is_shipped, shipped_root
from hbaclib.suite.parameters import OWN, PATHS
from hbaclib.suite.plans import plans_of
from hbaclib.suite.table import EARLIER, NOTEBOOKS, Stage
from hbaclib.training.warm_start import start_folders

Row = dict[str, Any]


@dataclass(frozen=True)
class _Cell:
    cell_type: str
    source: str | tuple[str, ...]


@dataclass(frozen=True)
class _Notebook:
    """The part of an ``.ipynb`` file that decides what it computes."""

    cells: tuple[_Cell, ...]


def stage_key(stage: Stage, parameters: Mapping[str, Any], out: Path, data: Path | None) -> dict[str, Any]:
    """All that a stage reads, as digests: notebook, parameters, code, the stages before it, its part of the data.

    Args:
        stage: the stage.
        parameters: the values of its notebook's parameters cell.
        out: the run's output folder.
        data: the data set; None: found as the notebooks find it.

    Returns:
        JSON values; `data_key` is the part of them that only a stage that makes the data cannot know beforehand.
    """
    joins = any(name.startswith(TRAINING_PREFIXES) for name in stage.notebook.after)
    trains = stage.notebook.name.startswith(TRAINING_PREFIXES)
    files = _named_files(stage, parameters, out)
    read = {path.name: path for name in stage.after for path in made_folders(out / name)}
    # Notebooks that join networks take all that they find.
    read |= {path.name: path for path in find_trained(out)} if joins else {}
    return {
        "notebook": digest_file(stage.notebook.path),
        # Places say nothing about content.
        "parameters": {name: value for name, value in parameters.items() if name not in OWN and name not in files},
        "files": files,
        "code": notebook_code(stage.notebook.path),
        # What joins networks or predicts with them sees a change in their manifests.
        "own networks": {name: callable_digest(builder) for name, builder in own_networks().items()} if trains else {},
        "stages": {name: read_manifest(path).digest for name, path in read.items()},
        **data_key(stage, out, data),
    }


def notebook_code(path: Path) -> str:
    """Digest of all of the library that a notebook imports, pictures and messages as well: it shows them."""
    modules: set[str] = set()
    for cell in read_json(path, _Notebook, "notebook", "write it anew", error=ConfigError).cells:
        if cell.cell_type == "code":
            with contextlib.suppress(SyntaxError):  # a magic command
                modules.update(imported_modules(ast.parse("".join(cell.source))))
    return code_digest(*modules, apparatus=True)


def data_key(stage: Stage, out: Path, data: Path | None) -> dict[str, Any]:
    """Digests of the parts of the data that a stage reads."""
    folder = find_data(data or "", out)
    found = {} if folder is None else {part: data_digest(folder, part, out / STORE) for part in stage.notebook.reads}
    return {"data": found}


def _named_files(stage: Stage, parameters: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Digests of the files and folders that parameters name, and that the recipes behind them name."""
    named = {name: Path(str(parameters[name])) for name in PATHS if parameters.get(name)}
    paths = {name: path for name, path in named.items() if path.is_absolute()}  # else a name that the library knows
    # Faults are told before the first stage.
    with contextlib.suppress(HbacError, TypeError, ValueError, AttributeError):
        plans = plans_of(stage.notebook.name, parameters)
        for name, recipe in plans.recipes.items() if plans else ():
            for title, place in start_folders(recipe, out).items():
                paths[f"{name}: {title}"] = shipped_root(place) if is_shipped(place) else Path(place)
            if weights := recipe.find_weights():
                paths[f"{name}: weights"] = weights
    found = {}
    for name, path in paths.items():
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        if files:
            found[name] = digest_files(path.parent if path.is_file() else path, files, out / STORE)
    return found


def made_folders(folder: Path) -> list[Path]:
    """Folders that a stage has made: its own, and those of the networks that it compares.

    Raises:
        ArtefactError: the stage has not finished.
    """
    manifest = read_manifest(folder)
    if manifest.stage != COMPARISON:
        return [folder]
    return [folder, *(path for path in trained_folders(folder.parent) if path.name in manifest.inputs)]


def left_files(stage: Stage, out: Path) -> dict[str, str]:
    """Digests of the files that vouch for a stage: manifests, the executed notebook, what it leaves beside its folder.

    Returns:
        Path below ``out`` -> digest.

    Raises:
        ArtefactError: the stage left no manifest, or one of the files is missing.
    """
    files = [path / MANIFEST for path in made_folders(out / stage.name)]
    files += [out / NOTEBOOKS / f"{stage.name}.ipynb", *(out / name for name in stage.notebook.publishes)]
    if stage.notebook.name == PORT and (out / SYNTHETIC).is_dir():
        files += [truth_path(out / SYNTHETIC), summary_path(out / SYNTHETIC)]
    try:
        return {path.relative_to(out).as_posix(): digest_file(path) for path in files}
    except OSError as error:
        raise ArtefactError(f"{error.filename}: missing; stage {stage.name} has not left it") from error


def set_aside(row: Row | None, files: Mapping[str, str], out: Path) -> list[str]:
    """Move the networks that a stage made with other parameters, and not now, out of the way of what joins networks.

    Args:
        row: the stage's row before it ran, None for none.
        files: what it has left now, as `left_files` says.
        out: the run's output folder.

    Returns:
        Names of the folders; they lie in ``earlier/`` below the output folder.
    """
    before = {Path(name).parent.as_posix() for name in (row or {}).get("files", {}) if Path(name).name == MANIFEST}
    names = sorted(before - {Path(name).parent.as_posix() for name in files})
    moved = [name for name in names if out / name in trained_folders(out)]
    for name in moved:
        target = out / EARLIER / name
        if os.path.lexists(target) and stage_of(target) is None:  # somebody else's
            target = next(path for n in count(2) if not os.path.lexists(path := target.with_name(f"{name}-{n}")))
        replace_path(out / name, target)
    return moved


def is_up_to_date(stage: Stage, row: Row | None, key: Mapping[str, Any], out: Path) -> bool:
    """Whether a stage read what it would read now, and every file that it left is as it was."""
    if row is None or row.get("key") != digest_json(key):
        return False
    try:
        if left_files(stage, out) != row.get("files"):
            return False
        for folder in made_folders(out / stage.name):
            verify(folder)
    except ArtefactError:
        return False
    return True
