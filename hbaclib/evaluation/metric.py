"""The official score: Kullback-Leibler divergence between the experts' vote shares and the predicted ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hbaclib.conventions import CLASSES, PREDICTION_COLUMNS, VOTE_COLUMNS
from hbaclib.dataset.cells import shares
from hbaclib.errors import DataError, list_some

EPSILON = 1e-15
"""Predictions are clipped to [EPSILON, 1 - EPSILON], as the competition's scorer does."""

SUM_TOLERANCE = 1e-5
"""A row's shares may miss 1 by so much (the scorer uses ``numpy.allclose``)."""

PROBABILITY_FLOOR = 1e-4
"""Least predicted share in a submission: costs nothing and bounds the loss of a confident mistake."""

Shares = np.ndarray | pd.DataFrame


def kl_divergence(targets: Shares, predictions: Shares) -> float:
    """Score predictions as the competition does.

    Args:
        targets: (n, 6) vote shares, columns in the order of VOTE_COLUMNS; of a table the columns are taken by name.
        predictions: (n, 6) predicted shares; a table may name them as VOTE_COLUMNS or PREDICTION_COLUMNS.

    Returns:
        Mean over rows of sum_c y ln(y / p), terms with y = 0 left out, p clipped to [1e-15, 1 - 1e-15]. A one-hot row
        with p = 0 on the true class therefore costs 34.54 (Keras' loss of the same name clips at 1e-7: 16.12).

    Raises:
        DataError: naming every fault at once: a missing column, a shape, NaN, values outside [0, 1], rows that do not
            sum to 1, ids of two tables that differ.

    Source: the metric of the competition "HMS - Harmful Brain Activity Classification".
    """
    return float(np.mean(kl_per_sample(targets, predictions)))


def kl_per_sample(targets: Shares, predictions: Shares) -> np.ndarray:
    """Divergence of every row, (n,) float64; arguments and errors as for `kl_divergence`."""
    true, faults = _shares(targets, "targets", (VOTE_COLUMNS,))
    predicted, more = _shares(predictions, "predictions", (VOTE_COLUMNS, PREDICTION_COLUMNS))
    faults += more
    if true is not None and predicted is not None and len(true) != len(predicted):
        faults.append(f"{len(true)} rows of targets, {len(predicted)} rows of predictions; expected as many")
    elif isinstance(targets, pd.DataFrame) and isinstance(predictions, pd.DataFrame):
        faults += _id_faults(targets, predictions)
    if faults:
        raise DataError("; ".join(faults))
    assert true is not None and predicted is not None
    return divergence(true, predicted)


def divergence(targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """`kl_per_sample` of arrays that were checked before, over the last axis; leading axes broadcast."""
    clipped = np.clip(predictions, EPSILON, 1 - EPSILON)
    ratio = np.where(targets > 0, targets, 1.0) / clipped
    return np.sum(targets * np.log(ratio), axis=-1)


def check_shares(values: Shares, what: str) -> np.ndarray:
    """Return (n, 6) float64 shares.

    Args:
        values: (n, 6) array, or a table with VOTE_COLUMNS or PREDICTION_COLUMNS.
        what: how messages call them.

    Raises:
        DataError: naming every fault, with the first rows concerned.
    """
    shares, faults = _shares(values, what, (VOTE_COLUMNS, PREDICTION_COLUMNS))
    if faults:
        raise DataError("; ".join(faults))
    assert shares is not None
    return shares


def apply_floor(predictions: np.ndarray, floor: float = PROBABILITY_FLOOR) -> np.ndarray:
    """Raise every share to at least about ``floor`` and make the rows sum to 1 again, (n, 6) float64."""
    raised = np.maximum(np.asarray(predictions, dtype=np.float64), floor)
    return raised / raised.sum(axis=-1, keepdims=True)


def share_faults(values: np.ndarray, what: str) -> list[str]:
    """Describe what is wrong with (n, 6) shares; an empty list if nothing is."""
    faults = []
    infinite = ~np.isfinite(values).all(axis=1)
    if infinite.any():
        faults.append(f"{what}: NaN or infinite values in {_rows(infinite)}; expected numbers")
    with np.errstate(invalid="ignore"):
        outside = ((values < 0) | (values > 1)).any(axis=1) & ~infinite
        wrong_sum = (np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE) & ~infinite
    if outside.any():
        faults.append(f"{what}: values outside [0, 1] in {_rows(outside)}")
    if wrong_sum.any():
        total = values[np.flatnonzero(wrong_sum)[0]].sum()
        faults.append(f"{what}: {_rows(wrong_sum)} do not sum to 1 (the first sums to {total:.6g})")
    return faults


def _shares(values: Shares, what: str, forms: Sequence[tuple[str, ...]]) -> tuple[np.ndarray | None, list[str]]:
    if isinstance(values, pd.DataFrame):
        found = set(values.columns)
        columns = next((form for form in forms if set(form) <= found), None)
        if columns is None:
            form = max(forms, key=lambda names: len(set(names) & found))
            return None, [f"{what}: column missing: {list_some(name for name in form if name not in found)}"]
        values = values[list(columns)]
    array, faults = _numbers(values, what)
    if array is None or faults:
        return None, faults
    if array.ndim != 2 or array.shape[1] != len(CLASSES) or not len(array):
        return None, [f"{what}: shape {array.shape}; expected (n, {len(CLASSES)}) with n of at least 1"]
    return array, share_faults(array, what)


def _numbers(values: Shares, what: str) -> tuple[np.ndarray | None, list[str]]:
    """Values as float64, masked and missing ones as NaN."""
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(object), None)
    try:
        if not np.iscomplexobj(values):
            return np.asarray(values, dtype=np.float64), []
    except (TypeError, ValueError):
        if isinstance(values, pd.DataFrame):  # of mixed types
            return shares(values, what)
    return None, [f"{what}: not numbers; expected shares of the {len(CLASSES)} classes"]


def _id_faults(targets: pd.DataFrame, predictions: pd.DataFrame) -> list[str]:
    if any(list(table.columns).count("eeg_id") != 1 for table in (targets, predictions)):
        return []
    # As objects: among floats, ids above 2^53 would be equal to others.
    left, right = (table["eeg_id"].astype(object).to_numpy() for table in (targets, predictions))
    different = pd.isna(left) | pd.isna(right)
    different[~different] = left[~different] != right[~different]
    return [f"eeg_id of targets and predictions differs in {_rows(different)}"] if different.any() else []


def _rows(mask: np.ndarray) -> str:
    rows = np.flatnonzero(mask)
    return f"{len(rows)} row{'s' if len(rows) > 1 else ''} (row {list_some(rows, 5)})"
