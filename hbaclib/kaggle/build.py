"""Makes everything that goes to Kaggle from the suite table: kernel folders, data sets, and the plan that ties them.

::

    <out>/plan.json                     what to push, in order (see `Plan`)
    <out>/datasets/<name>/              files and dataset-metadata.json
    <out>/kernels/<stage>/              <stage>.ipynb with its parameters filled in, and kernel-metadata.json
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hbaclib.artefacts import digest_folder, write_json
from hbaclib.errors import ArtefactError, ConfigError, list_some
from hbaclib.files import expanded, whole_path
from hbaclib.kaggle.datasets import (
    ARRAY_STAGES,
    DATASET_METADATA,
    SHAREABLE,
    arrays_dataset,
    check_title,
    weights_dataset,
    wheels_dataset,
)
from hbaclib.kaggle.hours import suite_hours
from hbaclib.kaggle.ledger import LEDGER, Ledger
from hbaclib.kaggle.plan import PLAN, Plan, PlannedKernel, is_plan, read_plan
from hbaclib.kaggle.speeds import Speeds
from hbaclib.outputs import claim, refuse_inputs, refuse_inside_stage, without_new_folders, working_folder
from hbaclib.selftest.form import STAGE as SELFTEST_STAGE
from hbaclib.stages.names import PORT, TRAINING_PREFIXES
from hbaclib.suite import sizes
from hbaclib.suite.eeg_images import check_images
from hbaclib.suite.parameters import all_values, check_parameters, fill_parameters, known_parameters
from hbaclib.suite.table import Stage, Suite, SuiteTable

KERNEL_METADATA = "kernel-metadata.json"
DEFAULT_SUITE = "full"
USER = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
SELFTEST = "selftest"
"""Name of the suite that the table does not list: notebook 09 alone."""
PLACEHOLDERS = ("out", "data")
"""Parameters that keep their defaults on Kaggle, where the platform's folders are found."""


def cell() -> str:
    """First code cell of every notebook: the text of ``bootstrap.py`` below its docstring."""
    text = (Path(__file__).parent / "bootstrap.py").read_text(encoding="utf-8")
    end = ast.parse(text).body[0].end_lineno or 0
    return "\n".join(text.splitlines()[end:]).strip()


def kernel_title(suite: Suite, stage: Stage) -> str:
    """Title of a stage's kernel: the notebook's, what sets the stage apart, and the suite unless it is the full one."""
    base = stage.notebook.name
    alone = [other.notebook.name for other in suite.stages].count(base) == 1
    # What both names begin with, up to a whole word, is said by the notebook's title.
    same = next((n for n, pair in enumerate(zip(base, stage.name, strict=False)) if pair[0] != pair[1]), len(base))
    common = base if stage.name.startswith(base) else base[:same].rpartition("_")[0]
    part = "" if alone and common != base else stage.name[len(common) :]
    named = "" if suite.name in (DEFAULT_SUITE, SELFTEST) else suite.name
    if set(re.split("[-_ ]+", part.strip("-_ ").lower())) <= set(stage.notebook.title.lower().split()):
        part = ""  # the title says it already
    words = [stage.notebook.title, *part.strip("-_ ").split("-"), named]
    return " ".join(word for word in words if word)


def selftest_suite(table: SuiteTable) -> Suite:
    """The suite of the one notebook that measures a machine; it needs no data, and its kernel no internet.

    Raises:
        ConfigError: the table is of a project without this notebook.
    """
    notebook = table.notebooks.get(SELFTEST_STAGE)
    if notebook is None:
        raise ConfigError(f"{table.path}: no notebook {SELFTEST_STAGE}; expected the table of this version of hbac")
    return Suite(name=SELFTEST, stages=(Stage(notebook.name, notebook, {}, ()),), about="measures a machine")


def split_folds(suite: Suite, parts: int, n_folds: int) -> Suite:
    """The suite with the folds of every stage of notebook 04 shared out over kernels.

    The first kernels train some folds each; the last, which bears the stage's name, reads them, trains the rest, and
    writes the whole stage.

    Args:
        suite: the suite.
        parts: kernels for each training stage.
        n_folds: number of folds.

    Raises:
        ConfigError: more parts than folds.
    """
    if not 1 <= parts <= n_folds:
        raise ConfigError(f"suite {suite.name}: folds split over {parts} kernels, expected 1 to {n_folds}, its folds")
    stages: list[Stage] = []
    for stage in suite.stages:
        # 05 and 06 train several networks each, which are split by their parameters instead.
        shared = parts > 1 and stage.notebook.name.startswith("04_") and "folds" in known_parameters(stage)
        first = []
        for number in range(1, parts if shared else 1):
            folds = [fold for fold in range(n_folds) if fold % parts == number - 1]
            values = {**stage.parameters, "folds": folds, "stage": stage.name}
            first.append(replace(stage, name=f"{stage.name}-part{number}", parameters=values))
        last = replace(stage, after=(*stage.after, *(part.name for part in first))) if first else stage
        stages += [*first, last]
    return replace(suite, stages=tuple(stages))


