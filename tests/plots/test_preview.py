"""Pictures of the generator's recordings: what is written, what is refused, and what the numbers behind them mean."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from hbaclib.conventions import CLASSES, EEG_COLUMNS
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.errors import ArtefactError, DataFileError
from hbaclib.plots import preview
from hbaclib.plots.preview import PICTURES, draw_preview
from hbaclib.plots.statistics import describe

SMALL = {"examples": 1, "many": 2}


def real_folder(
    root: Path, kinds: tuple[str, ...] = ("LPD", "GRDA"), seconds: int = 50, table: str = "train.csv"
) -> Path:
    """A folder of recordings in the competition's format, one a class."""
    (root / "train_eegs").mkdir(parents=True)
    for number, kind in enumerate(kinds):
        eeg = make_segment(kind if kind in CLASSES else "Other", number, seconds=seconds).eeg
        pd.DataFrame(eeg, columns=list(EEG_COLUMNS)).to_parquet(root / "train_eegs" / f"{number + 1}.parquet")
    rows = pd.DataFrame({"eeg_id": range(1, len(kinds) + 1), "expert_consensus": kinds})
    rows.to_csv(root / table, index=False)
    return root


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("preview")
    draw_preview(root / "out", real=real_folder(root / "real"), **SMALL)
    return root


def test_a_page_a_class_and_two_overviews(drawn):
    assert sorted(path.name for path in (drawn / "out").iterdir()) == sorted(PICTURES)
    assert {f"{kind.lower()}.png" for kind in CLASSES} < set(PICTURES)
    for name in PICTURES:
        picture = matplotlib.image.imread(drawn / "out" / name)
        assert picture.shape[0] > 400 and picture.std() > 0.02
    # No working folder and no lock stays beside.
    assert sorted(path.name for path in drawn.iterdir()) == ["out", "real"]


def test_an_earlier_preview_is_replaced_by_the_same_bytes(drawn):
    before = {name: (drawn / "out" / name).read_bytes() for name in PICTURES}
    draw_preview(drawn / "out", real=drawn / "real", **SMALL)
    assert before == {name: (drawn / "out" / name).read_bytes() for name in PICTURES}


def texts(figure) -> str:
    return "\n".join(axis.get_title() + axis.get_ylabel() + axis.get_xlabel() for axis in figure.axes)


def test_pages_say_what_is_shown_with_units(drawn):
    figures = dict(preview._figures(preview._real_recordings(drawn / "real"), 0, True, 1, 2))
    assert "synthetic, meant LPD" in texts(figures["lpd.png"]) and "real, labelled LPD (1)" in texts(figures["lpd.png"])
    assert "real" not in texts(figures["gpd.png"])
    assert "Hz" in texts(figures["spectra.png"]) and "µV" in texts(figures["spectra.png"])
    lines = [line for line in figures["statistics.png"].axes[0].lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in lines) == 2


def test_one_scale_a_page_unless_it_does_not_suit():
    quiet, same, loud = (preview._Example(name, make_segment("Other", 4).eeg * gain) for name, gain in
                         (("a", 1), ("b", 1), ("c", 20)))  # fmt: skip
    titles = [axis.get_title() for axis in preview._page([quiet, same, loud]).axes]
    assert titles == ["a", "b", "c (own scale)"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "train.csv").unlink(), "no train.csv or eeg_labels.csv"),
        (lambda root: (root / "train.csv").write_text("eeg_id,vote\n1,LPD\n"), "expert_consensus"),
        (lambda root: (root / "train.csv").write_text("eeg_id,expert_consensus\n1,Epilepsy\n"), "Epilepsy"),
        (lambda root: (root / "train.csv").write_text("eeg_id,expert_consensus\n"), "no rows"),
        (lambda root: (root / "train_eegs" / "1.parquet").unlink(), "1.parquet"),
        (lambda root: (root / "train_eegs" / "2.parquet").write_bytes(b"x"), "2.parquet"),
    ],
    ids=["no table", "no column", "no class", "no rows", "no file", "no Parquet"],
)
def test_real_recordings_are_checked_before_anything_is_drawn(spoil, words, tmp_path, monkeypatch):
    root = real_folder(tmp_path / "real", seconds=50)
    spoil(root)
    monkeypatch.setattr(preview, "make_segment", None)
    with pytest.raises(DataFileError, match=words):
        draw_preview(tmp_path / "out", real=root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real"]


def test_a_recording_that_is_too_short_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"2\.parquet: 20 s; expected 50"):
        draw_preview(tmp_path / "out", real=real_folder(tmp_path / "real", seconds=20, table="eeg_labels.csv"))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda out: (out.mkdir(), (out / "thesis.txt").write_text("x")), "thesis.txt"),
        (lambda out: (out.mkdir(), (out / "lpd.png").write_bytes(b"my own")), "lpd.png"),
        (lambda out: (out.mkdir(), (out / "sub" / "x").mkdir(parents=True)), "sub"),
        (lambda out: out.write_text("x"), "is no folder"),
    ],
    ids=["a user's file", "a user's picture", "a user's folder", "a file"],
)
def test_what_no_preview_wrote_stays(prepare, words, tmp_path):
    out = tmp_path / "out"
    prepare(out)
    before = sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in tmp_path.rglob("*"))
    with pytest.raises(ArtefactError, match=words):
        draw_preview(out, **SMALL)
    assert before == sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in tmp_path.rglob("*"))


def test_the_real_data_are_no_place_for_pictures(tmp_path):
    root = real_folder(tmp_path / "real", ("LPD",))
    for out in (root, root / "pictures"):
        with pytest.raises(ArtefactError, match="input"):
            draw_preview(out, real=root, **SMALL)


def test_figures_of_a_recording_say_what_they_are_named_after():
    time = np.arange(4000) / 200
    eeg = np.zeros((4000, 20), dtype=np.float32)
    rng = np.random.default_rng(0)
    eeg[:, :19] = rng.standard_normal((4000, 19))
    flat = describe(eeg)
    left_front = [EEG_COLUMNS.index(name) for name in ("Fp1", "F7", "F3")]
    eeg[:, left_front] += 30 * np.sin(2 * np.pi * 2 * time)[:, None] * np.array([1, 2, 3])
    found = describe(eeg)
    assert found["delta"] > flat["delta"] + 0.1 and found["sides"] < 0.5 < flat["sides"]
    assert found["frontal"] > 1 > flat["frontal"] and found["best_to_median"] > flat["best_to_median"]
    assert abs(found["median_sd"]) < 10 and set(found) == set(flat) and all(np.isfinite(list(found.values())))
