"""Executes a suite: the stages that are not up to date, one after the other, then the report.

Each stage's end is recorded at once, so a killed run continues with the first stage that had not finished; inside that
stage the library continues where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hbaclib.artefacts import digest_file, digest_json, finished_stages, is_current, write_json, write_manifest
from hbaclib.digests import STORE, data_digest
from hbaclib.errors import list_some, printable
from hbaclib.files import whole_path
from hbaclib.locks import hold
from hbaclib.outputs import (
    RUN_LOCK,
    claim,
    remove_if_empty,
    remove_left,
    remove_unfinished,
    remove_unfinished_files,
    without_new_folders,
)
from hbaclib.platform import SYNTHETIC, find_data
from hbaclib.report import page
from hbaclib.report.page import FILES, write_report
from hbaclib.source import code_digest
from hbaclib.stages.names import REPORT
from hbaclib.stages.places import STAGES, stage_rows
from hbaclib.suite.eeg_images import check_images
from hbaclib.suite.execute import StageFailedError, execute
from hbaclib.suite.freshness import EARLIER, NOTEBOOKS, data_key, is_up_to_date, left_files, set_aside, stage_key
from hbaclib.suite.parameters import check_parameters, fill_parameters
from hbaclib.suite.place import check_place
from hbaclib.suite.requirements import check_prerequisites
from hbaclib.suite.table import Suite, SuiteTable

__all__ = ["StageFailedError", "run_suite"]

_OWN = (f"{SYNTHETIC}-truth.parquet", f"{SYNTHETIC}-summary.json", STAGES, "manifest.json", STORE)
"""Further files that a run writes in its output folder itself."""


def run_suite(
    name: str,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    cpu: bool = False,
    root: str | Path | None = None,
) -> Path:
    """Execute a suite: every stage that is not up to date, then the report.

    Args:
        name: a suite of ``kaggle/suite.toml``.
        data: folder in the competition's format; without it the first notebook finds or makes one.
        out: output folder, ``runs/<suite>`` in the working folder without it.
        parameters: values for notebook parameters, over those of the table: by name for every stage whose notebook has
            it, by ``stage.name`` or ``notebook.name`` for these alone.
        cpu: leave GPUs alone.
        root: folder of the project, found without it.

    Returns:
        The output folder.

    Raises:
        ConfigError: unknown suite or parameter, a value that a parameter does not take, or something that the suite
            needs is missing (all of it is named).
        StageFailedError: a cell raised; what was finished stays and is not computed again.
        ArtefactError: the folder is an input, holds files that the run would replace and hbac did not write, cannot be
            written, or another run writes there.
    """
    # Inherited by the notebooks: TensorFlow's notes on the processor do not belong between the stages' lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    table = SuiteTable(root)
    suite = table.suite(name)
    source = find_data(data) if data else None
    folder = whole_path(out) if out else Path.cwd() / "runs" / name
    values = fill_parameters(suite, parameters or {}, folder, source)
    check_parameters(suite, values)
    check_images(suite, values)
    check_place(suite, folder, source)
    busy = f"{folder}: another run is writing there; wait for it, or choose another --out"
    began = os.path.lexists(folder / RUN_LOCK)
    with (
        without_new_folders(folder),
        claim(folder, folder=True),
        _without_lock(folder, remove=not began),
        hold(folder / RUN_LOCK, wait=False, busy=busy),
    ):
        started = time.monotonic()
        _clean(suite, folder)  # what a run left that was killed
        try:
            computed = _run_stages(suite, values, folder, source, cpu)
            _report(suite, folder, source)
        except BaseException:
            _clean(suite, folder)
            raise
        click.echo(f"{computed} of {len(suite.stages)} stages computed in {time.monotonic() - started:.0f} s")
        for title, file in (("submission: ", "submission.csv"), ("report:     ", "report.html")):
            if (folder / file).is_file():
                click.echo(printable(f"{title}{folder / file}"))
    return folder


@contextmanager
def _without_lock(folder: Path, *, remove: bool) -> Iterator[None]:
    """Where the block fails and has left nothing but the run's lock, remove that: a run that is refused leaves nothing.

    The caller has claimed the folder.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            left = {path.name for path in folder.iterdir()} - {".writing.lock"}  # the claim's, which removes it itself
            if remove and left == {RUN_LOCK}:
                (folder / RUN_LOCK).unlink()
        raise


