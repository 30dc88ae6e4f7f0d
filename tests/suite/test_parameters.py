"""Parameters for all stages, for a notebook's and for one: which holds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hbaclib.errors import ConfigError
from hbaclib.suite.parameters import fill_parameters
from hbaclib.suite.table import SuiteTable
from tests.suite.tiny_project import make_project, write_notebook

B0, B1, B4 = (f"04_train_efficientnet-{size}" for size in ("b0", "b1", "b4"))


def filled(given: dict[str, Any], suite: str = "full") -> dict[str, dict[str, Any]]:
    return fill_parameters(SuiteTable().suite(suite), given, Path("out"), None)


def test_without_any_the_suite_and_the_run_speak() -> None:
    values = filled({})
    assert values["01_port_data"] == {"n_folds": 5, "out": "out", "data": ""}
    assert values[B1] == {
        "recipe": "gold", "backbone": "efficientnet_b1", "batch": 64, "out": "out", "data": "", "stage": B1
    }  # fmt: skip
    assert "stage" not in values["07_ensemble"]


def test_a_bare_name_goes_to_every_stage_that_declares_it() -> None:
    values = filled({"weights": "imagenet", "folds": [0]})
    takes = [name for name, row in values.items() if row.get("weights") == "imagenet"]
    assert takes == [f"04_train_efficientnet-b{number}" for number in range(5)] + ["05_kerascv"]
    assert [name for name, row in values.items() if row.get("folds") == [0]] == [*takes, "06_wavenet", "06_raw_eeg"]


def test_a_notebooks_name_goes_to_all_its_stages_and_to_no_other() -> None:
    values = filled({"04_train_efficientnet.weights": "w", "06_train_raw_eeg.bands": [], "05_train_kerascv.folds": [1]})
    assert [name for name, row in values.items() if row.get("weights") == "w"] == [
        f"04_train_efficientnet-b{number}" for number in range(5)
    ]
    assert values["05_kerascv"]["weights"] == "" and values["05_kerascv"]["folds"] == [1]
    assert values["06_raw_eeg"]["bands"] == [] and "folds" not in values["06_raw_eeg"]


@pytest.mark.parametrize("turn", [1, -1])
def test_the_more_precise_holds_in_any_order(turn: int) -> None:
    given = {
        "weights": "all", "04_train_efficientnet.weights": "notebook", f"{B0}.weights": "stage", f"{B4}.recipe": "s1",
        "05_kerascv.weights": "own", "folds": [0], f"{B1}.folds": [1],
    }  # fmt: skip
    values = filled(dict(list(given.items())[::turn]))
    assert [values[name]["weights"] for name in (B0, B1, B4, "05_kerascv")] == ["stage", "notebook", "notebook", "own"]
    assert [values[name]["recipe"] for name in (B0, B1, B4)] == ["gold", "gold", "s1"]
    assert [values[name]["folds"] for name in (B0, B1, "06_raw_eeg")] == [[0], [1], [0]]


def test_a_stage_that_bears_its_notebooks_name_is_meant_itself(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    table = project / "kaggle" / "suite.toml"
    table.write_text(table.read_text() + '\n[[suites.tiny.stages]]\nnotebook = "11_first"\nname = "11_other"\n')
    suite = SuiteTable(project).suite("tiny")
    values = fill_parameters(suite, {"11_first.value": 7, "11_other.value": 8}, tmp_path, None)
    assert (values["11_first"]["value"], values["11_other"]["value"]) == (7, 8)
    assert "value" not in fill_parameters(suite, {"11_first.value": 7}, tmp_path, None)["11_other"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("weight", "no parameter 'weight'; did you mean weights"),
        ("nothing_like_it", "no parameter 'nothing_like_it'; there are: backbone"),
        ("04_train_efficientnet-b5.weights", "suite full: no stage '04_train_efficientnet-b5'; did you mean"),
        ("05_train_kerasvc.weights", "suite full: no stage '05_train_kerasvc'; did you mean 05_train_kerascv"),
        ("06_rawe_eg.bands", "no stage '06_rawe_eg'; did you mean 06_raw_eeg"),
        (f"{B0}.weihgts", f"suite full: {B0}: no parameter 'weihgts'; did you mean weights"),
        ("04_train_efficientnet.bands", "04_train_efficientnet: no parameter 'bands'; "),
        ("06_raw_eeg.weights", "06_raw_eeg: no parameter 'weights'; did you mean"),
        ("07_ensemble.recipe", "07_ensemble: no parameter 'recipe'; there are: data, out"),
        (".weights", "suite full: no stage ''; there are: 01_port_data"),
        ("out", "parameter 'out' is the run's own; --out and --data"),
        (f"{B0}.stage", "parameter 'stage' is the run's own"),
    ],
)
def test_unknown_names_are_refused_with_close_ones(key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        filled({key: 1})


def test_files_and_folders_are_found_from_the_notebooks_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("files", "imagenet", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
    for given, wanted in [
        ("files", str(tmp_path / "files")),
        ("deep/er", str(tmp_path / "deep" / "er")),
        ("~/files", str(tmp_path / "files")),
        ("imagenet", "imagenet"),
        ("noisy-student", "noisy-student"),
        ("no/such", "no/such"),
        ("", ""),
        (None, None),
    ]:
        assert filled({f"{B0}.weights": given})[B0]["weights"] == wanted
    (tmp_path / "my.toml").touch()
    (tmp_path / "gold").mkdir()
    values = filled({f"{B0}.recipe": "my.toml", f"{B1}.recipe": "gold", "06_raw_eeg.image_half": "my.toml"})
    assert values[B0]["recipe"] == values["06_raw_eeg"]["image_half"] == str(tmp_path / "my.toml")
    assert values[B1]["recipe"] == "gold"
    assert filled({"spectrograms": "files"})["01_port_data"]["spectrograms"] == "files"


def test_a_notebook_written_anew_declares_its_own(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    write_notebook(project / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""\nnew = 0', "")
    values = fill_parameters(SuiteTable(project).suite("tiny"), {"12_second.new": 3}, tmp_path, None)
    assert values["12_second"] == {"new": 3, "out": str(tmp_path), "stage": "12_second"}
