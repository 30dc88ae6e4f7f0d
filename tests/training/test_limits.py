import logging
import re
import time
from types import SimpleNamespace

import pytest

from hbaclib.errors import PlatformError
from hbaclib.training.cross_validate import train
from hbaclib.training.limits import Limits, forward_passes
from hbaclib.training.trainer import Trainer
from tests.training.tiny import TinyArrays, tiny_recipe


def test_forward_passes_of_a_fit():
    recipe = tiny_recipe(batch=4, batch_norm_batches=3, tta=["left_right_swap"])
    # 9 rows are three batches; at the end each view is predicted.
    assert forward_passes(recipe, 9, batch_norm=True) == (3 + 3, 2 * 3)
    assert forward_passes(recipe, 8, batch_norm=False) == (2, 2 * 2)


def seconds_needed(caplog, **options):
    """What a run says it needs, where every step takes 3 s but the first two, which are slow."""
    caplog.clear()
    limits = Limits("fold-0", 110, 110, options.pop("rounds", 1), None, 0, 1, **options)
    with caplog.at_level(logging.INFO, "hbaclib"):
        for seconds in [100, 50, *[3] * 8]:
            limits.step(seconds)
    (minutes,) = re.findall(r"3\.00 s a step, about ([\d.]+) minutes", caplog.text)
    return 60 * float(minutes)


def test_steps_and_forward_passes_make_the_time(caplog):
    assert seconds_needed(caplog) == 100 * 3
    assert seconds_needed(caplog, passes_left=60, passes=60) == (100 + 20) * 3
    assert seconds_needed(caplog, passes_left=60, passes=90, rounds=2) == (100 + 20 + 110 + 30) * 3


def test_too_little_time():
    limits = Limits("fold-0", 110, 110, 1, time.time() + 330, 0, 1, passes_left=60, passes=60)
    with pytest.raises(PlatformError, match=r"fold-0: about 0\.10 h are needed \(3\.00 s a step\), 0\.09 h are left"):
        for _ in range(10):
            limits.step(3.0)


def test_the_end_of_an_epoch_is_no_part_of_a_step(tmp_path, monkeypatch, caplog):
    end, now = Trainer._note_epoch, 0.0

    def tick():
        nonlocal now
        now += 0.01
        return now

    def slow(*arguments):
        nonlocal now
        now += 1
        end(*arguments)

    monkeypatch.setattr(Trainer, "_note_epoch", slow)
    monkeypatch.setattr("hbaclib.training.trainer.time", SimpleNamespace(perf_counter=tick))
    recipe = tiny_recipe(stages=[{"epochs": 5, "steps": 2}])
    with caplog.at_level(logging.INFO, "hbaclib"):
        train(recipe, TinyArrays(), tmp_path, folds=[0], progress=False)
    (seconds,) = re.findall(r"fold-0: ([\d.]+) s a step", caplog.text)
    # Four ends of an epoch lie among the eight steps that are measured.
    assert float(seconds) == 0.01
