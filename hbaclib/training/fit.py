"""One fit: a network of one seed, trained on all folds but one. The only training loop of the library.

The loop can be killed at any moment. At the end of every epoch its whole state is stored; what happens between two such
points depends on nothing but that state and numbers drawn from (seed, fold, stage, epoch, batch), so a fit that goes on
after a kill ends with the same weights as one that was never stopped.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hbaclib.artefacts import atomic_path, digest_file, digest_json, write_json
from hbaclib.conventions import MANY_VOTES, OOF_COLUMNS, PREDICTION_COLUMNS, SAMPLE_ID, VOTE_COLUMNS
from hbaclib.dataset.folds import audit_folds
from hbaclib.errors import MemoryShortage, TrainingError, list_some
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.inputs.pipeline import (
    Arrays,
    epoch_order,
    mean_prediction,
    training_batches,
)
from hbaclib.models.registry import all_layers, batch_norm_layers, register_model
from hbaclib.source import callable_digest, code_digest
from hbaclib.training.checkpoint import Checkpoint, assign_values, load_checkpoint, values_of
from hbaclib.training.devices import (
    HERE,
    claim_device,
    compile_step,
    configure,
    current_precision,
    held_devices,
    make_strategy,
    own_initial_weights,
    seed_everything,
    uses_xla,
    visible_gpus,
)
from hbaclib.training.limits import Limits, forward_passes, memory_of_epoch_end
from hbaclib.training.losses import kl_loss, vote_weights
from hbaclib.training.recipe import Recipe, Stage
from hbaclib.training.schedules import learning_rates, steps_per_epoch
from hbaclib.training.targets import training_labels
from hbaclib.training.trained_folder import fit_name
from hbaclib.training.warm_start import start_from

log = logging.getLogger(__name__)

_DROPOUT, _BATCH_NORM = 1_000_000, 1_000_001
_one_at_a_time = threading.Lock()


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
    def key(self) -> str:
        """Digest of everything that the fit's outcome depends on, apart from the kind of device."""
        return digest_json([self.recipe.digest, self.data, self.fold, self.seed, self.code])

    def path(self, ending: str) -> Path:
        """One of the fit's files, for instance ``weights.h5``."""
        return self.folder / f"{self.name}.{ending}"

    def place(self, given: str) -> str:
        """A file or folder that the recipe names, as a whole path; what is the name of published weights stays one."""
        there = self.working / given
        return str(there) if given and there.exists() else given

    def outputs(self) -> list[Path]:
        """The files that a finished fit leaves."""
        return [self.path("weights.h5"), self.path("history.csv"), self.path("oof.parquet")]

    def finished(self) -> bool:
        """Whether the fit's files are all there, unchanged, and made from the same recipe, data and code."""
        try:
            record = pd.read_json(self.path("fit.json"), typ="series")
        except (OSError, ValueError):
            return False
        return record.get("key") == self.key and record.get("outputs") == self._digests()

    def record(self, facts: dict[str, Any]) -> None:
        """Mark the fit as finished."""
        write_json(self.path("fit.json"), {"key": self.key, "outputs": self._digests(), "facts": facts})

    def _digests(self) -> dict[str, str]:
        return {path.name: digest_file(path) for path in self.outputs() if path.is_file()}


