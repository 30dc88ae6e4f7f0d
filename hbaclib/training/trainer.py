"""The training loop, the only one of the library: stage by stage, epoch by epoch, step by step.

It can be killed at any moment. At the end of every epoch its whole state is stored; what happens between two such
points depends on nothing but that state and numbers drawn from (seed, fold, stage, epoch, batch), so a fit that resumes
after a kill ends with the same weights as one that was never stopped.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hbaclib.artefacts import atomic_path, write_table
from hbaclib.conventions import MANY_VOTES, OOF_COLUMNS, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.folds import audit_folds
from hbaclib.errors import TrainingError, list_some
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.inputs.pipeline import ahead_on, epoch_order, mean_prediction, training_batches
from hbaclib.inputs.store import InputArrays
from hbaclib.models.calling import inference
from hbaclib.models.registry import batch_norm_layers
from hbaclib.training.batch_norm import estimate_batch_norm
from hbaclib.training.checkpoint import Checkpoint, assign_values, load_checkpoint, values_of
from hbaclib.training.devices import current_precision, own_initial_weights, seed_everything
from hbaclib.training.dropout import seed_dropout
from hbaclib.training.fit import Fit
from hbaclib.training.limits import Limits, forward_passes, memory_of_epoch_end
from hbaclib.training.losses import vote_weights
from hbaclib.training.measured import StepTimes, begin_memory, hardware, peak_memory
from hbaclib.training.recipe import Stage
from hbaclib.training.replicas import Replicas
from hbaclib.training.reports import Reporter
from hbaclib.training.schedules import learning_rates, steps_per_epoch
from hbaclib.training.steps import TrainingStep, statistics_pass
from hbaclib.training.targets import training_targets
from hbaclib.training.warm_start import start_from
from hbaclib.training.xla import choose_xla

_DROPOUT, _BATCH_NORM, _TRIAL = 1_000_000, 1_000_001, 1_000_002


class _Part(NamedTuple):
    """A stage of the fit, the rows that it trains on, and the steps of one of its epochs."""

    stage: Stage
    rows: np.ndarray
    steps: int


class _Begun(NamedTuple):
    """A step that the device may still be computing."""

    number: int
    loss: Any
    batch: list[Any]


class Trainer:
    """The network of one fit, and the loop that trains it.

    Args:
        fit: which one.
        inputs: the stored arrays.
        devices: TensorFlow's names of the devices that share every batch; empty leaves the choice to TensorFlow.
        reporter: told of every step; None for nobody.
    """

    def __init__(
        self, fit: Fit, inputs: InputArrays, devices: tuple[str, ...], reporter: Reporter | None = None
    ) -> None:
        self.reporter, self.measuring = reporter, False
        self.fit, self.recipe, self.inputs = fit, fit.recipe, inputs
        samples = inputs.samples
        self.folds = samples["patient_id"].map(inputs.folds).to_numpy()
        self.votes = samples["n_votes"].to_numpy()
        self.truth = samples[list(VOTE_COLUMNS)].to_numpy(np.float64)
        self.targets = training_targets(fit.recipe, samples, inputs.folds, fit.fold, fit.pseudo_labels)
        self.valid = np.flatnonzero(self.folds == fit.fold)
        self.devices, self.precision = devices, current_precision()
        self.replicas = Replicas(devices, fit.recipe.batch)
        self.model = self.replicas.build(self._build)
        # Traced once, for all stages.
        self.infer, self.look = inference(self.model), statistics_pass(self.model, self.replicas)
        self.train_step = TrainingStep(self.recipe, self.model, self.replicas)
        self.times, self.xla_note = StepTimes(self.recipe.batch), ""
        self.history: list[dict[str, Any]] = []

    def _build(self) -> Any:
        fit, recipe = self.fit, self.recipe
        seed_everything(fit.seed, fit.fold)
        with own_initial_weights(fit.seed, fit.fold):
            model = recipe.build_network(fit.place(recipe.weights) or None, bn_momentum=recipe.batch_norm_momentum)
        data = self.inputs
        start_from(model, fit.starts, fit.fold, fit.seed, data.samples, data.folds, recipe=recipe)
        return model

    def rows_of(self, stage: Stage) -> np.ndarray:
        """Rows that a stage trains on."""
        return np.flatnonzero((self.folds != self.fit.fold) & (self.votes >= stage.min_votes))

    def run(self, progress: bool, deadline: float | None, rounds: int, at_once: int) -> None:
        """Train all stages, from where a stopped run left them, then write the fit's files.

        Arguments and errors as for `hbaclib.training.fit.run_fit`.
        """
        fit, recipe, model, optimizer = self.fit, self.recipe, self.model, self.train_step.optimizer
        begin_memory(self.devices)
        plan = self._plan()
        stored = load_checkpoint(fit.path("checkpoint.npz"), fit.key, self.precision)
        resumed = (stored.stage, stored.epoch) if stored else (0, 0)
        self.history = list(stored.history) if stored else []
        limits = self._limits(plan, resumed, deadline, rounds, at_once)
        self._choose_xla(plan[0], stored)
        shown = {"desc": fit.name, "unit": "step", "disable": not progress, "mininterval": 1}
        with tqdm(total=limits.total, initial=limits.total - limits.left, **shown) as bar:
            for number, (stage, rows, steps) in enumerate(plan):
                if number < resumed[0]:
                    continue
                self.train_step.reset()
                if stored and number == resumed[0]:
                    assign_values(model.variables, stored.weights)
                    assign_values(optimizer.variables, stored.optimizer)
                rates = learning_rates(stage, steps)
                weights = np.zeros(len(self.votes), np.float32)
                weights[rows] = vote_weights(self.votes[rows], stage.vote_weights)
                for epoch in range(resumed[1] if number == resumed[0] else 0, stage.epochs):
                    key = (fit.seed, fit.fold, number, epoch)
                    seed_dropout(model, (*key, _DROPOUT))
                    order = epoch_order(rows, steps, recipe.batch, key)
                    losses = np.zeros(steps)
                    begun: _Begun | None = None
                    begin = time.perf_counter()
                    for step, (_, *batch) in enumerate(self._batches(order, weights, key)):
                        optimizer.learning_rate.assign(rates[epoch, step])
                        loss = self.train_step(*self.replicas.share(*batch))
                        # One step late: who waits for a step's loss leaves a GPU idle until the next one is enqueued.
                        self._read(begun, losses, order, (number, epoch))
                        begun = _Begun(step, loss, batch)
                        if step + 1 == steps:
                            self._read(begun, losses, order, (number, epoch))
                        seconds = time.perf_counter() - begin
                        limits.step(seconds)
                        self.times.step(seconds)
                        bar.update()
                        bar.set_postfix_str(f"loss {losses[max(step - 1, 0)]:.3f}{limits.says}", refresh=False)
                        begin = time.perf_counter()
                    raw = values_of(model.variables)
                    # What is judged and kept are averaged weights, with batch-norm statistics of their own.
                    if recipe.ema:
                        optimizer.finalize_variable_values(model.trainable_variables)
                    if recipe.batch_norm_batches:
                        self.estimate_batch_norm(rows, key)
                    self._note_epoch(number, epoch, rates[epoch, -1], losses)
                    # Behind the last epoch what was finished stays: the next stage starts there, the optimizer anew.
                    if epoch + 1 < stage.epochs:
                        assign_values(model.variables, raw)
                    del raw  # as large as the network
                    self._store(number, epoch + 1)
        self._write()

    def facts(self) -> dict[str, Any]:
        """How the fit ran, for its record."""
        return {
            "hardware": hardware(self.devices),
            "xla": self.train_step.xla,
            "xla_note": self.xla_note,
            **self.times.facts(),
            "peak_megabytes": peak_memory(self.devices),
        }

    def _choose_xla(self, part: _Part, before: Checkpoint | None) -> None:
        """Decide what XLA compiles; a fit that resumes stays with what it began with, and with the reason."""
        begin = time.perf_counter()

        def batch() -> tuple[Any, ...]:
            key = (self.fit.seed, self.fit.fold, 0, 0, _TRIAL)
            order = epoch_order(part.rows, 1, self.recipe.batch, key)
            _, *tensors = next(iter(self._batches(order, np.ones(len(self.votes), np.float32), key)))
            return tuple(tensors)

        wish = before.xla if before else self.recipe.xla
        self.xla_note = choose_xla(self.train_step, wish, batch, timed=before is None)
        if before and not self.xla_note:
            self.xla_note = before.xla_note
        self.times.tracing += time.perf_counter() - begin

    def _read(self, begun: _Begun | None, losses: np.ndarray, order: np.ndarray, place: tuple[int, int]) -> None:
        """Note the loss of a step, where there is one, and stop at one that is not a number."""
        if begun is None:
            return
        step = begun.number
        losses[step] = float(begun.loss)
        if not np.isfinite(losses[step]):
            self._stop_at_nan(order[step], begun.batch[:-2], *place, step)

    def _plan(self) -> list[_Part]:
        plan = []
        for stage in self.recipe.stages:
            rows = self.rows_of(stage)
            plan.append(_Part(stage, rows, steps_per_epoch(stage, len(rows), self.recipe.batch)))
        # Asked of the rows themselves that are about to be trained on, not of the table that they should come from.
        patients = self.inputs.samples["patient_id"].to_numpy()
        trained = np.unique(np.concatenate([patients[part.rows] for part in plan]))
        audit_folds(self.inputs.samples, self.inputs.folds, {self.fit.fold: trained})
        return plan

    def _limits(
        self, plan: list[_Part], resumed: tuple[int, int], deadline: float | None, rounds: int, at_once: int
    ) -> Limits:
        epochs = [(number, epoch) for number, part in enumerate(plan) for epoch in range(part.stage.epochs)]
        left = [place for place in epochs if place >= resumed]
        each, last = forward_passes(self.recipe, len(self.valid), batch_norm=bool(batch_norm_layers(self.model)))
        return Limits(
            self.fit.name,
            sum(plan[number].steps for number, _ in left),
            sum(plan[number].steps for number, _ in epochs),
            rounds,
            deadline,
            memory_of_epoch_end(self.model, self.recipe),
            at_once,
            passes_left=each * len(left) + last,
            passes=each * len(epochs) + last,
            epochs=[plan[number].steps for number, _ in left],
            ended=len(epochs) - len(left),
            epoch_passes=(each, last),
            reporter=self.reporter,
            measuring=self.measuring,
        )

    def _batches(self, order: np.ndarray, weights: np.ndarray, key: tuple[int, ...]) -> Any:
        shapes = [tuple(part.shape[1:]) for part in self.model.inputs]
        options = {"half": True} if self.precision == "mixed_float16" else {}
        batches = training_batches(self.inputs, order, self.targets, weights, self.recipe, key, shapes, **options)
        return ahead_on(self.replicas.gpu, batches)

    def estimate_batch_norm(self, rows: np.ndarray, key: tuple[int, ...]) -> None:
        """Estimate the batch-norm statistics anew from training batches of some rows, drawn by a key of their own."""
        key = (*key, _BATCH_NORM)
        order = epoch_order(rows, self.recipe.batch_norm_batches, self.recipe.batch, key)
        batches = self._batches(order, np.zeros(len(self.votes), np.float32), key)
        estimate_batch_norm(self.model, self.look, (parts for _, *parts, _, _ in batches))

    def _note_epoch(self, number: int, epoch: int, rate: float, losses: np.ndarray) -> None:
        predictions, truth = self._predict(()), self.truth[self.valid]
        many = self.votes[self.valid] >= MANY_VOTES
        self.history.append(
            {
                "stage": number + 1,
                "epoch": epoch + 1,
                "learning_rate": float(rate),
                "loss": float(losses.mean()),
                "val_kl": _kl(truth, predictions),
                "val_kl_many_votes": _kl(truth[many], predictions[many]),
            }
        )
        write_table(self.fit.path("history.csv"), pd.DataFrame(self.history))

    def _store(self, number: int, epochs: int) -> None:
        """Write the checkpoint of so many finished epochs of a stage."""
        Checkpoint(
            key=self.fit.key,
            precision=self.precision,
            stage=number,
            epoch=epochs,
            history=self.history,
            weights=values_of(self.model.variables),
            optimizer=values_of(self.train_step.optimizer.variables),
            xla=self.train_step.xla,
            xla_note=self.xla_note,
        ).save(self.fit.path("checkpoint.npz"))

    def _predict(self, views: tuple[Any, ...]) -> np.ndarray:
        """Shares of the rows that were left out, the mean over the plain view and these."""
        rows, recipe = self.valid, dataclasses.replace(self.recipe, tta=views)
        shares = mean_prediction(
            lambda places, kind: self.inputs.gather(rows[places], kind), len(rows), recipe, [self.infer]
        )
        return shares.astype(np.float32)

    def _write(self) -> None:
        """Write the final weights, the learning curve and the out-of-fold predictions."""
        with atomic_path(self.fit.path("weights.h5")) as partial:
            self.model.save_weights(partial)
        write_table(self.fit.path("history.csv"), pd.DataFrame(self.history))
        table = self.inputs.samples.iloc[self.valid].reset_index(drop=True).assign(fold=self.fit.fold)
        table[list(PREDICTION_COLUMNS)] = self._predict(self.recipe.tta)
        write_table(self.fit.path("oof.parquet"), table[list(OOF_COLUMNS)])

    def _stop_at_nan(self, rows: np.ndarray, tensors: list[Any], number: int, epoch: int, step: int) -> None:
        parts = [tensor.numpy() for tensor in tensors]
        table = self.inputs.samples.iloc[rows][[*SAMPLE_ID, "patient_id"]].copy()
        table["finite_input"] = np.all([np.isfinite(part).reshape(len(part), -1).all(axis=1) for part in parts], axis=0)
        path = write_table(self.fit.path("nan.csv"), table)
        bad = table.loc[~table["finite_input"], "eeg_id"]
        cause = f"inputs that are not finite: eeg_id {list_some(bad)}" if len(bad) else "all inputs are finite"
        raise TrainingError(
            f"{self.fit.name}: the loss is not a number at stage {number + 1}, epoch {epoch + 1}, step {step + 1} "
            f"({cause}); the batch's ids are in {path}"
        )


def _kl(targets: np.ndarray, predictions: np.ndarray) -> float:
    return float(kl_divergence(targets, predictions)) if len(targets) else float("nan")
