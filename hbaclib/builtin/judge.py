"""What the built-in model can do: on held-out synthetic patients, and on real recordings that nothing was fitted to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, EEG_WINDOW, VOTE_COLUMNS
from hbaclib.ensemble.fit import EnsembleFit
from hbaclib.errors import DataFileError
from hbaclib.evaluation.calibration import best_temperature, expected_calibration_error
from hbaclib.evaluation.clinical import clinical_table
from hbaclib.evaluation.doubt import Doubt, judge_doubt, member_spread
from hbaclib.evaluation.metric import kl_per_sample
from hbaclib.evaluation.tiers import mean_interval
from hbaclib.prediction.ensemble_predictor import predict
from hbaclib.recordings.parquet import load_eeg
from hbaclib.signal.short import WAYS, place_short
from hbaclib.stages.names import ENSEMBLE

LABELS, VOTES = "eeg_labels.csv", "eeg_10s_votes.csv"
_MOST = 64


def judge_held_out(
    fit: EnsembleFit, doubt: Doubt, by_seed: Mapping[str, Mapping[int, np.ndarray]], samples: pd.DataFrame
) -> dict[str, Any]:
    """Figures on the held-out synthetic patients that the calibration did not see.

    Args:
        fit: the ensemble.
        doubt: of the ensemble.
        by_seed: network -> seed -> (n, 6) shares of all segments held out.
        samples: their rows, with ``calibrates``, ``meant`` and ``short``.

    Returns:
        JSON values: score with its interval over patients, by seed (all networks of one seed, pooled), by class, by
        length, calibration, doubt.
    """
    judged = ~samples["calibrates"].to_numpy()
    targets = samples.loc[judged, list(VOTE_COLUMNS)].to_numpy(np.float64)
    shares = fit.oof[judged]
    losses = kl_per_sample(targets, shares)
    means = np.broadcast_to(fit.prior, targets.shape)
    members = np.stack([np.mean(list(by_seed[name].values()), axis=0)[judged] for name in fit.names])
    seeds = sorted(set.intersection(*(set(parts) for parts in by_seed.values())))
    of_seed = {seed: fit.predict(np.stack([by_seed[name][seed][judged] for name in fit.names])) for seed in seeds}
    short = samples.loc[judged, "short"].to_numpy()
    classes = clinical_table(targets, shares).to_dict("records")
    for number, row in enumerate(classes):
        row["kl"] = _with_interval(losses[targets.argmax(axis=1) == number])["kl"]
    temperature, _ = best_temperature(targets, shares)
    return {
        "n": int(judged.sum()),
        **_with_interval(losses),
        "class_means": float(kl_per_sample(targets, means).mean()),
        "seeds": {str(seed): float(kl_per_sample(targets, part).mean()) for seed, part in of_seed.items()},
        "networks": dict(zip(fit.names, map(float, fit.table["kl"]), strict=True)),
        "classes": classes,
        "lengths": {
            way or "whole": {"n": int((short == way).sum()), **_with_interval(losses[short == way])}
            for way in ("", *WAYS)
        },
        "calibration_error": float(expected_calibration_error(targets, shares)["all"]),
        "best_temperature": temperature,
        "doubt": judge_doubt(doubt, shares, targets, member_spread(members)),
    }


def judge_real(model: str | Path, data: str | Path) -> dict[str, Any]:
    """Predict real recordings and compare with their experts.

    Args:
        model: folder of the model.
        data: folder with ``eeg_labels.csv`` (eeg_id, expert_consensus) and 50-s EEGs in ``train_eegs/``; with
            ``eeg_10s_votes.csv`` (id, seizure_vote, ...) and 10-s EEGs in ``eeg_10s/``.

    Returns:
        The figures: of the 50-s EEGs all shares and how many are right; of the 10-s EEGs, for both ways of placing one,
        all shares, the score with its interval, and the accuracy on those with one leading class.

    Raises:
        DataFileError: a table is missing.
    """
    ensemble, data = Path(model) / ENSEMBLE, Path(data)
    return {"50 s": _judge_labelled(ensemble, data), "10 s": _judge_voted(ensemble, data)}


def _judge_labelled(model: Path, data: Path) -> dict[str, Any]:
    table = _table(data / LABELS)
    files = [data / "train_eegs" / f"{number}.parquet" for number in table["eeg_id"]]
    shares = np.concatenate([predict(model, part) for part in _batches(files)])
    called = [CLASSES[index] for index in shares.argmax(axis=1)]
    truth = table["expert_consensus"].tolist()
    rows = [
        {"id": int(number), "experts": label, "called": call, "shares": _rounded(row)}
        for number, label, call, row in zip(table["eeg_id"], truth, called, shares, strict=True)
    ]
    right = np.array(called) == np.array(truth)
    by_class = {name: [int(right[table["expert_consensus"] == name].sum()), truth.count(name)] for name in CLASSES}
    return {"n": len(rows), "right": int(right.sum()), "by_class": by_class, "rows": rows}


def _judge_voted(model: Path, data: Path) -> dict[str, Any]:
    table = _table(data / VOTES)
    files = [data / "eeg_10s" / f"{number}.parquet" for number in table["id"]]
    counts = table[list(VOTE_COLUMNS)].to_numpy(np.float64)
    targets = counts / counts.sum(axis=1, keepdims=True)
    ordered = np.sort(counts, axis=1)
    leading = ordered[:, -1] > ordered[:, -2]
    found: dict[str, Any] = {"n": len(table), "leading": int(leading.sum())}
    for way in WAYS:
        shares = np.concatenate([predict(model, part) for part in _batches(files, way)])
        right = shares.argmax(axis=1) == targets.argmax(axis=1)
        rows = [
            {"id": int(number), "votes": list(map(int, votes)), "shares": _rounded(row)}
            for number, votes, row in zip(table["id"], counts, shares, strict=True)
        ]
        found[way] = {
            **_with_interval(kl_per_sample(targets, shares)),
            "right": int(right[leading].sum()),
            "rows": rows,
        }
    return found


def _batches(files: Sequence[Path], short: str = "") -> Iterator[np.ndarray]:
    """(b, 10000, 20) recordings of some files: their middle 50 s, or short ones placed in it."""
    for start in range(0, len(files), _MOST):
        eegs = [load_eeg(path)[0] for path in files[start : start + _MOST]]
        if short:
            yield np.stack([place_short(eeg, short) for eeg in eegs])
        else:
            yield np.stack([eeg[(begin := (len(eeg) - EEG_WINDOW) // 2) : begin + EEG_WINDOW] for eeg in eegs])


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataFileError(f"{path}: missing; expected the labels of real recordings")
    return pd.read_csv(path)


def _with_interval(losses: np.ndarray) -> dict[str, float | None]:
    """Mean with its 95 % interval: every row is a patient of its own. Without rows there is neither."""
    if not len(losses):
        return dict.fromkeys(("kl", "low", "high"))
    low, high = mean_interval(losses, np.arange(len(losses)))
    return {"kl": float(losses.mean()), "low": low, "high": high}


def _rounded(shares: np.ndarray) -> list[float]:
    return [round(float(share), 3) for share in shares]
