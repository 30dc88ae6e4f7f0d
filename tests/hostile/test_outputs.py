"""Outputs that would touch an input, or replace what hbac did not write; and messages that would tell a secret."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from hbaclib import make_synthetic_dataset
from hbaclib.artefacts import write_json, write_manifest, write_text
from hbaclib.dataset.synthetic.writer import remove_set
from hbaclib.errors import PlatformError
from hbaclib.kaggle import results
from hbaclib.kaggle.build import build
from hbaclib.kaggle.plan import Plan, PlannedKernel
from hbaclib.locks import hold
from hbaclib.prediction.submission import make_submission, submit_stage
from hbaclib.report.page import write_report
from hbaclib.search.space import Choice
from hbaclib.search.tune import tune
from hbaclib.secrecy import hide, remember
from hbaclib.stages.port import port_data
from hbaclib.suite.runner import run_suite
from hbaclib.training.cross_validate import train
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case
from tests.suite.tiny_project import make_project
from tests.training.tiny import TinyArrays, tiny_recipe

Make = Callable[[Path], Words]
KEY = "a/b+c d=0123456789"
OURS = "file,start_second,seizure_vote,lpd_vote,gpd_vote,lrda_vote,grda_vote,other_vote\nold,0,1,0,0,0,0,0\n"


def given(folder: Path, names: dict[str, str]) -> None:
    """A user's files."""
    for name, text in names.items():
        write_text(folder / name, text)


def predict(out: str, *, before: Callable[[Path], None] = lambda folder: None, data: bool = False) -> Make:
    """``hbac predict run/eeg a.parquet --out``, or of the data set."""

    def make(folder: Path) -> Words:
        run, eeg = stock.run(folder), stock.recording(folder)
        source = stock.data(folder) if data else eeg
        before(folder)
        return ["predict", run / "eeg", source, "--out", out]

    return make


def symbolic(source: Path, place: Path) -> None:
    place.symlink_to(source)


def link(out: str, target: str, how: Callable[[Path, Path], None] = symbolic) -> Make:
    return predict(out, before=lambda folder: how(folder / target, folder / out))


def synth(names: dict[str, str], out: str = "set", prepare: Callable[[Path], None] = lambda folder: None) -> Make:
    def make(folder: Path) -> Words:
        given(folder, names)
        prepare(folder)
        return ["synth", out, "--patients", "1", "--test-rows", "1", "--jobs", "1"]

    return make


def suite(names: dict[str, str], out: str = "out", data: bool = False, prepare: Any = lambda folder: None) -> Any:
    """A run of the tiny project, refused before anything runs."""

    def make(folder: Path) -> Callable[[], Any]:
        project = make_project(folder / "project")
        given(folder, names)
        source = stock.data(folder) if data else None
        prepare(folder)
        return lambda: run_suite("tiny", out=folder / out, data=source, root=project)

    return make


def built(names: dict[str, str], out: str = "D", prepare: Any = lambda folder: None, **options: str) -> Any:
    def make(folder: Path) -> Callable[[], Any]:
        project = make_project(folder / "project")
        given(folder, names)
        prepare(folder)
        places = {name: folder / value for name, value in options.items()}
        return lambda: build("tiny", user="someone", out=folder / out, root=project, **places)

    return make


def stage_at(place: str, kind: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        write_text(folder / place / "value.txt", "3")
        write_manifest(folder / place, kind, inputs={}, parameters={}, outputs=["value.txt"])

    return prepare


def searched(place: str, prepare: Callable[[Path], None]) -> Any:
    def make(folder: Path) -> Callable[[], Any]:
        prepare(folder)
        space = {"batch": Choice((4, 8))}
        return lambda: tune(tiny_recipe(), TinyArrays(), space, folder / place, progress=False)

    return make


class Service:
    """Stands for Kaggle: a kernel's output as files in memory."""

    files: dict[str, bytes]

    def kernel_status(self, ref: str) -> tuple[str, str]:
        return "COMPLETE", ""

    def output_files(self, ref: str) -> list[tuple[str, str]]:
        return [(name, name) for name in self.files]

    def download(self, address: str, path: Path, *, limit: int) -> None:
        if len(self.files[address]) > limit:
            raise PlatformError("too large")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files[address])


