"""One fit: a network of one seed, trained on all folds but one. What it is called, made from, and leaves on disk."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hbaclib.artefacts import digest_file, digest_json, write_json
from hbaclib.errors import ArtefactError, MemoryShortage
from hbaclib.inputs.store import InputArrays
from hbaclib.models.registry import register_model
from hbaclib.schema import closed, read_json
from hbaclib.source import callable_digest, code_digest
from hbaclib.training.devices import configure, names_cpu, take_devices
from hbaclib.training.recipe import Recipe
from hbaclib.training.reports import Reporter
from hbaclib.training.trained_folder import fit_name

log = logging.getLogger(__name__)

_one_at_a_time = threading.Lock()


@closed
@dataclass(frozen=True)
class Facts:
    """How a fit was trained.

    Attributes:
        device: as this host calls it.
        process: number of the process.
        threads: threads within one operation.
        precision: numbers inside the network.
        gpus: how many GPUs the process saw.
        begin: Unix time.
        end: Unix time.
        hardware: kind of the device, such as ``Tesla T4`` or ``CPU``.
        xla: what of a step XLA compiled: ``off``, ``apply`` or ``full``.
        xla_note: why that is less than the recipe asks for; empty where it is not.
        trace_seconds: what tracing and compiling took. This and what follows are those of the process that ended the
            fit, where it was resumed; None where that is not known.
        step_seconds: median time of a step.
        images_per_second: rows of a batch in that time.
        peak_megabytes: greatest memory, MiB: of the fullest GPU, on a CPU of the process.
    """

    device: str
    process: int
    threads: int
    precision: str
    gpus: int
    begin: float
    end: float
    hardware: str = ""
    xla: str = "off"
    xla_note: str = ""
    trace_seconds: float | None = None
    step_seconds: float | None = None
    images_per_second: float | None = None
    peak_megabytes: int | None = None


@closed
@dataclass(frozen=True)
class Record:
    """What a finished fit notes of itself: its key, file name -> digest of what it left, how it was trained."""

    key: str
    outputs: dict[str, str]
    facts: Facts


@dataclass(frozen=True)
class Fit:
    """One fit of a recipe.

    Attributes:
        recipe: what is trained, and how.
        fold: the fold that is left out.
        seed: one of the recipe's seeds.
        folder: where its files go.
        data: digest of the arrays, and of pseudo-labels and trained folders where the fit uses any.
        family: the network's registry entry; it travels with the fit, so that worker processes know it.
        pseudo_labels: folder of pseudo-labels, where the recipe mixes them in.
        starts: trained folders that the network starts from, whole paths; a shipped model's name stays one.
        code: digest of the loop and of the network's own source, where the run was started; the worker processes of one
            run share it.
        working: the working folder where the run was started, which the recipe's relative paths begin from.
    """

    recipe: Recipe
    fold: int
    seed: int
    folder: Path
    data: str
    family: Any = field(default=None, compare=False)
    pseudo_labels: Path | None = field(default=None, compare=False)
    starts: tuple[str | Path, ...] = field(default=(), compare=False)
    code: str = ""
    working: Path = field(default_factory=Path.cwd, compare=False)

    def __post_init__(self) -> None:
        """Look at the code once, where the network is known."""
        if not self.code:
            network = callable_digest((self.family or self.recipe.family).features)
            object.__setattr__(self, "code", digest_json([code_digest(__name__), network]))

    @property
    def name(self) -> str:
        """Stem of the fit's file names."""
        return fit_name(self.recipe, self.fold, self.seed)

    @property
    def title(self) -> str:
        """How messages that tell of several folders call the fit."""
        return f"{self.folder.name} {self.name}"

    @property
    def key(self) -> str:
        """Digest of everything that the fit's outcome depends on, apart from the kind of device."""
        return digest_json([self.recipe.digest, self.data, self.fold, self.seed, self.code])

    def path(self, ending: str) -> Path:
        """One of the fit's files, for instance ``weights.h5``."""
        return self.folder / f"{self.name}.{ending}"

    def place(self, name: str) -> str:
        """A file or folder that the recipe names, as a whole path; what is the name of published weights stays one."""
        there = self.working / name
        return str(there) if name and there.exists() else name

    def outputs(self) -> list[Path]:
        """The files that a finished fit leaves."""
        return [self.path("weights.h5"), self.path("history.csv"), self.path("oof.parquet")]

    def finished(self) -> bool:
        """Whether the fit's files are all there, unchanged, and made from the same recipe, data and code."""
        try:
            record = self.read_record()
        except ArtefactError:
            return False
        return record.key == self.key and record.outputs == self._digests()

    def read_record(self) -> Record:
        """What the finished fit has noted of itself.

        Raises:
            ArtefactError: the fit has not finished, or its record is not readable.
        """
        return read_json(self.path("fit.json"), Record, "record of a fit", "train again")

    def record(self, facts: dict[str, Any]) -> None:
        """Mark the fit as finished."""
        write_json(self.path("fit.json"), {"key": self.key, "outputs": self._digests(), "facts": facts})

    def _digests(self) -> dict[str, str]:
        return {path.name: digest_file(path) for path in self.outputs() if path.is_file()}