def _refs(suite: Suite, stages: Iterable[Stage], table: SuiteTable, user: str) -> dict[str, str]:
    """Stage -> ``owner/slug`` of its kernel."""
    refs: dict[str, str] = {}
    for stage in stages:
        where = f"{table.path}: suite {suite.name}: stage {stage.name}"
        slug = check_title("kernel", kernel_title(suite, stage), where)
        for other, ref in refs.items():
            if ref == f"{user}/{slug}":
                raise ConfigError(f"{where}: its kernel's slug {slug!r} is also that of stage {other}; change a title")
        refs[stage.name] = f"{user}/{slug}"
    return refs


def _check_sources(suite: Suite, table: SuiteTable) -> None:
    """Every notebook that a stage reads must be run by the suite; of the training notebooks one is enough."""
    run = {stage.notebook.name for stage in suite.stages}
    trains = any(name.startswith(TRAINING_PREFIXES) for name in run)
    for stage in suite.stages:
        missing = [name for name in stage.notebook.after if name not in run]
        missing = [name for name in missing if not (trains and name.startswith(TRAINING_PREFIXES))]
        if missing:
            raise ConfigError(
                f"{table.path}: suite {suite.name}: stage {stage.name} reads {list_some(missing)}, "
                "which no stage of the suite runs"
            )


