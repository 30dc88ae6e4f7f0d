"""Reads ``kaggle/suite.toml``, the one table of notebooks, edges, accelerators and parameters."""

from __future__ import annotations

import difflib
import graphlib
import math
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbaclib.errors import ConfigError, list_some
from hbaclib.platform import project_root

ACCELERATORS = ("none", "NvidiaTeslaT4", "NvidiaTeslaP100")
PARTS = ("train", "test")
"""Parts of a data set in the competition's format."""
SCHEMA = 1
MODEL = re.compile(r"(?:[A-Za-z0-9_.-]+/){4}\d+")
"""Name of an attached Kaggle model: owner, model, framework, variation, version."""


@dataclass(frozen=True)
class Notebook:
    """One notebook of the suite.

    Attributes:
        name: file name without its ending.
        path: the ``.ipynb`` file.
        title: title of its Kaggle kernel.
        after: names of the notebooks whose outputs it reads.
        accelerator: Kaggle's machine shape, or "none".
        reads: parts of the data set that it opens beside the stages before it, of PARTS.
        publishes: files that it leaves in the output folder itself, beside its stage's folder.
    """

    name: str
    path: Path
    title: str
    after: tuple[str, ...]
    accelerator: str
    reads: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One execution of a notebook within a suite.

    Attributes:
        name: name of the stage, of its folder and of the executed notebook.
        notebook: the notebook.
        parameters: values of its parameters cell.
        after: names of the stages whose outputs it reads.
        models: Kaggle models that are attached to its kernel, as ``owner/model/framework/variation/version``.
    """

    name: str
    notebook: Notebook
    parameters: dict[str, Any]
    after: tuple[str, ...]
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A named list of stages in an order in which they can run.

    Attributes:
        name: its name.
        stages: its stages, each after those that it reads.
        about: what it is for.
        competition: slug of the Kaggle competition whose files it reads, "" where it makes a synthetic set.
        downloads: names of the notebooks that download pretrained weights where no data set of them is attached.
        memory_gb: memory that its hungriest stage takes, GB; 0 where nobody has measured it.
        needs_gpu: whether it would train for days on a CPU.
    """

    name: str
    stages: tuple[Stage, ...]
    about: str = ""
    competition: str = ""
    downloads: tuple[str, ...] = ()
    memory_gb: float = 0.0
    needs_gpu: bool = False