def downloaded(files: dict[str, str], here: dict[str, str], outputs: Any = None, to: str = "D") -> Any:
    """``hbac kaggle output`` of a kernel for stage 11_first, that wrote further files, into a folder with others."""

    def make(folder: Path) -> Callable[[], Any]:
        kernel = PlannedKernel("11_first", "11_first", "someone/first", (), False, 0, "1")
        write_json(folder / "build" / "plan.json", json.loads(json.dumps(_plan(kernel))))
        given(folder / "D", here)
        there = folder / "there" / "11_first"
        for name, text in (outputs or {"value.txt": "3"}).items():
            write_text(there / name, text)
        write_manifest(there, "11_first", inputs={}, parameters={}, outputs=list(outputs or {"value.txt": "3"}))
        made = {
            path.relative_to(there.parent).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()
        }
        service = Service()
        service.files = {name: text.encode() for name, text in files.items()} | made
        results.Kaggle = lambda: service  # type: ignore[misc, assignment]
        return lambda: results.output(folder / "build", folder / to)

    return make


def _plan(kernel: PlannedKernel) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(Plan("tiny", "someone", "", (), (kernel,)))


@pytest.fixture(autouse=True)
def kaggle_as_it_is() -> Iterator[None]:
    own = results.Kaggle
    yield
    results.Kaggle = own  # type: ignore[misc]


MANIFEST_OF_OTHERS = json.dumps({"name": "app", "icons": []})
GOT = ("11_first/*", "D/11_first", "hbac-files.json", "D/notebooks", "D/notebooks/*", "submission.csv")
BUILT = ("D/datasets", "D/datasets/wheels", "D/datasets/wheels/*", "D/kernels", "D/kernels/*", "plan.json",
         "hbac-files.json")  # fmt: skip
UNDER_WAY = "another hbac writes there"


def held(path: str) -> Callable[[Path], None]:
    """Hold a lock until the test ends."""

    def prepare(folder: Path) -> None:
        lock = hold(folder / path, wait=False, keep=False)
        lock.__enter__()
        HELD.append(lock)

    return prepare


HELD: list[Any] = []

