"""All networks of a notebook, trained by one plan: their fits share the devices and the hours of the session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hbaclib.compat.keras_settings import check_keras
from hbaclib.errors import ArtefactError, TrainingError, list_some
from hbaclib.inputs.store import InputArrays
from hbaclib.models.registry import register_model
from hbaclib.prediction.pseudo_labels import made_labels, make_pseudo_labels
from hbaclib.prediction.rounds import round_folders
from hbaclib.stages.names import FIRST_ROUND
from hbaclib.training.children import Children, children
from hbaclib.training.cross_validate import choose_here
from hbaclib.training.devices import names_cpu, take_devices
from hbaclib.training.fit import Fit
from hbaclib.training.pace import Pace, measure
from hbaclib.training.plan import NO_TIME, Call, Job, fitting, lay_out, seconds_of
from hbaclib.training.pool import FAILED, FINISHED, LEFT_OUT, Outcome
from hbaclib.training.recipe import Recipe
from hbaclib.training.reports import Reporter, duration
from hbaclib.training.stage import TrainingStage

LABELS = "labels"
"""How a plan calls the making of pseudo-labels between two rounds."""
OUTCOME_COLUMNS = ("network", "fit", "state", "device", "begin", "end", "note")


@dataclass(frozen=True)
class Trained:
    """What became of a plan.

    Attributes:
        table: one row for each thing that was due, in the plan's order: network (its folder's name), fit, state
            (``finished``, ``failed`` or ``left out``), device, begin and end (Unix times; NaN where it never began),
            note (why it is not finished).
        errors: of what failed.
    """

    table: pd.DataFrame
    errors: tuple[Exception, ...]

    @property
    def left_out(self) -> pd.DataFrame:
        """The rows that the session had no time for."""
        return self.table[self.table["state"] == LEFT_OUT]

    def raise_errors(self) -> None:
        """Tell what failed.

        Raises:
            HbacError: the error itself where there is one, else a `TrainingError` that names all.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            rows = self.table[self.table["state"] == FAILED]
            names = [f"{row.network} {row.fit} ({row.note})" for row in rows.itertuples()]
            raise TrainingError(
                f"{len(rows)} fits failed: {list_some(names)}; all others are trained, and what failed is tried again "
                "when the same is started again"
            ) from self.errors[0]


def train_networks(
    recipes: Mapping[str, Recipe],
    inputs: InputArrays,
    folders: Mapping[str, str | Path],
    *,
    folds: Iterable[int] | None = None,
    pseudo_labels: bool = True,
    progress: bool = True,
    mirrored: bool = False,
    devices: tuple[str, ...] | None = None,
    session_hours: float | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    tell: Callable[[str], None] = print,
) -> Trained:
    """Train several networks side by side, or one.

    The fits of all networks wait in one line, network by network in the order of ``recipes``, and every device takes
    the next one whose own first round is over; so the devices are busy to the end. Where the session has an end, a few
    steps of every network are measured first, and the sum is told before anything long: what does not fit is left out
    from the end of the line. What is finished is written, and the same call in another session trains the rest, with
    the same weights. A fit that fails costs only itself.

    On GPUs, and where the session has an end, each device has a process of its own. Elsewhere as many processes of this
    host as ``joblib.parallel_config(n_jobs=...)`` says, this one alone by default, or the workers of a Dask cluster
    within ``joblib.parallel_config("dask")``.

    Args:
        recipes: name -> what is trained. One with a ``pseudo_weight`` is trained in two rounds: for every fold the
            networks of the first that left this fold out make the pseudo-labels that the second trains on.
        inputs: samples, folds and arrays.
        folders: name -> the folder of the networks that count; beside it lie those of the first round and the labels
            (see `hbaclib.prediction.rounds.round_folders`).
        folds: as for `hbaclib.training.cross_validate.train`.
        pseudo_labels: False trains once, without them, whatever the recipes say.
        progress: show a bar over all epochs, and one line a device.
        mirrored: let all devices share every batch, in place of one fit a device.
        devices: as for `train`.
        session_hours: what the session has left; None for no end.
        on_epoch: as for `train`; gets the curves of the networks that are in training.
        tell: takes the lines that tell of the plan, and of what was left out.

    Returns:
        What became of it; errors of single fits are in it and not raised.

    Raises:
        HbacError: what `train` finds before it trains anything.
    """
    deadline = None if session_hours is None else time.time() + 3600 * session_hours
    chosen = None if folds is None else tuple(folds)
    check_keras()
    if isinstance(inputs, InputArrays):
        inputs.verify()
    with ExitStack() as held:
        networks = [
            _Network.open(recipe, inputs, folders[name], chosen, pseudo_labels, held)
            for name, recipe in recipes.items()
        ]
        lines = [network for network in networks if network.fits()]
        if not lines:
            return _summary({}, [])
        runtime = choose_here(sum(len(network.fits()) for network in lines), devices=devices, mirrored=mirrored)
        shown = [fit for network in lines for fit in network.fits()]
        now: list[Children] = []
        follow = None if on_epoch is None else lambda curves: on_epoch(_in_training(curves, now))
        with children(runtime, shown, here=deadline is None, progress=progress, on_epoch=follow) as running:
            now.append(running)
            if deadline is not None:
                _measure(lines, running)
            of_network = {network.name: network.jobs(running, deadline) for network in lines}
            _tell_plan(of_network, runtime.processes, deadline, tell)
            owner = {job.name: network for network in lines for job in of_network[network.name]}
            jobs = [job for own in of_network.values() for job in own]
            outcomes = running.run(jobs, deadline, lambda job, outcome: owner[job.name].over(job))
    found = _summary(outcomes, lines)
    if len(found.left_out):
        names = [f"{row.network} {row.fit}" for row in found.left_out.itertuples()]
        tell(f"{NO_TIME}{list_some(names, 20)}: start the same again, and it goes on there")
    return found


