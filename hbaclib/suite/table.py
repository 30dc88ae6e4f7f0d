"""Reads ``kaggle/suite.toml``, the one table of notebooks, edges, accelerators and parameters."""

from __future__ import annotations

import difflib
import graphlib
import math
import re
import tomllib
from dataclasses import dataclass, field, replace
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
        parameters: what its parameters cell is given.
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
        about: what it is for.
        stages: its stages, each after those that it reads.
        competition: slug of the Kaggle competition whose files it reads, "" where it makes a synthetic set.
        downloads: names of the notebooks that download pretrained weights where no data set of them is attached.
        memory_gb: memory that its hungriest stage takes, GB; 0 where nobody has measured it.
        needs_gpu: whether it would train for days on a CPU.
    """

    name: str
    about: str
    stages: tuple[Stage, ...] = field(default_factory=tuple)
    competition: str = ""
    downloads: tuple[str, ...] = ()
    memory_gb: float = 0.0
    needs_gpu: bool = False


def unknown(kind: str, name: str, known: list[str]) -> ConfigError:
    """Error for a name that does not exist, listing close ones."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {list_some(known, 20)}"
    return ConfigError(f"no {kind} {name!r}; {hint}")


def _check_keys(where: str, table: dict[str, Any], required: set[str], allowed: set[str]) -> None:
    missing, extra = required - set(table), set(table) - allowed
    if missing or extra:
        faults = [f"missing {list_some(sorted(missing))}"] * bool(missing) + [
            f"unknown {list_some(sorted(extra))}"
        ] * bool(extra)
        raise ConfigError(f"{where}: {', '.join(faults)}; expected {list_some(sorted(allowed))}")


def _names(where: str, key: str, given: Any, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list of names, of those that are known where there are any."""
    if not isinstance(given, list) or not all(isinstance(name, str) and name for name in given):
        raise ConfigError(f"{where}: {key} is {given!r}, expected a list of names")
    for name in given:
        if known and name not in known:
            raise ConfigError(f"{where}: {key}: {name!r}, expected one of {list_some(known)}")
    return tuple(given)


def _text(where: str, key: str, given: Any) -> str:
    if not isinstance(given, str):
        raise ConfigError(f"{where}: {key} is {given!r}, expected a text")
    return given


def _models(where: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise ConfigError(f"{where}: models is {given!r}, expected a list of Kaggle models")
    for model in given:
        if not isinstance(model, str) or not MODEL.fullmatch(model):
            raise ConfigError(
                f"{where}: model {model!r}, expected owner/model/framework/variation/version, for instance "
                "keras/mobilenetv3/keras/mobilenet_v3_large_imagenet/2"
            )
    return tuple(given)


class SuiteTable:
    """The table, read and validated.

    Args:
        root: folder of the project; found by `project_root` where it is not given.

    Raises:
        ConfigError: the table is missing or faulty; the message names the entry.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root else project_root()
        path = self.root / "kaggle" / "suite.toml"
        try:
            self._content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: not a readable suite table ({error})") from error
        if self._content.get("schema") != SCHEMA:
            raise ConfigError(f"{path}: schema {self._content.get('schema')!r}, expected {SCHEMA}")
        self.path = path
        self.notebooks = {name: self._notebook(name, row) for name, row in self._content["notebooks"].items()}
        for notebook in self.notebooks.values():
            for source in notebook.after:
                if source not in self.notebooks:
                    raise ConfigError(f"{path}: notebook {notebook.name}: {unknown('notebook', source, self.order())}")
        self._order()

    def _notebook(self, name: str, row: dict[str, Any]) -> Notebook:
        where = f"{self.path}: notebook {name}"
        needed = {"title", "after", "accelerator"}
        _check_keys(where, row, needed, needed | {"reads", "publishes"})
        if row["accelerator"] not in ACCELERATORS:
            raise ConfigError(f"{where}: accelerator {row['accelerator']!r}, expected one of {list_some(ACCELERATORS)}")
        publishes = _names(where, "publishes", row.get("publishes", []))
        for published in publishes:
            if Path(published).name != published:
                raise ConfigError(f"{where}: publishes: {published!r}, expected a file's name without a folder")
        file = self.root / "notebooks" / f"{name}.ipynb"
        if not file.is_file():
            raise ConfigError(f"{where}: {file} does not exist")
        return Notebook(
            name,
            file,
            row["title"],
            tuple(row["after"]),
            row["accelerator"],
            _names(where, "reads", row.get("reads", []), PARTS),
            publishes,
        )

    def _order(self) -> list[str]:
        graph = {notebook.name: sorted(notebook.after) for notebook in self.notebooks.values()}
        try:
            order = list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            raise ConfigError(f"{self.path}: notebooks wait for each other: {' -> '.join(error.args[1])}") from None
        return sorted(order, key=lambda name: (self._depth(name), name))

    def _depth(self, name: str) -> int:
        return 1 + max((self._depth(source) for source in self.notebooks[name].after), default=0)

    def order(self) -> list[str]:
        """Names of the notebooks, as the table lists them."""
        return list(self.notebooks)

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
        suites = self._content["suites"]
        if name not in suites:
            raise unknown("suite", name, self.names())
        where = f"{self.path}: suite {name}"
        options = {"about", "competition", "downloads", "memory_gb", "needs_gpu"}
        _check_keys(where, suites[name], {"stages"}, {"stages", *options})
        rows = suites[name]["stages"]
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise ConfigError(f"{where}: stages is {rows!r}, expected tables ([[suites.{name}.stages]])")
        stages: dict[str, Stage] = {}
        for row in rows:
            _check_keys(where, row, {"notebook"}, {"notebook", "name", "parameters", "models"})
            if row["notebook"] not in self.notebooks:
                raise ConfigError(f"{where}: {unknown('notebook', row['notebook'], self.order())}")
            notebook = self.notebooks[row["notebook"]]
            stage = row.get("name", notebook.name)
            if stage in stages:
                raise ConfigError(f"{where}: two stages write the folder {stage}; give each a name of its own")
            models = _models(f"{where}: stage {stage}", row.get("models", []))
            stages[stage] = Stage(stage, notebook, dict(row.get("parameters", {})), (), models)
        done = {
            stage.name: replace(
                stage,
                after=tuple(other.name for other in stages.values() if other.notebook.name in stage.notebook.after),
            )
            for stage in stages.values()
        }
        rank = {notebook: index for index, notebook in enumerate(self._order())}
        ordered = sorted(done.values(), key=lambda stage: (rank[stage.notebook.name], list(done).index(stage.name)))
        row = suites[name]
        downloads = _names(where, "downloads", row.get("downloads", []))
        for notebook_name in downloads:
            if notebook_name not in self.notebooks:
                raise ConfigError(f"{where}: downloads: {unknown('notebook', notebook_name, self.order())}")
        memory, gpu = row.get("memory_gb", 0), row.get("needs_gpu", False)
        if isinstance(memory, bool) or not isinstance(memory, int | float) or not 0 <= memory < math.inf:
            raise ConfigError(f"{where}: memory_gb is {memory!r}, expected GB, 0 or more")
        if not isinstance(gpu, bool):
            raise ConfigError(f"{where}: needs_gpu is {gpu!r}, expected true or false")
        return Suite(
            name,
            _text(where, "about", row.get("about", "")),
            tuple(ordered),
            _text(where, "competition", row.get("competition", "")),
            downloads,
            float(memory),
            gpu,
        )
