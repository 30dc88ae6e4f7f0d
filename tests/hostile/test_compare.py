"""Hostile inputs of ``hbac compare``: no trained folders, ones that do not belong together, names and outputs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hbaclib import compare_runs, open_runs, pair_runs
from hbaclib.artefacts import read_manifest, write_manifest
from tests.ensemble.made_runs import make_samples, make_trained
from tests.hostile.frame import Case, Words, table, try_case

NONE, APART, ASKED = 16, 17, 18
"""Kinds: what is no trained folder, or a damaged one; folders that do not belong together; names and outputs."""
SAMPLES = make_samples(20)
FORM = "expected the folder of a trained network, or the output folder of a run"
MANIFEST = "manifest.json"


def made(folder: Path, name: str = "one", **options: Any) -> Path:
    return make_trained(folder / name, **{"name": name, "samples": SAMPLES, **options})


def against(spoil: Callable[[Path], Path], *more: str) -> Callable[[Path], Words]:
    """A sound folder, compared with another."""
    return lambda folder: ["compare", made(folder, "sound"), spoil(folder), *more]


def written(path: Path, text: str = "a,b\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def changed(name: str, change: Callable[[Path], Any], **options: Any) -> Callable[[Path], Path]:
    """A trained folder, one of whose files was changed."""

    def spoil(folder: Path) -> Path:
        trained = made(folder, "other", **options)
        change(trained / name)
        return trained

    return spoil


def table_of(change: Callable[[pd.DataFrame], pd.DataFrame], fold: int = 0) -> Callable[[Path], Path]:
    """A trained folder that wrote a fold's table like that."""
    return lambda folder: made(
        folder, "other", spoil=lambda rows, number, seed: change(rows) if number == fold else rows
    )


def unfinished(folder: Path) -> Path:
    trained = made(folder, "other")
    (trained / MANIFEST).unlink()
    return written(trained / "fold-0.fit.json", "{}").parent


def resealed(**changes: Any) -> Callable[[Path], Path]:
    """A trained folder whose manifest says something else, and is sealed for it."""

    def spoil(folder: Path) -> Path:
        trained = made(folder, "other")
        manifest = read_manifest(trained)
        values = {"parameters": manifest.parameters, "facts": manifest.facts, **changes}
        write_manifest(trained, manifest.stage, inputs={}, outputs=manifest.outputs, **values)
        return trained

    return spoil


