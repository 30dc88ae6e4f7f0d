"""The templates beside this file, filled with a run's measured values: the page, and the cards in Markdown."""

from __future__ import annotations

from typing import Any

import jinja2

from hbaclib.conventions import CLASSES


def fill(template: str, results: dict[str, Any], **more: Any) -> str:
    """Fill a template; what the page's shows is escaped for HTML.

    Args:
        template: ``page.html``, ``selftest.html``, ``model_card.md`` or ``data_card.md``.
        results: content of ``results.json``.
        more: what else the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hbaclib.report", ""),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _number
    return environment.get_template(template).render(r=results, classes=CLASSES, **more)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
