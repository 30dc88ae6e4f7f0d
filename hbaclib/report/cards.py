"""Model card and data card in Markdown: the templates beside this file, filled with a run's measured values."""

from __future__ import annotations

from typing import Any

import jinja2

from hbaclib.conventions import CLASSES


def card(template: str, results: dict[str, Any]) -> str:
    """A card of a run.

    Args:
        template: ``model_card.md`` or ``data_card.md``.
        results: content of ``results.json``.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hbaclib.report", ""),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _number
    return environment.get_template(template).render(r=results, classes=CLASSES)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