def run_fit(
    fit: Fit,
    inputs: InputArrays,
    *,
    claim: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    progress: bool = True,
    deadline: float | None = None,
    rounds: int = 1,
    at_once: int = 1,
    report: Path | None = None,
) -> Fit:
    """Train one fit, or resume it where it stopped; one that is finished is left alone.

    Args:
        fit: which one.
        inputs: the stored arrays.
        claim: devices of this host of which the process takes one for itself, or all where ``devices`` are to share
            every batch; numbers are GPUs. ``HERE`` stands for the GPUs of the host that the fit runs on.
        devices: devices that share every batch (`MirroredStrategy`) where there is more than one.
        progress: show a bar with the time left.
        deadline: Unix time by which the session ends.
        rounds: fits that this process has yet to run, this one included.
        at_once: processes that train beside each other on this host, this one included.
        report: file that tells how far the fit is (see `hbaclib.training.reports`); None for none.

    Returns:
        The fit.

    Raises:
        TrainingError: the loss is not a number; the batch's ids lie in ``<fit>.nan.csv``.
        TimeShortage: the fits would not end before the deadline, measured on the first steps.
        MemoryShortage: memory is short.
        PlatformError: no device comes free, or TensorFlow does not see the GPU.
    """
    # Precision, seeds and the device belong to the whole process: the threads of a cluster's worker take turns.
    with _one_at_a_time, Reporter(report, fit.title) if report else nullcontext() as reporter:
        if fit.finished():
            return fit
        begin, trainer, facts = open_trainer(fit, inputs, claim, devices, reporter)
        import tensorflow as tf

        try:
            trainer.run(progress, deadline, rounds, at_once)
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryShortage(
                f"{fit.name}: a step of {fit.recipe.batch} rows does not fit the memory of the device; "
                "choose a smaller batch, downsample, or a smaller model"
            ) from error
        own = {"process": os.getpid(), "begin": begin, "end": time.time()}
        fit.record({**facts, **own, **trainer.facts()})
        fit.path("checkpoint.npz").unlink(missing_ok=True)
        return fit


def open_trainer(
    fit: Fit,
    inputs: InputArrays,
    claim: tuple[str, ...],
    devices: tuple[str, ...],
    reporter: Reporter | None = None,
) -> tuple[float, Any, dict[str, Any]]:
    """Make this process ready for a fit, and build its network.

    Args:
        fit: which one.
        inputs: the stored arrays.
        claim: as for `run_fit`.
        devices: as for `run_fit`.
        reporter: told of the device and of every step.

    Returns:
        Unix time at which the device was there, the `hbaclib.training.trainer.Trainer`, and how the process is set up.

    Raises:
        PlatformError: as for `run_fit`.
    """
    device, devices = take_devices(claim, devices, str(fit.folder / fit.name))
    log.info("%s: process %d begins, device %s", fit.name, os.getpid(), device)
    if reporter is not None:
        reporter.on(device)
    facts = configure(fit.recipe, cpu=names_cpu(devices))
    from hbaclib.training.trainer import Trainer

    begin = time.time()
    if fit.family is not None and not fit.family.built_in:
        register_model(fit.recipe.backbone, **vars(fit.family))
    return begin, Trainer(fit, inputs, devices, reporter), {**facts, "device": device}
