"""Fails where a notebook is not what its source generates, or holds outputs. `make notebooks` mends that (``--write``).

A notebook is its source with the cell of `hbaclib.kaggle.bootstrap` in the place that the tag ``bootstrap`` marks, so
that it runs on Kaggle by itself and the cell stands in one place.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbformat

from hbaclib.kaggle.build import cell

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def generated(source: Path) -> nbformat.NotebookNode:
    """The notebook that a source makes."""
    notebook = jupytext.read(source, config=jupytext.config.load_jupytext_config(str(NOTEBOOKS)))
    for number, each in enumerate(notebook.cells):
        each["id"] = f"cell-{number}"
        if "bootstrap" in each.metadata.get("tags", []):
            each.source = cell()
    return notebook


def faults() -> list[str]:
    """One line per fault."""
    found = []
    sources = {path.stem for path in NOTEBOOKS.glob("*.py")}
    made = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    found += [f"{name}: .py and .ipynb do not come in a pair" for name in sorted(sources ^ made)]
    for name in sorted(sources & made):
        expected = generated(NOTEBOOKS / f"{name}.py")
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        if [cell.get("outputs") for cell in notebook.cells if cell.get("outputs")]:
            found.append(f"{name}.ipynb: holds outputs")
        pairs = [
            [(cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))) for cell in book.cells]
            for book in (expected, notebook)
        ]
        if pairs[0] != pairs[1]:
            found.append(f"{name}.ipynb: differs from {name}.py; run `make notebooks`")
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        for path in sorted(NOTEBOOKS.glob("*.py")):
            jupytext.write(generated(path), path.with_suffix(".ipynb"))
    problems = faults()
    print("\n".join(problems) or "notebooks and sources agree")
    sys.exit(bool(problems))
