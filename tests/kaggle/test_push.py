"""Kaggle's own client against a recording server on loopback: what is sent, and how each failure ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hbaclib.artefacts import write_manifest, write_text
from hbaclib.cli.main import main
from hbaclib.kaggle import client as clients
from hbaclib.kaggle import push as pushing
from hbaclib.kaggle.build import build
from hbaclib.kaggle.plan import Plan, PlannedDataset, PlannedKernel, read_plan
from tests.kaggle.recording_server import Reply, Service, serve
from tests.report.fake_run import make_fake_run
from tests.suite.tiny_project import make_project

KEY = "0123456789abcdef-the-key"
FIRST, SECOND = "someone/first-tiny", "someone/second-tiny"


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite "full", built as the command builds it."""
    folder = tmp_path_factory.mktemp("full") / "build"
    result = CliRunner().invoke(main, ["kaggle", "build", "--user", "someone", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    """The server, with the client of this process pointed to it and its waits cut short."""
    from kaggle.api import kaggle_api_extended
    from kagglesdk import kaggle_env
    from urllib3.util.retry import Retry

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    monkeypatch.setattr(kaggle_api_extended.KaggleApi, "args", ["--local"])
    monkeypatch.setattr(kaggle_api_extended.KaggleApi, "config", str(tmp_path / "home" / "kaggle.json"))
    monkeypatch.setattr(kaggle_api_extended.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(Retry, "sleep", lambda self, response=None: None)
    slept: list[float] = []
    monkeypatch.setattr(clients, "sleep", slept.append)
    with serve() as service:
        service.slept = slept  # type: ignore[attr-defined]
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, service.url)
        yield service


@pytest.fixture(scope="session")
def tiny_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of two kernels, the second reading the first."""
    folder = tmp_path_factory.mktemp("tiny")
    project = make_project(folder / "project")
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        (project / name).write_bytes((Path(__file__).parents[2] / name).read_bytes())
    package = project / "hbaclib"
    package.mkdir()
    (package / "__init__.py").write_text('"""Stands for the library."""\n__version__ = "0"\n')
    build("tiny", user="someone", out=folder / "build", root=project)
    return folder / "build"


@pytest.fixture
def tiny(tiny_build: Path, tmp_path: Path) -> Path:
    """A copy of that build for one test."""
    return Path(shutil.copytree(tiny_build, tmp_path / "build"))


def hbac(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["kaggle", *map(str, arguments)])
    assert KEY not in result.output
    return result


def state(folder: Path) -> dict[str, Any]:
    return json.loads((folder / pushing.STATE).read_text())


def test_full_suite_is_sent_as_issue_asks(full: Path, service: Service) -> None:
    result = hbac("push", full)
    assert result.exit_code == 0, result.output
    sent = service.sent("SaveKernel")
    assert len(sent) == 13
    by_slug = {body["slug"]: body for body in sent}
    training = by_slug["someone/hbac-04-train-efficientnet-b3"]
    assert training["machineShape"] == "NvidiaTeslaT4"
    assert training["enableGpu"] is True
    assert training["kernelDataSources"] == [
        "someone/hbac-01-port-data", "someone/hbac-02-eeg-spectrograms", "someone/hbac-03-assemble-inputs"
    ]  # fmt: skip
    for body in sent:
        # Training may fetch published weights; what is submitted, and all it reads besides, runs without internet.
        assert body["enableInternet"] is ("04-train" in body["slug"])
        assert body["isPrivate"] is True
        assert body["datasetDataSources"] == ["someone/hbac-wheels"]
        assert body["competitionDataSources"] == ["hms-harmful-brain-activity-classification"]
        assert body.get("modelDataSources", []) == []
        assert body["kernelType"] == "notebook"
        cells = json.loads(body["text"])["cells"]
        assert not [cell["outputs"] for cell in cells if cell["cell_type"] == "code" and cell["outputs"]]
        assert all(isinstance(cell["source"], str) for cell in cells)
    assert "machineShape" not in by_slug["someone/hbac-01-port-data"]
    cells = json.loads(training["text"])["cells"]
    assert [cell["source"] for cell in cells if "injected-parameters" in cell["metadata"].get("tags", [])] == [
        '# Stage 04_train_efficientnet-b3\nrecipe = "gold"\nbackbone = "efficientnet_b3"\n'
        'stage = "04_train_efficientnet-b3"\n'
    ]
    # Every kernel is sent after all that it reads were seen complete.
    order = [body["slug"] for body in sent]
    for body in sent:
        assert all(order.index(source) < order.index(body["slug"]) for source in body.get("kernelDataSources", []))
    wheels = {path.name: path.read_bytes() for path in (full / "datasets" / "wheels").iterdir()}
    wheels.pop("dataset-metadata.json")
    assert sorted(service.uploads) == sorted(wheels.values())
    assert len(service.sent("CreateDataset")) == 1
    assert all(header.startswith("Basic ") for header in service.authorizations)


def test_at_most_two_gpu_sessions_at_a_time(full: Path, service: Service) -> None:
    running: set[str] = set()
    most = 0
    look = service._look

    def watched(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal most
        answer = look(body)
        ref = f"{body['userName']}/{body['kernelSlug']}"
        if "04-train" in ref:
            (running.discard if answer["status"] == "COMPLETE" else running.add)(ref)
            most = max(most, len(running))
        return answer

    service._look = watched  # type: ignore[method-assign]
    (full / pushing.STATE).unlink(missing_ok=True)
    assert hbac("push", full).exit_code == 0
    assert most == 2


def test_second_push_sends_nothing_and_a_changed_kernel_is_sent_with_those_after_it(
    tiny: Path, service: Service
) -> None:
    assert hbac("push", tiny).exit_code == 0
    sent = len(service.sent("SaveKernel"))
    result = hbac("push", tiny)
    assert result.exit_code == 0
    assert result.output.count("unchanged") == 3
    assert len(service.sent("SaveKernel")) == sent == 2
    plan = json.loads((tiny / "plan.json").read_text())
    plan["kernels"][0]["digest"] = "another"
    (tiny / "plan.json").write_text(json.dumps(plan))
    assert hbac("push", tiny).exit_code == 0
    assert [body["slug"] for body in service.sent("SaveKernel")] == [FIRST, SECOND] * 2
    assert service.versions == {FIRST: 2, SECOND: 2}


def test_a_kernels_digest_holds_the_data_sets_and_all_kernels_before_it() -> None:
    """A push that was stopped behind the changed kernel sends those after it the next time."""
    kernel = PlannedKernel(name="a", stage="a", ref="u/a", after=(), gpu=False, bytes=0, digest="1")
    after = {"b": ("a",), "c": ("b",), "d": ()}
    chain = (kernel, *(replace(kernel, name=name, after=names) for name, names in after.items()))
    plan = Plan("tiny", "u", "", (PlannedDataset("wheels", "u/wheels", "1"),), chain)
    before = pushing.chain_digests(plan)

    def changed(**parts: Any) -> set[str]:
        now = pushing.chain_digests(replace(plan, **parts))
        return {name for name, digest in now.items() if digest != before[name]}

    assert changed(kernels=(replace(kernel, digest="2"), *chain[1:])) == {"a", "b", "c"}
    assert changed(kernels=(*chain[:3], replace(chain[3], digest="2"))) == {"d"}
    assert changed(datasets=(PlannedDataset("wheels", "u/wheels", "2"),)) == {"a", "b", "c", "d"}


def test_existing_data_set_gets_a_version(tiny: Path, service: Service) -> None:
    service.datasets["someone/hbac-wheels"] = 3
    service.dataset_states = ["READY", "READY", "BLOBS_RECEIVED", "READY"]
    assert hbac("push", tiny).exit_code == 0
    assert not service.sent("CreateDataset")
    assert service.sent("CreateDatasetVersion")[0]["datasetSlug"] == "hbac-wheels"
    assert state(tiny)["data set wheels"]["version"] == 4


def test_failed_data_set_stops_the_push(tiny: Path, service: Service) -> None:
    # The client asks once itself before it creates.
    service.dataset_states = ["BLOBS_RECEIVED", "FAILED"]
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "someone/hbac-wheels: Kaggle could not take it in (status failed)" in result.output
    assert not service.sent("SaveKernel")


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (
            Reply(body={"error": "Maximum weekly GPU quota of 30.00 hours reached."}),
            "Maximum weekly GPU quota of 30.00",
        ),
        (Reply(body={"versionNumber": 1, "invalidDatasetSources": ["someone/hbac-wheels"]}), "someone/hbac-wheels"),
        (Reply(body={"versionNumber": 1, "invalidCompetitionSources": ["hms"]}), "accept its rules"),
        (Reply(body={"versionNumber": 1, "invalidKernelSources": ["a/bcdef"]}), "a/bcdef"),
        (Reply(status=400, body={"code": 400, "message": "bad notebook"}), "bad notebook"),
        (Reply(status=401, body={"code": 401, "message": "Unauthorized"}), "refused the credentials"),
    ],
)
def test_refused_push_is_one_sentence_and_exit_code_1(
    tiny: Path, service: Service, reply: Reply, sentence: str
) -> None:
    service.faults["SaveKernel"] = [reply]
    result = hbac("push", tiny)
    assert result.exit_code == 1
    last = result.output.strip().splitlines()[-1]
    assert last.startswith(f"hbac: push of kernel {FIRST}: ")
    assert sentence in last
    # The same command goes on, without the upload.
    uploads = len(service.uploads)
    assert hbac("push", tiny).exit_code == 0
    assert len(service.uploads) == uploads


@pytest.mark.parametrize(("final", "word"), [("ERROR", "failed (it broke)"), ("CANCEL_ACKNOWLEDGED", "was cancelled")])
def test_failed_kernel_ends_the_push_with_its_last_lines(tiny: Path, service: Service, final: str, word: str) -> None:
    service.plans[FIRST] = ["RUNNING", final]
    pieces = [{"stream_name": "stderr", "data": f"line {number}\n"} for number in range(40)]
    service.logs[FIRST] = json.dumps([*pieces, {"data": f"ValueError: no such column {KEY}\n"}])
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert f"kernel {FIRST} version 1 {word}; nothing more was started" in result.output
    assert "    line 39\n    ValueError: no such column ***" in result.output
    assert "line 20\n" not in result.output
    assert [body["slug"] for body in service.sent("SaveKernel")] == [FIRST]
    # Pushed again it is tried again.
    service.plans.clear()
    assert hbac("push", tiny).exit_code == 0
    assert service.versions == {FIRST: 2, SECOND: 1}


def test_status_of_an_earlier_version_is_not_believed(tiny: Path, service: Service) -> None:
    service.versions[FIRST] = 1
    service.plans[FIRST] = [
        "stale COMPLETE",
        "stale COMPLETE",
        "stale ERROR",
        "QUEUED",
        "RUNNING",
        "RUNNING",
        "COMPLETE",
    ]
    result = hbac("push", tiny)
    assert result.exit_code == 0, result.output
    second = next(i for i, (name, body) in enumerate(service.requests) if body.get("slug") == SECOND)
    looks = [name for name, body in service.requests[:second] if name == "GetKernelSessionStatus"]
    assert len(looks) == 7
    assert state(tiny)["11_first"]["version"] == 2


def test_complete_at_once_is_asked_twice(tiny: Path, service: Service) -> None:
    service.plans[FIRST] = ["COMPLETE"]
    assert hbac("push", tiny).exit_code == 0
    second = next(i for i, (_, body) in enumerate(service.requests) if body.get("slug") == SECOND)
    looks = [name for name, _ in service.requests[:second] if name == "GetKernelSessionStatus"]
    assert len(looks) == 2


def test_version_saved_by_hand_meanwhile_is_an_error(tiny: Path, service: Service) -> None:
    look = service._look

    def meddling(body: dict[str, Any]) -> dict[str, Any]:
        answer = look(body)
        if answer["status"] == "COMPLETE":
            service.shown[FIRST] = 5
        return answer

    service._look = meddling  # type: ignore[method-assign]
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "version 5 was saved by someone else" in result.output


def test_too_many_requests_waits_as_long_as_asked(tiny: Path, service: Service) -> None:
    too_many = Reply(status=429, body={"code": 429, "message": "Too Many Requests"}, headers={"Retry-After": "7"})
    service.faults["SaveKernel"] = [too_many, too_many]
    service.faults["GetKernelSessionStatus"] = [too_many]
    service.faults["StartBlobUpload"] = [too_many]
    result = hbac("push", tiny)
    assert result.exit_code == 0, result.output
    assert service.slept.count(7.0) == 3  # type: ignore[attr-defined]
    assert service.versions == {FIRST: 1, SECOND: 1}


def test_too_many_requests_without_end_is_an_error(tiny: Path, service: Service) -> None:
    service.faults["GetKernelSessionStatus"] = [Reply(status=429, body={"code": 429, "message": "no"})] * 50
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "too many requests (HTTP 429) after 6 attempts" in result.output


def test_dropped_connection_is_repeated_and_a_saved_kernel_not_saved_twice(tiny: Path, service: Service) -> None:
    service.faults["SaveKernel"] = [Reply(drop=True, after=True)]
    service.faults["GetKernelSessionStatus"] = [Reply(drop=True), Reply(status=503, body={"code": 503, "message": "x"})]
    service.faults["PUT"] = [Reply(drop=True)]
    result = hbac("push", tiny)
    assert result.exit_code == 0, result.output
    assert [body["slug"] for body in service.sent("SaveKernel")] == [FIRST, SECOND]
    assert service.versions == {FIRST: 1, SECOND: 1}


def test_push_dropped_before_it_was_saved_is_sent_again(tiny: Path, service: Service) -> None:
    service.faults["SaveKernel"] = [Reply(drop=True)]
    assert hbac("push", tiny).exit_code == 0
    assert [body["slug"] for body in service.sent("SaveKernel")] == [FIRST, FIRST, SECOND]
    assert service.versions == {FIRST: 1, SECOND: 1}


def test_slow_upload_arrives_and_an_upload_that_stalls_ends(
    tiny: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.faults["PUT"] = [Reply(delay=1.5)]
    assert hbac("push", tiny).exit_code == 0
    wheel = next((tiny / "datasets" / "wheels").glob("hbaclib-*.whl"))
    assert wheel.read_bytes() in service.uploads
    (tiny / pushing.STATE).unlink()
    monkeypatch.setattr(clients, "SECONDS", 0.05)
    service.faults["PUT"] = [Reply(delay=1.0)] * 500
    result = hbac("push", tiny)
    service.stop.set()
    assert result.exit_code == 1
    assert "failed; the same command tries again where it stopped" in result.output
    assert not service.sent("CreateDatasetVersion")


def test_refused_upload_makes_no_data_set_without_that_file(tiny: Path, service: Service) -> None:
    service.faults["PUT"] = [Reply(status=403)]
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "hbac: upload of " in result.output
    assert not service.sent("CreateDataset")


def test_interrupted_push_continues_without_a_second_start(
    tiny: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        if service.sent("GetKernelSessionStatus"):
            raise KeyboardInterrupt

    monkeypatch.setattr(clients, "sleep", interrupt)
    result = hbac("push", tiny)
    assert result.exit_code == 130
    assert state(tiny)["11_first"]["status"] == "running"
    monkeypatch.setattr(clients, "sleep", lambda seconds: None)
    assert hbac("push", tiny).exit_code == 0
    assert service.versions == {FIRST: 1, SECOND: 1}


def test_no_gpu_hours_left_is_said_before_anything_starts(full: Path, service: Service) -> None:
    (full / pushing.STATE).unlink(missing_ok=True)
    service.quota = {"timeUsed": "108000s", "totalTimeAllowed": "108000s"}
    result = hbac("push", full)
    assert result.exit_code == 1
    assert "no GPU hours left this week; 04_train_efficientnet-b0" in result.output
    assert not service.sent("SaveKernel")


def test_full_sessions_are_waited_for_only_while_ours_run(tiny: Path, service: Service) -> None:
    service.faults["SaveKernel"] = [Reply(body={"error": "Maximum batch CPU session count of 5 reached."})]
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "session count of 5" in result.output


def test_build_of_another_user_is_refused(tiny: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "another")
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "built for user 'someone', but the credentials are of 'another'" in result.output


def test_missing_credentials_say_what_to_do_where(
    tiny: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    result = hbac("push", tiny)
    assert result.exit_code == 1
    assert "https://www.kaggle.com/settings/api" in result.output
    assert "KAGGLE_API_TOKEN" in result.output
    assert not service.requests


def test_status_shows_each_and_fails_where_one_failed(tiny: Path, service: Service) -> None:
    result = hbac("status", tiny)
    assert result.exit_code == 0
    assert result.output.count("not pushed") == 3
    assert hbac("push", tiny).exit_code == 0
    result = hbac("status", tiny)
    assert re.search(rf"{FIRST} +version 1 +complete\n", result.output)
    service.sessions[SECOND] = [("ERROR", 1)]
    result = hbac("status", tiny)
    assert result.exit_code == 1
    assert "error it broke" in result.output


def give_output(service: Service, ref: str, stage: str, folder: Path) -> None:
    """Let a kernel have written a stage of one file, in a session that prints."""
    write_text(folder / stage / "value.txt", "3")
    write_manifest(folder / stage, stage, inputs={}, parameters={}, outputs=["value.txt"])
    files = {f"{stage}/{path.name}": path.read_bytes() for path in (folder / stage).iterdir()}
    service.files[ref] = {**files, "__notebook__.ipynb": b"{}", "submission.csv": b"eeg_id\n"}


def test_output_is_downloaded_and_checked(tiny: Path, service: Service, tmp_path: Path) -> None:
    assert hbac("push", tiny).exit_code == 0
    give_output(service, FIRST, "11_first", tmp_path / "there")
    give_output(service, SECOND, "12_second", tmp_path / "there")
    result = hbac("output", tiny, "--to", tmp_path / "here")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "here" / "11_first" / "value.txt").read_text() == "3"
    assert (tmp_path / "here" / "submission.csv").is_file()
    assert (tmp_path / "here" / "notebooks" / "12_second-__notebook__.ipynb").is_file()
    assert not (tmp_path / "here" / "report.html").exists()  # no network, nothing to report on
    assert hbac("output", tiny, "11_first", "--to", tmp_path / "here").output == "11_first: unchanged\n"
    service.files[FIRST]["11_first/value.txt"] = b"4"
    result = hbac("output", tiny, "11_first", "--to", tmp_path / "new")
    assert result.exit_code == 1
    assert "missing or changed since its manifest was written: value.txt" in result.output
    assert not (tmp_path / "new" / "11_first").exists()


def test_output_ends_with_the_report(tiny: Path, service: Service, tmp_path: Path) -> None:
    assert hbac("push", tiny).exit_code == 0
    give_output(service, FIRST, "11_first", tmp_path / "there")
    run, truth = make_fake_run(tmp_path / "run", n_models=2, n_patients=12, n_folds=2, recordings=False)
    truth.to_parquet(run / "synthetic-hms-truth.parquet")
    plan = json.loads((tiny / "plan.json").read_text())
    for stage in (path.parent.name for path in sorted(run.glob("*/manifest.json"))):
        # Each stage comes from its own kernel; what else a kernel has written is not taken.
        ref = f"someone/kernel-{stage}"
        plan["kernels"].append({**plan["kernels"][0], "name": stage, "stage": stage, "ref": ref, "after": []})
        files = {path for path in [*run.rglob("*")] if path.is_file() and path.name != "stages.json"}
        service.files[ref] = {path.relative_to(run).as_posix(): path.read_bytes() for path in files}
        service.files[ref] |= {".digests.json": b"{}", ".ssh/config": b"x", "report.html": b"x", "more/file": b"x"}
    (tiny / "plan.json").write_text(json.dumps(plan))
    names = [kernel["name"] for kernel in plan["kernels"] if kernel["name"] != "12_second"]
    result = hbac("output", tiny, *names, "--to", tmp_path / "here")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "here" / "more").exists()
    assert f"report: {tmp_path / 'here' / 'report.html'}" in result.output
    assert {path.name for path in (tmp_path / "here").glob(".*")} == set()
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    assert set(results["training"]) == {"04_train_efficientnet-b0", "04_train_efficientnet-b1"}
    assert {"ensemble", "class mean", "oracle"} <= set(results["scores"])


def test_folders_may_be_relative(tiny: Path, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    give_output(service, FIRST, "11_first", tmp_path / "there")
    for words in (["push", "build"], ["status", "build"], ["output", "build", "11_first", "--to", "here"]):
        result = hbac(*words)
        assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} - {"home", "uploads"} == {"build", "here", "there"}


def test_output_names_cannot_leave_the_folder_and_failed_downloads_are_not_kept(
    tiny: Path, service: Service, tmp_path: Path
) -> None:
    assert hbac("push", tiny).exit_code == 0
    service.files[FIRST] = {"../outside.txt": b"x"}
    result = hbac("output", tiny, "11_first", "--to", tmp_path / "here")
    assert result.exit_code == 1
    assert "leads out of its folder" in result.output
    give_output(service, FIRST, "11_first", tmp_path / "there")
    service.faults["GET"] = [Reply(status=404)]
    result = hbac("output", tiny, "11_first", "--to", tmp_path / "here")
    assert result.exit_code == 1
    assert "HTTP 404" in result.output
    assert not (tmp_path / "here" / "11_first").exists()
    assert hbac("output", tiny, "13_third", "--to", tmp_path / "here").exit_code == 1


def test_output_of_a_running_kernel_is_refused(tiny: Path, service: Service, tmp_path: Path) -> None:
    assert hbac("push", tiny).exit_code == 0
    service.sessions[FIRST] = [("RUNNING", 1)]
    result = hbac("output", tiny, "--to", tmp_path / "here")
    assert result.exit_code == 1
    assert f"kernel {FIRST}: running, expected complete" in result.output


def test_submit_hands_in_that_version_and_waits_for_the_score(full: Path, service: Service) -> None:
    (full / pushing.STATE).unlink(missing_ok=True)
    result = hbac("submit", full)
    assert result.exit_code == 1
    assert "not complete on Kaggle" in result.output
    assert hbac("push", full).exit_code == 0
    pending = {"ref": 77, "status": "PENDING"}
    scored = {"ref": 77, "status": "COMPLETE", "publicScore": "0.41", "privateScore": "0.45"}
    service.submissions = [[pending], [{"ref": 5, "status": "ERROR"}, pending], [scored]]
    result = hbac("submit", full, "-m", "five networks")
    assert result.exit_code == 0, result.output
    assert "public score 0.41, private score 0.45" in result.output
    body = service.sent("CreateCodeSubmission")[0]
    assert body["kernelSlug"] == "hbac-08-submit"
    assert body["kernelVersion"] == 1
    assert body["fileName"] == "submission.csv"
    assert body["submissionDescription"] == "five networks"
    service.submissions = [[{"ref": 77, "status": "ERROR", "errorDescription": "Submission CSV Not Found"}]]
    result = hbac("submit", full)
    assert result.exit_code == 1
    assert "submission 77: Submission CSV Not Found" in result.output


def test_submit_without_a_competition_is_refused(tiny: Path, service: Service) -> None:
    result = hbac("submit", tiny)
    assert result.exit_code == 1
    assert "nothing to submit" in result.output


def test_the_command_itself_through_a_proxy(tiny: Path, tmp_path: Path) -> None:
    """A process as a user starts it, its credentials from the environment, sent to loopback by a proxy setting."""
    with serve() as service:
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment = {
            **kept,
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": service.url,
            "KAGGLE_USERNAME": "someone",
            "KAGGLE_KEY": KEY,
            "KAGGLE_CONFIG_DIR": str(tmp_path / "config"),
            "HOME": str(tmp_path / "home"),
        }
        command = [sys.executable, "-m", "hbaclib.cli.main", "kaggle", "status", str(tiny)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("not pushed") == 3
        assert service.sent("GetKernel")
        assert KEY not in done.stdout + done.stderr


def test_every_change_is_one_line(tiny_build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = read_plan(tiny_build)
    push = pushing.Push(tiny_build, plan, 1.0, SimpleNamespace(user=plan.user))  # type: ignore[arg-type]
    push._show("first", "running")
    push._show("first", "running")
    push._show("data set wheels", "complete")
    assert [line.split(" s  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "first            running",
        "data set wheels  complete",
    ]


def test_the_self_test_is_one_kernel_that_needs_nothing(tmp_path: Path, service: Service) -> None:
    result = hbac("selftest", "--user", "someone", "--out", tmp_path / "build")
    assert result.exit_code == 0, result.output
    (body,) = service.sent("SaveKernel")
    assert body["slug"] == "someone/hbac-09-self-test" and body["newTitle"] == "HBAC 09 self-test"
    assert (body["machineShape"], body["enableGpu"], body["enableInternet"]) == ("NvidiaTeslaT4", True, False)
    assert body["datasetDataSources"] == ["someone/hbac-wheels"] and body["isPrivate"] is True
    assert not body.get("competitionDataSources") and not body.get("kernelDataSources")
    cells = json.loads(body["text"])["cells"]
    assert any("run_selftest(output_root(out)" in cell["source"] for cell in cells)
    assert "hbac kaggle build --user someone --out BUILD --selftest FOLDER/09_selftest/selftest.json" in result.output


def test_public_kernels_share_their_wheels_and_nothing_else(tiny: Path, service: Service) -> None:
    plan = read_plan(tiny)
    (wheels,) = plan.datasets
    arrays = replace(wheels, name="arrays", ref="someone/hbac-arrays")
    shutil.copytree(tiny / "datasets" / "wheels", tiny / "datasets" / "arrays")
    metadata = tiny / "datasets" / "arrays" / "dataset-metadata.json"
    metadata.write_text(metadata.read_text().replace("wheels", "arrays"))
    public = replace(plan, datasets=(replace(wheels, public=True), arrays))
    write_text(tiny / "plan.json", json.dumps(asdict(public)))
    assert hbac("push", tiny).exit_code == 0
    made = {body["slug"]: bool(body.get("isPrivate", False)) for body in service.sent("CreateDataset")}
    assert made == {"hbac-wheels": False, "hbac-arrays": True}


# ---- a session that was too short ------------------------------------------------------------------------------------

NO_TIME = (
    "no time left for 05_train_wavenet fold-3, 05_train_wavenet fold-4: start the same again, and it goes on there"
)


def sources(service: Service) -> list[tuple[str, list[str]]]:
    """What was sent, each with the kernels that it reads."""
    return [(body["slug"], body.get("kernelDataSources", [])) for body in service.sent("SaveKernel")]


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (["11_first"], [(FIRST, [FIRST]), (SECOND, [FIRST])]),
        (["12_second"], [(SECOND, [FIRST, SECOND])]),
        (["12_second", "11_first"], [(FIRST, [FIRST]), (SECOND, [FIRST, SECOND])]),
    ],
)
def test_a_kernel_is_sent_again_reading_its_own_output_and_those_that_read_it_follow(
    tiny: Path, service: Service, again: list[str], expected: list[tuple[str, list[str]]]
) -> None:
    assert hbac("push", tiny).exit_code == 0
    before = {path: path.read_bytes() for path in (tiny / "kernels").rglob("*") if path.is_file()}
    result = hbac("push", tiny, *(part for name in again for part in ("--again", name)))
    assert result.exit_code == 0, result.output
    assert sources(service)[2:] == expected
    assert {path: path.read_bytes() for path in before} == before, "the build stays as it is"
    assert len(service.sent("CreateDataset")) == 1 and not service.sent("CreateDatasetVersion")
    # It counts as sent: another push has nothing to do, and a third session reads the second one's output.
    assert hbac("push", tiny).exit_code == 0
    assert len(sources(service)) == 2 + len(expected)
    assert hbac("push", tiny, "--again", "12_second").exit_code == 0
    assert sources(service)[2 + len(expected) :] == [(SECOND, [FIRST, SECOND])]


@pytest.mark.parametrize("where", ["before it was sent", "while it runs"])
@pytest.mark.parametrize("command", [(), ("--again", "11_first")], ids=["plain", "the same"])
def test_an_interrupted_again_continues(
    tiny: Path, service: Service, monkeypatch: pytest.MonkeyPatch, where: str, command: tuple[str, ...]
) -> None:
    assert hbac("push", tiny).exit_code == 0
    if where == "while it runs":

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(clients, "sleep", interrupt)
    else:
        service.faults["SaveKernel"] = [Reply(status=400, body={"code": 400, "message": "no"})]
    assert hbac("push", tiny, "--again", "11_first").exit_code == (130 if where == "while it runs" else 1)
    monkeypatch.setattr(clients, "sleep", lambda seconds: None)
    assert hbac("push", tiny, *command).exit_code == 0
    refused = [(FIRST, [FIRST])] * (where != "while it runs")
    assert sources(service)[2:] == [*refused, (FIRST, [FIRST]), (SECOND, [FIRST])]
    assert service.versions == {FIRST: 2, SECOND: 2}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("11_first", f"kernel {FIRST}: not on Kaggle yet, nothing to go on from; leave out --again"),
        ("11_fist", "no kernel '11_fist'; did you mean 11_first?"),
        ("", "no kernel ''; there are: 11_first, 12_second"),
    ],
)
def test_what_cannot_go_on_is_told_before_anything_is_sent(
    tiny: Path, service: Service, name: str, sentence: str
) -> None:
    result = hbac("push", tiny, "--again", name)
    assert result.exit_code == 1 and sentence in result.output
    assert not service.sent("SaveKernel") and not service.uploads


def on_gpu(folder: Path) -> None:
    """Let the plan say that the second kernel has GPUs."""
    plan = json.loads((folder / "plan.json").read_text())
    plan["kernels"][1]["gpu"] = True
    (folder / "plan.json").write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (json.dumps([{"data": "3 fits\n"}, {"data": f"{NO_TIME}\n"}, {"data": "the end\n"}]), [NO_TIME]),
        (f"x\n  {NO_TIME}\n{NO_TIME.replace('wavenet', 'b0')}\n", [NO_TIME, NO_TIME.replace("wavenet", "b0")]),
        (json.dumps([{"data": "nothing was left out\n"}]), []),
        ("", []),
    ],
)
def test_push_and_status_tell_what_a_session_left_out(tiny: Path, service: Service, log: str, told: list[str]) -> None:
    on_gpu(tiny)
    service.logs[SECOND] = log
    expected = [f"12_second: {line}" for line in told]
    expected += [f"12_second: hbac kaggle push {tiny} --again 12_second"] * bool(told)
    for command in ("push", "status"):
        result = hbac(command, tiny)
        assert result.exit_code == 0, result.output
        assert [line for line in result.output.splitlines() if line.startswith("12_second: ")] == expected


def test_a_log_that_cannot_be_had_fails_nothing(tiny: Path, service: Service) -> None:
    on_gpu(tiny)
    service.faults["ListKernelSessionOutput"] = [Reply(status=403, body={"code": 403, "message": "no"})] * 20
    assert hbac("push", tiny).exit_code == 0
    assert hbac("status", tiny).exit_code == 0
