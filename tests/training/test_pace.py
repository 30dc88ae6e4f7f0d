"""The pace of a network, measured on a few steps that leave nothing behind."""

from pathlib import Path

import pytest

from hbaclib.training.fit import Fit
from hbaclib.training.pace import measure, resumes_at
from hbaclib.training.reports import read_report
from tests.training.tiny import TinyArrays, tiny_recipe


def test_a_few_steps_are_measured_and_forgotten(tmp_path: Path) -> None:
    arrays, folder = TinyArrays(n=24), tmp_path / "05_train_tiny"
    folder.mkdir()
    # Twelve rows outside the fold, in batches of 4; four of them have many votes.
    fit = Fit(tiny_recipe(), 0, 0, folder, arrays.digest)
    pace = measure(fit, arrays, report=tmp_path / "report.json")
    assert pace.epochs == ((3, 3), (1, 1)) and pace.step > 0 and pace.setup > 0
    # Three batches of the fold and three that estimate batch norm behind every epoch; at the end the fold once more.
    assert (pace.passes, pace.last) == (3 + 3, 3)
    assert pace.seconds(fit) == pytest.approx(pace.setup + pace.step * (8 + (4 * 6 + 3) / 3))
    assert list(folder.iterdir()) == [] and resumes_at(fit) == (0, 0)
    report = read_report(tmp_path / "report.json")
    assert report is not None and report.fit.startswith("05_train_tiny: a few steps") and report.device == "default"
