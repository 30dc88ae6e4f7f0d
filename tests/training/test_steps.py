"""One optimizer and one graph a fit; what a stage begins with; a loss that is read one step late."""

import json

import numpy as np
import pandas as pd
import pytest

from hbaclib.errors import TrainingError
from hbaclib.training import trainer
from hbaclib.training.cross_validate import train
from hbaclib.training.devices import configure
from hbaclib.training.fit import Fit
from hbaclib.training.replicas import Replicas
from hbaclib.training.steps import TrainingStep
from hbaclib.training.trainer import Trainer
from tests.training.new_every_stage import NewEveryStage
from tests.training.tiny import TinyArrays, tiny_recipe

WAYS = {
    "averaged": {},
    "clipped, decay": {"ema": 0.0, "batch_norm_batches": 0, "clip_norm": 0.5, "weight_decay": 0.05},
    "float16": {"precision": "mixed_float16", "clip_norm": 1.0},
}
FILES = ("weights.h5", "history.csv", "oof.parquet")


def files_of(folder):
    return {name: (folder / f"fold-0.{name}").read_bytes() for name in FILES}


@pytest.fixture
def made(monkeypatch):
    """The training steps of the fits that the test runs."""
    found = []
    init = TrainingStep.__init__

    def noted(self, *args):
        init(self, *args)
        found.append(self)

    monkeypatch.setattr(TrainingStep, "__init__", noted)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_stage_begins_with_the_state_of_a_new_optimizer(way, tmp_path, monkeypatch, made):
    """The same files, byte for byte, as with a new optimizer and a new graph for each stage; and one graph in all."""
    recipe = tiny_recipe(**WAYS[way])
    try:
        ours = files_of(train(recipe, TinyArrays(), tmp_path / "ours", folds=[0], progress=False))
        assert [step.traces for step in made] == [1]
        monkeypatch.setattr(trainer, "TrainingStep", NewEveryStage)
        NewEveryStage.begun = 0
        assert files_of(train(recipe, TinyArrays(), tmp_path / "new", folds=[0], progress=False)) == ours
        assert NewEveryStage.begun == len(recipe.stages)
        monkeypatch.setattr(NewEveryStage, "reset", lambda self: None)
        kept = files_of(train(recipe, TinyArrays(), tmp_path / "kept", folds=[0], progress=False))
        assert kept["weights.h5"] != ours["weights.h5"]  # or the test could not fail
    finally:
        configure(tiny_recipe())


def step_of(**changes):
    recipe = tiny_recipe(**changes)
    configure(recipe)
    replicas = Replicas((), recipe.batch)
    return TrainingStep(recipe, replicas.build(recipe.build_network), replicas)


def batch_of(seed=0, n=4):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, 128, 256, 8)).astype(np.float16),
        rng.dirichlet(np.ones(6), n).astype(np.float32),
        np.ones(n, np.float32),
    )


@pytest.mark.parametrize("changes", [{}, {"precision": "mixed_float16"}, {"ema": 0.0, "batch_norm_batches": 0}])
def test_reset_and_restore(changes):
    import tensorflow as tf

    try:
        step = step_of(**changes)
        new = [np.array(value) for value in step.optimizer.variables]
        tensors = [tf.constant(part) for part in batch_of()]
        before = step.state()
        for _ in range(3):
            step(*tensors)
        assert not all(map(np.array_equal, before, step.state()))
        after = step.state()
        step.reset()
        found = [np.array(value) for value in step.optimizer.variables]
        assert all(one.dtype == other.dtype for one, other in zip(new, found, strict=True))
        assert all(map(np.array_equal, new, found))
        step.restore(after)
        assert all(map(np.array_equal, after, step.state()))
        assert step.traces == 1
    finally:
        configure(tiny_recipe())


def test_the_record_tells_how_the_fit_ran(tmp_path):
    folder = train(tiny_recipe(), TinyArrays(), tmp_path, folds=[0], progress=False)
    facts = json.loads((folder / "fold-0.fit.json").read_text())["facts"]
    assert (facts["hardware"], facts["precision"], facts["xla"], facts["xla_note"]) == ("CPU", "float32", "off", "")
    assert facts["trace_seconds"] > facts["step_seconds"] > 0
    assert facts["images_per_second"] == pytest.approx(4 / facts["step_seconds"])
    assert facts["peak_megabytes"] > 100
    assert json.loads((folder / "manifest.json").read_text())["facts"]["fits"] == {"fold-0": facts}


class Late:
    """A loss that notes when it is read."""

    def __init__(self, events, number, value):
        self.events, self.number, self.value = events, number, value

    def __float__(self):
        self.events.append(("read", self.number))
        return self.value


def run_late(tmp_path, monkeypatch, value_of, **changes):
    """A fit whose steps give losses of `value_of`(number); what happened, in order."""
    events = []

    def call(self, *shares):
        number = sum(kind == "step" for kind, _ in events)
        events.append(("step", number))
        return Late(events, number, value_of(number))

    monkeypatch.setattr(TrainingStep, "__call__", call)
    recipe = tiny_recipe(**changes)
    configure(recipe)
    made = Trainer(Fit(recipe=recipe, fold=0, seed=0, folder=tmp_path, data="x"), TinyArrays(), ())
    try:
        made.run(False, None, 1, 1)
    except TrainingError as error:
        return events, made, str(error)
    return events, made, ""


def test_a_step_is_enqueued_before_the_loss_of_the_one_before_is_read(tmp_path, monkeypatch):
    events, made, _ = run_late(tmp_path, monkeypatch, lambda number: float(number), ema=0.0, batch_norm_batches=0)
    per_epoch = [6, 6, 2, 2]
    expected, first = [], 0
    for n in per_epoch:
        numbers = list(range(first, first + n))
        expected.append(("step", first))
        for number in numbers[1:]:
            expected += [("step", number), ("read", number - 1)]
        expected.append(("read", numbers[-1]))  # before the epoch is judged
        first += n
    assert events == expected
    losses = [np.mean(range(sum(per_epoch[:k]), sum(per_epoch[: k + 1]))) for k in range(4)]
    assert [row["loss"] for row in made.history] == losses


@pytest.mark.parametrize(
    ("bad", "value"), [(0, np.nan), (4, np.inf), (5, np.nan), (6, -np.inf), (11, np.nan), (12, np.nan), (15, np.inf)]
)
def test_a_loss_that_is_no_number_is_found_at_its_own_step(bad, value, tmp_path, monkeypatch):
    """In the first, a middle and the last step of an epoch, of the first stage and of the second."""
    batches = []
    share = Replicas.share

    def noted(self, *tensors):
        batches.append(tensors[0].numpy())
        return share(self, *tensors)

    monkeypatch.setattr(Replicas, "share", noted)
    _, made, message = run_late(
        tmp_path,
        monkeypatch,
        lambda number: value if number == bad else 1.0,
        ema=0.0,
        batch_norm_batches=0,
        augmentation={},
    )
    starts = [0, 6, 12, 14]
    place = max(k for k in range(4) if starts[k] <= bad)
    assert f"stage {place // 2 + 1}, epoch {place % 2 + 1}, step {bad - starts[place] + 1} " in message
    table = pd.read_csv(tmp_path / "fold-0.nan.csv")
    rows = made.inputs.samples.set_index("eeg_id").index.get_indexer(table["eeg_id"])
    np.testing.assert_array_equal(made.inputs.images[rows], batches[bad])
    assert table["finite_input"].all()


def test_batches_stay_on_a_cpu():
    assert Replicas((), 4).gpu == "" and Replicas(("CPU:0",), 4).gpu == ""
