"""What came of a push: states, downloads checked against their manifests, the code submission and its score."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import click

from hbaclib.artefacts import MANIFEST, read_manifest, verify
from hbaclib.errors import ArtefactError, ConfigError, PlatformError, printable
from hbaclib.files import whole_path
from hbaclib.kaggle import client
from hbaclib.kaggle import push as pushing
from hbaclib.kaggle.client import Kaggle
from hbaclib.kaggle.plan import PlannedKernel, read_plan
from hbaclib.platform import SYNTHETIC
from hbaclib.processes import replace_path
from hbaclib.report.page import write_report
from hbaclib.stages.names import SUBMIT
from hbaclib.stages.places import trained_folders
from hbaclib.suite.freshness import NOTEBOOKS
from hbaclib.suite.table import unknown

TRUTH = f"{SYNTHETIC}-truth.parquet"
BESIDE = ("submission.csv", TRUTH)
"""Files that a run has in its output folder itself; others of a kernel go to its notebook."""
SCORE_HOURS = 10.0
"""A code submission runs the notebook anew on the hidden test set, for at most 9 hours."""


def status(folder: str | Path) -> bool:
    """Print the state of every data set and kernel of a build; whether none of them has failed."""
    folder = Path(folder)
    plan = read_plan(folder)
    kaggle = Kaggle()
    rows = []
    for dataset in plan.datasets:
        state, version = kaggle.dataset(dataset.ref) or ("not pushed", 0)
        rows.append((dataset.ref, version, state, ""))
    for kernel in plan.kernels:
        version = kaggle.kernel_version(kernel.ref)
        rows.append((kernel.ref, version, *(kaggle.kernel_status(kernel.ref) if version else ("not pushed", ""))))
    width = max(len(ref) for ref, *_ in rows)
    for ref, version, state, message in rows:
        told = f"version {version}" if version else "-"
        click.echo(printable(f"{ref:<{width}}  {told:<11}  {state.lower()} {message}".rstrip()))
    return not any(state in ("failed", "deleted", *pushing.FAILED) for _, _, state, _ in rows)


def _chosen(kernels: Iterable[PlannedKernel], stages: Iterable[str]) -> list[PlannedKernel]:
    known = {kernel.name: kernel for kernel in kernels}
    wanted = list(stages) or [kernel.name for kernel in known.values() if kernel.name == kernel.stage]
    for name in wanted:
        if name not in known:
            raise unknown("stage", name, list(known))
    return [known[name] for name in wanted]


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise PlatformError(f"output file {name!r}: leads out of its folder; not downloaded")
    return path


def output(folder: str | Path, to: str | Path, stages: Iterable[str] = ()) -> None:
    """Download what kernels wrote, check every stage's files against its manifest, and write the report of all.

    Args:
        folder: what `build` made.
        to: where stages go, side by side as a run here leaves them.
        stages: names of kernels; all that make a whole stage without.

    Raises:
        PlatformError: a kernel is not complete, or a download failed.
        ArtefactError: files are missing or differ from the manifest that came with them; the stage is not kept.
    """
    plan = read_plan(folder)
    to = whole_path(to)
    kaggle = Kaggle()
    for kernel in _chosen(plan.kernels, stages):
        state, message = kaggle.kernel_status(kernel.ref)
        if state != "COMPLETE":
            raise PlatformError(f"kernel {kernel.ref}: {state.lower()} {message}".strip() + ", expected complete")
        if (to / kernel.stage / MANIFEST).is_file() and _same(kaggle, kernel, to):
            click.echo(f"{kernel.name}: unchanged")
            continue
        new = to / f".{kernel.name}.new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            files = kaggle.output_files(kernel.ref)
            with click.progressbar(files, label=kernel.name, item_show_func=lambda row: row[0] if row else "") as bar:
                for name, address in bar:
                    kaggle.download(address, new / _safe(name))
            found = [manifest.parent for manifest in sorted(new.glob(f"*/{MANIFEST}"))]
            if not found:
                raise ArtefactError(
                    f"kernel {kernel.ref}: no stage with a manifest among its {len(files)} output files"
                )
            for stage in found:
                verify(stage)
            for item in sorted(new.iterdir()):
                if item.name.startswith("."):
                    continue  # notes of the run about files of that machine
                beside = item.is_dir() or item.name in BESIDE
                replace_path(item, to / item.name if beside else to / NOTEBOOKS / f"{kernel.name}-{item.name}")
        except OSError as error:
            raise ArtefactError(f"{to}: cannot write there ({error.strerror}); expected a writable folder") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
        click.echo(f"{kernel.name}: {len(files)} files, digests agree")
    if trained_folders(to):
        truth = to / TRUTH
        page = write_report(to, truth=truth if truth.is_file() else None, title=f"Suite {plan.suite}, on Kaggle")
        click.echo(printable(f"report: {page}"))


def _same(kaggle: Kaggle, kernel: PlannedKernel, to: Path) -> bool:
    """Whether the stage here is whole and is the one that Kaggle holds, by its manifest alone."""
    address = dict(kaggle.output_files(kernel.ref)).get(f"{kernel.stage}/{MANIFEST}")
    if address is None:
        return False
    with tempfile.TemporaryDirectory() as probe:
        kaggle.download(address, Path(probe) / MANIFEST)
        try:
            return read_manifest(probe) == verify(to / kernel.stage)
        except ArtefactError:
            return False


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
