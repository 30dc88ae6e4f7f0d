"""Learning curves of a trained network, as its folder keeps them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hbaclib.dataset.csv_tables import read_typed_csv
from hbaclib.errors import DataFileError

HISTORY = "history.csv"
_NEEDED = ("epoch", "loss")


def read_history(place: str | Path) -> pd.DataFrame:
    """Read learning curves.

    Args:
        place: folder of a trained network, or the file.

    Returns:
        One row an epoch: ``epoch``, ``loss`` and whatever else was noted (``stage``, ``learning_rate``, ``val_*``;
        ``fold`` and ``seed`` where several fits were joined); NaN where a score could not be computed.

    Raises:
        DataFileError: there are none, the table has faults, or a column holds no numbers.
    """
    place = Path(place)
    path = place if place.suffix == ".csv" else place / HISTORY
    table = read_typed_csv(path, _NEEDED)
    for name in [name for name in table.columns if name in _NEEDED or str(name).startswith("val_")]:
        # A score that was never computed is a column without a cell.
        if table[name].dtype.kind not in "iuf" and table[name].notna().any():
            found = pd.to_numeric(table[name], errors="coerce")
            row = int((found.isna() & table[name].notna()).to_numpy().argmax())
            raise DataFileError(
                f"{path}: column {name}, row {row + 1}: {table[name].iloc[row]!r}; expected numbers as training wrote "
                "them"
            )
    return table
