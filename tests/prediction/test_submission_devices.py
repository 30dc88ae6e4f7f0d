"""A submission on several devices, in mixed precision, within its session."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, validate_submission
from hbaclib.artefacts import write_manifest
from hbaclib.errors import DataFileError, PlatformError
from hbaclib.prediction import submission as module
from hbaclib.prediction.predictor import Predictor
from hbaclib.prediction.submission import make_submission
from tests.dataset.tiny import write_tiny
from tests.prediction.test_submission import MEMBERS, FakeMember, ensemble, submit

__all__ = ["ensemble", "submit"]  # fixtures


class InTurn:
    """Stands for joblib: the tasks one after the other, in this process."""

    def __init__(self, **options) -> None:
        assert options["backend"] == "loky"
        self.n_jobs = options["n_jobs"]

    def __call__(self, tasks) -> list:
        tasks = list(tasks)
        assert 1 < self.n_jobs >= len(tasks), "with one job joblib would compute in the process that asks"
        return [function(*arguments) for function, arguments, _ in tasks]


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers that run in this process and claim CPUs; what each of them claimed."""
    claimed: list[str] = []

    def claim(devices: tuple[str, ...], purpose: str) -> str:
        claimed.append(devices[len(claimed) % len(devices)])
        return claimed[-1]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # the workers would have their own environment
    monkeypatch.setattr(module.joblib, "Parallel", InTurn)
    monkeypatch.setattr(module, "claim_device", claim)
    monkeypatch.setattr(module, "end_idle_workers", lambda: None)
    monkeypatch.setattr(module, "_BATCH", 2)
    return claimed


@pytest.mark.parametrize("n_test", [4, 7])
def test_two_devices_share_the_rows_and_change_nothing(tmp_path, ensemble, submit, in_turn, n_test: int) -> None:
    write_tiny(tmp_path / "data", n_test=n_test)
    one = submit(tmp_path / "data", ensemble, tmp_path / "one.csv", devices=("CPU:0",))
    two = submit(tmp_path / "data", ensemble, tmp_path / "two.csv", devices=("CPU:0", "CPU:1"))
    assert in_turn == ["CPU:0", "CPU:1"] and (one.devices, two.devices) == (1, 2)
    pd.testing.assert_frame_equal(one.table, two.table, atol=1e-6)
    assert two.members == ("a", "b", "c") and two.log.empty


def test_a_few_rows_need_no_second_process(tmp_path, ensemble, submit, in_turn) -> None:
    write_tiny(tmp_path / "data", n_test=3)
    assert submit(tmp_path / "data", ensemble, tmp_path / "s.csv", devices=("CPU:0", "CPU:1")).devices == 1
    assert in_turn == []


