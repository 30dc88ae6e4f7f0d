from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from hbaclib import VOTE_COLUMNS, compare_runs, kl_divergence, load_oof, open_runs, pair_runs
from hbaclib.artefacts import read_manifest, write_manifest
from hbaclib.conventions import PREDICTION_COLUMNS
from hbaclib.ensemble.store import ensemble_stage
from hbaclib.errors import ArtefactError, DataError
from hbaclib.evaluation.oracle import oracle_shares
from hbaclib.report.page import format_number, write_report
from hbaclib.report.results import measure
from hbaclib.stages.places import trained_folders
from tests.report.fake_run import make_fake_run
from tests.report.page import check_links, check_numbers, check_whole_report


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, truth = make_fake_run(tmp_path_factory.mktemp("runs") / "demo", n_models=2, n_patients=40, n_folds=3)
    truth.to_parquet(folder / "synthetic-hms-truth.parquet")
    page = write_report(folder, truth=folder / "synthetic-hms-truth.parquet", title="Suite demo")
    return folder, page.read_text(encoding="utf-8"), json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_every_number_on_the_page_is_in_the_results(run):
    _, page, results = run
    assert check_numbers(page, results) > 200


def test_numbers_are_recomputed_from_the_artefacts(run):
    folder, _, results = run
    nested = pd.read_parquet(folder / "07_ensemble" / "oof.parquet")
    many = nested[nested["n_votes"] >= 10]
    ensemble = {row["tier"]: row["kl"] for row in results["scores"]["ensemble"]}
    assert ensemble[">=10"] == pytest.approx(kl_divergence(many[list(VOTE_COLUMNS)], many[list(PREDICTION_COLUMNS)]))
    member = results["best_member"]
    oof = load_oof([folder / member])
    scores = {row["tier"]: row for row in results["scores"][member]}
    assert scores["all"]["kl"] == pytest.approx(kl_divergence(oof.targets, oof.predictions[0]))
    assert scores["all"]["n"] == len(oof.targets)
    truth = pd.read_parquet(folder / "synthetic-hms-truth.parquet").set_index(["eeg_id", "eeg_start"])
    expected = truth.loc[list(zip(many["eeg_id"], many["eeg_start"], strict=True))]
    expected = expected[[f"{name}_expected" for name in VOTE_COLUMNS]].to_numpy()
    oracle = {row["tier"]: row["kl"] for row in results["scores"]["oracle"]}
    assert oracle[">=10"] == pytest.approx(kl_divergence(many[list(VOTE_COLUMNS)].to_numpy(), expected))
    baseline = {row["tier"]: row["kl"] for row in results["scores"]["class mean"]}
    total = 0.0
    for fold in (0, 1, 2):
        mean = many.loc[many["fold"] != fold, list(VOTE_COLUMNS)].mean()
        part = many.loc[many["fold"] == fold, list(VOTE_COLUMNS)].to_numpy()
        total += kl_divergence(part, np.tile(mean / mean.sum(), (len(part), 1))) * len(part)
    assert baseline[">=10"] == pytest.approx(total / len(many))
    assert oracle[">=10"] < ensemble[">=10"] < baseline[">=10"]
    balance = results["data"]["folds"][1]
    samples = pd.read_parquet(folder / "01_port_data" / "samples.parquet")
    folds = pd.read_parquet(folder / "01_port_data" / "folds.parquet").set_index("patient_id")["fold"]
    part = samples[samples["patient_id"].map(folds) == 1]
    assert balance["LPD"] == pytest.approx(part["lpd_vote"].mean())
    assert balance["patients"] == part["patient_id"].nunique()


def test_the_page_is_one_file_with_everything_in_it(run):
    _, page, results = run
    assert check_links(page) > 8
    for text in (
        "Suite demo",
        "ensemble less " + results["best_member"],
        "class mean (baseline)",
        "oracle (knows the truth)",
        "Hardest recordings",
        "Calibration",
        "not for clinical decisions",
        "04_train_efficientnet-b1",
    ):
        assert text in page
    assert results["missing"] == []
    for name in ("hardest montage 0", "hardest input 0"):
        assert f'alt="{name}"' in page
    for stage in results["stages"]:
        assert stage["digest"][:12] in page
        assert stage["seconds"] == 12.5


def test_names_are_shown_as_text_and_never_as_markup(run, tmp_path):
    folder, _, _ = run
    name = '<script>alert("1")</script> & <b>'
    page = write_report(shutil.copytree(folder, tmp_path / "run"), title=name).read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "&amp; &lt;b&gt;" in page


