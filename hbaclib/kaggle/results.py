"""What came of a push: states, downloads checked against their manifests, the code submission and its score."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import click

from hbaclib.artefacts import MANIFEST
from hbaclib.errors import ArtefactError, ConfigError, PlatformError, printable
from hbaclib.files import whole_path
from hbaclib.kaggle import client
from hbaclib.kaggle import push as pushing
from hbaclib.kaggle.again import left_out
from hbaclib.kaggle.client import Kaggle
from hbaclib.kaggle.download import TRUTH, Download
from hbaclib.kaggle.ledger import Ledger
from hbaclib.kaggle.plan import PlannedKernel, read_plan
from hbaclib.outputs import claim, refuse_inputs, refuse_inside_stage, without_new_folders
from hbaclib.report.page import write_report
from hbaclib.stages.names import SUBMIT
from hbaclib.stages.places import trained_folders
from hbaclib.suite.table import unknown

SCORE_HOURS = 10.0
"""A code submission runs the notebook anew on the hidden test set, for at most 9 hours."""


def status(folder: str | Path) -> bool:
    """Print the state of every data set and kernel of a build; whether none of them has failed."""
    folder = Path(folder)
    plan = read_plan(folder)
    kaggle = Kaggle()
    rows, short = [], list[str]()
    for dataset in plan.datasets:
        state, version = kaggle.dataset(dataset.ref) or ("not pushed", 0)
        rows.append((dataset.ref, version, state, ""))
    for kernel in plan.kernels:
        version = kaggle.kernel_version(kernel.ref)
        state, message = kaggle.kernel_status(kernel.ref) if version else ("not pushed", "")
        rows.append((kernel.ref, version, state, message))
        if state == "COMPLETE":
            short += left_out(kaggle, kernel, folder)
    width = max(len(ref) for ref, *_ in rows)
    for ref, version, state, message in rows:
        told = f"version {version}" if version else "-"
        click.echo(printable(f"{ref:<{width}}  {told:<11}  {state.lower()} {message}".rstrip()))
    for line in short:
        click.echo(line)
    return not any(state in ("failed", "deleted", *pushing.FAILED) for _, _, state, _ in rows)


def _chosen(kernels: Iterable[PlannedKernel], stages: Iterable[str]) -> list[PlannedKernel]:
    known = {kernel.name: kernel for kernel in kernels}
    wanted = list(stages) or [kernel.name for kernel in known.values() if kernel.name == kernel.stage]
    for name in wanted:
        if name not in known:
            raise unknown("stage", name, list(known))
    return [known[name] for name in wanted]


def output(folder: str | Path, to: str | Path, stages: Iterable[str] = ()) -> None:
    """Download the stages that kernels wrote, check them against their manifests, and write the report of all.

    Args:
        folder: what `build` made.
        to: where stages go, side by side as a run here leaves them. What an earlier download put there is replaced by
            what has changed; nothing else is.
        stages: names of kernels; all that make a whole stage without.

    Raises:
        PlatformError: a kernel is not complete, a download failed, or a kernel names files that lead elsewhere.
        ArtefactError: files are missing or differ from the manifest that came with them, and the stage is not kept; or
            files in the way were not put there by a download; or another process writes there.
    """
    plan = read_plan(folder)
    to = whole_path(to)
    refuse_inputs(to, [Path(folder)])
    refuse_inside_stage(to / MANIFEST)
    kaggle = Kaggle()
    with without_new_folders(to), claim(to, folder=True):
        ledger = Ledger(to)
        others = {kernel.stage for kernel in plan.kernels}
        for kernel in _chosen(plan.kernels, stages):
            state, message = kaggle.kernel_status(kernel.ref)
            if state != "COMPLETE":
                raise PlatformError(f"kernel {kernel.ref}: {state.lower()} {message}".strip() + ", expected complete")
            try:
                count = Download(kaggle, kernel, ledger, others).run()
            except OSError as error:
                raise ArtefactError(
                    f"{to}: cannot write there ({error.strerror}); expected a writable folder"
                ) from error
            click.echo(f"{kernel.name}: {f'{count} files, digests agree' if count else 'unchanged'}")
        if trained_folders(to):
            truth = to / TRUTH
            page = write_report(to, truth=truth if truth.is_file() else None, title=f"Suite {plan.suite}, on Kaggle")
            click.echo(printable(f"report: {page}"))


def submit(folder: str | Path, message: str, *, poll: float = pushing.POLL) -> tuple[str, str]:
    """Hand the submitting kernel in to its competition and wait for the score.

    Args:
        folder: what `build` made.
        message: description of the submission.
        poll: seconds between two looks.

    Returns:
        Public and private score, as Kaggle writes them; "" where it hides one.

    Raises:
        ConfigError: the suite reads no competition or has no submitting stage.
        PlatformError: the kernel is not complete, or Kaggle refused or could not score the submission.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    kernel = next((each for each in plan.kernels if each.name.startswith(SUBMIT)), None)
    if kernel is None or not plan.competition:
        raise ConfigError(f"suite {plan.suite}: nothing to submit; expected a stage {SUBMIT} and a competition")
    known = pushing.read_state(folder).get(kernel.name, {})
    if known.get("status") != "complete" or known.get("digest") != pushing.chain_digests(plan)[kernel.name]:
        raise PlatformError(f"kernel {kernel.ref}: this build of it is not complete on Kaggle; run `hbac kaggle push`")
    kaggle = Kaggle()
    number = kaggle.submit(plan.competition, kernel.ref, known["version"], message)
    click.echo(f"submission {number}: version {known['version']} of {kernel.ref}")
    began = time.monotonic()
    while True:
        state, public, private, fault = kaggle.submission(plan.competition, number)
        if state == "COMPLETE":
            return public, private
        if state == "ERROR":
            raise PlatformError(f"submission {number}: {fault or 'Kaggle could not score it'}")
        if time.monotonic() - began > SCORE_HOURS * 3600:
            raise PlatformError(
                f"submission {number}: no score after {SCORE_HOURS:g} h; look at the competition's page"
            )
        client.sleep(poll)