def run_fit(
    fit: Fit,
    inputs: Arrays,
    *,
    claim: tuple[str, ...] = (),
    devices: tuple[str, ...] = (),
    progress: bool = True,
    deadline: float | None = None,
    rounds: int = 1,
    at_once: int = 1,
) -> Fit:
    """Train one fit, or go on with it where it stopped; one that is finished is left alone.

    Args:
        fit: which one.
        inputs: the stored arrays.
        claim: devices of this host of which the process takes one for itself; numbers are GPUs. ``HERE`` stands for
            the GPUs of the host that the fit runs on.
        devices: devices that share every batch (`MirroredStrategy`) where there is more than one.
        progress: show a bar with the time left.
        deadline: Unix time by which the session ends.
        rounds: fits that this process has yet to run, this one included.
        at_once: processes that train beside each other on this host, this one included.

    Returns:
        The fit.

    Raises:
        TrainingError: the loss is not a number; the batch's ids lie in ``<fit>.nan.csv``.
        PlatformError: the fits would not end before the deadline, measured on the first steps; or memory is short.
    """
    # Precision, seeds and the device belong to the whole process: the threads of a cluster's worker take turns.
    with _one_at_a_time:
        if fit.finished():
            return fit
        claim = visible_gpus() if claim == HERE else claim
        purpose = str(fit.folder / fit.name)
        device = claim_device(claim, purpose=purpose) if claim else ", ".join(devices or held_devices()) or "default"
        log.info("%s: process %d begins, device %s", fit.name, os.getpid(), device)
        if claim and ":" not in device:
            # TensorFlow starts after this, so it sees this GPU (a number or a UUID) alone, as its number 0.
            os.environ["CUDA_VISIBLE_DEVICES"] = device
        elif claim:
            devices = (device,)
        facts = configure(fit.recipe)
        begin = time.time()
        if fit.family is not None and not fit.family.built_in:
            register_model(fit.recipe.backbone, **vars(fit.family))
        trainer = _Trainer(fit, inputs, devices)
        try:
            trainer.run(progress, deadline, rounds, at_once)
        except _out_of_memory() as error:
            raise MemoryShortage(
                f"{fit.name}: a step of {fit.recipe.batch} rows does not fit the memory of the device; "
                "choose a smaller batch, downsample, or a smaller model"
            ) from error
        fit.record({**facts, "device": device, "process": os.getpid(), "begin": begin, "end": time.time()})
        fit.path("checkpoint.npz").unlink(missing_ok=True)
        return fit


def _out_of_memory() -> type[Exception]:
    import tensorflow as tf

    return tf.errors.ResourceExhaustedError


