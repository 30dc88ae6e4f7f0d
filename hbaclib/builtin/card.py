"""The card of the built-in model, from its measured figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hbaclib.artefacts import write_json, write_text
from hbaclib.conventions import CLASSES, VOTE_COLUMNS
from hbaclib.report.templates import fill
from hbaclib.schema import read_json
from hbaclib.training.trained_folder import TrainedFolder

FIGURES: Final = "figures.json"
"""What was measured, beside the networks."""

CARD: Final = "MODEL_CARD.md"
WEAK = 0.5
"""Sensitivity below which a class is said to be weak."""


def note(folder: str | Path, **figures: Any) -> Path:
    """Add figures to the model's ``figures.json`` and write its ``MODEL_CARD.md``, which shows them and no others."""
    folder = Path(folder)

    def stored() -> dict[str, Any]:
        return read_json(folder / FIGURES, dict[str, Any], "file of figures", "make the model again")

    write_json(folder / FIGURES, (stored() if (folder / FIGURES).is_file() else {}) | figures)
    figures = stored()
    networks = []
    for place in sorted(folder.glob("04_train_*")):
        recipe = TrainedFolder.open(place).recipe
        networks.append({"name": place.name, "backbone": recipe.backbone, "seeds": len(recipe.seeds)})
    classes = figures["held_out"]["classes"]
    weak = [row["class"] for row in classes if row["sensitivity"] is not None and row["sensitivity"] < WEAK]
    text = fill("builtin_card.md", figures, networks=networks, weak=weak, columns=VOTE_COLUMNS, names=CLASSES)
    return write_text(folder / CARD, text)
