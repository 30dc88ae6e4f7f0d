"""What suite ``full`` writes, by kernel, in one run and in one session, from the code.

``python -m tests.readme.sizes`` writes the numbers into the READMEs; `tests.readme.test_sizes` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hbaclib.stages.names import EEG, EFFICIENTNET, ENSEMBLE, IMAGES, KERASCV, PORT, RAW, SUBMIT, TRAINING_PREFIXES
from hbaclib.suite import sizes
from hbaclib.suite.eeg_images import LEAST
from hbaclib.suite.parameters import fill_parameters
from hbaclib.suite.plans import GOLD, plans_of
from hbaclib.suite.table import Notebook, Stage, SuiteTable
from tests.readme.between import between, write_between

ROOT = Path(__file__).parents[2]
COUNTS = replace(sizes.COMPETITION["vote_groups"], folds=5)
"""The competition's files."""
BEGIN, END = "<!-- sizes: written by python -m tests.readme.sizes -->\n", "<!-- end of the sizes -->\n"


@cache
def stages() -> tuple[Stage, ...]:
    """Stages of suite ``full``, with all parameters that their kernels get."""
    suite = SuiteTable(ROOT).suite("full")
    values = fill_parameters(suite, {}, Path(), None)
    return tuple(replace(stage, parameters=values[stage.name]) for stage in suite.stages)


def notebook(name: str) -> Notebook:
    return next(stage.notebook for stage in stages() if stage.notebook.name == name)


def bytes_of(name: str, **parameters: Any) -> int:
    """Bytes that one execution of a notebook writes, without the stages before it."""
    return sizes.stage_bytes(Stage(name, notebook(name), parameters, ()), COUNTS)


def session(name: str, parameters: Mapping[str, Any]) -> int:
    """Bytes that a notebook writes that finds nothing and computes all that it reads, as `prerequisites` does it."""
    own, port = bytes_of(name, **parameters), bytes_of(PORT)
    if name in (PORT, EEG):
        return own + port * (name == EEG)
    if name in (ENSEMBLE, SUBMIT):
        return own + bytes_of(ENSEMBLE) * (name == SUBMIT) + session(EFFICIENTNET, {"recipe": GOLD[EFFICIENTNET]})
    trains = name.startswith(TRAINING_PREFIXES)
    plans = plans_of(name, {"recipe": GOLD[name], **parameters}) if trains else None
    images = list(plans.eeg_images) if plans else []
    return port + bytes_of(EEG, images=images or list(LEAST)) + own + bytes_of(IMAGES) * trains


def alone() -> dict[str, int]:
    """Notebook, as suite ``full`` runs it or with its own defaults on a GPU -> bytes in a session by itself."""
    found = {stage.name: session(stage.notebook.name, stage.parameters) for stage in stages()}
    found[EEG] = session(EEG, {})  # who opens it names no images
    defaults = {f"{name}, its defaults": session(name, {}) for name in (KERASCV, RAW)}
    return found | defaults


def kernels() -> dict[str, int]:
    """Stage of suite ``full`` -> bytes that its kernel writes."""
    return {stage.name: sizes.stage_bytes(stage, COUNTS) for stage in stages()}


def table() -> str:
    """The table of the guide to Kaggle."""
    written, by_itself = kernels(), alone()
    rows = ["| notebook | its kernel writes | by itself, with all that it reads |", "|---|---|---|"]
    for name, size in by_itself.items():
        rows.append(
            f"| {name} | {sizes.show_bytes(written[name]) if name in written else ''} | {sizes.show_bytes(size)} |"
        )
    rows.append(f"| together, as `hbac run full` writes them | {sizes.show_bytes(sum(written.values()))} | |")
    return "\n".join([*rows, ""])


def sentence() -> str:
    """The sentence of the project's README."""
    written, by_itself = kernels(), alone()
    whole, kernel = sizes.show_bytes(sum(written.values())), sizes.show_bytes(max(written.values()))
    least, most = sizes.show_bytes(min(by_itself.values())), sizes.show_bytes(max(by_itself.values()))
    return (
        f"On the competition's files it writes up to {whole}, which it says before its first notebook, with what is "
        f"free.\nOn Kaggle no kernel of it writes more than {kernel}, and a notebook that is opened there by itself, "
        f"and computes all\nthat it reads, {least} to {most}; a session keeps {sizes.show_bytes(sizes.LIMIT)}.\n"
    )


TEXTS = {ROOT / "kaggle" / "README.md": table, ROOT / "README.md": sentence}
"""File -> what stands in it between BEGIN and END."""


def shown(path: Path) -> str:
    """What stands in a file."""
    return between(path, BEGIN, END)


def main() -> None:
    """Write the numbers into both."""
    write_between(TEXTS, BEGIN, END)


if __name__ == "__main__":
    main()
