"""All networks of a notebook by one plan: what runs where, in which order, and what a short session leaves out.

Fits are stand-ins that leave small files, on a made-up clock; two real networks in real processes are at the end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaclib.artefacts import read_manifest, write_table
from hbaclib.conventions import OOF_COLUMNS, PREDICTION_COLUMNS
from hbaclib.errors import PlatformError, TimeShortage, TrainingError
from hbaclib.prediction.networks import Trained, train_networks
from hbaclib.prediction.rounds import round_folders
from hbaclib.training.cross_validate import train
from hbaclib.training.fit import Fit
from hbaclib.training.pace import Pace
from hbaclib.training.plan import Call, Job
from tests.training.simulated import Simulated
from tests.training.tiny import TinyArrays, tiny_recipe

SHORT: dict[str, Any] = {
    "stages": [{"epochs": 1, "steps": 2, "rates": [1e-2]}], "ema": 0.0, "batch_norm_batches": 0, "augmentation": {},
}  # fmt: skip
FOUR = ("one", "two", "three", "four")
MINUTES = 10
"""Of a fit, as measured."""


class Machine(Simulated):
    """Two devices, and what happens on them.

    Attributes:
        at: begin of the session.
        kill: names of jobs whose process is killed the first time.
        told: what the plan has said.
    """

    def __init__(self) -> None:
        self.at = time.time()
        super().__init__(self.at)
        self.kill: set[str] = set()
        self.fail: dict[str, Exception] = {}
        self.told: list[str] = []
        self.measured: list[str] = []

    def seconds(self, job: Job) -> float:
        return job.seconds or 1e-3

    def submit(self, device: int, job: Job, call: Call) -> Future[Any]:
        error = self.fail.get(job.name)
        if job.name in self.kill:
            self.kill.discard(job.name)
            error = BrokenProcessPool("The exit codes of the workers are {SIGKILL(-9)}")
        if error is None:
            return super().submit(device, job, call)

        def raises(*arguments: Any, **named: Any) -> None:
            raise error

        return super().submit(device, job, (raises, (), {}))

    def end(self, device: int) -> None:
        """Nothing to end."""

    @property
    def fits(self) -> list[str]:
        """Names of the jobs that began, those that measure left out."""
        return [name for _, name, _ in self.log if " " in name]


def stand_in(fit: Fit, inputs: TinyArrays, **options: Any) -> Fit:
    """Leaves what a fit leaves; its weights tell what it was made from."""
    fit.path("weights.h5").write_text(fit.key)
    curve = {"stage": [1], "epoch": [1], "learning_rate": [0.1], "loss": [1.0], "val_kl": [1.0]}
    write_table(fit.path("history.csv"), pd.DataFrame(curve))
    rows = np.flatnonzero(inputs.samples["patient_id"].map(inputs.folds) == fit.fold)
    table = inputs.samples.iloc[rows].assign(fold=fit.fold)
    table[list(PREDICTION_COLUMNS)] = 1 / 6
    write_table(fit.path("oof.parquet"), table[list(OOF_COLUMNS)])
    facts = {"threads": 1, "precision": "float32", "gpus": 0, "device": "0", "process": 1, "begin": 0.0, "end": 1.0}
    fit.record(facts)
    return fit


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return set_up(monkeypatch)


def set_up(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Put the stand-ins in their places."""
    made = Machine()

    @contextmanager
    def workers() -> Iterator[Machine]:
        made.now = max(made.now, time.time())
        yield made

    def measure(fit: Fit, inputs: TinyArrays, **options: Any) -> Pace:
        made.measured.append(fit.title)
        return Pace(step=1.0, setup=60.0 * MINUTES - 2, epochs=((2,),), passes=0, last=0)

    monkeypatch.setattr("hbaclib.training.children.processes", workers)
    monkeypatch.setattr("hbaclib.training.children.Here", lambda: made)  # where one fit is left, and no GPU is here
    monkeypatch.setattr("hbaclib.training.children.run_fit", stand_in)
    monkeypatch.setattr("hbaclib.prediction.networks.measure", measure)
    monkeypatch.setattr("hbaclib.prediction.networks.take_devices", lambda claim, devices, purpose: ("0", ()))
    monkeypatch.setattr(
        "hbaclib.prediction.pseudo_labels._predict",
        lambda member, fold, inputs, rows, cpu: np.full((len(rows), 6), 1 / 6),
    )
    return made


@pytest.fixture(scope="module")
def arrays() -> TinyArrays:
    return TinyArrays(n=40, patients=10, folds=5)


