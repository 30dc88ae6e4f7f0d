"""What a notebook finds and what it computes; fits that other kernels have trained are taken over, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbaclib.artefacts import read_manifest, write_manifest, write_text
from hbaclib.errors import ConfigError
from hbaclib.stages.eeg_products import stored_images
from hbaclib.stages.names import EEG, EEG_IMAGES
from hbaclib.stages.port import port_data
from hbaclib.suite.prerequisites import adopt_fits, check_attached, eeg_products, images
from tests.dataset.tiny import write_tiny

STAGE = "04_train_efficientnet-b0"


def trained(folder: Path, fold: int) -> None:
    names = [f"fold-{fold}.weights.h5", f"fold-{fold}.fit.json", "recipe.toml"]
    for name in names:
        write_text(folder / name, f"{folder.parent.name} {name}")
    write_manifest(folder, STAGE, inputs={}, parameters={}, outputs=names)


def test_parts_are_joined_and_own_fits_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = tmp_path / "input"
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(inputs))
    adopt_fits(STAGE, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    trained(inputs / "notebooks" / "someone" / "part1" / STAGE, 0)
    trained(inputs / "part2" / STAGE, 1)
    write_text(inputs / "unfinished" / STAGE / "fold-2.weights.h5", "half")
    write_text(tmp_path / "out" / STAGE / "fold-1.fit.json", "own")
    adopt_fits(STAGE, tmp_path / "out")
    found = {path.name: path.read_text() for path in (tmp_path / "out" / STAGE).iterdir()}
    assert found == {
        "fold-0.weights.h5": "part1 fold-0.weights.h5",
        "fold-0.fit.json": "part1 fold-0.fit.json",
        "fold-1.weights.h5": "part2 fold-1.weights.h5",
        "fold-1.fit.json": "own",
    }


def test_what_a_short_session_has_left_unfinished_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished fit, and one with a checkpoint; not what was being written."""
    inputs = tmp_path / "input"
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(inputs))
    trained(inputs / "part2" / STAGE, 1)
    left = ["fold-0.fit.json", "fold-0.weights.h5", "fold-1.fit.json", "fold-2-seed-1.checkpoint.npz"]
    left += ["fold-2-seed-1.history.csv", "fold-3.weights.h5", ".12345678.partial.fold-4.weights.h5"]
    for name in left:
        write_text(inputs / "notebooks" / "someone" / "part1" / STAGE / name, f"part1 {name}")
    adopt_fits(STAGE, tmp_path / "out")
    found = {path.name: path.read_text() for path in (tmp_path / "out" / STAGE).iterdir()}
    assert found == {name: f"part1 {name}" for name in [*left[:2], *left[3:5]]} | {
        "fold-1.fit.json": "part2 fold-1.fit.json",
        "fold-1.weights.h5": "part2 fold-1.weights.h5",
    }, "those of a finished stage first"


def stage_02(folder: Path, *images: str) -> Path:
    """A finished stage 02 that says that it holds images."""
    for image in images:
        write_text(folder / EEG / EEG_IMAGES[image], image)
    write_manifest(folder / EEG, EEG, inputs={}, parameters={}, outputs=[EEG_IMAGES[image] for image in images])
    return folder / EEG


def test_an_attached_stage_that_lacks_an_image_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, out = tmp_path / "input", tmp_path / "out"
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(inputs))
    check_attached(out, ["pair"])  # nothing is attached: it will be computed
    attached = stage_02(inputs / "notebooks" / "someone" / "hbac-02", "pair")
    check_attached(out, ["pair"])
    with pytest.raises(ConfigError) as told:
        check_attached(out, {"absolute": "gold"})
    assert str(told.value) == (
        f"recipe 'gold' sees image 'absolute', and {attached} holds pair alone; run 02_eeg_spectrograms with "
        "images = ['pair', 'absolute'] and attach its output, or detach it: then the image is computed here"
    )
    with pytest.raises(ConfigError, match="needed is image 'absolute'"):
        eeg_products(out, images=["pair", "absolute"])
    assert not out.exists()
    # Beside it, another that holds the image.
    other = stage_02(inputs / "notebooks" / "someone" / "hbac-03", "pair", "absolute")
    check_attached(out, {"absolute": "gold"})
    # This run's own comes first, and is made again where it lacks one.
    stage_02(out, "pair")
    check_attached(out, {"absolute": "gold"})
    assert stored_images(other) == ("pair", "absolute")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path / "input"))
    write_tiny(tmp_path / "data", n_eegs=8, rows_per_eeg=1)
    port_data(tmp_path / "data", tmp_path / "out", n_folds=2, n_jobs=1)
    return str(tmp_path / "data")


@pytest.mark.parametrize("image", ["pair", "absolute"])
def test_a_notebook_computes_the_image_that_its_recipe_sees(tmp_path: Path, data: str, image: str) -> None:
    folder = eeg_products(tmp_path / "out", data, {image: "mine"})
    assert stored_images(folder) == (image,)
    assert {path.stem for path in folder.glob("*.npy")} == {Path(EEG_IMAGES[image]).stem, "raw_signals"}
    images(tmp_path / "out", data)


def test_who_sees_none_stores_the_least(tmp_path: Path, data: str) -> None:
    assert stored_images(eeg_products(tmp_path / "out", data)) == ("pair",)


def test_on_kaggle_another_image_takes_the_place_of_the_first(
    tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first = eeg_products(out, data, ["pair"])
    before = read_manifest(first).digest
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert eeg_products(out, data, ["pair"]) == first and read_manifest(first).digest == before
    eeg_products(out, data, ["absolute"])
    assert "computing absolute in their place" in capsys.readouterr().out
    assert stored_images(first) == ("absolute",) and not (first / EEG_IMAGES["pair"]).exists()
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE")
    eeg_products(out, data, ["pair"])
    assert stored_images(first) == ("pair", "absolute")
