"""Runs that cannot come to their end: one sentence, the right exit code, nothing left running, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hbaclib.artefacts import atomic_path
from hbaclib.errors import HbacError
from hbaclib.suite import runner
from hbaclib.suite.runner import run_suite
from tests.suite.tiny_project import SECOND, make_project, write_notebook

pytestmark = pytest.mark.slow
HBAC = [sys.executable, "-m", "hbaclib.cli.main"]
PARAMETERS = 'out = ""\nstage = ""'

WRITES = """
import time
from pathlib import Path
from hbaclib.artefacts import atomic_path
with atomic_path(Path(out) / stage / "large.npy") as partial:
    partial.write_text("half")
    (Path(out) / "begun").touch()
    time.sleep(100)
"""
WORKERS = """
import time
from pathlib import Path
from joblib import Parallel, delayed
def work(path):
    path.touch()
    time.sleep(100)
Parallel(n_jobs=2)(delayed(work)(Path(out) / name) for name in ("begun", "begun_too"))
"""
CHILDREN = """
import subprocess, sys, time
from pathlib import Path
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) for _ in range(2)]
(Path(out) / stage).mkdir()
(Path(out) / stage / ".file.x.partial.npy").touch()
(Path(out) / "begun").touch()
try:
    time.sleep(100)
except KeyboardInterrupt:
    time.sleep(100)  # does not end when it is asked to
"""


SESSIONS = """
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
(Path(out) / "begun").touch()
time.sleep(100)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made)
    monkeypatch.setenv("HBAC_PROJECT", str(made))
    return made


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(words: list[str]) -> subprocess.Popen[str]:
    """Start a command as a terminal does: it hears signals to which what runs in the background or by nohup is deaf."""
    return subprocess.Popen(
        [*HBAC, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_signals,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "number", "code", "group"),
    [
        pytest.param(WRITES, signal.SIGINT, 130, True, id="writes, Ctrl-C"),
        pytest.param(WORKERS, signal.SIGINT, 130, True, id="workers, Ctrl-C"),
        pytest.param(WRITES, signal.SIGTERM, 143, False, id="writes, SIGTERM"),
        pytest.param(WORKERS, signal.SIGTERM, 143, False, id="workers, SIGTERM"),
        pytest.param(CHILDREN, signal.SIGTERM, 143, False, id="children, SIGTERM"),
        pytest.param(SESSIONS, signal.SIGTERM, 143, False, id="sessions, SIGTERM"),
        pytest.param(WRITES, signal.SIGHUP, 129, False, id="writes, SIGHUP"),
    ],
)
def test_a_stopped_run(project: Path, body: str, number: int, code: int, group: bool) -> None:
    write_notebook(project / "notebooks" / "12_second.ipynb", PARAMETERS, body)
    out = project / "runs" / "tiny"
    process = start(["run", "tiny"])
    wait_for(out / "begun", process)
    time.sleep(0.5)
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    if group:  # a terminal sends it to all processes of its foreground
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    said, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    how = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    assert error.strip() == f"hbac: {how}; the same command continues where it stopped"
    assert said.splitlines()[-1].startswith("[2/2] 12_second failed after")
    assert psutil.wait_procs(below, timeout=5)[1] == []
    assert [path.name for path in out.rglob("*") if "partial" in path.name] == []
    assert not (out / "notebooks" / "12_second.ipynb").exists()
    write_notebook(project / "notebooks" / "12_second.ipynb", PARAMETERS, SECOND)
    again = subprocess.run([*HBAC, "run", "tiny"], capture_output=True, text=True)
    assert again.returncode == 0 and "11_first up to date" in again.stdout, again.stderr


