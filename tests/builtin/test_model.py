"""The model as it is committed: whole, small, the one that its card describes, and better than a guess."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from hbaclib import kl_divergence, load_recipe, predict
from hbaclib.artefacts import verify
from hbaclib.builtin.card import CARD, FIGURES, note
from hbaclib.builtin.make import N_SEGMENTS, RECIPES, SEED
from hbaclib.conventions import CLASSES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.dataset.synthetic.wide_reading import panel_votes
from hbaclib.stages.places import SHIPPED
from hbaclib.stages.shipped import digest_of, model_digest
from hbaclib.training.trained_folder import TrainedFolder

MODEL = SHIPPED["synthetic"]
MOST_BYTES = 3_000_000


def figures() -> dict:
    return json.loads((MODEL / FIGURES).read_text())


def test_it_is_whole_and_the_one_that_the_card_describes(tmp_path):
    for folder in [path.parent for path in MODEL.glob("*/manifest.json")]:
        verify(folder)
    assert figures()["model"]["digest"] == model_digest(MODEL)
    assert model_digest(MODEL) in (MODEL / CARD).read_text()
    assert digest_of("synthetic") == model_digest(MODEL)


def test_the_card_shows_the_figures_as_they_are(tmp_path):
    for path in [MODEL / FIGURES, *(place for place in MODEL.rglob("*") if place.name == "manifest.json")]:
        copy = tmp_path / path.relative_to(MODEL)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert note(tmp_path).read_text() == (MODEL / CARD).read_text()


def test_it_is_what_the_recipes_and_the_maker_say():
    for name in RECIPES:
        assert TrainedFolder.open(MODEL / f"04_train_{name}").recipe == load_recipe(name)
    made = figures()["model"]
    assert (made["segments"], made["seed"]) == (N_SEGMENTS, SEED)


def test_it_takes_at_most_three_megabytes_of_the_wheel():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in MODEL.rglob("*"):
            archive.write(path, path.relative_to(MODEL))
    assert len(packed.getvalue()) <= MOST_BYTES


@pytest.mark.slow
def test_it_knows_synthetic_patients_that_it_has_not_seen():
    segments = [make_segment(CLASSES[number % 6], 555_000 + number, varied=True) for number in range(48)]
    targets = np.stack([panel_votes(segment.probability) for segment in segments])
    shares = predict("synthetic", np.stack([segment.eeg for segment in segments]))
    guess = np.broadcast_to(targets.mean(axis=0), targets.shape)
    assert kl_divergence(targets, shares) < 0.6 * kl_divergence(targets, guess)
    # Ten seconds of them, mirrored, tell less, and still more than a guess.
    ten = np.stack([segment.eeg[4000:6000] for segment in segments])
    assert kl_divergence(targets, predict("synthetic", ten, short="reflect")) < 0.8 * kl_divergence(targets, guess)
