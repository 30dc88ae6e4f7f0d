"""What the self-test's numbers are made from, and what is said of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.selftest.answers import answer
from hbaclib.selftest.inputs import EnoughError, Request, SyntheticInputs, requests, step_times
from hbaclib.selftest.measures import MEASURES, recipe_of
from hbaclib.selftest.tasks import tasks


def test_steps_are_timed_behind_the_one_that_is_compiled() -> None:
    # Two batches are read ahead at once, the third waits 30 s for the first step, the others for a step each.
    times = [0.0, 0.01, 0.02, 30.0, 30.5, 31.0, 31.5, 32.0, 32.5]
    seconds, first = step_times([Request(1, at, 4) for at in times])
    assert seconds == pytest.approx(0.5) and first == pytest.approx(30.0)


def test_inputs_note_every_request_and_end_where_they_are_told(tmp_path: Path) -> None:
    inputs = pickle.loads(pickle.dumps(SyntheticInputs(16, tmp_path / "log.txt", enough=2)))
    assert inputs.gather(np.arange(3), "both_absolute", np.float16).shape == (3, 128, 256, 8)
    assert inputs.gather(np.arange(5), "raw").shape == (5, 2000, 8)
    with pytest.raises(EnoughError):
        inputs.gather(np.arange(1))
    asked = requests(tmp_path / "log.txt")
    assert [request.rows for request in asked] == [3, 5] and asked[0].time <= asked[1].time


def test_inputs_are_the_same_for_everyone_and_balanced_over_the_folds() -> None:
    one, other = SyntheticInputs(24), SyntheticInputs(24)
    np.testing.assert_array_equal(one.gather(np.arange(24)), other.gather(np.arange(24)))
    assert one.digest == other.digest != SyntheticInputs(32).digest
    folds = one.samples["patient_id"].map(one.folds)
    assert folds.value_counts().to_dict() == {0: 12, 1: 12}
    assert one.samples[list(VOTE_COLUMNS)].sum(axis=1).to_numpy() == pytest.approx(1)
    images = one.gather(np.arange(24)).astype(np.float64)
    stripes = images.reshape(24, 8, 16, 256, 8).mean(axis=(2, 3, 4))
    np.testing.assert_array_equal(stripes.argmax(axis=1), one.classes)  # the class can be seen


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_every_measurement_has_options_that_make_a_recipe(gpus: int) -> None:
    for task in tasks(gpus):
        assert task.measure in MEASURES
        for options in [
            task.options,
            *task.options.get("networks", []),
            *map(task.options.get, ("norms", "recurrent")),
        ]:
            if options and "backbone" in options:
                way = {"xla": "off"} if options.get("xla") == "apply" else {}
                recipe = recipe_of({"epochs": 1, "steps": 2, **options, **way})
                assert recipe.backbone == options["backbone"] and not recipe.weights and recipe.folds == 2
                assert options["samples"] >= 2 * recipe.batch or not gpus or recipe.batch > 64


@pytest.mark.parametrize(
    ("name", "values", "on_gpu", "good", "words"),
    [
        ("equal", {"networks": ["a", "b"], "equal": [True, True]}, True, True, "equal: a, b"),
        ("equal", {"networks": ["a", "b"], "equal": [True, False]}, True, False, "not equal: b"),
        ("resume", {"epochs_before": 1, "equal": True}, True, True, "killed behind epoch 1, resumed, the same weights"),
        ("resume", {"epochs_before": 2, "equal": False}, False, False, "other weights"),
        ("kernels", {"fused_norms": 49, "norm_layers": 49, "fused_recurrent": 2}, True, True, "recurrent: fused"),
        ("kernels", {"fused_norms": 49, "norm_layers": 49, "fused_recurrent": 0}, True, False, "not fused"),
        ("kernels", {"fused_norms": 4, "norm_layers": 49, "fused_recurrent": 2}, True, False, "4 of 49 layers"),
        ("kernels", {"fused_norms": 4, "norm_layers": 4, "fused_recurrent": 0}, False, None, "none is here"),
        ("two_processes", {"images_per_second": [90.0, 90.0], "devices": ["0", "1"]}, True, True, "1.80 times"),
        ("two_processes", {"images_per_second": [60.0, 60.0], "devices": ["0", "1"]}, True, False, "1.20 times"),
        ("two_processes", {"images_per_second": [90.0, 90.0], "devices": ["0", "0"]}, True, False, "on GPU 0"),
        (
            "two_processes",
            {"images_per_second": [5.0, 5.0], "devices": ["", ""]},
            False,
            None,
            "no measure of two GPUs",
        ),
        ("precision", {"float32": [2.0, 1.0], "mixed_float16": [2.0, 1.01]}, True, True, "at most 1.0% apart"),
        ("precision", {"float32": [2.0, 1.0], "mixed_float16": [2.0, 1.2]}, True, False, "20.0% apart"),
        ("precision", {"float32": [2.0, 1.0], "mixed_float16": [2.0, 1.2]}, False, None, "20.0% apart"),
        ("precision", {"float32": [2.0], "mixed_float16": [float("nan")]}, True, False, "not a number"),
        (
            "devices",
            {"gpus": [], "cuda": "12.5", "cudnn": "9", "precision": "float32"},
            True,
            False,
            "though the driver",
        ),
        ("devices", {"gpus": [], "cuda": "none", "cudnn": "none", "precision": "float32"}, False, None, "on a CPU"),
    ],
)
def test_answers(name: str, values, on_gpu: bool, good: bool | None, words: str) -> None:
    found, said, _ = answer(name, values, on_gpu=on_gpu, alone=100.0)
    assert found is good and words in said


def test_a_speed_up_needs_the_speed_of_one_alone() -> None:
    values = {"images_per_second": [90.0, 90.0], "devices": ["0", "1"]}
    assert answer("two_processes", values, on_gpu=True, alone=100.0)[2] == {"speed_up": 1.8}
    assert answer("two_processes", values, on_gpu=True)[2] == {}
