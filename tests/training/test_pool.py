"""Jobs in processes of their own: their order, what failing ones cost, and the end of the session; on a made-up clock.

The processes themselves are tried at the end.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from hbaclib.errors import DataError, MemoryShortage, TimeShortage, TrainingError
from hbaclib.training.plan import Call, Job
from hbaclib.training.pool import FAILED, FINISHED, LEFT_OUT, ProcessLost, processes, run_jobs
from tests.training.simulated import Simulated


def quiet(device: int) -> Call:
    return (lambda: f"on {device}"), (), {}


def job(name: str, seconds: float = 10, *needs: str, prepare: Callable[[int], Call | None] = quiet) -> Job:
    return Job(name, prepare, name[0], frozenset(needs), seconds)


def failing(*errors: BaseException | None) -> Callable[[int], Call]:
    """What raises these errors in turn, one an attempt; None is a good end."""
    left = list(errors)

    def act() -> str:
        if left and (error := left.pop(0)):
            raise error
        return "done"

    return lambda device: (act, (), {})


def lost(*codes: str) -> BrokenProcessPool:
    return BrokenProcessPool(
        f"A worker process was terminated. The exit codes of the workers are {{{', '.join(codes)}}}"
    )


def test_fits_of_all_networks_share_the_devices() -> None:
    at = Simulated()
    jobs = [job(f"{network}{fold}") for network in "abcd" for fold in range(5)]
    outcomes = run_jobs(jobs, 2, at)
    assert at.now == 100 and list(outcomes) == [each.name for each in jobs]
    assert [name for _, name, _ in at.log] == [each.name for each in jobs], "in their order"
    assert {each.state for each in outcomes.values()} == {FINISHED}
    assert outcomes["a1"].result == "on 1" and outcomes["a1"].device == 1 and outcomes["d4"].end == 100


def test_who_needs_others_waits_and_nobody_waits_with_it() -> None:
    at = Simulated()
    jobs = [*(job(f"a{k}") for k in range(3)), job("l", 1, "a0", "a1", "a2"), job("z0", 10, "l"), job("b0", 9)]
    run_jobs(jobs, 2, at)
    assert [(begin, name) for begin, name, _ in at.log] == [
        (0, "a0"), (0, "a1"), (10, "a2"), (10, "b0"), (20, "l"), (21, "z0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("errors", "state", "attempts", "reason"),
    [
        ([None], FINISHED, 1, ""),
        # What may pass is tried once more.
        ([lost("SIGKILL(-9)"), None], FINISHED, 2, ""),
        ([lost("EXIT(1)"), None], FINISHED, 2, ""),
        ([OSError("no space"), None], FINISHED, 2, ""),
        ([lost("SIGKILL(-9)")] * 2, FAILED, 2, "b: its process was killed (SIGKILL), mostly for lack of memory"),
        ([lost("EXIT(3)")] * 2, FAILED, 2, "b: its process was killed (exit code 3), mostly for lack of memory"),
        ([RuntimeError("CUDA error\nmore")] * 2, FAILED, 2, "CUDA error"),
        ([RuntimeError()] * 2, FAILED, 2, "RuntimeError"),
        # What the library refuses would be refused again.
        ([TrainingError("the loss is not a number")], FAILED, 1, "the loss is not a number"),
        ([MemoryShortage("10 MiB are left")], FAILED, 1, "10 MiB are left"),
        ([DataError("no samples")], FAILED, 1, "no samples"),
    ],
)
def test_a_job_that_fails_costs_only_itself(
    errors: list[BaseException | None], state: str, attempts: int, reason: str
) -> None:
    at, over = Simulated(), []
    jobs = [job("a"), job("b", prepare=failing(*errors)), job("c"), job("d", 10, "b")]
    outcomes = run_jobs(jobs, 1, at, on_over=lambda each, outcome: over.append((each.name, outcome.state)))
    found = outcomes["b"]
    assert (found.state, found.attempts, found.reason) == (state, attempts, reason)
    assert {outcomes[name].state for name in "acd"} == {FINISHED}, "who needs it goes on when it is over"
    # The second attempt comes behind all others that do not need it, and is the end of it.
    order = ["a", "b", "c", "b", "d"] if attempts == 2 else ["a", "b", "c", "d"]
    assert [name for _, name, _ in at.log] == order
    assert sorted(over) == sorted((name, outcome.state) for name, outcome in outcomes.items())


def test_what_is_refused_while_it_is_prepared_fails_alone_and_what_is_done_takes_no_device() -> None:
    def refuse(device: int) -> Call | None:
        raise DataError("no labels")

    at = Simulated()
    outcomes = run_jobs([job("a", prepare=refuse), job("b", prepare=lambda device: None), job("c")], 1, at)
    assert [outcomes[name].state for name in "abc"] == [FAILED, FINISHED, FINISHED]
    assert outcomes["a"].reason == "no labels" and outcomes["a"].device == outcomes["b"].device == -1
    assert [name for _, name, _ in at.log] == ["c"]


@pytest.mark.parametrize(
    ("deadline", "finished"),
    [(None, "abcde"), (50, "abcde"), (49, "abcd"), (39, "abc"), (10, "a"), (9, ""), (-1, "")],
)
def test_nothing_begins_that_would_not_end_in_the_session(deadline: float | None, finished: str) -> None:
    at = Simulated()
    outcomes = run_jobs([job(name) for name in "abcde"], 1, at, deadline=deadline)
    assert "".join(name for name, each in outcomes.items() if each.state == FINISHED) == finished
    assert {each.state for name, each in outcomes.items() if name not in finished} <= {LEFT_OUT}
    assert [name for _, name, _ in at.log] == list(finished)


def test_the_order_holds_at_the_end_of_the_session_too() -> None:
    """A short job does not pass a long one that was left out; what runs beside comes to its end."""
    at = Simulated()
    outcomes = run_jobs([job("a", 30), job("b", 10), job("c", 25), job("d", 1)], 2, at, deadline=32)
    assert [each.state for each in outcomes.values()] == [FINISHED, FINISHED, LEFT_OUT, LEFT_OUT]
    assert at.now == 30


def test_there_may_be_no_time_for_what_is_tried_once_more() -> None:
    """It is left out, and not failed; when it ran, and what ended it, is told."""
    at = Simulated()
    jobs = [job("a", prepare=failing(lost("SIGKILL(-9)"))), job("b"), job("c")]
    outcomes = run_jobs(jobs, 2, at, deadline=15)
    found = outcomes["a"]
    assert [each.state for each in outcomes.values()] == [LEFT_OUT, FINISHED, LEFT_OUT]
    assert (found.begin, found.end, found.device, found.attempts) == (0, 10, 0, 1) and "SIGKILL" in found.reason
    assert (outcomes["c"].attempts, outcomes["c"].device, outcomes["c"].reason) == (0, -1, "")


def test_a_fit_that_is_slower_than_it_was_measured_ends_the_line() -> None:
    slow = failing(TimeShortage("2 h are needed, 1 h is left"))
    at = Simulated()
    outcomes = run_jobs([job("a"), job("b", prepare=slow), job("c")], 1, at, deadline=1e9)
    assert [each.state for each in outcomes.values()] == [FINISHED, LEFT_OUT, LEFT_OUT]
    assert outcomes["b"].reason == "2 h are needed, 1 h is left"


def test_an_interruption_is_no_failure_of_a_job() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("a", prepare=failing(KeyboardInterrupt())), job("b")], 1, Simulated())


def test_what_is_raised_at_the_end_of_a_job_is_not_held_back() -> None:
    def full(each: Job, outcome: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_jobs([job("a")], 1, Simulated(), on_over=full)


# ---- processes -------------------------------------------------------------------------------------------------------


def of_process(device: int) -> Call:
    return os.getpid, (), {}


def die_once(path: str) -> int:
    """Kill the process in which this runs, the first time."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_processes_are_those_of_their_device_and_network_and_end_with_the_block(tmp_path: Any) -> None:
    killed = str(tmp_path / "killed")
    jobs = [
        Job("a0", of_process, "a"),
        Job("a1", of_process, "a"),
        Job("b0", of_process, "b"),
        Job("b1", lambda device: (die_once, (killed,), {}), "b"),
        Job("c0", lambda device: (os.kill, (os.getpid(), 0), {}), "c"),
    ]
    with processes() as workers:
        outcomes = run_jobs(jobs, 1, workers)
    assert {each.state for each in outcomes.values()} == {FINISHED}
    first, second, third = (outcomes[name].result for name in ("a0", "a1", "b0"))
    assert first == second != third and os.getpid() not in {first, third}
    assert outcomes["b1"].attempts == 2 and outcomes["b1"].result not in {first, third}
    for process in (first, third, outcomes["b1"].result):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_an_interrupted_block_leaves_no_process(tmp_path: Any) -> None:
    note = tmp_path / "process"

    def stay(path: str) -> None:
        with open(path, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)

    with pytest.raises(KeyboardInterrupt), processes() as workers:
        workers.submit(0, Job("a", quiet), (stay, (str(note),), {}))
        while not (note.is_file() and note.read_text()):
            time.sleep(0.05)
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_process_that_died_while_it_was_idle_is_replaced() -> None:
    with processes() as workers:
        first = workers.submit(0, job("a"), (os.getpid, (), {})).result(60)
        os.kill(first, signal.SIGKILL)
        outcomes = run_jobs([job("a", prepare=of_process)], 1, workers)
    assert outcomes["a"].state == FINISHED and outcomes["a"].result != first


def test_the_error_of_a_killed_process_is_a_platform_s() -> None:
    outcomes = run_jobs([job("a", prepare=failing(lost(), lost()))], 1, Simulated())
    assert isinstance(outcomes["a"].error, ProcessLost) and outcomes["a"].reason.startswith(
        "a: its process was killed,"
    )


def test_futures_are_waited_for_together() -> None:
    futures: Sequence[Future[Any]] = [Future(), Future()]
    futures[1].set_result(1)
    with processes() as workers:
        assert workers.wait(futures) == [futures[1]]
