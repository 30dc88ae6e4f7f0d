"""The built-in model made in small, twice: the same bytes, sound folders, every figure of the card measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from hbaclib import load_recipe, predict
from hbaclib.artefacts import digest_folder
from hbaclib.builtin.card import FIGURES, note
from hbaclib.builtin.judge import judge_real
from hbaclib.builtin.make import RECIPES, rounded
from hbaclib.conventions import CLASSES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.errors import DataFileError
from hbaclib.stages.shipped import model_digest

N = 240


def small_recipes():
    # Without XLA, which is taken by the clock: the bytes are promised of one way of computing.
    changes = {"downsample": [4, 4], "seeds": [0, 1], "batch": 8, "xla": "off"}
    return [load_recipe(name, **changes).override({"stages.0.epochs": 1}) for name in RECIPES]


def make_small(folder, n_jobs):
    """The model made in small in a process of its own, as `make builtin` has one.

    Where TensorFlow has started before, its number of threads is fixed, and the last bits with it.
    """
    code = (
        "import pathlib, sys; from hbaclib.builtin.make import make_builtin; "
        "from tests.builtin import test_make as small;"
        "folder = pathlib.Path(sys.argv[1]); kept = {'n_segments': small.N, 'recipes': small.small_recipes()};"
        "make_builtin(folder / 'work', folder / 'model', n_jobs=int(sys.argv[2]), **kept)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(n_jobs)], check=True)
    return folder / "model"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_small(tmp_path_factory.mktemp("builtin"), n_jobs=1)


def test_weights_are_rounded_to_eleven_bits():
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32) * np.float32(1e-6)
    kept = rounded(values)
    assert np.abs(kept / values - 1).max() <= 2**-11
    np.testing.assert_array_equal(kept, rounded(kept))
    assert not (kept.view(np.uint32) & 0x1FFF).any()


@pytest.mark.slow
def test_the_same_source_gives_the_same_bytes(made, tmp_path):
    again = make_small(tmp_path, n_jobs=2)
    assert digest_folder(again) == digest_folder(made)
    assert model_digest(again) == model_digest(made)


@pytest.mark.slow
def test_it_predicts_as_any_ensemble_does(made):
    eeg = np.stack([make_segment(kind, 77 + number).eeg for number, kind in enumerate(CLASSES)])
    shares = predict(made / "07_ensemble", eeg)
    assert shares.shape == (6, 6)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_the_card_shows_what_was_measured(made):
    figures = json.loads((made / FIGURES).read_text())
    held_out = figures["held_out"]
    assert held_out["n"] == N / 20
    assert set(held_out["seeds"]) == {"0", "1"}
    assert 0 < held_out["doubt"]["coverage"] <= 1 and (made / "07_ensemble" / "doubt.json").is_file()
    assert held_out["low"] < held_out["kl"] < held_out["high"]
    assert sum(row["n"] for row in held_out["classes"]) == held_out["n"]
    card = (made / "MODEL_CARD.md").read_text()
    assert f"{held_out['kl']:.3f}" in card
    assert figures["model"]["digest"] == model_digest(made)
    assert figures["model"]["digest"] in card
    assert "Not judged." in card


@pytest.mark.slow
def test_real_recordings_judge_it(made, real_data, tmp_path):
    found = judge_real(made, real_data)
    assert found["50 s"]["n"] == 6
    assert found["10 s"]["n"] == 20
    assert found["10 s"]["leading"] == 8
    for way in ("nan", "reflect"):
        for row in found["10 s"][way]["rows"]:
            assert sum(row["shares"]) == pytest.approx(1, abs=0.01)
    copy = tmp_path / "model"
    shutil.copytree(made, copy)
    card = note(copy, real=found).read_text()
    assert f"{found['50 s']['right']} of 6 recordings" in card
    assert "ODC-By" in card


@pytest.mark.slow
def test_real_recordings_without_labels_are_refused(made, tmp_path):
    with pytest.raises(DataFileError, match=r"eeg_labels\.csv: missing"):
        judge_real(made, tmp_path)