@dataclass
class _Network:
    """A network on its way through one or two rounds; its jobs are prepared when their turn has come."""

    name: str
    recipe: Recipe
    folder: Path
    first: TrainingStage
    held: ExitStack
    second: TrainingStage | None = None
    pace: Pace | None = None
    waiting: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        inputs: InputArrays,
        folder: str | Path,
        chosen: tuple[int, ...] | None,
        pseudo_labels: bool,
        held: ExitStack,
    ) -> _Network:
        folder = Path(folder).resolve()
        plain = recipe.override({"pseudo_weight": 0.0})
        if not (recipe.pseudo_weight and pseudo_labels):
            return cls(folder.name, plain, folder, _opened(held, plain, inputs, folder, chosen), held)
        before, labels = round_folders(folder)
        first = _opened(held, plain, inputs, before, chosen, kind=FIRST_ROUND)
        made = cls(folder.name, recipe, folder, first, held)
        if first.complete and made_labels([before], inputs, labels, up_to=recipe.pseudo_up_to):
            made.second = made._open_second()
        return made

    @property
    def two_rounds(self) -> bool:
        return bool(self.recipe.pseudo_weight)

    def _lacking(self) -> set[int]:
        """Chosen folds whose first round has not finished."""
        return {fit.fold for fit in self.first.fits if fit.fold in self.first.chosen and not fit.finished()}

    def _open_second(self) -> TrainingStage:
        """The second round, once its labels are there: of the folds whose first round has finished."""
        lacking = self._lacking()
        folds = [fold for fold in self.first.chosen if fold not in lacking]
        labels = round_folders(self.folder)[1]
        return _opened(self.held, self.recipe, self.first.inputs, self.folder, folds, pseudo_labels=labels)

    def _second_fits(self) -> list[Fit]:
        """Fits of the second round that are due; before its labels are there, stand-ins that have the names alone."""
        if not self.two_rounds:
            return []
        if self.second is not None:
            return [] if self.second.complete else self.second.left
        return [
            Fit(self.recipe, fold, seed, self.folder, "", self.recipe.family, code="-")
            for fold in self.first.chosen
            for seed in self.recipe.seeds
        ]

    def fits(self) -> list[Fit]:
        """All fits that are due, in their order."""
        return [*([] if self.first.complete else self.first.left), *self._second_fits()]

    def jobs(self, running: Children, deadline: float | None) -> list[Job]:
        """The network's jobs: first round, labels, second round."""
        inputs, pace = self.first.inputs, self.pace
        group = running.group(self.name, self.recipe.threads)

        def job(fit: Fit, prepare: Callable[[int], Call | None], needs: Iterable[str] = ()) -> Job:
            return Job(fit.title, prepare, group, frozenset(needs), pace.seconds(fit) if pace else 0.0)

        def train(fit: Fit) -> Callable[[int], Call]:
            return lambda device: running.fit_call(fit, inputs, device, deadline)

        def train_second(stand_in: Fit) -> Callable[[int], Call | None]:
            def prepare(device: int) -> Call | None:
                if stand_in.fold in self._lacking():
                    raise ArtefactError(f"{stand_in.title}: the first round of its fold has not finished")
                if self.second is None:
                    self.second = self._open_second()
                fit = next((fit for fit in self.second.left if fit.title == stand_in.title), None)
                return None if fit is None else running.fit_call(fit, inputs, device, deadline)

            return prepare

        first = [job(fit, train(fit)) for fit in ([] if self.first.complete else self.first.left)]
        between: list[Job] = []
        if self.two_rounds and self.second is None:
            between = [self._labels_job(running, [each.name for each in first])]
        needs = [each.name for each in between]
        second = [job(fit, train_second(fit), needs) for fit in self._second_fits()]
        self.waiting = {"first": {each.name for each in first}, "second": {each.name for each in second}}
        return [*first, *between, *second]

    def _labels_job(self, running: Children, needs: Iterable[str]) -> Job:
        before, labels = round_folders(self.folder)
        inputs, up_to = self.first.inputs, self.recipe.pseudo_up_to
        name = f"{labels.name} {LABELS}"

        def prepare(device: int) -> Call:
            if not any(fit.finished() for fit in self.first.fits):
                raise ArtefactError(f"{name}: no fold of the first round has finished")
            about = {"family": self.recipe.family, "backbone": self.recipe.backbone, "name": name}
            return _make_labels, (before, inputs, labels, up_to), about | running.options(device)

        rows = int((inputs.samples["n_votes"] <= up_to).sum()) * (self.recipe.folds - 1) * len(self.recipe.seeds)
        seconds = self.pace.seconds_of_rows(rows, self.recipe.batch) if self.pace else 0.0
        group = running.group(self.name, self.recipe.threads)
        return Job(name, prepare, group, frozenset(needs), seconds)

    def over(self, job: Job) -> None:
        """A job has come to its end: the last one of a round joins what all have left."""
        for round_, stage in (("first", self.first), ("second", self.second)):
            if job.name in self.waiting[round_]:
                self.waiting[round_].discard(job.name)
                if not self.waiting[round_] and stage is not None:
                    stage.finish()


