"""The card of the built-in model, from its measured figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hbaclib.artefacts import write_text
from hbaclib.builtin.judge import FIGURES
from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.report.templates import fill
from hbaclib.schema import read_json
from hbaclib.training.trained_folder import TrainedFolder

CARD: Final = "MODEL_CARD.md"
WEAK = 0.5
"""Sensitivity below which a class is said to be weak."""


def write_card(model: str | Path) -> Path:
    """Write ``MODEL_CARD.md`` into the model's folder, every figure from its ``figures.json``."""
    model = Path(model)
    figures: dict[str, Any] = read_json(model / FIGURES, dict, "figures", "make the model again")
    networks = []
    for place in sorted(model.glob("04_train_*")):
        recipe = TrainedFolder.open(place).recipe
        networks.append({"name": place.name, "backbone": recipe.backbone, "seeds": len(recipe.seeds)})
    classes = figures["held_out"]["classes"]
    weak = [row["class"] for row in classes if (row["sensitivity"] or 0) < WEAK]
    text = fill("builtin_card.md", figures, networks=networks, weak=weak, columns=VOTE_COLUMNS, names=CLASSES)
    return write_text(model / CARD, text)