def test_the_hardest_are_the_worst_of_different_patients(run):
    folder, _, results = run
    nested = pd.read_parquet(folder / "07_ensemble" / "oof.parquet").query("n_votes >= 10")
    losses = [
        kl_divergence(
            row[list(VOTE_COLUMNS)].to_numpy(float)[None], row[list(PREDICTION_COLUMNS)].to_numpy(float)[None]
        )
        for _, row in nested.iterrows()
    ]
    assert results["hardest"][0]["kl"] == pytest.approx(max(losses))
    patients = [sample["patient_id"] for sample in results["hardest"]]
    assert len(set(patients)) == len(patients) == 4
    worst_of_patient = nested.assign(kl=losses).groupby("patient_id")["kl"].max().nlargest(4)
    assert [sample["kl"] for sample in results["hardest"]] == pytest.approx(worst_of_patient.tolist())


def test_cards_are_written_from_the_same_numbers(run):
    folder, _, results = run
    model, data = ((folder / f"{name}_card.md").read_text(encoding="utf-8") for name in ("model", "data"))
    assert "Not a medical device" in model
    assert f"{results['scores']['ensemble'][0]['kl']:.3f}" in model
    assert f"{results['clinical'][1]['auc']:.3f}" in model
    assert f"{results['data']['tiers']['3-9']['LPD']:.3f}" in data
    assert "200 labelled 50-s windows" in data
    assert "nan" not in (model + data).lower().replace("unanimous", "")


def test_the_same_run_makes_the_same_page(run):
    folder, page, _ = run
    again = write_report(folder, truth=folder / "synthetic-hms-truth.parquet", title="Suite demo")
    assert again.read_text(encoding="utf-8") == page


def test_what_a_folder_holds_is_read_from_its_manifest(run, tmp_path):
    folder, _, results = run
    networks = [f"04_train_efficientnet-b{index}" for index in range(2)]
    assert sorted(results["training"]) == networks  # no comparison, no first round, no pseudo-labels
    assert {"05_kerascv", "06_first_round_wavenet", "06_pseudo_labels_wavenet"} <= {
        s["stage"] for s in results["stages"]
    }
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved, symlinks=True)
    (moved / networks[0]).rename(moved / "my own network")
    (moved / "04_train_notes").mkdir()
    (moved / "04_train_notes" / "manifest.json").write_text('{"name": "a web page"}')
    shutil.rmtree(moved / "07_ensemble")
    measured = measure(moved).results
    assert sorted(measured["training"]) == [networks[1], "my own network"]
    assert sorted(set(measured["scores"]) - {"class mean", "oracle"}) == [networks[1], "my own network"]
    assert trained_folders(moved) == [moved / networks[1], moved / "my own network"]


def test_how_the_fits_ran_is_told(run):
    _, page, results = run
    fits = results["fits"]
    assert len(fits) == 2 * len(results["data"]["folds"])
    assert {(row["hardware"], row["precision"], row["xla"], row["peak_megabytes"]) for row in fits} == {
        ("Tesla T4", "mixed_float16", "apply", 5120),
        ("CPU", "float32", "off", None),
    }
    (table,) = re.findall(r"How the fits ran</h3>.*?</table>", page, re.DOTALL)
    assert table.count("<tr>") == 1 + len(fits) and table.count("Tesla T4") == len(fits) / 2
    assert page.count("XLA is for a single GPU; this fit runs without it.") == 1


def test_a_whole_run_has_a_whole_report(run):
    folder, _, _ = run
    check_whole_report(folder)


def of_three_seeds(folder, noise):
    """Make of a network of one seed the same of three, each of which says it a little differently."""
    table, manifest = pd.read_parquet(folder / "oof.parquet"), read_manifest(folder)
    recipe = {**manifest.parameters["recipe"], "seeds": [0, 1, 2]}
    for fold in manifest.facts["folds"]:
        (folder / f"fold-{fold}.oof.parquet").unlink()
        part, outputs = table[table["fold"] == fold].copy(), []
        for seed in recipe["seeds"]:
            rng = np.random.default_rng([seed, fold, int(100 * noise)])
            shares = table.loc[part.index, list(PREDICTION_COLUMNS)] * np.exp(rng.normal(0, noise, (len(part), 6)))
            part[list(PREDICTION_COLUMNS)] = shares.div(shares.sum(axis=1), axis=0)
            part.to_parquet(folder / f"fold-{fold}-seed-{seed}.oof.parquet", index=False)
    outputs = [path.name for path in folder.glob("*.parquet")]
    write_manifest(
        folder, manifest.stage, inputs={}, parameters={"recipe": recipe}, outputs=outputs, facts=manifest.facts
    )


