"""Every number of a run's report, computed from the run's artefacts."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, EEG_RATE, MANY_VOTES, SUBMISSION_COLUMNS, VOTE_COLUMNS, VOTE_TIERS
from hbaclib.dataset.csv_tables import read_typed_csv
from hbaclib.ensemble.runs import best_of, compare_runs, open_runs, pair_with
from hbaclib.ensemble.store import StoredEnsemble, load_ensemble
from hbaclib.errors import ArtefactError, HbacError, list_some
from hbaclib.evaluation import calibration, tiers
from hbaclib.evaluation.clinical import agreement, clinical_table
from hbaclib.evaluation.metric import kl_per_sample
from hbaclib.evaluation.oof import OutOfFold, load_oof
from hbaclib.platform import versions
from hbaclib.report.stages import RunFolder, rows_of_samples
from hbaclib.stages.names import ENSEMBLE, FAULTS, FOLDS, OOF_FILE, PORT, QUALITY, SUBMIT
from hbaclib.stages.places import trained_folders
from hbaclib.training.history import read_history

SCHEMA = 1
N_HARDEST = 4
HEADLINE = ">=10"
_OF_A_FIT = (
    *("device", "hardware", "precision", "xla", "xla_note", "trace_seconds", "step_seconds", "images_per_second"),
    "peak_megabytes",
)


@dataclass
class Measured:
    """What the report shows: the numbers, and the arrays that its pictures are drawn from.

    Attributes:
        results: JSON values; content of ``results.json``.
        run: the run.
        oof: aligned predictions of all models, None where there are none.
        best: (n, 6) predictions that the page is about: the ensemble's, else the best model's.
        tables: model name (also "ensemble", "class mean", "oracle") -> scores by tier.
        histories: model name -> learning curves.
    """

    results: dict[str, Any]
    run: RunFolder
    oof: OutOfFold | None = None
    best: np.ndarray | None = None
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    histories: dict[str, pd.DataFrame] = field(default_factory=dict)


def measure(run_folder: str | Path, truth: str | Path | pd.DataFrame | None = None, title: str = "") -> Measured:
    """Compute the numbers of a run's report.

    Args:
        run_folder: output folder of a run.
        truth: expected vote shares of every row of train.csv (synthetic data only), or its file.
        title: of the page.

    Returns:
        The numbers; parts that the run has not made are named in ``results["missing"]``.
    """
    run = RunFolder(run_folder)
    missing: list[str] = []
    results: dict[str, Any] = {"schema": SCHEMA, "title": title or run.path.name, "versions": versions()}
    measured = Measured(results, run)
    results["stages"] = _stages(run)
    results["data"] = _data(run, missing)
    trained = trained_folders(run.path)
    measured.histories = {folder.name: read_history(folder) for folder in trained}
    if not measured.histories:
        missing.append("learning curves: no training stage has finished")
    results["training"] = {name: _training(table) for name, table in measured.histories.items()}
    results["fits"] = [row for folder in trained for row in _fits(run, folder.name)]
    scored = [folder for folder in trained if (folder / OOF_FILE).is_file()]  # whose folds are all there
    if scored:
        measured.oof = load_oof(scored)
        _scores(measured, truth, missing)
        with _told("recipes and seeds", missing):
            results["recipes"] = _recipes(scored)
    else:
        missing.append("scores: no training stage has finished all its folds")
    if scored and (partial := [folder.name for folder in trained if folder not in scored]):
        missing.append(f"scores of {list_some(partial)}: not all folds are trained")
    results["submission"] = _submission(run, missing)
    results["missing"] = missing
    measured.results = _plain(results)
    return measured


def _stages(run: RunFolder) -> list[dict[str, Any]]:
    rows = []
    for name in sorted({*run.manifests, *run.times}):
        manifest, timed = run.manifests.get(name), run.times.get(name, {})
        facts = manifest.facts if manifest else {}
        rows.append(
            {
                "stage": name,
                "status": timed.get("status", "done") if manifest else timed.get("status", "unfinished"),
                "seconds": timed.get("seconds", facts.get("seconds")),
                "digest": manifest.digest if manifest else None,
                "code": manifest.code if manifest else None,
                "parameters": {**timed.get("parameters", {}), **(manifest.parameters if manifest else {})},
            }
        )
    return rows


def _data(run: RunFolder, missing: list[str]) -> dict[str, Any]:
    samples = run.samples()
    port = run.stage(PORT)
    if samples is None or port is None:
        missing.append("data: stage 01_port_data has not finished")
        return {}
    votes = samples["n_votes"].to_numpy()
    found: dict[str, Any] = {
        "samples": len(samples),
        "patients": samples["patient_id"].nunique(),
        "recordings": samples["eeg_id"].nunique(),
        "tiers": {tier: _balance(samples[tiers.tier_mask(votes, tier)]) for tier in VOTE_TIERS},
        "sampling": run.manifests[port.name].parameters.get("sampling"),
    }
    if (port / FOLDS).is_file():
        folds = samples["patient_id"].map(pd.read_parquet(port / FOLDS).set_index("patient_id")["fold"])
        found["folds"] = [
            {"fold": fold, "many_votes": int((part["n_votes"] >= MANY_VOTES).sum()), **_balance(part)}
            for fold, part in samples.groupby(folds)
        ]
    if (port / FAULTS).is_file():
        found["faulty_files"] = len(pd.read_parquet(port / FAULTS))
    if (port / QUALITY).is_file():
        numbers = pd.read_parquet(port / QUALITY).select_dtypes("number").drop(columns="eeg_id", errors="ignore")
        summary = numbers.describe(percentiles=[0.5, 0.95]).rename({"50%": "median", "95%": "p95"})
        measures = summary.loc[["min", "median", "p95", "max"]].T.rename_axis("measure").reset_index()
        found["quality"] = measures.to_dict("records")
    return found


def _balance(samples: pd.DataFrame) -> dict[str, Any]:
    """Numbers of samples and patients, and the mean share of every class."""
    shares = samples[list(VOTE_COLUMNS)].mean()
    counts = {"samples": len(samples), "patients": samples["patient_id"].nunique()}
    return {**counts, **dict(zip(CLASSES, shares, strict=True))}


def _training(history: pd.DataFrame) -> list[dict[Hashable, Any]]:
    columns = [name for name in history.columns if name in ("epoch", "stage", "loss") or name.startswith("val_")]
    return history.groupby(["fold", "seed"]).tail(1)[["fold", "seed", *columns]].to_dict("records")


def _fits(run: RunFolder, name: str) -> list[dict[str, Any]]:
    """How the fits of a training stage ran: device, precision, speed, memory. None for a run before these were kept."""
    fits = run.manifests[name].facts.get("fits")
    if not isinstance(fits, dict):
        return []
    told = {fit: facts for fit, facts in fits.items() if isinstance(facts, dict)}
    return [{"model": name, "fit": fit, **{key: facts.get(key) for key in _OF_A_FIT}} for fit, facts in told.items()]


def _scores(measured: Measured, truth: str | Path | pd.DataFrame | None, missing: list[str]) -> None:
    oof, results, run = measured.oof, measured.results, measured.run
    assert oof is not None
    rated = (oof.n_votes, oof.patients)
    predictions = dict(zip(oof.names, oof.predictions, strict=True))
    with _told("ensemble", missing):
        ensemble = _ensemble(run, len(oof.targets))
        predictions["ensemble"] = ensemble.oof
        results["ensemble"] = _ensemble_results(ensemble)
    tables = {name: tiers.score_by_tier(oof.targets, shares, *rated) for name, shares in predictions.items()}
    tables = dict(sorted(tables.items(), key=lambda item: (item[0] != "ensemble", _headline(item[1]))))
    tables["class mean"] = tiers.baseline_by_tier(oof.targets, *rated, oof.folds)
    if truth is not None:
        with _told("oracle", missing):
            tables["oracle"] = tiers.score_by_tier(oof.targets, _oracle(measured, oof, truth), *rated)
    results["scores"] = measured.tables = tables
    best_member = results["best_member"] = min(oof.names, key=lambda name: _headline(tables[name]))
    chosen = results["about"] = "ensemble" if "ensemble" in predictions else best_member
    best = measured.best = predictions[chosen]
    if chosen == "ensemble":
        results["ensemble_against_best_member"] = tiers.compare_by_tier(
            oof.targets, best, predictions[best_member], *rated
        )
    results["against_class_mean"] = tiers.gain_over_baseline(oof.targets, best, *rated, oof.folds)
    tier = results["tier"] = HEADLINE if oof.many_votes.any() else "all"
    results["members_against_class_mean"] = [
        {"member": name, **row}
        for name, own in zip(oof.names, oof.predictions, strict=True)
        for row in tiers.gain_over_baseline(oof.targets, own, *rated, oof.folds).to_dict("records")
        if row["tier"] == tier
    ]
    rows = tiers.tier_mask(oof.n_votes, tier)
    results["by_class"] = tiers.score_by_class(oof.targets, best, oof.n_votes, tier)
    results["by_fold"] = tiers.score_by_fold(oof.targets, best, *rated, oof.folds)
    results["clinical"] = clinical_table(oof.targets[rows], best[rows])
    results["agreement"] = agreement(oof.targets[rows], best[rows], oof.n_votes[rows])
    results["calibration"] = _calibration(oof.targets[rows], best[rows], oof.n_votes[rows])
    results["hardest"] = _hardest(measured, rows)
    unanimous = calibration.unanimous_disagreements(oof.targets, best, oof.n_votes)
    results["unanimous_disagreements"] = [
        {**row, **_identity(oof, int(row["row"]))} for row in unanimous.head(20).to_dict("records")
    ]
    results["unanimous_disagreements_total"] = len(unanimous)


def _recipes(folders: list[Path]) -> dict[str, Any]:
    """Every recipe over its seeds, and against the best of them."""
    runs = open_runs(folders)
    scores = compare_runs(runs)
    over = best_of(scores)
    members = {
        name: {"seeds": list(recipe.seeds), "folders": [folder.name for folder in recipe.folders]}
        for name, recipe in runs.recipes.items()
    }
    scores["rank"] = scores["rank"].astype(float)  # NaN for none, which JSON has as null
    return {
        "members": members,
        "one_seed": [name for name, recipe in runs.recipes.items() if len(recipe.seeds) == 1],
        "scores": scores,
        "over": over,
        "pairs": pair_with(runs, over),
        "notes": list(runs.notes),
    }


def _headline(table: pd.DataFrame) -> float:
    kl = table.set_index("tier")["kl"].astype(float)
    return float(kl[HEADLINE] if math.isfinite(kl[HEADLINE]) else kl["all"])


@contextmanager
def _told(part: str, missing: list[str]) -> Iterator[None]:
    """Note what is in the way of a part of the report, which does without it."""
    try:
        yield
    except HbacError as error:
        missing.append(f"{part}: {error}")


def _ensemble(run: RunFolder, n_samples: int) -> StoredEnsemble:
    folder = run.stage(ENSEMBLE)
    if folder is None:
        raise ArtefactError("stage 07_ensemble has not finished")
    ensemble = load_ensemble(folder)
    if len(ensemble.oof) != n_samples:
        raise ArtefactError("it was fitted to other samples than these models; run stage 07 again")
    return ensemble


def _ensemble_results(ensemble: StoredEnsemble) -> dict[str, Any]:
    return {
        "kind": ensemble.kind,
        "score": ensemble.score,
        "tier": ensemble.tier,
        "temperature": ensemble.pool.temperature,
        "biases": dict(zip(CLASSES, map(float, ensemble.pool.biases), strict=True)),
        "members": ensemble.table,
        "candidates": ensemble.candidates,
        "notes": list(ensemble.notes),
    }


def _oracle(measured: Measured, oof: OutOfFold, truth: str | Path | pd.DataFrame) -> np.ndarray:
    from hbaclib.evaluation.oracle import oracle_shares

    samples = measured.run.samples()
    if samples is None:
        raise ArtefactError("the samples table of stage 01 is needed")
    rows = rows_of_samples(samples, oof.ids)
    if (rows < 0).any():
        raise ArtefactError("the samples of stage 01 are not those of the trained models")
    return oracle_shares(truth, samples.iloc[rows], measured.results["data"].get("sampling") or "vote_groups")


def _calibration(targets: np.ndarray, shares: np.ndarray, votes: np.ndarray) -> dict[str, Any]:
    temperature, biases = calibration.best_temperature(targets, shares)
    low, high = sorted(calibration.vote_sampling_loss(each, votes).mean() for each in (targets, shares))
    return {
        "expected_calibration_error": calibration.expected_calibration_error(targets, shares).to_dict(),
        "reliability": calibration.reliability(targets, shares),
        "temperature": temperature,
        "biases": biases,
        "perfect_model_low": low,
        "perfect_model_high": high,
        "median_votes": float(np.median(votes)),
    }


def _hardest(measured: Measured, rows: np.ndarray) -> list[dict[str, Any]]:
    oof, best = measured.oof, measured.best
    assert oof is not None and best is not None
    samples = pd.DataFrame({"kl": kl_per_sample(oof.targets, best), "patient": oof.patients})[rows]
    # One per patient: the worst samples of one patient tell the same story.
    worst = samples.sort_values("kl", ascending=False, kind="stable").drop_duplicates("patient").head(N_HARDEST)
    return [
        {
            **_identity(oof, row),
            "row": row,
            "n_votes": oof.n_votes[row],
            "kl": kl,
            "votes": dict(zip(CLASSES, oof.targets[row], strict=True)),
            "predicted": dict(zip(CLASSES, best[row], strict=True)),
        }
        for row, kl in zip(worst.index, worst["kl"], strict=True)
    ]


def _identity(oof: OutOfFold, row: int) -> dict[str, Any]:
    ids = oof.ids.iloc[row]
    return {
        "eeg_id": int(ids["eeg_id"]),
        "eeg_start": int(ids["eeg_start"]),
        "start_seconds": int(ids["eeg_start"]) / EEG_RATE,
        "patient_id": int(oof.patients[row]),
        "fold": int(oof.folds[row]),
    }


def _submission(run: RunFolder, missing: list[str]) -> dict[str, Any]:
    folder = run.stage(SUBMIT)
    if folder is None or not (folder / "submission.csv").is_file():
        missing.append("submission: stage 08_submit has not finished")
        return {}
    table, facts = read_typed_csv(folder / "submission.csv", SUBMISSION_COLUMNS), run.manifests[folder.name].facts
    shares = table[list(VOTE_COLUMNS)]
    return {
        "rows": len(table),
        "mean": dict(zip(CLASSES, shares.mean(), strict=True)),
        "least": shares.to_numpy().min(),
        **{key: facts[key] for key in ("members", "left_out", "events", "seconds", "peak_megabytes") if key in facts},
    }


def _plain(value: Any) -> Any:
    """JSON values: tables become lists of rows, NumPy numbers Python's, NaN and infinite ones null."""
    text = json.dumps(value, default=lambda each: each.to_dict("records") if hasattr(each, "to_dict") else each.item())
    return json.loads(text, parse_constant=lambda name: None)
