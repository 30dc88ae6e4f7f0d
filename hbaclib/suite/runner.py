"""Executes a suite with papermill; doit decides by content which stages are up to date.

A stage is up to date when its notebook, its parameters, the library's code and the manifests of the stages before it
are as they were when it last succeeded, and every file that it made still has its digest. Each stage's success is
recorded at once, so a killed run continues with the first stage that had not finished; inside that stage the library
continues where it stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hbaclib.artefacts import MANIFEST, code_digest, verify, write_json
from hbaclib.errors import ArtefactError, HbacError
from hbaclib.platform import SYNTHETIC, find_data
from hbaclib.suite.parameters import fill_parameters
from hbaclib.suite.table import Stage, Suite, SuiteTable

PORT_STAGE = "01_port_data"
_LAST_WORDS = 2000


class StageFailedError(HbacError):
    """A cell of a stage's notebook raised; the message shows the cell and the error."""


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Hold the output folder against a second run.

    Raises:
        ArtefactError: the folder cannot be written, or another run holds it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("w")
    except OSError as error:
        raise ArtefactError(f"{out}: cannot write there ({error.strerror}); expected a writable folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtefactError(f"{out}: another run is writing there; wait for it, or choose another --out") from None
        yield


def _cell_error(stage: Stage, path: Path, error: Any) -> StageFailedError:
    """Say which cell failed and why; a traceback only where the library did not expect the error."""
    import hbaclib.errors

    expected = isinstance(getattr(hbaclib.errors, error.ename, None), type)
    source = "\n".join(f"    {line}" for line in error.source.strip().splitlines())
    told = f"{error.ename}: {error.evalue}" if expected else str(error).strip()
    return StageFailedError(f"{stage.name} failed in cell [{error.exec_count}]:\n{source}\n{told}\nnotebook: {path}")


@contextmanager
def _kernel_messages_to(path: Path) -> Iterator[None]:
    """Send what child processes write to the error stream into a file; this process keeps its own.

    TensorFlow's notes on the processor (2.21 prints them whatever its log level) do not belong between the stages'
    lines; what a kernel says before it dies is worth keeping.
    """
    sys.stderr.flush()
    own = sys.stderr
    kept = os.dup(2)
    try:
        with path.open("wb") as file, os.fdopen(os.dup(2), "w", buffering=1) as terminal:
            os.dup2(file.fileno(), 2)
            if own is sys.__stderr__:
                sys.stderr = terminal
            yield
    finally:
        sys.stderr = own
        os.dup2(kept, 2)
        os.close(kept)


def _join_streams(path: Path) -> None:
    """Make one text of a stream's pieces, as a terminal would show it: each step of a progress bar is a piece."""
    import nbformat

    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    for cell in notebook.cells:
        joined: list[Any] = []
        for output in cell.get("outputs", []):
            if joined and output.output_type == joined[-1].output_type == "stream" and output.name == joined[-1].name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        for output in joined:
            if output.output_type == "stream":
                # What a carriage return wrote over is gone.
                output.text = re.sub(r".*\r(?=[^\n])", "", output.text)
        if joined:
            cell.outputs = joined
    nbformat.write(notebook, path)


def execute(stage: Stage, parameters: Mapping[str, Any], folder: Path) -> None:
    """Run one notebook; the executed one appears in ``folder`` when it is whole (``-failed`` when a cell raised).

    Raises:
        StageFailedError: a cell raised.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    folder.mkdir(parents=True, exist_ok=True)
    messages = folder / f"{stage.name}.log"
    running, failed = folder / f".{stage.name}.ipynb", folder / f"{stage.name}-failed.ipynb"
    bar = {"desc": stage.name, "leave": False} if sys.stderr.isatty() else False
    try:
        with _kernel_messages_to(messages):
            papermill.execute_notebook(
                str(stage.notebook.path),
                str(running),
                parameters=dict(parameters),
                kernel_name="python3",
                progress_bar=bar,
                cwd=str(folder),
                extra_arguments=["--log-level=ERROR"],  # a kernel on this machine need not warn of plain sockets
            )
    except papermill.PapermillExecutionError as error:
        _join_streams(running)
        os.replace(running, failed)
        raise _cell_error(stage, failed, error) from None
    except DeadKernelError:
        last = messages.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:]
        raise StageFailedError(
            f"{stage.name}: the notebook's kernel died, mostly for lack of memory; its last words, of {messages}:"
            f"\n{last or '(none)'}"
        ) from None
    _join_streams(running)
    os.replace(running, folder / f"{stage.name}.ipynb")
    failed.unlink(missing_ok=True)


def _doit(task: dict[str, Any], database: Path) -> bool:
    """Let doit run one task if it is not up to date; whether it ran. Exceptions of its action come through."""
    from doit.cmd_base import TaskLoader2
    from doit.doit_cmd import DoitMain
    from doit.reporter import ZeroReporter
    from doit.task import dict_to_task

    action, raised, ran = task["actions"][0], [], []

    def guarded() -> bool:
        ran.append(True)
        try:
            action()
        except BaseException as error:
            raised.append(error)
            return False
        return True

    class Loader(TaskLoader2):
        def setup(self, opt_values: Any) -> None:
            pass

        def load_doit_config(self) -> dict[str, Any]:
            return {"dep_file": str(database), "backend": "sqlite3", "reporter": ZeroReporter, "verbosity": 2}

        def load_tasks(self, cmd: Any, pos_args: Any) -> list[Any]:
            return [dict_to_task({**task, "actions": [guarded]})]

    code = DoitMain(Loader()).run(["run"])
    if raised:
        raise raised[0]
    if code:
        raise ArtefactError(f"{task['name']}: doit ended with code {code}; delete {database} and run again")
    return bool(ran)


def _unchanged(stage: Stage, out: Path, data: Path | None) -> Callable[[], bool]:
    """Whether what the stage read from outside and what it made are still as its manifest says."""

    def check() -> bool:
        try:
            manifest = verify(out / stage.name)
            if stage.notebook.name != PORT_STAGE:
                return True
            from hbaclib.dataset.port import digest_source

            folder = find_data(data or "", out)
            return folder is not None and digest_source(folder) == manifest.inputs["source"]
        except (ArtefactError, KeyError):
            return False

    return check


def _stage_task(stage: Stage, parameters: dict[str, Any], out: Path, data: Path | None) -> dict[str, Any]:
    from doit.tools import config_changed

    notebooks = out / "notebooks"
    return {
        "name": stage.name,
        "actions": [lambda: execute(stage, parameters, notebooks)],
        "file_dep": [str(stage.notebook.path), *(str(out / name / MANIFEST) for name in stage.after)],
        "targets": [str(notebooks / f"{stage.name}.ipynb"), str(out / stage.name / MANIFEST)],
        "uptodate": [
            config_changed(
                {"parameters": json.dumps(parameters, sort_keys=True), "code": code_digest(everything=True)}
            ),
            _unchanged(stage, out, data),
        ],
    }


def _read_times(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return {row["stage"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def run_suite(
    name: str,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
) -> Path:
    """Execute a suite: every stage that is not up to date, then the report.

    Args:
        name: a suite of ``kaggle/suite.toml``.
        data: folder in the competition's format; without it the first notebook finds or makes one.
        out: output folder, ``runs/<suite>`` in the project without it.
        parameters: values for notebook parameters of that name, over those of the table.
        root: folder of the project, found without it.

    Returns:
        The output folder.

    Raises:
        ConfigError: unknown suite or parameter.
        StageFailedError: a cell raised; what was finished stays and is not computed again.
    """
    # Inherited by the notebooks: TensorFlow's notes on the processor do not belong between the stages' lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    table = SuiteTable(root)
    suite = table.suite(name)
    source = find_data(data) if data else None
    folder = Path(out).expanduser().resolve() if out else table.root / "runs" / name
    values = fill_parameters(suite, parameters or {}, folder, source)
    with _lock(folder):
        times = _read_times(folder / "stages.json")
        started = time.monotonic()
        computed = 0
        for number, stage in enumerate(suite.stages, start=1):
            label = f"[{number}/{len(suite.stages)}] {stage.name}"
            click.echo(label, nl=False)
            begin = time.monotonic()
            try:
                ran = _doit(_stage_task(stage, values[stage.name], folder, source), folder / ".doit.db")
            except BaseException:
                click.echo(f" failed after {time.monotonic() - begin:.0f} s")
                raise
            seconds = time.monotonic() - begin
            if ran:
                computed += 1
                times[stage.name] = {
                    "stage": stage.name,
                    "notebook": stage.notebook.name,
                    "seconds": round(seconds, 1),
                    "status": "done",
                    "parameters": values[stage.name],
                }
                write_json(folder / "stages.json", [times[row.name] for row in suite.stages if row.name in times])
            click.echo(f" done in {seconds:.1f} s" if ran else " up to date")
        _report(suite, folder)
        click.echo(
            f"{computed} of {len(suite.stages)} stages computed in {time.monotonic() - started:.0f} s\n"
            f"submission: {folder / 'submission.csv'}\nreport:     {folder / 'report.html'}"
        )
    return folder


def _report(suite: Suite, folder: Path) -> None:
    from doit.tools import config_changed

    from hbaclib.evaluation.report import write_report

    def write() -> None:
        truth = folder / f"{SYNTHETIC}-truth.parquet"
        write_report(folder, truth=truth if truth.is_file() else None, title=f"Suite {suite.name}")

    task = {
        "name": "report",
        "actions": [write],
        "file_dep": [str(folder / stage.name / MANIFEST) for stage in suite.stages] + [str(folder / "stages.json")],
        "targets": [str(folder / "report.html"), str(folder / "results.json")],
        "uptodate": [config_changed(code_digest(everything=True))],
    }
    _doit(task, folder / ".doit.db")
