"""Networks of which a session trained some folds only: what joins networks does so without them, and says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from hbaclib.artefacts import read_manifest
from hbaclib.ensemble.store import load_ensemble
from hbaclib.errors import ArtefactError, DataFileError
from hbaclib.report.results import measure
from hbaclib.stages.places import find_trained
from hbaclib.suite.prerequisites import ensembled, model_places, trained
from tests.ensemble.made_runs import make_samples, make_trained

WHOLE, OTHER, PARTIAL = "04_train_efficientnet-b0", "05_train_wavenet", "05_train_densenet201"
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "07_ensemble.py"


@pytest.fixture(autouse=True)
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inputs = tmp_path / "input"
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(inputs))
    return inputs / "notebooks" / "someone"


@pytest.mark.parametrize(
    ("n_folds", "folds", "said"),
    [
        (3, [0], "fold 0 of 3 is trained"),
        (3, [1, 2], "folds 1, 2 of 3 are trained"),
        (5, [0, 1, 2, 3], "folds 0 to 3 of 5 are trained"),
        (5, [4, 3, 0, 1], "folds 0, 1, 3, 4 of 5 are trained"),
    ],
)
def test_a_partial_network_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n_folds: int, folds: Sequence[int], said: str
) -> None:
    make_trained(tmp_path / WHOLE, noise=0.5)
    make_trained(tmp_path / OTHER, name="other", noise=0.7)
    make_trained(tmp_path / PARTIAL, name="partial", folds=folds, changes={"folds": n_folds})
    assert [folder.name for folder in trained(tmp_path)] == [WHOLE, OTHER]
    assert capsys.readouterr().out == f"left out of the ensemble: {PARTIAL} ({said})\n"


def test_the_ensemble_is_made_of_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = make_samples(20)
    make_trained(tmp_path / WHOLE, noise=0.5, samples=few)
    make_trained(tmp_path / OTHER, name="other", noise=0.7, samples=few)
    make_trained(tmp_path / PARTIAL, name="partial", folds=[0, 1], samples=few)
    folder = ensembled(tmp_path)
    assert f"left out of the ensemble: {PARTIAL} (folds 0, 1 of 3 are trained)\n" in capsys.readouterr().out
    assert set(read_manifest(folder).inputs) == {WHOLE, OTHER}
    assert set(load_ensemble(folder).folders) <= {WHOLE, OTHER}


def test_where_all_are_whole_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [make_trained(tmp_path / WHOLE), make_trained(tmp_path / OTHER, name="other")]
    assert trained(tmp_path) == folders and capsys.readouterr().out == ""


def test_where_none_is_whole_it_is_one_sentence(tmp_path: Path) -> None:
    make_trained(tmp_path / WHOLE, folds=[0])
    make_trained(tmp_path / PARTIAL, name="partial", folds=[0, 1])
    with pytest.raises(ArtefactError) as told:
        ensembled(tmp_path)
    assert str(told.value) == (
        f"no network is trained on all folds: {WHOLE} (fold 0 of 3 is trained), {PARTIAL} (folds 0, 1 of 3 are "
        "trained); run the notebook that trains it again, with what it has left there or attached"
    )
    assert not (tmp_path / "07_ensemble" / "manifest.json").exists()


def test_a_table_that_is_gone_is_a_fault_and_no_partial_network(tmp_path: Path) -> None:
    (make_trained(tmp_path / WHOLE) / "oof.parquet").unlink()
    with pytest.raises(DataFileError, match=r"oof\.parquet"):
        ensembled(tmp_path)


@pytest.mark.parametrize("first", ["partial", "whole"])
def test_of_two_attached_sessions_the_whole_one_is_taken(tmp_path: Path, mounts: Path, first: str) -> None:
    """The output of the session that was too short may still be attached beside that of the next one."""
    a, b = (mounts / "hbac-05-a", mounts / "hbac-05-b") if first == "partial" else (mounts / "b", mounts / "a")
    make_trained(a / WHOLE, folds=[0, 1])
    whole = make_trained(b / WHOLE)
    assert find_trained(tmp_path / "out") == trained(tmp_path / "out") == [whole]
    assert model_places(tmp_path / "out") == [b]
    make_trained(tmp_path / "out" / WHOLE, folds=[0])  # this run's own, begun and not ended
    assert trained(tmp_path / "out") == [whole]
    own = make_trained(tmp_path / "other" / WHOLE)
    assert trained(tmp_path / "other") == [own], "of two whole ones this run's own"


def test_the_notebook_ends_with_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plt, "show", plt.close)
    few = make_samples(20)
    make_trained(tmp_path / WHOLE, noise=0.5, samples=few)
    make_trained(tmp_path / OTHER, name="other", noise=0.7, samples=few)
    make_trained(tmp_path / PARTIAL, name="partial", folds=[0, 1], samples=few)
    source, found = re.subn(r'^out = ""', f"out = {str(tmp_path)!r}", NOTEBOOK.read_text(), flags=re.MULTILINE)
    assert found == 1
    names: dict[str, object] = {"__name__": "notebook"}
    exec(compile(source, str(NOTEBOOK), "exec"), names)
    said = capsys.readouterr().out
    assert f"left out of the ensemble: {PARTIAL} (folds 0, 1 of 3 are trained)" in said
    assert f"2 member(s): {WHOLE}, {OTHER}" in said
    assert set(names["tables"]) == {WHOLE, OTHER, "ensemble"}  # type: ignore[call-overload]


def test_the_report_names_it(tmp_path: Path) -> None:
    make_trained(tmp_path / WHOLE)
    (tmp_path / WHOLE / "history.csv").write_text("fold,seed,stage,epoch,loss\n0,0,1,1,2.0\n")
    make_trained(tmp_path / PARTIAL, name="partial", folds=[0])
    (tmp_path / PARTIAL / "history.csv").write_text("fold,seed,stage,epoch,loss\n0,0,1,1,2.0\n")
    assert f"scores of {PARTIAL}: not all folds are trained" in measure(tmp_path).results["missing"]
