"""Model card and data card in Markdown, written from a run's measured values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hbaclib.conventions import CLASSES

_INTENDED = """## Intended use

Research, teaching, and the competition *HMS - Harmful Brain Activity Classification*. Not a medical device: no decision
about a patient may rest on it. It was not tested on other hospitals, ages, montages or recording systems."""


def model_card(results: dict[str, Any]) -> str:
    """Model card of a run.

    Args:
        results: content of ``results.json``.
    """
    parts = [f"# Model card: {results['title']}", _INTENDED]
    scores = results.get("scores")
    if not scores:
        return "\n\n".join([*parts, "## Scores\n\nNone: no training stage of this run has finished."]) + "\n"
    about, tier = results["about"], results["tier"]
    tested = [row for row in scores[about] if row["n"]]
    what = f"The {about if about == 'ensemble' else 'model ' + about}"
    ensemble = results.get("ensemble")
    members = [row for row in ensemble["members"] if row["weight"]] if ensemble else []
    parts.append(
        "## What it is\n\n"
        + f"{what} predicts, for 50 s of EEG (and the ten-minute spectrogram around it), how a group of experts would "
        + f"divide its votes among {', '.join(CLASSES)}."
        + (f" Pooling: {ensemble['kind']}." if ensemble else "")
    )
    if members:
        parts.append(_table(("model", "weight", "score alone"), [(m["name"], m["weight"], m["kl"]) for m in members]))
    baseline = {row["tier"]: row["kl"] for row in scores["class mean"]}
    parts.append(
        "## Scores\n\nOut-of-fold Kullback-Leibler divergence, 95 % intervals over patients. Rows with 10 or more "
        "votes are of the test set's kind; different numbers of votes are different scales.\n\n"
        + _table(
            ("votes", "samples", "patients", "score", "low", "high", "class mean"),
            [(r["tier"], r["n"], r["patients"], r["kl"], r["low"], r["high"], baseline.get(r["tier"])) for r in tested],
        )
    )
    parts.append(
        f"## By class (rows of {tier} votes)\n\n"
        + _table(
            ("class", "samples", "sensitivity", "specificity", "AUC", "score"),
            [
                (c["class"], c["n"], c["sensitivity"], c["specificity"], c["auc"], k["kl"])
                for c, k in zip(results["clinical"], results["by_class"], strict=True)
            ],
        )
    )
    calibration, kappa = results["calibration"], results["agreement"]
    weakest = [c for c in results["clinical"] if c["sensitivity"] is not None]
    weakest.sort(key=lambda row: row["sensitivity"])
    parts.append(
        "## Limits\n\n"
        + (
            f"- Most often missed: {weakest[0]['class']} (sensitivity {_number(weakest[0]['sensitivity'])}).\n"
            if weakest
            else ""
        )
        + f"- Samples on which the experts agree and the model does not: {results['unanimous_disagreements_total']}.\n"
        + f"- Kappa with the experts' plurality {_number(kappa['model_kappa'])}; one expert with the others "
        + f"{_number(kappa['expert_kappa'])}.\n"
        + f"- Expected calibration error {_number(calibration['expected_calibration_error']['all'])}; best temperature "
        + f"{_number(calibration['temperature'])}.\n"
        + "- Chance in the votes alone costs a perfect model about "
        + f"{_number(calibration['perfect_model_low'])} to {_number(calibration['perfect_model_high'])}."
    )
    return "\n\n".join(parts) + "\n"


def data_card(results: dict[str, Any]) -> str:
    """Data card of a run.

    Args:
        results: content of ``results.json``.
    """
    data = results.get("data")
    parts = [f"# Data card: {results['title']}"]
    if not data:
        return "\n\n".join([*parts, "Stage 01_port_data of this run has not finished."]) + "\n"
    parts.append(
        "## What it is\n\n"
        f"{data['samples']:,} labelled 50-s windows of {data['recordings']:,} scalp EEG recordings (19 electrodes and "
        f"EKG, 200 Hz) of {data['patients']:,} patients, each with the votes of experts on {', '.join(CLASSES)}"
        + (f"; samples made by {data['sampling'].replace('_', ' ')}." if data.get("sampling") else ".")
    )
    parts.append(
        "## Populations\n\nRows with few and with many votes come from different annotators and differ in their class "
        "means; the competition's test set has only rows with 10 or more.\n\n"
        + _table(
            ("votes", "samples", "patients", *CLASSES),
            [(t, v["samples"], v["patients"], *(v[c] for c in CLASSES)) for t, v in data["tiers"].items()],
        )
    )
    if data.get("folds"):
        parts.append(
            "## Folds\n\nBy patient; every model and the ensemble use this one table.\n\n"
            + _table(
                ("fold", "patients", "samples", ">= 10 votes", *CLASSES),
                [
                    (f["fold"], f["patients"], f["samples"], f["many_votes"], *(f[c] for c in CLASSES))
                    for f in data["folds"]
                ],
            )
        )
    if data.get("quality"):
        parts.append(
            "## Quality of the recordings\n\n"
            + _table(
                ("measure", "least", "median", "95th percentile", "greatest"),
                [(q["measure"], q["min"], q["median"], q["p95"], q["max"]) for q in data["quality"]],
            )
        )
    parts.append(
        "## Limits\n\n"
        f"- Faulty files: {data.get('faulty_files', 'not examined')}.\n"
        "- Patients of one kind of hospital, critically ill; labels are opinions of experts, who often disagree.\n"
        "- Votes on neighbouring windows of one recording are not independent: count patients, not rows."
    )
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_number(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
