"""Which images of the EEG a suite's stage 02 stores: those that the suite's recipes see, unless somebody names others.

An image of the competition's set is 5.3 GB, and which one a network sees stands in its recipe (``image``).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from hbaclib.errors import ConfigError, HbacError, list_some
from hbaclib.stages.eeg_products import stored_images
from hbaclib.stages.names import EEG, EEG_IMAGES, IMAGES
from hbaclib.suite.plans import DEMO, GOLD, Plans, plans_of
from hbaclib.suite.table import Stage, Suite

PARAMETER = "images"
"""Parameter of notebook 02 that says which images it stores."""
LEAST = ("pair",)
"""What is stored where no recipe sees an image of the EEG: the notebooks show one."""


def seen_images(suite: Suite, parameters: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...] | None:
    """Images of the EEG that the recipes of a suite see, in the order of EEG_IMAGES.

    Args:
        suite: the suite.
        parameters: stage -> parameter -> value.

    Returns:
        At least LEAST; None where it cannot be known, because no stage trains, or a notebook that is none of the
        library's reads the images as well. A stage whose recipes cannot be made sees nothing: its fault is told later.
    """
    readers = [stage for stage in suite.stages if EEG in stage.notebook.after and stage.notebook.name != IMAGES]
    if not readers or any(stage.notebook.name not in GOLD for stage in readers):
        return None
    plans = [each for stage in readers for each in _possible_plans(stage, parameters[stage.name])]
    seen = {image for each in plans for image in each.eeg_images}
    return tuple(image for image in EEG_IMAGES if image in seen) or LEAST


def _possible_plans(stage: Stage, values: Mapping[str, Any]) -> Iterator[Plans]:
    """What a stage may train: where no recipe is named, the machine's GPU decides between two."""
    named = values.get("recipe")
    for recipe in [named] if named else [GOLD[stage.notebook.name], DEMO[stage.notebook.name]]:
        yield from _plans(stage, {**values, "recipe": recipe})


def _plans(stage: Stage, values: Mapping[str, Any]) -> Iterator[Plans]:
    with contextlib.suppress(HbacError, TypeError, ValueError, AttributeError):  # told as the stage's own faults
        if plans := plans_of(stage.notebook.name, values):
            yield plans


def fill_images(suite: Suite, parameters: Mapping[str, dict[str, Any]], declared: Collection[str]) -> None:
    """Let stage 02 store what the suite's recipes see, where neither the suite nor the caller names images.

    Args:
        suite: the suite.
        parameters: stage -> parameter -> value; those of stage 02 are filled in.
        declared: stages whose notebook has the parameter.
    """
    due = [stage.name for stage in suite.stages if stage.notebook.name == EEG and stage.name in declared]
    due = [name for name in due if PARAMETER not in parameters[name]]
    if due and (images := seen_images(suite, parameters)):
        for name in due:
            parameters[name][PARAMETER] = list(images)


def check_images(suite: Suite, parameters: Mapping[str, Mapping[str, Any]], arrays: str | Path | None = None) -> None:
    """Check that stage 02 stores every image of the EEG that the recipes of a suite see.

    Args:
        suite: the suite.
        parameters: stage -> parameter -> value, as `hbaclib.suite.parameters.fill_parameters` gives them.
        arrays: output folder of a run whose finished stage 02 takes the place of the suite's own; None for none.

    Raises:
        ConfigError: it does not; a line for each stage, with recipe, image, and what to write.
        ArtefactError: the stage in ``arrays`` is not finished.
    """
    faults: list[str] = []
    if arrays is not None:
        folder = Path(arrays) / EEG
        if held := stored_images(folder):
            faults += _faults(suite, parameters, held, str(folder), "run its suite with -p '{}', or build without it")
    else:
        for stage in suite.stages:
            stored = parameters[stage.name].get(PARAMETER) if stage.notebook.name == EEG else None
            if stored is not None:  # else the notebook's default: all of them
                way = "say -p '{}', or name no images: then those are stored that the recipes see"
                faults += _faults(suite, parameters, stored, stage.name, way)
    if faults:
        raise ConfigError("\n".join(faults))


def _faults(
    suite: Suite, parameters: Mapping[str, Mapping[str, Any]], stored: Collection[str], where: str, way: str
) -> Iterator[str]:
    plans = [(stage.name, each) for stage in suite.stages for each in _plans(stage, parameters[stage.name])]
    needed = {*stored, *(image for _, each in plans for image in each.eeg_images)}
    value = f"{EEG}.{PARAMETER}={json.dumps([image for image in EEG_IMAGES if image in needed])}"
    for name, each in plans:
        if lacking := each.lacking_images(stored):
            yield (
                f"suite {suite.name}: {name}: {lacking}, and {where} holds {list_some(list(stored))} alone; "
                + way.format(value)
            )