def plan(
    machine: Machine,
    arrays: TinyArrays,
    out: Path,
    names: tuple[str, ...] = FOUR,
    pseudo: tuple[str, ...] = (),
    **options: Any,
) -> Trained:
    inputs = {"one": "both", "two": "eeg", "three": "kaggle", "four": "both"}
    recipes = {
        name: tiny_recipe(inputs=inputs[name], folds=5, pseudo_weight=0.5 * (name in pseudo), pseudo_up_to=5, **SHORT)
        for name in names
    }
    folders = {name: out / f"05_train_{name}" for name in names}
    given = {"devices": ("0", "1"), "progress": False, "tell": machine.told.append, **options}
    return train_networks(recipes, arrays, folders, **given)


def titles(*names: str) -> list[str]:
    return [f"05_train_{name} fold-{fold}" for name in names for fold in range(5)]


def weights(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.weights.h5"))}


def test_twenty_fits_of_four_networks_are_ten_full_rounds_and_a_killed_one_costs_only_itself(
    machine: Machine, arrays: TinyArrays, tmp_path: Path
) -> None:
    machine.kill = {"05_train_two fold-1"}
    found = plan(machine, arrays, tmp_path, session_hours=11.5)
    assert found.errors == () and len(found.left_out) == 0 and len(found.table) == 20
    # In the order of the list; the killed one once more, behind all others.
    assert machine.fits == [*titles(*FOUR), "05_train_two fold-1"]
    assert machine.measured == [f"05_train_{name} fold-0" for name in FOUR], "before anything long"
    devices = {name: [device for _, job, device in machine.log if job == name] for name in machine.fits}
    assert devices["05_train_one fold-0"] == [0] and devices["05_train_one fold-1"] == [1]
    begins = [begin for begin, name, _ in machine.log if name in machine.fits]
    assert machine.now - begins[0] == pytest.approx(11 * 60 * MINUTES)
    for name in FOUR:
        folder = tmp_path / f"05_train_{name}"
        assert read_manifest(folder).facts["folds"] == [0, 1, 2, 3, 4] and (folder / "oof.parquet").is_file()
    assert machine.told[0].startswith("20 fits, 2 at a time: 1.7 h, measured on a few steps of each network; the ses")
    assert machine.told[1] == "  05_train_one: 5 of up to 10 min"


def test_a_session_that_is_too_short_and_the_one_after_it(machine: Machine, arrays: TinyArrays, tmp_path: Path) -> None:
    whole = plan(machine, arrays, tmp_path / "whole")
    assert machine.measured == [], "without an end there is nothing to measure for"
    machine.log.clear()

    out = tmp_path / "parts"
    found = plan(machine, arrays, out, session_hours=5.6 * MINUTES / 60)
    # Five rounds: two networks are complete before others begin.
    assert machine.fits == titles("one", "two")
    assert [f"{row.network} {row.fit}" for row in found.left_out.itertuples()] == titles("three", "four")
    assert found.errors == ()
    assert any(
        line.startswith("the session has no time for the last 10 of them: 05_train_three") for line in machine.told
    )
    assert "start the same again" in machine.told[-1] and "05_train_four fold-4" in machine.told[-1]
    assert [(out / f"05_train_{name}" / "oof.parquet").is_file() for name in FOUR] == [True, True, False, False]
    assert not (out / "05_train_three" / "manifest.json").exists()

    machine.log.clear()
    again = plan(machine, arrays, out, session_hours=11.5)
    assert machine.fits == titles("three", "four") and list(again.table["state"].unique()) == ["finished"]
    assert weights(out) == weights(tmp_path / "whole") and len(whole.table) == 20

    machine.log.clear()
    assert len(plan(machine, arrays, out).table) == 0 and machine.log == []


@pytest.mark.parametrize(("hours", "finished"), [(0.0, 0), (-3.0, 0), (0.99, 0), (1.01, 2), (2.5, 4), (3.5, 6)])
def test_what_is_finished_is_written_fold_by_fold(
    machine: Machine, arrays: TinyArrays, tmp_path: Path, hours: float, finished: int
) -> None:
    found = plan(machine, arrays, tmp_path, ("one", "two"), session_hours=hours * MINUTES / 60)
    assert machine.fits == titles("one", "two")[:finished] and len(found.left_out) == 10 - finished
    made = tmp_path / "05_train_one" / "manifest.json"
    assert made.exists() == (finished > 0)
    if finished:
        assert read_manifest(made.parent).facts["folds"] == list(range(min(finished, 5)))


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ({"05_train_one fold-2": TrainingError("the loss is not a number")}, "^the loss is not a number$"),
        (
            {"05_train_one fold-2": TrainingError("NaN"), "05_train_two fold-0": PlatformError("no device")},
            r"^2 fits failed: 05_train_one fold-2 \(NaN\), 05_train_two fold-0 \(no device\); all others are trained",
        ),
        ({"05_train_two fold-4": RuntimeError("CUDA")}, "^CUDA$"),
    ],
)
def test_fits_that_fail_are_told_at_the_end(
    machine: Machine, arrays: TinyArrays, tmp_path: Path, errors: dict[str, Exception], message: str
) -> None:
    machine.fail = errors
    found = plan(machine, arrays, tmp_path, ("one", "two"))
    with pytest.raises(Exception, match=message):
        found.raise_errors()
    assert set(found.table.loc[found.table["state"] == "failed", "fit"]) == {name.split()[1] for name in errors}
    for name in ("one", "two"):
        lacking = {int(title[-1]) for title in errors if name in title}
        assert read_manifest(tmp_path / f"05_train_{name}").facts["folds"] == sorted(set(range(5)) - lacking)
    # What failed is tried again, and nothing else.
    machine.fail, before = {}, len(machine.log)
    plan(machine, arrays, tmp_path, ("one", "two")).raise_errors()
    assert {name for _, name, _ in machine.log[before:]} == set(errors)
    assert (tmp_path / "05_train_one" / "oof.parquet").is_file()


