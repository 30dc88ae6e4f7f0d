"""Reads ``kaggle/suite.toml``, the one table of notebooks, edges, accelerators and parameters."""

from __future__ import annotations

import difflib
import graphlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hbaclib.errors import ConfigError, list_some
from hbaclib.platform import SYNTHETIC, project_root
from hbaclib.schema import PLAIN_NAME, as_form, closed, is_plain_name, read_toml, shown
from hbaclib.stages.names import KERASCV, RAW, SIGNALS_200HZ
from hbaclib.training.checked import check_types, expect, make, plain

SCHEMA = 1
NOTEBOOKS, EARLIER = "notebooks", "earlier"
"""Folders of a run beside those of its stages: the executed notebooks, and networks that other ones have replaced."""
_TAKEN = (NOTEBOOKS, EARLIER, SYNTHETIC, SIGNALS_200HZ)
ACCELERATORS = ("none", "NvidiaTeslaT4")
"""Machine shapes of Kaggle that a notebook may ask for; NvidiaTeslaT4 is two T4s."""
RETIRED = {"nvidiateslap100": "Kaggle has retired it, and runs such kernels on two T4s"}
"""Machine shape, in lower case -> why no kernel asks for it any more."""
_OF_NETWORKS = tuple(f"{notebook[:2]}_train_" for notebook in (KERASCV, RAW))
"""How folders begin that a stage makes beside its own."""
MODEL = re.compile(r"(?:[A-Za-z0-9_.-]+/){4}\d+")
"""Name of an attached Kaggle model: owner, model, framework, variation, version."""


@dataclass(frozen=True, kw_only=True)
class NotebookRow:
    """What the table says of a notebook.

    Attributes:
        title: title of its Kaggle kernel.
        after: names of the notebooks whose outputs it reads.
        accelerator: Kaggle's machine shape, one of ACCELERATORS.
        reads: parts of the data set that it opens beside the stages before it.
        publishes: files that it leaves in the output folder itself, beside its stage's folder.
    """

    title: str
    after: tuple[str, ...]
    accelerator: str
    reads: tuple[Literal["train", "test"], ...] = ()
    publishes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        retired = RETIRED.get(self.accelerator.lower(), "")
        known = f"one of {', '.join(ACCELERATORS)}" + f" ({retired})" * bool(retired)
        expect(self, "accelerator", self.accelerator in ACCELERATORS, known)
        files = all(name and Path(name).name == name for name in self.publishes)
        expect(self, "publishes", files, "a list of files' names without a folder")


@dataclass(frozen=True, kw_only=True)
class Notebook(NotebookRow):
    """One notebook of the suite.

    Attributes:
        name: file name without its ending.
        path: the ``.ipynb`` file.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class StageRow:
    """What the table says of a stage; see `Stage`. Without a name it bears its notebook's."""

    notebook: str
    name: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        expect(self, "name", not self.name or is_plain_name(self.name), PLAIN_NAME)
        form = "owner/model/framework/variation/version, as in keras/mobilenetv3/keras/mobilenet_v3_large_imagenet/2"
        expect(self, "models", all(map(MODEL.fullmatch, self.models)), form)


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


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """What the table says of a suite beside its stages.

    Attributes:
        about: what it is for.
        competition: slug of the Kaggle competition whose files it reads, "" where it makes a synthetic set.
        downloads: names of the notebooks that download pretrained weights where no data set of them is attached.
        memory_gb: memory that its hungriest stage takes, GB; 0 where nobody has measured it.
        needs_gpu: whether it would train for days on a CPU.
    """

    about: str = ""
    competition: str = ""
    downloads: tuple[str, ...] = ()
    memory_gb: float = 0.0
    needs_gpu: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        expect(self, "memory_gb", 0 <= self.memory_gb < math.inf, "GB, 0 or more")


@dataclass(frozen=True, kw_only=True)
class Suite(SuiteRow):
    """A named list of stages in an order in which they can run.

    Attributes:
        name: its name.
        stages: its stages, each after those that it reads.
    """

    name: str
    stages: tuple[Stage, ...]


def unknown(kind: str, name: str, known: list[str]) -> ConfigError:
    """Error for a name that does not exist, listing close ones."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {list_some(known, 20)}"
    return ConfigError(f"no {kind} {name!r}; {hint}")


@closed
@dataclass(frozen=True)
class _Content:
    """The tables of the file; what is in a notebook's or a suite's is checked row by row."""

    schema: int
    notebooks: dict[str, dict[str, Any]]
    suites: dict[str, dict[str, Any]]
    wheels: dict[Literal["packages"], tuple[str, ...]] = field(default_factory=dict)


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
        self._content = read_toml(self.path, "suite table")
        if self._content.get("schema") != SCHEMA:
            raise ConfigError(f"{self.path}: schema {shown(self._content.get('schema'))}, expected {SCHEMA}")
        form = as_form(self._content, _Content, lambda fault: ConfigError(f"{self.path}: {fault}"))
        for name in (*form.notebooks, *form.suites):
            if not is_plain_name(name):
                raise ConfigError(f"{self.path}: a notebook or suite is called {shown(name)}, expected {PLAIN_NAME}")
        self._wheels = form.wheels.get("packages", ())
        self.notebooks = {name: self._notebook(name, row) for name, row in self._content["notebooks"].items()}
        for notebook in self.notebooks.values():
            self._check_notebooks(f"{self.path}: notebook {notebook.name}", notebook.after)
        self._ranks = self._rank()

    def _notebook(self, name: str, row: dict[str, Any]) -> Notebook:
        where = f"{self.path}: notebook {name}"
        file = self.root / "notebooks" / f"{name}.ipynb"
        if not file.is_file():
            raise ConfigError(f"{where}: {file} does not exist")
        return Notebook(name=name, path=file, **vars(make(NotebookRow, row, where)))

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
        return list(self._wheels)

    def suite(self, name: str) -> Suite:
        """One suite, its stages in an order in which they can run.

        Raises:
            ConfigError: there is no such suite (lists close names), or it is faulty.
        """
        if name not in self.names():
            raise unknown("suite", name, self.names())
        where, content = f"{self.path}: suite {name}", dict(self._content["suites"][name])
        rows = content.pop("stages", None)
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise ConfigError(f"{where}: stages is {rows!r}, expected tables ([[suites.NAME.stages]])")
        options = make(SuiteRow, content, where)
        self._check_notebooks(f"{where}: downloads", options.downloads)
        found: dict[str, StageRow] = {}
        for number, row in enumerate(rows, start=1):
            made = make(StageRow, row, f"{where}: stage {row.get('name') or row.get('notebook') or number}")
            self._check_notebooks(where, [made.notebook])
            stage = made.name or made.notebook
            if stage in found:
                raise ConfigError(f"{where}: two stages write the folder {stage}; give each a name of its own")
            if stage != made.notebook and (stage in {*self.notebooks, *_TAKEN} or stage.startswith(_OF_NETWORKS)):
                raise ConfigError(f"{where}: stage {stage} would write where others do; give it a name of its own")
            found[stage] = made
        stages = []
        for stage, made in found.items():
            notebook = self.notebooks[made.notebook]
            after = tuple(other for other, its in found.items() if its.notebook in notebook.after)
            stages.append(Stage(stage, notebook, plain(made.parameters), after, made.models))
        stages.sort(key=lambda stage: self._ranks[stage.notebook.name])
        return Suite(name=name, stages=tuple(stages), **vars(options))