def test_only_a_runs_own_partial_files_are_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "check_prerequisites", lambda *arguments, **options: "")
    (project / "test.csv").write_text("a\n")
    out = project / "runs"
    names = ("11_first/.x.a.partial.npy", "notebooks/.a.partial.ipynb", ".synthetic-hms.partial")
    own = [out / name for name in names]
    for name in ("submission.csv", "report.html", "stages.json", "manifest.json", ".digests.json"):
        with atomic_path(out / name) as path:  # the name that a writer gives
            own.append(path)
    others = [out / "demo" / ".arrays.x1.partial.npy", out / ".mine.partial", out / "notes" / ".a.partial"]
    for path in [*own, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run_suite("whole", root=project, out=out, data=project)  # they are left by a run that was killed
    assert not any(path.exists() for path in own) and all(path.exists() for path in others)
    for path in own:
        path.touch()
    with pytest.raises(HbacError, match="expected 0 or more"):
        run_suite("whole", root=project, out=out, data=project, parameters={"value": -1})
    assert not any(path.exists() for path in own) and all(path.exists() for path in others)


@pytest.mark.parametrize("body", ["import os; os._exit(3)", "raise SystemExit(3)", "import no_such_module"])
def test_a_kernel_that_cannot_start_is_told(
    project: Path, tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text(body)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = subprocess.run([*HBAC, "run", "tiny"], capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.returncode in (0, 1)
    if done.returncode:
        assert "11_first: the notebook's kernel died" in done.stderr


@pytest.mark.parametrize("name", ["pr{oj}", "{0}", "sp ace"])
def test_names_of_project_folders_are_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = run_suite("tiny", root=make_project(tmp_path / name))
    assert (out / "12_second" / "square.txt").read_text() == "9"


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no right to mount a tmpfs here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FILLS = {
    "atomic": 'write_text(Path(out) / "large", "x" * 20_000_000)',
    "plain": '(Path(out) / "large").write_text("x" * 20_000_000)',
    "array": 'import numpy as np; np.save(Path(out) / "large.npy", np.zeros(2_500_000))',
    "table": "import numpy as np, pandas as pd; "
    'pd.DataFrame(np.random.rand(2_500_000, 1), columns=["x"]).to_parquet(Path(out) / "large")',
}


@pytest.mark.parametrize("small_disk", ["4k", "2m", "9m"], indirect=True)
@pytest.mark.parametrize("fills", sorted(FILLS))
def test_a_full_disk_in_the_middle(
    project: Path, small_disk: Path, fills: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook(project / "notebooks" / "12_second.ipynb", PARAMETERS, SECOND + "\n" + FILLS[fills])
    monkeypatch.setattr(runner, "check_prerequisites", lambda *arguments, **options: "")
    with pytest.raises(HbacError, match=r"No space left on device|cannot be written|Not enough free space") as caught:
        run_suite("tiny", root=project, out=small_disk / "run")
    assert "Traceback" not in str(caught.value)
    assert [path.name for path in small_disk.rglob("*") if "partial" in path.name] == []


@pytest.mark.parametrize("small_disk", ["4k", "2m", "9m"], indirect=True)
def test_a_disk_that_is_too_small_is_told_before_anything_runs(small_disk: Path) -> None:
    done = subprocess.run([*HBAC, "run", "smoke", "--out", str(small_disk / "run")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("hbac: ") and "Traceback" not in done.stderr
    assert "--out" in done.stderr or "cannot be written" in done.stderr
    assert not (small_disk / "run" / "01_port_data").exists()


@pytest.mark.parametrize("name", ["br{ace}", "{value}", "}{", "a {0} b", "100 %", "quote'\"s", "sp ace", "ümläut"])
def test_names_of_output_folders_are_names(project: Path, name: str) -> None:
    done = subprocess.run([*HBAC, "run", "tiny", "--out", name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (project / name / "12_second" / "square.txt").read_text() == "9"
    assert (project / name / "notebooks" / "12_second.ipynb").is_file()


def test_the_interpreter_is_the_runners_own(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    content = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Python 3", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(content))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    body = SECOND + '\nimport sys\n(Path(out) / "python.txt").write_text(sys.executable)'
    write_notebook(project / "notebooks" / "12_second.ipynb", PARAMETERS, body)
    out = run_suite("tiny", root=project)
    assert (out / "python.txt").read_text() == sys.executable


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("doit.cfg", "[GLOBAL]\nplugins = nothing"),
        ("doit.cfg", "[["),
        ("pyproject.toml", "[tool.doit.plugins.command]\nx = 'module:name'"),
        ("pyproject.toml", "not toml ["),
        ("dodo.py", "raise SystemExit('ran')"),
        ("papermill.yaml", "{"),
    ],
)
def test_files_of_the_working_folder_are_not_read(project: Path, file: str, text: str) -> None:
    (project / file).write_text(text)
    done = subprocess.run([*HBAC, "run", "tiny"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["synth", "check"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_other_commands_end_as_well(tmp_path: Path, command: str, number: int, code: int) -> None:
    words = ["synth", str(tmp_path / "set"), "--patients", "200", "--jobs", "2"]
    if command == "check":
        made = [*HBAC, "synth", str(tmp_path / "set"), "--patients", "4", "--test-rows", "2"]
        subprocess.run(made, check=True, capture_output=True)
        source = tmp_path / "set" / "train_eegs"
        first, table = sorted(source.iterdir())[0], tmp_path / "set" / "train.csv"
        head, row = table.read_text().splitlines()[:2]
        values = row.split(",")
        rows = [head]
        for more in range(1500):  # enough work to be interrupted in
            os.link(first, source / f"{10_000 + more}.parquet")
            rows.append(",".join([str(10_000 + more), *values[1:6], str(10_000 + more), *values[7:]]))
        table.write_text("\n".join([*rows, ""]))
        words = ["check", str(tmp_path / "set"), "--jobs", "2"]
    process = start(words)
    deadline = time.monotonic() + 300
    while len(psutil.Process(process.pid).children(recursive=True)) < 2:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number) if number == signal.SIGINT else os.kill(process.pid, number)
    _, error = process.communicate(timeout=300)
    assert process.returncode == code, error
    assert "Traceback" not in error
    assert error.strip().splitlines()[-1].startswith("hbac: ")
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
