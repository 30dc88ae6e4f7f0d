"""Trained networks, ensembles and everything else that is read back: changed by hand, damaged, or of another make."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tomli_w

from hbaclib import load_oof, load_recipe, register_model
from hbaclib.artefacts import read_manifest, write_manifest
from hbaclib.ensemble.pooling import Pool
from hbaclib.ensemble.store import load_ensemble
from hbaclib.kaggle.plan import read_plan
from hbaclib.suite.table import SuiteTable
from hbaclib.training.cross_validate import train
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case
from tests.suite.tiny_project import TABLE, make_project
from tests.training.tiny import TinyArrays, tiny_recipe

Made = Words | Callable[[], Any]
WEIGHTS, MANIFEST, ENSEMBLE = "fold-0.weights.h5", "manifest.json", "ensemble.json"


def predicting(spoil: Callable[[Path], None], name: str = "eeg") -> Callable[[Path], Made]:
    """``hbac predict`` with a network or ensemble that was spoilt first."""

    def make(folder: Path) -> Made:
        run = stock.run(folder)
        spoil(run / name)
        return ["predict", run / name, stock.recording(folder)]

    return make


def opening(spoil: Callable[[Path], None], door: Callable[[Path], Any], name: str) -> Callable[[Path], Made]:
    """A call with a network's or an ensemble's folder that was spoilt first."""

    def make(folder: Path) -> Made:
        spoil(stock.run(folder) / name)
        return lambda: door(folder / "run" / name)

    return make


def of_ensemble(**changes: Any) -> Callable[[Path], Made]:
    """An ensemble with other values, sealed by a manifest that was written for it."""

    def spoil(folder: Path) -> None:
        edit_json(folder / ENSEMBLE, lambda content: content.update(changes))
        sealed(folder)

    return opening(spoil, load_ensemble, "07_ensemble")


def sealed(folder: Path) -> None:
    """Write a folder's manifest anew, for the files as they are."""
    old = read_manifest(folder)
    write_manifest(
        folder, old.stage, inputs=old.inputs, parameters=old.parameters, outputs=list(old.outputs), facts=old.facts
    )


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def manifest(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / MANIFEST, change)


