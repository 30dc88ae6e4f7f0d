"""What the parameters cells of a suite's notebooks are given: the suite's values, the caller's, and the run's own."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hbaclib.errors import ConfigError
from hbaclib.suite.table import Stage, Suite, unknown

OWN = ("out", "data", "stage")
"""Parameters that a run fills in itself, where a notebook has them."""
PATHS = ("recipe", "weights", "image_half")
"""Parameters that are a name that the library knows, or a file or folder."""


def literal(path: Path) -> str:
    """A path as papermill takes it: it reads every path as a format string."""
    return str(path).replace("{", "{{").replace("}", "}}")


def known_parameters(stage: Stage) -> dict[str, Any]:
    """Parameters of a stage's notebook, as its parameters cell declares them."""
    import papermill

    return papermill.inspect_notebook(literal(stage.notebook.path))


def all_values(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's parameters with the defaults of its notebook for those that are not given."""
    defaults = {name: ast.literal_eval(row["default"]) for name, row in known_parameters(stage).items()}
    return {**defaults, **parameters}


def fill_parameters(suite: Suite, given: Mapping[str, Any], out: Path, data: Path | None) -> dict[str, dict[str, Any]]:
    """Parameters of each stage: the suite's, then those given, then the run's own.

    Args:
        suite: the suite.
        given: values by the name of a parameter, for every stage whose notebook declares it; by ``NOTEBOOK.NAME``, for
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
    bare, of_notebook, of_stage = _by_target(suite, given, declared)
    own = {"out": str(out), "data": str(data or "")}
    filled = {}
    for stage in suite.stages:
        for name in stage.parameters:
            if name not in declared[stage.name]:
                error = unknown("parameter", name, sorted(declared[stage.name]))
                raise ConfigError(f"suite {suite.name}: stage {stage.name}: {error}")
        precise = {**of_notebook.get(stage.notebook.name, {}), **of_stage.get(stage.name, {})}
        values = {**stage.parameters, **bare, **precise, **own, "stage": stage.name}
        filled[stage.name] = {name: value for name, value in values.items() if name in declared[stage.name]}
    return filled


def _by_target(
    suite: Suite, given: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Values for all stages, for those of a notebook, and for one stage, their names checked."""
    stages = {stage.name for stage in suite.stages}
    notebooks = {stage.notebook.name: stage.name for stage in suite.stages}
    bare: dict[str, Any] = {}
    of_notebook: dict[str, dict[str, Any]] = {}
    of_stage: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        target, _, name = key.rpartition(".")
        if "." not in key:
            _check_name(name, {each for row in declared.values() for each in row})
            bare[name] = _whole_path(name, value)
            continue
        if target not in stages and target not in notebooks:
            raise ConfigError(f"suite {suite.name}: {unknown('stage', target, sorted(stages | set(notebooks)))}")
        # A stage that bears its notebook's name is meant itself, though other stages may run the same notebook.
        place, example = (of_stage, target) if target in stages else (of_notebook, notebooks[target])
        try:
            _check_name(name, declared[example])
        except ConfigError as error:
            raise ConfigError(f"suite {suite.name}: {target}: {error}") from None
        place.setdefault(target, {})[name] = _whole_path(name, value)
    return bare, of_notebook, of_stage


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
    from hbaclib.models.efficientnet import PUBLISHED
    from hbaclib.training.recipe import recipe_names

    # What the library knows by this name is meant, whatever lies in the working folder.
    path = Path(value).expanduser()
    return value if value in (*PUBLISHED, *recipe_names()) or not path.exists() else str(path.resolve())