def test_recipes_are_compared_over_their_seeds(run, tmp_path):
    folder, page, results = run
    assert "each recipe of this run was trained from a single one" in page
    assert {row["rank"] for row in results["recipes"]["scores"]} == {None}
    assert {row["says"] for row in results["recipes"]["pairs"]} == {"one seed: not ranked"}
    moved = shutil.copytree(folder, tmp_path / "moved", symlinks=True)
    names = [f"04_train_efficientnet-b{index}" for index in range(2)]
    for name, noise in zip(names, (0.1, 0.9), strict=True):
        of_three_seeds(moved / name, noise)
    shutil.rmtree(moved / "07_ensemble")
    ensemble_stage([moved / name for name in names], moved / "07_ensemble")
    write_report(moved, truth=moved / "synthetic-hms-truth.parquet")
    recipes = check_whole_report(moved)["recipes"]
    assert recipes["over"] == names[0] and recipes["one_seed"] == recipes["notes"] == []
    runs = open_runs([moved / name for name in names])
    scores = compare_runs(runs)
    assert [row["rank"] for row in recipes["scores"]] == scores["rank"].tolist()
    for name in ("kl", "low", "high", "lowest", "highest", "averaged"):
        assert [row[name] for row in recipes["scores"]] == pytest.approx(scores[name].tolist())
    pairs = pair_runs(runs, names[1], names[0])
    assert [row["says"] for row in recipes["pairs"]] == pairs["says"].tolist()
    assert recipes["pairs"][0]["says"] == "worse" and pairs["low"][0] > 0
    text = (moved / "report.html").read_text(encoding="utf-8")
    assert f"Differences from {names[0]}" in text and '<a href="#recipes">' in text and "worse" in text


def test_recipes_that_cannot_be_told_are_said(run, tmp_path):
    folder, _, _ = run
    moved = shutil.copytree(folder, tmp_path / "moved", symlinks=True)
    (moved / "04_train_efficientnet-b1" / "fold-2.oof.parquet").unlink()
    results = measure(moved).results
    assert "recipes" not in results and "scores" in results
    assert any(
        text.startswith("recipes and seeds: ") and "fold 2 cannot be read" in text for text in results["missing"]
    )


def test_missing_stages_are_said(run, tmp_path):
    folder, _, _ = run
    part = tmp_path / "part"
    part.mkdir()
    page = write_report(part).read_text(encoding="utf-8")
    assert "stage 01_port_data has not finished" in page
    assert "no training stage has finished all its folds" in page
    assert "None: no training stage of this run has finished" in (part / "model_card.md").read_text()
    shutil.copytree(folder / "01_port_data", part / "01_port_data")
    shutil.copytree(folder / "04_train_efficientnet-b0", part / "04_train_efficientnet-b0")
    (part / "08_submit").mkdir()  # begun, not finished
    page = write_report(part).read_text(encoding="utf-8")
    results = json.loads((part / "results.json").read_text(encoding="utf-8"))
    assert results["about"] == "04_train_efficientnet-b0"
    assert "There is no ensemble in this run" in page
    assert "ensemble: stage 07_ensemble has not finished" in results["missing"]
    assert "submission: stage 08_submit has not finished" in results["missing"]
    assert 'alt="hardest montage' not in page
    with pytest.raises(ArtefactError, match="no such folder"):
        write_report(tmp_path / "absent")


def test_a_truth_that_does_not_fit_is_said(run):
    folder, _, _ = run
    truth = pd.read_parquet(folder / "synthetic-hms-truth.parquet")
    results = measure(folder, truth.assign(eeg_id=truth["eeg_id"] + 1)).results
    assert "oracle" not in results["scores"]
    assert any(text.startswith("oracle: truth: no row for 200 of 200 samples") for text in results["missing"])


def test_oracle_of_both_samplings():
    truth = pd.DataFrame({"split": ["train", "train", "test"], "eeg_id": [1, 1, 1], "eeg_start": [0, 400, 0]})
    truth[[f"{name}_expected" for name in VOTE_COLUMNS]] = [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]
    truth[list(VOTE_COLUMNS)] = [[3, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 0], [0, 0, 4, 0, 0, 0]]
    samples = pd.DataFrame({"eeg_id": [1, 1], "eeg_start": [400, 0]})
    assert oracle_shares(truth, samples, "vote_groups")[:, :2].tolist() == [[0, 1], [1, 0]]
    merged = oracle_shares(truth, samples.assign(eeg_start=200).iloc[:1], "non_overlapping")
    assert merged.tolist() == [[0.25, 0.75, 0, 0, 0, 0]]
    with pytest.raises(DataError, match="column missing: split"):
        oracle_shares(truth.drop(columns="split"), samples, "vote_groups")


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [(None, 2, False, "–"), (-0.12345, 3, False, "−0.123"), (0.1, 2, True, "+0.10"), (17089, 0, False, "17,089")],
)
def test_numbers_are_written_the_same_way_everywhere(value, digits, signed, text):
    assert format_number(value, digits, signed) == text
