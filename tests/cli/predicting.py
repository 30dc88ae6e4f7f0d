"""``hbac predict`` in process: its answer, and the table that it prints."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
from click.testing import CliRunner, Result

from hbaclib.cli.main import main
from hbaclib.conventions import VOTE_COLUMNS


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, words)])


def table(*words: object, **reading: Any) -> pd.DataFrame:
    """What a call prints that ends well, read by pandas' ``read_csv`` with these options."""
    answer = call(*words)
    assert answer.exit_code == 0, answer.output
    return pd.read_csv(io.StringIO(answer.stdout), **reading)


def shares(found: pd.DataFrame) -> np.ndarray:
    return found[list(VOTE_COLUMNS)].to_numpy(np.float32)
