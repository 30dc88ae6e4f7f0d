"""The runner, with a stand-in for the interpreter that its children run in: every kind of end is one row."""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from hbaclib.artefacts import verify, write_json
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.selftest import run as running
from hbaclib.selftest.form import PAGE, RESULTS, read_selftest
from hbaclib.selftest.run import measure, run_selftest, write_page
from hbaclib.selftest.tasks import ABOUT, FUSIONS, NETWORKS, SMALL_NETWORKS, Task, tasks
from hbaclib.training.recipe import XLA
from tests.selftest.made import made, without

SPEED = {
    "batch": 4, "precision": "float32", "images_per_second": 12.5, "seconds_a_step": 0.32,
    "seconds_to_first_step": 3.0, "peak_megabytes": None, "notes": "",
}  # fmt: skip
INTERPRETER = """#!/bin/sh
# -m hbaclib.selftest.child MEASURE OPTIONS FOLDER
echo "$3 ${CUDA_VISIBLE_DEVICES-none}" >> LOG
case "$3" in
    speed) sleep 0.2; echo 'SPEED' > "$5/result.json" ;;
    equal) echo '{"networks": ["a"], "equal": [true]}' > "$5/result.json" ;;
    hang) sleep 600 & sleep 600 ;;
    die) echo "out of memory" >&2; kill -9 $$ ;;
    torn) echo '{"batch":' > "$5/result.json" ;;
    mute) exit 3 ;;
    *) echo "first line" >&2; echo "ConfigError: it is not to be" >&2; exit 1 ;;
esac
"""
OPTIONS = {"backbone": "efficientnet_b0", "recipe": "gold", "xla": "off"}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in notes: a line for every child, with the GPUs that it saw."""
    script, log = tmp_path / "interpreter", tmp_path / "children.txt"
    script.write_text(INTERPRETER.replace("SPEED", json.dumps(SPEED)).replace("LOG", str(log)))
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(running.sys, "executable", str(script))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return log


@pytest.mark.parametrize(
    ("kind", "limit", "state", "reason"),
    [
        ("equal", 30.0, "measured", ""),
        ("fail", 30.0, "failed", "ConfigError: it is not to be"),
        ("hang", 0.6, "failed", "not ended after 1 s"),
        ("die", 30.0, "failed", "killed by signal 9; its last words: out of memory"),
        ("torn", 30.0, "failed", "exit code 0"),
        ("mute", 30.0, "failed", "exit code 3"),
    ],
)
def test_whatever_happens_to_a_child_costs_its_own_row(log: Path, kind: str, limit: float, state: str, reason: str):
    chosen = [Task(kind, kind, limit=limit, about="a question"), Task("equal", "equal", about="another")]
    found = measure(chosen, (), 5.0)
    assert (found.checks[0].state, found.checks[0].reason) == (state, reason)
    assert found.checks[1].state == "measured" and found.checks[1].good is True
    assert found.device == "cpu" and not found.machine.gpus


def test_values_that_answer_nothing_cost_their_own_row(log: Path) -> None:
    found = measure([Task("resume", "equal"), Task("equal", "equal")], (), 5.0)
    assert [row.state for row in found.checks] == ["failed", "measured"]
    assert "epochs_before" in found.checks[0].reason


def test_what_a_child_has_started_ends_with_it(log: Path) -> None:
    import psutil

    measure([Task("hang", "hang", limit=0.5)], (), 5.0)
    time.sleep(0.1)
    assert not [each for each in psutil.Process().children(recursive=True) if "sleep" in each.name()]


def test_two_gpus_have_a_process_each_and_what_runs_alone_sees_both(log: Path) -> None:
    speed = [Task(f"speed/{number}", "speed", OPTIONS) for number in range(4)]
    alone = Task("equal", "equal", alone=True)
    found = measure([*speed, alone], ("T4", "T4"), 5.0)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert lines[0] == ["equal", "none"]  # first, whatever its place
    assert sorted(where for _, where in lines[1:]) == ["0", "0", "1", "1"]
    assert [row.state for row in found.speeds] == ["measured"] * 4 and found.device == "gpu"
    assert found.speeds[0].images_per_second == 12.5 and not found.speeds[0].small


def test_the_gpus_that_the_user_has_chosen_are_used(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    measure([Task("speed/a", "speed", OPTIONS)], ("T4",), 5.0)
    assert log.read_text().split() == ["speed", "3"]


def test_without_time_rows_are_left_out_and_said_so(log: Path) -> None:
    found = measure([Task("equal", "equal", limit=100.0), Task("x", "equal", left_out="no such GPU here")], (), 0.01)
    assert [(row.state, row.reason) for row in found.checks] == [
        ("left out", "the time for the self-test was over"), ("left out", "no such GPU here")
    ]  # fmt: skip
    assert not log.exists()


def test_the_stage_is_written_whole_and_not_measured_twice(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "accelerators", lambda: [])
    told: list[str] = []
    folder = run_selftest(tmp_path / "out", minutes=5, only=["equal", "speed/wavenet"], tell=told.append)
    assert folder == tmp_path / "out" / "09_selftest" and set(verify(folder).outputs) == {RESULTS, PAGE}
    assert len(told) == 4 and told[0].startswith("speed/wavenet/off: measured in")
    found = read_selftest(folder)
    assert [row.xla for row in found.speeds] == list(XLA) and found.speeds[0].small
    assert found.speeds[1].state == "left out" and "GPU alone" in found.speeds[1].reason
    assert "Measured on a CPU." in (folder / PAGE).read_text()
    before = log.read_text()
    run_selftest(tmp_path / "out", minutes=5, only=["equal", "speed/wavenet"])
    assert log.read_text() == before
    run_selftest(tmp_path / "out", minutes=6, only=["equal"])
    assert log.read_text() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["sped"]}, "no measurement 'sped'; there are devices"),
        ({"only": ["speed/resnet50_v2"]}, "no measurement 'speed/resnet50_v2'"),
        ({"minutes": 0}, "minutes is 0, expected a number above 0"),
        ({"minutes": float("nan")}, "minutes is nan"),
    ],
)
def test_faults_of_the_user_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, message: str) -> None:
    monkeypatch.setattr(running, "accelerators", lambda: [])
    with pytest.raises(ConfigError, match=message):
        run_selftest(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_another_stages_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "09_selftest").mkdir()
    (tmp_path / "09_selftest" / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="files that hbac did not write"):
        run_selftest(tmp_path, only=["devices"])


def test_the_table_of_measurements() -> None:
    for gpus, networks in ((2, NETWORKS), (1, NETWORKS), (0, SMALL_NETWORKS)):
        found = tasks(gpus)
        names = [task.name for task in found]
        assert len(set(names)) == len(names)
        assert {task.name for task in found if not task.is_speed} == set(ABOUT)
        rows = {f"speed/{a}/{b}" for a in networks for b in XLA} | {f"speed/{a}/off" for a in FUSIONS if gpus}
        assert {task.name for task in found if task.is_speed} == rows
    # A session of a quarter of an hour: the compiled steps, which may take longest, come last.
    assert [task.name.rpartition("/")[2] for task in tasks(2)][-5:] == ["full"] * 5
    assert [task.left_out for task in tasks(1) if task.name == "two_processes"] == [
        "one GPU is here, and two are needed"
    ]


@pytest.mark.parametrize("gone", [(), ("efficientnet_b0",), tuple(NETWORKS)])
def test_the_page_shows_what_is_there(tmp_path: Path, gone: tuple[str, ...]) -> None:
    found = made()
    for name in gone:
        found = without(found, name)
    write_json(tmp_path / RESULTS, asdict(found))
    page = write_page(tmp_path).read_text()
    assert "Measured on a CPU" not in page and "Tesla T4" in page
    assert ("<b>500</b>" in page) == ("efficientnet_b0" not in gone)  # the greatest of B0's row
    assert page.count("failed: it hung") == 3 * len(gone)


def test_text_of_a_result_cannot_become_html(tmp_path: Path) -> None:
    found = without(made(), "wavenet")
    rows = [{**asdict(row), "reason": "<script>alert(1)</script>" * bool(row.reason)} for row in found.speeds]
    write_json(tmp_path / RESULTS, {**asdict(found), "speeds": rows})
    assert "<script>" not in write_page(tmp_path).read_text()


def test_results_of_another_version_are_named(tmp_path: Path) -> None:
    write_json(tmp_path / RESULTS, {**asdict(made()), "schema": 2})
    with pytest.raises(ArtefactError, match="schema"):
        read_selftest(tmp_path)


@pytest.mark.slow
def test_on_this_machine_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it with the real children, on the CPU: a row is measured, or says why it is not."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr("hbaclib.selftest.tasks._SMALL_STEPS", 4)
    folder = run_selftest(tmp_path, minutes=60)
    found = read_selftest(folder)
    states = {row.name: (row.state, row.reason) for row in found.checks}
    assert states == dict.fromkeys(ABOUT, ("measured", ""))
    for name in ("resume", "equal"):
        row = found.check(name)
        assert row is not None and row.good is True
    both = found.check("two_processes")
    assert both is not None and both.values["processes"] == 2 == len(both.values["images_per_second"])
    assert "2 processes on one CPU" in both.says and min(both.values["images_per_second"]) > 0
    rows = {(row.network, row.xla): row for row in found.speeds}
    assert set(rows) == {(network, xla) for network in SMALL_NETWORKS for xla in XLA}
    for (_, xla), row in rows.items():
        if xla == "off":
            assert (row.state, row.reason) == ("measured", "") and row.images_per_second and row.images_per_second > 0
            assert row.batch == 4 and row.precision == "float32" and row.small and row.seconds_to_first_step
        else:
            assert (row.state, row.reason) == ("left out", "XLA compiles training steps on a GPU alone")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert len((folder / PAGE).read_text()) > 5000
