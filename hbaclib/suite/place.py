"""Where a run may write: neither into its data nor into a stage, nor over files that no run of ours has left there."""

from __future__ import annotations

import os
from pathlib import Path

from hbaclib.artefacts import MANIFEST
from hbaclib.conventions import SUBMISSION_COLUMNS
from hbaclib.errors import ArtefactError, list_some
from hbaclib.outputs import (
    REPORT,
    RUN_LOCK,
    has_content,
    is_begun,
    is_something,
    is_table,
    refuse_inside_stage,
    stage_of,
)
from hbaclib.report.page import foreign_files
from hbaclib.stages.places import STAGES, stage_rows
from hbaclib.suite.table import NOTEBOOKS, Suite


def check_place(suite: Suite, folder: Path, data: Path | None) -> None:
    """Refuse an output folder before anything is written.

    Args:
        suite: what will run.
        folder: the output folder; it need not exist.
        data: folder in the competition's format that was named.

    Raises:
        ArtefactError: it lies in the data or in a stage, or holds files that the run would replace and hbac did not
            write.
    """
    if data is not None and (data / "train.csv").is_file() and data.resolve() in (folder, *folder.parents):
        raise ArtefactError(f"{folder}: lies inside the data {data}, which stay as they are; choose another --out")
    if (stage := stage_of(folder)) not in (None, REPORT):
        raise ArtefactError(f"{folder}: holds a finished stage ({stage}); choose another --out")
    refuse_inside_stage(folder)
    if found := _foreign(suite, folder):
        raise ArtefactError(
            f"{folder}: holds {list_some(found)}, which this run would write and hbac did not; choose another --out, "
            "or move them away"
        )


def _foreign(suite: Suite, folder: Path) -> list[str]:
    """Names below an output folder that the run writes, and that are there and of no run."""
    found = foreign_files(folder)
    if (folder / RUN_LOCK).is_file() or stage_rows(folder):
        return found
    published = {name for each in suite.stages for name in each.notebook.publishes}
    names = [f"{NOTEBOOKS}/{each.name}.ipynb" for each in suite.stages] + [STAGES]
    names += [MANIFEST] if stage_of(folder) is None else []
    names += [name for name in sorted(published) if not is_table(folder / name, [SUBMISSION_COLUMNS])]
    found += [name for name in names if is_something(folder / name)]
    return found + [each.name for each in suite.stages if _is_foreign_stage(folder / each.name)]


def _is_foreign_stage(folder: Path) -> bool:
    if not folder.is_dir():
        return os.path.lexists(folder)
    return stage_of(folder) is None and not is_begun(folder) and has_content(folder)