def test_a_process_that_dies_costs_no_submission(tmp_path, ensemble, submit, in_turn, monkeypatch) -> None:
    def die(*arguments, **named) -> None:
        raise RuntimeError("a worker process was killed")

    write_tiny(tmp_path / "data", n_test=4)
    monkeypatch.setattr(module, "claim_device", die)
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", devices=("CPU:0", "CPU:1"))
    assert made.devices == 1 and made.members == ("a", "b", "c")
    assert "a worker process was killed" in made.log["message"].iloc[0]
    assert [told.rpartition(" ")[2] for told in made.log["message"]] == ["one", "CPU"], "another one was tried first"
    validate_submission(made.table, pd.read_csv(tmp_path / "data" / "test.csv"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process does about TensorFlow and the GPUs, in turn: ``off`` them, and ``rows`` that it predicts."""
    done: list[str] = []
    monkeypatch.setattr(module, "keep_off_gpus", lambda: done.append("off"))
    real = module._predict_rows
    monkeypatch.setattr(module, "_predict_rows", lambda *given: done.append("rows") or real(*given))
    return done


@pytest.mark.parametrize(
    ("devices", "n_test", "claimed"),
    [
        (("0",), 1, ["0"]), (("0",), 7, ["0"]), (("GPU-a",), 3, ["GPU-a"]),
        (("0", "1"), 1, ["0"]), (("0", "1"), 3, ["0"]), (("0", "1"), 4, ["0", "1"]), (("0", "1", "2"), 5, ["0", "1"]),
        (("CPU:0",), 7, []), ((), 7, []),
    ],
)  # fmt: skip
def test_on_a_gpu_rows_are_predicted_in_a_process_of_their_own(
    tmp_path, ensemble, submit, in_turn, here, devices, n_test, claimed
) -> None:
    write_tiny(tmp_path / "data", n_test=n_test)
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", devices=devices)
    assert in_turn == claimed and made.log.empty
    # A worker (here in turn) predicts; the process that asks does so on a CPU alone, having left the GPUs.
    assert here == (["rows"] * len(claimed) or ["off", "rows"])


@pytest.mark.parametrize("dead", [1, 2])
def test_after_a_process_that_died_no_gpu_is_touched_here(
    tmp_path, ensemble, submit, in_turn, here, monkeypatch, dead: int
) -> None:
    def die(*given) -> None:
        in_turn.append("died")
        if len(in_turn) <= dead:
            raise MemoryError
        return real(*given)

    real = module._predict_on
    monkeypatch.setattr(module, "_predict_on", die)
    write_tiny(tmp_path / "data", n_test=4)
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", devices=("0", "1"))
    assert here == (["rows"] if dead == 1 else ["off", "rows"])
    assert len(made.log) == dead and made.members == ("a", "b", "c")


@pytest.mark.parametrize(
    ("rerun", "devices", "asked"),
    [("", None, 1), ("1", None, 0), ("", ("CPU:0",), 0), ("", ("0",), 1), ("1", ("0",), 0)],
)
def test_gpus_that_tensorflow_does_not_see_are_told_but_in_the_competitions_own_run(
    tmp_path, ensemble, submit, in_turn, monkeypatch, rerun, devices, asked
) -> None:
    def refuse() -> None:
        raise PlatformError("no GPU is seen")

    monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", rerun)
    monkeypatch.setattr(module, "check_gpus_seen", refuse)
    write_tiny(tmp_path / "data", n_test=1)
    write_manifest(ensemble[0], "07_ensemble", inputs={}, parameters={}, outputs=[])

    def run() -> pd.DataFrame:
        out = tmp_path / "out" / "08_submit"
        return submit(tmp_path / "data", ensemble, out, call=module.submit_stage, devices=devices)

    if asked:
        with pytest.raises(PlatformError, match="no GPU is seen"):
            run()
        assert not (tmp_path / "out" / "submission.csv").exists()
    else:
        assert len(run()) == 1


def test_what_is_the_datas_fault_is_told_all_the_same(tmp_path, ensemble, submit, in_turn) -> None:
    write_tiny(tmp_path / "data", n_test=4)
    for file in (tmp_path / "data" / "test_spectrograms").iterdir():
        file.unlink()
    with pytest.raises(DataFileError, match="test_spectrograms: no files"):
        submit(tmp_path / "data", ensemble, tmp_path / "s.csv", devices=("CPU:0", "CPU:1"))


class SlowMember(FakeMember):
    """As long for each view as for the plain one."""

    def __init__(self, seconds: float, views: tuple[str, ...] = ("left_right_swap",)) -> None:
        super().__init__(1.0)
        self.each, self.recipe = seconds, self.recipe.override({"tta": list(views)})

    def predict(self, inputs):
        self.seconds = self.each * (1 + len(self.recipe.tta))
        return super().predict(inputs)

    def __replace__(self, **changes):
        return SlowMember(self.each, tuple(changes["recipe"].tta))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch):
    """Members of 1 s a batch and view, on a clock that they alone move."""
    monkeypatch.setattr(module, "_BATCH", 4)
    monkeypatch.setattr(module, "time", FakeMember.clock)
    monkeypatch.setattr(
        "hbaclib.prediction.ensemble_predictor.replace", lambda member, **new: member.__replace__(**new)
    )
    return {name: SlowMember(1.0) for name in "abc"}


@pytest.mark.parametrize(
    ("budget", "seconds", "members", "said"),
    [
        (100.0, 3 * 6, "abc", []),
        (14.0, 2 + 2 + 1 + 2 * 3, "abc", ["from row 0 on left out: the further views of all members"]),
        (11.5, 2 + 2 + 1 + 2 * 2, "ab", ["the further views of all members", "from row 4 on left out: c"]),
        (1.0, 2.0, "a", ["the further views", "from row 0 on left out: b, c", "class prior used from row 4 on"]),
    ],
)
def test_views_go_first_then_members_then_rows(
    tmp_path, ensemble, submit, slow, budget, seconds, members, said
) -> None:
    write_tiny(tmp_path / "data", n_test=12)
    made = submit(tmp_path / "data", ensemble, tmp_path / "s.csv", slow, time_budget_seconds=budget)
    assert made.seconds == pytest.approx(seconds) and made.members == tuple(members)
    assert len(made.log) == len(said)
    for told, words in zip(made.log["message"], said, strict=True):
        assert words in told
    validate_submission(made.table, pd.read_csv(tmp_path / "data" / "test.csv"))
    if members == "a":
        rest = made.table[list(VOTE_COLUMNS)].to_numpy()[4:]
        np.testing.assert_allclose(rest, np.tile(ensemble[1].prior, (8, 1)), atol=1e-3)


@pytest.mark.parametrize(
    ("left", "asked", "expected"),
    [(None, None, np.inf), (None, 60.0, 60.0), (2.0, None, 7200.0), (0.01, 60.0, 36.0), (-1.0, 60.0, 0.0)],
)
def test_a_submission_keeps_within_its_session(monkeypatch, left, asked, expected) -> None:
    monkeypatch.setattr(module, "submission_hours_left", lambda: left)
    assert module._budget(asked) == expected


@pytest.mark.parametrize(
    ("listed", "seen", "hidden", "expected"),
    [
        ([], [], False, "float32"),
        (["T4"], ["GPU:0"], False, "mixed_float16"),
        (["T4"], ["GPU:0"], True, "float32"),
        (["T4"], [], False, "float32"),  # TensorFlow does not see it, or is to leave it: the CPU computes
    ],
)
def test_precision_is_the_devices(monkeypatch, listed, seen, hidden, expected) -> None:
    import keras
    import tensorflow as tf

    before = keras.config.dtype_policy()
    monkeypatch.setattr(module, "accelerators", lambda: listed)
    monkeypatch.setattr(module, "cpu_is_asked_for", lambda: hidden)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: seen)
    try:
        assert module._set_precision() == expected
    finally:
        keras.config.set_dtype_policy(before)


def test_views_that_are_left_out_are_those_of_the_networks() -> None:
    from tests.training.tiny import tiny_recipe

    predictor = module.EnsemblePredictor({}, {
        "a": Predictor(tiny_recipe(tta=["left_right_swap"]), []), "b": Predictor(tiny_recipe(tta=[]), [])
    })  # fmt: skip
    assert predictor.without_views() == {"a": 1} and not predictor.members["a"].recipe.tta
    assert predictor.without_views() == {}


def test_the_fakes_are_what_they_stand_for() -> None:
    assert make_submission.__kwdefaults__["devices"] is None and set(MEMBERS) == set("abc")