CASES = [
    # predict --out
    Case("--out is the EEG", 9, predict("a.parquet"), 1, ("a.parquet: is an input",)),
    Case("--out is the EEG by another path", 9, predict("./run/../a.parquet"), 1, ("is an input",)),
    Case("--out is a link to the EEG", 9, link("l.csv", "a.parquet"), 1, ("l.csv: is an input",)),
    Case("--out is a hard link of the EEG", 9,
         link("h.csv", "a.parquet", os.link), 1, ("h.csv: is an input",)),
    Case("--out through a linked folder", 9,
         predict("here/a.parquet", before=lambda f: (f / "here").symlink_to(f)), 1, ("is an input",)),
    Case("--out is the network's manifest", 9, predict("run/eeg/manifest.json"), 1, ("lies inside the input",)),
    Case("--out is new in the network's folder", 9, predict("run/eeg/new/shares.csv"), 1, ("lies inside the input",)),
    Case("--out is in another stage", 9, predict("run/07_ensemble/shares.csv"), 1, ("holds a finished stage",)),
    Case("--out is the sample submission of the data", 9, predict("data/sample_submission.csv", data=True), 1,
         ("lies inside the input",)),
    Case("--out is new in the data", 9, predict("data/train_eegs/new.csv", data=True), 1, ("lies inside the input",)),
    Case("--out is a user's table", 9, predict("mine.csv", before=lambda f: given(f, {"mine.csv": "file,x\n1,2\n"})), 1,
         ("mine.csv: exists and was not written by hbac; choose another name",)),
    Case("--out is a user's text without a line end", 9,
         predict("mine", before=lambda f: given(f, {"mine": "x" * 10_000})), 1, ("was not written by hbac",)),
    Case("--out is an empty file", 9, predict("py.typed", before=lambda f: given(f, {"py.typed": ""})), 1,
         ("was not written by hbac",)),
    Case("--out is a link to a user's file", 9,
         predict("l.csv", before=lambda f: (given(f, {"mine": "keep"}), (f / "l.csv").symlink_to("mine"))[0]), 1,
         ("was not written by hbac",)),
    Case("--out is a loop of links", 9, predict("l.csv", before=lambda f: (f / "l.csv").symlink_to("l.csv")), 1,
         ("l.csv: is a link that leads back to itself",)),
    Case("--out is a folder", 9, predict("run"), 2, ("is a directory",)),
    Case("--out is a pipe", 9, predict("pipe", before=lambda f: os.mkfifo(f / "pipe")), 1, ("pipe: is no file",)),
    Case("--out below a file", 9, predict("a.parquet/x.csv"), 1, ("cannot be written",)),
    Case("--out is an earlier table of ours", 0, predict("t.csv", before=lambda f: given(f, {"t.csv": OURS})), 0, (),
         writes=("t.csv",)),
    Case("--out is a link to an earlier table of ours", 0,
         predict("l.csv", before=lambda f: (given(f, {"t.csv": OURS}), (f / "l.csv").symlink_to("t.csv"))[0]), 0, (),
         writes=("t.csv",)),
    Case("--out is /dev/null", 9, predict("/dev/null"), 0, ()),
    Case("--out is a link to /dev/null", 9, predict("n", before=lambda f: (f / "n").symlink_to("/dev/null")), 0, ()),
    Case("--out is /dev/stdout", 9, predict("/dev/stdout"), 0, ("a.parquet,0.0,0\\.",)),
    Case("--out would be a recording", 9,
         lambda f: ["predict", stock.run(f) / "eeg", stock.recording(f).parent, "--out", "b.parquet"], 1,
         ("would count as a recording",)),
    Case("--out is written by another", 10, predict("t.csv", before=held(".t.csv.writing.lock")), 1, (UNDER_WAY,)),
    Case("a user's file has the lock's name", 10,
         predict("t.csv", before=lambda f: given(f, {".t.csv.writing.lock": "keep"})), 1, ("no lock of hbac",)),
    # make_submission, stages, training, report
    Case("submission over test.csv", 9,
         lambda f: ((data := stock.data(f)), (run := stock.run(f)),
                    lambda: make_submission(data, run / "eeg", data / "test.csv"))[2], 1, ("test.csv: lies inside",)),
    Case("submission over a user's table", 9,
         lambda f: (given(f, {"mine.csv": "a,b\n"}), lambda: make_submission(f, f / "none", f / "mine.csv"))[1], 1,
         ("mine.csv: exists and was not written by hbac",)),
    Case("stage 08 over a user's submission", 9,
         lambda f: (given(f, {"out/submission.csv": "a,b\n"}), (data := stock.data(f)), (run := stock.run(f)),
                    lambda: submit_stage(data, run / "eeg", f / "out" / "08_submit"))[3], 1,
         ("submission.csv: exists and was not written by hbac",)),
    Case("stage 08 into its data", 9,
         lambda f: ((data := stock.data(f)), (run := stock.run(f)),
                    lambda: submit_stage(data, run / "eeg", data / "08_submit"))[2], 1, ("lies inside the input",)),
    Case("stage 01 over a user's folder", 9,
         lambda f: (given(f, {"out/01_port_data/mine": "keep"}), (data := stock.data(f)),
                    lambda: port_data(data, f / "out"))[2], 1, ("01_port_data: holds files that hbac did not write",)),
    Case("stage 01 in a finished stage", 9,
         lambda f: (stage_at("T", "train")(f), (data := stock.data(f)), lambda: port_data(data, f / "T"))[2], 1,
         ("holds a finished stage",)),
    Case("stage 01 into its data", 9,
         lambda f: ((data := stock.data(f)), lambda: port_data(data, data))[1], 1, ("lies inside the input",)),
    Case("training over another stage", 9,
         lambda f: (stage_at("T", "01_port_data")(f), lambda: train(tiny_recipe(), TinyArrays(), f / "T"))[1], 1,
         ("T: holds a stage '01_port_data'",)),
    Case("training over a user's folder", 9,
         lambda f: (given(f, {"T/fold-0.csv": "keep"}), lambda: train(tiny_recipe(), TinyArrays(), f / "T"))[1], 1,
         ("T: holds files that hbac did not write",)),
    *(Case(f"search {where}", 9, searched(place, prepare), 1, (words,)) for where, place, prepare, words in (
        ("over a user's folder", "S", lambda f: given(f, {"S/notes": "x"}), "S: holds files that hbac did not write"),
        ("over a trained folder", "T", stage_at("T", "train"), "T: holds a stage 'train'"),
        ("below a trained folder", "T/S", stage_at("T", "train"), "T holds a finished stage"),
        ("over a file", "S", lambda f: given(f, {"S": "x"}), "S: is no folder"),
    )),
    Case("report over a user's page", 9,
         lambda f: (given(f, {"report.html": "mine"}), lambda: write_report(f))[1], 1, ("report.html exist",)),
    # synth
    Case("set over a user's folder", 9, synth({"set/thesis.txt": "x"}), 1, ("something else than a synthetic set",)),
    Case("set over a user's truth", 9, synth({"set-truth.parquet": "x"}), 1, ("set-truth.parquet: the set writes",)),
    Case("set over a user's summary", 9, synth({"set-summary.json": "{}"}), 1, ("set-summary.json: the set writes",)),
    Case("set over a file", 9, synth({"set": "x"}), 2, ("is a file",)),
    Case("set over a link to a folder", 9,
         synth({}, prepare=lambda f: ((f / "t").mkdir(), (f / "set").symlink_to("t"))), 1, ("set: is a link",)),
    Case("set inside a finished stage", 9, synth({}, "T/set", stage_at("T", "train")), 1, ("holds a finished stage",)),
    Case("a user's folder has the name of an old temporary one", 9,
         synth({".set.partial/thesis.txt": "x", ".01234567.partial.set/thesis.txt": "y"}), 0, (),
         writes=("set", "set/*", "set/*/*", "set-*")),
    Case("set under way", 10, synth({}, prepare=held(".set.writing.lock")), 1, (UNDER_WAY,)),
    Case("a user's file in a set that is made anew", 9,
         lambda f: (make_synthetic_dataset(f / "s", 1, n_test=1, n_jobs=1, recordings_per_patient=1, progress=False),
                    given(f, {"s/notes.txt": "x"}), lambda: remove_set(f / "s"))[2], 1, ("s: holds notes.txt",)),
    # hbac run
    Case("run in its data", 9, suite({}, "data", data=True), 1, ("lies inside the data",)),
    Case("run below its data", 9, suite({}, "data/train_eegs/run", data=True), 1, ("lies inside the data",)),
    Case("run in its data through a link", 9,
         suite({}, "l/run", data=True, prepare=lambda f: (f / "l").symlink_to("data")), 1, ("lies inside the data",)),
    Case("run in a trained folder", 9, suite({}, "T", prepare=stage_at("T", "train")), 1, ("holds a finished stage",)),
    Case("run below a trained folder", 9, suite({}, "T/x", prepare=stage_at("T", "train")), 1, ("a finished stage",)),
    Case("run over a project's notebooks", 9, suite({}, "project"), 1, ("holds notebooks/1._\\w+.ipynb",)),
    Case("run over a user's report", 9, suite({"out/report.html": "mine"}), 1, ("out: holds report.html",)),
    Case("run over a user's manifest", 9, suite({"out/manifest.json": MANIFEST_OF_OTHERS}), 1,
         ("holds manifest.json",)),
    Case("run over a user's stages", 9, suite({"out/11_first/mine": "x"}), 1, ("out: holds 11_first",)),
    Case("a user's file has the name of the run's lock", 10, suite({"out/.lock": "keep"}), 1, ("no lock of hbac",)),
    Case("run under way", 10, suite({}, prepare=held("out/.lock")), 1, ("another run is writing there",)),
    # kaggle build
    Case("build over a user's kernel", 9, built({"D/kernels/11_first/11_first.ipynb": "mine"}), 1,
         ("kernels/11_first/11_first.ipynb: would be replaced",)),
    Case("build over a user's data set", 9, built({"D/datasets/wheels/dataset-metadata.json": "{}"}), 1,
         ("dataset-metadata.json: would be replaced",)),
    Case("build over a user's plan", 9, built({"D/plan.json": "{}"}), 1, ("plan.json: exists and is no plan",)),
    Case("build over a user's list", 9, built({"D/hbac-files.json": "[]"}), 1, ("not hbac's list",)),
    Case("build through a link", 9, built({"mine/x": "x"}, prepare=lambda f: (
        (f / "D").mkdir(), (f / "D" / "kernels").symlink_to(f / "mine"))), 1, ("kernels: would be replaced",)),
    Case("build over a file named kernels", 9, built({"D/kernels": "x"}), 1, ("kernels: would be replaced",)),
    Case("build into the run that it publishes", 9, built({"run/x": "x"}, "run", arrays="run"), 1, ("is an input",)),
    Case("build into a finished stage", 9, built({}, "T", stage_at("T", "train")), 1, ("holds a finished stage",)),
    Case("build under way", 10, built({}, prepare=held("D/.writing.lock")), 1, (UNDER_WAY,)),
    # kaggle output
    Case("a kernel brings more than its stage", 9,
         downloaded({".ssh/authorized_keys": "x", ".git/hooks/pre-commit": "x", "07_ensemble/manifest.json": "{}",
                     "setup.py": "x", "more/a": "x", "11_first/extra": "x"},
                    {".ssh/authorized_keys": "mine", ".git/hooks/pre-commit": "mine", "07_ensemble/a": "mine"}), 0, (),
         writes=("D/11_first", "D/11_first/value.txt", "D/11_first/manifest.json", "hbac-files.json")),
    Case("a kernel brings a user's submission", 9, downloaded({"submission.csv": "x"}, {"submission.csv": "mine"}), 1,
         ("submission.csv: would be replaced",)),
    Case("a stage of that name is here", 9, downloaded({}, {"11_first/value.txt": "mine"}), 1,
         ("11_first/value.txt: would be replaced",)),
    Case("a kernel's names lead out", 9, downloaded({"../outside": "x"}, {"a": "mine"}), 1, ("leads out of its",)),
    Case("a kernel's names are absolute", 9, downloaded({"/etc/outside": "x"}, {"a": "x"}), 1, ("leads out of its",)),
    Case("a manifest names hidden files", 9, downloaded({}, {"a": "x"}, {".git/hooks/post": "x"}), 1, ("is hidden",)),
    Case("a manifest names files that are one on some disks", 9,
         downloaded({}, {"a": "x"}, {"value.txt": "3", "VALUE.txt": "4"}), 1, ("names value.txt twice",)),
    Case("a manifest names other contents", 9,
         lambda f: (lambda door: (lambda: (results.Kaggle().files.update({"11_first/value.txt": b"4"}), door())))(
             downloaded({}, {"a": "x"})(f)), 1, ("missing or changed since",)),
    Case("download into the build itself", 9, downloaded({}, {}, to="build"), 1, ("is an input",)),
    # secrets
    Case("signed address", 13,
         lambda f: lambda: hide("403 for url: https://h.com/a/b?X-Goog-Signature=secret0&x=(secret1) end"), 0,
         (r"https://h\.com/a/b\?\.\.\.\)? end",), never=("secret",)),
    Case("signed address without a server", 13,
         lambda f: lambda: str(PlatformError("retries exceeded with url: /a/b?X-Amz-Signature=secret (Caused by)")), 0,
         (r"/a/b\?\.\.\. \(Caused by\)",), never=("secret",)),
    Case("signed address in an address", 13,
         lambda f: lambda: hide("https%3A%2F%2Fh%2Fa%3Fsig%3Dsecret%26b%3D1 end"), 0, (" end$",), never=("secret",)),
    Case("password in an address", 13,
         lambda f: lambda: hide("proxy http://user:secret@h:80/p, https:\\/\\/u:secret@h"), 0,
         (r"http://\*\*\*@h:80/p",), never=("secret",)),
    Case("header", 13, lambda f: lambda: hide("{'Authorization': 'Basic c2VjcmV0OnNlY3JldA=='}"), 0, (r"\*\*\*",),
         never=("c2Vj",)),
    *(Case(f"key, {name}", 13,
           lambda f, text=text: lambda: (remember(KEY), hide(f"said {text} end"))[1], 0, ("^said .* end$",),
           never=("0123456789", "MTIzNDU2Nzg", "IzNDU2Nzg", "EyMzQ1Njc4"))
      for name, text in {
          "plain": KEY, "percent": quote(KEY, safe=""), "percent twice": quote(quote(KEY, safe=""), safe=""),
          "JSON": json.dumps(json.dumps({"key": KEY})), "base64": base64.b64encode(KEY.encode()).decode(),
          "base64 behind a name": base64.b64encode(f"someone:{KEY}".encode()).decode(),
          "base64 behind another name": base64.b64encode(f"else:{KEY}".encode()).decode(),
          "base64 between": base64.urlsafe_b64encode(f"someo:{KEY}:more".encode()).decode(),
      }.items()),
]  # fmt: skip