def test_a_network_that_is_slower_than_it_was_measured_is_left_out(
    machine: Machine, arrays: TinyArrays, tmp_path: Path
) -> None:
    machine.fail = {"05_train_two fold-0": TimeShortage("3 h are needed")}
    found = plan(machine, arrays, tmp_path, ("one", "two"), session_hours=11.5)
    left = found.left_out
    assert left["note"].iloc[0] == "3 h are needed" and set(left["network"]) == {"05_train_two"}
    assert found.errors == () and (tmp_path / "05_train_one" / "oof.parquet").is_file()


def test_what_cannot_be_measured_is_told_by_its_fits(machine: Machine, arrays: TinyArrays, tmp_path: Path) -> None:
    machine.fail = {"05_train_one": TrainingError("of the measuring"), "05_train_one fold-0": TrainingError("its own")}
    found = plan(machine, arrays, tmp_path, ("one", "two"), session_hours=11.5)
    assert [str(error) for error in found.errors] == ["its own"]
    assert list(found.table["state"]).count("finished") == 9


def test_second_rounds_wait_for_their_own_labels_and_no_device_waits_with_them(
    machine: Machine, arrays: TinyArrays, tmp_path: Path
) -> None:
    found = plan(machine, arrays, tmp_path, ("one", "two"), pseudo=("one",), session_hours=11.5)
    first, labels = [f"05_first_round_one fold-{fold}" for fold in range(5)], "05_pseudo_labels_one labels"
    order = machine.fits
    assert order[:5] == first and order[5] == "05_train_two fold-0", "the fifth fit's neighbour is another network's"
    assert order.index(labels) < min(order.index(title) for title in titles("one"))
    assert sorted(order) == sorted([*first, labels, *titles("one", "two")])
    before, made = round_folders(tmp_path / "05_train_one")
    assert read_manifest(tmp_path / "05_train_one").inputs["pseudo_labels"] == read_manifest(made).digest
    assert set(found.table["state"]) == {"finished"} and (before / "oof.parquet").is_file()
    # Nothing is left to do, nor is it once more after the manifest alone was lost.
    machine.log.clear()
    (tmp_path / "05_train_one" / "manifest.json").unlink()
    assert len(plan(machine, arrays, tmp_path, ("one", "two"), pseudo=("one",)).table) == 0
    assert machine.log == [] and (tmp_path / "05_train_one" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("hours", "rounds"), [(2.2, {"first"}), (5.3, {"first", "second"}), (6.3, {"first", "second"})]
)
def test_a_session_may_end_between_the_rounds(
    machine: Machine, arrays: TinyArrays, tmp_path: Path, hours: float, rounds: set[str]
) -> None:
    def run(**options: Any) -> Trained:
        return plan(machine, arrays, tmp_path / "out", ("one",), pseudo=("one",), **options)

    found = run(session_hours=hours * MINUTES / 60)
    assert len(found.left_out) and found.errors == ()
    begun = {"first" if "first" in name else "second" for name in machine.fits if "labels" not in name}
    assert begun == rounds
    done = set(machine.fits)
    machine.log.clear()
    run(session_hours=11.5).raise_errors()
    assert not {name for name in done if "fold" in name} & set(machine.fits), "nothing is trained twice"
    plan(machine, arrays, tmp_path / "whole", ("one",), pseudo=("one",))
    assert weights(tmp_path / "out") == weights(tmp_path / "whole") and len(weights(tmp_path / "out")) == 10


