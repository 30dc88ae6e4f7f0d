"""What XLA compiles, and that nothing is harmed where it refuses; on a CPU, which stands in for a GPU."""

import json
import logging
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from hbaclib import register_model
from hbaclib.errors import ConfigError
from hbaclib.training import xla
from hbaclib.training.checkpoint import Checkpoint
from hbaclib.training.cross_validate import train
from hbaclib.training.devices import configure
from hbaclib.training.recipe import Recipe, load_recipe
from hbaclib.training.replicas import Replicas, make_strategy
from hbaclib.training.steps import TrainingStep
from hbaclib.training.xla import choose_xla, pooled, uses_xla
from tests.training.tiny import TinyArrays, tiny_recipe

ERRORS = tf.errors
REFUSALS = [
    ERRORS.UnimplementedError(None, None, "deterministic\nand more"),
    ERRORS.InvalidArgumentError(None, None, "not compilable"),
    ERRORS.ResourceExhaustedError(None, None, "out of memory while compiling"),
    ERRORS.UnknownError(None, None, "who knows"),
    ERRORS.AbortedError(None, None, "autotuning"),
    ERRORS.NotFoundError(None, None, "no libdevice"),
    ERRORS.InternalError(None, None, "ptxas"),
    ERRORS.FailedPreconditionError(None, None, "not ready"),
    ERRORS.DeadlineExceededError(None, None, "too long"),
    ERRORS.UnavailableError(None, None, "away"),
    ERRORS.CancelledError(None, None, "cancelled"),
    ERRORS.PermissionDeniedError(None, None, "no cache"),
    NotImplementedError("a gradient"),
    ValueError("a shape"),
    RuntimeError(""),
]


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(xla, "_has_gpu", lambda: True)
    yield
    configure(tiny_recipe())


def told(caplog):
    """What the library itself logged: on Python 3.13 AutoGraph has a word of its own to say.

    That TensorFlow had started with other threads depends on the tests before, and is none of it.
    """
    records = [record for record in caplog.records if record.name.startswith("hbaclib")]
    return [record.message for record in records if record.name != "hbaclib.training.devices"]


def batch(n=4):
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((n, 128, 256, 8)), rng.dirichlet(np.ones(6), n), np.ones(n)
    return tuple(tf.constant(part, tf.float32) for part in parts)


def never():
    raise AssertionError("no trial is needed")


SHORT = {"stages": [{"epochs": 2, "steps": 1}], "ema": 0.0, "batch_norm_batches": 0, "model_options": {"drop": 0.0}}


def step_of(**changes):
    recipe = tiny_recipe(**changes)
    configure(recipe)
    replicas = Replicas((), recipe.batch)
    return TrainingStep(recipe, replicas.build(recipe.build_network), replicas)


@pytest.fixture(scope="module")
def plain_step():
    return step_of()


@pytest.mark.parametrize("wish", ["apply", "full"])
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: f"{type(error).__name__}")
def test_a_refusal_in_the_middle_of_a_step_changes_nothing(wish, error, plain_step, monkeypatch, caplog):
    """Batch norm and the weights have moved when the stand-in raises."""
    plain, graph = plain_step.graph("off"), TrainingStep.graph

    def refuse(*tensors):
        plain(*tensors)
        raise error

    monkeypatch.setattr(TrainingStep, "graph", lambda self, way: graph(self, way) if way == "off" else refuse)
    before = plain_step.state()
    note = choose_xla(plain_step, wish, batch)
    assert all(map(np.array_equal, before, plain_step.state())) and plain_step.xla == "off"
    reason = (str(error) or type(error).__name__).splitlines()[0]
    assert note == f"XLA cannot compile this network, which runs without it: {reason}"
    assert told(caplog) == [note] and "\n" not in note
    before = plain_step.state()
    plain_step(*batch())
    assert not all(map(np.array_equal, before, plain_step.state()))  # it does train


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_what_is_no_refusal_passes(error, plain_step, monkeypatch):
    def stop(*tensors):
        raise error

    monkeypatch.setattr(TrainingStep, "graph", lambda self, way: stop)
    before = plain_step.state()
    with pytest.raises(type(error)):
        choose_xla(plain_step, "apply", batch)
    assert all(map(np.array_equal, before, plain_step.state()))


def test_memory_that_the_plain_step_lacks_is_no_word_of_xlas(plain_step, monkeypatch):
    def full(*tensors):
        raise ERRORS.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(TrainingStep, "graph", lambda self, way: full)
    with pytest.raises(ERRORS.ResourceExhaustedError):
        choose_xla(plain_step, "full", batch)


