"""Runs one notebook with papermill, and tells what went wrong in one sentence where the library knows it."""

from __future__ import annotations

import builtins
import logging
import os
import re
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import click

from hbaclib import errors
from hbaclib.errors import ArtefactError, HbacError
from hbaclib.processes import end_processes, interrupt, messages_aside, processes_below
from hbaclib.secrecy import hide
from hbaclib.suite.parameters import literal
from hbaclib.suite.table import Stage
from hbaclib.training.live import EVERY, LIVE_FILE, LiveLines, noted_lines

_LAST_WORDS = 2000
_KERNEL = "ipykernel_launcher"
_SECONDS_TO_END = 4.0
"""What an interrupted cell gets to close its files before its processes are ended."""


class StageFailedError(HbacError):
    """A cell of a stage's notebook raised; the message shows the cell and the error."""


def execute(stage: Stage, parameters: Mapping[str, Any], folder: Path) -> bool:
    """Run one notebook; the executed one appears in ``folder`` when it is whole (``-failed`` when a cell raised).

    What a training in it tells of its fits while it runs is shown on the error stream.

    Returns:
        Whether lines that stay were written meanwhile.

    Raises:
        StageFailedError: a cell raised, or the kernel died.
        ArtefactError: the folder cannot be written, or its disk is full.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    messages = folder / f"{stage.name}.log"
    running = folder / f".{secrets.token_hex(4)}.partial.{stage.name}.ipynb"
    failed = folder / f"{stage.name}-failed.ipynb"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with messages_aside(messages):
                told = _run(stage, parameters, running, folder)
        except papermill.PapermillExecutionError as error:
            _join_streams(running)
            os.replace(running, failed)
            raise _cell_error(stage, failed, error) from None
        except (DeadKernelError, RuntimeError) as error:
            # jupyter raises the latter where a kernel dies, or says nothing, while it starts.
            last = messages.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:]
            raise StageFailedError(
                f"{stage.name}: the notebook's kernel died, mostly for lack of memory ({error}); its last words, of "
                f"{messages}:\n{last or '(none)'}"
            ) from None
        _join_streams(running)
        os.replace(running, folder / f"{stage.name}.ipynb")
        failed.unlink(missing_ok=True)
        if not messages.stat().st_size:
            messages.unlink()
        return told
    except OSError as error:
        raise ArtefactError(f"{stage.name}: {folder}: cannot be written ({error.strerror or error})") from error
    finally:
        running.unlink(missing_ok=True)


def _run(stage: Stage, parameters: Mapping[str, Any], running: Path, folder: Path) -> bool:
    """As `_work`; what the notebook shows of its fits is shown here meanwhile. Whether lines that stay were written."""
    told: list[bool] = []

    def new_line() -> None:
        told.append(True)
        click.echo()  # the stage's name stands before it

    with tempfile.TemporaryDirectory(prefix="hbac-live-") as outer, LiveLines(on_stay=new_line) as live:
        lines = Path(outer) / "lines"
        _work(stage, parameters, running, folder, lines, lambda: live.show(noted_lines(lines)))
    return bool(told)


def _work(
    stage: Stage, parameters: Mapping[str, Any], running: Path, folder: Path, lines: Path, look: Callable[[], None]
) -> None:
    """Run the notebook in a thread: this one gets the signals, which papermill would take for the kernel's death."""
    import papermill
    from jupyter_core.utils import ensure_event_loop

    bar = {"desc": stage.name, "leave": False} if sys.stderr.isatty() else False
    done: Future[None] = Future()

    def work() -> None:
        loop = ensure_event_loop()  # the one that papermill's calls take in this thread; nobody else closes it
        try:
            papermill.execute_notebook(
                literal(stage.notebook.path),
                literal(running),
                parameters=dict(parameters),
                kernel_name="python3",
                progress_bar=bar,
                cwd=str(folder),
                start_timeout=300,  # a slow disk, a first start
                extra_arguments=["--log-level=ERROR"],  # a kernel on this machine need not warn of plain sockets
                kernel_manager_class=_kernel_manager({LIVE_FILE: str(lines)}),
            )
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        finally:
            loop.close()

    here = os.getcwd()
    thread = threading.Thread(target=work, name=stage.name, daemon=True)
    thread.start()
    try:
        while not wait([done], EVERY).done:
            look()
        look()
        done.result()
    except KeyboardInterrupt:
        logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)  # that the kernel dies now is no news
        # Looked up while it lives: what a dead kernel has started is nobody's child.
        below = processes_below(_KERNEL)
        try:
            interrupt(below[:1])
            thread.join(_SECONDS_TO_END)
        finally:
            end_processes([*below, *processes_below(_KERNEL)])
            thread.join(_SECONDS_TO_END)
            os.chdir(here)  # papermill changes it for its time
        raise
    finally:
        thread.join(_SECONDS_TO_END)


def _kernel_manager(environment: Mapping[str, str]) -> type:
    """A manager whose kernels run this very interpreter, whatever a kernel of that name on this machine starts.

    Args:
        environment: further variables.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class OwnInterpreter(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, "-m", _KERNEL, "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="Python 3", language="python", env=dict(environment))

    return OwnInterpreter


def _cell_error(stage: Stage, path: Path, error: Any) -> StageFailedError:
    """Say which cell failed and why; a traceback only where the library did not expect the error."""
    kind = getattr(errors, error.ename, None) or getattr(builtins, error.ename, None)
    # What the system refuses (a full disk, most of all) is met by every library that writes.
    expected = isinstance(kind, type) and issubclass(kind, HbacError | OSError)
    source = "\n".join(f"    {line}" for line in error.source.strip().splitlines())
    told = f"{error.ename}: {error.evalue}" if expected else str(error).strip()
    return StageFailedError(f"{stage.name} failed in cell [{error.exec_count}]:\n{source}\n{told}\nnotebook: {path}")


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
                output.text = hide(re.sub(r".*\r(?=[^\n])", "", output.text))
            elif output.output_type == "error":
                output.evalue = hide(output.evalue)
                output.traceback = [hide(line) for line in output.traceback]
        if joined:
            cell.outputs = joined
    nbformat.write(notebook, path)