def test_a_fold_whose_first_round_failed_has_no_second_one(
    machine: Machine, arrays: TinyArrays, tmp_path: Path
) -> None:
    machine.fail = {"05_first_round_one fold-3": TrainingError("NaN")}
    found = plan(machine, arrays, tmp_path, ("one",), pseudo=("one",))
    failed = found.table[found.table["state"] == "failed"]
    assert list(failed["network"] + " " + failed["fit"]) == ["05_first_round_one fold-3", "05_train_one fold-3"]
    assert read_manifest(tmp_path / "05_train_one").facts["folds"] == [0, 1, 2, 4]
    machine.fail = {}
    plan(machine, arrays, tmp_path, ("one",), pseudo=("one",)).raise_errors()
    assert (tmp_path / "05_train_one" / "oof.parquet").is_file()


def test_what_was_begun_before_counts_less(machine: Machine, arrays: TinyArrays, tmp_path: Path) -> None:
    """Of a fit that resumes, the epochs that it has made are no part of the sum."""
    pace = Pace(step=2.0, setup=5.0, epochs=((10, 10), (4,)), passes=3, last=6)
    fit = Fit(tiny_recipe(), 0, 0, tmp_path, "x")
    assert pace.seconds(fit) == pytest.approx(5 + 2 * (24 + (3 * 3 + 6) / 3))
    for stage, epoch, steps, ends in [(0, 1, 14, 2), (0, 2, 4, 1), (1, 0, 4, 1), (1, 1, 0, 0)]:
        facts = f'{{"key": "{fit.key}", "stage": {stage}, "epoch": {epoch}}}'
        np.savez(fit.path("checkpoint.npz"), facts=np.array(facts))
        assert pace.seconds(fit) == pytest.approx(5 + 2 * (steps + (3 * ends + 6) / 3))
    np.savez(fit.path("checkpoint.npz"), facts=np.array('{"key": "another", "stage": 1, "epoch": 1}'))
    assert pace.seconds(fit) == pytest.approx(5 + 2 * (24 + (3 * 3 + 6) / 3))
    assert pace.seconds_of_rows(33, 4) == pytest.approx(5 + 2 * 9 / 3)


# ---- real networks in real processes ---------------------------------------------------------------------------------


class Deadly(TinyArrays):
    """Kills the process that reads it, in the middle of the first fit of a run."""

    note = ""

    def gather(self, rows: np.ndarray, inputs: str = "both", dtype: Any = np.float32) -> np.ndarray:
        if self.note and not os.path.exists(self.note):
            Path(self.note).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().gather(rows, inputs, dtype)


@pytest.mark.slow
def test_real_networks_on_two_devices_one_of_them_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The weights of a killed run are those of one that trains fit after fit in this process."""
    arrays, curves = Deadly(n=24), list[pd.DataFrame]()
    recipes = {"one": tiny_recipe(**SHORT), "two": tiny_recipe(inputs="eeg", **SHORT)}
    for name, recipe in recipes.items():
        train(recipe, arrays, tmp_path / "alone" / f"05_train_{name}", progress=False)
    arrays.note = str(tmp_path / "killed")
    monkeypatch.setattr("hbaclib.training.stage.check_training", lambda recipe, *rest: (0, 1))  # reads the arrays here
    folders = {name: tmp_path / "plan" / f"05_train_{name}" for name in recipes}
    found = train_networks(
        recipes, arrays, folders, devices=("CPU:0", "CPU:1"), progress=False, on_epoch=curves.append, tell=print
    )
    assert list(found.table["state"]) == ["finished"] * 4 and "its process was killed (SIGKILL)" in caplog.text
    assert set(found.table["device"]) == {"CPU:0", "CPU:1"}
    assert weights(tmp_path / "plan") == weights(tmp_path / "alone")
    assert {title.partition(" ")[0] for each in curves for title in each["fold"]} <= {p.name for p in folders.values()}
    facts = [json.loads(path.read_text())["facts"] for path in (tmp_path / "plan").rglob("*.fit.json")]
    assert len(facts) == 4 and os.getpid() not in {fact["process"] for fact in facts}