def unknown(kind: str, name: str, known: list[str]) -> ConfigError:
    """Error for a name that does not exist, listing close ones."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {list_some(known, 20)}"
    return ConfigError(f"no {kind} {name!r}; {hint}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("title", "accelerator", "about", "competition", "notebook", "name"), (_is_text, "a text")),
    **dict.fromkeys(("after", "reads", "publishes", "downloads"), (_is_list_of_names, "a list of names")),
    "models": (lambda value: isinstance(value, list), "a list of Kaggle models"),
    "parameters": (lambda value: isinstance(value, dict), "a table"),
    "stages": (_is_list_of_tables, "tables ([[suites.NAME.stages]])"),
    "memory_gb": (_is_size, "GB, 0 or more"),
    "needs_gpu": (lambda value: isinstance(value, bool), "true or false"),
}
"""Key of the table -> whether a value has its form, and what is expected."""


def _check_row(where: str, row: dict[str, Any], required: set[str], optional: set[str]) -> None:
    """Check the keys of a row, and the form of their values."""
    missing, extra = required - set(row), set(row) - required - optional
    faults = [f"{kind} {list_some(sorted(keys))}" for kind, keys in (("missing", missing), ("unknown", extra)) if keys]
    if faults:
        raise ConfigError(f"{where}: {', '.join(faults)}; expected {list_some(sorted(required | optional))}")
    for key, value in row.items():
        fits, expected = _FORMS[key]
        if not fits(value):
            raise ConfigError(f"{where}: {key} is {value!r}, expected {expected}")


class SuiteTable:
    """The table, read and validated.

    Args:
        root: folder of the project; found by `project_root` where none is named.

    Raises:
        ConfigError: the table is missing or faulty; the message names the entry.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root else project_root()
        self.path = self.root / "kaggle" / "suite.toml"
        try:
            self._content = tomllib.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{self.path}: not a readable suite table ({error})") from error
        if self._content.get("schema") != SCHEMA:
            raise ConfigError(f"{self.path}: schema {self._content.get('schema')!r}, expected {SCHEMA}")
        self.notebooks = {name: self._notebook(name, row) for name, row in self._content["notebooks"].items()}
        for notebook in self.notebooks.values():
            self._check_notebooks(f"{self.path}: notebook {notebook.name}", notebook.after)
        self._ranks = self._rank()

    def _notebook(self, name: str, row: dict[str, Any]) -> Notebook:
        where = f"{self.path}: notebook {name}"
        _check_row(where, row, {"title", "after", "accelerator"}, {"reads", "publishes"})
        if row["accelerator"] not in ACCELERATORS:
            raise ConfigError(f"{where}: accelerator {row['accelerator']!r}, expected one of {list_some(ACCELERATORS)}")
        for part in row.get("reads", []):
            if part not in PARTS:
                raise ConfigError(f"{where}: reads: {part!r}, expected one of {list_some(PARTS)}")
        for published in row.get("publishes", []):
            if Path(published).name != published:
                raise ConfigError(f"{where}: publishes: {published!r}, expected a file's name without a folder")
        file = self.root / "notebooks" / f"{name}.ipynb"
        if not file.is_file():
            raise ConfigError(f"{where}: {file} does not exist")
        return Notebook(name, file, **_frozen(row))

    def _check_notebooks(self, where: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.notebooks:
                raise ConfigError(f"{where}: {unknown('notebook', name, list(self.notebooks))}")

    def _rank(self) -> dict[str, int]:
        """Notebook -> its place: behind those that it reads, by name among those that could run at the same time."""
        sorter = graphlib.TopologicalSorter({name: sorted(each.after) for name, each in self.notebooks.items()})
        try:
            sorter.prepare()
        except graphlib.CycleError as error:
            raise ConfigError(f"{self.path}: notebooks wait for each other: {' -> '.join(error.args[1])}") from None
        order: list[str] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            order += ready
            sorter.done(*ready)
        return {name: number for number, name in enumerate(order)}

    def names(self) -> list[str]:
        """Names of the suites."""
        return list(self._content["suites"])

    def wheels(self) -> list[str]:
        """Packages that Kaggle's image lacks and that travel as wheels beside hbaclib."""
        return list(self._content.get("wheels", {}).get("packages", []))

    def suite(self, name: str) -> Suite:
        """One suite, its stages in an order in which they can run.

        Raises:
            ConfigError: there is no such suite (lists close names), or it is faulty.
        """
        if name not in self.names():
            raise unknown("suite", name, self.names())
        where, content = f"{self.path}: suite {name}", self._content["suites"][name]
        options = {"about", "competition", "downloads", "memory_gb", "needs_gpu"}
        _check_row(where, content, {"stages"}, options)
        self._check_notebooks(f"{where}: downloads", content.get("downloads", []))
        rows: dict[str, dict[str, Any]] = {}
        for row in content["stages"]:
            _check_row(where, row, {"notebook"}, {"name", "parameters", "models"})
            self._check_notebooks(where, [row["notebook"]])
            stage = row.get("name", row["notebook"])
            if stage in rows:
                raise ConfigError(f"{where}: two stages write the folder {stage}; give each a name of its own")
            for model in row.get("models", []):
                if not isinstance(model, str) or not MODEL.fullmatch(model):
                    raise ConfigError(
                        f"{where}: stage {stage}: model {model!r}, expected owner/model/framework/variation/version, "
                        "for instance keras/mobilenetv3/keras/mobilenet_v3_large_imagenet/2"
                    )
            rows[stage] = row
        stages = []
        for stage, row in rows.items():
            notebook = self.notebooks[row["notebook"]]
            after = tuple(other for other, its in rows.items() if its["notebook"] in notebook.after)
            models = tuple(row.get("models", []))
            stages.append(Stage(stage, notebook, dict(row.get("parameters", {})), after, models))
        stages.sort(key=lambda stage: self._ranks[stage.notebook.name])
        return Suite(name, **_frozen({**content, "stages": stages}))


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