@table(CASES)
def test_outputs(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        try_case(case, tmp_path, monkeypatch)
    finally:
        while HELD:
            HELD.pop().__exit__(None, None, None)


def test_a_users_files_survive_a_build_and_a_second_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hbaclib.kaggle import build as building

    def wheels(folder: Path, root: Path, packages: Any, user: str) -> Any:
        write_text(folder / "a.whl", "wheel")
        from hbaclib.kaggle.datasets import _dataset

        return _dataset(folder, user)

    monkeypatch.setattr(building, "wheels_dataset", wheels)
    project, out = make_project(tmp_path / "project"), tmp_path / "D"
    own = {"datasets/mine.csv": "a", "kernels/11_first/notes.txt": "b", "notes": "c", ".new/x": "d"}
    given(out, own)
    for _ in range(2):
        build("tiny", user="someone", out=out, root=project)
        assert {name: (out / name).read_text() for name in own} == own
    assert not [path for path in out.rglob("*") if "partial" in path.name or "lock" in path.name]
    # What an earlier build made and this one does not is gone, what was edited is not replaced.
    table_of = project / "kaggle" / "suite.toml"
    whole = table_of.read_text()
    table_of.write_text(whole.replace('[[suites.tiny.stages]]\nnotebook = "12_second"\n', ""))
    build("tiny", user="someone", out=out, root=project)
    assert not (out / "kernels" / "12_second").exists() and (out / "kernels" / "11_first").is_dir()
    edited = out / "kernels" / "11_first" / "kernel-metadata.json"
    edited.write_text("mine")
    with pytest.raises(Exception, match=r"kernel-metadata\.json: would be replaced"):
        build("tiny", user="someone", out=out, root=project)
    assert edited.read_text() == "mine"