def votes_of(n: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.assign(n_votes=rows["n_votes"] + (np.arange(len(rows)) < n))


def moved(folder: Path) -> Path:
    rows, expected = SAMPLES
    return made(folder, "other", samples=(rows.assign(fold=(rows["fold"] + 1) % 3), expected))


def swapped(rows: pd.DataFrame, *_: int) -> pd.DataFrame:
    return rows.assign(seizure_prediction=rows["lpd_prediction"], lpd_prediction=rows["seizure_prediction"])


def two_runs(folder: Path, **other: Any) -> list[Path]:
    """The same recipe with seeds 0 and 1, and with seed 1 again."""
    options = {"name": "x", "samples": SAMPLES}
    return [
        make_trained(folder / "first" / "x", seeds=[0, 1], **options),
        make_trained(folder / "second" / "x", **{"seeds": [1], **options, **other}),
    ]


def of_three(folder: Path, **options: Any) -> list[Path]:
    levels = {"good": 0.3, "bad": 1.5}
    return [made(folder, name, seeds=[0, 1, 2], noise=noise, **options) for name, noise in levels.items()]


def calling(make: Callable[[Path], Any], door: Callable[[Any], Any]) -> Callable[[Path], Callable[[], Any]]:
    """A call with what was made before."""

    def ready(folder: Path) -> Callable[[], Any]:
        given = make(folder)
        return lambda: door(given)

    return ready


def foreign(folder: Path) -> Words:
    written(folder / "out" / "scores.csv", "mine\n1\n")
    return ["compare", made(folder), "--csv", "out"]


CASES = [
    Case("no such folder", NONE, against(lambda folder: folder / "nothing"), 1, (f"nothing: no such folder; {FORM}",)),
    Case("a CSV in the place of a folder", NONE, against(lambda folder: written(folder / "oof.csv")), 1,
         (f"oof.csv: is a file; {FORM}",)),
    Case("its own table", NONE, lambda folder: ["compare", made(folder) / "oof.parquet"], 1, ("is a file",)),
    Case("a pipe", NONE, against(lambda folder: os.mkfifo(folder / "p") or folder / "p"), 1,
         (r"p: is a pipe \(FIFO\)",)),
    Case("an empty folder", NONE, against(lambda folder: (folder / "e").mkdir() or folder / "e"), 1,
         (r"e: holds no trained network \(found nothing\)",)),
    Case("a folder of other things", NONE, against(lambda folder: written(folder / "data" / "train.csv").parent), 1,
         (r"data: holds no trained network \(found train\.csv\)",)),
    Case("an ensemble's folder", NONE,
         against(lambda folder: write_manifest(written(folder / "e" / "x").parent, "07_ensemble", inputs={},
                                               parameters={}, outputs=[]) and folder / "e"),
         1, ("e: holds stage '07_ensemble', expected 'train'",)),
    Case("an unfinished training", NONE, against(unfinished), 1, ("other: the training there has not finished",)),
    Case("a run of nothing but an unfinished training", NONE,
         lambda folder: ["compare", unfinished(folder / "run").parent], 1,
         (r"run: holds no trained network \(not finished there: other\)",)),
    Case("a manifest of another program", NONE, against(lambda folder: written(folder / "w" / MANIFEST, "{}").parent),
         1, (r"w/manifest\.json: ",)),
    Case("a torn manifest", NONE, against(changed(MANIFEST, lambda path: path.write_text(path.read_text()[:99]))), 1,
         (r"other/manifest\.json: ",)),
    Case("a manifest changed by hand", NONE,
         against(changed(MANIFEST, lambda path: path.write_text(path.read_text().replace('"seeds"', '"seed"')))), 1,
         (r"manifest\.json: changed since it was written",)),
    Case("a recipe that is none", NONE, against(resealed(parameters={"recipe": "demo"})), 1,
         ("other: the manifest's recipe is 'demo', expected a table",)),
    Case("a recipe without stages", NONE, against(resealed(parameters={"recipe": {"name": "x"}})), 1, ("stages",)),
    Case("folds that the recipe does not have", NONE, against(resealed(facts={"folds": [0, 7]})), 1,
         (r"facts\.folds' is \[0, 7\]",)),
    Case("no folds", NONE, against(resealed(facts={"folds": []})), 1, (r"facts\.folds' is \[\]",)),
    Case("a damaged table", NONE,
         against(changed("fold-1.oof.parquet", lambda path: path.write_bytes(path.read_bytes()[:-40]))), 1,
         (r"other/fold-1\.oof\.parquet: changed since its manifest was written \(digest",)),
    Case("a table that was put there", NONE,
         against(changed("fold-1.oof.parquet", lambda path: shutil.copy(path.with_name("fold-0.oof.parquet"), path))),
         1, (r"fold-1\.oof\.parquet: changed since",)),
    Case("a missing table", NONE, against(changed("fold-2.oof.parquet", Path.unlink)), 1,
         ("other: fold 2 cannot be read",)),
    Case("NaN predictions", NONE, against(table_of(lambda rows: rows.assign(gpd_prediction=np.nan))), 1,
         (r"other/fold-0\.oof\.parquet: predictions: NaN or infinite values in 24 rows",)),
    Case("predictions that do not sum to 1", NONE, against(table_of(lambda rows: rows.assign(gpd_prediction=0.9))), 1,
         (r"fold-0\.oof\.parquet: predictions: 24 rows .*do not sum to 1",)),
    Case("a column missing", NONE, against(table_of(lambda rows: rows.drop(columns="n_votes"))), 1,
         (r"fold-0\.oof\.parquet: column missing: n_votes",)),
    Case("an empty table", NONE, against(table_of(lambda rows: rows.iloc[:0])), 1, (r"fold-0\.oof\.parquet: no rows",)),
    Case("rows twice", NONE, against(table_of(lambda rows: pd.concat([rows, rows.iloc[:3]]))), 1,
         (r"fold-0\.oof\.parquet: 3 repeated samples",)),
    Case("rows of another fold", NONE, against(table_of(lambda rows: rows.assign(fold=1))), 1,
         (r"fold-0\.oof\.parquet: 24 of 24 samples are of other folds",)),

    Case("fewer samples", APART, against(table_of(lambda rows: rows.iloc[5:])), 1,
         (r"other: no prediction for 5 of 80 samples",)),
    Case("other samples", APART,
         against(table_of(lambda rows: rows.assign(eeg_id=rows["eeg_id"] + 10**6), fold=1)), 1,
         (r"sound: no prediction for 28 of 108 samples", r"other: no prediction for 28 of 108 samples")),
    Case("other votes", APART, against(table_of(votes_of(4))), 1,
         (r"other: n_votes of 4 samples differ from .*sound",)),
    Case("other shares", APART,
         against(table_of(lambda rows: rows.assign(seizure_vote=rows["lpd_vote"], lpd_vote=rows["seizure_vote"]))), 1,
         (r"other: votes of \d+ samples differ from .*sound",)),
    Case("moved folds", APART, against(moved), 1,
         (r"other: 80 samples \(patients 100, 101, 102 and 17 more\) lie in other folds than in .*sound",)),
    Case("moved folds, only one of which is trained", APART,
         lambda folder: ["compare", made(folder, "sound", folds=[0]), moved(folder)], 1,
         (r"other: 24 samples .*lie in other folds",)),
    Case("no fold in common", APART,
         lambda folder: ["compare", made(folder, "a", folds=[0]), made(folder, "b", folds=[1, 2])], 1,
         (r"no fold that all were trained on: .*a has 0, .*b has 1, 2",)),
    Case("some folds in common", APART,
         lambda folder: ["compare", made(folder, "a", folds=[0, 1]), made(folder, "b", folds=[1, 2])], 0,
         (r"note: only rows of fold 1 are compared",)),
    Case("the same folder twice", APART, lambda folder: ["compare", made(folder), folder / "one"], 1,
         ("one: is named twice",)),
    Case("the same folder by a link", APART,
         lambda folder: ["compare", made(folder), os.symlink(folder / "one", folder / "link") or folder / "link"], 1,
         (r"link: is named twice \(as .*one, too\)",)),
    Case("a run and a folder of it", APART, lambda folder: ["compare", folder, made(folder)], 1,
         ("one: is named twice",)),
    Case("a seed with two outcomes", APART, lambda folder: ["compare", *two_runs(folder, spoil=swapped)], 1,
         (r"second/x: seed 1 of recipe 'x' was trained in .*first/x, too, and predicts otherwise",)),
    Case("a seed with two outcomes of two codes", APART,
         lambda folder: ["compare", *two_runs(folder, spoil=swapped, code="new"), "--over", "first/x"], 0,
         (r"from\s+other\s+code:\s+kept\s+apart", "one seed: not ranked +second/x")),
    Case("a seed copied", APART, lambda folder: ["compare", *two_runs(folder)], 0,
         ("x: seeds 0, 1 of", r"the\s+same\s+predictions\s+as\s[\s\S]*counted\s+once")),
    Case("one recipe on other inputs", APART,
         lambda folder: ["compare", *two_runs(folder, seeds=[2], inputs={"arrays": "b"})], 0,
         ("first/x: seeds 0, 1 of", "second/x: seed 2 of")),
    Case("one name for two recipes", APART,
         lambda folder: ["compare", *two_runs(folder, changes={"dropout": 0.5})], 0,
         ("first/x: seeds 0, 1 of", "second/x: seed 1 of")),

    Case("one folder", ASKED, lambda folder: ["compare", made(folder)], 0,
         ("One seed ranks nothing.*: one", "One recipe: there is nothing to compare it with")),
    Case("no folder", ASKED, lambda folder: ["compare"], 2, (r"Missing argument 'RUN\.\.\.'",)),
    Case("an unknown name", ASKED, lambda folder: ["compare", *of_three(folder), "--over", "goood"], 1,
         ("recipe 'goood' is unknown; did you mean good",)),
    Case("no name", ASKED, lambda folder: ["compare", *of_three(folder), "--over", ""], 1, ("recipe '' is unknown",)),
    Case("a folder's name for a recipe's", ASKED,
         lambda folder: ["compare", *of_three(folder), "--over", folder / "good"], 1, ("is unknown",)),
    Case("a name among one", ASKED, lambda folder: ["compare", made(folder), "--over", "two"], 1,
         ("recipe 'two' is unknown; known are one|did you mean one",)),
    Case("escape codes in a name", ASKED,
         lambda folder: ["compare", *of_three(folder), "--over", "\x1b[31mred"], 1, (r"\\x1b\[31mred",),
         never=("\x1b",)),
    Case("tables onto an input", ASKED, lambda folder: ["compare", made(folder), "--csv", folder / "one"], 1,
         ("one: is an input",)),
    Case("tables into an input", ASKED, lambda folder: ["compare", made(folder), "--csv", folder / "one" / "t"], 1,
         ("lies inside the input",)),
    Case("tables onto a run", ASKED,
         lambda folder: ["compare", made(folder / "run").parent, "--csv", folder / "run"], 1, ("run: is an input",)),
    Case("tables into a network of a run", ASKED,
         lambda folder: ["compare", made(folder / "run").parent, "--csv", folder / "run" / "one" / "t"], 1,
         ("lies inside the input",)),
    Case("tables over a file", ASKED, lambda folder: ["compare", made(folder), "--csv", written(folder / "t.csv")], 2,
         ("is a file",)),
    Case("tables over others of the name", ASKED, foreign, 1, (r"scores\.csv: exists and was not written by hbac",)),
    Case("tables below a file", ASKED,
         lambda folder: ["compare", made(folder), "--csv", written(folder / "t.csv") / "out"], 1, (r"t\.csv",)),
    Case("tables", ASKED, lambda folder: ["compare", *of_three(folder), "--csv", "out"], 0,
         (r"tables: out/scores\.csv, out/pairs\.csv", r"\+0\.\d+ .* 0% +worse +bad"),
         writes=("out", "out/scores.csv", "out/pairs.csv")),
    Case("a recipe with itself", ASKED, calling(of_three, lambda folders: pair_runs(open_runs(folders), "bad", "bad")),
         1, ("recipe 'bad' is compared with itself",)),
    Case("no path", ASKED, lambda folder: lambda: open_runs([None]), 1, ("None is no path",)),
    Case("nothing", ASKED, lambda folder: lambda: open_runs({}), 1, ("nothing to compare",)),
    Case("one folder under two names", ASKED, calling(made, lambda one: open_runs({"a": one, "b": str(one)})), 1,
         ("one: is named twice",)),
    Case("three patients", ASKED,
         calling(lambda folder: of_three(folder, samples=make_samples(3)),
                 lambda folders: pair_runs(open_runs(folders), "good", "bad").to_string()),
         0, ("too few patients: not ranked",), never=("  better",)),
    Case("no sample of many votes", ASKED,
         calling(lambda folder: made(folder, samples=few_votes()),
                 lambda one: compare_runs(open_runs(one)).to_string()),
         0, (r">=10 .* no samples",)),
]  # fmt: skip


def few_votes() -> tuple[pd.DataFrame, np.ndarray]:
    rows, expected = SAMPLES
    return rows.assign(n_votes=3), expected


@table(CASES)
def test_compare(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)


def test_a_changed_manifest_is_one_that_was_sealed(tmp_path: Path) -> None:
    """The cases that change what a manifest says seal it; what they are refused for is what it says."""
    assert json.loads((resealed(facts={"folds": [0]})(tmp_path) / MANIFEST).read_text())["facts"] == {"folds": [0]}
    assert open_runs(tmp_path / "other").folds == (0,)
