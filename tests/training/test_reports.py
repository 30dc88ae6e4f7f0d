"""What a process that trains tells, and how it is shown."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from hbaclib.training.children import Children
from hbaclib.training.devices import Runtime
from hbaclib.training.limits import Limits, MeasuredError
from hbaclib.training.live import LIVE_FILE, LiveLines, noted_lines
from hbaclib.training.plan import Job
from hbaclib.training.reports import Report, Reporter, duration, read_report, told
from tests.training.simulated import Simulated


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=1000.0)
    clock = SimpleNamespace(monotonic=lambda: now.seconds, time=lambda: now.seconds)
    monkeypatch.setattr("hbaclib.training.reports.time", clock)
    monkeypatch.setattr("hbaclib.training.live.time", clock)
    return now


def test_a_report_is_there_from_the_start_and_written_every_other_second(
    tmp_path: Path, clock: SimpleNamespace
) -> None:
    path = tmp_path / "report.json"
    reporter = Reporter(path, "05_train_x fold-0")
    assert read_report(path) == Report("05_train_x fold-0", 1000.0)
    reporter.on("1")
    for number in range(10):
        clock.seconds += 1
        reporter.steps(1, 14, 5.0 + number, 60.0)
    found = read_report(path)
    assert found is not None and (found.device, found.epoch, found.epochs, found.seconds_left) == ("1", 1, 14, 60.0)
    assert found.steps_per_second == 14.0
    clock.seconds += 1.9
    reporter.steps(2, 14, 1.0, 1.0)
    assert read_report(path) == found
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_warnings_of_the_library_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    log = logging.getLogger("hbaclib.training.steps")
    with Reporter(path, "x") as reporter:
        log.warning("no XLA: %s", "a reason")
        log.warning("no XLA: a reason")
        log.info("nothing to tell")
        logging.getLogger("another").warning("of no concern")
        for number in range(50):
            log.warning("warning %d", number)
    log.warning("behind the end")
    found = read_report(path)
    assert found is not None and found.warnings[:2] == ("no XLA: a reason", "warning 0") and len(found.warnings) == 20
    assert reporter not in logging.getLogger("hbaclib").handlers


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"fit": 1}', '{"fit": "x", "begin": 0.0, "more": 1}'])
def test_a_report_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    assert read_report(tmp_path / "report.json") is None


def test_a_report_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Reporter(tmp_path / "file" / "report.json", "x") as reporter:
        reporter.on("0")
        logging.getLogger("hbaclib").warning("a warning")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "x fold-0: waits for a free device, 40 s"),
        ({"device": "0"}, "x fold-0: builds and traces the network, 40 s"),
        ({"device": "0", "epoch": 1, "epochs": 14}, "x fold-0: epoch 1 of 14"),
        (
            {"device": "0", "epoch": 3, "epochs": 14, "steps_per_second": 5.123, "seconds_left": 840.0},
            "x fold-0: epoch 3 of 14, 5.12 steps/s, 14 min left",
        ),
    ],
)
def test_reports_in_words(changes: dict[str, object], expected: str) -> None:
    assert told(Report("x fold-0", 1000.0, **changes), 1040.0) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-3, "0 s"), (0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (36_000, "10.0 h")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def limits(**options: object) -> Limits:
    return Limits("fold-0", 30, 60, 1, None, 0, 1, epochs=(10, 10, 10), ended=3, epoch_passes=(2, 4), **options)  # type: ignore[arg-type]


def test_a_fit_tells_its_epoch_its_pace_and_the_time_left() -> None:
    seen: list[tuple[int, int, float | None, float | None]] = []
    told = limits(passes_left=15, reporter=SimpleNamespace(steps=lambda *facts: seen.append(facts)))
    for seconds in [50.0, 9.0, *[2.0] * 28]:
        told.step(seconds)
    assert seen[0] == (4, 6, None, None) and seen[1][2] is None, "what traces tells nothing of the pace"
    # 20 steps are left, and two thirds of 15 forward passes, each a third of a step.
    assert seen[9] == (4, 6, 0.5, pytest.approx(2 * (20 + 10 / 3)))
    assert [facts[0] for facts in seen] == [4] * 10 + [5] * 10 + [6] * 10
    assert seen[-1][3] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"),
    [((10, 10), [50, 9, *[2] * 8], 2.0), ((5, 5), [50, 9, 2, 2, 5], 3.0), ((2,), [50, 9], 9.0), ((1,), [50], 50.0)],
)
def test_the_pace_is_measured_on_the_first_epoch_at_most(
    epochs: tuple[int, ...], steps: list[float], expected: float
) -> None:
    counter = limits(measuring=True)
    counter.epochs = epochs
    for seconds in steps[:-1]:
        counter.step(seconds)
    with pytest.raises(MeasuredError) as caught:
        counter.step(steps[-1])
    assert caught.value.step == expected and caught.value.limits is counter


def test_one_line_a_device_from_the_beginning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at = Simulated()
    running = Children(Runtime("process per device", 2, ("0", "1"), ()), at, tmp_path)  # type: ignore[arg-type]
    assert running.lines() == ["process 1: idle", "process 2: idle", "0 of 0 done"]
    said: list[list[str]] = []

    def work(report: Path, device: str) -> None:
        said.append(running.lines())
        with Reporter(report, "05_train_x fold-1") as reporter:
            reporter.on(device)
            said.append(running.lines())
            logging.getLogger("hbaclib").warning("no XLA")

    def call(device: int) -> tuple[object, tuple[object, ...], dict[str, object]]:
        return work, (running.options(device)["report"], str(device + 3)), {}

    running.run([Job("a", call, seconds=5), Job("b", call, seconds=7), Job("c", call, seconds=7)])  # type: ignore[arg-type]
    assert said[0][0].startswith("process 1: a: begins, ") and said[0][1].startswith("process 2: b: begins, ")
    assert said[1][0] == "GPU 3: 05_train_x fold-1: builds and traces the network, 0 s" and said[1][2] == "0 of 3 done"
    assert said[-1][-1] == "2 of 3 done" and running.lines()[:2] == ["process 1: idle", "process 2: idle"]
    warned = [record.getMessage() for record in caplog.records if record.name.endswith("children")]
    assert warned == ["05_train_x fold-1: no XLA"], "each once"


def test_lines_that_stay_are_few(capfd: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
    with LiveLines() as live:
        for second in range(0, 36_000, 2):
            clock.seconds = 1000.0 + second
            live.show([f"GPU 0: {second}", f"GPU 1: {second}"])
    lines = capfd.readouterr().err.splitlines()
    assert lines[:4] == ["GPU 0: 0", "GPU 1: 0", "GPU 0: 60", "GPU 1: 60"], "from the first minute"
    assert len(lines) < 2 * 50
    with LiveLines(disable=True) as live:
        live.show(["x"])
    assert capfd.readouterr().err == ""


def test_in_a_notebook_one_output_is_written_over(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown: list[tuple[str, str]] = []
    handle = SimpleNamespace(
        display=lambda text, raw: shown.append(("display", text["text/plain"])),
        update=lambda text, raw: shown.append(("update", text["text/plain"])),
    )
    monkeypatch.setattr("hbaclib.training.live._display_handle", lambda: handle)
    with LiveLines() as live:
        for lines in (["a", "b"], ["a", "b"], ["a", "c"]):
            live.show(lines)
    assert shown == [("display", "a\nb"), ("update", "a\nc")] and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "staying"),
    [("Batch", ["a 0", "b 0", "a 60", "b 60", "a 180", "b 180"]), ("Interactive", []), ("", []), (None, [])],
)
def test_where_nobody_looks_at_the_output_the_lines_are_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    clock: SimpleNamespace,
    kind: str | None,
    staying: list[str],
) -> None:
    """A version that is saved, or pushed, has a log, which takes what is written and no display output."""
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    if kind is not None:
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", kind)
    shown: list[str] = []
    handle = SimpleNamespace(
        display=lambda text, raw: shown.append(text["text/plain"]),
        update=lambda text, raw: shown.append(text["text/plain"]),
    )
    monkeypatch.setattr("hbaclib.training.live._display_handle", lambda: handle)
    with LiveLines() as live:
        for second in range(0, 200, 2):
            clock.seconds = 1000.0 + second
            live.show([f"a {second}", f"b {second}"])
    assert len(shown) == 100 and capfd.readouterr().err.splitlines() == staying


def test_who_runs_the_notebook_finds_its_lines_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lines"
    monkeypatch.setenv(LIVE_FILE, str(file))
    assert noted_lines(file) == []
    with LiveLines(disable=True) as live:
        live.show(["nothing"])
    assert not file.exists()
    with LiveLines() as live:
        for number in range(3):
            live.show([f"GPU 0: {number}", "GPU 1: idle"])
            assert noted_lines(file) == [f"GPU 0: {number}", "GPU 1: idle"]
    assert noted_lines(file) == [], "it has ended"
    monkeypatch.setenv(LIVE_FILE, str(tmp_path / "lines" / "not a folder"))
    with LiveLines() as live:
        live.show(["it goes on"])


def test_in_a_terminal_each_line_has_its_place(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with LiveLines() as live:
        live.show(["first", "second"])
        live.show(["third", "fourth"])
        live.show(["fifth"])
        assert [bar.desc for bar in live._bars] == ["fifth", ""]
    told = capfd.readouterr().err
    assert all(word in told for word in ("first", "second", "third", "fourth"))
