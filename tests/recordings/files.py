"""EEG files of many forms, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hbaclib.conventions import EEG_COLUMNS
from tests.dataset.tiny import random_eeg

ROWS = np.arange(10_000)
"""Numbers of the rows of a recording of 50 s."""


def write(
    path: Path,
    values: np.ndarray | None = None,
    names: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    fields: Mapping[str, Mapping[str, str]] | None = None,
    without: tuple[str, ...] = (),
    seed: int = 0,
    **options: Any,
) -> Path:
    """Write an EEG file.

    Args:
        path: the file.
        values: (n, 20); 50 s of noise without.
        names: electrode -> name of its column.
        more: further columns, behind the electrodes.
        metadata: of the file; what is no text is written as JSON.
        fields: column -> its own metadata.
        without: electrodes that have no column.
        seed: of the noise.
        **options: of `pyarrow.parquet.write_table`.
    """
    if values is None:
        values = random_eeg(np.random.default_rng(seed))
    columns: dict[str, Any] = {
        (names or {}).get(name, name): pa.array(column, from_pandas=False)
        for name, column in zip(EEG_COLUMNS, values.T, strict=True)
        if name not in without
    }
    for name, column in (more or {}).items():
        columns[name] = column if isinstance(column, pa.Array) else pa.array(column)
    schema = pa.schema(
        [pa.field(name, column.type, metadata=(fields or {}).get(name)) for name, column in columns.items()],
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
        or None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(list(columns.values()), schema=schema), path, **options)
    return path