class _Trainer:
    """The network, its optimizer and the compiled steps of one fit."""

    def __init__(self, fit: Fit, inputs: Arrays, devices: tuple[str, ...]) -> None:
        recipe = fit.recipe
        self.fit, self.recipe, self.inputs = fit, recipe, inputs
        samples = inputs.samples
        self.folds = samples["patient_id"].map(inputs.folds).to_numpy()
        self.votes = samples["n_votes"].to_numpy()
        self.targets = samples[list(VOTE_COLUMNS)].to_numpy(np.float64)
        self.valid = np.flatnonzero(self.folds == fit.fold)
        self.precision = current_precision()
        self.strategy = make_strategy(devices, recipe.batch)
        with make_strategy(devices[:1]).scope():
            self.model = self._build()
        if self.strategy.num_replicas_in_sync > 1:
            # A strategy draws other initial weights from the same seed; a fit starts from the same ones on any number
            # of devices.
            first = self.model.get_weights()
            with self.strategy.scope():
                self.model = self._build()
                self.model.set_weights(first)
        self.labels = training_labels(recipe, samples, inputs.folds, fit.fold, fit.pseudo_labels)
        self.history: list[dict[str, Any]] = []
        self._compile_forward()

    def _build(self) -> Any:
        fit, recipe = self.fit, self.recipe
        seed_everything(fit.seed, fit.fold)
        with own_initial_weights(fit.seed, fit.fold):
            model = recipe.build_network(fit.place(recipe.weights) or None, bn_momentum=recipe.batch_norm_momentum)
        if recipe.start_from:
            data, folders = self.inputs, [fit.place(path) for path in recipe.start_from]
            start_from(model, folders, fit.fold, fit.seed, data.samples, data.folds, recipe=recipe)
        return model

    def rows_of(self, stage: Stage) -> np.ndarray:
        """Rows that a stage trains on."""
        return np.flatnonzero((self.folds != self.fit.fold) & (self.votes >= stage.min_votes))

    def run(self, progress: bool, deadline: float | None, rounds: int, at_once: int) -> None:
        """Train all stages, then write the fit's files."""
        plans = [
            (stage, rows := self.rows_of(stage), steps_per_epoch(stage, len(rows), self.recipe.batch))
            for stage in self.recipe.stages
        ]
        # Asked of the rows themselves that are about to be trained on, not of the table that they should come from.
        patients = self.inputs.samples["patient_id"].to_numpy()
        trained = np.unique(np.concatenate([patients[rows] for _, rows, _ in plans]))
        audit_folds(self.inputs.samples, self.inputs.folds, {self.fit.fold: trained})
        total = sum(stage.epochs * steps for stage, _, steps in plans)
        epochs = sum(stage.epochs for stage, _, _ in plans)
        stored = load_checkpoint(self.fit.path("checkpoint.npz"), self.fit.key, self.precision)
        finished = [0] * len(plans)
        if stored is not None:
            before = [stage.epochs for stage, _, _ in plans[: stored.stage]]
            finished[: stored.stage + 1] = [*before, stored.epoch]
        done = sum(n * steps for n, (_, _, steps) in zip(finished, plans, strict=True))
        each, last = forward_passes(self.recipe, len(self.valid), batch_norm=bool(batch_norm_layers(self.model)))
        bar = tqdm(total=total, initial=done, desc=self.fit.name, unit="step", disable=not progress, mininterval=1)
        memory = memory_of_epoch_end(self.model, self.recipe)
        limits = Limits(
            self.fit.name,
            total - done,
            total,
            rounds,
            deadline,
            memory,
            at_once,
            passes_left=each * (epochs - sum(finished)) + last,
            passes=each * epochs + last,
        )
        if stored is not None:
            self.history = list(stored.history)
        with bar:
            for number, (stage, rows, steps) in enumerate(plans):
                if stored is None or number >= stored.stage:
                    resumed = stored if stored is not None and number == stored.stage else None
                    for loss, seconds in self._run_stage(number, stage, rows, steps, resumed):
                        limits.step(seconds)
                        bar.update()
                        bar.set_postfix_str(f"loss {loss:.3f}{limits.says}", refresh=False)
        self._write()

    def _run_stage(
        self, number: int, stage: Stage, rows: np.ndarray, steps: int, stored: Checkpoint | None
    ) -> Iterator[tuple[float, float]]:
        """Train one stage, epoch by epoch; yields loss and seconds of every step. The model ends with final weights."""
        recipe, fit = self.recipe, self.fit
        with self.strategy.scope():
            optimizer = _make_optimizer(recipe, self.model)
            step_function = self._compile_step(optimizer)
        if stored is not None:
            assign_values(self.model.variables, stored.weights)
            assign_values(optimizer.variables, stored.optimizer)
        rates = learning_rates(stage, steps)
        weights = np.zeros(len(self.votes), np.float32)
        weights[rows] = vote_weights(self.votes[rows], stage.vote_weights)
        shapes = [tuple(part.shape[1:]) for part in self.model.inputs]
        for epoch in range(stored.epoch if stored is not None else 0, stage.epochs):
            key = (fit.seed, fit.fold, number, epoch)
            self._seed_dropout((*key, _DROPOUT))
            order = epoch_order(rows, steps, recipe.batch, key)
            losses = np.zeros(steps)
            begin = time.perf_counter()
            for step, *batch in training_batches(self.inputs, order, self.labels, weights, recipe, key, shapes):
                step = int(step)
                optimizer.learning_rate.assign(rates[epoch, step])
                losses[step] = float(step_function(*self._share(*batch)))
                if not np.isfinite(losses[step]):
                    self._stop_at_nan(order[step], [part.numpy() for part in batch[:-2]], number, epoch, step)
                yield losses[step], time.perf_counter() - begin
                begin = time.perf_counter()
            self._end_epoch(number, stage, epoch, rows, optimizer, losses, rates)

    def _end_epoch(
        self, number: int, stage: Stage, epoch: int, rows: np.ndarray, optimizer: Any, losses: np.ndarray, rates: Any
    ) -> None:
        recipe, fit = self.recipe, self.fit
        raw = values_of(self.model.variables)
        if recipe.ema:
            optimizer.finalize_variable_values(self.model.trainable_variables)
        if recipe.batch_norm_batches:
            self._estimate_batch_norm(rows, (fit.seed, fit.fold, number, epoch))
        predictions = self._predict(self.valid, views=False)
        many = self.votes[self.valid] >= MANY_VOTES
        truth = self.targets[self.valid]
        self.history.append(
            {
                "stage": number + 1,
                "epoch": epoch + 1,
                "learning_rate": float(rates[epoch, -1]),
                "loss": float(losses.mean()),
                "val_kl": _kl(truth, predictions),
                "val_kl_many_votes": _kl(truth[many], predictions[many]),
            }
        )
        self._write_history()
        last = epoch + 1 == stage.epochs
        if not last:
            assign_values(self.model.variables, raw)
        # Behind the last epoch the averaged weights stay: the next stage starts from them, with a new optimizer.
        Checkpoint(
            key=fit.key,
            precision=self.precision,
            stage=number,
            epoch=epoch + 1,
            history=self.history,
            weights=values_of(self.model.variables),
            optimizer=values_of(optimizer.variables),
        ).save(fit.path("checkpoint.npz"))

    def _write(self) -> None:
        """Write the final weights, the learning curve and the out-of-fold predictions."""
        fit = self.fit
        with atomic_path(fit.path("weights.h5")) as partial:
            # Keras goes by the ending.
            whole = partial.with_name(partial.name.removesuffix(".h5") + ".weights.h5")
            self.model.save_weights(whole)
            whole.replace(partial)
        self._write_history()
        table = self.inputs.samples.iloc[self.valid]
        table = table[[*SAMPLE_ID, "patient_id", "n_votes", *VOTE_COLUMNS]].reset_index(drop=True)
        table["fold"] = fit.fold
        table[list(PREDICTION_COLUMNS)] = self._predict(self.valid)
        with atomic_path(fit.path("oof.parquet")) as partial:
            table[list(OOF_COLUMNS)].to_parquet(partial, index=False)

    def _write_history(self) -> None:
        with atomic_path(self.fit.path("history.csv")) as partial:
            pd.DataFrame(self.history).to_csv(partial, index=False)

    def _share(self, *tensors: Any) -> tuple[Any, ...]:
        """Cut a batch into equal shares, one a device."""
        n = self.strategy.num_replicas_in_sync
        if n == 1:
            return tensors

        def cut(tensor: Any) -> Any:
            size = tensor.shape[0] // n
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tensor[
                    context.replica_id_in_sync_group * size : (context.replica_id_in_sync_group + 1) * size
                ]
            )

        return tuple(cut(tensor) for tensor in tensors)

    def _compile_step(self, optimizer: Any) -> Any:
        import tensorflow as tf

        model, strategy, batch = self.model, self.strategy, self.recipe.batch
        several = strategy.num_replicas_in_sync > 1 and self.precision == "mixed_float16"

        def replica(*given: Any) -> Any:
            *parts, targets, weights = given
            with tf.GradientTape() as tape:
                # Over the global batch, because the devices' gradients are summed.
                loss = tf.reduce_sum(weights * kl_loss(targets, model(_alone(parts), training=True))) / batch
                scaled = optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, model.trainable_variables)
            optimizer.apply(_overflow_together(gradients) if several else gradients, model.trainable_variables)
            return loss

        def step(*given: Any) -> Any:
            losses = strategy.run(replica, args=given)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        return compile_step(step, xla=self.recipe.xla and uses_xla(strategy))

    def _compile_forward(self) -> None:
        import tensorflow as tf

        model, strategy = self.model, self.strategy

        @tf.function(jit_compile=False)
        def infer(*parts: Any) -> Any:
            return model(_alone(parts), training=False)

        @tf.function(jit_compile=False)
        def look(*parts: Any) -> Any:
            if strategy.num_replicas_in_sync > 1:
                # Under the strategy each device would keep statistics of its own share, and one device's are read back.
                return model(_alone(parts), training=True)
            return strategy.run(lambda *whole: model(_alone(whole), training=True), args=parts)

        self._infer, self._look = infer, look

    def _predict(self, rows: np.ndarray, *, views: bool = True) -> np.ndarray:
        """Shares of some rows; with the recipe's views averaged, as predictions do it, or without."""
        recipe = self.recipe if views else dataclasses.replace(self.recipe, tta=())
        shares = mean_prediction(
            lambda places, kind: self.inputs.gather(rows[places], kind), len(rows), recipe, [self._infer]
        )
        return shares.astype(np.float32)

    def _estimate_batch_norm(self, rows: np.ndarray, key: tuple[int, ...]) -> None:
        """Estimate batch-norm statistics anew: the mean over batches of the batch mean, and the pooled variance."""
        layers = batch_norm_layers(self.model)
        if not layers:
            return
        variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
        order = epoch_order(rows, self.recipe.batch_norm_batches, self.recipe.batch, (*key, _BATCH_NORM))
        sums = [np.zeros(variable.shape, np.float64) for variable in variables]
        squares = [np.zeros(variable.shape, np.float64) for variable in variables]
        left = [1 - layer.momentum for layer in layers for _ in range(2)]
        empty = np.zeros(len(self.votes), np.float32)
        shapes = [tuple(part.shape[1:]) for part in self.model.inputs]
        batches = training_batches(self.inputs, order, self.targets, empty, self.recipe, (*key, _BATCH_NORM), shapes)
        for _, *parts, _, _ in batches:
            # From zero, the moving value after one batch is (1 - momentum) times the batch's own.
            for variable in variables:
                variable.assign(np.zeros(variable.shape, np.float32))
            self._look(*parts)
            for i, value in enumerate(values_of(variables)):
                scaled = value.astype(np.float64) / left[i]
                sums[i] += scaled
                squares[i] += scaled**2
        n = len(order)
        for i in range(0, len(variables), 2):
            mean = sums[i] / n
            spread = np.maximum(squares[i] / n - mean**2, 0)
            variables[i].assign(mean.astype(np.float32))
            variables[i + 1].assign((sums[i + 1] / n + spread).astype(np.float32))

    def _seed_dropout(self, key: tuple[int, ...]) -> None:
        """Start every dropout layer's generator anew, so that a resumed epoch draws the same masks."""
        for number, layer in enumerate(all_layers(self.model)):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                seed = np.random.SeedSequence([*key, number]).generate_state(1)[0] % 2**31
                generator.state.assign(np.array([seed, 0], dtype=generator.state.dtype))

    def _stop_at_nan(self, rows: np.ndarray, parts: list[np.ndarray], stage: int, epoch: int, step: int) -> None:
        table = self.inputs.samples.iloc[rows][[*SAMPLE_ID, "patient_id"]].copy()
        table["finite_input"] = np.all([np.isfinite(part).reshape(len(part), -1).all(axis=1) for part in parts], axis=0)
        path = self.fit.path("nan.csv")
        with atomic_path(path) as partial:
            table.to_csv(partial, index=False)
        bad = table.loc[~table["finite_input"], "eeg_id"]
        cause = f"inputs that are not finite: eeg_id {list_some(bad)}" if len(bad) else "all inputs are finite"
        raise TrainingError(
            f"{self.fit.name}: the loss is not a number at stage {stage + 1}, epoch {epoch + 1}, step {step + 1} "
            f"({cause}); the batch's ids are in {path}"
        )