def render(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's notebook with its parameters filled in and without outputs, as a JSON value.

    The parameters stand in a cell of their own after the notebook's, as papermill puts them.
    """
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(str(stage.notebook.path))
    if parameters:
        notebook = parameterize_notebook(notebook, dict(parameters), report_mode=False, comment=f"Stage {stage.name}")
    notebook.metadata = {"kernelspec": dict(notebook.metadata["kernelspec"])}
    for number, each in enumerate(notebook.cells):
        tags = list(each.metadata.get("tags", []))
        each.metadata = {"tags": tags} if tags else {}
        each["id"] = f"cell-{number}"
        if each.cell_type == "code":
            each.outputs, each.execution_count = [], None
    return notebook


def _kernel_metadata(
    suite: Suite, stage: Stage, refs: Mapping[str, str], datasets: list[str], *, internet: bool, public: bool
) -> dict[str, Any]:
    """All keys of ``kernel-metadata.json``; none is left to the client's defaults (internet's would be on)."""
    gpu = stage.notebook.accelerator != "none"
    return {
        "id": refs[stage.name],
        "title": kernel_title(suite, stage),
        "code_file": f"{stage.name}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": not public,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": internet,
        "machine_shape": stage.notebook.accelerator if gpu else None,
        "dataset_sources": datasets,
        "competition_sources": [suite.competition] if suite.competition else [],
        "kernel_sources": [refs[name] for name in stage.after if name in refs],
        "model_sources": list(stage.models),
        "keywords": [],
        "docker_image": None,
        "docker_image_pinning_type": "original",
    }


def _filled(stage: Stage, values: Mapping[str, Any]) -> Stage:
    """A stage with all parameters that its kernel gets."""
    filled = {name: value for name, value in values.items() if name not in PLACEHOLDERS}
    # A part of a stage bears that stage's name.
    return replace(stage, parameters={**filled, **stage.parameters})


def _sizes(suite: Suite, counts: sizes.Counts) -> dict[str, int]:
    """Bytes per stage.

    Raises:
        ConfigError: a stage writes more than a Kaggle session keeps.
    """
    found = {stage.name: sizes.stage_bytes(stage, counts) for stage in suite.stages}
    sizes.check_kernels(found, f"suite {suite.name}", counts.source)
    return found


def build(
    suite_name: str = DEFAULT_SUITE,
    *,
    user: str,
    out: str | Path,
    arrays: str | Path | None = None,
    weights: str | Path | None = None,
    data: str | Path | None = None,
    parts: int = 1,
    public: bool = False,
    selftest: str | Path | None = None,
    root: str | Path | None = None,
) -> Plan:
    """Make the kernel folders, the data sets and the plan.

    Args:
        suite_name: a suite of ``kaggle/suite.toml``, or SELFTEST for the one kernel of notebook 09.
        user: Kaggle user name that will own everything.
        out: folder to make it in; what an earlier build made there is replaced, all else in it stays.
        arrays: output folder of a run whose stages 01-03 are published as a data set and read in place of the kernels.
        weights: folder of published weights (``*_notop.h5``) that becomes a data set; without it the kernels that need
            them get internet.
        data: folder in the competition's format, to compute sizes from; without it the known counts serve.
        parts: kernels that the folds of each training stage are split over, so that each fits into 12 hours.
        public: let others see and copy the kernels, and read the wheels. All other data sets stay private: for what is
            made of the competition's files its rules hold, and published weights have a place of their own.
        selftest: result of a self-test on the kernels' machine, to plan hours from; None for the estimates.
        root: folder of the project, found without it.

    Returns:
        The plan, also written to ``<out>/plan.json``.

    Raises:
        ConfigError: user name, titles, slugs, edges, parameters or sizes are not valid, the self-test is of another
            machine, or a recipe sees an image of
            the EEG that is not stored; nothing is changed then.
        ArtefactError: the stages in ``arrays`` are not finished; or the output folder is an input, cannot be written,
            holds files in the way that no build made, or is being written by another process.
    """
    table = SuiteTable(root)
    suite = selftest_suite(table) if suite_name == SELFTEST else table.suite(suite_name)
    speeds = Speeds.read(selftest)
    if not USER.fullmatch(user):
        raise ConfigError(
            f"user name {user!r}; expected it as in your profile's address, kaggle.com/<user>: lower-case letters and "
            "digits, single hyphens between"
        )
    _check_sources(suite, table)
    # The stage that draws the samples decides how many folds there are, and how much is written.
    first = next((all_values(each, each.parameters) for each in suite.stages if each.notebook.name == PORT), {})
    suite = split_folds(suite, parts, int(first.get("n_folds", 5)))
    parameters = fill_parameters(suite, {}, Path(), None)
    check_parameters(suite, parameters)
    suite = replace(suite, stages=tuple(_filled(stage, parameters[stage.name]) for stage in suite.stages))
    kept = [stage for stage in suite.stages if not (arrays and stage.notebook.name in ARRAY_STAGES)]
    refs = _refs(suite, kept, table, user)
    counts = sizes.suite_counts(suite, first, data)
    size, n_folds = _sizes(suite, counts), int(first.get("n_folds", 5))
    hours = {each.name: each.hours for each in suite_hours(suite, speeds, n_folds, counts.samples)}
    out = whole_path(out)
    refuse_inputs(out, [expanded(each) for each in (arrays, weights, data, selftest) if each])
    check_images(suite, parameters, whole_path(arrays) if arrays else None)
    refuse_inside_stage(out / PLAN)
    if os.path.lexists(out / PLAN) and not is_plan(out / PLAN):
        raise ArtefactError(f"{out / PLAN}: exists and is no plan of a build; choose another folder, or move it away")
    names = [f"kernels/{each.name}/{file}" for each in kept for file in (f"{each.name}.ipynb", KERNEL_METADATA)]
    sets_made = {"wheels": True, "arrays": arrays, "weights": weights}
    names += [f"datasets/{name}/{DATASET_METADATA}" for name, wanted in sets_made.items() if wanted]
    with (
        _writing(out),
        without_new_folders(out),
        claim(out, folder=True),
        working_folder(out / "build") as new,
    ):
        ledger = _ledger(out)
        ledger.refuse_foreign(names)  # before the wheels are built, which takes a while
        sets = new / "datasets"
        datasets = [wheels_dataset(sets / "wheels", table.root, table.wheels(), user)]
        if arrays:
            datasets.append(arrays_dataset(sets / "arrays", whole_path(arrays), user))
        if weights:
            datasets.append(weights_dataset(sets / "weights", whole_path(weights), user))
        datasets = [replace(each, public=public and each.name in SHAREABLE) for each in datasets]
        kernels = []
        for stage in kept:
            folder = new / "kernels" / stage.name
            internet = stage.notebook.name in suite.downloads and not weights
            sets_read = [each.ref for each in datasets]
            metadata = _kernel_metadata(suite, stage, refs, sets_read, internet=internet, public=public)
            write_json(folder / metadata["code_file"], render(stage, stage.parameters))
            write_json(folder / KERNEL_METADATA, metadata)
            kernels.append(
                PlannedKernel(
                    name=stage.name,
                    stage=str(stage.parameters.get("stage") or stage.name),
                    ref=refs[stage.name],
                    after=tuple(name for name in stage.after if name in refs),
                    gpu=metadata["enable_gpu"],
                    bytes=size[stage.name],
                    digest=digest_folder(folder),
                    hours=round(hours[stage.name], 2),
                )
            )
        plan = Plan(suite.name, user, suite.competition, tuple(datasets), tuple(kernels))
        ledger.publish("build", new)
        write_json(out / PLAN, asdict(plan))
    return plan


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtefactError(f"{out}: cannot write there ({error.strerror}); expected a writable folder") from error


def _ledger(out: Path) -> Ledger:
    """What earlier builds wrote; those of a version without ledger are known where they are as their plan says."""
    ledger = Ledger(out)
    if (out / LEDGER).exists() or not (out / PLAN).exists():
        return ledger
    with contextlib.suppress(ArtefactError):
        plan = read_plan(out)
        planned = [(out / "datasets" / each.name, each.digest) for each in plan.datasets]
        planned += [(out / "kernels" / each.name, each.digest) for each in plan.kernels]
        for folder, digest in planned:
            if folder.is_dir() and not folder.is_symlink() and digest_folder(folder) == digest:
                files = (path for path in folder.rglob("*") if path.is_file())
                ledger.adopt("build", [path.relative_to(out).as_posix() for path in files])
    return ledger