@pytest.mark.parametrize(("within", "chosen"), [(0.09, "full"), (0.1, "off"), (0.8, "off")])
def test_a_whole_step_is_compiled_only_where_that_is_faster(within, chosen, plain_step, monkeypatch, caplog):
    asked = []

    def seconds(step, tensors):
        asked.append(step.xla)
        return {"off": 0.1, "full": within}[step.xla]

    monkeypatch.setattr(xla, "seconds_a_step", seconds)
    note = choose_xla(plain_step, "full", batch)
    assert (plain_step.xla, asked) == (chosen, ["off", "full"])
    slower = f"XLA makes no step faster ({within:.3f} s with it, 0.100 s without); this fit runs without it"
    assert note == ("" if chosen == "full" else slower) and told(caplog) == [note] * bool(note)


def test_ten_steps_are_timed_behind_two():
    made = []
    assert xla.seconds_a_step(lambda *tensors: made.append(tensors) or 1.0, (1,)) >= 0
    assert made == [(1,)] * 12


def test_nothing_is_tried_where_nothing_is_wished_for(plain_step, caplog):
    assert choose_xla(plain_step, "off", never) == "" and plain_step.xla == "off"
    assert not told(caplog)


@pytest.mark.parametrize("wish", ["apply", "full"])
@pytest.mark.parametrize("where", ["cpu", "one device", "mirrored"])
def test_nothing_is_tried_but_on_one_gpu(where, wish, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    strategy = make_strategy(("CPU:0",)) if where == "one device" else make_strategy()
    if where == "cpu":
        monkeypatch.setattr(xla, "_has_gpu", lambda: False)
    elif where == "mirrored":
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    step = SimpleNamespace(xla="", replicas=SimpleNamespace(strategy=strategy))
    caplog.clear()
    note = choose_xla(step, wish, never)
    assert step.xla == "off" and told(caplog) == [note] == ["XLA is for a single GPU; this fit runs without it"]


def test_xla_is_for_one_gpu_alone(monkeypatch):
    assert uses_xla(make_strategy())
    one = make_strategy(("CPU:0",), 4)
    assert not uses_xla(one)
    with one.scope():
        assert not uses_xla(tf.distribute.get_strategy())
    monkeypatch.undo()
    assert not uses_xla(make_strategy())  # a CPU


def pooling_features(shape, *, dimensions=2, **options):
    given = keras.Input(shape)
    x = keras.layers.Dense(4)(keras.layers.AveragePooling2D(32)(given))
    if dimensions == 1:
        x = keras.layers.Reshape((-1, 4))(x)
    x = (keras.layers.MaxPooling2D if dimensions == 2 else keras.layers.MaxPooling1D)(2)(x)
    return keras.Model(given, keras.layers.Flatten()(x))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_max_pooling_is_known_before_anything_is_compiled(dimensions, monkeypatch, caplog):
    """And XLA does refuse it: when that ends, the short way is not needed any more."""
    register_model("pooling", pooling_features)
    made = step_of(**{**SHORT, "backbone": "pooling", "model_options": {"dimensions": dimensions}})
    with pytest.raises(ERRORS.OpError, match="MaxPool gradient ops do not yet have a deterministic XLA"):
        made.graph("full")(*batch())
    made.drop("full")
    monkeypatch.setattr(xla, "seconds_a_step", lambda step, tensors: {"off": 1.0}[step.xla])
    note = choose_xla(made, "full", batch)
    assert note == "XLA cannot compile max pooling repeatably; this fit runs without it" and made.xla == "off"
    assert told(caplog) == [note] and made.traces == 1
    assert choose_xla(made, "apply", batch) == ""  # which has no part in the pooling


def test_graphs_without_max_pooling(plain_step):
    assert not pooled(plain_step.graph("off").get_concrete_function(*batch()).graph)


def strings(shape):
    given = keras.Input(shape)

    class Words(keras.layers.Layer):
        def call(self, x):
            return x + tf.stop_gradient(tf.strings.to_number(tf.strings.as_string(tf.reduce_sum(x))))

    x = keras.layers.BatchNormalization()(keras.layers.AveragePooling2D(32)(given))
    return keras.Model(given, keras.layers.Flatten()(Words()(x)))


def test_what_xla_itself_cannot_compile_runs_without_it(tmp_path, monkeypatch, caplog):
    """A fit ends with the weights, byte for byte, of one that never asked for XLA."""
    register_model("strings", strings)
    recipe = tiny_recipe(**{**SHORT, "backbone": "strings", "model_options": {}})
    plain = train(recipe, TinyArrays(), tmp_path / "plain", folds=[0], progress=False)
    full = train(recipe.override({"xla": "full"}), TinyArrays(), tmp_path / "full", folds=[0], progress=False)
    assert (plain / "fold-0.weights.h5").read_bytes() == (full / "fold-0.weights.h5").read_bytes()
    assert sum("XLA cannot compile this network" in line for line in told(caplog)) == 1
    assert '"xla": "off"' in (full / "fold-0.fit.json").read_text()
    assert "XLA cannot compile" in (full / "fold-0.fit.json").read_text()


@pytest.mark.parametrize(
    "changes", [{"weight_decay": 0.1}, {"precision": "mixed_float16"}, {"ema": 0.9, "batch_norm_batches": 1}]
)
def test_steps_by_xla_are_the_plain_ones(changes):
    """Dropout draws differ in a whole step by XLA, so this network has none."""
    step = step_of(**{**SHORT, "clip_norm": 1.0, **changes})
    before, ends, losses = step.state(), {}, {}
    for way in ("off", "apply", "full", "apply again"):
        step.restore(before)
        step.xla = way.partition(" ")[0]
        losses[way] = [float(step(*batch())) for _ in range(4)]
        ends[way] = step.state()
    assert losses["off"][0] > losses["off"][-1] and step.traces == 3
    for way in ("apply", "full"):
        np.testing.assert_allclose(losses[way], losses["off"], rtol=2e-2 if "precision" in changes else 1e-4)
        moved = [np.abs(one - other).max() for one, other in zip(ends["off"], before, strict=True)]
        assert max(moved) > 1e-3
        if "precision" not in changes:
            for one, other in zip(ends["off"], ends[way], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3)
    assert all(map(np.array_equal, ends["apply"], ends["apply again"]))


def test_the_update_alone_is_compiled_where_a_fit_asks_for_it(tmp_path, caplog):
    """The trial leaves no trace: the fit's first loss is that of the plain fit."""
    losses = {}
    for way in ("off", "apply"):
        recipe = tiny_recipe(**SHORT, xla=way)
        folder = train(recipe, TinyArrays(), tmp_path / way, folds=[0], progress=False)
        losses[way] = pd.read_csv(folder / "fold-0.history.csv")["loss"].to_numpy()
        assert f'"xla": "{way}"' in (folder / "fold-0.fit.json").read_text()
    assert losses["apply"][0] == losses["off"][0]
    np.testing.assert_allclose(losses["apply"], losses["off"], rtol=1e-4)
    assert not [line for line in told(caplog) if "XLA" in line]


@pytest.mark.parametrize(
    ("stored", "asked", "reason", "now", "told"),
    [
        ("full", "full", "", "", ""),
        ("off", "apply", "XLA is for a single GPU", "", "XLA is for a single GPU"),
        ("off", "full", "XLA makes no step faster", "", "XLA makes no step faster"),
        ("apply", "full", "", "", ""),
        ("apply", "apply", "", "XLA cannot compile it here", "XLA cannot compile it here"),
    ],
)
def test_a_fit_that_resumes_stays_with_what_it_began_with(stored, asked, reason, now, told, tmp_path, monkeypatch):
    """Without timing anything anew, because that could end otherwise."""
    recipe = tiny_recipe(**SHORT, xla=asked)
    save, seen = Checkpoint.save, []

    def stop(checkpoint, path):
        save(Checkpoint(**{**vars(checkpoint), "xla": stored}), path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hbaclib.training.trainer.choose_xla", lambda *args, **options: reason)
        patch.setattr(Checkpoint, "save", stop)
        train(recipe, TinyArrays(), tmp_path, folds=[0], progress=False)

    def noted(step, wish, batch, *, timed):
        seen.append((wish, timed))
        return now

    monkeypatch.setattr("hbaclib.training.trainer.choose_xla", noted)
    train(recipe, TinyArrays(), tmp_path, folds=[0], progress=False)
    assert seen == [(stored, False)]
    assert json.loads((tmp_path / "fold-0.fit.json").read_text())["facts"]["xla_note"] == told


def test_the_recipe_says_what_xla_compiles():
    assert load_recipe("gold").xla == "off"
    values = tiny_recipe().to_dict()
    for given, meant in ((True, "full"), (False, "off"), ("apply", "apply"), ("full", "full"), ("off", "off")):
        made = Recipe.from_dict({**values, "xla": given})
        assert made.xla == meant and Recipe.from_dict(made.to_dict()) == made
        assert tiny_recipe().override({"xla": given}).xla == meant
    for wrong in ("on", "", "Full", 1, 0, None, ["apply"]):
        with pytest.raises(ConfigError, match=r"xla is .*, expected one of off, apply, full"):
            Recipe.from_dict({**values, "xla": wrong})
