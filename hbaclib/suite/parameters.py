"""Values of the parameters cells of a suite's notebooks: the suite's values, the caller's, and the run's own."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hbaclib.errors import ConfigError
from hbaclib.files import expanded
from hbaclib.suite.eeg_images import PARAMETER, fill_images
from hbaclib.suite.table import Stage, Suite, unknown
from hbaclib.suite.values import check_values

OWN = ("out", "data", "stage")
"""Parameters that a run fills in itself, where a notebook has them."""
PATHS = ("recipe", "weights", "image_half")
"""Parameters that are a name that the library knows, or a file or folder."""


def literal(path: Path) -> str:
    """A path as papermill takes it: it reads every path as a format string."""
    return str(path).replace("{", "{{").replace("}", "}}")


def known_parameters(stage: Stage) -> dict[str, Any]:
    """Parameters of a stage's notebook, as its parameters cell declares them.

    Raises:
        ConfigError: the notebook cannot be read.
    """
    import papermill

    try:
        return papermill.inspect_notebook(literal(stage.notebook.path))
    except Exception as error:  # papermill and nbformat raise whatever a faulty notebook makes them
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{stage.notebook.path}: not a readable notebook ({reason}); write it anew") from error


def all_values(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's parameters with the defaults of its notebook for those that it does not name."""
    defaults = {name: ast.literal_eval(row["default"]) for name, row in known_parameters(stage).items()}
    return {**defaults, **parameters}


def fill_parameters(suite: Suite, values: Mapping[str, Any], out: Path, data: Path | None) -> dict[str, dict[str, Any]]:
    """Parameters of each stage: the suite's, then the caller's, then the run's own, then what follows from recipes.

    Args:
        suite: the suite.
        values: values by the name of a parameter, for every stage whose notebook declares it; by ``NOTEBOOK.NAME``, for
            the stages of one notebook; or by ``STAGE.NAME``, for one stage. The more precise one holds.
        out: output folder.
        data: folder of the data, None where the first notebook finds or makes them.

    Returns:
        Stage -> parameter -> value.

    Raises:
        ConfigError: the suite or the caller names a stage that is not in the suite, or a parameter that the notebook
            does not declare (papermill would only warn), or one that the run fills in itself.
    """
    declared = {stage.name: known_parameters(stage) for stage in suite.stages}
    targets = {key: _targets(suite, key, declared) for key in values}
    filled = {}
    for stage in suite.stages:
        for name in stage.parameters:
            if name not in declared[stage.name]:
                error = unknown("parameter", name, sorted(declared[stage.name]))
                raise ConfigError(f"suite {suite.name}: stage {stage.name}: {error}")
        found = dict(stage.parameters)
        # The more precise ones last: bare names, those of a notebook's stages, those of one stage.
        for key in sorted(values, key=lambda key: ("." in key, key.rpartition(".")[0] in declared)):
            if stage.name in targets[key]:
                name = key.rpartition(".")[2]
                found[name] = _whole_path(name, values[key])
        found |= {"out": str(out), "data": str(data or ""), "stage": stage.name}
        filled[stage.name] = {name: value for name, value in found.items() if name in declared[stage.name]}
    fill_images(suite, filled, [name for name, row in declared.items() if PARAMETER in row])
    return filled


def check_parameters(suite: Suite, parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the values that `fill_parameters` gives, before anything is started.

    Raises:
        ConfigError: naming each stage, parameter and value, and what would be one.
    """
    faults = []
    for stage, values in parameters.items():
        try:
            check_values(values)
        except ConfigError as error:
            faults.append(f"suite {suite.name}: {stage}: {error}")
    if faults:
        raise ConfigError("\n".join(faults))


def _targets(suite: Suite, key: str, declared: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the stages that a value is for; its own name is checked."""
    target, _, name = key.rpartition(".")
    if "." not in key:
        _check_name(name, {each for row in declared.values() for each in row})
        return list(declared)
    # A stage that bears its notebook's name is meant itself, though other stages may run the same notebook.
    of_notebook = [stage.name for stage in suite.stages if stage.notebook.name == target]
    stages = [target] if target in declared else of_notebook
    if not stages:
        known = sorted({*declared, *(stage.notebook.name for stage in suite.stages)})
        raise ConfigError(f"suite {suite.name}: {unknown('stage', target, known)}")
    try:
        _check_name(name, declared[stages[0]])
    except ConfigError as error:
        raise ConfigError(f"suite {suite.name}: {target}: {error}") from None
    return stages


def _check_name(name: str, known: Iterable[str]) -> None:
    known = sorted(known)
    if name in OWN:
        raise ConfigError(f"parameter {name!r} is the run's own; --out and --data name its folders")
    if name not in known:
        raise unknown("parameter", name, known)


def _whole_path(name: str, value: Any) -> Any:
    """A file or folder as the caller sees it: notebooks run in another folder than the command."""
    if name not in PATHS or not isinstance(value, str) or not value:
        return value
    from hbaclib.models.registry import PUBLISHED
    from hbaclib.training.recipe import recipe_names

    # What the library knows by this name is meant, whatever lies in the working folder.
    path = expanded(value)
    return value if value in (*PUBLISHED, *recipe_names()) or not path.exists() else str(path.resolve())