def _alone(parts: Any) -> Any:
    """What a network is called with: float32, and a list where it has several inputs."""
    import tensorflow as tf

    # Images come as they are stored, float16: the device widens them, not the process that reads them.
    wide = [tf.cast(part, tf.float32) for part in parts]
    return wide[0] if len(wide) == 1 else wide


def _overflow_together(gradients: list[Any]) -> list[Any]:
    """NaN on every device where one device's gradients overflow, within a strategy's replica.

    Keras skips a step of float16 that overflows, but looks at the first device's gradients alone.
    """
    import tensorflow as tf

    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
    context = tf.distribute.get_replica_context()
    overflows = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(finite, 0.0, 1.0))
    return [tf.where(overflows > 0, tf.constant(np.nan, part.dtype), part) for part in gradients]


def _make_optimizer(recipe: Recipe, model: Any) -> Any:
    import keras

    averaging = {"use_ema": True, "ema_momentum": recipe.ema, "ema_overwrite_frequency": None} if recipe.ema else {}
    optimizer: Any = keras.optimizers.Adam(weight_decay=recipe.weight_decay or None, **averaging)
    if current_precision() == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _kl(targets: np.ndarray, predictions: np.ndarray) -> float:
    return float(kl_divergence(targets, predictions)) if len(targets) else float("nan")
