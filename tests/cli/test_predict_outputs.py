"""``hbac predict``: what it writes beside a timeline, for one recording and for a folder of them."""

from __future__ import annotations

import html
from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pytest

from hbaclib.conventions import CLASSES, EEG_COLUMNS, VOTE_COLUMNS
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.timeline.annotations import is_annotation_file
from hbaclib.timeline.page import is_page
from tests.cli.predicting import call, shares, table
from tests.cli.test_predict_timeline import SECOND, write_night
from tests.dataset.tiny import random_eeg
from tests.made_shipped import IMAGE, make_shipped
from tests.recordings.edf_files import noise, write_edf
from tests.timeline.made import Answers

FILES = ("page", "segments", "annotations", "szcore")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shipped(tmp_path_factory.mktemp("run"), {"eeg": IMAGE}) / "07_ensemble"


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 70 s after a gap of 20 s, and one that is none."""
    folder = tmp_path_factory.mktemp("nights")
    eeg = random_eeg(np.random.default_rng(0), 141 * SECOND)
    for name in ("a", "b"):
        write_night(folder / f"{name}.edf", np.concatenate([np.arange(50), 70.0 + np.arange(70)]), eeg)
    (folder / "c.edf").write_bytes(b"")
    return folder


def test_one_recording(model: Path, nights: Path, tmp_path: Path) -> None:
    places = {kind: tmp_path / f"a.{kind}" for kind in FILES}
    words = [word for kind, place in places.items() for word in (f"--{kind}", place)]
    line = tmp_path / "a.csv"
    for _ in range(2):  # what hbac wrote it may replace
        answer = call(model, nights / "a.edf", "--timeline", line, *words)
        assert answer.exit_code == 0, answer.output
    bins, segments = pd.read_csv(line), pd.read_csv(places["segments"])
    assert segments["duration"].sum() == bins["stop"].iloc[-1] == 140 and segments["bins"].sum() == len(bins)
    assert segments["clock"].iloc[0] == "2026-01-01T22:00:00"
    expected = [state for state, count in zip(segments["state"], segments["bins"], strict=True) for _ in range(count)]
    assert bins["state"].tolist() == expected
    notes = edfio.read_edf(places["annotations"])
    assert [each.onset for each in notes.annotations] == segments["onset"].tolist()
    assert notes.starttime.hour == 22 and is_annotation_file(places["annotations"])
    events = pd.read_csv(places["szcore"], sep="\t", keep_default_na=False)
    assert set(events["eventType"]) <= {"sz", "bckg"} and events["recordingDuration"].eq(140).all()
    text = places["page"].read_text()
    assert is_page(places["page"]) and "a.edf" in text and "prior: classes are expected" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [line.name, *(each.name for each in places.values())]
    )


def test_a_folder_gets_files_of_every_recording(model: Path, nights: Path, tmp_path: Path) -> None:
    answer = call(model, nights, "--out-dir", tmp_path / "lines")
    assert answer.exit_code == 1 and "c.edf" in answer.stderr and "1 of 3 recordings" in answer.stderr
    ends = ("-hbac.edf", "-segments.csv", "-szcore.tsv", "-timeline.csv", ".html")
    assert sorted(path.name for path in (tmp_path / "lines").iterdir()) == [
        f"{name}{end}" for name in "ab" for end in ends
    ]
    assert not answer.stdout
    one = pd.read_csv(tmp_path / "lines" / "b-timeline.csv")
    assert one["file"].eq(str(nights / "b.edf")).all()


def test_priors(model: Path, nights: Path) -> None:
    given = model, nights / "a.edf"
    trained, icu, own = (shares(table(*given, "--prior", name)) for name in ("trained", "icu", "recording"))
    np.testing.assert_array_equal(trained, shares(table(*given)))
    other = CLASSES.index("Other")
    assert np.nanmin(icu[:, other] - trained[:, other]) > 0
    np.testing.assert_allclose(np.nansum(own, axis=1)[np.isfinite(own[:, 0])], 1, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--page", "p.html"), "--page is of one recording, and there are 3; --out-dir FOLDER"),
        (("--out-dir", "d", "--out", "t.csv"), "do not go with it"),
        (("--window", "centre", "--segments", "s.csv"), "--segments belongs to --window timeline"),
        (("--window", "centre", "--prior", "icu"), "--prior belongs to --window timeline"),
        (("--prior", "ward"), "trained"),
        (("--seizure-threshold", "0"), "0<x<=1"),
    ],
)
def test_what_does_not_go_together(
    model: Path, nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = call(model, nights, *words)
    assert answer.exit_code == 2 and told in " ".join(answer.stderr.split()), answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", FILES)
def test_foreign_files_and_inputs_stay(model: Path, nights: Path, tmp_path: Path, kind: str) -> None:
    foreign = tmp_path / "mine"
    foreign.write_text("mine")
    answer = call(model, nights / "a.edf", f"--{kind}", foreign)
    assert answer.exit_code == 1 and "was not written by hbac" in answer.stderr and foreign.read_text() == "mine"
    before = (nights / "a.edf").read_bytes()
    answer = call(model, nights / "a.edf", f"--{kind}", nights / "a.edf")
    assert answer.exit_code == 1 and "is an input" in answer.stderr and (nights / "a.edf").read_bytes() == before


@pytest.mark.parametrize("lacking", [(), ("T3", "T5", "T4", "T6")])
def test_a_page_says_that_regions_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...]
) -> None:
    networks = Answers()
    networks.members = {}
    monkeypatch.setattr(EnsemblePredictor, "open", lambda *_, **__: networks)
    labels = [name for name in EEG_COLUMNS if name not in lacking]
    path = write_edf(tmp_path / "a.edf", noise(60 * SECOND, len(labels)), labels)
    words = tmp_path, path, "--timeline", tmp_path / "a.csv", "--page", tmp_path / "a.html"
    answer = call(*words, "--allow-missing")
    assert answer.exit_code == 0, answer.output
    told = (
        "2 of 4 regions cannot be derived: LL (T3, T5 missing)" if lacking else "rows with less than three of the four"
    )
    text = html.unescape((tmp_path / "a.html").read_text())
    assert "warning: " in text and told in text and "predicted all the same (--allow-missing)" in text
    assert f"{path}: warning: " in answer.stderr and told in answer.stderr
    if not lacking:
        assert call(*words).exit_code == 0 and "--allow-missing" not in (tmp_path / "a.html").read_text()


def test_a_timeline_in_parquet(model: Path, nights: Path, tmp_path: Path) -> None:
    out = tmp_path / "lines.parquet"
    for _ in range(2):
        assert call(model, nights / "a.edf", nights / "b.edf", "--timeline", out).exit_code == 0
    found, printed = pd.read_parquet(out), table(model, nights / "a.edf", nights / "b.edf")
    assert found["state"].tolist() == printed["state"].tolist() and list(found.columns) == list(printed.columns)
    np.testing.assert_allclose(shares(found), shares(printed), atol=1e-6)
    pd.DataFrame({"mine": [1]}).to_parquet(out)
    answer = call(model, nights / "a.edf", "--timeline", out)
    assert (
        answer.exit_code == 1 and "was not written by hbac" in answer.stderr and list(pd.read_parquet(out)) == ["mine"]
    )


@pytest.mark.parametrize("words", [("--annotations", "x.edf"), ("--out-dir", "lines")])
def test_without_edfio_nothing_is_begun(
    model: Path, nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hbaclib.timeline.annotations.find_spec", lambda name: None)
    answer = call(model, nights / "a.edf", *words)
    assert answer.exit_code == 1 and "pip install 'hbaclib[edf]'" in answer.stderr and not list(tmp_path.iterdir())


def test_two_recordings_of_one_name(model: Path, nights: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.edf").write_bytes((nights / "a.edf").read_bytes())
    answer = call(model, nights / "a.edf", tmp_path / "more" / "a.edf", "--out-dir", tmp_path / "lines")
    assert answer.exit_code == 1 and "would have files of one name" in answer.stderr
    assert not (tmp_path / "lines").exists()


def test_states_are_of_the_shares_that_the_table_shows(model: Path, nights: Path) -> None:
    found = table(model, nights / "a.edf", "--seizure-threshold", "0.001")
    known = found["state"] != "not evaluated"
    assert found.loc[known, "state"].eq("Seizure").all() and found.loc[known, list(VOTE_COLUMNS)].notna().all(axis=None)
