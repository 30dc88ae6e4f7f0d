"""The block writer: same bytes however it runs, resumable, nothing half-written, clean errors."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest

from hbaclib.artefacts import MANIFEST
from hbaclib.errors import ArtefactError
from hbaclib.stages.blocks import Block, StoredArray, run_blocks
from tests.stages import work

N = 12
ARRAYS = (StoredArray("a.npy", (N, 5), "float32"), StoredArray("b.npy", (N,), "float16"))


def blocks(*further: str) -> list[Block]:
    return [Block(start, start + 2, (start, start + 2, *further)) for start in range(0, N, 2)]


def check_arrays(folder: Path) -> None:
    np.testing.assert_array_equal(np.load(folder / "a.npy"), np.arange(N)[:, None] * np.arange(5, dtype=np.float32))
    np.testing.assert_array_equal(np.load(folder / "b.npy"), np.sqrt(np.arange(N)).astype(np.float16))


def calls(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in folder.iterdir() if "-" in path.name)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_writes_whole_arrays_and_returns_facts_in_order(tmp_path: Path, n_jobs: int) -> None:
    facts = run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=tmp_path / "s", key="k", n_jobs=n_jobs)
    check_arrays(tmp_path / "s")
    assert [row for fact in facts for row in fact["rows"]] == list(range(N))
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["a.npy", "b.npy"]
    mapped = np.load(tmp_path / "s" / "a.npy", mmap_mode="r")
    assert mapped.dtype == np.float32 and isinstance(mapped, np.memmap)


def test_the_files_are_those_that_numpy_writes(tmp_path: Path) -> None:
    run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=tmp_path, key="k", n_jobs=1)
    np.save(tmp_path / "by_numpy.npy", np.load(tmp_path / "a.npy"))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "by_numpy.npy").read_bytes()


def test_without_a_folder_only_facts_come_back(tmp_path: Path) -> None:
    assert len(run_blocks(work.numbers, blocks(), n_jobs=1)) == N // 2
    assert run_blocks(work.numbers, [], n_jobs=2) == []


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_runs_through_any_joblib_backend(tmp_path: Path, backend: str) -> None:
    with joblib.parallel_config(backend, n_jobs=2):
        run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=tmp_path, key="k")
    check_arrays(tmp_path)


def stopped_run(folder: Path, marks: Path) -> None:
    """Finish some blocks, then fail."""
    marks.mkdir()
    (marks / "stop").touch()
    with pytest.raises(RuntimeError, match="stopped here"):
        run_blocks(work.failing, blocks(str(marks)), arrays=ARRAYS, folder=folder, key="k", n_jobs=1)
    (marks / "stop").unlink()
    assert not (folder / "a.npy").exists() and not (folder / "b.npy").exists()


def test_a_stopped_run_resumes_where_it_was(tmp_path: Path) -> None:
    stopped_run(tmp_path / "s", tmp_path / "marks")
    before = calls(tmp_path / "marks")
    assert before == [0, 2, 4, 6]
    run_blocks(work.failing, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "s", key="k", n_jobs=1)
    assert calls(tmp_path / "marks") == [0, 2, 4, 6, 8, 10]
    check_arrays(tmp_path / "s")


def test_another_key_starts_anew_and_removes_the_leftovers(tmp_path: Path) -> None:
    stopped_run(tmp_path / "s", tmp_path / "marks")
    run_blocks(work.failing, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "s", key="x", n_jobs=1)
    assert calls(tmp_path / "marks") == sorted([0, 2, 4, 6, *range(0, N, 2)])
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["a.npy", "b.npy"]


def test_a_line_cut_by_a_kill_costs_its_block_only(tmp_path: Path) -> None:
    stopped_run(tmp_path / "s", tmp_path / "marks")
    journal = next((tmp_path / "s").glob(".unfinished-*/finished-blocks.jsonl"))
    journal.write_bytes(journal.read_bytes()[:-5])
    # Stopped once more: what was noted behind the cut line is still read.
    (tmp_path / "marks" / "stop").touch()
    with pytest.raises(RuntimeError, match="stopped here"):
        run_blocks(
            work.failing, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "s", key="k", n_jobs=1
        )
    (tmp_path / "marks" / "stop").unlink()
    run_blocks(work.failing, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "s", key="k", n_jobs=1)
    assert calls(tmp_path / "marks") == [0, 2, 4, 6, 6, 8, 10]
    check_arrays(tmp_path / "s")


def test_a_journal_without_its_arrays_is_not_believed(tmp_path: Path) -> None:
    stopped_run(tmp_path / "s", tmp_path / "marks")
    next((tmp_path / "s").glob(".unfinished-*/b.npy")).unlink()
    run_blocks(work.failing, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "s", key="k", n_jobs=1)
    check_arrays(tmp_path / "s")


def test_a_manifest_never_stands_beside_arrays_it_does_not_name(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=tmp_path, key="k", n_jobs=1)
    assert not (tmp_path / MANIFEST).exists()


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"block 0 gave rows of shape \(2, 2\), expected \(2, 5\)"):
        run_blocks(work.wrong_shape, blocks(), arrays=ARRAYS, folder=tmp_path, key="k", n_jobs=1)


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    with pytest.raises(ArtefactError, match=r"s: cannot be written"):
        run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=tmp_path / "s", key="k", n_jobs=1)


def test_no_space_is_noticed_before_the_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "marks").mkdir()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ArtefactError, match=r"No space left on device.*MB are needed.*make space"):
        run_blocks(work.counted, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "s", n_jobs=1)
    assert calls(tmp_path / "marks") == [] and list((tmp_path / "s").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no right to mount a tmpfs here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_gives_a_clear_error_and_the_run_resumes_after_space_is_made(
    small_disk: Path, tmp_path: Path
) -> None:
    (small_disk / "other").write_bytes(bytes(1_500_000))
    large = (*ARRAYS, StoredArray("c.npy", (N, 100_000), "uint8"))
    with pytest.raises(
        ArtefactError, match=r"disk/s: cannot be written \(No space left on device\).*1\.2 MB are needed"
    ):
        run_blocks(work.numbers, blocks(), arrays=large, folder=small_disk / "s", key="k", n_jobs=1)
    assert list((small_disk / "s").iterdir()) == []
    (small_disk / "other").unlink()
    run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=small_disk / "s", key="k", n_jobs=2)
    check_arrays(small_disk / "s")


def test_a_disk_that_fills_up_on_the_way_keeps_what_is_finished(small_disk: Path, tmp_path: Path) -> None:
    """The arrays have their space, but a note of a finished block may find none."""
    folder, marks = small_disk / "s", tmp_path / "marks"
    stopped_run(folder, marks)
    journal = next(folder.glob(".unfinished-*/finished-blocks.jsonl"))
    # The journal ends with a page of the disk, so that the next note needs a new one.
    last = journal.read_bytes().splitlines()[-1]
    with open(journal, "ab") as file:
        file.write(last + b" " * (-(journal.stat().st_size + len(last) + 1) % 4096) + b"\n")
    assert journal.stat().st_size % 4096 == 0
    fill(small_disk / "other")
    with pytest.raises(ArtefactError, match=r"finished-blocks\.jsonl: cannot be written \(No space left on device\)"):
        run_blocks(work.failing, blocks(str(marks)), arrays=ARRAYS, folder=folder, key="k", n_jobs=1)
    (small_disk / "other").unlink()
    run_blocks(work.failing, blocks(str(marks)), arrays=ARRAYS, folder=folder, key="k", n_jobs=1)
    check_arrays(folder)
    assert all(calls(marks).count(start) == 1 for start in (0, 2, 4, 6))


def fill(path: Path) -> None:
    """Write until the disk is full."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(handle, bytes(4096)):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(handle)


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    (tmp_path / "marks").mkdir()
    run_blocks(work.numbers, blocks(), arrays=ARRAYS, folder=tmp_path / "processes", key="k", n_jobs=2)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        facts = run_blocks(
            work.dies_once, blocks(str(tmp_path / "marks")), arrays=ARRAYS, folder=tmp_path / "dask", key="k"
        )
    assert (tmp_path / "marks" / "killed").exists()
    assert [row for fact in facts for row in fact["rows"]] == list(range(N))
    for array in ARRAYS:
        assert (tmp_path / "dask" / array.name).read_bytes() == (tmp_path / "processes" / array.name).read_bytes()