def text_of(name: str, text: str | bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return spoil


def folds_of(*folds: Any) -> Callable[[Path], None]:
    """Write a sound manifest that names other folds."""

    def spoil(folder: Path) -> None:
        old = read_manifest(folder)
        facts = old.facts | {"folds": list(folds)}
        write_manifest(folder, old.stage, inputs={}, parameters=old.parameters, outputs=old.outputs, facts=facts)

    return spoil


def bytes_of(change: Callable[[bytearray], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = bytearray((folder / WEIGHTS).read_bytes())
        change(content)
        (folder / WEIGHTS).write_bytes(content)

    return spoil


def one_bit(content: bytearray) -> None:
    content[len(content) // 2] ^= 1


def many_bytes(content: bytearray) -> None:
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=20_000):
        content[place] = rng.integers(256)


def values_of(value: float, only: str = "") -> Callable[[Path], None]:
    """Set weights to one value, and seal the folder with a digest that is right."""

    def spoil(folder: Path) -> None:
        def write(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and only in name:
                item[...] = np.full(item.shape, value)

        with h5py.File(folder / WEIGHTS, "r+") as file:
            file.visititems(write)
        sealed(folder)

    return spoil


def member_changed(folder: Path) -> None:
    other = folder.parent / "eeg"
    (other / "history.csv").write_text("fold,seed,stage,epoch,loss\n0,0,1,1,9.0\n")
    sealed(other)


def oof_changed(folder: Path) -> None:
    content = bytearray((folder / "oof.parquet").read_bytes())
    one_bit(content)
    (folder / "oof.parquet").write_bytes(content)


def member(**changes: Any) -> list[dict[str, Any]]:
    rows = [{"name": "eeg", "folder": "eeg", "kl": 1.0}, {"name": "both", "folder": "both", "kl": 1.0}]
    rows[0].update(changes)
    return rows


def recipe_file(**changes: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        path = folder / "mine.toml"
        path.write_text(tomli_w.dumps({**load_recipe("smoke").to_dict(), **changes}))
        return lambda: load_recipe(path)

    return make


def toml_text(text: str | bytes) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        text_of("mine.toml", text)(folder)
        return lambda: load_recipe(folder / "mine.toml")

    return make


def stages(**changes: Any) -> list[dict[str, Any]]:
    return [{"epochs": 2, "schedule": "cosine", **changes}]


def suite(old: str, new: str, name: str = "tiny") -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        project = make_project(folder / "project")
        assert old in TABLE
        (project / "kaggle" / "suite.toml").write_text(TABLE.replace(old, new))
        return lambda: SuiteTable(project).suite(name)

    return make


def plan(change: Callable[[Any], Any]) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        kernel = {
            "name": "01", "stage": "01", "ref": "me/one", "after": [], "gpu": False, "bytes": 1, "digest": "d"
        }  # fmt: skip
        content = {
            "suite": "s", "user": "me", "competition": "", "schema": 1,
            "datasets": [{"name": "code", "ref": "me/code", "digest": "d"}], "kernels": [kernel],
        }  # fmt: skip
        change(content)
        (folder / "plan.json").write_text(json.dumps(content))
        return lambda: read_plan(folder)

    return make


def running(*given: str) -> Callable[[Path], Made]:
    return lambda folder: ["run", "smoke", "--out", folder / "out", *(word for text in given for word in ("-p", text))]


def pool(weights: Any, *rest: Any) -> Callable[[Path], Made]:
    return lambda folder: lambda: Pool(np.array(weights), *rest)


def over_another_stage(folder: Path) -> Made:
    run = stock.run(folder)
    return lambda: train(tiny_recipe(), TinyArrays(), run / "07_ensemble", progress=False)


def own_recipe_changed(folder: Path) -> Made:
    path = stock.run(folder) / "eeg" / "recipe.toml"
    path.write_text(path.read_text().replace("epochs = 1", "epochs = 3"))
    return lambda: load_recipe(path)


def network(**changes: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        given = {name: folder / value if name == "weights" else value for name, value in changes.items()}
        options = {"backbone": "efficientnet_b0", "weights": str(given["weights"])}
        return lambda: load_recipe("smoke").override(options).find_weights()

    return make


def pretrained(value: float) -> Callable[[Path], Made]:
    """A pretrained network of somebody's, whose file holds one value."""

    def make(folder: Path) -> Made:
        from tests.training.tiny import tiny_features

        def load(features: Any, weights: Any) -> None:
            features.set_weights([np.full(weight.shape, value) for weight in features.weights])

        register_model("tiny_pretrained", tiny_features, load_weights=load)
        recipe = tiny_recipe(backbone="tiny_pretrained")
        return lambda: recipe.build_network("file.h5")

    return make


def copied_seal(content: Any) -> None:
    content["facts"]["seconds"] = 0.5


LONG = "n" * 300
CHANGED, SEAL = "changed since its manifest was written", "changed since it was written"
CASES = [
    # ---- what is loaded
    Case("sound network", 2, predicting(lambda folder: None), 0, (r"a\.parquet",)),
    Case("one bit", 2, predicting(bytes_of(one_bit)), 1, (WEIGHTS, CHANGED)),
    Case("20,000 bytes", 2, predicting(bytes_of(many_bytes)), 1, (WEIGHTS, CHANGED)),
    Case("half of the weights", 2, predicting(bytes_of(lambda content: content.__delitem__(slice(9000, None)))), 1,
         (WEIGHTS, CHANGED)),
    Case("no weights at all", 2, predicting(text_of(WEIGHTS, b"")), 1, (WEIGHTS, CHANGED)),
    Case("NaN with a right digest", 2, predicting(values_of(np.nan)), 1, (WEIGHTS, "not finite")),
    Case("infinity with a right digest", 2, predicting(values_of(np.inf)), 1, (WEIGHTS, "not finite")),
    Case("zeros with a right digest", 2, predicting(values_of(0.0)), 1, (WEIGHTS, "nothing but zeros")),
    Case("text for weights, with a right digest", 2,
         predicting(lambda folder: (text_of(WEIGHTS, "weights")(folder), sealed(folder))[0]), 1,
         (WEIGHTS, "cannot be loaded")),
    Case("folds emptied by hand", 2, predicting(manifest(lambda row: row["facts"].update(folds=[]))), 1, (SEAL,)),
    Case("no folds", 2, predicting(folds_of()), 1, (r"facts\.folds", r"is \[\]", "at least one")),
    Case("folds that are none", 2, predicting(folds_of(0, 7)), 1, (r"facts\.folds", r"\[0, 7\]", "from 0 to 1")),
    Case("a fold twice", 2, predicting(folds_of(1, 1)), 1, (r"facts\.folds", "different folds")),
    Case("a fold of text", 2, predicting(folds_of("0")), 1, (r"facts\.folds", "different folds")),
    Case("an edited recipe", 2, predicting(manifest(lambda row: row["parameters"]["recipe"].update(downsample=[2]))), 1,
         (MANIFEST, SEAL)),
    Case("an edited fact", 2, predicting(manifest(copied_seal)), 1, (MANIFEST, SEAL)),
    Case("another digest", 2, predicting(manifest(lambda row: row["outputs"].update({WEIGHTS: "0" * 32}))), 1,
         (MANIFEST, SEAL)),
    Case("no seal", 2, predicting(manifest(lambda row: row.pop("seal"))), 1, (MANIFEST, SEAL)),
    Case("out-of-fold table of another bit", 2, opening(oof_changed, load_oof, "eeg"), 1, (r"oof\.parquet", CHANGED)),
    Case("recipe of a trained folder edited", 2, own_recipe_changed, 1, (r"recipe\.toml", CHANGED)),
    Case("member trained again", 2, opening(member_changed, load_ensemble, "07_ensemble"), 1,
         ("fitted to another network eeg", "fit the ensemble again")),
    Case("member without its manifest", 2,
         opening(lambda folder: (folder.parent / "eeg" / MANIFEST).unlink(), load_ensemble, "07_ensemble"), 1,
         ("folders of the models eeg", "not found")),
    Case("member gone", 2, opening(lambda folder: shutil.rmtree(folder.parent / "eeg"), load_ensemble, "07_ensemble"),
         1, ("folders of the models eeg", "not found")),
    Case("member whose manifest was edited", 2,
         opening(lambda folder: manifest(copied_seal)(folder.parent / "eeg"), load_ensemble, "07_ensemble"), 1,
         (f"eeg/{MANIFEST}", SEAL)),
    Case("ensemble edited", 2,
         predicting(lambda folder: edit_json(folder / ENSEMBLE, lambda row: row.update(temperature=2.0)),
                    "07_ensemble"), 1, (ENSEMBLE, CHANGED)),
    # ---- how it is pooled
    Case("weight NaN", 2, of_ensemble(weights=[float("nan"), 0.4]), 1, (ENSEMBLE, "NaN is no number of JSON")),
    Case("weight below 0", 2, of_ensemble(weights=[1.4, -0.4]), 1, ("weights is", "at least 0 whose sum is 1")),
    Case("weights of sum 2", 2, of_ensemble(weights=[1.0, 1.0]), 1, ("weights is", "whose sum is 1")),
    Case("more weights than members", 2, of_ensemble(weights=[0.4, 0.3, 0.3]), 1,
         ("weights has 3 numbers, expected one for each of 2 members",)),
    Case("fewer weights than members", 2, of_ensemble(weights=[1.0]), 1, ("weights has 1 numbers",)),
    Case("weights of text", 2, of_ensemble(weights=["0.5", "0.5"]), 1,
         (r"weights\.0", "is '0.5', expected a number")),
    Case("temperature 0", 2, of_ensemble(temperature=0), 1, ("temperature is 0", "expected 0.001 to 1000")),
    Case("temperature -1", 2, of_ensemble(temperature=-1), 1, ("temperature is -1", "expected 0.001 to 1000")),
    Case("temperature NaN", 2, of_ensemble(temperature=float("nan")), 1, (ENSEMBLE, "NaN is no number of JSON")),
    Case("temperature infinite", 2, of_ensemble(temperature=float("inf")), 1, (ENSEMBLE, "Infinity is no number")),
    Case("temperature true", 2, of_ensemble(temperature=True), 1, ("key 'temperature' is True",)),
    Case("biases of five classes", 2, of_ensemble(biases={"Seizure": 0.0}), 1, ("biases has", "expected Seizure, LPD")),
    Case("biases of 1e9", 2, of_ensemble(biases=dict.fromkeys(("Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other"), 1e9)),
         1, ("biases is", "numbers from -50 to 50")),
    Case("a member twice", 2, of_ensemble(members=[member()[0]] * 2), 1, ("members is", "expected different ones")),
    Case("two names of one member", 2, of_ensemble(members=[member()[0], member(name="other")[0]]), 1,
         ("members is", "expected different ones")),
    Case("no members", 2, of_ensemble(members=[], weights=[]), 1, ("members is", "at least one")),
    Case("members that are not there", 2, of_ensemble(members=member(folder="nowhere")), 1,
         (r"folders of the models eeg \(nowhere\) not found",)),
    Case("prior of sum 2", 2, of_ensemble(prior=dict.fromkeys(("Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other"), 0.3)),
         1, ("prior",)),
    Case("kind and rule disagree", 2, of_ensemble(log_linear=True), 1, ("log_linear is True, expected False",)),
    Case("pool with NaN", 2, pool([np.nan, 1.0]), 1, ("weights is", "at least 0")),
    Case("pool of temperature 0", 2, pool([1.0], False, 0.0), 1, ("temperature is 0.0",)),
    Case("pool without weights", 2, pool([]), 1, ("expected one number for each member",)),
    Case("pool for other members", 2, lambda folder: lambda: Pool(np.ones(2) / 2).apply(np.ones((3, 1, 6)) / 6), 1,
         ("predictions of 3 models, expected 2",)),
    # ---- how it is written
    Case("manifest of nothing", 11, predicting(text_of(MANIFEST, "")), 1, ("not a readable manifest",)),
    Case("manifest that is not UTF-8", 11, predicting(text_of(MANIFEST, b'{"stage": "\xff"}')), 1,
         ("not UTF-8: byte 12",)),
    Case("manifest of a list", 11, predicting(text_of(MANIFEST, "[1]")), 1, ("holds no table",)),
    Case("manifest nested deeply", 11, predicting(text_of(MANIFEST, "[" * 100_000)), 1, ("nested too deeply",)),
    Case("manifest of two stages", 11, predicting(text_of(MANIFEST, '{"stage": "a", "stage": "b"}')), 1,
         ("key 'stage' is named twice",)),
    Case("manifest of a huge number", 11, predicting(text_of(MANIFEST, '{"schema": 1' + "0" * 5000 + "}")), 1,
         ("too large",)),
    Case("manifest of another version", 11, predicting(manifest(lambda row: row.update(schema=1))), 1,
         ("schema version 1, this hbaclib reads version 2",)),
    Case("manifest of no version", 11, predicting(manifest(lambda row: row.pop("schema"))), 1,
         ("schema version None",)),
    Case("manifest without outputs", 11, predicting(manifest(lambda row: row.pop("outputs"))), 1,
         ("key 'outputs' is missing",)),
    Case("manifest with more", 11, predicting(manifest(lambda row: row.update(outptus={}))), 1,
         ("key 'outptus' is unknown", "outputs")),
    Case("manifest of wrong types", 11, predicting(manifest(lambda row: row.update(outputs={"a": 3}))), 1,
         (r"key 'outputs\.a' is 3, expected a text",)),
    Case("manifest that names files outside", 13,
         predicting(manifest(lambda row: row["outputs"].update({"../../x": "d"}))), 1,
         ("names '../../x', expected a file inside the folder",)),
    Case("manifest that is a folder", 11,
         predicting(lambda folder: ((folder / MANIFEST).unlink(), (folder / MANIFEST).mkdir())[0]), 1,
         ("expected manifest.json|it is a folder",)),
    Case("ensemble without a key", 11,
         opening(lambda folder: edit_json(folder / ENSEMBLE, lambda row: row.pop("tier")),
                 load_ensemble, "07_ensemble"),
         1, ("key 'tier' is missing",)),
    Case("ensemble of a list of members' names", 11, of_ensemble(members=["eeg", "both"]), 1,
         (r"key 'members\.0' is 'eeg', expected a table",)),
    Case("plan without a key", 11, plan(lambda row: row["kernels"][0].pop("ref")), 1,
         (r"key 'kernels\.0\.ref' is mi",)),
    Case("plan of wrong types", 11, plan(lambda row: row["kernels"][0].update(gpu="no")), 1,
         (r"kernels\.0\.gpu", "'no'")),
    Case("plan whose kernel reads a later one", 11, plan(lambda row: row["kernels"][0].update(after=["02"])), 1,
         ("kernel 01 reads",)),
    Case("plan whose data set lies elsewhere", 13, plan(lambda row: row["datasets"][0].update(name="../../x")), 1,
         ("'../../x', expected a file's name",)),
    Case("suite table of another shape", 11, suite("[notebooks.11_first]", "[notebooks]\n[notebook.11_first]"), 1,
         ("suite.toml", "key 'notebook' is unknown")),
    Case("suite table that is not UTF-8", 11, lambda folder: spoilt_table(folder, b"\xff"), 1,
         ("suite.toml", "not UTF-8")),
    Case("suite table nested deeply", 11, lambda folder: spoilt_table(folder, b"a = " + b"[" * 50_000), 1,
         ("suite.toml", "nested too deeply|not TOML")),
    Case("recipe that is not UTF-8", 11, toml_text(b'name = "\xff"'), 1, (r"mine\.toml", "not UTF-8: byte 9")),
    Case("recipe nested deeply", 11, toml_text("a = " + "[" * 50_000), 1,
         (r"mine\.toml", "nested too deeply|not TOML")),
    Case("recipe of nothing", 11, toml_text(""), 1, (r"mine\.toml", "at least one stage|missing")),
    Case("recipe of a date", 11, toml_text('name = "n"\nbatch = 2026-01-01\n[[stages]]\nepochs = 1\n'), 1,
         ("batch is", "expected a value of type int")),
    Case("date in a table of a recipe", 11,
         toml_text('name = "n"\n[[stages]]\nepochs = 1\n[model_options]\nwhen = 2026-01-01\n'), 1,
         (r"model_options\.when is", "expected a number, a text")),
    Case("recipe that is a folder", 11,
         lambda folder: ((folder / "r.toml").mkdir(), lambda: load_recipe(folder / "r.toml"))[1],
         1, (r"r\.toml", "folder")),
    # ---- names that are paths, and numbers
    Case("recipe name above", 13, recipe_file(name="../../x"), 1, ("name is '../../x', expected a file's name",)),
    Case("recipe name of a root", 13, recipe_file(name="/etc/x"), 1, ("expected a file's name",)),
    Case("recipe without a name", 13, recipe_file(name=""), 1, ("name is ''",)),
    Case("recipe name with NUL", 13, recipe_file(name="a\0b"), 1, (r"name is 'a\\x00b'",)),
    Case("recipe name of two lines", 13, recipe_file(name="a\nb"), 1, (r"name is 'a\\nb'",)),
    Case("recipe name like an option", 13, recipe_file(name="-rf"), 1, ("name is '-rf'",)),
    Case("recipe name that is hidden", 13, recipe_file(name=".x"), 1, ("name is '.x'",)),
    Case("recipe name of 300 bytes", 13, recipe_file(name=LONG), 1, ("at most 200 bytes",)),
    Case("stage name above", 13, suite('notebook = "12_second"', 'notebook = "12_second"\nname = "../../x"'), 1,
         ("name is '../../x', expected a file's name",)),
    Case("stage name of another stage", 13, suite('notebook = "12_second"', 'notebook = "12_second"\nname = "13_last"'),
         1, ("stage 13_last would write where others do",)),
    Case("stage name of the run's own", 13,
         suite('notebook = "12_second"', 'notebook = "12_second"\nname = "notebooks"'),
         1, ("would write where others do",)),
    Case("ensemble member above", 13, of_ensemble(members=member(name="../../eeg")), 1, ("expected a file's name",)),
    Case("model name above", 13, lambda folder: lambda: register_model("../x", lambda shape: None), 1,
         ("a model is called '../x', expected a file's name",)),
    Case("training over another stage", 13, over_another_stage, 1,
         ("holds a stage '07_ensemble'", "name another")),
    Case("peak infinite", 13, recipe_file(stages=stages(peak=float("inf"))), 1,
         ("peak is inf", "expected at most 1,000")),
    Case("rate NaN", 13, recipe_file(stages=[{"epochs": 1, "rates": [float("nan")]}]), 1, (r"rates is \(nan,\)",)),
    Case("batch 1e23", 13, recipe_file(batch=10**23), 1, ("batch is 1000", "expected a whole number of at most")),
    Case("batch of a million", 13, recipe_file(batch=10**6), 1, ("batch is 1000000, expected at most 65,536",)),
    Case("epochs 1e9", 13, recipe_file(stages=stages(epochs=10**9)), 1, ("epochs is 1000000000, expected at most",)),
    Case("seed of 64 bits", 13, recipe_file(seeds=[2**40]), 1, ("seeds is", "at most 4294967295")),
    Case("NaN in the augmentation", 13, recipe_file(augmentation={"time_flip": {"p": float("nan")}}), 1,
         (r"augmentation\.time_flip\.p is nan",)),
    # ---- weights by path
    Case("weights that are not there", 15, network(weights="none.h5"), 1,
         (r"none\.h5", "no such file or folder; expected")),
    Case("folder of weights that is not there", 15, network(weights="no/such"), 1,
         ("no/such", "no such file or folder")),
    Case("folder without weights", 15, lambda folder: network(weights=".")(folder), 1, ("found no efficientnet-b0",)),
    Case("start_from that is not there", 15, lambda folder: lambda: TrainedFolder.open(folder / "none"), 1,
         ("none: no such folder; expected the folder of a finished stage",)),
    Case("pretrained weights of NaN", 2, pretrained(np.nan), 1, ("weights 'file.h5'", "not finite")),
    Case("pretrained weights of zeros", 2, pretrained(0.0), 1, ("weights 'file.h5'", "nothing but zeros")),
    # ---- parameters
    Case("n_folds=abc", 11, running("n_folds=abc"), 1,
         ("01_port_data: n_folds is 'abc', expected a whole number from 2 to 100",)),
    Case("n_folds=1", 11, running("n_folds=1"), 1, ("n_folds is 1, expected a whole number from 2 to 100",)),
    Case("n_folds=2.5", 11, running("n_folds=2.5"), 1, ("n_folds is 2.5, expected a whole number",)),
    Case("seed=-1", 11, running("seed=-1"), 1, ("seed is -1, expected a whole number from 0 to",)),
    Case("sampling unknown", 11, running("sampling=all"), 1, ("sampling is 'all', expected one of vote_groups",)),
    Case("folds of text", 11, running("folds=all"), 1, ("folds is 'all', expected a list",)),
    Case("budget of NaN", 11, running("time_budget_hours=NaN"), 1, ("time_budget_hours is 'NaN', expected a number",)),
    Case("mirrored=1", 11, running("mirrored=1"), 1, ("mirrored is 1, expected True or False",)),
    Case("a list without end", 11, running("folds=" + "[" * 5000), 1, ("folds is '", "expected a list")),
    Case("two at once", 11, running("seed=-1", "weights=[]"), 1, ("seed is -1", r"weights is \[\]")),
]  # fmt: skip


def spoilt_table(folder: Path, text: bytes) -> Made:
    project = make_project(folder / "project")
    (project / "kaggle" / "suite.toml").write_bytes(text)
    return lambda: SuiteTable(project)


@table(CASES)
def test_artefacts(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try_case(case, tmp_path, monkeypatch)


def test_a_recipe_from_a_manifest_is_held_to_the_same() -> None:
    values = load_recipe("smoke").to_dict()
    with pytest.raises(ValueError, match="expected a file's name"):
        Recipe.from_dict(values | {"name": "../../x"})