def _opened(held: ExitStack, *arguments: Any, **options: Any) -> TrainingStage:
    """A stage, held where anything is left to do, to the end of the plan."""
    stage = TrainingStage.open(*arguments, **options)
    if not stage.complete:
        held.enter_context(stage.held())
        if not stage.left:  # the last fit had ended, and its run was stopped before it could say so
            stage.finish()
            stage = TrainingStage.open(*arguments, **options)
    return stage


def _make_labels(
    before: Path,
    inputs: InputArrays,
    labels: Path,
    up_to: int,
    *,
    family: Any,
    backbone: str,
    name: str,
    claim: tuple[str, ...],
    devices: tuple[str, ...],
    at_once: int,
    report: Path | None,
) -> None:
    """Make the pseudo-labels of a first round, in a process that trains."""
    with Reporter(report, name) if report else nullcontext() as reporter:
        device, devices = take_devices(claim, devices, str(labels))
        if reporter is not None:
            reporter.on(device)
        if not family.built_in:
            register_model(backbone, **vars(family))
        make_pseudo_labels([before], inputs, labels, up_to=up_to, cpu=names_cpu(devices))


def _measure(networks: list[_Network], running: Children) -> None:
    """Measure a few steps of every network, as many at a time as there are devices."""

    def job(network: _Network) -> Job:
        fit = (network.first.left or list(network.first.fits))[0]
        options, group = running.options, running.group(network.name, fit.recipe.threads)
        return Job(network.name, lambda device: (measure, (fit, network.first.inputs), options(device)), group)

    outcomes = running.run([job(network) for network in networks])
    for network in networks:
        # Of one that cannot be measured the fits themselves will say why.
        network.pace = outcomes[network.name].result


def _tell_plan(
    of_network: Mapping[str, list[Job]], devices: int, deadline: float | None, tell: Callable[[str], None]
) -> None:
    """Say how long all will take, and what the session has no time for, before anything long."""
    jobs = [job for own in of_network.values() for job in own]
    fits = sum(not job.name.endswith(f" {LABELS}") for job in jobs)
    what = f"{fits} fits, {f'{devices} at a time' if devices > 1 else 'one after the other'}"
    if deadline is None:
        tell(what)
        return
    left = deadline - time.time()
    whole, kept = seconds_of(lay_out(jobs, devices)), fitting(jobs, devices, left)
    tell(f"{what}: {duration(whole)}, measured on a few steps of each network; the session has {duration(left)} left")
    for name, own in of_network.items():
        tell(f"  {name}: {len(own)} of up to {duration(max(job.seconds for job in own))}")
    if len(kept) < len(jobs):
        names = [job.name for job in jobs[len(kept) :]]
        tell(f"the session has no time for the last {len(names)} of them: {list_some(names, 20)}")


def _in_training(curves: pd.DataFrame, running: list[Children]) -> pd.DataFrame:
    """The learning curves of the networks that are in training now, or all where none is."""
    names = {name.partition(" ")[0] for each in running for name in each.at_work()}
    own = curves[curves["fold"].map(lambda title: title.partition(" ")[0] in names)]
    return own if len(own) else curves


def _summary(outcomes: Mapping[str, Outcome], networks: list[_Network]) -> Trained:
    places = {fit.title: fit for network in networks for fit in network.first.fits}
    places |= {fit.title: fit for network in networks if network.second for fit in network.second.fits}
    rows = []
    for name, outcome in outcomes.items():
        folder, _, fit = name.partition(" ")
        ran = outcome.attempts > 0
        device = ""
        if ran and outcome.state == FINISHED and name in places:
            device = places[name].read_record().facts.device
        times = (outcome.begin, outcome.end) if ran else (float("nan"), float("nan"))
        rows.append((folder, fit, outcome.state, device, *times, outcome.reason))
    errors = tuple(each.error for each in outcomes.values() if each.state == FAILED and each.error is not None)
    return Trained(pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS)), errors)