def _clean(suite: Suite, folder: Path) -> None:
    """Remove half-written files of this suite's stages; other folders may be another suite's."""
    numbers = {stage.notebook.name.partition("_")[0] + "_" for stage in suite.stages}
    own = [path for number in sorted(numbers) for path in folder.glob(f"{number}*") if path.is_dir()]
    for path in [*own, folder / NOTEBOOKS, folder / SYNTHETIC]:
        remove_unfinished(path)
    remove_left(folder / SYNTHETIC)
    names = {*FILES, *_OWN, *(name for stage in suite.stages for name in stage.notebook.publishes)}
    remove_unfinished_files(folder, names)
    remove_if_empty(folder / f".{SYNTHETIC}.partial")  # where earlier versions made the set


def _run_stages(suite: Suite, values: dict[str, dict[str, Any]], folder: Path, source: Path | None, cpu: bool) -> int:
    """Run the stages that are not up to date; their number."""
    rows, computed = stage_rows(folder), 0
    checked = suite.stages[0].name not in rows
    if checked:  # before the data are read for their digests, which takes minutes where they are many
        _check(suite, values, folder, source, cpu)
    for number, stage in enumerate(suite.stages, start=1):
        key = stage_key(stage, values[stage.name], folder, source)
        before = rows.get(stage.name)
        label = f"[{number}/{len(suite.stages)}] {stage.name}"
        if is_up_to_date(stage, before, key, folder):
            click.echo(f"{label} up to date")
            continue
        if not checked:
            # Whatever a later stage lacks is told now, not after hours; what is finished needs nothing more.
            _check(replace(suite, stages=suite.stages[number - 1 :]), values, folder, source, cpu)
            checked = True
        click.echo(label, nl=False)
        begin = time.monotonic()
        made_now = find_data(source or "", folder) is None
        try:
            told = execute(stage, values[stage.name], folder / NOTEBOOKS)
            if made_now:
                key |= data_key(stage, folder, source)  # the first notebook has made the data
            files = left_files(stage, folder)
            aside = set_aside(before, files, folder)
            rows[stage.name] = {
                "stage": stage.name,
                "notebook": stage.notebook.name,
                "seconds": round(time.monotonic() - begin, 1),
                "status": "done",
                "parameters": values[stage.name],
                "key": digest_json(key),
                "files": files,
            }
            write_json(folder / STAGES, [rows[each.name] for each in suite.stages if each.name in rows])
        except BaseException:
            click.echo(f" failed after {time.monotonic() - begin:.0f} s")
            raise
        computed += 1
        click.echo(f"{label if told else ''} done in {time.monotonic() - begin:.1f} s")
        if aside:
            click.echo(printable(f"    {list_some(aside)}: trained with other parameters; now in {folder / EARLIER}"))
    return computed


def _check(suite: Suite, values: dict[str, dict[str, Any]], folder: Path, source: Path | None, cpu: bool) -> None:
    note = check_prerequisites(suite, values, folder, source, cpu=cpu, tell=lambda line: click.echo(printable(line)))
    if note:
        click.echo(printable(f"hbac: {note}; the CPU is used"), err=True)
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def _report(suite: Suite, folder: Path, source: Path | None) -> None:
    """Write the page, its numbers and the cards, unless they are those of what lies there now.

    The run's own manifest names what they were made from.
    """
    truth = folder / f"{SYNTHETIC}-truth.parquet"
    data = find_data(source or "", folder)
    inputs = {path.name: manifest.digest for path, manifest in finished_stages(folder).items()}
    inputs[STAGES] = digest_file(folder / STAGES)
    inputs["truth"] = digest_file(truth) if truth.is_file() else ""
    inputs["data"] = data_digest(data, "train", folder / STORE) if data else ""
    files = sorted(Path(page.__file__).parent.iterdir())
    looks = [digest_file(file) for file in files if file.suffix in (".html", ".css", ".md")]
    code = digest_json([code_digest(page.__name__, apparatus=True), looks])
    parameters = {"title": f"Suite {suite.name}"}
    if is_current(folder, inputs=inputs, parameters=parameters, code=code):
        return
    write_report(folder, truth=truth if truth.is_file() else None, data=data, **parameters)
    write_manifest(folder, REPORT, inputs=inputs, parameters=parameters, outputs=FILES, code=code)
