"""Where jobs run that need no processes of their own: in this one, and on a cluster; which runtime runs where."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import pytest

from hbaclib.prediction.networks import train_networks
from hbaclib.training import children as module
from hbaclib.training.children import children
from hbaclib.training.devices import Runtime
from hbaclib.training.plan import Call, Job
from hbaclib.training.pool import FAILED, FINISHED, Processes, run_jobs
from hbaclib.training.workers import Cluster, Here
from tests.training.tiny import TinyArrays, tiny_recipe


def job(name: str, function: Any = os.getpid, *needs: str) -> Job:
    def prepare(device: int) -> Call:
        return function, (), {}

    return Job(name, prepare, needs=frozenset(needs))


def fail() -> None:
    raise RuntimeError("no")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_here_is_this_process_one_job_after_the_other() -> None:
    outcomes = run_jobs([job("a"), job("b", fail), job("c", os.getpid, "b")], 1, Here())
    assert [each.state for each in outcomes.values()] == [FINISHED, FAILED, FINISHED]
    assert outcomes["a"].result == os.getpid() and (outcomes["b"].reason, outcomes["b"].attempts) == ("no", 2)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("a", interrupt), job("b")], 1, Here())


def test_a_clusters_jobs_run_at_its_own_and_end_with_the_block() -> None:
    with ThreadPoolExecutor(2) as executor:
        outcomes = run_jobs([job("a"), job("b", fail), job("c", os.getpid, "a")], 2, Cluster(executor))
        assert [each.state for each in outcomes.values()] == [FINISHED, FAILED, FINISHED]


@pytest.mark.parametrize(
    ("runtime", "here", "expected"),
    [
        (Runtime("cpu", 1, (), ()), True, Here),
        (Runtime("one device", 1, (), ("CPU:0",)), True, Here),
        (Runtime("mirrored", 1, (), ("CPU:0", "CPU:1")), True, Here),
        # The hours of a session are kept by processes that can be ended.
        (Runtime("cpu", 1, (), ()), False, Processes),
        (Runtime("cpu", 2, (), ()), True, Processes),
        (Runtime("process per device", 2, ("CPU:0", "CPU:1"), ()), True, Processes),
        # On a GPU a single fit too, or this process would keep its memory.
        (Runtime("one device", 1, ("0",), ()), True, Processes),
        (Runtime("mirrored", 1, ("0", "1"), ("GPU:0", "GPU:1")), True, Processes),
        (Runtime("cluster", 3, ("here",), ()), True, Cluster),
        (Runtime("cluster", 3, ("here",), ()), False, Cluster),
    ],
)
def test_which_runtime_runs_where(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime, here: bool, expected: type[object]
) -> None:
    monkeypatch.setattr("hbaclib.training.workers.cluster_executor", lambda: ThreadPoolExecutor(1))
    monkeypatch.setattr(module, "check_gpus_seen", lambda: None)
    with children(runtime, [], here=here, progress=False) as made:
        assert type(made.workers) is expected
        assert (made.options(0)["report"] is None) == (expected is Cluster), "a cluster's hosts have other disks"


def test_a_host_with_gpus_keeps_them_where_the_cpu_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(module, "keep_off_gpus", lambda: kept.append(True))
    with children(Runtime("one device", 1, (), ("CPU:0",)), [], here=True, progress=False):
        assert kept == [True]


@pytest.mark.evidence
@pytest.mark.filterwarnings("ignore")  # distributed warns about sockets that it closes
def test_two_rounds_of_two_networks_on_a_cluster(tmp_path: Path) -> None:
    """The weights of a plan in this process."""
    distributed = pytest.importorskip("distributed")
    short = {"stages": [{"epochs": 1, "steps": 3}], "ema": 0.0, "batch_norm_batches": 0}
    recipes = {
        "one": tiny_recipe(**short, pseudo_weight=0.5, pseudo_up_to=5),
        "two": tiny_recipe(**short, inputs="eeg"),
    }

    def run(part: str) -> dict[str, bytes]:
        folders = {name: tmp_path / part / f"06_train_{name}" for name in recipes}
        train_networks(recipes, TinyArrays(), folders, progress=False).raise_errors()
        files = (tmp_path / part).rglob("*.weights.h5")
        return {path.relative_to(tmp_path / part).as_posix(): path.read_bytes() for path in files}

    alone = run("alone")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path / "dask"
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        assert run("cluster") == alone and len(alone) == 6
