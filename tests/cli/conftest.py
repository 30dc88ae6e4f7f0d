"""Shared by tests of commands that ask a predictor."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from tests.timeline.made import Answers


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of which a made predictor answers."""
    networks = Answers()
    networks.members = {}
    monkeypatch.setattr(EnsemblePredictor, "open", lambda *_, **__: networks)
    return tmp_path_factory.mktemp("model")
