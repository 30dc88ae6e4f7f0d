from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib.errors import DataFileError
from hbaclib.training.history import read_history


def test_learning_curves_are_read_from_a_folder_or_a_file(tmp_path: Path) -> None:
    table = pd.DataFrame({"stage": [1, 1], "epoch": [1, 2], "loss": [0.5, 0.25], "val_kl_many_votes": [np.nan, np.nan]})
    table.to_csv(tmp_path / "history.csv", index=False)
    pd.testing.assert_frame_equal(read_history(tmp_path), table)
    pd.testing.assert_frame_equal(read_history(tmp_path / "history.csv"), table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch,loss\n1,0.5,3\n", "row 1: 3 fields, expected 2"),
        ("epoch\n1\n", "column loss missing"),
        ("epoch,loss\n1,0.5\n2,much\n", "column loss, row 2: 'much'; expected numbers"),
        ("epoch,loss,val_kl\n1,0.5,True\n", "column val_kl, row 1"),
        ("epoch,loss\n", "a header and no rows"),
    ],
)
def test_what_training_did_not_write_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(DataFileError, match=rf"history\.csv: .*{message}|{message}"):
        read_history(tmp_path)
