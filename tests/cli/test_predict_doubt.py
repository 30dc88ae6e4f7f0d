"""Timelines of a model that tells doubt: columns, the limit, what replaces what, and models that tell none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hbaclib.cli.predict_timeline import COLUMNS, DOUBT_COLUMNS
from hbaclib.conventions import CLASSES
from hbaclib.evaluation.doubt import Doubt
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from tests.cli.predicting import call, shares
from tests.dataset.tiny import random_eeg, write_eeg
from tests.timeline.made import Answers

ODDS = float(np.log(1 / 5))
TOLD = Doubt(0.9, 0.3, (ODDS, 0.0), (1.0, 0.0), (-1.0, 0.0), 0.0, (-1.0, 1.0), (0.0, 1.0), 60, 30, "made rows")
"""Of equal shares half is doubted, and two classes are in the set."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("night") / "night.parquet"
    write_eeg(path, random_eeg(np.random.default_rng(0), 80 * 200))
    return path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ensemble of which one member serves, and only that one is asked for."""

    def opened(folder: Path, **_: object) -> Answers:
        networks = Answers()
        networks.members = {"a": SimpleNamespace(models=[])}
        folders = {"a": Path("a")} if "whole" in str(folder) else {"a": Path("a"), "b": Path("b")}
        networks.ensemble = SimpleNamespace(folders=folders, doubt=TOLD)
        return networks

    monkeypatch.setattr(EnsemblePredictor, "open", opened)
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
    return tmp_path


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, keep_default_na=False, na_values={**dict.fromkeys(COLUMNS[4:10], ""), "doubt": ""})


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_and_limit(model: Path, night: Path, tmp_path: Path, ending: str) -> None:
    out, segments = tmp_path / f"line.{ending}", tmp_path / "segments.csv"
    words = night, "--window", "timeline", "--out", out, "--segments", segments
    answer = call(model / "whole", *words, "--doubt", "1")
    assert answer.exit_code == 0, answer.output
    assert "doubt and sets: calibrated on made rows (60 rows of 30 patients)" in answer.stderr
    found = read(out)
    assert tuple(found.columns) == DOUBT_COLUMNS
    known = np.isfinite(shares(found)).all(axis=1)
    assert known.sum() == 4
    assert (found["set"] != "").tolist() == known.tolist() == found["doubt"].notna().tolist()
    for told, own in zip(found["set"][known], shares(found)[known], strict=True):
        names, order = told.split("|"), np.argsort(-own, kind="stable")
        assert names == [CLASSES[c] for c in order[: len(names)]]
        assert own[order[: len(names) - 1]].sum() <= 0.3 + 1e-6 < own[order[: len(names)]].sum() + 1e-6
    top = shares(found)[known].max(axis=1).astype(float)
    np.testing.assert_allclose(found["doubt"][known], (1 + ODDS - np.log(top / (1 - top))) / 2, atol=1e-3)
    table = pd.read_csv(segments)
    assert (
        list(table.columns)[3:5] == ["share", "doubt"]
        and table["doubt"].notna().tolist() == (table["state"] != "not evaluated").tolist()
    )
    # Tables with doubt and without replace one another.
    answer = call(model / "part", *words)
    assert answer.exit_code == 0 and "calibrated for all models, of which b do not serve" in answer.stderr
    assert tuple(read(out).columns) == COLUMNS and "doubt" not in pd.read_csv(segments)
    limit = found["doubt"].median()
    assert call(model / "whole", *words, "--doubt", limit).exit_code == 0
    again = read(out)
    assert again["state"][again["doubt"] > limit].eq("doubtful").all() and (again["doubt"] > limit).any()


def test_the_page_and_a_folder_tell_it(model: Path, night: Path, tmp_path: Path) -> None:
    answer = call(model / "whole", night, "--window", "timeline", "--out-dir", tmp_path / "lines")
    assert answer.exit_code == 0, answer.output
    page = (tmp_path / "lines" / "night.html").read_text()
    assert "calibrated on made rows" in page and '"limit":0.5' in page
    assert tuple(read(tmp_path / "lines" / "night-timeline.csv").columns) == DOUBT_COLUMNS
    assert call(model / "part", night, "--window", "timeline", "--out-dir", tmp_path / "lines").exit_code == 0
    page = (tmp_path / "lines" / "night.html").read_text()
    assert "No doubt and no sets: " in page and '"limit":null' in page


@pytest.mark.parametrize(
    ("name", "words", "code", "told"),
    [
        ("part", ("--window", "timeline"), 1, "--doubt does not apply: no doubt and no sets: they are calibrated"),
        ("whole", (), 2, "--doubt belongs to --window timeline"),
        ("whole", ("--window", "timeline", "--doubt", "1.5"), 2, "1.5 is not in the range"),
    ],
)
def test_a_limit_that_does_not_apply(
    model: Path, night: Path, tmp_path: Path, name: str, words: tuple[str, ...], code: int, told: str
) -> None:
    answer = call(model / name, night, "--doubt", "0.3", *words, "--out", tmp_path / "line.csv")
    assert answer.exit_code == code and told in answer.stderr and not (tmp_path / "line.csv").exists()
